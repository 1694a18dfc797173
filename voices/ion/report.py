"""Stage 7, report: what the shipped voice can do, measured on sentences it was never trained on.

    python voices/ion/report.py                    # `make voice-report`; about half an hour on one core

Word error rate by pocketsphinx, the pupil beside its teacher on the same sentences, and durations beside the
teacher's. The pupil is driven as the server drives it: text desk, frontend, acoustic model step by step,
vocoder in windows. Results go to REPORT (JSON) and, as a table, to the terminal. Exit status 1 where a mark
is missed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from pathlib import Path

import numpy as np
import text
import torch
from listen import RATE, Listener, errors, words_of
from numpy.typing import NDArray
from paths import RENDERED, TEXT, WORK
from render import render_all
from rhapsode_server.core import Window
from rhapsode_server.models.base import SpeechModel, Utterance
from rhapsode_server.models.ion import load
from rhapsode_server.text.desk import TextDesk
from teacher import SPEAKERS
from tqdm import tqdm

CARD = Path(__file__).parent / "MODEL_CARD.md"
BEGIN, END = "<!-- report -->", "<!-- /report -->"
REPORT = WORK / "report.json"
TEACHER = WORK / "teacher.json"
"""What was heard of the teacher, which does not change: sentence by sentence, so that a report can go on."""
WORST_ABOVE_TEACHER = 0.05
LARGEST_STRAY = 0.30
OTHER_READING = 0.20
"""Share of phones more or fewer than the teacher's."""
Sound = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Held:
    """A held-out sentence, the teacher's sound, seconds of speech in it (no silences around) and phones."""

    text: str
    speaker: str
    sound: Sound
    speech: float
    phones: int


@dataclass(frozen=True, slots=True)
class Said:
    """The pupil's sound, the samples where speech begins and ends in it, and the phones spoken.

    `whole` is False where it did not end by itself.
    """

    sound: Sound
    begin: int
    end: int
    phones: int
    whole: bool

    @property
    def speech(self) -> float:
        """Seconds of speech, pauses inside counted."""
        return (self.end - self.begin) / RATE


def prepare() -> None:
    """Make the held-out sentences and the teacher's sound of them, unless they are there (a minute)."""
    if not TEXT.exists():
        text.write()
    render_all(("held",), processes=2)


def held_out(speaker: str) -> Iterator[Held]:
    """Held-out sentences of a speaker in the order of the shards."""
    for shard in sorted(RENDERED.glob(f"held-{speaker}-*[0-9].npz")):
        data, start = np.load(shard), 0
        samples = data["samples"]
        for sentence in json.loads(bytes(data["sentences"])):
            sound = samples[start : start + sentence["samples"]]
            start += sentence["samples"]
            ends = [phone[1] for phone in sentence["phones"]]
            phones = sum(phone[2] >= 0 for phone in sentence["phones"])
            yield Held(sentence["text"], speaker, sound, ends[-2] - ends[0], phones)


def plain_sentences(speaker: str, count: int, words: range) -> list[Held]:
    """The first `count` sentences of that many words without figures or single letters.

    Those have several readings ("1600" is sixteen hundred or one thousand six hundred), and teacher and
    text desk may choose differently.
    """
    fit = (
        one
        for one in held_out(speaker)
        if len(one.text.split()) in words and not re.search(r"\d|\b[B-HJ-Z]\b|o'clock", one.text)
    )
    return list(islice(fit, count))


class Pupil:
    """The shipped voice, offline, one utterance at a time."""

    def __init__(self, model: SpeechModel) -> None:
        self._model = model
        self._desk = TextDesk(reads="phones", longest=model.frontend.longest_piece)
        self._acoustic, self._vocoder = model.acoustic.new_state(1), model.vocoder.new_state(1)

    def say(self, text: str, speaker: str) -> Said:
        """All pieces of `text`, joined with the pauses that the desk asks for."""
        voice = self._model.voices["ion" if speaker == "slt" else f"ion-{speaker}"]
        return reduce(join, [self._piece(Utterance(piece, voice)) for piece in self._desk.pieces(text)])

    def _piece(self, utterance: Utterance) -> Said:
        prompt, row = self._model.frontend.prepare(utterance), torch.tensor([0])
        self._model.acoustic.prefill(self._acoustic, [0], [prompt])
        frames, stopped = [], False
        while not stopped and len(frames) < prompt.max_frames:
            step = self._model.acoustic.decode(self._acoustic, row)
            frames.append(step.frames[0])
            stopped = bool(step.stopped[0])
        times = self._model.acoustic.word_times(self._acoustic, 0)  # type: ignore[attr-defined]
        phones = sum(token.word >= 0 for token in prompt.tokens)  # type: ignore[attr-defined]
        pause = np.zeros(int(utterance.piece.pause * RATE), np.int16)
        sound = np.concatenate((self._vocode(frames), pause))
        return Said(sound, times[0].start, times[-1].end, phones, stopped)

    def _vocode(self, frames: list[torch.Tensor]) -> Sound:
        self._model.vocoder.reset(self._vocoder, [0])
        window = Window(0, 0, len(frames), len(frames), True)
        sound = self._model.vocoder.vocode(self._vocoder, [0], [torch.stack(frames)], [window])[0]
        return (sound.numpy() * 32767).astype(np.int16)


