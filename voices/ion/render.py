"""Stage 2, render: flite speaks every sentence of TEXT; sound and alignment go to shards.

    python voices/ion/render.py            # two processes; finished shards are kept

A shard is an .npz of 100 sentences: samples (int16, joined), pitch (hertz every 5 ms, joined), and
a JSON list with each sentence's text, lengths, words, marks and phones. Must not live here: mel.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Collection
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from paths import PARTS, RENDERED, TEXT
from teacher import Spoken, Teacher
from tqdm import tqdm

SHARD = 100
Job = tuple[str, str, int, tuple[str, ...]]


def jobs(parts: Collection[str]) -> list[Job]:
    """(part, speaker, number, sentences) for every shard of `parts`, the speakers interleaved."""
    grouped: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in TEXT.read_text().splitlines():
        part, speaker, sentence = line.split("\t")
        grouped[part, speaker].append(sentence)
    found = [
        (part, speaker, start // SHARD, tuple(sentences[start : start + SHARD]))
        for (part, speaker), sentences in grouped.items()
        if part in parts
        for start in range(0, len(sentences), SHARD)
    ]
    return sorted(found, key=lambda job: (job[2], job[0], job[1]))


def shard_path(part: str, speaker: str, number: int) -> Path:
    """Where a shard lies."""
    return RENDERED / f"{part}-{speaker}-{number:04d}.npz"


def describe(sentence: str, spoken: Spoken) -> dict[str, object]:
    """The JSON of one sentence."""
    return {
        "text": sentence,
        "samples": len(spoken.samples),
        "pitch": len(spoken.pitch),
        "words": spoken.words,
        "marks": spoken.marks,
        "phones": [(phone.name, phone.end, phone.word, phone.stress) for phone in spoken.phones],
    }


def render(job: Job) -> int:
    """Write one shard, whole or not at all; returns its sentences."""
    part, speaker, number, sentences = job
    path = shard_path(part, speaker, number)
    if path.exists():
        return len(sentences)
    teacher = Teacher(speaker)
    spoken = [teacher.speak(sentence) for sentence in sentences]
    described = [describe(sentence, one) for sentence, one in zip(sentences, spoken, strict=True)]
    draft = path.with_suffix(".tmp.npz")
    np.savez(
        draft,
        samples=np.concatenate([one.samples for one in spoken]),
        pitch=np.concatenate([one.pitch for one in spoken]),
        sentences=np.frombuffer(json.dumps(described).encode(), np.uint8),
    )
    draft.rename(path)
    return len(sentences)


def render_all(parts: Collection[str], processes: int) -> None:
    """Render what is missing of `parts`."""
    RENDERED.mkdir(parents=True, exist_ok=True)
    work = jobs(parts)
    with Pool(processes) as pool, tqdm(total=sum(len(job[3]) for job in work), desc="rendered") as bar:
        for count in pool.imap_unordered(render, work):
            bar.update(count)


def main() -> None:
    """Both parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    render_all(PARTS, parser.parse_args().processes)


if __name__ == "__main__":
    main()
