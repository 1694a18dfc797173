"""Stage 5, train_vocoder: waveform from frames, by multi-resolution STFT loss.

    python voices/ion/train_vocoder.py --steps 12000                 # on the teacher's frames
    python voices/ion/train_vocoder.py --steps 15000 --predicted     # then on the acoustic model's frames

With --predicted the frames come from the trained acoustic model, run on the teacher's durations and pitch, so
that they still lie exactly under the teacher's waveform. Goes on from its checkpoint, if there is one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
from corpus import Corpus
from mel import HOP
from paths import RUNS, SEED
from rhapsode_server.models.ion.generator import Generator, VocoderConfig
from rhapsode_server.models.ion.network import AcousticConfig, AcousticNetwork, parameters_of
from run import Average, Run, rate
from torch import Tensor
from tqdm import tqdm
from train_acoustic import decode_whole

PEAK = 1e-3
RESOLUTIONS = (256, 512, 1024, 2048)
SKIPPED = 12
"""Frames at a crop's head without loss where it comes from inside a sentence: their past was not shown."""
LATEST_OPENING = 8
"""Frames of a sentence's first silence (at least 0.13 s) that may be missing, as they are when it is used."""
Crop = tuple[Tensor, Tensor]


def magnitudes(sound: Tensor, size: int) -> Tensor:
    """STFT magnitudes, a quarter window apart, scaled to be alike at every resolution."""
    spectrum = torch.stft(
        sound, size, size // 4, window=torch.hann_window(size), center=False, return_complex=True
    )
    return (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt() / size**0.5


def distance(made: Tensor, wanted: Tensor) -> Tensor:
    """L1 of log magnitudes + relative error of magnitudes, averaged over the resolutions."""
    total = made.new_zeros(())
    for size in RESOLUTIONS:
        a, b = magnitudes(made, size), magnitudes(wanted, size)
        total = (
            total + ((a + 1e-3).log() - (b + 1e-3).log()).abs().mean() + 0.5 * (a - b).abs().sum() / b.sum()
        )
    return total / len(RESOLUTIONS)


class Crops:
    """Pieces of sentences: frames [rows, length + ahead, 82] and samples [rows, length * HOP].

    The first `openings` rows are beginnings of sentences, the others come from anywhere.
    """

    def __init__(self, corpus: Corpus, length: int, ahead: int) -> None:
        self.corpus, self.length, self.ahead = corpus, length, ahead
        by_length = np.argsort(corpus.frames, kind="stable")
        self.long = by_length[corpus.frames[by_length] > length + ahead]

    def draw(self, rng: np.random.Generator, rows: int) -> Crop:
        """From the teacher's own frames."""
        return self._cut(rng, [(i, self.corpus.get("mel", i)) for i in rng.choice(self.long, rows)])

    def draw_predicted(self, rng: np.random.Generator, rows: int, network: AcousticNetwork) -> Crop:
        """From the acoustic model's frames, made for whole sentences of like length."""
        first = rng.integers(len(self.long) - rows)
        chosen = self.long[first : first + rows]
        return self._cut(rng, list(zip(chosen, predicted(network, self.corpus, chosen), strict=True)))

    def _cut(self, rng: np.random.Generator, chosen: list[tuple[int, np.ndarray]]) -> Crop:
        frames, samples = [], []
        for row, (index, mel) in enumerate(chosen):
            opening = row < openings(len(chosen))
            last = LATEST_OPENING if opening else self.corpus.frames[index] - self.length - self.ahead
            begin = rng.integers(min(last, self.corpus.frames[index] - self.length - self.ahead))
            end = begin + self.length
            frames.append(np.asarray(mel[begin : end + self.ahead], np.float32))
            samples.append(self.corpus.get("samples", index)[begin:end].reshape(-1))
        sound = np.stack(samples).astype(np.float32) / 32768.0
        return torch.from_numpy(np.stack(frames)), torch.from_numpy(sound)


def openings(rows: int) -> int:
    """How many of `rows` crops are beginnings."""
    return rows // 4


@torch.no_grad()
def predicted(network: AcousticNetwork, corpus: Corpus, indices: np.ndarray) -> np.ndarray:
    """[rows, T, 82] under the teacher's durations and pitch."""
    batch = corpus.batch(indices, network.config.stack)
    prosody = network.encode(batch.tokens, batch.speaker, batch.present)
    made, pitch = decode_whole(network, prosody.vectors, batch)
    return torch.cat((made, pitch[..., None]), -1).numpy()


def trained_acoustic() -> AcousticNetwork:
    """The averaged weights of stage 4."""
    network = AcousticNetwork(AcousticConfig())
    network.load_state_dict(torch.load(RUNS / "acoustic.ckpt", weights_only=True)["average"])
    return network.eval()


def loss_on(generator: Generator, crop: Crop, rng: np.random.Generator) -> Tensor:
    """Loss of one batch of crops, each starting at a random phase and place in the noise."""
    frames, wanted = crop
    memory = generator.memory(len(frames))
    memory.phase = torch.from_numpy(rng.random(len(frames)))
    memory.count = torch.from_numpy(rng.integers(0, 1 << 20, len(frames)))
    made, _ = generator(frames, memory, generator.noise_spectra())
    first, skipped = openings(len(frames)), SKIPPED * HOP
    opening = distance(made[:first], wanted[:first])
    inside = distance(made[first:, skipped:], wanted[first:, skipped:])
    return opening * first / len(frames) + inside * (1 - first / len(frames))


@torch.no_grad()
def held_out(generator: Generator, average: Average, crops: Crops) -> float:
    """Loss of the averaged weights on 64 held-out crops, always the same."""
    kept = {name: value.clone() for name, value in generator.state_dict().items()}
    generator.load_state_dict(average.weights)
    rng = np.random.default_rng(SEED)
    loss = float(loss_on(generator, crops.draw(rng, 64), rng))
    generator.load_state_dict(kept)
    return loss


def train(steps: int, length: int, draw: Callable[[Crops, np.random.Generator], Crop]) -> None:
    """Train up to `steps`, a checkpoint every 250."""
    torch.manual_seed(SEED)
    generator = Generator(VocoderConfig())
    optimizer = torch.optim.AdamW(generator.parameters(), PEAK, betas=(0.8, 0.99), weight_decay=0.01)
    run = Run("vocoder", {"generator": generator, "optimizer": optimizer}, Average(generator))
    run.resume()
    print(f"{parameters_of(generator):,} parameters, from step {run.step}", flush=True)
    crops, held = (Crops(Corpus(part), length, generator.config.ahead) for part in ("train", "held"))
    bar = tqdm(total=steps, initial=run.step, mininterval=10)
    while run.step < steps:
        rng = np.random.default_rng((SEED, run.step))
        for settings in optimizer.param_groups:
            settings["lr"] = rate(run.step, steps, PEAK)
        loss = loss_on(generator, draw(crops, rng), rng)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(generator.parameters(), 5.0)
        optimizer.step()
        run.step += 1
        run.average.update(generator, run.step)
        bar.update()
        bar.set_postfix(loss=f"{float(loss.detach()):.3f}", refresh=False)
        if run.step % 250 == 0 or run.step == steps:
            run.save()
            print(f"\nstep {run.step}: held out {held_out(generator, run.average, held):.4f}", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--length", type=int, default=60, help="frames in a crop")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--predicted", action="store_true", help="train on the acoustic model's frames")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.predicted:
        network = trained_acoustic()
        train(given.steps, given.length, lambda crops, rng: crops.draw_predicted(rng, given.rows, network))
    else:
        train(given.steps, given.length, lambda crops, rng: crops.draw(rng, given.rows))


if __name__ == "__main__":
    main()
