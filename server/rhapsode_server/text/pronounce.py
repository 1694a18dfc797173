"""Words -> phones: the dictionary first, then word forms, spelling and letter to sound.

Lives here: the order of these and the rules of English endings. What must not: text that is not yet words.
"""

from __future__ import annotations

import re
from functools import lru_cache

from rhapsode_server.text import letters, lexicon

Phones = tuple[str, ...]
_NOT_LETTER = re.compile(r"[^a-z]")
_VOWEL_LETTER = re.compile(r"[aeiouy]")
_CLITICS: dict[str, Phones] = {
    "'ll": ("AH0", "L"), "'ve": ("V",), "'re": ("ER0",), "'d": ("D",), "'m": ("M",), "n't": ("AH0", "N", "T"),
}  # fmt: skip
_SIBILANTS = frozenset(("S", "Z", "SH", "ZH", "CH", "JH"))
_VOICELESS = frozenset(("P", "T", "K", "F", "TH"))
_SUFFIXES: dict[str, Phones] = {
    "ing": ("IH0", "NG"), "ness": ("N", "AH0", "S"), "less": ("L", "AH0", "S"), "ment": ("M", "AH0", "N",
    "T"),
    "able": ("AH0", "B", "AH0", "L"),
}  # fmt: skip
_PREFIXES: dict[str, Phones] = {
    "non": ("N", "AA2", "N"), "anti": ("AE2", "N", "T", "IY0"), "inter": ("IH2", "N", "T", "ER0"),
    "super": ("S", "UW2", "P", "ER0"),
}  # fmt: skip
"""Those of seventeen endings and sixteen beginnings that make fewer errors than the model on held-out
words (tools/pronunciation/evaluate.py). Joining two known words ("chat" + "bot") makes twice as many."""
SHORTEST_STEM = 3


def warm() -> None:
    """Read dictionary and model now, so that the first sentence need not wait for them."""
    lexicon.warm()
    letters.warm()


@lru_cache(maxsize=32_768)
def phones_of(word: str, spelled: bool = False) -> Phones:
    """ARPAbet with stress digits for `word`; `spelled` says it by the names of its letters."""
    lower = word.lower()
    if spelled:
        return _spell(lower)
    return (
        lexicon.look_up(lower)
        or lexicon.look_up(lower.strip("'"))
        or _with_clitic(lower)
        or _derived(_NOT_LETTER.sub("", lower))
        or _unknown(_NOT_LETTER.sub("", lower))
    )


def before_vowel(word: str, following: Phones) -> Phones | None:
    """The other form of "the" before a vowel, or None where `word` has no other form."""
    if word.lower() == "the" and following and following[0][-1].isdigit():
        return ("DH", "IY0")
    return None


def _spell(word: str) -> Phones:
    stem, apostrophe, ending = word.partition("'")
    if not apostrophe and len(word) > 1 and word.endswith("s"):
        stem, ending = word[:-1], "s"
    said = tuple(phone for letter in stem for phone in lexicon.letter_name(letter))
    if ending == "s":
        return plural(said)
    return said + _CLITICS.get(f"'{ending}", ())


def plural(stem: Phones) -> Phones:
    """The stem with the ending of plurals and possessives."""
    last = stem[-1] if stem else ""
    if last in _SIBILANTS:
        return (*stem, "IH0", "Z")
    return (*stem, "S" if last in _VOICELESS else "Z")


def past(stem: Phones) -> Phones:
    """The stem with the ending -ed."""
    if stem[-1] in ("T", "D"):
        return (*stem, "IH0", "D")
    return (*stem, "T" if stem[-1] in _VOICELESS | {"S", "SH", "CH"} else "D")


def _with_clitic(word: str) -> Phones:
    """A word with an apostrophe: its stem and the sound of what follows."""
    if word.endswith("'s"):
        return plural(phones_of(word[:-2])) if len(word) > 2 else ()
    for clitic, said in _CLITICS.items():
        if word.endswith(clitic) and len(word) > len(clitic):
            return phones_of(word[: -len(clitic)]) + said
    return ()


def _stems(stem: str) -> list[str]:
    """The spellings a stem may have had before its ending: mak(e), run(n), carr(i -> y)."""
    found = [stem, f"{stem}e"]
    if len(stem) > SHORTEST_STEM and stem[-1] == stem[-2]:
        found.insert(0, stem[:-1])
    if stem.endswith("i"):
        found.append(f"{stem[:-1]}y")
    return [spelling for spelling in found if len(spelling) >= SHORTEST_STEM]


def _known_stem(stem: str) -> Phones:
    return next((said for spelling in _stems(stem) if (said := lexicon.look_up(spelling))), ())


def _derived(word: str) -> Phones:
    """A form of a known word; () where it is none."""
    return _inflected(word) or _affixed(word)


def _inflected(word: str) -> Phones:
    if word.endswith("s") and not word.endswith("ss"):
        stem = lexicon.look_up(word[:-1]) or (_known_stem(word[:-2]) if word.endswith("es") else ())
        if stem and len(word) > SHORTEST_STEM:
            return plural(stem)
    if word.endswith("ed") and (stem := _known_stem(word[:-2])):
        return past(stem)
    return ()


def _affixed(word: str) -> Phones:
    for suffix, said in _SUFFIXES.items():
        if word.endswith(suffix) and (stem := _known_stem(word[: -len(suffix)])):
            return stem + said
    for prefix, said in _PREFIXES.items():
        rest = word[len(prefix) :]
        if word.startswith(prefix) and len(rest) > SHORTEST_STEM and (stem := lexicon.look_up(rest)):
            return said + stem
    return ()


def _unknown(word: str) -> Phones:
    if not word:
        return ()
    if not _VOWEL_LETTER.search(word) and len(word) < 6:
        return _spell(word)
    return letters.sound_out(word)
