"""Runs in a pod: keeps streams going until a file appears, checks each of them, prints what happened as JSON.

    python steady.py TARGET STREAMS STOP_FILE

Every stream says the same text with the same seed, so every stream must have the same samples: one that was
cut, repeated or spoiled has another digest. Retries are those of the shipped service config and no others.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from rhapsode import Client
from rhapsode.errors import RhapsodeError

TEXT = "abcde fghij " * 8
"""Some 6 s of the toy's tones."""
CALLERS_PER_CONNECTION = 4


class Load:
    """What all callers found."""

    def __init__(self, target: str, stop: Path) -> None:
        self._target, self._stop = target, stop
        self._lock = threading.Lock()
        self.digests: Counter[str] = Counter()
        self.failures: list[str] = []
        self.slowest = 0.0

    def callers(self, count: int) -> None:
        """One connection, and so many callers on it."""
        with Client(self._target, timeout=120) as client:
            threads = [threading.Thread(target=self._call, args=(client,)) for _ in range(count)]
            for thread in threads:
                thread.start()
                time.sleep(0.3)
            for thread in threads:
                thread.join()

    def _call(self, client: Client) -> None:
        while not self._stop.exists():
            began = time.time()
            try:
                digest, first = self._one(client)
            except RhapsodeError as error:
                after = f"{time.strftime('%H:%M:%S')} after {time.time() - began:.1f} s"
                with self._lock:
                    self.failures.append(f"{after}: {type(error).__name__}: {error}")
                continue
            with self._lock:
                self.digests[digest] += 1
                self.slowest = max(self.slowest, first)

    def _one(self, client: Client) -> tuple[str, float]:
        """Digest of the samples, seconds to the first. The client raises where one is missing or doubled."""
        began, first, sound = time.monotonic(), 0.0, hashlib.sha256()
        stream = client.synthesize(TEXT, seed=7, voice="alto")
        for chunk in stream:
            first = first or time.monotonic() - began
            sound.update(chunk.data)
        return f"{stream.result.usage.delivered_samples} samples {sound.hexdigest()[:16]}", first


def main() -> int:
    """Begin, wait, tell."""
    target, streams, stop = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    stop.unlink(missing_ok=True)
    load = Load(target, stop)
    sizes = [min(CALLERS_PER_CONNECTION, streams - at) for at in range(0, streams, CALLERS_PER_CONNECTION)]
    connections = [threading.Thread(target=load.callers, args=(size,)) for size in sizes]
    for connection in connections:
        connection.start()
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    for connection in connections:
        connection.join()
    told = {"kinds": dict(load.digests), "failures": load.failures, "slowest_first_sound": load.slowest}
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
