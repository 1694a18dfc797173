"""What every family of speech models promises: the protocols between the engine and a model.

A speech model is three things: a text frontend (piece and voice -> prompt), an acoustic model
(prompt -> frames, one decode step at a time) and a vocoder (frames -> waveform, in windows).
A *frame* is whatever one decode step leaves behind. The engine counts frames and never looks inside.

What lives here: protocols and the data that crosses them. What must not: any family, the engine,
a thread, a device decision. Imports core and torch only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor

from rhapsode_server.core import Chunking, Piece, SamplingParams, Voice, Window, WordTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A Piece made ready for one family, which subclasses it with typed fields of its own.

    `positions` is how many rows of cache it needs at worst (what `slots.acquire` is asked for),
    `max_frames` the most frames it may ever make: the scheduler ends it there with LENGTH.
    `seed` addresses its noise together with the frame's number. `allowance` is the number of frames that
    may be made before more text is fed (Feedable); None: the text is complete.
    """

    positions: int
    max_frames: int
    seed: int = 0
    allowance: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """More text for a row in flight, made ready; its family subclasses it.

    `allowance` and `max_frames` take the place of the prompt's: with None the text is complete. The row's
    positions were reserved with the prompt, so `max_frames` is never more than it was.
    """

    allowance: int | None
    max_frames: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """What the frontend is given: a piece of text and how to speak it."""

    piece: Piece
    voice: Voice
    speed: float = 1.0
    seed: int = 0
    language: str = ""
    instruction: str = ""
    sampling: SamplingParams = SamplingParams()


class TextFrontend(Protocol):
    """Piece and voice -> Prompt, on a worker thread; must be safe to call from several at once."""

    reads: Literal["phones", "letters"]
    """Whether `Word.phones` must be filled in before `prepare`."""

    speed_range: tuple[float, float]
    """Speeds this family can honour; (1.0, 1.0) where speed is not real."""

    longest_piece: int
    """Most characters of normalised text that one Prompt may hold; the splitter keeps below it."""

    def prepare(self, utterance: Utterance) -> Prompt:
        """Make the prompt.

        Raises errors.TextRefused for text without anything to speak, errors.SettingUnsupported for a
        sampling setting, instruction or language this family has not got.
        """
        ...


class TextFeed(Protocol):
    """One text on its way in. On a worker thread, one call at a time.

    The first thing that either call returns is the Prompt, everything after it an Addition; None means
    that nothing new is certain yet. What comes out in the end does not depend on how the text was cut.
    """

    def feed(self, text: str) -> Prompt | Addition | None:
        """Add a fragment. Raises errors.TextRefused where the text has become too long for one prompt."""
        ...

    def finish(self) -> Prompt | Addition:
        """No more will come. Raises errors.TextRefused where there was nothing to speak."""
        ...


@runtime_checkable
class FeedingFrontend(Protocol):
    """A text frontend that can begin before it has seen the whole text."""

    def open(self, utterance: Utterance) -> TextFeed:
        """Begin a text; `utterance.piece` is not looked at. Raises what `prepare` raises for the rest."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """What one decode step left behind, one row per slot that was decoded.

    frames [B, *frame_shape], on the model's device. valid [B] bool: the frame is speech and is kept.
    stopped [B] bool: no further frame follows. runaway [B] bool, where the family can tell: the model
    has lost the text, and the sequence ends here with that reason. broken [B] bool, where frames cannot show
    it themselves because they are whole numbers: what the row computed is not a number, and it fails. The
    runner moves all of them to the host in one copy.
    """

    frames: Tensor
    valid: Tensor
    stopped: Tensor
    runaway: Tensor | None = None
    broken: Tensor | None = None


State = Any
"""Per-request device state: tensors whose first dimension is the slot. Only its family looks inside."""


class AcousticModel(Protocol):
    """prompt -> frames. Prefill fills rows, decode emits; every frame, the first too, comes from decode."""

    frame_shape: tuple[int, ...]
    frame_rate: float

    def new_state(self, slots: int) -> State:
        """Rows for `slots` requests at a time, each of the model's `positions`."""
        ...

    def prefill(self, state: State, slots: list[int], prompts: Sequence[Prompt]) -> None:
        """Overwrite the rows `slots` with what `prompts` need for their first decode."""
        ...

    def decode(self, state: State, slots: Tensor) -> Step:
        """Advance the rows `slots` [B] int64, all different, by one frame each.

        A call that raises must leave every row where it was, so that the runner can try halves of the
        batch and find the guilty row: counters move last.
        """
        ...


