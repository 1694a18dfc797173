"""Reading a checkpoint's JSON files: every miss is a sentence that names the file and the key.

What must not live here: what the keys mean (config.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rhapsode_server.errors import ModelUnusable

_MISSING = object()


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`. Raises errors.ModelUnusable where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelUnusable(f"{path} is missing. Copy the whole checkpoint.") from None
    except OSError:
        raise ModelUnusable(f"{path} cannot be read. Point to the folder of a complete checkpoint.") from None
    except ValueError:
        raise ModelUnusable(f"{path} is not valid JSON. Download the checkpoint again.") from None
    if not isinstance(value, dict):
        raise ModelUnusable(f"{path} does not hold a JSON object. Download the checkpoint again.")
    return value


class Fields:
    """One JSON object with typed access; `where` names it in errors."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values = values
        self._where = where

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def child(self, key: str) -> Fields:
        """The object under `key`."""
        return Fields(self.mapping(key), f"{self._where}: {key}")

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number."""
        return self._typed(key, default, (int,), "a whole number")  # type: ignore[no-any-return]

    def number(self, key: str, default: float | None = None) -> float:
        """A number."""
        return float(self._typed(key, default, (int, float), "a number"))

    def flag(self, key: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        return self._typed(key, default, (str,), "a string")  # type: ignore[no-any-return]

    def integers(self, key: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """A list of whole numbers."""
        value = self._typed(key, default, (list, tuple), "a list of whole numbers")
        if not all(isinstance(item, int) for item in value):
            raise self._wrong(key, "a list of whole numbers")
        return tuple(value)

    def mapping(self, key: str, default: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """An object."""
        return self._typed(key, default, (dict,), "an object")  # type: ignore[no-any-return]

    def _typed(self, key: str, default: Any, types: tuple[type, ...], kind: str) -> Any:
        value = self._values.get(key)
        if value is None:
            value = default
        if not isinstance(value, types) or isinstance(value, bool):
            raise self._wrong(key, kind)
        return value

    def _wrong(self, key: str, kind: str) -> ModelUnusable:
        found = "missing" if self._values.get(key, _MISSING) is _MISSING else "not"
        problem = f"lacks {key!r}" if found == "missing" else f"has a {key!r} that is unusable"
        return ModelUnusable(f"{self._where} {problem}: {kind} is expected. Use an unmodified checkpoint.")
