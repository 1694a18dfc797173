"""A tenant's share: utterances at a time, open sessions, characters and seconds of sound a minute.

Whoever has anything left is let in, and what is begun is finished, even where it takes more than was left:
nobody is cut off in mid-sentence, and over time nobody has more than his share. All of it on the event loop.
What must not live here: who the tenant is, gRPC, a clock; it is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rhapsode_server.errors import QuotaExceeded

BUSY_RETRY_SECONDS = 1.0
"""When to come back where all that may be there are: nobody knows when one of them ends."""
SESSIONS_EACH = 16
"""Open sessions for each utterance at a time, where the settings say nothing of them: most of them listen."""
MANY = 4096
"""Accounts above which those that are at rest are forgotten, for certificates may have ever new names."""


Begin = Callable[[], Callable[[], None]]
"""Counts an utterance that was let in, until what it gives back is called, once or more often."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What each tenant may have; None: as much as it likes."""

    concurrent_streams: int | None = None
    concurrent_sessions: int | None = None
    characters_per_minute: float | None = None
    audio_seconds_per_minute: float | None = None


class Bucket:
    """Fills evenly, by `per_minute` a minute, and holds a minute's worth. It may go below empty."""

    def __init__(self, per_minute: float, now: float) -> None:
        self._holds = self._left = per_minute
        self._rate = per_minute / 60
        self._enough = min(1.0, per_minute)
        self._at = now

    def take(self, amount: float, now: float) -> None:
        """Count what was used, whether it was there or not."""
        self._fill(now)
        self._left -= amount

    def wait(self, now: float) -> float:
        """Seconds until there is something in it; 0 where there is."""
        self._fill(now)
        missing = self._enough - self._left
        return missing / self._rate if missing > 1e-9 else 0.0

    def full(self, now: float) -> bool:
        """Nothing was used that has not come back."""
        self._fill(now)
        return self._left >= self._holds

    def _fill(self, now: float) -> None:
        self._left = min(self._holds, self._left + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)


class Account:
    """What one tenant has used."""

    def __init__(self, shares: Shares, clock: Callable[[], float]) -> None:
        self._shares = shares
        self._clock = clock
        self._calls = 0
        self._sessions: dict[object, set[object]] = {}
        self._characters = _bucket(shares.characters_per_minute, clock())
        self._audio = _bucket(shares.audio_seconds_per_minute, clock())

    @contextmanager
    def call(self) -> Iterator[None]:
        """For the time of one call that was let in and is one utterance."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    @contextmanager
    def session(self) -> Iterator[Begin]:
        """For the time of one session; what it has begun ends with it at the latest. Raises QuotaExceeded.

        An open session is no utterance by itself: each of its contexts is one.
        """
        most = self._shares.concurrent_sessions
        if most is not None and len(self._sessions) >= most:
            raise QuotaExceeded(
                f"You have as many sessions open as you may have, {most}. End one that you no longer need.",
                BUSY_RETRY_SECONDS,
            )
        key, open_ones = object(), set[object]()
        self._sessions[key] = open_ones

        def begin() -> Callable[[], None]:
            one = object()
            open_ones.add(one)
            return lambda: open_ones.discard(one)

        try:
            yield begin
        finally:
            del self._sessions[key]

    def admit(self) -> None:
        """Before an utterance; raises QuotaExceeded with the seconds after which to ask again."""
        shares, now = self._shares, self._clock()
        streams = shares.concurrent_streams
        if streams is not None and self._under_way >= streams:
            raise QuotaExceeded(
                f"You have as many utterances under way as you may have, {streams}, contexts of sessions"
                " included. Wait until one has ended.",
                BUSY_RETRY_SECONDS,
            )
        for bucket, most, unit in (
            (self._characters, shares.characters_per_minute, "characters"),
            (self._audio, shares.audio_seconds_per_minute, "seconds of sound"),
        ):
            wait = bucket.wait(now) if bucket else 0.0
            if wait:
                raise QuotaExceeded(
                    f"Your quota of {most:g} {unit} a minute is used up. Try again in {wait:.1f} s.", wait
                )

    def spoke(self, characters: int) -> None:
        """Count text that was taken on."""
        if self._characters:
            self._characters.take(characters, self._clock())

    def sounded(self, seconds: float) -> None:
        """Count sound that was sent."""
        if self._audio:
            self._audio.take(seconds, self._clock())

    @property
    def _under_way(self) -> int:
        return self._calls + sum(map(len, self._sessions.values()))

    @property
    def at_rest(self) -> bool:
        """A new account would be the same."""
        buckets = filter(None, (self._characters, self._audio))
        busy = self._calls or self._sessions
        return not busy and all(bucket.full(self._clock()) for bucket in buckets)


class Accounts:
    """The account of each tenant."""

    def __init__(self, shares: Shares, clock: Callable[[], float]) -> None:
        self._shares = shares
        self._clock = clock
        self._accounts: dict[str, Account] = {}

    def __len__(self) -> int:
        return len(self._accounts)

    def of(self, tenant: str) -> Account:
        """The tenant's, a new one where there is none yet."""
        account = self._accounts.get(tenant)
        if account is None:
            if len(self._accounts) >= MANY:
                self._accounts = {name: kept for name, kept in self._accounts.items() if not kept.at_rest}
            account = self._accounts[tenant] = Account(self._shares, self._clock)
        return account


def _bucket(per_minute: float | None, now: float) -> Bucket | None:
    return None if per_minute is None else Bucket(per_minute, now)
