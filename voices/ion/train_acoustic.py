"""Stage 4, train_acoustic: durations, pitch and mel from tokens.

    python voices/ion/train_acoustic.py --steps 9000      # goes on from its checkpoint, if there is one

Loss: L1 of mel and voicing + 0.1 * squared error of log durations + L1 of pitch where there is voice.
The decoder is trained on the teacher's durations and pitch; both heads learn beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from corpus import Batch, Corpus
from paths import SEED
from rhapsode_server.models.ion.network import (
    AcousticConfig,
    AcousticNetwork,
    Alignment,
    align,
    parameters_of,
)
from run import Average, Run, rate
from torch import Tensor
from tqdm import tqdm

PEAK = 1.5e-3
BLOCK = 8


def decode_whole(
    network: AcousticNetwork, vectors: Tensor, batch: Batch, skip: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """mel and voicing [B, T, 81], scaled log pitch [B, T], under the teacher's durations and pitch.

    `skip` [B]: mel frames of the first silence to leave out; frame t of a row is then the sentence's frame t
    + skip.
    """
    count, frames = len(vectors), torch.arange(batch.heard.shape[1], device=vectors.device)
    alignment = Alignment(batch.ends, batch.pitch.flatten(1))
    rows = torch.arange(count, device=vectors.device)
    numbers = frames.repeat(count, 1) if skip is None else frames + skip[:, None]
    aligned, pitch = align(vectors, alignment, rows, numbers)
    made, _ = network.decode(aligned, network.tails(count, vectors.device), torch.zeros_like(rows))
    return made, pitch


def losses(network: AcousticNetwork, batch: Batch, skipping: bool = False) -> dict[str, Tensor]:
    """mel, voicing, duration, pitch: each a mean over what is present.

    With `skipping`, rows start somewhere in the first silence, as they do when the voice is used.
    """
    prosody = network.encode(batch.tokens, batch.speaker, batch.present)
    most = (batch.ends[:, 0] - 1).clamp(min=0)
    skip = (torch.rand(len(most)) * (most + 1)).long() if skipping else torch.zeros_like(most)
    made, _ = decode_whole(network, prosody.vectors, batch, skip)
    numbers = (torch.arange(batch.heard.shape[1]) + skip[:, None]).clamp(max=batch.heard.shape[1] - 1)
    wanted = batch.mel.gather(1, numbers[..., None].expand_as(batch.mel))
    error = (made.float() - wanted).abs()[batch.heard.gather(1, numbers)]
    length = batch.durations.clamp(min=0.5).log()
    weight = (batch.weight + 0.02) * batch.present[..., None]
    return {
        "mel": error[:, :-1].mean(),
        "voicing": error[:, -1].mean(),
        "duration": (prosody.frames.log() - length)[batch.present].square().mean(),
        "pitch": ((prosody.pitch - batch.pitch).abs() * weight).sum() / weight.sum(),
    }


def total(parts: dict[str, Tensor]) -> Tensor:
    """One number to minimise."""
    return parts["mel"] + 0.2 * parts["voicing"] + 0.1 * parts["duration"] + 0.5 * parts["pitch"]


def endless(corpus: Corpus, frames: int, step: int) -> Iterator[np.ndarray]:
    """Batches epoch after epoch, starting where `step` says."""
    per_epoch = sum(1 for _ in corpus.batches(frames, SEED))
    epoch, skip = divmod(step, per_epoch)
    while True:
        for number, group in enumerate(corpus.batches(frames, SEED + epoch)):
            if number >= skip:
                yield group
        epoch, skip = epoch + 1, 0


@torch.no_grad()
def held_out(network: AcousticNetwork, average: Average, corpus: Corpus) -> str:
    """Losses of the averaged weights on 96 held-out sentences."""
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(average.weights)
    parts = losses(network, corpus.batch(np.arange(0, len(corpus), len(corpus) // 96)[:96], BLOCK))
    network.load_state_dict(kept)
    return " ".join(f"{name} {value:.4f}" for name, value in parts.items())


def train(steps: int, frames: int, brain: bool) -> None:
    """Train up to `steps`, a checkpoint every 250."""
    torch.manual_seed(SEED)
    network = AcousticNetwork(AcousticConfig())
    optimizer = torch.optim.AdamW(network.parameters(), PEAK, betas=(0.9, 0.98), weight_decay=0.01)
    run = Run("acoustic", {"network": network, "optimizer": optimizer}, Average(network))
    run.resume()
    print(f"{parameters_of(network):,} parameters, from step {run.step}", flush=True)
    corpus, held = Corpus("train"), Corpus("held")
    bar = tqdm(total=steps, initial=run.step, mininterval=10)
    for group in endless(corpus, frames, run.step):
        if run.step >= steps:
            break
        for settings in optimizer.param_groups:
            settings["lr"] = rate(run.step, steps, PEAK)
        torch.manual_seed(SEED + run.step)
        with torch.autocast("cpu", torch.bfloat16, enabled=brain):
            parts = losses(network, corpus.batch(group, BLOCK), skipping=True)
        optimizer.zero_grad()
        total(parts).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        run.step += 1
        run.average.update(network, run.step)
        bar.update()
        bar.set_postfix(
            {name: f"{float(value.detach()):.3f}" for name, value in parts.items()}, refresh=False
        )
        if run.step % 250 == 0 or run.step == steps:
            run.save()
            print(f"\nstep {run.step}: {held_out(network, run.average, held)}", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--frames", type=int, default=4800, help="padded mel frames in a batch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--float32", action="store_true", help="do not use bfloat16 where torch thinks it safe"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.steps, arguments.frames, not arguments.float32)


if __name__ == "__main__":
    main()
