"""`Sequence`: which messages of an edge node are missing, and how long to wait for them."""

from typing import Final

__all__ = ["SEQ_MODULUS", "Sequence"]

SEQ_MODULUS: Final = 256


class Sequence:
    """The sequence numbers of one edge node: 0 to 255, then 0 again.

    Messages may overtake each other at a broker of several machines, so that a gap is first given time to fill.
    """

    __slots__ = ("deadline_us", "expected", "missing")

    def __init__(self) -> None:
        self.expected: int | None = None
        """number of the next message; None: any will do"""
        self.missing: dict[int, None] = {}
        """numbers that were left out, in order"""
        self.deadline_us: int | None = None
        """when waiting for them ends, µs since 1970; None: nothing is missing"""

    @property
    def settled(self) -> int | None:
        """The number up to which all have arrived; None: not known."""
        first = next(iter(self.missing), self.expected)
        return None if first is None else (first - 1) % SEQ_MODULUS

    def begin(self, seq: int | None) -> None:
        """A birth: whatever was missing is no more."""
        self.missing.clear()
        self.deadline_us = None
        self.expected = None if seq is None else (seq + 1) % SEQ_MODULUS

    def take(self, seq: int, now_us: int, wait_us: int) -> bool:
        """A message arrived with this number. Whether it is in order: the next one, a late one, or one again."""
        expected = self.expected
        if seq == expected or expected is None:
            self.expected = (seq + 1) % SEQ_MODULUS
            return True
        if seq in self.missing:
            del self.missing[seq]
            if not self.missing:
                self.deadline_us = None
            return True
        if (seq + 1) % SEQ_MODULUS == expected:
            return True
        self.missing.update(
            dict.fromkeys((expected + step) % SEQ_MODULUS for step in range((seq - expected) % SEQ_MODULUS))
        )
        self.expected = (seq + 1) % SEQ_MODULUS
        if self.deadline_us is None:
            self.deadline_us = now_us + wait_us
        return False

    def give_up(self, now_us: int) -> list[int]:
        """The numbers that are missing once the time for them is over, and forgotten by that; else none."""
        if self.deadline_us is None or now_us < self.deadline_us:
            return []
        missing = list(self.missing)
        self.missing.clear()
        self.deadline_us = None
        return missing
