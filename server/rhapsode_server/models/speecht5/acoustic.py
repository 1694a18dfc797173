"""The autoregressive decoder: prompt -> mel frames, each row at its own time.

What must not live here: the encoder, the postnet (it looks ahead, so it belongs to the vocoder), files.

A step costs the same at every position: the prenet sees only the newest mel slice (its dropout masks of
older slices never mattered, for their keys are kept), the speaker's share of the prenet is computed once
per prompt, and attention reads a row's own past in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rhapsode_server.core import WordTime
from rhapsode_server.layers.linear import Linear, pad_rows
from rhapsode_server.layers.noise import uniform
from rhapsode_server.layers.row_attention import RowCache, Rows
from rhapsode_server.models.base import Prompt, Step
from rhapsode_server.models.speecht5.alignment import Alignment, Pointer
from rhapsode_server.models.speecht5.config import AcousticConfig
from rhapsode_server.models.speecht5.encoder import Encoder, FeedForward, Norm, sinusoids
from rhapsode_server.models.speecht5.frontend import SpeechT5Prompt
from rhapsode_server.models.speecht5.weights import Weights


@dataclass(slots=True)
class SpeechT5State:
    """One row per request. `own` and `text`: a cache per layer, of the past and of the encoded text.

    newest [slots, mels]: the mel slice to go on from. speaker [slots, hidden]: its share of the prenet.
    seed [slots] int64. `made`, `fewest`, `heard` and `most` count frames, frames before stopping is allowed,
    encoded characters and frames at most of each slot; `over` once it has stopped. pointer [slots] int64 and
    path [slots, positions] int32: the character that each frame was made of, see alignment.py.
    """

    own: list[RowCache]
    text: list[RowCache]
    newest: Tensor
    speaker: Tensor
    seed: Tensor
    made: list[int]
    fewest: list[int]
    heard: list[int]
    most: list[int]
    over: list[bool]
    pointer: Tensor
    path: Tensor
    alignments: list[Alignment]


class Prenet:
    """Newest mel slice -> decoder input. Its dropout is always on (section 2.2 of arXiv 1712.05884).

    Which units are dropped is addressed by (seed, frame), so it depends on nothing but the request.
    """

    def __init__(self, weights: Weights, config: AcousticConfig, *, dropout: bool) -> None:
        units, width, speaker = (
            config.speech_decoder_prenet_units,
            config.hidden_size,
            config.speaker_embedding_dim,
        )
        sizes = [config.num_mel_bins, *[units] * config.speech_decoder_prenet_layers]
        self._layers = [
            weights.linear(f"layers.{i}", sizes[i], units, "relu")
            for i in range(config.speech_decoder_prenet_layers)
        ]
        self._final = weights.linear("final_layer", sizes[-1], width)
        joint = weights.below("speaker_embeds_layer").tensor("weight", width, width + speaker)
        self._mix = Linear(joint[:, :width])
        self._speaker = Linear(joint[:, width:], weights.tensor("speaker_embeds_layer.bias", width))
        self._positions = sinusoids(
            config.max_speech_positions, width, weights.tensor("encode_positions.alpha")
        )
        self._keep = 1.0 - config.speech_decoder_prenet_dropout if dropout else 1.0

    def speaker(self, vector: Tensor) -> Tensor:
        """The speaker's share [hidden] of every input, from a unit vector [width]."""
        return self._speaker(vector[None])[0]

    def __call__(self, mel: Tensor, speaker: Tensor, seeds: Tensor, positions: Tensor) -> Tensor:
        """mel [B, mels], speaker [B, hidden], seeds and positions [B] int64 -> [B, hidden]."""
        x = mel
        for number, layer in enumerate(self._layers):
            x = layer(x)
            if self._keep < 1.0:
                x = x * self._mask(seeds, positions, number, x)
        x = self._final(x) + self._positions[positions]
        return torch.relu_(self._mix(x) + speaker)

    def _mask(self, seeds: Tensor, positions: Tensor, layer: int, like: Tensor) -> Tensor:
        """[B, units]: zero where a unit is dropped, else what makes up for the dropped ones."""
        units = torch.arange(like.shape[1], device=seeds.device)
        kept = uniform(seeds[:, None], positions[:, None], layer, units) < self._keep
        return kept.to(like.dtype) / self._keep


