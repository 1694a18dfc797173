"""What a stream is told that ends otherwise than with its last sound, in words for its caller.

What must not live here: the decision that it ends.
"""

from __future__ import annotations

from rhapsode_server.core import FinishReason
from rhapsode_server.errors import DeadlineTooShort, EngineStopped, GenerationFailed, RhapsodeError


def of(reason: FinishReason) -> RhapsodeError | None:
    """The error of a sequence that ended for this reason; None where it simply ended."""
    if reason is FinishReason.DEADLINE:
        return DeadlineTooShort("The deadline passed before it was this request's turn. Allow more time.")
    if reason is not FinishReason.ERROR:
        return None
    return GenerationFailed("The model failed on this text. Other requests go on; try it again or reword it.")


def lost() -> RhapsodeError:
    return EngineStopped("The speech engine has failed. Try again, on another server if there is one.")


def cut_off() -> RhapsodeError:
    return EngineStopped(
        "The server is shutting down and had no time left to speak this to its end. Ask another server for"
        " the rest."
    )
