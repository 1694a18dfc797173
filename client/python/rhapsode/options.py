"""What can be asked for besides the text, of a call, of a session and of one of its utterances.

All of it may be left out. What must not live here: protobuf and gRPC (wire.py and session_wire.py translate).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from rhapsode.speech import Encoding, Pace, Priority


class Delivery(TypedDict, total=False):
    """How a text is spoken, and how soon."""

    voice: str
    """Name of a voice. Left out: an utterance has its session's, all else the server's default."""
    speed: float
    """Factor on the speaking rate, 1.0 where left out."""
    language: str
    """Language of the text as a BCP 47 tag."""
    instruction: str
    """How to speak, in words, for models that follow instructions."""
    temperature: float
    """Spread of the model's draw."""
    top_k: int
    """Draw among this many of the likeliest candidates."""
    top_p: float
    """Draw among the likeliest candidates that together have this probability."""
    repetition_penalty: float
    """Weight against what was already drawn."""
    priority: Priority | str
    """Who is served first when the server is full."""


class Sound(TypedDict, total=False):
    """How the sound is written down, and how fast it may come."""

    format: Encoding | str
    """How the sound is encoded; bare 16 bit samples where left out."""
    sample_rate: int
    """Samples per second; the voice's own where left out."""
    pace: Pace | str
    """How fast the sound may come; left out, some seconds before it can have been played."""


class ContextOptions(Delivery, total=False):
    """What can be asked of one utterance of a session; what is left out is the session's."""

    seed: int
    """Fixes every random draw; where left out the server draws one, and `info.seed` says which."""
    max_ttfa: float
    """Refuse at once where the first sound is expected to take longer than this many seconds."""
    request_id: str
    """A name of your own for logs and traces."""


class SessionOptions(Delivery, Sound, total=False):
    """What the utterances of a session have in common."""

    max_ahead: float
    """Seconds of sound that may come before they can have been played; at most the server's own limit."""
    idle_timeout: float
    """Seconds in which neither side says anything, after which the server ends the session; at most its own
    limit."""


class SpeechOptions(ContextOptions, Sound, total=False):
    """Everything that can be asked of a call that speaks one text."""


def known(options: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """The options as a dictionary; TypeError for one that `kind` has not got."""
    given = dict(options)
    unknown = given.keys() - kind.__annotations__.keys()
    if unknown:
        raise TypeError(f"no such option: {', '.join(sorted(unknown))}")
    return given
