"""Stage 3, features: shards -> flat arrays that the training reads without copying.

    python voices/ion/features.py

Per part (train, held): `mel` float16 [frames, 82] (mel, voicing, scaled log pitch), `samples` int16 [frames *
256], `tokens` int16 [tokens, 5] (symbol, stress, place, function, word), `ends` float32 [tokens] (in frames,
not rounded), `pitch` float16 [tokens, 8] (four values, four weights), and an index of sentences. Must not
live here: models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from mel import HOP, RATE, log_mel
from numpy.typing import NDArray
from paths import FEATURES, PARTS, RENDERED
from rhapsode_server.models.ion.phones import PHONES, Token, pause, pause_after, word_tokens
from teacher import SPEAKERS
from tqdm import tqdm

POINTS = 4
PITCH_CENTRE, PITCH_SCALE = 5.0, 2.0
"""Scaled log pitch = (ln hertz - 5) * 2: about -1.5 (70 Hz) to 1 (245 Hz)."""
NAMES = {"mel": np.float16, "samples": np.int16, "tokens": np.int16, "ends": np.float32, "pitch": np.float16}


@dataclass(frozen=True, slots=True)
class Example:
    """One sentence's arrays, by the names of NAMES, and its line in the index."""

    arrays: dict[str, NDArray[np.generic]]
    line: dict[str, object]


def tokens_of(sentence: dict[str, object]) -> list[Token]:
    """flite's segments as tokens. Raises ValueError for words that flite left without phones."""
    words: list[str] = sentence["words"]  # type: ignore[assignment]
    marks: list[str] = sentence["marks"]  # type: ignore[assignment]
    phones: list[tuple[str, float, int, int]] = sentence["phones"]  # type: ignore[assignment]
    if max(word for _, _, word, _ in phones) != len(words) - 1:
        raise ValueError("a word without phones")
    tokens: list[Token] = []
    for word in range(len(words)):
        own = [(name, stress) for name, _, of, stress in phones if of == word]
        tokens += word_tokens(own, words[word].strip("_"), word)
    spoken = iter(tokens)
    done, last = [], -1
    for name, _, word, _ in phones:
        if name in PHONES:
            done.append(next(spoken))
            last = word
        else:
            done.append(pause("start") if last < 0 else pause(pause_after(marks[last])))
    return done


def contour(pitch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """hertz -> scaled log pitch without gaps, and voicing 0 or 1."""
    voiced = pitch > 30.0
    if not voiced.any():
        return np.zeros_like(pitch), np.zeros_like(pitch)
    time = np.arange(len(pitch))
    filled = np.interp(time, time[voiced], np.log(pitch[voiced]))
    return ((filled - PITCH_CENTRE) * PITCH_SCALE).astype(np.float32), voiced.astype(np.float32)


def points(
    ends: NDArray[np.float64], pitch: NDArray[np.float32], voiced: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[tokens, 2 * POINTS]: mean pitch in each equal part of each token, how much of it is voiced."""
    table = []
    for begin, end in zip(np.concatenate(([0.0], ends[:-1])), ends, strict=True):
        cuts = np.linspace(begin, end, POINTS + 1) * 200.0  # 200 pitch values a second
        spans = [slice(int(a), max(int(np.ceil(b)), int(a) + 1)) for a, b in pairwise(cuts)]
        spans = [slice(min(s.start, len(pitch) - 1), s.stop) for s in spans]
        table.append([pitch[s].mean() for s in spans] + [voiced[s].mean() for s in spans])
    return np.asarray(table, np.float32)


def example(sentence: dict[str, object], samples: NDArray[np.int16], hertz: NDArray[np.float32]) -> Example:
    """All features of one sentence."""
    mel = log_mel(torch.from_numpy(samples.astype(np.float32) / 32768.0)).numpy()
    frames = len(mel)
    pitch, voiced = contour(hertz)
    at = np.minimum((np.arange(1, frames + 1) * HOP / RATE * 200).astype(int), len(pitch) - 1)
    tokens = tokens_of(sentence)
    seconds = np.asarray([phone[1] for phone in sentence["phones"]])  # type: ignore[attr-defined]
    ends = np.minimum(seconds * RATE / HOP, frames)
    ends[-1] = frames
    arrays = {
        "mel": np.column_stack((mel, voiced[at] * 2 - 1, pitch[at])),
        "samples": samples[: frames * HOP],
        "tokens": np.asarray([(*token.features(), token.word) for token in tokens]),
        "ends": ends,
        "pitch": points(seconds, pitch, voiced),
    }
    return Example(arrays, {"text": sentence["text"], "frames": frames, "tokens": len(tokens)})


def examples(shard: Path) -> Iterator[Example]:
    """Every usable sentence of a shard."""
    data = np.load(shard)
    samples, pitch = data["samples"], data["pitch"]
    s = p = 0
    for sentence in json.loads(bytes(data["sentences"])):
        n, m = sentence["samples"], sentence["pitch"]
        try:
            yield example(sentence, samples[s : s + n], pitch[p : p + m])
        except ValueError:
            continue
        finally:
            s, p = s + n, p + m


def build(part: str) -> None:
    """Write one part's arrays."""
    FEATURES.mkdir(parents=True, exist_ok=True)
    files = {name: (FEATURES / f"{part}.{name}").open("wb") for name in NAMES}
    index = []
    for shard in tqdm(sorted(RENDERED.glob(f"{part}-*[0-9].npz")), desc=part):
        speaker = SPEAKERS.index(shard.name.split("-")[1])
        for one in examples(shard):
            for name, kind in NAMES.items():
                one.arrays[name].astype(kind).tofile(files[name])
            index.append({**one.line, "speaker": speaker})
    for file in files.values():
        file.close()
    (FEATURES / f"{part}.json").write_text(json.dumps(index))
    hours = sum(line["frames"] for line in index) * HOP / RATE / 3600
    print(f"{part}: {len(index)} sentences, {hours:.1f} hours")


def main() -> None:
    """Both parts."""
    torch.set_num_threads(1)
    for part in PARTS:
        build(part)


if __name__ == "__main__":
    main()
