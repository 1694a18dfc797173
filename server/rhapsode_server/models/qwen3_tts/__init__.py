"""Qwen3-TTS, the 12 Hz family: designed, preset and cloned voices in ten languages (arXiv 2601.15621).

What lives here: putting one checkpoint together. `load` is all that the rest of the server calls.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from rhapsode_server.core import Chunking, Voice
from rhapsode_server.errors import ConfigError
from rhapsode_server.layers.projection import pack
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.models.qwen3_tts.acoustic import QwenAcoustic
from rhapsode_server.models.qwen3_tts.cloning import QwenCloner
from rhapsode_server.models.qwen3_tts.codec_weights import load_codec
from rhapsode_server.models.qwen3_tts.config import Checkpoint
from rhapsode_server.models.qwen3_tts.config_files import read_checkpoint
from rhapsode_server.models.qwen3_tts.feed import QwenFeedingFrontend
from rhapsode_server.models.qwen3_tts.frontend import SETTINGS
from rhapsode_server.models.qwen3_tts.guards import Guards
from rhapsode_server.models.qwen3_tts.predictor import load_predictor
from rhapsode_server.models.qwen3_tts.speaker_encoder import load_speaker_encoder
from rhapsode_server.models.qwen3_tts.speech_encoder import load_speech_encoder
from rhapsode_server.models.qwen3_tts.talker import check_depths, load_talker
from rhapsode_server.models.qwen3_tts.tokenizer import SplitPattern, TextTokenizer
from rhapsode_server.models.qwen3_tts.vocoder import QwenVocoder, Seams
from rhapsode_server.models.qwen3_tts.voices import (
    QwenDesigner,
    designed_voices,
    plain_voice,
    preset_voices,
    with_default,
)
from rhapsode_server.models.qwen3_tts.weights import Tensors, locate

FAMILY = "qwen3_tts"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CHUNKING = Chunking(first=1, largest=8, growth=2)
"""First sound after one frame (80 ms of it), then 2, 4 and 8 frames: the listener's buffer grows with it.

A codec call of a step may hold eight such frames on a CPU (0.5 s of one core) and 64 on an accelerator, and a
row of cache is 235 MB at full size in bfloat16: hence the numbers of slots and frames that `load` suggests.
"""


def load(
    source: str,
    *,
    device: str = "cpu",
    dtype: str | None = None,
    voices: Path | None = None,
    positions: int = 2048,
    guards: Guards = Guards(),  # noqa: B008 - frozen
    seams: Seams | None = None,
    streaming: bool | None = None,
    split: SplitPattern = "qwen",
) -> SpeechModel:
    """Load a released checkpoint from a folder or by its hub id.

    `dtype` of the language model ("float32", "bfloat16"; unset: the checkpoint's own, which is bfloat16 for
    the released ones); the codec always works in float32. `voices` is a folder of descriptions (NAME.txt)
    for a design checkpoint, of clips (NAME.wav, with what is said in NAME.txt) for a Base one. `positions`
    are the cache positions of a row. `seams` makes the codec forget as the reference does. `streaming` lays
    text out token by token beside the sound instead of before it; unset: as the reference does for this
    kind. `split` is the tokenizer's pattern. Raises errors.ModelUnusable, errors.ConfigError.
    """
    path = locate(source)
    checkpoint = read_checkpoint(path)
    tensors = Tensors(path / "model.safetensors", dtype=_dtype(dtype, device), device=device)
    check_depths(checkpoint.talker, tensors)
    talker, embeddings = load_talker(checkpoint.talker, tensors)
    predictor = load_predictor(checkpoint.talker, tensors)
    for module in (talker, predictor, embeddings):
        pack(module)
    codec = load_codec(checkpoint.codec, path / "speech_tokenizer", device)
    tokenizer = TextTokenizer(path, checkpoint.text, split)
    acoustic = QwenAcoustic(checkpoint, talker, predictor, embeddings, positions=positions, guards=guards)
    frontend = QwenFeedingFrontend(
        checkpoint,
        tokenizer,
        embeddings,
        positions=positions,
        frame_rate=acoustic.frame_rate,
        guards=guards,
        streaming=checkpoint.kind == "base" if streaming is None else streaming,
    )
    vocoder = QwenVocoder(codec, chunking=CHUNKING, seams=seams)
    name = _name(source, path)
    cloner = _cloner(checkpoint, name, tensors, tokenizer, vocoder)
    return SpeechModel(
        name=name,
        family=FAMILY,
        frontend=frontend,
        acoustic=acoustic,
        vocoder=vocoder,
        voices=with_default(_voices(checkpoint, name, cloner, voices)),
        sampling=SETTINGS,
        slots=8 if device == "cpu" else 32,
        positions=positions,
        vocode_frames=8 if device == "cpu" else 64,
        silence=guards.silence,
        details=_details(tensors, embeddings.codes),
        cloner=cloner,
        designer=QwenDesigner(checkpoint, name) if checkpoint.kind == "voice_design" else None,
    )


def _name(source: str, path: Path) -> str:
    return path.name if Path(source).is_dir() else source.rpartition("/")[2]


def _cloner(
    checkpoint: Checkpoint, name: str, tensors: Tensors, tokenizer: TextTokenizer, vocoder: QwenVocoder
) -> QwenCloner | None:
    """What makes voices from clips, for the checkpoints that have the encoders for it."""
    if checkpoint.speaker is None or checkpoint.speech_encoder is None:
        return None
    device = str(vocoder.codec.tables.device)
    speech = load_speech_encoder(checkpoint.speech_encoder, checkpoint.path / "speech_tokenizer", device)
    speaker = load_speaker_encoder(checkpoint.speaker, tensors)
    return QwenCloner(checkpoint, name, speaker=speaker, speech=speech, tokenizer=tokenizer, vocoder=vocoder)


def _voices(checkpoint: Checkpoint, name: str, cloner: QwenCloner | None, folder: Path | None) -> list[Voice]:
    if checkpoint.kind == "voice_design":
        return designed_voices(checkpoint, name, folder)
    if cloner is None:
        return preset_voices(checkpoint, name)  # a folder has nothing to add to trained speakers
    return (cloner.read_folder(folder) if folder else []) or [plain_voice(checkpoint, name)]


def _dtype(name: str | None, device: str) -> torch.dtype | None:
    """None: as the file has it, unless this CPU would have to convert every weight at every step."""
    if name is None:
        slow = device == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return torch.float32 if slow else None
    if name not in DTYPES:
        raise ConfigError(f"There is no dtype {name!r} for this family. Choose one of: {', '.join(DTYPES)}.")
    return DTYPES[name]


def _details(tensors: Tensors, loaded: Tensor) -> dict[str, str]:
    """Facts worth printing at start."""
    return {
        "parameters": str(tensors.parameters),
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "device": str(loaded.device),
    }
