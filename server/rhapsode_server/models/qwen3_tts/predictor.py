"""The code predictor: codebooks 1 and up of one frame, one after the other, for all rows of a batch at once.

What must not live here: the talker, per-request state: its cache lives as long as one frame.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rhapsode_server.layers.decoder import Decoder
from rhapsode_server.layers.kv_cache import Scratch
from rhapsode_server.models.qwen3_tts.config import TalkerConfig
from rhapsode_server.models.qwen3_tts.talker import Embeddings
from rhapsode_server.models.qwen3_tts.weights import Store, decoder_sources, fill

Choose = Callable[[int, Tensor], Tensor]
"""(codebook, logits [B, codebook_size]) -> codes [B]."""


class Predictor(nn.Module):
    """A small decoder with one head per further codebook.

    It works in a width of its own; `inward` takes rows of the talker's width there and is absent from
    checkpoints whose widths agree (0.6B).
    """

    def __init__(self, config: TalkerConfig) -> None:
        super().__init__()
        wide, narrow = config.decoder.hidden, config.predictor.hidden
        self.decoder = Decoder(config.predictor)
        heads = (nn.Linear(narrow, config.codebook_size, bias=False) for _ in range(config.codebooks - 1))
        self.heads = nn.ModuleList(heads)
        self.inward = nn.Linear(wide, narrow) if wide != narrow else None

    def forward(self, hidden: Tensor, first: Tensor, embeddings: Embeddings, choose: Choose) -> Tensor:
        """Talker's normalised `hidden` [B, width] and codebook 0 `first` [B] -> codes [B, codebooks].

        The first pass reads two rows (the hidden state, the code's row in the *talker's* table); each further
        pass reads the code just chosen and has a head of its own.
        """
        rows = torch.stack((hidden, embeddings.codec(first)), 1)
        memory = Scratch(self.decoder.config.layers)
        cos, sin = self.decoder.rope.table(len(self.heads) + 1, rows.device, rows.dtype)
        codes, seen = [first], 0
        for book in range(1, len(self.heads) + 1):
            here = slice(seen, seen + rows.shape[1])
            rope = (cos[:, :, here], sin[:, :, here])
            x = self.decoder.turned(self._narrow(rows), rope, memory, causal=seen == 0)
            seen = here.stop
            codes.append(choose(book, self.heads[book - 1](x[:, -1])))
            rows = embeddings.code(book, codes[-1])[:, None] if book < len(self.heads) else rows
        return torch.stack(codes, 1)

    def _narrow(self, rows: Tensor) -> Tensor:
        if self.inward is None:
            return rows
        narrow: Tensor = self.inward(rows)
        return narrow


def load_predictor(config: TalkerConfig, tensors: Store) -> Predictor:
    """Read it from the main file of a checkpoint. Raises errors.ModelUnusable."""
    with torch.device("meta"):
        predictor = Predictor(config)
    stored = "talker.code_predictor."
    heads = (config.predictor.heads, config.predictor.kv_heads)
    sources = decoder_sources("decoder.", f"{stored}model.", config.predictor.layers, heads)
    for index in range(config.codebooks - 1):
        sources[f"heads.{index}.weight"] = f"{stored}lm_head.{index}.weight"
    for part in ("weight", "bias"):
        sources[f"inward.{part}"] = f"{stored}small_to_mtp_projection.{part}"
    fill(predictor, tensors, sources)
    return predictor