def join(first: Said, second: Said) -> Said:
    """One after the other."""
    sound = np.concatenate((first.sound, second.sound))
    end = len(first.sound) + second.end
    return Said(sound, first.begin, end, first.phones + second.phones, first.whole and second.whole)


def silence_around(sound: Sound) -> Sound:
    """A quarter of a second on both sides, for pupil and teacher alike: the listener needs it."""
    still = np.zeros(4000, np.int16)
    return np.concatenate((still, sound, still))


class TeacherHeard:
    """Words heard of the teacher, kept in TEACHER."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._kept: dict[str, list[str]] = json.loads(TEACHER.read_text()) if TEACHER.exists() else {}

    def hear(self, held: Held) -> list[str]:
        """From the file, or listen and write."""
        key = f"{held.speaker}: {held.text}"
        if key not in self._kept:
            self._kept[key] = self._listener.hear(silence_around(held.sound))
            TEACHER.write_text(json.dumps(self._kept))
        return self._kept[key]


def word_errors(pupil: Pupil, listener: Listener, speaker: str, count: int) -> dict[str, float]:
    """Word error rates of teacher and pupil on the same sentences."""
    wrong, words, teacher = {"teacher": 0, "pupil": 0}, 0, TeacherHeard(listener)
    sentences = plain_sentences(speaker, count, range(4, 17))
    for held in tqdm(sentences, desc=f"listening to {speaker}"):
        said = words_of(held.text)
        words += len(said)
        wrong["teacher"] += errors(said, teacher.hear(held))
        wrong["pupil"] += errors(said, listener.hear(silence_around(pupil.say(held.text, speaker).sound)))
    return {"sentences": len(sentences), "words": words, **{who: wrong[who] / words for who in wrong}}


def durations(pupil: Pupil, count: int) -> dict[str, float]:
    """How far the pupil's speech strays from the teacher's in length, over all speakers.

    Where the two read a word differently (flite spells "conchs" letter by letter), lengths say nothing:
    such sentences, told by the number of phones, are counted apart.
    """
    each = -(-count // len(SPEAKERS))
    strays, unfinished, differently = [], 0, 0
    for speaker in SPEAKERS:
        chosen = plain_sentences(speaker, each, range(1, 25))
        for held in tqdm(chosen, desc=f"timing {speaker}"):
            said = pupil.say(held.text, speaker)
            unfinished += not said.whole
            if abs(said.phones / held.phones - 1) > OTHER_READING:
                differently += 1
            else:
                strays.append(said.speech / held.speech - 1)
    size = np.abs(strays)
    return {
        "sentences": len(strays),
        "differently": differently,
        "mean": float(np.mean(strays)),
        "p95": float(np.quantile(size, 0.95)),
        "largest": float(size.max()),
        "beyond": int((size > LARGEST_STRAY).sum()),
        "unfinished": unfinished,
    }


def table(result: dict[str, dict[str, float]]) -> str:
    """Markdown, as in the model card."""
    lines = [
        "| voice | sentences | words | WER teacher | WER ion | difference |",
        "|---|---|---|---|---|---|",
    ]
    for speaker in SPEAKERS:
        row = result[speaker]
        cells = f"{row['teacher']:.3f} | {row['pupil']:.3f} | {row['pupil'] - row['teacher']:+.3f}"
        lines.append(f"| {speaker} | {row['sentences']} | {row['words']} | {cells} |")
    row = result["durations"]
    lines += [
        "",
        f"Durations on {row['sentences']} sentences: mean {row['mean']:+.1%} of the teacher's, 95 % within "
        f"{row['p95']:.1%}, the largest {row['largest']:.1%}; {row['beyond']} beyond {LARGEST_STRAY:.0%}, "
        f"{row['unfinished']} that did not end by themselves, {row['differently']} more read differently.",
    ]
    return "\n".join(lines)


def into_card(lines: str) -> None:
    """Replace what stands between the card's two marks."""
    before, _, rest = CARD.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    CARD.write_text(f"{before}{BEGIN}\n{lines}\n{END}{after}")


def passed(result: dict[str, dict[str, float]]) -> bool:
    """Whether every mark is met."""
    heard = all(result[s]["pupil"] <= result[s]["teacher"] + WORST_ABOVE_TEACHER for s in SPEAKERS)
    return heard and not result["durations"]["beyond"] and not result["durations"]["unfinished"]


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voice", default="ion", help="`ion`, or a folder written by export.py")
    parser.add_argument("--sentences", type=int, default=100, help="per speaker, for the word error rate")
    parser.add_argument("--durations", type=int, default=510)
    parser.add_argument("--card", action="store_true", help="put the table into MODEL_CARD.md")
    parser.add_argument("--to", type=Path, default=REPORT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    prepare()
    pupil, listener = Pupil(load(given.voice)), Listener()
    result = {speaker: word_errors(pupil, listener, speaker, given.sentences) for speaker in SPEAKERS}
    result["durations"] = durations(pupil, given.durations)
    given.to.write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))
    if given.card:
        into_card(table(result))
    sys.exit(0 if passed(result) else 1)


if __name__ == "__main__":
    main()
