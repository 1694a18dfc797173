"""The rows of a model, built once at the start, and a sentence where there is no memory for them.

A system lends more memory than it has and ends a process that takes it at its word, in silence; so what one
row needs is measured before all are built. What must not live here: weights, requests, a family.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType

from torch import OutOfMemoryError, Tensor, nn

from rhapsode_server.errors import ConfigError
from rhapsode_server.models.base import SpeechModel, State

GIB = 2**30
_OPAQUE = (type, ModuleType, FunctionType, nn.Module, str, bytes)
"""What a state may refer to without having it to itself."""


@contextmanager
def room_for(model: SpeechModel, slots: int) -> Iterator[None]:
    """Inside, the state of `slots` rows is built.

    Raises ConfigError, which names engine.slots, where there is no memory for it.
    """
    remedy = _remedy(0)
    try:
        _check_host(model, slots)
        remedy = _remedy(None if slots > 1 else 0)
        yield
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise ConfigError(f"There is no memory for {_speakers(model, slots)}. {remedy}") from None


def lacks_memory(error: Exception) -> bool:
    """Whether it says that memory could not be had; torch has no type of its own for that of the host."""
    return isinstance(error, MemoryError | OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def available(root: Path = Path("/")) -> int | None:
    """Bytes of memory that this process may still take: the machine's, and its container's limit (cgroup v2).

    None where the system does not say.
    """
    try:
        told = _table((root / "proc/meminfo").read_text().replace(":", ""))
        free = told["MemAvailable"] * 1024
    except (OSError, ValueError, KeyError):
        return None
    group = root / "sys/fs/cgroup"
    try:
        limit = int((group / "memory.max").read_text())  # "max" is no number: there is no limit
        taken = _table((group / "memory.stat").read_text())["anon"]
    except (OSError, ValueError, KeyError):
        return free
    return max(0, min(free, limit - taken))


def size(state: State) -> int:
    """Bytes of all tensors on the host that a state has, or that what it has has."""
    return sum(tensor.nbytes for tensor in _tensors(state) if tensor.device.type == "cpu")


def _check_host(model: SpeechModel, slots: int) -> None:
    free = available()
    if free is None or slots == 1:
        return
    one = size(model.acoustic.new_state(1)) + size(model.vocoder.new_state(1))
    if one * slots > free:
        raise ConfigError(
            f"There is no memory for {_speakers(model, slots)}: they take {one * slots / GIB:.1f} GiB, and"
            f" {free / GIB:.1f} GiB are free. {_remedy(free // one)}"
        )


def _speakers(model: SpeechModel, slots: int) -> str:
    return f"{slots} utterances at a time of the model {model.name!r}"


def _remedy(fitting: int | None) -> str:
    """What to do where so many rows fit, None where that is not known."""
    fewer = "fewer" if fitting is None else f"{fitting} or fewer"
    first = f"Set engine.slots to {fewer}" if fitting != 0 else "Choose a smaller model"
    return f"{first}, or give the server more memory."


def _table(text: str) -> dict[str, int]:
    """Lines of a name and a number, as the kernel writes them."""
    return {words[0]: int(words[1]) for line in text.splitlines() if len(words := line.split()) > 1}


def _tensors(state: State) -> Iterator[Tensor]:
    seen: set[int] = set()
    waiting: list[object] = [state]
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, _OPAQUE):
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            yield item
        else:
            waiting.extend(_parts(item))


def _parts(item: object) -> Iterator[object]:
    if isinstance(item, Mapping):
        yield from item.values()
    elif isinstance(item, list | tuple | set | frozenset):
        yield from item
    else:
        yield from getattr(item, "__dict__", {}).values()
        for kind in type(item).__mro__:
            slots = getattr(kind, "__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if hasattr(item, name):
                    yield getattr(item, name)
