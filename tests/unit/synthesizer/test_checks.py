"""What is refused before any work is done, and with which words."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from rhapsode_server.core import AudioFormat, Encoding, SamplingParams
from rhapsode_server.errors import FormatUnsupported, InvalidRequest, SettingUnsupported
from rhapsode_server.models import toy
from rhapsode_server.synthesizer.checks import check

from tests.unit.synthesizer.conftest import request

MODEL = toy.load()
DRAWS = dataclasses.replace(MODEL, sampling=("temperature", "top_k", "top_p", "repetition_penalty"))
VOICE = MODEL.voices["alto"]

REFUSED: list[tuple[dict[str, Any], type[InvalidRequest], str, str]] = [
    ({"speed": 0.49}, InvalidRequest, "speed", "0.5 to 2 times"),
    ({"speed": 2.01}, InvalidRequest, "speed", "0.5 to 2 times"),
    ({"speed": -1.0}, InvalidRequest, "speed", "0.5 to 2 times"),
    ({"speed": math.nan}, InvalidRequest, "speed", "0.5 to 2 times"),
    ({"speed": math.inf}, InvalidRequest, "speed", "0.5 to 2 times"),
    ({"seed": -1}, InvalidRequest, "seed", "2^64"),
    ({"seed": 2**64}, InvalidRequest, "seed", "2^64"),
    ({"request_id": ""}, InvalidRequest, "request_id", "letters"),
    ({"request_id": "a b"}, InvalidRequest, "request_id", "letters"),
    ({"request_id": "-a"}, InvalidRequest, "request_id", "letters"),
    ({"request_id": "a" * 129}, InvalidRequest, "request_id", "128"),
    ({"request_id": "a\nb"}, InvalidRequest, "request_id", "letters"),
    ({"language": "english"}, InvalidRequest, "language", "BCP 47"),
    ({"language": "../en"}, InvalidRequest, "language", "BCP 47"),
    ({"language": "de"}, InvalidRequest, "language", "It speaks: en"),
    ({"audio": AudioFormat(sample_rate=7_999)}, FormatUnsupported, "audio_format.sample_rate_hz", "8000"),
    ({"audio": AudioFormat(sample_rate=48_001)}, FormatUnsupported, "audio_format.sample_rate_hz", "48000"),
    (
        {"audio": AudioFormat(Encoding.OGG_OPUS, 44_100)},
        FormatUnsupported,
        "audio_format.sample_rate_hz",
        "24000",
    ),
    ({"sampling": SamplingParams(top_k=3)}, SettingUnsupported, "sampling.top_k", "has none"),
    ({"instruction": "x" * 2001}, InvalidRequest, "instruction", "2,000"),
    ({"instruction": "soft\x00ly"}, InvalidRequest, "instruction", "control character"),
]


@pytest.mark.parametrize(("fields", "kind", "field", "words"), REFUSED, ids=lambda value: repr(value)[:40])
def test_it_is_refused_with_its_field(
    fields: dict[str, Any], kind: type[InvalidRequest], field: str, words: str
) -> None:
    with pytest.raises(kind) as caught:
        check(request("Hello.", **fields), VOICE, MODEL)
    assert caught.value.field == field
    assert words in caught.value.message


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"speed": 0.5},
        {"speed": 2.0},
        {"seed": 2**64 - 1},
        {"language": "en-GB"},
        {"language": "EN"},
        {"request_id": "A" * 128},
        {"audio": AudioFormat(Encoding.OGG_OPUS, 48_000)},
        {"instruction": "soft\nand slow"},
    ],
    ids=repr,
)
def test_it_is_let_in(fields: dict[str, Any]) -> None:
    check(request("Hello.", **fields), VOICE, MODEL)


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("temperature", (0.0, -1.0, math.nan, math.inf), (0.01, 1.0, 10.0)),
        ("top_k", (0,), (1, 50)),
        ("top_p", (0.0, 1.1, math.nan), (0.1, 1.0)),
        ("repetition_penalty", (0.9, math.inf), (1.0, 1.3)),
    ],
)
def test_a_setting_has_its_range(name: str, bad: tuple[float, ...], good: tuple[float, ...]) -> None:
    for value in bad:
        with pytest.raises(InvalidRequest) as caught:
            check(request("Hello.", sampling=SamplingParams(**{name: value})), VOICE, DRAWS)  # type: ignore[arg-type]
        assert caught.value.field == f"sampling.{name}"
        assert name in caught.value.message
    for value in good:
        check(request("Hello.", sampling=SamplingParams(**{name: value})), VOICE, DRAWS)  # type: ignore[arg-type]


def test_a_model_with_one_speed_says_so() -> None:
    class OneSpeed(toy.ToyFrontend):
        speed_range = (1.0, 1.0)

    model = dataclasses.replace(MODEL, frontend=OneSpeed())
    check(request("Hello."), VOICE, model)
    with pytest.raises(SettingUnsupported, match="one speed only"):
        check(request("Hello.", speed=1.1), VOICE, model)
