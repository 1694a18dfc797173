"""Sound and words on their way out: nothing lost, nothing doubled, every word with its sound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.core import AudioFormat, Encoding, Piece, Word, WordTime
from rhapsode_server.synthesizer.events import Audio, SpokenWord
from rhapsode_server.synthesizer.packing import Packer, Wording

NATIVE = 16_000
FORMATS = [
    AudioFormat(),
    AudioFormat(Encoding.WAV, 48_000),
    AudioFormat(Encoding.PCM_S16LE, 22_050),
    AudioFormat(Encoding.MULAW, 8_000),
    AudioFormat(Encoding.ALAW, 11_025),
    AudioFormat(Encoding.OGG_OPUS, 24_000),
]


def packed(packer: Packer, chunks: list[int], words: list[list[SpokenWord]]) -> list[Audio]:
    """Tones of these lengths and what comes of them."""
    messages = []
    for length, known in zip(chunks, words, strict=True):
        tone = np.sin(np.arange(length, dtype=np.float32) * 0.1)
        messages.append(packer.sound(tone, known))
    messages.append(packer.finish())
    return [message for message in messages if message is not None]


@given(st.sampled_from(FORMATS), st.lists(st.integers(0, 6000), max_size=8))
def test_messages_join_without_gap_and_are_never_empty(audio: AudioFormat, chunks: list[int]) -> None:
    packer = Packer(audio, NATIVE)
    messages = packed(packer, chunks, [[] for _ in chunks])
    assert [message.seq for message in messages] == list(range(len(messages)))
    at = 0
    for message in messages:
        assert message.data
        assert message.start == at
        at += message.samples
    assert at == packer.given == packer.delivered(sum(chunks))


@given(
    st.sampled_from(FORMATS),
    st.lists(st.integers(1, 6000), min_size=1, max_size=8),
    st.lists(st.floats(0, 1), max_size=12),
)
def test_a_word_comes_once_with_the_sound_in_which_it_begins(
    audio: AudioFormat, chunks: list[int], places: list[float]
) -> None:
    packer = Packer(audio, NATIVE)
    total = packer.delivered(sum(chunks))
    begins = sorted(int(place * (total - 1)) for place in places)
    words = [SpokenWord(str(n), n, n + 1, start, start + 1, exact=True) for n, start in enumerate(begins)]
    messages = packed(packer, chunks, [words, *([] for _ in chunks[1:])])
    assert [word for message in messages for word in message.words] == words
    for message in messages:
        for word in message.words:
            assert message.start <= word.start < message.start + message.samples


def test_a_word_that_becomes_known_late_comes_with_the_next_sound() -> None:
    packer = Packer(AudioFormat(), NATIVE)
    late = SpokenWord("late", 0, 4, 10, 20, exact=True)
    first, second = packed(packer, [100, 100], [[], [late]])
    assert first.words == ()
    assert second.words == (late,)


def test_silence_is_exact() -> None:
    packer = Packer(AudioFormat(), NATIVE)
    message = packer.silence(321)
    assert message is not None
    assert message.samples == 321
    assert message.data == bytes(642)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_places_move_with_the_rate(rate: int) -> None:
    packer = Packer(AudioFormat(Encoding.PCM_S16LE, rate), NATIVE)
    assert packer.delivered(NATIVE) == rate
    assert packer.delivered(0) == 0


def wording(words: list[Word], text: str, begins: int = 0) -> Wording:
    piece = Piece(text, tuple(words), 0, len(text))
    return Wording(text, piece, begins, Packer(AudioFormat(Encoding.PCM_S16LE, 8_000), NATIVE))


def test_words_are_those_of_the_callers_text() -> None:
    text = "Pay 20% now"
    spoken = [Word("pay", 0, 3), Word("twenty", 4, 7), Word("percent", 4, 7), Word("now", 8, 11)]
    told = wording(spoken, text, begins=1600)
    assert told.words([WordTime(0, 0, 100), WordTime(1, 200, 300)]) == [
        SpokenWord("Pay", 0, 3, 800, 850, exact=True)
    ]
    # "20%" is complete when its second spoken word is
    assert told.words([WordTime(2, 300, 500, exact=False), WordTime(3, 600, 700)]) == [
        SpokenWord("20%", 4, 7, 900, 1050, exact=False),
        SpokenWord("now", 8, 11, 1100, 1150, exact=True),
    ]


@given(st.data())
def test_words_do_not_depend_on_when_they_become_known(data: st.DataObject) -> None:
    spans = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=6))
    spoken = [Word("w", n * 2, n * 2 + 1) for n, many in enumerate(spans) for _ in range(many)]
    times = [WordTime(n, n * 10, n * 10 + 5) for n in range(len(spoken))]
    text = "ab" * len(spans)
    whole = wording(spoken, text).words(times)
    told, rest, parts = wording(spoken, text), list(times), []
    while rest:
        many = data.draw(st.integers(1, len(rest)))
        parts += told.words(rest[:many])
        rest = rest[many:]
    assert parts == whole
    assert len(whole) == len(spans)
