"""What somebody hears who plays an utterance from its first sound on: gaps between messages, under-runs.

What must not live here: a clock, who is told of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SLACK_SECONDS = 0.02
"""By so much sound may come late before it counts: less is not heard as a gap by any player."""


@dataclass(slots=True)
class Playback:
    """One listener of one utterance, as seen from here. Times in seconds."""

    gaps: list[float] = field(default_factory=list)
    underruns: int = 0
    _last: float | None = None
    _runs_dry: float = 0.0

    def stands(self, left: float, now: float) -> None:
        """The listener says that so many seconds of what was sent are still to be heard."""
        self._runs_dry = now + left

    def sent(self, seconds: float, now: float, *, excused: bool = False) -> None:
        """So much sound was handed over. `excused`: the caller held it up, by a pause or text yet to come."""
        if self._last is not None and not excused:
            self.gaps.append(now - self._last)
            self.underruns += now > self._runs_dry + SLACK_SECONDS
        self._last = now
        self._runs_dry = max(self._runs_dry, now) + seconds