@runtime_checkable
class Feedable(Protocol):
    """An acoustic model whose rows take more text while they are decoded.

    A row that has made `allowance` frames must not be decoded until it is fed: the model would take the
    missing text for the end.
    """

    def feed(self, state: State, slot: int, addition: Addition) -> None:
        """Add text to a row, between steps."""
        ...


@runtime_checkable
class Aligned(Protocol):
    """An acoustic model that knows when each word sounds."""

    def word_times(self, state: State, slot: int) -> Sequence[WordTime]:
        """Times of the words known so far in this row; the same word is never revised."""
        ...


class Vocoder(Protocol):
    """frames -> waveform, in windows. A stateless one recomputes `chunking.left` frames of context."""

    sample_rate: int
    samples_per_frame: int
    chunking: Chunking

    def new_state(self, slots: int) -> State:
        """Rows for `slots` requests at a time; None for a stateless vocoder."""
        ...

    def reset(self, state: State, slots: list[int]) -> None:
        """Make these rows as new: called before a request's first window."""
        ...

    def vocode(
        self, state: State, slots: list[int], frames: Sequence[Tensor], windows: Sequence[Window]
    ) -> list[Tensor]:
        """Sound of each window's wanted frames.

        frames[i] is [windows[i].stop - windows[i].start, *frame_shape]. Returns float32 tensors
        [windows[i].wanted * samples_per_frame] in -1..1; an empty window gives an empty tensor.
        A request's windows come in order, and a request appears at most once in a call.
        """
        ...


@runtime_checkable
class Primed(Protocol):
    """A vocoder whose rows may go on from sound that was there before the first frame (a voice's clip)."""

    def prime(self, state: State, slots: list[int], prompts: Sequence[Prompt]) -> None:
        """Let rows that were just reset go on from what their prompts carry, where they carry anything."""
        ...


class Cloner(Protocol):
    """Makes voices from recordings. Safe to call from several worker threads."""

    sample_rate: int
    """Rate in Hz of the samples it wants."""

    shortest: float
    longest: float
    """Seconds that a clip may last."""

    longest_transcript: int
    """Characters."""

    def clone(self, name: str, samples: Tensor, transcript: str = "") -> Voice:
        """The voice of a clip, float32 [N]; `transcript` is all that is said in it, or empty.

        All that depends on the clip alone is computed here, once. Raises errors.InvalidRequest.
        """
        ...


class Designer(Protocol):
    """Makes voices from descriptions. Safe to call from several worker threads."""

    longest: int
    """Characters of a description."""

    def design(self, name: str, description: str) -> Voice:
        """The voice that is so described. Raises errors.InvalidRequest."""
        ...


@dataclass(frozen=True, slots=True)
class SpeechModel:
    """One loaded checkpoint. `voices` maps names to voices; exactly one of them is the default."""

    name: str
    family: str
    frontend: TextFrontend
    acoustic: AcousticModel
    vocoder: Vocoder
    voices: Mapping[str, Voice]
    sampling: tuple[str, ...] = ()
    """Names of the SamplingParams that this family honours."""
    slots: int = 32
    """Rows that are sensible where the settings do not say."""
    positions: int = 2048
    """Cache positions of one row: no Prompt of this model needs more."""
    vocode_frames: int = 0
    """Most frames shown to the vocoder in one step, so that first sounds never wait long; 0: no limit."""
    threads: int = 0
    """Threads of one matrix product that serve it best on a CPU; 0: one for each core."""
    silence: float = 0.0
    """Seconds without a sound after which a row that still makes frames has lost the text (RUNAWAY); 0: such
    silence is never looked for, because the model cannot run away."""
    details: Mapping[str, str] = field(default_factory=dict)
    """Facts worth printing at start: parameters, dtype, device, digest."""
    cloner: Cloner | None = None
    """Where voices can be made from recordings."""
    designer: Designer | None = None
    """Where voices can be made from descriptions."""

    @property
    def sample_rate(self) -> int:
        """Native rate in Hz."""
        return self.vocoder.sample_rate
