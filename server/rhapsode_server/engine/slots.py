"""The free list of rows. A slot is one row everywhere: cache, frames, vocoder state.

`acquire` is told the worst-case number of positions from the first day, so that a paged cache can take
this file's place without the scheduler noticing.
"""

from __future__ import annotations


class Slots:
    """`count` rows of `positions` cache positions each; the lowest free row is given first.

    Low rows first keeps the rows in use close together, which is what batch buckets like.
    """

    def __init__(self, count: int, positions: int) -> None:
        if count < 1 or positions < 1:
            raise ValueError(f"slots need at least one row and one position, not {count} x {positions}")
        self.count = count
        self.positions = positions
        self._free = list(range(count - 1, -1, -1))
        self._held = [0] * count
        self._filled = 0

    def fits(self, positions: int) -> bool:
        """Whether a row could ever hold this many positions."""
        return positions <= self.positions

    def acquire(self, positions: int) -> int | None:
        """A free row for at most `positions` positions, or None while there is none.

        Raises ValueError for a prompt that no row can ever hold: the caller refuses such a prompt first.
        """
        if not self.fits(positions):
            raise ValueError(f"{positions} positions never fit a row of {self.positions}")
        if not self._free:
            return None
        slot = self._free.pop()
        self._held[slot] = positions
        self._filled += positions
        return slot

    def release(self, slot: int) -> None:
        """Give a row back. Raises ValueError for a row that is not in use."""
        if not 0 <= slot < self.count or slot in self._free:
            raise ValueError(f"slot {slot} is not in use")
        self._filled -= self._held[slot]
        self._free.append(slot)
        self._free.sort(reverse=True)

    @property
    def filled(self) -> float:
        """Share of all cache positions that those who hold rows may come to use, 0 to 1."""
        return self._filled / (self.count * self.positions)

    @property
    def free(self) -> int:
        """Number of rows that nobody holds."""
        return len(self._free)

    @property
    def used(self) -> int:
        """Number of rows in use."""
        return self.count - len(self._free)
