"""The acoustic model: timing, rows that do not touch each other, causality."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rhapsode_server.models.ion.acoustic import (
    LEAD,
    MELS_PER_FRAME,
    ROWS_AT_ONCE,
    IonAcoustic,
    timing,
    word_times,
)
from rhapsode_server.models.ion.frontend import LONGEST_TOKEN, MOST_TOKENS, IonFrontend, IonPrompt
from rhapsode_server.models.ion.network import AcousticNetwork, Alignment, Prosody
from torch import Tensor

from .conftest import utterance

LONG = "yes the apple, the bed. yes, the apple to the bed. the bed to the apple to bed."


def prepare(text: str, speed: float = 1.0) -> IonPrompt:
    return IonFrontend(MELS_PER_FRAME).prepare(utterance(text, speed))


def speak(acoustic: IonAcoustic, prompt: IonPrompt) -> Tensor:
    """All frames [n, mels, channels] of a prompt alone in the only row."""
    state, frames = acoustic.new_state(1), []
    acoustic.prefill(state, [0], [prompt])
    while True:
        step = acoustic.decode(state, torch.tensor([0]))
        frames.append(step.frames[0])
        if step.stopped[0]:
            return torch.stack(frames)


lengths = st.lists(st.floats(0.2, 60.0), min_size=2, max_size=40)


@given(lengths, st.floats(0.5, 2.0), st.integers(1, 10))
@example([0.25, 0.25], 1.0, 1)
def test_timing_holds_together(durations: list[float], speed: float, closing: int) -> None:
    plan = timing(torch.tensor(durations), speed, closing)
    ends = plan.ends.tolist()
    assert ends == sorted(ends)
    assert plan.frames >= 1
    assert 0 <= plan.skip <= max(0, ends[0] - LEAD)
    assert ends[-1] >= plan.skip + plan.frames * MELS_PER_FRAME, "no frame is asked for past the last token"
    spoken = ends[-2] - plan.skip
    assert spoken <= plan.frames * MELS_PER_FRAME < spoken + closing + MELS_PER_FRAME


@given(lengths, st.floats(0.5, 2.0))
def test_rounding_never_drifts(durations: list[float], speed: float) -> None:
    exact = torch.tensor(durations).clamp(max=LONGEST_TOKEN).double().cumsum(0) / speed
    ends = timing(torch.tensor(durations), speed, 4).ends
    assert (ends[:-1] - exact[:-1]).abs().max() <= 0.5


def test_the_first_silence_is_cut_to_its_end() -> None:
    assert timing(torch.tensor([12.0, 8.0, 9.0]), 1.0, 4).skip == 12 - LEAD
    assert timing(torch.tensor([1.0, 8.0, 9.0]), 1.0, 4).skip == 0


def test_word_times_follow_the_tokens() -> None:
    prompt = prepare("yes, bed.")
    times = word_times(prompt.tokens, [2, 4, 6, 9, 12, 14, 16, 20, 24])
    assert [(time.index, time.start, time.end) for time in times] == [
        (0, 2 * 256, 9 * 256),
        (1, 12 * 256, 20 * 256),
    ]
    assert all(time.exact for time in times)


def test_speed_is_real(network: AcousticNetwork) -> None:
    acoustic = IonAcoustic(network)
    normal, fast, slow = (len(speak(acoustic, prepare(LONG, speed))) for speed in (1.0, 2.0, 0.5))
    assert fast == pytest.approx(normal / 2, abs=2)
    assert slow == pytest.approx(normal * 2, abs=2)


def test_frames_are_finite_and_of_the_promised_shape(network: AcousticNetwork) -> None:
    acoustic = IonAcoustic(network)
    frames = speak(acoustic, prepare(LONG))
    assert frames.shape[1:] == acoustic.frame_shape
    assert torch.isfinite(frames).all()
    assert len(frames) <= prepare(LONG).max_frames


def test_word_times_are_known_after_prefill_and_lie_within_the_sound(network: AcousticNetwork) -> None:
    acoustic, prompt = IonAcoustic(network), prepare(LONG)
    state = acoustic.new_state(2)
    acoustic.prefill(state, [1], [prompt])
    times = acoustic.word_times(state, 1)
    assert [time.index for time in times] == list(range(len(LONG.split())))
    assert all(a.start < a.end <= b.start for a, b in pairwise(times))
    assert times[0].start <= LEAD * 256
    assert times[-1].end <= len(speak(acoustic, prompt)) * MELS_PER_FRAME * 256
    assert acoustic.word_times(state, 0) == ()


def test_rows_do_not_touch_each_other(network: AcousticNetwork) -> None:
    """Three texts in rows 4, 0 and 2, joining at different steps, equal each alone."""
    acoustic = IonAcoustic(network)
    prompts = [prepare(LONG), prepare("yes."), prepare("the apple, the bed.", 1.5)]
    alone = [speak(acoustic, prompt) for prompt in prompts]
    state, rows, made = acoustic.new_state(5), [4, 0, 2], [[], [], []]  # type: ignore[var-annotated]
    running: list[int] = []
    for step in range(200):
        if step < 3:
            acoustic.prefill(state, [rows[step]], [prompts[step]])
            running.append(step)
        if not running:
            break
        out = acoustic.decode(state, torch.tensor([rows[one] for one in running]))
        for place, one in enumerate(running):
            made[one].append(out.frames[place])
        running = [one for place, one in enumerate(running) if not out.stopped[place]]
    for frames, want in zip(made, alone, strict=True):
        torch.testing.assert_close(torch.stack(frames), want, atol=1e-5, rtol=0)


def test_more_rows_than_are_decoded_at_once(network: AcousticNetwork) -> None:
    acoustic, prompt, count = IonAcoustic(network), prepare(LONG), ROWS_AT_ONCE + 3
    state = acoustic.new_state(count)
    acoustic.prefill(state, list(range(count)), [prompt] * count)
    want = speak(acoustic, prompt)[:2]
    for step in range(2):
        out = acoustic.decode(state, torch.arange(count))
        assert out.frames.shape[0] == out.stopped.shape[0] == count
        torch.testing.assert_close(out.frames, want[step].expand(count, -1, -1), atol=1e-5, rtol=0)


def test_a_row_is_as_new_after_prefill(network: AcousticNetwork) -> None:
    acoustic = IonAcoustic(network)
    state = acoustic.new_state(1)
    acoustic.prefill(state, [0], [prepare(LONG)])
    for _ in range(3):
        acoustic.decode(state, torch.tensor([0]))
    other = prepare(f"the bed. {LONG}")
    acoustic.prefill(state, [0], [other])
    frames = [acoustic.decode(state, torch.tensor([0])).frames[0] for _ in range(2)]
    assert torch.equal(torch.stack(frames), speak(acoustic, other)[:2])


def test_a_step_that_fails_moves_nothing(network: AcousticNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    acoustic = IonAcoustic(network)
    state = acoustic.new_state(1)
    acoustic.prefill(state, [0], [prepare(LONG)])
    with monkeypatch.context() as patch:
        patch.setattr(network.leave, "forward", _broken)
        with pytest.raises(RuntimeError, match="broken"):
            acoustic.decode(state, torch.tensor([0]))
    assert torch.equal(acoustic.decode(state, torch.tensor([0])).frames[0], speak(acoustic, prepare(LONG))[0])


def _broken(_: Tensor) -> Tensor:
    raise RuntimeError("broken")


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=8), st.integers(0, 2**31))
def test_the_decoder_is_the_same_in_steps_of_any_size(sizes: list[int], seed: int) -> None:
    """Streaming in pieces equals one call over all positions: the memory is all that is needed."""
    torch.manual_seed(seed)
    from rhapsode_server.models.ion.network import AcousticConfig

    config = AcousticConfig(width=8, encoder_layers=1, decoder_width=8, decoder_layers=2, heads=2, reach=4)
    network = AcousticNetwork(config).eval()
    aligned = torch.randn(2, sum(sizes) * config.stack, config.width + 5)
    with torch.inference_mode():
        start = network.tails(2, aligned.device)
        whole, _ = network.decode(aligned, start, torch.zeros(2, dtype=torch.long))
        tails, seen, parts = start, 0, []
        for size in sizes:
            piece = aligned[:, seen * config.stack : (seen + size) * config.stack]
            made, tails = network.decode(piece, tails, torch.full((2,), seen))
            parts.append(made)
            seen += size
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=0)


def test_the_encoder_does_not_see_padding(network: AcousticNetwork) -> None:
    tokens = torch.tensor([[token.features() for token in prepare(LONG).tokens]])
    short, speaker = tokens[:, :9], torch.tensor([1])

    def encode(shown: Tensor, present: int) -> Prosody:
        return network.encode(shown, speaker, torch.arange(shown.shape[1])[None] < present)

    alone, padded = encode(short, 9), encode(tokens, 9)
    torch.testing.assert_close(padded.vectors[:, :9], alone.vectors, atol=1e-5, rtol=0)
    torch.testing.assert_close(padded.frames[:, :9], alone.frames, atol=1e-4, rtol=0)


def test_alignment_finds_each_frame_its_token_and_its_place_in_it() -> None:
    ends = torch.tensor([[3, 3, 5]])
    alignment = Alignment(ends, torch.tensor([[0.0, 0.0, 1.0, 1.0, 2.0, 2.0]]))
    token, features = alignment.at(torch.tensor([0]), torch.arange(6)[None])
    assert token[0].tolist() == [0, 0, 0, 2, 2, 2], "a token of no frames is passed over; the last one lasts"
    assert features[0, :5, 0].tolist() == pytest.approx([1 / 6, 3 / 6, 5 / 6, 1 / 4, 3 / 4])
    assert features[0, :, 4].diff().min() >= 0, "straight lines between rising points rise"


def test_a_row_has_room_for_the_longest_prompt(network: AcousticNetwork) -> None:
    acoustic = IonAcoustic(network)
    state = acoustic.new_state(1)
    words = " ".join(["bed,"] * ((MOST_TOKENS - 1) // 4))
    prompt = prepare(words)
    assert prompt.positions > MOST_TOKENS - 4
    acoustic.prefill(state, [0], [prompt])
    assert not acoustic.decode(state, torch.tensor([0])).stopped[0]
