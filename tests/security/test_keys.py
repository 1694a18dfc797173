"""A key for every RPC of every service, and for nothing else: read from a file, read anew when it changes."""

from __future__ import annotations

import hmac
import logging
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from hypothesis import given
from hypothesis import strategies as st
from rhapsode.tts.v1 import service_pb2, session_pb2
from rhapsode_server.errors import ConfigError, Unauthenticated
from rhapsode_server.rpc import keys as keyring
from rhapsode_server.rpc.guard import bearer as bearer_of
from rhapsode_server.rpc.guard import certificate_name, pseudonym

from tests.integration.conftest import House, house
from tests.integration.test_refusals import details
from tests.integration.test_session import Talk
from tests.security.conftest import ALICE, ALICES_SECOND, BOB, METHOD, UNKNOWN, Caller, Mounted, bearer

OK = grpc.StatusCode.OK
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
HEALTH = "/grpc.health.v1.Health/"
OURS = [
    METHOD + name
    for name in service_pb2.DESCRIPTOR.services_by_name["SpeechSynthesisService"].methods_by_name
]
EVERY = [*OURS, REFLECTION, f"{HEALTH}Check", f"{HEALTH}Watch"]
BAD: dict[str, Any] = {
    "none": (),
    "wrong": bearer("alice-key-0123456780"),
    "a part": bearer(ALICE[:-1]),
    "more": bearer(f"{ALICE}0"),
    "tenant": bearer("alice"),
    "line": bearer(f"alice:{ALICE}"),
    "another scheme": (("authorization", f"Basic {ALICE}"),),
    "bare": (("authorization", ALICE),),
    "empty": (("authorization", ""),),
    "two": bearer(ALICE) + bearer(BOB),
    "another header": (("x-api-key", ALICE),),
}


async def ended(running: House, method: str, metadata: Any) -> grpc.aio.AioRpcError | None:
    """How a call of any method ends that says nothing; None where it is answered.

    One message in the batch that opens the call, whatever the method's shape: a message that is written
    after the server has refused ends as INTERNAL in grpc.aio's client now and then, and has crashed the
    interpreter.
    """
    call = running.channel.unary_stream(method)(b"", metadata=metadata, timeout=30)
    try:
        await call.read()
    except grpc.aio.AioRpcError as error:
        return error
    call.cancel()
    return None


@pytest.mark.parametrize("bad", BAD)
async def test_no_method_is_served_without_a_key(keys: Path, bad: str) -> None:
    async with house({"security.api_keys": keys, "server.reflection": True}) as running:
        for method in EVERY:
            error = await ended(running, method, BAD[bad])
            assert error is not None, method
            assert error.code() is UNKNOWN, method
            assert details(error)["ErrorInfo"].reason == "UNAUTHENTICATED"
            assert (
                "Bearer <key>" in error.details()
                or "Send one" in error.details()
                or "Use one" in error.details()
            )
            for secret in (ALICE, ALICE[:-1], BOB):
                assert secret not in str(error)


async def test_every_method_is_served_with_one(keys: Path) -> None:
    async with house({"security.api_keys": keys, "server.reflection": True}) as running:
        for method in EVERY:
            error = await ended(running, method, bearer(ALICE))
            assert error is None or error.code() is not UNKNOWN, method
        for key in (ALICE, ALICES_SECOND, BOB):
            caller = Caller(running.channel, bearer(key))
            assert (await caller.speak())[-1].WhichOneof("event") == "done"
        assert await Caller(running.channel, bearer(ALICE) * 2).list() is OK, "sent twice, and the same"
        assert await Caller(running.channel, (("authorization", f"bearer  {ALICE} "),)).list() is OK


async def test_a_request_without_a_key_is_not_even_read(keys: Path) -> None:
    async with house({"security.api_keys": keys}) as running:
        call = running.channel.unary_stream(f"{METHOD}Synthesize")(b"\xff" * 100)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is UNKNOWN


async def test_probes_need_no_key_on_their_own_port_and_find_nothing_else_there(keys: Path) -> None:
    settings = {"security.api_keys": keys, "server.health_port": 0, "server.reflection": True}
    async with house(settings) as running:
        address = f"127.0.0.1:{running.serving.health_port}"
        async with grpc.aio.insecure_channel(address) as channel:
            assert await running.health(channel=channel) == "SERVING"
            for method in [*OURS, REFLECTION]:
                call = channel.unary_stream(method)(b"", metadata=bearer(ALICE))
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call.read()
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED, method


async def test_the_main_port_tells_its_health_to_all_where_it_is_told_to(keys: Path) -> None:
    async with house({"security.api_keys": keys, "security.open_health": True}) as running:
        assert await running.health() == "SERVING"
        assert await Caller(running.channel).list() is UNKNOWN
        check = health_pb2.HealthCheckRequest().SerializeToString()
        call = running.channel.unary_unary("/grpc.health.v1.HealthX/Check")(check)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_session_does_not_outlive_its_key(mounted: Mounted) -> None:
    """What has begun is spoken to its end; the next context is refused; others go on."""
    mounted.put(keys=f"alice:{ALICE}\nbob:{BOB}\n")
    async with house({"security.api_keys": mounted.folder / "keys"}) as running:
        alice, bob = (Talk(running.stub.StreamSynthesize(metadata=bearer(key))) for key in (ALICE, BOB))
        for one in (alice, bob):
            await one.say(session_config=session_pb2.SessionConfig())
            await one.start("first")
            await one.text("first", "Hello there.")
            await one.until("context_started", "first")
        mounted.put(keys=f"bob:{BOB}\n")
        await alice.say("first", end_context=session_pb2.EndContext())
        await alice.until("context_done", "first")
        await alice.start("second")
        assert (await alice.until("context_error", "second")).code == UNKNOWN.value[0]
        await bob.start("second")
        await bob.until("context_started", "second")
        for one in (alice, bob):
            one.call.cancel()


