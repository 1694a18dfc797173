"""The speecht5 family: `SpeechT5ForTextToSpeech` checkpoints with their HiFi-GAN vocoder.

What lives here: putting the parts together. What must not: any arithmetic.
"""

from __future__ import annotations

from pathlib import Path

import torch

from rhapsode_server.errors import ModelUnusable
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.models.speecht5.acoustic import Speaking, SpeechT5Acoustic
from rhapsode_server.models.speecht5.config import AcousticConfig, VocoderConfig
from rhapsode_server.models.speecht5.frontend import VOCABULARY, Lengths, SpeechT5Frontend
from rhapsode_server.models.speecht5.vocoder import SpeechT5Vocoder
from rhapsode_server.models.speecht5.voices import read_voices
from rhapsode_server.models.speecht5.weights import Weights, find, read_json, read_weights, weight_files

FAMILY = "speecht5"
PUBLISHED = "microsoft/speecht5_tts"
PUBLISHED_VOCODER = "microsoft/speecht5_hifigan"
VOCODER_FOLDER = "vocoder"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SLOTS = 32
WINDOWS_AT_ONCE = 3
"""Windows vocoded in one step on the CPU: about 0.2 s on two cores, which others wait at most."""


def load(
    source: str = PUBLISHED,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    vocoder: str | None = None,
    vocoder_dtype: str | None = None,
    voices: str | Path | None = None,
    default_voice: str | None = None,
    name: str = FAMILY,
    revision: str | None = None,
    threshold: float = 0.5,
    min_length_ratio: float = 0.0,
    max_length_ratio: float = 20.0,
    max_frames: int | None = None,
    dropout: bool = True,
) -> SpeechModel:
    """Load a checkpoint from a folder or the model hub.

    `vocoder`: folder or hub id of the HiFi-GAN; without it the folder "vocoder" inside the checkpoint, or
    the published one for a checkpoint of the hub. `voices`: a folder of x-vectors (see voices.py).
    `threshold`, `min_length_ratio`, `max_length_ratio`: as in `generate_speech` of transformers.
    `max_frames`: most frames of an utterance, and so cache positions of a row; without it as many as the
    checkpoint has positions. `dropout=False` makes the prenet deterministic: for comparisons only, the
    model was not trained to speak like that.

    Raises ModelUnusable, which names the file and what to do.
    """
    folder = find(source, revision)
    read_json(folder, "config.json")
    weight_files(folder)  # what is wrong with the checkpoint itself is said before what is missing beside it
    sound_folder = find(vocoder or _vocoder_beside(folder, source))
    target = torch.device(device)
    config, sound_config = _configs(folder, sound_folder)
    weights, digest = read_weights(folder, _dtype(dtype), target)
    sound_weights, sound_digest = read_weights(sound_folder, _dtype(vocoder_dtype or dtype), target)
    sound = SpeechT5Vocoder(_as(weights, sound_weights), config, sound_weights, sound_config)
    rate = sound.sample_rate
    most = min(max_frames or config.max_speech_positions, config.max_speech_positions)
    spoken = Speaking(rate / sound.samples_per_frame, most, threshold, dropout, sound.samples_per_frame)
    lengths = Lengths(min_length_ratio, max_length_ratio, most)
    return SpeechModel(
        name=name,
        family=FAMILY,
        frontend=SpeechT5Frontend(folder / VOCABULARY, config, lengths),
        acoustic=SpeechT5Acoustic(weights, config, spoken),
        vocoder=sound,
        voices=read_voices(voices, config.speaker_embedding_dim, name, rate, default_voice),
        slots=SLOTS,
        positions=most,
        vocode_frames=WINDOWS_AT_ONCE * sound.most_shown if target.type == "cpu" else 0,
        details={
            "source": source,
            "device": device,
            "dtype": dtype,
            "parameters": f"{(weights.count + sound_weights.count) / 1e6:.1f} M",
            "sha256": digest,
            "vocoder_sha256": sound_digest,
        },
    )


def _configs(folder: Path, sound_folder: Path) -> tuple[AcousticConfig, VocoderConfig]:
    """Both config.json; raises ModelUnusable where one cannot be used or they do not fit together."""
    ours, theirs = folder / "config.json", sound_folder / "config.json"
    config = AcousticConfig.read(read_json(folder, ours.name), str(ours))
    sound = VocoderConfig.read(read_json(sound_folder, theirs.name), str(theirs))
    if sound.model_in_dim != config.num_mel_bins:
        raise ModelUnusable(
            f"{sound_folder} wants {sound.model_in_dim} mel bins, {folder} makes {config.num_mel_bins}. "
            "Choose a vocoder that was trained for this checkpoint."
        )
    return config, sound


def _dtype(name: str) -> torch.dtype:
    if name not in DTYPES:
        raise ModelUnusable(f"There is no dtype {name!r}. Choose one of: {', '.join(DTYPES)}.")
    return DTYPES[name]


def _as(weights: Weights, like: Weights) -> Weights:
    """The same tensors in the other's dtype: the postnet computes as the vocoder does."""
    return Weights(weights.tensors, weights.origin, like.dtype, like.device)


def _vocoder_beside(folder: Path, source: str) -> str:
    """Where the vocoder of a checkpoint is, when nobody says so; raises ModelUnusable."""
    beside = folder / VOCODER_FOLDER
    if beside.is_dir():
        return str(beside)
    if not Path(source).expanduser().is_dir():
        return PUBLISHED_VOCODER
    raise ModelUnusable(
        f"{folder} has no folder {VOCODER_FOLDER!r} with a HiFi-GAN. Put one there, or name it with the "
        f"option vocoder (the published one is {PUBLISHED_VOCODER})."
    )
