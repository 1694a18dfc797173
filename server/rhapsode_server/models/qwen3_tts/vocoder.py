"""Frames to sound, slot by slot: the stateful codec behind the engine's windows.

What must not live here: the codec's layers. Windows need no context: every row keeps what its codec needs.

`seams` reproduces what the reference implementation's output sounds like: it decodes 300 frames at a time,
each chunk but the first warmed up with the 25 frames before it, so the memory is emptied at those frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rhapsode_server.core import Chunking, Window
from rhapsode_server.models.base import Prompt
from rhapsode_server.models.qwen3_tts.codec import Codec
from rhapsode_server.models.qwen3_tts.frontend import QwenPrompt
from rhapsode_server.models.qwen3_tts.vocoder_state import CodecRow, VocoderState


@dataclass(frozen=True, slots=True)
class Seams:
    """The codec's memory is emptied every `every` frames and warmed up with `context` frames."""

    every: int
    context: int


OFFICIAL_SEAMS = Seams(every=300, context=25)


PRIMED_AT_ONCE = 50
"""Frames of a clip heard in one call: the codec's last layers need 0.7 MB of memory per frame and layer."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames that one row hears in one codec call: `codes` [T, codebooks]; their sound is `wanted` or not.

    `restart`: the memory is emptied first, and these frames, heard before, only warm it up.
    """

    row: int
    codes: Tensor
    wanted: bool = True
    restart: bool = False


class QwenVocoder:
    """Stateful vocoder over slotted rows."""

    def __init__(self, codec: Codec, *, chunking: Chunking, seams: Seams | None = None) -> None:
        self.codec = codec
        self.sample_rate = codec.config.sample_rate
        self.samples_per_frame = codec.samples_per_frame
        self.chunking = chunking
        self._seams = seams

    def new_state(self, slots: int) -> VocoderState:
        """Rows for `slots` requests."""
        return VocoderState(self.codec, slots, self._seams.context if self._seams else 0)

    def reset(self, state: VocoderState, slots: list[int]) -> None:
        """Make these rows as new."""
        for slot in slots:
            state.clear(slot)

    def prime(self, state: VocoderState, slots: list[int], prompts: Sequence[Prompt]) -> None:
        """Let rows go on from their prompts' reference clips, where they have one."""
        for slot, prompt in zip(slots, prompts, strict=True):
            if isinstance(prompt, QwenPrompt) and prompt.clip is not None:
                state.put(slot, prompt.clip.primed)

    @torch.inference_mode()
    def primed(self, codes: Tensor) -> CodecRow:
        """The row that hearing `codes` [F, codebooks] leaves."""
        state = self.new_state(1)
        for begin in range(0, len(codes), PRIMED_AT_ONCE):
            part = codes[begin : begin + PRIMED_AT_ONCE]
            window = Window(begin, begin, begin + len(part), begin + len(part), last=False)
            self.vocode(state, [0], [part], [window])
        return state.row(0)

    def vocode(
        self,
        state: VocoderState,
        slots: list[int],
        frames: Sequence[Tensor],
        windows: Sequence[Window],
    ) -> list[Tensor]:
        """Sound of the windows' frames, [wanted * samples_per_frame] float32 each.

        Works on copies of the rows, so that a call that raises leaves every row where it was.
        """
        device = self.codec.tables.device
        work = state.copies(slots)
        plans = []
        for row, (codes, window) in enumerate(zip(frames, windows, strict=True)):
            wanted = codes[window.begin - window.start : window.end - window.start]
            plans.append(self._stretches(work, row, wanted.to(device)))
        sounds: list[list[Tensor]] = [[] for _ in slots]
        for turn in range(max(map(len, plans), default=0)):
            now = [plan[turn] for plan in plans if turn < len(plan)]
            for stretch, sound in self._turn(work, now):
                if stretch.wanted:
                    sounds[stretch.row].append(sound)
        state.take_back(slots, work)
        return [torch.cat(parts) if parts else torch.zeros(0, device=device) for parts in sounds]

    def _stretches(self, work: VocoderState, row: int, codes: Tensor) -> list[Stretch]:
        """Cut `codes` at the seams, each seam followed by the frames that warm the new memory up."""
        if self._seams is None or not len(codes):
            return [Stretch(row, codes)] if len(codes) else []
        every, context = self._seams.every, self._seams.context
        past = torch.cat((work.tensors["recent"][row], codes)) if context else codes
        stretches, begin = [], 0
        while begin < len(codes):
            since = (work.heard[row] + begin) % every
            if since == 0 and work.heard[row] + begin > 0:
                warm = past[begin : begin + context]
                stretches.append(Stretch(row, warm, wanted=False, restart=True))
            end = min(len(codes), begin + every - since)
            stretches.append(Stretch(row, codes[begin:end]))
            begin = end
        return stretches

    def _turn(self, work: VocoderState, stretches: list[Stretch]) -> list[tuple[Stretch, Tensor]]:
        """One stretch of each row; rows with equally many frames share a codec call."""
        groups: dict[int, list[Stretch]] = defaultdict(list)
        for stretch in stretches:
            groups[len(stretch.codes)].append(stretch)
        done: list[tuple[Stretch, Tensor]] = []
        for group in groups.values():
            done += zip(group, self._call(work, group), strict=True)
        return done

    def _call(self, work: VocoderState, group: list[Stretch]) -> Tensor:
        for stretch in group:
            if stretch.restart:
                work.restart(stretch.row)
        rows = [stretch.row for stretch in group]
        codes = torch.stack([stretch.codes for stretch in group])
        everyone = rows == list(range(len(work.position)))
        where = slice(None) if everyone else torch.tensor(rows, device=codes.device)
        start = torch.tensor([work.position[row] for row in rows], device=codes.device)
        memory = work.memory(where)
        sound: Tensor = self.codec(codes, start, memory)
        work.store(where, memory)
        for stretch in group:
            self._count(work, stretch)
        return sound

    @staticmethod
    def _count(work: VocoderState, stretch: Stretch) -> None:
        """Count the frames and keep the last of them for the next seam."""
        row, codes = stretch.row, stretch.codes
        work.position[row] += len(codes)
        if stretch.restart:
            return
        work.heard[row] += len(codes)
        recent = work.tensors.get("recent")
        if recent is not None:
            joined = torch.cat((recent[row], codes))
            recent[row] = joined[len(joined) - recent.shape[1] :]
