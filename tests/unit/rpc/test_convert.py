"""Protobuf <-> core: every value of every enum, both ways."""

from __future__ import annotations

from dataclasses import fields

import pytest
from google.protobuf.duration_pb2 import Duration
from rhapsode.tts.v1 import audio_pb2, session_pb2, synthesis_pb2
from rhapsode_server.core import (
    AudioFormat,
    Encoding,
    FinishReason,
    Priority,
    Request,
    SamplingParams,
    Voice,
)
from rhapsode_server.errors import FormatUnsupported, InvalidRequest
from rhapsode_server.rpc import convert, session_convert
from rhapsode_server.synthesizer import (
    Audio,
    Done,
    SpokenWord,
    Stage,
    StageTime,
    Started,
    Terms,
    Timings,
    Usage,
)

VOICE = Voice("alto", "toy", ("en",), 16_000)
ASKED = Request("r-1", "Hello.", "alto", seed=2**64 - 1)


def test_what_is_absent_is_the_default() -> None:
    request = convert.request(synthesis_pb2.SynthesizeRequest(text="Hi"), "drawn")
    assert request == Request("drawn", "Hi", "", seed=request.seed)
    assert convert.terms(synthesis_pb2.SynthesizeRequest(), None) == Terms()


def test_a_seed_is_drawn_anew_for_each_request() -> None:
    seeds = {convert.request(synthesis_pb2.SynthesizeRequest(), "r").seed for _ in range(20)}
    assert len(seeds) > 10


def test_everything_that_is_set_arrives() -> None:
    message = synthesis_pb2.SynthesizeRequest(
        text="Hi",
        voice="bass",
        audio_format=audio_pb2.AudioFormat(encoding="AUDIO_ENCODING_MULAW", sample_rate_hz=8000),
        speed=1.5,
        seed=0,
        language="en-GB",
        instruction="softly",
        sampling=synthesis_pb2.SamplingParams(temperature=0.0, top_k=3, top_p=0.5, repetition_penalty=1.25),
        priority="PRIORITY_HIGH",
        max_ttfa=Duration(nanos=250_000_000),
        request_id="mine",
    )
    assert convert.request(message, "drawn") == Request(
        request_id="mine",
        text="Hi",
        voice="bass",
        audio=AudioFormat(Encoding.MULAW, 8000),
        speed=1.5,
        seed=0,
        language="en-GB",
        instruction="softly",
        sampling=SamplingParams(0.0, 3, 0.5, 1.25),
        priority=Priority.HIGH,
    )
    assert convert.terms(message, 3.0) == Terms(3.0, 0.25)


@pytest.mark.parametrize(
    "wrong",
    [
        Duration(seconds=1, nanos=-1),
        Duration(seconds=-1, nanos=1),
        Duration(nanos=1_000_000_000),
        Duration(seconds=1, nanos=2**31 - 1),
        Duration(seconds=315_576_000_001),
        Duration(seconds=2**63 - 1),
        Duration(seconds=-(2**63)),
    ],
)
def test_a_duration_that_its_type_does_not_allow_is_refused_by_field(wrong: Duration) -> None:
    limits = session_convert.SessionLimits()
    session = session_convert.defaults(session_pb2.SessionConfig(), limits)
    ahead, idle = session_pb2.SessionConfig(max_ahead=wrong), session_pb2.SessionConfig(idle_timeout=wrong)
    for field, convert_it in (
        ("max_ttfa", lambda: convert.terms(synthesis_pb2.SynthesizeRequest(max_ttfa=wrong), None)),
        ("max_ttfa", lambda: session_convert.start(session_pb2.StartContext(max_ttfa=wrong), session, "r")),
        ("max_ahead", lambda: session_convert.defaults(ahead, limits)),
        ("idle_timeout", lambda: session_convert.defaults(idle, limits)),
    ):
        with pytest.raises(InvalidRequest, match=r"no valid google\.protobuf\.Duration") as refused:
            convert_it()
        assert refused.value.field == field


def test_the_longest_and_the_shortest_duration_arrive() -> None:
    assert convert.seconds(Duration(seconds=315_576_000_000), "f") == 315_576_000_000.0
    assert convert.seconds(Duration(nanos=999_999_999), "f") == pytest.approx(0.999_999_999)