async def test_reflection_is_off_unless_asked_for() -> None:
    async with house() as running:
        error = await ended(running, REFLECTION, ())
        assert error is not None
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_keys_are_exchanged_without_a_restart(
    mounted: Mounted, caplog: pytest.LogCaptureFixture
) -> None:
    mounted.put(keys=f"alice:{ALICE}\n")
    async with house({"security.api_keys": mounted.folder / "keys"}) as running:
        alice, bob = Caller(running.channel, bearer(ALICE)), Caller(running.channel, bearer(BOB))
        assert [await alice.list(), await bob.list()] == [OK, UNKNOWN]
        mounted.put(keys=f"bob:{BOB}\n")
        assert [await alice.list(), await bob.list()] == [UNKNOWN, OK]
        mounted.put(keys=f"bob:{BOB}\n# alice, once more\n{ALICE}\n")
        assert [await alice.list(), await bob.list()] == [UNKNOWN, OK], "a broken file changes nothing"
        assert await bob.list() is OK
        (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert "line 3" in line
        mounted.put(other="")
        assert await bob.list() is OK, "nor does a file that is gone"
        mounted.put(keys="")
        assert await bob.list() is OK, "nor an empty one"
        mounted.put(keys=f"alice:{ALICE}\n")
        assert [await alice.list(), await bob.list()] == [OK, UNKNOWN]
    for secret in (ALICE, BOB):
        assert secret not in caplog.text


LINES = {
    ALICE: "line 1",
    f"alice:{ALICE}\n{BOB}": "line 2",
    f"alice:{ALICE}\n\n#\nbob:short": "line 4",
    f"a tenant:{ALICE}": "line 1",
    f":{ALICE}": "line 1",
    f"alice:{ALICE}\nbob:{ALICE}": "line 2",
    f"alice:{ALICE} {BOB}": "line 1",
    "": "no key",
    "# nothing\n": "no key",
}


@pytest.mark.parametrize("text", LINES)
def test_a_bad_line_is_named_by_its_number_and_never_shown(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        keyring.parse(text, "file")
    assert LINES[text] in caught.value.message
    for secret in (ALICE, BOB, "short"):
        assert secret not in caught.value.message
    assert caught.value.__context__ is None


async def test_a_server_does_not_start_with_a_file_that_it_cannot_use(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("missing", "binary"):
        with pytest.raises(ConfigError, match=r"security\.api_keys"):
            async with house({"security.api_keys": tmp_path / name}):
                pass


@given(
    st.dictionaries(
        st.from_regex(keyring.KEY, fullmatch=True), st.from_regex(keyring.TENANT, fullmatch=True), min_size=1
    ),
    st.text(),
)
def test_every_key_is_found_and_no_other(holders: dict[str, str], other: str) -> None:
    text = "".join(f" {tenant} : {key} \r\n" for key, tenant in holders.items() if not tenant.startswith("#"))
    keys = keyring.parse(text, "file")
    assert {key: keys.holder(key) for key in holders} == holders
    assert keys.holder(other) == holders.get(other)


@given(st.text())
def test_any_text_is_keys_or_a_sentence(text: str) -> None:
    try:
        said = "" if keyring.parse(text, "file").tenants else "nobody"
    except ConfigError as error:
        said = error.message.partition(":")[0]
    assert said in ("", "security.api_keys")


def test_a_key_is_compared_with_all_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def counted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    keys = keyring.parse(f"alice:{ALICE}\nbob:{BOB}\ncarol:{ALICES_SECOND}", "file")
    for key, holder in ((ALICE, "alice"), (BOB, "bob"), ("x", None), ("y" * 9999, None)):
        compared.clear()
        assert keys.holder(key) == holder
        assert compared == [(32, 32)] * 3, "the first match does not end it, and lengths do not show"


@pytest.mark.parametrize("values", [(f"Bearer {ALICE}", f"Bearer {BOB}"), ("Bearer ",), (), (b"Bearer x",)])
def test_what_is_no_key_is_refused_in_words_without_it(values: tuple[str | bytes, ...]) -> None:
    with pytest.raises(Unauthenticated) as caught:
        bearer_of([("authorization", value) for value in values])
    assert ALICE not in caught.value.message


def test_a_tenant_by_certificate_is_its_common_name_else_the_alternative() -> None:
    both = {"x509_common_name": [b"alice"], "x509_subject_alternative_name": [b"spiffe://b", b"c"]}
    assert certificate_name(both) == "alice"
    assert certificate_name({**both, "x509_common_name": [b""]}) == "spiffe://b"
    assert certificate_name({}) == ""


async def test_the_log_names_a_tenant_by_a_pseudonym(keys: Path) -> None:
    async with house({"security.api_keys": keys}) as running:
        await Caller(running.channel, bearer(ALICE)).speak()
        line = await running.access.seen("OK")
    assert line["tenant"] == pseudonym("alice") != pseudonym("bob")
    assert "alice" not in str(line)
