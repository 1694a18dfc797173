"""What a request must be like before any work is done for it.

Every check raises an error of errors.py whose message says what to do and whose `field` is the name on the
wire. What must not live here: work of any size (all checks together cost microseconds), torch, gRPC.
"""

from __future__ import annotations

import math
import re

from rhapsode_server.audio.encode import supported
from rhapsode_server.core import Request, SamplingParams, Voice
from rhapsode_server.errors import InvalidRequest, SettingUnsupported
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.voices.catalogue import speaks

REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters other than tab, line feed and carriage return."""

_LONGEST_INSTRUCTION = 2_000
_LARGEST_SEED = 2**64 - 1


def check(request: Request, voice: Voice, model: SpeechModel) -> None:
    """Raise InvalidRequest, or one of its kinds, for the first thing that is wrong but in the text."""
    supported(request.audio)
    _check_names(request, voice)
    check_speed(request.speed, model)
    _check_sampling(request.sampling, model)
    _check_instruction(request.instruction)


def _check_names(request: Request, voice: Voice) -> None:
    if not REQUEST_ID.fullmatch(request.request_id):
        raise InvalidRequest(
            "request_id",
            "A request id has 1 to 128 letters, digits, '.', '_', ':' or '-', the first a letter or a digit."
            " Send such a one, or none.",
        )
    if not 0 <= request.seed <= _LARGEST_SEED:
        raise InvalidRequest("seed", "A seed is a whole number from 0 to 2^64 - 1. Send such a one, or none.")
    check_language(request.language)
    if request.language and not speaks(voice, request.language):
        raise InvalidRequest(
            "language",
            f"The voice {voice.name!r} does not speak {request.language!r}. It speaks:"
            f" {', '.join(voice.languages)}.",
        )


def check_language(language: str) -> None:
    """Raise InvalidRequest for what is no language tag; an empty one is no language in particular."""
    if language and not _LANGUAGE.fullmatch(language):
        raise InvalidRequest("language", "A language is a BCP 47 tag, such as 'en' or 'de-CH'. Send one.")


def check_speed(speed: float, model: SpeechModel) -> None:
    """Raise InvalidRequest for a speed at which the model cannot speak."""
    slowest, fastest = model.frontend.speed_range
    if slowest <= speed <= fastest:
        return
    if slowest == fastest:
        raise SettingUnsupported("speed", f"The model {model.name!r} has one speed only. Leave speed out.")
    raise InvalidRequest(
        "speed",
        f"The model {model.name!r} speaks at {slowest:g} to {fastest:g} times its own speed. Ask for a speed"
        " in that range.",
    )


def _check_sampling(sampling: SamplingParams, model: SpeechModel) -> None:
    for name in sampling.chosen():
        if name not in model.sampling:
            has = f"It has: {', '.join(model.sampling)}." if model.sampling else "It has none."
            raise SettingUnsupported(
                f"sampling.{name}", f"The model {model.name!r} has no setting {name!r}. {has} Leave it out."
            )
        value = float(getattr(sampling, name))
        allowed, words = _SAMPLING_RANGES[name]
        if not (math.isfinite(value) and allowed[0] <= value <= allowed[1]):
            raise InvalidRequest(f"sampling.{name}", f"{name} must be {words}.")


_TINY = 1e-6
_SAMPLING_RANGES: dict[str, tuple[tuple[float, float], str]] = {
    "temperature": ((_TINY, 10.0), "above 0 and at most 10"),
    "top_k": ((1, 1_000_000), "1 or more"),
    "top_p": ((_TINY, 1.0), "above 0 and at most 1"),
    "repetition_penalty": ((1.0, 10.0), "from 1 to 10"),
}


def _check_instruction(instruction: str) -> None:
    if len(instruction) > _LONGEST_INSTRUCTION:
        raise InvalidRequest(
            "instruction", f"The instruction is too long: it has at most {_LONGEST_INSTRUCTION:,} characters."
        )
    if _CONTROL.search(instruction):
        raise InvalidRequest("instruction", "The instruction holds a control character. Remove it.")
