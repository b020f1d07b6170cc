"""When a message may leave: event time against the clock on the wall."""

from datetime import datetime

from telemetry.errors import ConfigurationError

__all__ = ["Pace"]

_CATCH_UP_S = 0.05
"""how far a rate limit may lag and still be made up for; more would be a burst past the limit"""


class Pace:
    """Tells each message's moment. Knows no clock: `now_s` is any clock that only goes forward, in seconds.

    Behind schedule (an outage, a slow broker), messages are due at once, as from a gateway that kept them,
    though never faster than `rate`.
    """

    def __init__(self, *, speed: float | None = None, rate: float | None = None) -> None:
        """
        Args:
            speed: seconds of event time per second; None or 0: as fast as possible.
            rate: at most so many messages a second; None or 0: no limit.

        Raises:
            ConfigurationError: a negative speed or rate.
        """
        for name, value in (("speed", speed), ("rate", rate)):
            if value is not None and not value >= 0:
                raise ConfigurationError(f"the {name} is 0 (no limit) or more, not {value:g}")
        self._speed = speed or None
        self._rate = rate or None
        self._begin: tuple[datetime, float] | None = None
        self._slot_s: float | None = None

    def due(self, at: datetime, now_s: float) -> float:
        """The moment, on the clock of `now_s`, at which the next message (event time `at`) may be sent."""
        due_s = now_s
        if self._speed is not None:
            if self._begin is None:
                self._begin = (at, now_s)
            first_at, begin_s = self._begin
            due_s = max(due_s, begin_s + (at - first_at).total_seconds() / self._speed)
        if self._rate is not None:
            if self._slot_s is not None:
                # `_slot_s` may trail the clock a little, so that late wake-ups do not lower the rate.
                self._slot_s = max(self._slot_s + 1 / self._rate, due_s - _CATCH_UP_S)
                due_s = max(due_s, self._slot_s)
            else:
                self._slot_s = due_s
        return due_s
