"""Who calls? Asked of every RPC, reflection too, before its handler runs or its request is read.

The key of `authorization: Bearer <key>` says who, or else the name in the client's certificate; then the
tenant's quota is asked, and what the call uses is counted. Errors are answered by the edge around it
(interceptors.py). What must not live here: files, how a share is counted, what one RPC does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import grpc
from rhapsode.tts.v1 import synthesis_pb2

from rhapsode_server.errors import Forbidden, Unauthenticated
from rhapsode_server.rpc import call as calls
from rhapsode_server.rpc.call import Context
from rhapsode_server.rpc.interceptors import kind_of
from rhapsode_server.rpc.keys import Keys
from rhapsode_server.rpc.quotas import Account, Accounts
from rhapsode_server.rpc.service import sound_in

HEADER = "authorization"
SOUNDING = tuple(
    f"/rhapsode.tts.v1.SpeechSynthesisService/{name}" for name in ("Synthesize", "StreamSynthesize")
)
HEALTH = "/grpc.health.v1.Health/"

Metadata = Iterable[tuple[str, str | bytes]]
Behaviour = Callable[[Any, Context], Any]


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Put it within the edge. `keys` are the present ones, None where nobody needs one.

    `certified`: TLS has checked the clients' certificates, and their names count.
    """

    def __init__(
        self,
        keys: Callable[[], Keys] | None,
        accounts: Accounts,
        *,
        certified: bool = False,
        open_health: bool = False,
    ) -> None:
        self._keys = keys
        self._accounts = accounts
        self._certified = certified
        self._open_health = open_health

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[grpc.RpcMethodHandler | None]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """The handler behind the question; without a valid key, one that refuses and reads nothing."""
        handler = await continuation(details)
        if handler is None or (self._open_health and details.method.startswith(HEALTH)):
            return handler
        try:
            key = None if self._keys is None else bearer(details.invocation_metadata or ())
            holder = self._holder(key)
        except Unauthenticated as error:
            return grpc.stream_stream_rpc_method_handler(_refusing(error))
        return self._behind(handler, details.method in SOUNDING, holder, key)

    def _holder(self, key: str | None) -> str | None:
        """Whose key it is; None where keys are not asked for. Raises Unauthenticated."""
        if self._keys is None or key is None:
            return None
        holder = self._keys().holder(key)
        if holder is None:
            raise Unauthenticated("This key is not valid here. Use one that is, or ask for one.")
        return holder

    def _behind(
        self, handler: grpc.RpcMethodHandler, sounding: bool, holder: str | None, key: str | None
    ) -> grpc.RpcMethodHandler:
        kind = kind_of(handler)
        inner = getattr(handler, kind)

        async def handle(request: Any, context: Context) -> Any:
            tenant = self._tenant(holder, context)
            calls.current().tenant = tenant
            calls.current().facts["tenant"] = pseudonym(tenant)
            if sounding:
                account = self._accounts.of(tenant)
                calls.current().admit = lambda: self._admit(account, holder, key)
                return await self._within_share(inner, account, request, context)
            return await _run(inner, request, context)

        return getattr(grpc, f"{kind}_rpc_method_handler")(
            handle, handler.request_deserializer, handler.response_serializer
        )

    def _tenant(self, holder: str | None, context: Context) -> str:
        """Who calls, by key or certificate. Raises Forbidden where they do not go together."""
        named = certificate_name(context.auth_context()) if self._certified else ""
        if holder is None and not named:
            raise Forbidden(
                "Your certificate has neither a common name nor an alternative one, so nobody knows whose it"
                " is. Use one that has."
            )
        if holder is None:
            return named
        if named != holder and self._keys is not None and named in self._keys().tenants:
            raise Forbidden(
                "The certificate names one tenant and the key belongs to another. Use a key and a"
                " certificate of the same."
            )
        return holder

    def _admit(self, account: Account, holder: str | None, key: str | None) -> None:
        """Before an utterance: a session may have outlived the key that it was opened with."""
        if self._holder(key) != holder:
            raise Unauthenticated("This key is another's by now. Use one that is yours.")
        account.admit()

    async def _within_share(self, inner: Behaviour, account: Account, request: Any, context: Context) -> None:
        call, metered = calls.current(), _Metered(context, account, request)
        with ExitStack() as held:
            if hasattr(request, "__aiter__"):  # a session asks for each context, and tells
                call.begun, call.spoke = held.enter_context(account.session()), account.spoke
            else:
                call.admit()
                held.enter_context(account.call())
            await _run(inner, request, metered)


class _Metered:
    """A context that counts the text that was taken on and the sound that was sent; else the original's."""

    def __init__(self, context: Context, account: Account, request: Any) -> None:
        self._context = context
        self._account = account
        self._request = request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: object) -> None:
        """As the original, and counted."""
        if isinstance(message, synthesis_pb2.SynthesizeResponse) and message.HasField("started"):
            self._account.spoke(len(self._request.text))
        self._account.sounded(sound_in(message))
        await self._context.write(message)


async def _run(inner: Behaviour, request: Any, context: Any) -> Any:
    """A servicer's behaviour to its end, in each of the ways in which it may answer."""
    answers = inner(request, context)
    if not hasattr(answers, "__aiter__"):
        return await answers
    async for message in answers:
        await calls.current().write(context, message)
    return None


def _refusing(error: Unauthenticated) -> Behaviour:
    async def refuse(_request: Any, _context: Context) -> None:
        raise error

    return refuse


def bearer(metadata: Metadata) -> str:
    """The key that the call carries. Raises Unauthenticated where there is none, or more than one."""
    values = {value for name, value in metadata if name.lower() == HEADER}
    if not values:
        raise Unauthenticated("This server asks for a key. Send it as metadata: authorization: Bearer <key>.")
    if len(values) > 1:
        raise Unauthenticated("The call carries two different authorization headers. Send one.")
    value = values.pop()
    scheme, _, key = (value if isinstance(value, str) else "").strip().partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthenticated("The authorization header has another form. Send: authorization: Bearer <key>.")
    return key.strip()


def certificate_name(auth: Mapping[str, Iterable[bytes]]) -> str:
    """The common name of the client's certificate, else its first alternative name, else ""."""
    for field in ("x509_common_name", "x509_subject_alternative_name"):
        for name in auth.get(field, ()):
            if name:
                return name.decode("utf-8", "replace")
    return ""


def pseudonym(tenant: str) -> str:
    """What logs call a tenant: always the same for the same one, and not its name."""
    return hashlib.blake2b(tenant.encode(), digest_size=6, person=b"rhapsode.tenant").hexdigest()
