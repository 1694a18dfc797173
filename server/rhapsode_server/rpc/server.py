"""A grpc.aio server with our options on a port of its own.

What lives here: channel options with their reasons, binding, and what to say where a port cannot be had.
What must not: services, the order of start and stop.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection
from rhapsode.tts.v1 import service_pb2, voice_service_pb2

from rhapsode_server.errors import RhapsodeError


class PortUnavailable(RhapsodeError):
    """The address cannot be listened on; the message says which and what to do."""

    status = "FAILED_PRECONDITION"
    reason = "PORT_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How connections are treated. Times in seconds."""

    max_concurrent_streams: int = 100
    max_connection_age: float = 300.0
    max_connection_idle: float = 900.0
    keepalive_time: float = 30.0
    keepalive_timeout: float = 10.0
    handshake_timeout: float = 20.0
    max_message_bytes: int = 4 * 1024 * 1024


def options(limits: ConnectionLimits) -> list[tuple[str, int]]:
    """Channel arguments.

    - max_concurrent_streams: without it one client that opens and resets streams stalls all others.
    - overload_protection off: it counts calls that have ended until Python has let go of them, so of 200
      calls at once on one connection, which wait their turn at 100, it sent half away as UNAVAILABLE.
    - max_connection_age without a grace: clients look for new servers, and no stream is ever cut.
    - server_handshake_timeout: the default lets a connection that says nothing stay for two minutes.
    - ping_timeout: gRPC measures bandwidth by pings of its own, and while one is unanswered keepalive asks
      nothing; left alone it would wait a minute for it, whatever the keepalive timeout.
    - min_ping_interval_without_data: the default of 5 minutes sends clients with keepalive away.
    - so_reuseport 0: by default a second process on the port would quietly take half of the calls.
    - no maximum_concurrent_rpcs anywhere: it would refuse health checks too.
    """
    return [
        ("grpc.max_concurrent_streams", limits.max_concurrent_streams),
        ("grpc.http.overload_protection", 0),
        ("grpc.max_connection_age_ms", _milliseconds(limits.max_connection_age)),
        ("grpc.max_connection_idle_ms", _milliseconds(limits.max_connection_idle)),
        ("grpc.keepalive_time_ms", _milliseconds(limits.keepalive_time)),
        ("grpc.keepalive_timeout_ms", _milliseconds(limits.keepalive_timeout)),
        ("grpc.server_handshake_timeout_ms", _milliseconds(limits.handshake_timeout)),
        ("grpc.http2.ping_timeout_ms", _milliseconds(limits.keepalive_timeout)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.max_receive_message_length", limits.max_message_bytes),
        ("grpc.so_reuseport", 0),
    ]


def build(limits: ConnectionLimits, interceptors: Sequence[grpc.aio.ServerInterceptor]) -> grpc.aio.Server:
    """A server without services and ports."""
    return grpc.aio.server(interceptors=interceptors, options=options(limits))


def reflect(server: grpc.aio.Server) -> None:
    """Let clients ask which services and messages there are, as grpcurl does."""
    files = (service_pb2.DESCRIPTOR, voice_service_pb2.DESCRIPTOR)
    ours = [service.full_name for file in files for service in file.services_by_name.values()]
    reflection.enable_server_reflection((reflection.SERVICE_NAME, health.SERVICE_NAME, *ours), server)


def bind(
    server: grpc.aio.Server,
    host: str,
    port: int,
    setting: str,
    credentials: grpc.ServerCredentials | None = None,
) -> int:
    """Listen on host and port, in plaintext without credentials; returns the port, chosen where it was 0.

    `setting` is the name of the setting that chooses another one. Raises PortUnavailable.
    """
    _try(host, port, setting)
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    try:
        if credentials is not None:
            return int(server.add_secure_port(f"{shown}:{port}", credentials))
        return int(server.add_insecure_port(f"{shown}:{port}"))
    except RuntimeError:
        raise PortUnavailable(_sentence(host, port, setting, "cannot be listened on")) from None


_REASONS = {
    errno.EADDRINUSE: "is in use by another program",
    errno.EACCES: "may not be used by this user",
}


def _try(host: str, port: int, setting: str) -> None:
    """Listen for a moment: the system says why it cannot be done, gRPC does not."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except socket.gaierror:
        raise PortUnavailable(
            f"There is no host {host!r}. Set server.host to an address of this machine."
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise PortUnavailable(
                f"{host} is not an address of this machine. Set server.host to one that is."
            ) from None
        reason = _REASONS.get(error.errno or 0, f"cannot be listened on ({error.strerror})")
        raise PortUnavailable(_sentence(host, port, setting, reason)) from None


def _sentence(host: str, port: int, setting: str, reason: str) -> str:
    return f"Port {port} of {host} {reason}. Choose another with {setting}, or stop what uses it."


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
