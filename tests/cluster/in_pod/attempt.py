"""Runs in a pod: speaks once over a new connection and prints what came of it.

    python attempt.py TARGET CERTIFICATE KEY [--long]

Prints "spoken" or the error's name. With --long: a stream of about two minutes, and whether it was whole.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from rhapsode import Client, Tls
from rhapsode.errors import RhapsodeError


def main() -> int:
    """Speak, tell."""
    target, authority, key = sys.argv[1:4]
    long = "--long" in sys.argv
    with tempfile.TemporaryDirectory() as folder:
        trusted = Path(folder) / "ca.crt"
        trusted.write_text(authority)
        with Client(target, tls=Tls(trusted), api_key=key, timeout=300 if long else 15) as client:
            try:
                stream = client.synthesize("abcde fghij " * (160 if long else 1), seed=7)
                samples = sum(chunk.sample_count for chunk in stream)
                whole = stream.result.complete and samples == stream.result.usage.delivered_samples
                said = json.dumps({"complete": whole, "samples": samples}) if long else "spoken"
            except RhapsodeError as error:
                said = type(error).__name__
    sys.stdout.write(said + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