class _Layer:
    """Attention to its own past, attention to the text, and an affine pair, each added and normalised."""

    def __init__(self, weights: Weights, config: AcousticConfig) -> None:
        width = config.hidden_size
        self._heads = config.decoder_attention_heads
        own, text = weights.below("self_attn"), weights.below("encoder_attn")
        self._own_in = _joined(own, ("q", "k", "v"), width)
        self._own_out = own.linear("out_proj", width, width)
        self._text_query = text.linear("q_proj", width, width)
        self._text_memory = _joined(text, ("k", "v"), width)
        self._text_out = text.linear("out_proj", width, width)
        self._feed_forward = FeedForward(weights.below("feed_forward"), config, config.decoder_ffn_dim)
        self._own_norm, self._text_norm, self._last_norm = (
            Norm(weights.below(name), width, config.layer_norm_eps)
            for name in ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm")
        )

    def remember(self, cache: RowCache, slot: int, text: Tensor) -> None:
        """Keys and values of the encoded text [T, hidden], once per prompt."""
        keys, values = self._split(self._text_memory(text), 2)
        cache.fill(slot, keys.transpose(0, 1), values.transpose(0, 1))

    def __call__(self, x: Tensor, at: _Batch, own: RowCache, text: RowCache, asked: list[Tensor]) -> Tensor:
        """[rows, hidden] -> the same; the caches grow by one position, `asked` by the query of the text."""
        count = len(at.made)
        query, keys, values = self._split(self._own_in(x), 3)
        own.append(at.past.index, at.positions, keys[:count], values[:count])
        heard = own.attend(query[:count], at.past)
        x = self._own_norm(x + self._own_out(pad_rows(heard.flatten(1))))
        (query,) = self._split(self._text_query(x), 1)
        asked.append(query[:count])
        heard = text.attend(query[:count], at.text)
        x = self._text_norm(x + self._text_out(pad_rows(heard.flatten(1))))
        return self._last_norm(x + self._feed_forward(x))

    def _split(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """[B, parts * hidden] -> `parts` times [B, heads, head_dim]."""
        return tuple(part.view(len(x), self._heads, -1) for part in x.chunk(parts, 1))


def _joined(weights: Weights, names: Sequence[str], width: int) -> Linear:
    """Several projections of one input as one product."""
    weight = torch.cat([weights.tensor(f"{name}_proj.weight", width, width) for name in names])
    return Linear(weight, torch.cat([weights.tensor(f"{name}_proj.bias", width) for name in names]))


@dataclass(frozen=True, slots=True)
class _Batch:
    """The rows of one decode call: frames made by each, positions [B] to write, past and text to hear."""

    slots: list[int]
    made: list[int]
    positions: Tensor
    past: Rows
    text: Rows


@dataclass(frozen=True, slots=True)
class Speaking:
    """How frames are made: frames a second, cache positions of a row, when to stop, dropout or not."""

    frame_rate: float
    positions: int
    threshold: float = 0.5
    dropout: bool = True
    samples_per_frame: int = 512


class SpeechT5Acoustic:
    """A frame is `reduction_factor` mel slices, [reduction, mels], before the postnet."""

    def __init__(self, weights: Weights, config: AcousticConfig, speaking: Speaking) -> None:
        self.frame_shape: tuple[int, ...] = (config.reduction_factor, config.num_mel_bins)
        self.frame_rate = speaking.frame_rate
        self._config = config
        self._capacity = speaking.positions
        self._threshold = speaking.threshold
        self._device, self._dtype = weights.device, weights.dtype
        decoder, heads = weights.below("speecht5.decoder"), weights.below("speech_decoder_postnet")
        self._encoder = Encoder(weights.below("speecht5.encoder"), config)
        self._prenet = Prenet(decoder.below("prenet"), config, dropout=speaking.dropout)
        self._layers = [
            _Layer(decoder.below(f"wrapped_decoder.layers.{i}"), config) for i in range(config.decoder_layers)
        ]
        self._samples = speaking.samples_per_frame
        self._guided = min(max(1, config.guided_attention_loss_num_heads), config.decoder_attention_heads)
        self._pointer = Pointer(self._device)
        mels = config.num_mel_bins * config.reduction_factor
        self._mel = heads.linear("feat_out", config.hidden_size, mels)
        self._stop = heads.linear("prob_out", config.hidden_size, config.reduction_factor)

    def new_state(self, slots: int) -> SpeechT5State:
        """Rows for `slots` requests of up to `positions` frames and `max_text_positions` characters."""
        config = self._config

        def zeros(*width: int) -> Tensor:
            return torch.zeros(slots, *width, dtype=self._dtype, device=self._device)

        return SpeechT5State(
            own=self._caches(slots, self._capacity),
            text=self._caches(slots, config.max_text_positions),
            newest=zeros(config.num_mel_bins),
            speaker=zeros(config.hidden_size),
            seed=torch.zeros(slots, dtype=torch.int64, device=self._device),
            made=[0] * slots,
            fewest=[0] * slots,
            heard=[0] * slots,
            most=[0] * slots,
            over=[False] * slots,
            pointer=torch.zeros(slots, dtype=torch.int64, device=self._device),
            path=torch.zeros(slots, self._capacity, dtype=torch.int32, device=self._device),
            alignments=[Alignment((), self._samples) for _ in range(slots)],
        )

    def _caches(self, slots: int, capacity: int) -> list[RowCache]:
        heads = self._config.decoder_attention_heads
        width = self._config.hidden_size // heads
        return [
            RowCache(slots, heads, capacity, width, dtype=self._dtype, device=self._device)
            for _ in self._layers
        ]

    def prefill(self, state: SpeechT5State, slots: list[int], prompts: Sequence[Prompt]) -> None:
        """Encode each prompt and remember it; the first mel slice to go on from is silence (zeros)."""
        for slot, prompt in zip(slots, prompts, strict=True):
            if not isinstance(prompt, SpeechT5Prompt):
                raise TypeError(f"not a prompt of this family: {type(prompt).__name__}")
            text = self._encoder(prompt.tokens.to(self._device))
            for layer, cache in zip(self._layers, state.text, strict=True):
                layer.remember(cache, slot, text)
            state.newest[slot] = 0.0
            state.speaker[slot] = self._prenet.speaker(prompt.speaker.to(self._device, self._dtype))
            state.seed[slot] = _signed(prompt.seed)
            state.made[slot], state.fewest[slot] = 0, prompt.min_frames
            state.heard[slot], state.most[slot] = len(prompt.tokens), prompt.max_frames
            state.pointer[slot], state.over[slot] = 0, False
            state.alignments[slot] = Alignment(prompt.words, self._samples)

    def decode(self, state: SpeechT5State, slots: Tensor) -> Step:
        """One frame more for each row. Counters move last, so a call that raises changes nothing."""
        at = self._batch(state, slots.tolist())
        hidden, pointer = self._hidden(state, at)
        mel = self._mel(hidden)[: len(at.slots)].reshape(-1, *self.frame_shape)
        stopped = self._stopped(state, at, hidden)
        state.newest[at.past.index] = mel[:, -1]
        state.pointer[at.past.index] = pointer
        state.path[at.past.index, at.positions] = pointer.int()
        for slot, last in zip(at.slots, stopped.tolist(), strict=True):
            state.made[slot] += 1
            state.over[slot] = last or state.made[slot] >= state.most[slot]
        return Step(mel, torch.ones_like(stopped), stopped)

    def _batch(self, state: SpeechT5State, slots: list[int]) -> _Batch:
        made = [state.made[slot] for slot in slots]
        return _Batch(
            slots=slots,
            made=made,
            positions=torch.tensor(made, device=self._device),
            past=Rows.of(slots, [position + 1 for position in made], self._device),
            text=Rows.of(slots, [state.heard[slot] for slot in slots], self._device),
        )

    def word_times(self, state: SpeechT5State, slot: int) -> Sequence[WordTime]:
        """The words that have been passed; all of them once the row has stopped."""
        alignment, made = state.alignments[slot], state.made[slot]
        if alignment.read < made:
            alignment.follow(state.path[slot, alignment.read : made].tolist())
        if state.over[slot]:
            alignment.finish(state.heard[slot])
        return alignment.words

    def _hidden(self, state: SpeechT5State, at: _Batch) -> tuple[Tensor, Tensor]:
        """Decoder output [max(B, a few), hidden], see `pad_rows`, and where its pointers stand [B]."""
        rows = (state.newest, state.speaker, state.seed)
        newest, speaker, seeds = (pad_rows(tensor[at.past.index]) for tensor in rows)
        x = self._prenet(newest, speaker, seeds, pad_rows(at.positions))
        asked: list[Tensor] = []
        for layer, own, text in zip(self._layers, state.own, state.text, strict=True):
            x = layer(x, at, own, text, asked)
        index = at.past.index
        lengths = torch.tensor(at.text.lengths, device=self._device)
        guided = asked[-1][:, : self._guided], state.text[-1].keys[:, : self._guided]
        return x, self._pointer.moved(*guided, state.pointer[index], index, lengths)

    def _stopped(self, state: SpeechT5State, at: _Batch, hidden: Tensor) -> Tensor:
        """[B] bool on the CPU: the stop probabilities of a frame's slices, summed, reach the threshold."""
        likely = torch.sigmoid(self._stop(hidden)[: len(at.slots)].float()).sum(1)
        allowed = [made + 1 >= state.fewest[slot] for slot, made in zip(at.slots, at.made, strict=True)]
        return (likely >= self._threshold).cpu() & torch.tensor(allowed)


def _signed(seed: int) -> int:
    """The low 64 bits of any integer as a signed one, which is what tensors hold."""
    return (seed + 2**63) % 2**64 - 2**63
