"""Runs in a pod: COUNT streams at a time over one connection, once; prints what came of them as JSON.

python crowd.py TARGET COUNT [REPEATS]     28 repeats of the text last some 20 s
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections import Counter

from rhapsode import Client
from rhapsode.errors import RhapsodeError

TEXT = "abcde fghij "
APART = 0.05


def main() -> int:
    """Begin one after the other, wait for all."""
    kinds: Counter[str] = Counter()
    failures: list[str] = []
    seconds: list[float] = []

    text = TEXT * int(sys.argv[3] if len(sys.argv) > 3 else 28)

    def listen(client: Client) -> None:
        began, sound = time.monotonic(), hashlib.sha256()
        try:
            for chunk in client.synthesize(text, seed=7, voice="alto"):
                sound.update(chunk.data)
        except RhapsodeError as error:
            failures.append(f"{type(error).__name__}: {error}")
            return
        kinds[sound.hexdigest()[:16]] += 1
        seconds.append(time.monotonic() - began)

    with Client(sys.argv[1], timeout=300) as client:
        threads = [threading.Thread(target=listen, args=(client,)) for _ in range(int(sys.argv[2]))]
        for thread in threads:
            thread.start()
            time.sleep(APART)
        for thread in threads:
            thread.join()
    told = {"kinds": dict(kinds), "failures": failures, "seconds": min(seconds, default=0.0)}
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
