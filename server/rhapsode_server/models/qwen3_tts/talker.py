"""The talker: the decoder that makes one hidden state per frame, with its embeddings and its head.

What must not live here: sampling, the prompt's layout, the code predictor's passes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhapsode_server.layers.decoder import Decoder
from rhapsode_server.models.qwen3_tts.config import TalkerConfig
from rhapsode_server.models.qwen3_tts.weights import Source, Store, Tensors, decoder_sources, fill, stack


class Embeddings(nn.Module):
    """Rows that prompts and frames are summed from, all as wide as the talker.

    `codes` stacks the talker's own table (control tokens and codebook 0) and one table for each further
    codebook, so that the 16 rows of a frame are one lookup.
    """

    def __init__(self, config: TalkerConfig) -> None:
        super().__init__()
        width = config.decoder.hidden
        rows = config.vocab + (config.codebooks - 1) * config.codebook_size
        self.words = nn.Parameter(torch.empty(config.text_vocab, config.text_hidden))
        self.fc1 = nn.Linear(config.text_hidden, config.text_hidden)
        self.fc2 = nn.Linear(config.text_hidden, width)
        self.codes = nn.Parameter(torch.empty(rows, width))
        further = range(config.codebooks - 1)
        self._starts = (0, *(config.vocab + book * config.codebook_size for book in further))
        self._offsets: dict[torch.device, Tensor] = {}

    @property
    def width(self) -> int:
        """Features of every row."""
        return self.codes.shape[1]

    def text(self, ids: Tensor) -> Tensor:
        """Text tokens [...] -> rows [..., width]."""
        projected: Tensor = self.fc2(F.silu(self.fc1(F.embedding(ids, self.words))))
        return projected

    def codec(self, ids: Tensor) -> Tensor:
        """Codec tokens (control, language, speaker, codebook 0) [...] -> rows [..., width]."""
        return F.embedding(ids, self.codes)

    def code(self, book: int, ids: Tensor) -> Tensor:
        """Codes of codebook `book` [...] -> rows [..., width]."""
        return F.embedding(ids + self._starts[book], self.codes)

    def frames(self, codes: Tensor) -> Tensor:
        """Whole frames [..., codebooks] -> the sum of their rows [..., width]."""
        offsets = self._offsets.get(codes.device)
        if offsets is None:
            offsets = self._offsets[codes.device] = torch.tensor(self._starts, device=codes.device)
        return F.embedding(codes + offsets, self.codes).sum(-2)


class Talker(nn.Module):
    """Hidden states from input rows, and logits of codebook 0 from hidden states."""

    def __init__(self, config: TalkerConfig) -> None:
        super().__init__()
        self.decoder = Decoder(config.decoder)
        self.head = nn.Linear(config.decoder.hidden, config.vocab, bias=False)


def check_depths(config: TalkerConfig, tensors: Tensors) -> None:
    """Raise errors.ModelUnusable where the main file has layers or codebooks that the config has not got."""
    inner, further = "talker.code_predictor.", config.codebooks - 1
    layers, books = "num_hidden_layers of ", "num_code_groups less the first"
    tensors.check_depth("talker.model.layers.", config.decoder.layers, f"{layers}talker_config")
    tensors.check_depth(f"{inner}model.layers.", config.predictor.layers, f"{layers}code_predictor_config")
    tensors.check_depth(f"{inner}model.codec_embedding.", further, books)
    tensors.check_depth(f"{inner}lm_head.", further, books)


def load_talker(config: TalkerConfig, tensors: Store) -> tuple[Talker, Embeddings]:
    """Read both from the main file of a checkpoint. Raises errors.ModelUnusable."""
    with torch.device("meta"):
        talker, embeddings = Talker(config), Embeddings(config)
    heads = (config.decoder.heads, config.decoder.kv_heads)
    sources = decoder_sources("decoder.", "talker.model.", config.decoder.layers, heads)
    fill(talker, tensors, sources | {"head.weight": "talker.codec_head.weight"})
    fill(embeddings, tensors, _embedding_sources(config))
    return talker, embeddings


def _embedding_sources(config: TalkerConfig) -> dict[str, Source]:
    further = (f"talker.code_predictor.model.codec_embedding.{i}.weight" for i in range(config.codebooks - 1))
    projection = {
        f"{name}.{part}": f"talker.text_projection.linear_{name}.{part}"
        for name in ("fc1", "fc2")
        for part in ("weight", "bias")
    }
    return {
        "words": "talker.model.text_embedding.weight",
        "codes": stack("talker.model.codec_embedding.weight", *further),
        **projection,
    }
