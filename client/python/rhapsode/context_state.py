"""What is known of one utterance of a session, once for the contexts of both clients.

What must not live here: waiting, writing; context.py and aio_context.py do so each in their way.
"""

from __future__ import annotations

from rhapsode.exchange import Account
from rhapsode.speech import SpeechResult
from rhapsode.talk import Heard


class ContextState:
    """What can be asked without waiting."""

    def __init__(self, account: Account) -> None:
        self.name = account.name
        self._account = account

    @property
    def result(self) -> SpeechResult:
        """How it ended; see `SpeechStream.result`."""
        return self._account.outcome()

    @property
    def heard(self) -> Heard:
        """How far the listener has got: at its end as the server says, before that as is known here."""
        return self._account.known()

    @property
    def over(self) -> bool:
        """Whether nothing more will come from the server."""
        return self._account.over

    @property
    def first_audio_after(self) -> float | None:
        """Seconds from the opening of the context to its first sound, None before it came."""
        return self._account.first_audio_after

    @property
    def elapsed(self) -> float:
        """Seconds from the opening of the context to its latest event."""
        return self._account.elapsed

    @property
    def samples(self) -> int:
        """Samples received so far."""
        return self._account.samples
