"""A real Envoy with the chart's numbers before three servers: long streams live, and load spreads.

What must not live here: a stand-in for Envoy or for the server. The model is the toy, paced as speech is.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from rhapsode import AsyncClient
from rhapsode.errors import RhapsodeError
from rhapsode.tts.v1 import service_pb2_grpc, synthesis_pb2

from tests.chart.rendering import CHECKS, one, program, rendered

pytestmark = pytest.mark.chart

LONG = "abcde fghij " * 34
"""Some 24 s of the toy's tones."""
SHORT = "abcde fghij " * 6
WORD = "abcdefghij"
STREAMS = 60


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


@dataclass
class Fleet:
    """Three servers and an Envoy; `least` balances by load, `voice` by the header x-tts-voice."""

    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    envoy: subprocess.Popen[bytes] | None = None
    least: int = field(default_factory=free_port)
    voice: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)

    def begun(self, cluster: str) -> list[int]:
        """How many streams each server was given through this cluster."""
        url = f"http://127.0.0.1:{self.admin}/clusters?format=json"
        with urllib.request.urlopen(url) as answer:
            clusters = json.load(answer)["cluster_statuses"]
        hosts = next(c for c in clusters if c["name"] == cluster)["host_statuses"]
        totals = {
            host["address"]["socket_address"]["port_value"]: int(stat.get("value", 0))
            for host in hosts
            for stat in host["stats"]
            if stat["name"] == "rq_total"
        }
        return [totals[port] for port in self.ports]


def cluster(name: str, ports: list[int], policy: dict[str, Any], balance: dict[str, Any]) -> dict[str, Any]:
    """An Envoy cluster of these ports with the numbers of the chart's BackendTrafficPolicy."""
    active = policy["healthCheck"]["active"]
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
        for port in ports
    ]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "http2_protocol_options": {},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_requests": policy["circuitBreaker"]["maxParallelRequests"],
                    "max_pending_requests": policy["circuitBreaker"].get("maxPendingRequests", 1024),
                    "max_connections": policy["circuitBreaker"].get("maxConnections", 1024),
                }
            ]
        },
        "health_checks": [
            {
                "timeout": active["timeout"],
                "interval": active["interval"],
                "no_traffic_interval": "1s",  # else one that is not up yet waits a minute
                "healthy_threshold": active["healthyThreshold"],
                "unhealthy_threshold": active["unhealthyThreshold"],
                "grpc_health_check": {"service_name": active["grpc"]["service"]},
            }
        ],
        **balance,
    }


