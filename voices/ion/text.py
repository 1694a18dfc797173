"""Stage 1, text: collect sentences and give each a part (train or held) and a speaker.

    python voices/ion/text.py

Sources: example sentences and glosses of WordNet 3.0 (Debian `wordnet-base`), Debian `fortunes-min`,
and the templates of phrases.py. A sentence's part is fixed by its hash, so that a sentence held out
once stays held out whatever else changes. Must not live here: sound.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

from paths import SEED, TEXT
from phrases import SHORT, phrase
from teacher import SPEAKERS
from tqdm import tqdm

WORDNET = Path("/usr/share/wordnet")
FORTUNES = Path("/usr/share/games/fortunes")
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 ,;:.'?!-]*")
COUNT = 24_000
LONGEST = 24
"""Words. flite speaks about 2.5 words a second."""


def tidy(text: str) -> str | None:
    """A sentence with a capital and an end, or None where it is not plain enough to speak."""
    text = re.sub(r"\s+", " ", text.replace("`", "'").replace("--", ",")).strip(" ,;:-'")
    if not PLAIN.fullmatch(text) or len(text.split()) > LONGEST or len(text) > 160:
        return None
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".?!" else text + "."


def wordnet(quoted: bool) -> Iterator[str]:
    """Example sentences (quoted) or glosses (not quoted) of WordNet."""
    for part in ("noun", "verb", "adj", "adv"):
        for line in (WORDNET / f"data.{part}").read_text("ascii", "ignore").splitlines():
            gloss = line.partition(" | ")[2]
            examples = re.findall(r'"([^"]*)"', gloss)
            found = examples if quoted else [re.sub(r"\([^)]*\)", "", gloss).split('"')[0].split(";")[0]]
            yield from filter(None, map(tidy, filter(None, found)))


def fortunes() -> Iterator[str]:
    """One-line fortunes and riddles."""
    for name in ("fortunes", "riddles"):
        for entry in (FORTUNES / name).read_text("ascii", "ignore").split("\n%\n"):
            sentence = tidy(entry.split("\n\t\t--")[0]) if entry.strip() else None
            if sentence:
                yield sentence


def part_of(sentence: str) -> str:
    """`held` for one sentence in twelve, by hash of its letters; short answers are always trained."""
    if sentence in SHORT:
        return "train"
    letters = re.sub(r"[^a-z0-9]", "", sentence.lower())
    return "held" if hashlib.sha256(letters.encode()).digest()[0] % 12 == 0 else "train"


def collect(count: int, rng: Random) -> list[str]:
    """`count` different sentences: half from a voice agent's mouth, the rest from the books."""
    sources = [list(dict.fromkeys(source)) for source in (wordnet(True), wordnet(False), fortunes())]
    for source in sources:
        rng.shuffle(source)
    shares = (int(count * 0.45), int(count * 0.10), int(count * 0.03))
    books = [sentence for source, share in zip(sources, shares, strict=True) for sentence in source[:share]]
    chosen = dict.fromkeys([*SHORT, *books])
    with tqdm(total=count, initial=len(chosen), desc="sentences") as bar:
        while len(chosen) < count:
            chosen.setdefault(phrase(rng))
            bar.update(len(chosen) - bar.n)
    sentences = list(chosen)
    rng.shuffle(sentences)
    return sentences


def write(count: int = COUNT) -> None:
    """Write TEXT. Short answers are spoken by every speaker, all else by one."""
    sentences, lines = collect(count, Random(SEED)), []
    for index, sentence in enumerate(sentences):
        speakers = SPEAKERS if sentence in SHORT else (SPEAKERS[index % len(SPEAKERS)],)
        lines += [f"{part_of(sentence)}\t{speaker}\t{sentence}" for speaker in speakers]
    TEXT.parent.mkdir(parents=True, exist_ok=True)
    TEXT.write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} lines in {TEXT}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    write(parser.parse_args().count)


if __name__ == "__main__":
    main()
