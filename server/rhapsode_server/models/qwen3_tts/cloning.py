"""From a clip to a voice: what is computed once, so that no request pays for it again.

What must not live here: who may clone whom, storage, decoding files (audio/clip.py).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from rhapsode_server.audio.clip import read_clip
from rhapsode_server.core import Voice
from rhapsode_server.errors import ConfigError, InvalidRequest
from rhapsode_server.models.qwen3_tts.conditioning import Clip, Conditioning
from rhapsode_server.models.qwen3_tts.config import Checkpoint
from rhapsode_server.models.qwen3_tts.speaker_encoder import SpeakerEncoder
from rhapsode_server.models.qwen3_tts.speech_encoder import SpeechEncoder
from rhapsode_server.models.qwen3_tts.tokenizer import TextTokenizer
from rhapsode_server.models.qwen3_tts.vocoder import QwenVocoder
from rhapsode_server.models.qwen3_tts.voices import make_voice, read_text


class QwenCloner:
    """Clones voices for one Base checkpoint. Safe to use from several threads."""

    shortest = 1.0
    longest = 30.0
    """Seconds that a clip may last; each costs 12.5 positions of every request with this voice."""
    longest_transcript = 1000

    def __init__(
        self,
        checkpoint: Checkpoint,
        name: str,
        *,
        speaker: SpeakerEncoder,
        speech: SpeechEncoder,
        tokenizer: TextTokenizer,
        vocoder: QwenVocoder,
    ) -> None:
        self.sample_rate = speaker.config.sample_rate
        self._checkpoint = checkpoint
        self._name = name
        self._speaker = speaker
        self._speech = speech
        self._tokenizer = tokenizer
        self._vocoder = vocoder

    def clone(self, name: str, samples: Tensor, transcript: str = "", *, quiet_tail: float = 0.0) -> Voice:
        """The voice of a clip, float32 [N] at `sample_rate`.

        With the `transcript` of the whole clip the model hears the clip itself, which is closer to the
        voice; without it only a vector is used. `quiet_tail` seconds of silence after the clip keep a
        model from going on with the clip's last word. Raises errors.InvalidRequest.
        """
        if len(transcript) > self.longest_transcript:
            raise InvalidRequest("transcript", f"Shorten it to at most {self.longest_transcript} characters.")
        self._check(samples)
        device = self._vocoder.codec.tables.device
        sound = samples.float().to(device)
        vector = self.x_vector(sound)
        clip = None
        if transcript.strip():
            clip = self.clip(F.pad(sound, (0, round(quiet_tail * self.sample_rate))), transcript)
        return make_voice(self._checkpoint, self._name, name, Conditioning(x_vector=vector, clip=clip))

    @torch.inference_mode()
    def x_vector(self, samples: Tensor) -> Tensor:
        """The speaker's vector [width] of samples [N]."""
        mel = self.mel(samples).T[None]
        vector: Tensor = self._speaker(mel.to(self._speaker.fc.weight.dtype))[0]
        return vector

    def mel(self, samples: Tensor) -> Tensor:
        """What the speaker encoder sees of samples [N]: log mel spectra [T, mels]."""
        return self._speaker.mel(samples[None])[0].T

    def codes(self, samples: Tensor) -> Tensor:
        """Frames [F, codebooks] of samples [N]."""
        codes: Tensor = self._speech(samples)
        return codes

    def clip(self, samples: Tensor, transcript: str) -> Clip:
        """Codes of samples [N], ids of what is said in them, and the vocoder's state after them."""
        codes = self.codes(samples)
        ids = self._tokenizer.encode(transcript.strip())
        return Clip(codes, tuple(ids), self._vocoder.primed(codes))

    def read_folder(self, folder: Path) -> list[Voice]:
        """One voice for each NAME.wav in `folder`, with the transcript in NAME.txt where there is one.

        Raises errors.ConfigError, naming the file.
        """
        return [self._read(path) for path in sorted(folder.glob("*.wav"))]

    def _read(self, path: Path) -> Voice:
        transcript = path.with_suffix(".txt")
        try:
            samples = read_clip(
                path.read_bytes(), self.sample_rate, shortest=self.shortest, longest=self.longest
            )
            text = read_text(transcript) if transcript.exists() else ""
            voice = self.clone(path.stem.lower(), torch.from_numpy(samples), text)
        except InvalidRequest as error:
            raise ConfigError(f"{path}: {error.message}") from None
        return replace(voice, description=f"Cloned from {path.name}.")

    def _check(self, samples: Tensor) -> None:
        seconds = len(samples) / self.sample_rate
        if samples.dim() != 1 or not self.shortest <= seconds <= self.longest:
            raise InvalidRequest(
                "audio", f"The clip should last {self.shortest:g} to {self.longest:g} seconds."
            )
        if not bool(torch.isfinite(samples).all()):
            raise InvalidRequest("audio", "The clip has samples that are not numbers. Record it again.")
