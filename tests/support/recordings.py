"""Recordings of nobody, models that make voices of them, and how to send one.

Uploads go through gRPC's blocking client: its asyncio twin can end the interpreter where a stream of requests
is refused and the test's traceback is written.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import soundfile
from rhapsode.tts.v1 import voice_service_pb2, voice_service_pb2_grpc
from rhapsode_server.models import qwen3_tts
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.models.qwen3_tts.config import Kind
from rhapsode_server.models.qwen3_tts.geometry import GEOMETRIES
from rhapsode_server.models.qwen3_tts.random_checkpoint import write_checkpoint

Config = voice_service_pb2.CloneConfig
Message = voice_service_pb2.CreateVoiceRequest


def recording(seconds: float = 1.5, seed: int = 0, kind: str = "WAV", rate: int = 24_000) -> bytes:
    """A file of noise."""
    samples = np.random.default_rng(seed).normal(0.0, 0.1, round(seconds * rate))
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind)
    return file.getvalue()


def silence(seconds: float, rate: int = 8_000) -> bytes:
    """A small FLAC file that unpacks to very much."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(round(seconds * rate), np.int16), rate, format="FLAC")
    return file.getvalue()


def tiny(folder: Path, kind: Kind, voices: Path | None = None) -> SpeechModel:
    """A random Qwen3-TTS checkpoint of that kind, written into `folder`."""
    write_checkpoint(folder, GEOMETRIES["tiny"], kind, end_chance=0.1)
    return qwen3_tts.load(str(folder), positions=512, voices=voices)


def consenting(**fields: Any) -> Config:
    """What a caller says who may clone."""
    return Config(**{"consent": True, **fields})


def parts(config: Config, data: bytes, step: int = 65_536) -> Iterator[Message]:
    """The messages of one upload."""
    yield Message(config=config)
    for start in range(0, len(data), step):
        yield Message(audio=data[start : start + step])


def send(target: str, messages: Iterator[Message], metadata: Any = ()) -> Any:
    """CreateVoice, blocking; returns the voice, raises grpc.RpcError."""
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
    with grpc.insecure_channel(target, options) as channel:
        stub: Any = voice_service_pb2_grpc.VoiceServiceStub(channel)  # type: ignore[no-untyped-call]
        return stub.CreateVoice(messages, metadata=metadata, timeout=60).voice


async def upload(target: str, config: Config, data: bytes, metadata: Any = ()) -> Any:
    """The same for a whole recording, on a thread."""
    return await asyncio.to_thread(send, target, parts(config, data), metadata)
