"""`rhapsode download`: a checkpoint from the model hub into a folder, at one commit, and nothing that runs.

For the init container of a pod: safetensors and the text files beside them, nothing else; each file is
written under its name only when it is whole, files whose digests were given are checked, and with a public
key every file must be one that its holder has signed (signature.py). What must not live here: reading a
checkpoint (each family does that).
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from fnmatch import fnmatch
from pathlib import Path

from rhapsode_server.errors import ConfigError
from rhapsode_server.signature import signed_files

HARMLESS = ("*.safetensors", "*.json", "*.txt", "*.model", "*.spm", "*.jinja", "*.md", "LICENSE*", "NOTICE*")
"""Patterns of the files that are taken: weights that are only numbers, vocabularies, settings, licences."""
COMMIT = re.compile(r"[0-9a-f]{40}")
DIGEST = re.compile(r"[0-9a-f]{64}")
BLOCK = 1 << 20


def command(argv: list[str]) -> int:
    """Fetch; returns the exit code. A failure is one line."""
    try:
        given = _arguments().parse_args(argv)
        digests = dict(_digest(pair) for pair in given.sha256)
        wanted = (*HARMLESS, *([given.signature] if given.public_key else []))
        fetch(given.repository, _commit(given.revision), given.to, _token(given.token_file), wanted)
        check(given.to, digests)
        if given.public_key:
            check_signed(given.to, given.signature, given.public_key)
    except ConfigError as error:
        sys.stderr.write(f"rhapsode download: {error.message}\n")
        return 1
    except SystemExit as answered:
        return answered.code if isinstance(answered.code, int) else 2
    sys.stdout.write(f"{given.repository} at {given.revision} is in {given.to}\n")
    return 0


def fetch(
    repository: str, revision: str, folder: Path, token: str | None, wanted: tuple[str, ...] = HARMLESS
) -> None:
    """The `wanted` files of the revision into `folder`. ConfigError where the hub refuses or is away."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot_download(
            repository,
            revision=revision,
            local_dir=folder,
            token=token or False,
            allow_patterns=list(wanted),
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(f"Cannot download {repository} at {revision}: {reason}") from None
    if not any(folder.rglob("*.safetensors")):
        raise ConfigError(f"{repository} has no safetensors at {revision}; nothing else is loaded.")


def check(folder: Path, digests: dict[str, str]) -> None:
    """Hold files of `folder` to their SHA-256. ConfigError for the first that differs or is missing."""
    for name, wanted in digests.items():
        file = folder / name
        if not file.is_file():
            raise ConfigError(f"{name} has a digest but is not there.")
        if digest(file) != wanted:
            raise ConfigError(f"{name} is not the file whose digest was given. Do not use these weights.")


def check_signed(folder: Path, signature: str, public_key: Path) -> None:
    """Every file of `folder` is one that the key's holder has signed, and none of those is missing.

    What was signed and is not taken, because it is no harmless file, may be missing. Raises ConfigError.
    """
    signed = signed_files(folder / signature, public_key)
    taken = {name: wanted for name, wanted in signed.items() if _harmless(name)}
    others = sorted(set(_names(folder)) - {signature} - set(taken))
    if others:
        raise ConfigError(f"{others[0]} has not been signed. Do not use these weights.")
    check(folder, taken)


def _names(folder: Path) -> list[str]:
    """Files by their names below `folder`, but for what the hub's library keeps there for itself."""
    found = (file.relative_to(folder) for file in folder.rglob("*") if not file.is_dir())
    return [name.as_posix() for name in found if name.parts[0] != ".cache"]


def _harmless(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in HARMLESS)


def digest(file: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    summed = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(BLOCK):
            summed.update(block)
    return summed.hexdigest()


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("rhapsode download", description=__doc__, allow_abbrev=False)
    parser.add_argument("repository", help="hub id, owner/name")
    parser.add_argument("--revision", required=True, help="commit, 40 hexadecimal digits")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="a file with the hub's token")
    parser.add_argument(
        "--sha256", action="append", default=[], metavar="FILE=DIGEST", help="what a file must be"
    )
    parser.add_argument(
        "--public-key", type=Path, metavar="FILE", help="every file must be signed by the holder of this key"
    )
    parser.add_argument(
        "--signature", default="model.sig", metavar="NAME", help="its signature in the repository"
    )
    return parser


def _commit(revision: str) -> str:
    if not COMMIT.fullmatch(revision):
        raise ConfigError(
            f"The revision {revision!r} is no commit of 40 hexadecimal digits, so two pods could get"
            " different weights. Give the commit."
        )
    return revision


def _digest(pair: str) -> tuple[str, str]:
    name, _, value = pair.rpartition("=")
    if not name or not DIGEST.fullmatch(value) or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ConfigError(f"--sha256 needs FILE=DIGEST, a digest of 64 hexadecimal digits, not {pair!r}.")
    return name, value


def _token(file: Path | None) -> str | None:
    try:
        return file.read_text().strip() or None if file else None
    except OSError as error:
        raise ConfigError(f"Cannot read the token file {file}: {error.strerror}.") from None
