"""`Throttle`: how often an edge node is asked for its birth."""

from typing import Final

__all__ = ["Throttle"]

_LONGEST_STEP: Final = 64


class Throttle:
    """Lets a request through at most once in an interval, which doubles while requests go on.

    A node that does not answer, or whose births never name what its data messages use, is not asked every second for
    ever; 64 intervals after it could have been asked again it is as good as new.
    """

    __slots__ = ("_base_us", "_interval_us", "_last_us")

    def __init__(self, interval_s: float) -> None:
        self._base_us = round(interval_s * 1_000_000)
        self._interval_us = self._base_us
        self._last_us: int | None = None

    def allows(self, now_us: int) -> bool:
        """Whether a request may go out now; if so, it counts as sent."""
        if self._last_us is not None:
            since = now_us - self._last_us
            # Less than nothing: the clock was set back.
            if 0 <= since < self._interval_us:
                return False
            rested = since >= self._interval_us + _LONGEST_STEP * self._base_us
            self._interval_us = self._base_us if rested else min(2 * self._interval_us, _LONGEST_STEP * self._base_us)
        self._last_us = now_us
        return True
