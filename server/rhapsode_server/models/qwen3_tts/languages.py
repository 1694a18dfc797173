"""Names of languages: what callers write (codes or names) and what checkpoints call them.

What must not live here: a checkpoint's ids. Dialects have no entry: they are reached through their speakers.
"""

from __future__ import annotations

from collections.abc import Mapping

from rhapsode_server.errors import SettingUnsupported

CODES: Mapping[str, str] = {
    "zh": "chinese",
    "en": "english",
    "de": "german",
    "it": "italian",
    "pt": "portuguese",
    "es": "spanish",
    "ja": "japanese",
    "ko": "korean",
    "fr": "french",
    "ru": "russian",
}
"""BCP 47 primary subtags of the ten released languages."""


def language_name(asked: str, known: Mapping[str, int]) -> str | None:
    """The checkpoint's name for `asked` ("de-AT", "German"), None for "" and "auto".

    Raises errors.SettingUnsupported for a language it has not got, and for a dialect.
    """
    wanted = asked.strip().lower()
    if wanted in ("", "auto"):
        return None
    name = CODES.get(wanted.replace("_", "-").split("-")[0], wanted)
    if name not in known or name not in CODES.values():
        offered = ", ".join(language_codes(known))
        raise SettingUnsupported("language", f"This model does not speak that language. It has: {offered}.")
    return name


def language_codes(known: Mapping[str, int]) -> tuple[str, ...]:
    """Codes of the languages among `known`, in alphabetical order."""
    return tuple(sorted(code for code, name in CODES.items() if name in known))
