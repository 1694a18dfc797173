"""Measures the letter-to-sound model and the word-form rules on words that neither has seen.

    PYTHONPATH=server python tools/pronunciation/evaluate.py

Prints phone and word error rates on the held-out twentieth of CMUdict: of the model alone, and, for the
words each rule claims, of the rule against the model. A rule that loses does not belong in pronounce.py.
"""
# ruff: noqa: T201

from __future__ import annotations

from collections.abc import Iterable

import dictionary
from rhapsode_server.text import letters, pronounce

Phones = tuple[str, ...]


def distance(said: Phones, wanted: Phones) -> int:
    """Levenshtein distance in phones."""
    row = list(range(len(wanted) + 1))
    for index, phone in enumerate(said, 1):
        left = row[0]
        row[0] = index
        for at, other in enumerate(wanted, 1):
            left, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, left + (phone != other))
    return row[-1]


def rates(pairs: Iterable[tuple[Phones, Phones]]) -> str:
    """Phone and word error rates in percent, with stress and without."""
    both = list(pairs)
    bare = [(dictionary.without_stress(said), dictionary.without_stress(wanted)) for said, wanted in both]
    shown = []
    for name, some in (("with stress", both), ("without", bare)):
        phones = sum(distance(*pair) for pair in some) / max(1, sum(len(wanted) for _, wanted in some))
        words = sum(said != wanted for said, wanted in some) / max(1, len(some))
        shown.append(f"{name}: phones {phones:.1%} words {words:.1%}")
    return f"{len(both)} words, {', '.join(shown)}"


def _without_dictionary(word: str) -> Phones:
    """What the server would say if `word` itself were not in the dictionary."""
    return pronounce._derived(word) or letters.sound_out(word)


def main() -> None:
    """Print the figures."""
    held = {word: said for word, said in dictionary.teachable().items() if dictionary.is_held_out(word)}
    print("model:", rates((letters.sound_out(word), said) for word, said in held.items()))
    print("rules and model:", rates((_without_dictionary(word), said) for word, said in held.items()))
    rules = (pronounce._inflected, pronounce._affixed)
    for rule in rules:
        claimed = {word: answer for word in held if (answer := rule(word))}
        print(f"{rule.__name__}:", rates((answer, held[word]) for word, answer in claimed.items()))
        print("  model there:", rates((letters.sound_out(word), held[word]) for word in claimed))


if __name__ == "__main__":
    main()
