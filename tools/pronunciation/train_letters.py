"""Trains the letter-to-sound model that speaks words the dictionary has not got.

    OMP_NUM_THREADS=1 python tools/pronunciation/train_letters.py

A tagger: each letter is given the phones it owns (align.py) by a stack of residual convolutions, which
sees twelve letters to each side. Written as int8 with one scale per row, to be run by numpy
(server/rhapsode_server/text/letters.py). The figures it prints are for the held-out words.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from random import Random

import align
import dictionary
import numpy as np
import torch
from torch import Tensor, nn

OUT = Path(__file__).parents[2] / "server/rhapsode_server/text/data/letters.npz"
WIDTH, KERNEL, DILATIONS = 128, 5, (1, 1, 2, 2)
ALPHABET = "_^$abcdefghijklmnopqrstuvwxyz"
"""`_` pads a batch, `^` and `$` stand at a word's ends."""
RAREST = 8
"""A label seen fewer times is not learnt; the words that need it are left out."""
Example = tuple[str, list[int]]


class Block(nn.Module):
    """Layer norm, a dilated convolution and a rectifier, added to what came in. [batch, letters, WIDTH]"""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.conv = nn.Conv1d(WIDTH, WIDTH, KERNEL, padding=dilation * (KERNEL // 2), dilation=dilation)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`mask` [batch, letters, 1] is 0 where there is no letter, so that padding changes nothing."""
        h: Tensor = self.conv((self.norm(x) * mask).transpose(1, 2)).transpose(1, 2)
        summed: Tensor = x + self.drop(torch.relu(h))
        return summed


class Tagger(nn.Module):
    """Letters [batch, letters] -> scores of labels [batch, letters, labels]."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(ALPHABET), WIDTH)
        self.blocks = nn.ModuleList(Block(dilation) for dilation in DILATIONS)
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(WIDTH, labels)

    def forward(self, letters: Tensor) -> Tensor:
        mask = (letters > 0).unsqueeze(-1).float()
        x = self.embed(letters) * mask
        for block in self.blocks:
            x = block(x, mask)
        scores: Tensor = self.out(self.norm(x))
        return scores


def stressed(shares: list[tuple[str, ...]], phones: tuple[str, ...]) -> list[str]:
    """Shares without stress -> labels with it, phones joined by a space."""
    taken = iter(phones)
    return [" ".join(next(taken) for _ in share) for share in shares]


def tagged() -> tuple[list[str], list[Example], dict[str, tuple[str, ...]]]:
    """The labels, the training examples, and the held-out words with their phones."""
    words = dictionary.teachable()
    plain = {w: dictionary.without_stress(p) for w, p in words.items() if not dictionary.is_held_out(w)}
    scores = align.learn(plain)
    rows = {w: stressed(s, words[w]) for w, p in plain.items() if (s := align.align(w, p, scores))}
    counts = Counter(label for row in rows.values() for label in row)
    labels = sorted(label for label, count in counts.items() if count >= RAREST)
    number = {label: index for index, label in enumerate(labels)}
    examples = [(w, [number[x] for x in row]) for w, row in rows.items() if all(x in number for x in row)]
    held = {w: p for w, p in words.items() if dictionary.is_held_out(w)}
    return labels, examples, held


def batch_of(examples: list[Example]) -> tuple[Tensor, Tensor]:
    """Letters with their two ends and labels, padded with 0 and -100: both [batch, letters + 2]."""
    longest = max(len(word) for word, _ in examples) + 2
    letters = torch.zeros(len(examples), longest, dtype=torch.long)
    labels = torch.full((len(examples), longest), -100)
    for row, (word, tags) in enumerate(examples):
        letters[row, : len(word) + 2] = torch.tensor([ALPHABET.index(x) for x in f"^{word}$"])
        labels[row, 1 : len(word) + 1] = torch.tensor(tags)
    return letters, labels


def batches(examples: list[Example], rng: Random, size: int = 256) -> list[list[Example]]:
    """Words of similar length together, in a shuffled order."""
    shuffled = sorted(examples, key=lambda example: len(example[0]) + rng.random() * 2)
    found = [shuffled[at : at + size] for at in range(0, len(shuffled), size)]
    rng.shuffle(found)
    return found


def train(examples: list[Example], labels: int, epochs: int) -> Tagger:
    """The tagger after `epochs` passes of Adam on one cosine."""
    torch.manual_seed(0)
    rng, model = Random(0), Tagger(labels)
    steps = epochs * len(batches(examples, rng))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps + 1, pct_start=0.1)
    for epoch in range(epochs):
        total = 0.0
        for batch in (found := batches(examples, rng)):
            letters, wanted = batch_of(batch)
            loss = nn.functional.cross_entropy(model(letters).flatten(0, 1), wanted.flatten())
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / len(found):.4f}", flush=True)
    return model.eval()


def as_bytes(model: Tagger) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    """Matrices as int8 with a float32 scale for each output row, vectors as float32."""
    arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {}
    for name, value in model.state_dict().items():
        if value.ndim == 1:
            arrays[name] = value.numpy()
            continue
        flat = value.flatten(1)
        scale = flat.abs().amax(1) / 127
        arrays[name] = torch.round(flat / scale[:, None]).to(torch.int8).reshape(value.shape).numpy()
        arrays[f"{name}.scale"] = scale.numpy()
    return arrays


def main() -> None:
    """Train and write OUT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    labels, examples, held = tagged()
    print(f"{len(examples)} words, {len(labels)} labels, {len(held)} held out", flush=True)
    model = train(examples, len(labels), parser.parse_args().epochs)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    table = np.frombuffer("\n".join(labels).encode(), np.uint8)
    np.savez_compressed(OUT, labels=table, dilations=np.array(DILATIONS), **as_bytes(model))  # type: ignore[arg-type]
    print(f"{OUT}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