def listener(port: int, to: str, policy: dict[str, Any], **action: Any) -> dict[str, Any]:
    """A listener whose one route has the chart's time-outs."""
    limits = policy["timeout"]["http"]
    route = {
        "cluster": to,
        "timeout": limits["requestTimeout"],
        "idle_timeout": limits["streamIdleTimeout"],
        "max_stream_duration": {"max_stream_duration": limits["maxStreamDuration"]},
        **action,
    }
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager",
        "stat_prefix": to,
        "codec_type": "HTTP2",
        "route_config": {
            "virtual_hosts": [
                {"name": to, "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
    }
    return {
        "name": to,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def configuration(fleet: Fleet) -> dict[str, Any]:
    """Envoy's whole configuration."""
    policy = one(rendered("gateway"), "BackendTrafficPolicy")["spec"]
    chosen = policy["loadBalancer"]
    assert chosen["type"] == "LeastRequest"
    slow_start = {"slow_start_config": {"slow_start_window": chosen["slowStart"]["window"]}}
    least = {"lb_policy": "LEAST_REQUEST", "least_request_lb_config": slow_start}
    voice = {
        "lb_policy": "MAGLEV",
        "common_lb_config": {"consistent_hashing_lb_config": {"hash_balance_factor": 125}},
    }
    by_voice = [{"header": {"header_name": "x-tts-voice"}}]
    return {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": fleet.admin}}},
        "static_resources": {
            "listeners": [
                listener(fleet.least, "least", policy),
                listener(fleet.voice, "voice", policy, hash_policy=by_voice),
            ],
            "clusters": [
                cluster("least", fleet.ports, policy, least),
                cluster("voice", fleet.ports, policy, voice),
            ],
        },
    }


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Started and healthy; whatever still runs at the end is ended."""
    envoy = program("envoy", CHECKS)
    made = Fleet()
    command = [sys.executable, "-m", "rhapsode", "serve", "--model", "toy", "--threads", "1"]
    rest = ["--set", "engine.max_ahead=1", "--set", "server.drain_seconds=60", "--slots", "64"]
    try:
        for number in range(3):
            port = free_port()
            made.ports.append(port)
            with (tmp_path / f"server{number}.log").open("wb") as log:
                started = subprocess.Popen([*command, "--port", str(port), *rest], stderr=log, stdout=log)
            made.servers.append(started)
        (tmp_path / "envoy.yaml").write_text(yaml.safe_dump(configuration(made)))
        quiet = ["--base-id", str(made.admin), "--concurrency", "1", "--log-level", "error"]
        made.envoy = subprocess.Popen([envoy, "-c", str(tmp_path / "envoy.yaml"), *quiet])
        _wait_healthy(made)
        yield made
    finally:
        for process in [*made.servers, *([made.envoy] if made.envoy else [])]:
            process.kill()
            process.wait()


def _wait_healthy(fleet: Fleet) -> None:
    """Until Envoy has found every server ready; a test that hangs is ended by its time limit."""
    while True:
        assert fleet.envoy is not None
        assert fleet.envoy.poll() is None, "Envoy has ended"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{fleet.admin}/clusters") as answer:
                text = answer.read().decode()
            if len(re.findall(r"health_flags::healthy", text)) == 6:
                return
        except OSError:
            pass
        time.sleep(0.2)


async def speak(client: AsyncClient, text: str, seed: int) -> tuple[int, float] | RhapsodeError:
    """Samples and seconds of a stream that ended well, or what ended it."""
    began = time.monotonic()
    try:
        samples = 0
        async for chunk in client.synthesize(text, seed=seed):
            assert chunk.start_sample == samples, "a hole, or something twice"
            samples += chunk.sample_count
    except RhapsodeError as error:
        return error
    return samples, time.monotonic() - began


async def connected(fleet: Fleet, cluster: str, call: Callable[[int], Coroutine[Any, Any, object]]) -> None:
    """Calls, one by one, until every server has had one.

    Envoy counts a request only once its connection stands, so a crowd that comes in one instant would all go
    to a server that it has not called before.
    """
    number = 0
    while not all(fleet.begun(cluster)):
        number += 1
        await call(number)


async def test_long_streams_spread_and_outlive_a_lost_server_and_a_drained_one(fleet: Fleet) -> None:
    async with AsyncClient(f"127.0.0.1:{fleet.least}") as client:
        whole = await speak(client, LONG, 1)
        assert isinstance(whole, tuple)
        assert whole[1] > 20, "the stream must be longer than Envoy's own 15 s"
        await connected(fleet, "least", lambda seed: speak(client, WORD, seed))
        before = fleet.begun("least")
        running = [asyncio.create_task(speak(client, LONG, seed)) for seed in range(STREAMS)]
        await asyncio.sleep(4)
        given = [now - then for now, then in zip(fleet.begun("least"), before, strict=True)]
        assert sum(given) == STREAMS
        assert max(given) - min(given) <= 0.3 * STREAMS / 3 + 1, given
        fleet.servers[0].kill()
        fleet.servers[1].send_signal(signal.SIGTERM)
        ended = await asyncio.gather(*running)
    lost = [result for result in ended if isinstance(result, RhapsodeError)]
    assert len(lost) == given[0], "exactly those of the server that was killed"
    assert {result[0] for result in ended if isinstance(result, tuple)} == {whole[0]}
    assert await asyncio.to_thread(fleet.servers[1].wait) == 0


async def test_open_sessions_take_no_slot_and_keep_nobody_out(fleet: Fleet) -> None:
    """More than two pods have slots and places to wait, all in one instant, and then somebody speaks."""
    async with AsyncClient(f"127.0.0.1:{fleet.least}") as client, AsyncExitStack() as kept:
        sessions = [client.session() for _ in range(2 * (64 + 32) + 8)]
        await asyncio.gather(*(kept.enter_async_context(session) for session in sessions))
        told = await asyncio.gather(*(session.started() for session in sessions), return_exceptions=True)
        assert [refused for refused in told if isinstance(refused, BaseException)] == []
        assert isinstance(await speak(client, WORD, 1), tuple)


@asynccontextmanager
async def stub(port: int) -> AsyncIterator[Any]:
    """The generated stub."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield service_pb2_grpc.SpeechSynthesisServiceStub(channel)  # type: ignore[no-untyped-call]


async def hear(called: Any, voice: str, text: str = SHORT) -> bool:
    """Whether a short stream with this voice in its metadata came to its end."""
    request = synthesis_pb2.SynthesizeRequest(text=text)
    messages = [m async for m in called.Synthesize(request, metadata=(("x-tts-voice", voice),))]
    return bool(messages) and messages[-1].WhichOneof("event") == "done"


async def given_to_each(fleet: Fleet, called: Any, voice: str) -> list[int]:
    """How many of five streams of a voice each server got, fewest first.

    On a busy machine a server that answers its health check late is left out for a moment.
    """
    before = fleet.begun("voice")
    for _ in range(5):
        assert await hear(called, voice)
    return sorted(now - then for now, then in zip(fleet.begun("voice"), before, strict=True))


async def test_voices_stay_where_they_are_and_a_hot_one_does_not_burn_a_server(fleet: Fleet) -> None:
    async with stub(fleet.voice) as called:
        assert [0, 0, 5] in [await given_to_each(fleet, called, "cool") for _ in range(3)], (
            "one voice, one server"
        )
        await connected(fleet, "voice", lambda number: hear(called, f"voice-{number}", WORD))
        before = fleet.begun("voice")
        heard = await asyncio.gather(*(hear(called, "hot") for _ in range(STREAMS)))
        given = [now - then for now, then in zip(fleet.begun("voice"), before, strict=True)]
    assert all(heard)
    assert sum(given) == STREAMS
    assert max(given) <= 1.25 * STREAMS / 3 + 2, f"bounded load: {given}"
