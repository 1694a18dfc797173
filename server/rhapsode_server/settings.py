"""One frozen tree of settings: every setting with its default, its bounds, its unit and what it means.

What must not live here: where settings come from (config.py), a default that is repeated elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True
    )


class ServerSettings(_Section):
    """Where the server listens and how it treats connections. Times in seconds."""

    host: str = "127.0.0.1"
    """Only this machine unless told otherwise; "0.0.0.0" or "[::]" for every interface."""
    port: int = Field(default=50051, ge=0, le=65535)
    """0 lets the system choose; the port in use is logged."""
    health_port: int | None = Field(default=None, ge=0, le=65535)
    """A second, plaintext port with grpc.health.v1 only, for probes; the main port has it too."""
    reflection: bool = False
    """Let clients such as grpcurl ask which services there are."""
    load_reports: bool = False
    """Tell balancers how busy the server is, by ORCA: with the end of each call, and by OpenRcaService."""
    drain_seconds: float = Field(default=30.0, ge=0)
    """How long running utterances may go on after SIGTERM; then they are cancelled."""
    max_stream_seconds: float = Field(default=1800.0, gt=0)
    """A call or a context that takes so much more time than its sound ends: STREAM_TOO_LONG."""
    max_concurrent_streams: int = Field(default=100, ge=1)
    """Per connection: one client that opens and resets streams cannot stall the others."""
    max_connection_age: float = Field(default=300.0, gt=0)
    """Clients then reconnect, and so find new servers; running streams are never cut by it."""
    max_connection_idle: float = Field(default=900.0, gt=0)
    """A connection without calls is closed after this."""
    keepalive_time: float = Field(default=30.0, ge=1)
    """A quiet connection is asked this often whether anybody is there."""
    keepalive_timeout: float = Field(default=10.0, ge=1)
    """A connection that does not answer for so long is closed, and its calls are cancelled."""
    handshake_timeout: float = Field(default=20.0, gt=0)
    """A connection that has not said hello by then, over TLS or without, is closed."""
    max_message_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    """The largest request."""


class ModelSettings(_Section):
    """Which checkpoint speaks, and on what."""

    source: str = "ion"
    """The name of a family with weights of its own, or a folder with a checkpoint, or a hub id."""
    family: str = ""
    """Whose checkpoint `source` is, where that cannot be told from its name or its config.json."""
    options: dict[str, str | int | float | bool] = {}
    """Further arguments of the family's loader, such as `dtype`; it refuses those that it has not got."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")
    """auto, cpu, cuda, cuda:1 or mps; auto is a GPU where there is one."""
    threads: int = Field(default=0, ge=0)
    """Threads of one matrix product; 0: what suits the model, else one for each core of this process."""
    voices: Path | None = None
    """A folder with further voices."""


class EngineSettings(_Section):
    """How many utterances at once, and how far ahead of their listeners."""

    slots: int | None = Field(default=None, ge=1, le=4096)
    """Utterances decoded together; unset: what the model thinks sensible."""
    max_waiting: int = Field(default=64, ge=0)
    """Utterances that may wait for a slot; the next one is answered RESOURCE_EXHAUSTED."""
    max_ahead: float = Field(default=10.0, ge=0)
    """Seconds of sound made ahead of what a listener has heard; 0: as far as it goes."""
    hang_seconds: float = Field(default=10.0, gt=0)
    """A step that takes longer makes the server not ready; after twice that it ends with code 70."""


class LimitSettings(_Section):
    """What a request may ask for."""

    max_characters: int = Field(default=10_000, ge=1)
    """Characters of one text, after which it is refused."""
    text_workers: int = Field(default=4, ge=1)
    """Threads that turn text into prompts."""
    session_contexts: int = Field(default=16, ge=1)
    """Contexts that one session may have open at a time."""
    session_idle_seconds: float = Field(default=60.0, gt=0)
    """A session in which neither side says anything for so long is ended, reason SESSION_IDLE."""
    created_voices: int = Field(default=500, ge=0)
    """Voices that callers have made and that are kept; the least used one makes room. 0: none."""
    voice_memory_bytes: int = Field(default=256 * 1024 * 1024, ge=1024)
    """What created voices may take up together, on the model's device; one with a clip takes about 5 MB."""
    voice_upload_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """The largest recording that a voice may be made of."""
    voice_upload_seconds: float = Field(default=60.0, gt=0)
    """The most time that sending one recording may take."""
    voice_uploads: int = Field(default=4, ge=1)
    """Recordings on their way at a time; one tenant has at most half of them."""
    voice_clip_seconds: float = Field(default=30.0, gt=0)
    """The longest recording, as it sounds; the model's own limit holds besides."""


class TelemetrySettings(_Section):
    """What is told about the work. Exporters are configured by the standard OTEL_* variables."""

    log_format: Literal["text", "json"] = "text"
    """Lines for people, or a JSON object a line."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious lines that are written; health checks are logged at debug."""


class SecuritySettings(_Section):
    """Who may call, and how it is known who calls. Files that change are read anew, without a restart."""

    certificate: Path | None = None
    """PEM file of the server's certificate and its chain; calls then come by TLS, 1.2 or later."""
    private_key: Path | None = None
    """PEM file of the certificate's key, without a pass phrase."""
    client_ca: Path | None = None
    """PEM file; clients must show a certificate that it has signed (mTLS), whose name is the tenant."""
    api_keys: Path | None = None
    """File with a `tenant:key` a line; every call must then carry `authorization: Bearer <key>`."""
    open_health: bool = False
    """Answer health checks on the main port without a key, too; the port for probes never asks."""


class QuotaSettings(_Section):
    """One tenant's share. Unset: no limit. Tenants are known by `security.api_keys` or `client_ca`."""

    concurrent_streams: int | None = Field(default=None, ge=1)
    """Utterances at a time: calls of Synthesize and open contexts of sessions."""
    concurrent_sessions: int | None = Field(default=None, ge=1)
    """Sessions open at a time, speaking or not; unset: 16 for each of `concurrent_streams`."""
    characters_per_minute: int | None = Field(default=None, ge=1)
    """What is begun is finished; a tenant that went beyond waits before its next utterance."""
    audio_seconds_per_minute: float | None = Field(default=None, gt=0)
    """Seconds of sound sent, counted in the same way."""


class Settings(_Section):
    """The whole tree."""

    server: ServerSettings = ServerSettings()
    model: ModelSettings = ModelSettings()
    engine: EngineSettings = EngineSettings()
    limits: LimitSettings = LimitSettings()
    security: SecuritySettings = SecuritySettings()
    quotas: QuotaSettings = QuotaSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
