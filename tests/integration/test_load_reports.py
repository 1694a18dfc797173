"""What a server tells balancers of its load, over real gRPC, and what gRPC's own balancer makes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from rhapsode.tts.v1 import service_pb2_grpc, synthesis_pb2
from rhapsode_server.engine.engine import Load
from rhapsode_server.models import toy
from rhapsode_server.rpc import orca
from rhapsode_server.rpc.load_reports import LoadReports, Rate

from tests.integration.conftest import House, house, rest, until

ON = {"server.load_reports": True}
LONG = "abcde fghij " * 10


def asking(channel: grpc.aio.Channel, seconds: int = 0) -> Any:
    """A call of OpenRcaService."""
    call = channel.unary_stream(orca.METHOD, orca.ReportRequest.SerializeToString, orca.Report.FromString)
    request = orca.ReportRequest()
    request.report_interval.seconds = seconds
    return call(request)


@asynccontextmanager
async def busy(houses: House, streams: int) -> AsyncIterator[None]:
    """As long as this many utterances hold a slot or wait for one."""
    calls = [houses.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=LONG)) for _ in range(streams)]
    engine = houses.serving.engine
    assert engine is not None
    await until(lambda: sum(engine.load()[1:3]) == streams)
    yield
    for call in calls:
        call.cancel()


def test_a_report_is_what_the_public_definition_says() -> None:
    """Field numbers of cncf/xds: rps_fractional 6, eps 7, named_metrics 8, application_utilization 9."""
    said = orca.report(0.5, 2.0, 0.0, {"a": 1.0}).SerializeToString()
    half, two, one = (bytes.fromhex(f"00000000000{digits}") for digits in ("0e03f", "00040", "0f03f"))
    assert said == b"\x31" + two + b"\x42\x0c\x0a\x01a\x11" + one + b"\x49" + half


def test_a_rate_counts_what_is_recent() -> None:
    rate = Rate(memory=10.0)
    assert rate.at(0.0) == 0.0
    for tick in range(1000):
        rate.count(tick * 0.1)
    assert rate.at(100.0) == pytest.approx(10.0, rel=0.02)
    assert rate.at(200.0) < 0.001


class Told:
    """Stands for a servicer's context: what a call ended with."""

    def __init__(self) -> None:
        self.trailing: dict[str, Any] = {}

    def set_trailing_metadata(self, metadata: Any) -> None:
        self.trailing = dict(metadata)

    async def abort(self, code: grpc.StatusCode, details: str, metadata: Any) -> None:
        self.trailing = dict(metadata)
        raise grpc.aio.AbortError


async def ended(reports: LoadReports, inner: Any) -> dict[str, Any]:
    """What a call of ours ends with, where `inner` serves it."""

    async def behind(_: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(inner)

    details = SimpleNamespace(method="/rhapsode.tts.v1.SpeechSynthesisService/ListVoices")
    handler, context = await reports.intercept_service(behind, details), Told()
    assert handler is not None
    with suppress(grpc.aio.AbortError):
        await handler.unary_unary(None, context)
    return context.trailing


async def test_a_call_ends_with_the_load() -> None:
    """gRPC for Python hides this trailer from a client's program; its balancer reads it, below."""

    async def served(request: Any, context: Any) -> str:
        return "answer"

    reports = LoadReports(lambda: Load(4, 3, 0, 0.0), clock=lambda: 0.0)
    report = orca.Report.FromString((await ended(reports, served))[orca.TRAILER])
    assert report.application_utilization == 0.75
    assert dict(report.named_metrics) == {"tts.running": 3, "tts.waiting": 0, "tts.slots": 4}
    assert (report.rps_fractional, report.eps) == (0.1, 0.0)


async def test_a_refusal_tells_the_load_beside_its_reason() -> None:
    async def full(request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Full.", (("why", "full"),))

    reports = LoadReports(lambda: Load(1, 1, 1, 0.0), clock=lambda: 0.0)
    trailing = await ended(reports, full)
    report = orca.Report.FromString(trailing[orca.TRAILER])
    assert trailing["why"] == "full"
    assert (report.application_utilization, report.rps_fractional, report.eps) == (2.0, 0.1, 0.1)


async def test_before_there_is_an_engine_nothing_is_told() -> None:
    async def served(request: Any, context: Any) -> str:
        return "answer"

    assert await ended(LoadReports(lambda: None), served) == {}


async def test_the_load_is_told_on_a_stream_to_who_asks() -> None:
    async with house({**ON, "engine.slots": 4, "engine.max_ahead": 0.5}) as running:
        call = asking(running.channel, seconds=1)
        assert (await call.read()).application_utilization == 0.0
        async with busy(running, 2):
            assert (await call.read()).application_utilization == 0.5
        call.cancel()


async def test_nothing_is_told_unless_it_is_asked_for(toy_house: House) -> None:
    unary = toy_house.channel.unary_unary(
        orca.METHOD, orca.ReportRequest.SerializeToString, orca.Report.FromString
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await unary(orca.ReportRequest())
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def weighted(*, on_a_stream: bool) -> str:
    """A service config with gRPC's balancer that follows load reports (gRFC A58)."""
    policy = {
        "enableOobLoadReport": on_a_stream,
        "oobReportingPeriod": "1s",
        "blackoutPeriod": "0s",
        "weightUpdatePeriod": "0.1s",
    }
    return json.dumps({"loadBalancingConfig": [{"weighted_round_robin": policy}]})


@pytest.mark.parametrize("on_a_stream", [False, True])
async def test_grpcs_own_balancer_gives_a_slow_server_less(on_a_stream: bool) -> None:
    """Two servers, one of which needs three times as long for a call, and is so much fuller."""

    def slow() -> Any:
        return toy.load(step_seconds=0.06)

    paced = {**ON, "engine.max_ahead": 0.2}
    async with AsyncExitStack() as stack:
        houses = [await stack.enter_async_context(house(paced, model)) for model in (None, slow)]
        target = "ipv4:" + ",".join(running.target for running in houses)
        options = [("grpc.service_config", weighted(on_a_stream=on_a_stream))]
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(target, options=options))
        stub = service_pb2_grpc.SpeechSynthesisServiceStub(channel)  # type: ignore[no-untyped-call]
        await _until_uneven(stub, houses)


async def _until_uneven(stub: Any, houses: list[House]) -> None:
    """Rounds of calls, until the quick server gets half as many again; the time limit ends a failure."""
    while True:
        before = [len(running.witness.sequences) for running in houses]
        calls = []
        for _ in range(40):
            request = synthesis_pb2.SynthesizeRequest(text="abcdefghij")
            calls.append(asyncio.create_task(rest(stub.Synthesize(request))))
            await asyncio.sleep(0.03)
        await asyncio.gather(*calls)
        quick, slow = (
            len(running.witness.sequences) - seen for running, seen in zip(houses, before, strict=True)
        )
        if 2 * quick >= 3 * slow:
            return
