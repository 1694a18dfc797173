"""Aligns letters with phones, so that each letter of a word owns none, one or two of its phones.

Lives here: expectation-maximisation over the one-to-many alignments of Black, Lenzo and Pagel, "Issues in
Building General Letter to Sound Rules" (1998), with Viterbi counts. Must not live here: training, files.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict

Sounds = tuple[str, ...]
Scores = dict[str, dict[Sounds, float]]

MOST = 2
"""Phones one letter may own ("x" -> K S, the "u" of "use" -> Y UW)."""
UNSEEN = -12.0
"""Log probability of a pair which no alignment has used yet."""


def uniform(words: dict[str, Sounds]) -> Scores:
    """First guess: every pair of a letter and the phones near its place in a word is counted once."""
    counts: dict[str, Counter[Sounds]] = defaultdict(Counter)
    for word, phones in words.items():
        for at, letter in enumerate(word):
            middle = at * len(phones) // len(word)
            for begin in range(max(0, middle - 1), min(len(phones), middle + 2)):
                counts[letter][phones[begin : begin + 1]] += 1
                counts[letter][phones[begin : begin + 2]] += 0
            counts[letter][()] += 1
    return logarithms(counts)


def logarithms(counts: dict[str, Counter[Sounds]]) -> Scores:
    """Counts per letter -> log probabilities per letter."""
    scores: Scores = {}
    for letter, counter in counts.items():
        total = sum(counter.values()) + 1.0
        scores[letter] = {sounds: math.log((n + 0.01) / total) for sounds, n in counter.items()}
    return scores


def align(word: str, phones: Sounds, scores: Scores) -> list[Sounds] | None:
    """The best way to share `phones` among the letters of `word`, or None where there is none."""
    best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
    for letter in word:
        of_letter = scores.get(letter, {})
        reached: dict[int, tuple[float, int]] = {}
        for begin, (score, _) in best[-1].items():
            for end in range(begin, min(begin + MOST, len(phones)) + 1):
                here = score + of_letter.get(phones[begin:end], UNSEEN)
                if end not in reached or here > reached[end][0]:
                    reached[end] = (here, begin)
        best.append(reached)
    if len(phones) not in best[-1]:
        return None
    shares: list[Sounds] = []
    end = len(phones)
    for reached in reversed(best[1:]):
        begin = reached[end][1]
        shares.append(phones[begin:end])
        end = begin
    return shares[::-1]


def learn(words: dict[str, Sounds], rounds: int = 5) -> Scores:
    """Scores after `rounds` of Viterbi training on `words` (phones without stress)."""
    scores = uniform(words)
    for _ in range(rounds):
        counts: dict[str, Counter[Sounds]] = defaultdict(Counter)
        for word, phones in words.items():
            for letter, sounds in zip(word, align(word, phones, scores) or (), strict=False):
                counts[letter][sounds] += 1
        scores = logarithms(counts)
    return scores
