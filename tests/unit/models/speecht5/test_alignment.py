"""Word times out of cross-attention: on the diagonal they are right, whatever comes they are in order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.core import Piece, Request, Word
from rhapsode_server.engine.engine import Engine
from rhapsode_server.engine.worker import EngineSettings
from rhapsode_server.models.base import Aligned, SpeechModel, Utterance
from rhapsode_server.models.speecht5.acoustic import SpeechT5Acoustic
from rhapsode_server.models.speecht5.alignment import AHEAD, BEHIND, Alignment, Pointer
from rhapsode_server.models.speecht5.frontend import SpeechT5Prompt
from rhapsode_server.synthesizer import Audio, SpokenWord, Synthesizer, Terms
from rhapsode_server.text.desk import TextDesk

SAMPLES = 512
CPU = torch.device("cpu")


def diagonal(frames: int, characters: int, width: float = 1.0) -> torch.Tensor:
    """Attention logits [frames, characters] of a head that goes through the text evenly."""
    places = torch.arange(characters)
    middles = torch.arange(frames) * characters / frames
    return -((places - middles[:, None]) ** 2) / (2 * width**2)


def followed(logits: torch.Tensor) -> list[int]:
    """The pointer's path through logits [frames, characters], asked as the decoder asks.

    Character j has the unit vector j for its key, and the query holds the logits, so that the product of
    the two is the logit.
    """
    frames, characters = logits.shape
    pointer, at = Pointer(CPU), torch.zeros(1, dtype=torch.int64)
    keys = torch.eye(characters)[None, None]
    path = []
    for frame in range(frames):
        query = logits[frame][None, None] * characters**0.5  # the scale that attention divides by
        at = pointer.moved(query, keys, at, torch.tensor([0]), torch.tensor([characters]))
        path.append(int(at))
    return path


def spans(*lengths: int) -> list[tuple[int, int]]:
    """Words of these lengths with a space before each."""
    found, at = [], 0
    for length in lengths:
        found.append((at + 1, at + 1 + length))
        at += 1 + length
    return found


@pytest.mark.parametrize("width", [0.5, 1.0, 2.5])
@pytest.mark.parametrize(("frames", "characters"), [(200, 50), (100, 60), (40, 60)])
def test_on_the_diagonal_words_sound_where_the_head_says(frames: int, characters: int, width: float) -> None:
    """Within a frame of two of the truth, at two frames a character as at two characters a frame."""
    path = followed(diagonal(frames, characters, width))
    words = spans(*[4] * (characters // 5 - 1))
    alignment = Alignment(words, SAMPLES)
    alignment.follow(path)
    alignment.finish(characters)
    per_character = frames * SAMPLES / characters
    tolerance = 2 * SAMPLES + 2 * per_character
    for time, (begin, end) in zip(alignment.words, words, strict=True):
        assert abs(time.start - begin * per_character) <= tolerance
        assert abs(time.end - end * per_character) <= tolerance
        assert time.exact


def test_a_glance_ahead_does_not_carry_the_pointer_away() -> None:
    logits = diagonal(200, 50)
    logits[60] = torch.where(torch.arange(50) == 48, 9.0, -9.0)  # for one frame the head looks at the end
    steady, glanced = followed(diagonal(200, 50)), followed(logits)
    assert max(abs(a - b) for a, b in zip(steady[:60], glanced[:60], strict=True)) == 0
    assert max(abs(a - b) for a, b in zip(steady[90:], glanced[90:], strict=True)) <= 1


def test_a_pause_holds_the_pointer_still() -> None:
    """A head that stays where it is, as wide as it may be, does not creep on."""
    logits = diagonal(400, 400, 2.0)[100].repeat(300, 1)
    logits = torch.cat([diagonal(400, 400, 2.0)[:100], logits])
    path = followed(logits)
    assert path[-1] - path[110] == 0


@given(
    st.lists(st.integers(1, 12), max_size=12).map(lambda lengths: spans(*lengths)),
    st.lists(st.integers(0, 30), min_size=1, max_size=60),
    st.integers(1, 7),
)
def test_whatever_the_path_times_are_in_order_and_within_the_sound(
    words: list[tuple[int, int]], steps: list[int], cuts: int
) -> None:
    characters = (words[-1][1] if words else 0) + 2
    path, at = [], 0
    for step in steps:
        at = min(characters - 1, at + step)
        path.append(at)
    whole, cut = Alignment(words, SAMPLES), Alignment(words, SAMPLES)
    whole.follow(path)
    whole.finish(characters)
    for first in range(0, len(path), cuts):
        before = list(cut.words)
        cut.follow(path[first : first + cuts])
        assert cut.words[: len(before)] == before, "a word that was told is never revised"
    cut.finish(characters)
    cut.finish(characters)
    assert cut.words == whole.words
    assert [time.index for time in whole.words] == list(range(len(words)))
    edges = [edge for time in whole.words for edge in (time.start, time.end)]
    assert edges == sorted(edges)
    assert all(time.end > time.start for time in whole.words)
    assert not edges or 0 <= edges[0] <= edges[-1] <= len(path) * SAMPLES


def test_a_rows_pointer_does_not_see_its_neighbours() -> None:
    """To the last bit, and the same when the text behind the window is another."""
    generator = torch.Generator().manual_seed(3)
    keys = torch.randn(6, 2, 300, 64, generator=generator)
    query = torch.randn(6, 2, 64, generator=generator)
    at, lengths = torch.tensor([0, 5, 90, 250, 33, 7]), torch.tensor([40, 6, 100, 300, 34, 120])
    index = torch.tensor([3, 0, 5, 1, 4, 2])
    pointer = Pointer(CPU)
    together = pointer.moved(query, keys, at, index, lengths)
    for row in range(6):
        one = slice(row, row + 1)
        alone = pointer.moved(query[one], keys, at[one], index[one], lengths[one])
        assert alone.item() == together[row].item()
        assert at[row] <= alone.item() < min(int(lengths[row]), int(at[row]) + AHEAD)
        other = keys.clone()
        other[:, :, int(at[row]) + AHEAD :] = torch.nan
        other[:, :, : max(0, int(at[row]) - BEHIND)] = torch.nan
        assert pointer.moved(query[one], other, at[one], index[one], lengths[one]).item() == alone.item()


def piece(text: str) -> Piece:
    words, at = [], 0
    for word in text.split():
        plain = word.strip(",.?!")
        begin = text.index(plain, at)
        at = begin + len(plain)
        words.append(Word(plain, begin, at))
    return Piece(text, tuple(words), 0, len(text))


def prepared(model: SpeechModel, text: str, seed: int = 0) -> SpeechT5Prompt:
    prompt = model.frontend.prepare(Utterance(piece(text), model.voices["ada"], seed=seed))
    assert isinstance(prompt, SpeechT5Prompt)
    return prompt


def test_the_tokens_of_each_word_are_found(model: SpeechModel) -> None:
    prompt = prepared(model, "One moment, please.")
    assert prompt.words == ((1, 4), (5, 11), (13, 19))
    assert len(prompt.tokens) == 21
    unknown = prepared(model, "One 漢字 moment.")
    assert unknown.words == ((1, 4), (4, 4), (5, 11))


def times(model: SpeechModel, prompts: list[SpeechT5Prompt], slots: list[int]) -> list[list[tuple[int, int]]]:
    """Word times of rows that are decoded together, read whenever they are asked for."""
    acoustic = model.acoustic
    assert isinstance(acoustic, SpeechT5Acoustic)
    assert isinstance(acoustic, Aligned)
    state = acoustic.new_state(max(slots) + 1)
    acoustic.prefill(state, slots, prompts)
    running, found = set(range(len(prompts))), [[] for _ in prompts]  # type: tuple[set[int], list[list[tuple[int, int]]]]
    step = 0
    while running:
        rows = sorted(running)
        made = acoustic.decode(state, torch.tensor([slots[row] for row in rows]))
        step += 1
        for row, stopped in zip(rows, made.stopped.tolist(), strict=True):
            if (step + row) % 3 == 0 or stopped or step == prompts[row].max_frames:
                known = [(time.start, time.end) for time in acoustic.word_times(state, slots[row])]
                assert known[: len(found[row])] == found[row]
                found[row] = known
            if stopped or step == prompts[row].max_frames:
                running.remove(row)
                assert not known or known[-1][1] <= step * model.vocoder.samples_per_frame
    return found


def test_times_of_a_row_are_those_it_has_alone(model: SpeechModel) -> None:
    texts = ("One moment please.", "Yes.", "Seven red lanterns hang above the river.")
    prompts = [prepared(model, text, seed) for seed, text in enumerate(texts)]
    together = times(model, prompts, [4, 0, 2])
    assert [len(found) for found in together] == [3, 1, 7]
    for prompt, found in zip(prompts, together, strict=True):
        assert times(model, [prompt], [1]) == [found]


def test_a_step_looks_at_a_window_and_no_further(model: SpeechModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work beside the attention does not depend on the length of the text or of the sound."""
    acoustic = model.acoustic
    assert isinstance(acoustic, SpeechT5Acoustic)
    shapes, moved = set(), acoustic._pointer.moved

    def counted(query: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        shapes.add(tuple(query.shape))
        return moved(query, *rest)

    monkeypatch.setattr(acoustic._pointer, "moved", counted)
    for text in ("Yes.", "Seven red lanterns hang above the river."):
        times(model, [prepared(model, text)], [0])
    [(rows, heads, _)] = shapes
    assert (rows, heads) == (1, 2)
    assert len(acoustic._pointer._offsets) == BEHIND + AHEAD


async def test_words_ride_with_the_sound_and_are_marked_as_the_models_own(model: SpeechModel) -> None:
    text = "Seven red lanterns hang above the river. One moment please."
    engine = Engine(model, EngineSettings())
    engine.start()
    synthesizer = Synthesizer(engine, TextDesk(reads="letters"))
    words: list[SpokenWord] = []
    end = 0
    async for event in synthesizer.synthesize(Request("r", text, "", seed=4), Terms(paced=False)):
        if isinstance(event, Audio):
            end = event.start + event.samples
            words += event.words
    await synthesizer.close()
    assert engine.stop()
    assert " ".join(word.text for word in words) == text.replace(".", "")
    assert all(word.exact for word in words)
    edges = [edge for word in words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert edges[-1] <= end