def test_the_pace_arrives_and_an_unknown_one_is_refused() -> None:
    asked = {
        number: convert.terms(synthesis_pb2.SynthesizeRequest(pace=number), None).paced  # type: ignore[arg-type]
        for number in synthesis_pb2.Pace.values()
    }
    assert asked == {
        synthesis_pb2.PACE_UNSPECIFIED: True,
        synthesis_pb2.PACE_PLAYBACK: True,
        synthesis_pb2.PACE_FASTEST: False,
    }
    with pytest.raises(InvalidRequest, match="Pace number 9"):
        convert.terms(synthesis_pb2.SynthesizeRequest(pace=9), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", audio_pb2.AudioEncoding.values())
def test_every_encoding_of_the_wire_is_known(number: int) -> None:
    known = convert.audio_format(audio_pb2.AudioFormat(encoding=number)).encoding  # type: ignore[arg-type]
    said = convert.started(Started(VOICE, AudioFormat(known, 8000), 0.0, None), ASKED, "toy", "")
    assert said.audio_format.encoding == (number or audio_pb2.AUDIO_ENCODING_PCM_S16LE)


@pytest.mark.parametrize("encoding", Encoding)
def test_every_encoding_of_ours_has_a_number(encoding: Encoding) -> None:
    said = convert.started(Started(VOICE, AudioFormat(encoding, 8000), 0.0, None), ASKED, "toy", "")
    assert convert.audio_format(said.audio_format).encoding is encoding


def test_numbers_from_the_future_are_refused_by_field() -> None:
    with pytest.raises(FormatUnsupported, match="AUDIO_ENCODING_OGG_OPUS") as caught:
        convert.audio_format(audio_pb2.AudioFormat(encoding=99))  # type: ignore[arg-type]
    assert caught.value.field == "audio_format.encoding"
    with pytest.raises(InvalidRequest) as refused:
        convert.priority(9)
    assert refused.value.field == "priority"


@pytest.mark.parametrize("number", synthesis_pb2.Priority.values())
def test_every_priority_is_known(number: int) -> None:
    name = synthesis_pb2.Priority.Name(number).removeprefix("PRIORITY_")
    assert convert.priority(number).name == name.replace("UNSPECIFIED", "NORMAL")


@pytest.mark.parametrize("reason", FinishReason)
def test_every_finish_reason_has_a_number(reason: FinishReason) -> None:
    said = convert.done(Done(reason, Usage(1, 2, 3, 4), Timings()))
    assert synthesis_pb2.FinishReason.Name(said.finish_reason) == f"FINISH_REASON_{reason.name}"


@pytest.mark.parametrize("longest", [Duration(), Duration(seconds=-1), Duration(nanos=-1)])
def test_a_wait_of_nothing_is_refused(longest: Duration) -> None:
    with pytest.raises(InvalidRequest) as caught:
        convert.terms(synthesis_pb2.SynthesizeRequest(max_ttfa=longest), None)
    assert caught.value.field == "max_ttfa"


def test_events_become_messages() -> None:
    word = SpokenWord("20%", 3, 6, 100, 200, exact=False)
    audio = convert.response(Audio(b"\x01", 2, 90, 10, (word,)), ASKED, "toy", "").audio
    assert (audio.data, audio.seq, audio.start_sample, audio.sample_count) == (b"\x01", 2, 90, 10)
    assert audio.words[0] == audio_pb2.Word(
        text="20%", char_start=3, char_end=6, start_sample=100, end_sample=200, exact=False
    )
    started = convert.response(Started(VOICE, AudioFormat(), 0.5, None), ASKED, "toy", "abc").started
    assert (started.request_id, started.seed, started.trace_id) == ("r-1", 2**64 - 1, "abc")
    assert started.queue_time.ToMilliseconds() == 500
    assert not started.HasField("estimated_first_audio")


def test_times_and_counts_arrive_under_their_names() -> None:
    names = [field.name for field in fields(Timings) if field.name != "stages"]
    spent = Timings(**{name: float(number) for number, name in enumerate(names, 1)})  # type: ignore[arg-type]
    said = convert.timings(spent)
    for name in names:
        assert convert.seconds(getattr(said, name), name) == getattr(spent, name), name
    assert not convert.timings(Timings()).HasField("first_audio")
    told = [StageTime(stage, n, n / 2, n + 1.0, n / 4) for n, stage in enumerate(Stage)]
    stages = convert.timings(Timings(stages=tuple(told))).stages
    assert [synthesis_pb2.Stage.Name(one.stage) for one in stages] == [f"STAGE_{s.name}" for s in Stage]
    assert [(one.piece, one.start.ToTimedelta().total_seconds()) for one in stages] == [
        (n, n / 2) for n in range(len(Stage))
    ]
    assert (stages[2].end.seconds, stages[2].busy.ToMilliseconds()) == (3, 500)
    used = convert.usage(Usage(characters=1, delivered=2, generated=3, frames=4))
    assert (used.characters, used.delivered_samples, used.generated_samples, used.frames) == (1, 2, 3, 4)


def test_a_voice_is_listed_whole() -> None:
    voice = Voice("alto", "toy", ("en", "de"), 16_000, "A tone.", True, 220.0, {"style": "plain"})
    said = convert.voice(voice)
    assert (said.name, said.model, list(said.languages)) == ("alto", "toy", ["en", "de"])
    assert (said.sample_rate_hz, said.description, said.is_default) == (16_000, "A tone.", True)
    assert dict(said.labels) == {"style": "plain"}
