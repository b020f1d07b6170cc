"""`Schedules`: rules that apply only at some hours of some days, by the clock of a time zone."""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from rules.admission import Admission, Edges
from rules.definition import Rule, Schedule, Span
from rules.instances import NEVER
from rules.samples import Samples
from telemetry.batch import to_datetime, to_micros
from telemetry.errors import ConfigurationError
from telemetry.snapshot import pack, unpack

__all__ = ["OpenHours", "Schedules"]

_LABEL = "schedules/1"
_DAYS_TOGETHER = 64

Times = npt.NDArray[np.int64]


class OpenHours:
    """When a schedule is open, as instants; worked out for the days asked for, and kept.

    Spans are by the wall clock. An hour that the clock skips in spring is taken as the hour after it; of an hour that
    it shows twice in autumn, a span begins in the first and ends in the second. Spans that touch or overlap are one.

    Raises:
        ConfigurationError: there is no such time zone.
    """

    def __init__(self, schedule: Schedule) -> None:
        try:
            self._zone = ZoneInfo(schedule.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ConfigurationError(
                f"there is no time zone {schedule.timezone!r}; take a name of tzdata, such as Europe/Berlin"
            ) from error
        self._schedule = schedule
        longest = max((span.end_s for span in schedule.spans), default=0)
        # A day's span may be at work two days later, and the day here may be another one in UTC.
        self._margin = longest // 86_400 + 2
        self._first_day = self._end_day = 0
        self._pairs: list[tuple[int, int]] = []
        self._edges = Edges(time=np.empty(0, np.int64), open_before=False)

    def edges(self, begin_us: int, end_us: int) -> Edges:
        """Openings and closings, of which all between these instants are there; beyond them some may be missing."""
        first = to_datetime(begin_us).toordinal() - self._margin
        end = to_datetime(end_us).toordinal() + self._margin + 1
        if self._first_day == self._end_day:
            self._first_day = self._end_day = first
        if first < self._first_day or end > self._end_day:
            first, end = (
                min(self._first_day, first - first % _DAYS_TOGETHER),
                max(self._end_day, end - end % _DAYS_TOGETHER + _DAYS_TOGETHER),
            )
            for day in (*range(first, self._first_day), *range(self._end_day, end)):
                self._pairs += self._of_day(date.fromordinal(day))
            self._first_day, self._end_day = first, end
            self._edges = _joined(self._pairs)
        return self._edges

    def is_open(self, time: Times) -> npt.NDArray[np.bool_]:
        """Whether the schedule is open at each of these instants (us)."""
        if not time.size:
            return np.zeros(0, np.bool_)
        edges = self.edges(int(time.min()), int(time.max()))
        return edges.after(edges.passed(time))

    def _of_day(self, day: date) -> list[tuple[int, int]]:
        if day in self._schedule.closed:
            return []
        spans = [span for span in self._schedule.spans if day.weekday() in span.weekdays]
        return [pair for pair in (self._instants(day, span) for span in spans) if pair[0] < pair[1]]

    def _instants(self, day: date, span: Span) -> tuple[int, int]:
        midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - the wall clock's, the zone comes after
        begin, end = (
            (midnight + timedelta(seconds=seconds)).replace(tzinfo=self._zone) for seconds in (span.begin_s, span.end_s)
        )
        last = max(end.astimezone(UTC), end.replace(fold=1).astimezone(UTC))
        return to_micros(begin.astimezone(UTC)), to_micros(last)


class Schedules:
    """Lets the samples of rules with a schedule through while it is open.

    What was measured before the opening holds when it opens; the closing ends what stands or runs.

    Args:
        rules: those without a schedule are passed over.
    """

    def __init__(self, rules: list[Rule]) -> None:
        scheduled = [rule for rule in rules if rule.schedule is not None]
        self._admission = Admission(scheduled, [True] * len(scheduled))
        own = [rule.schedule for rule in self._admission.rules if rule.schedule is not None]
        place = {schedule: position for position, schedule in enumerate(dict.fromkeys(own))}
        self._hours = [OpenHours(schedule) for schedule in place]
        self._schedule = np.array([place[schedule] for schedule in own], np.intp)
        """of each rule, position in `_hours`"""
        self._seen: Times = np.full(len(own), NEVER, np.int64)
        """up to when (inclusive) openings and closings were told; none has come since"""

    @property
    def signal(self) -> npt.NDArray[np.int32]:
        """The signals of the rules with a schedule, sorted."""
        return self._admission.signal

    @property
    def seen(self) -> Times:
        """For each of `signal` up to when, at least, openings and closings were told."""
        return self._seen

    def fold(self, samples: Samples, until: Times) -> Samples:
        """Let samples through.

        Args:
            samples: of any rules, sorted by (signal, time).
            until: for each of `signal`, up to when (us, inclusive) time is known to have passed without further
                samples; `NEVER`: up to its last sample here.
        """
        if not self._hours:
            return samples
        mine, row = self._admission.find(samples)
        time = samples.time[mine]
        first, upto = np.full(self._seen.size, np.iinfo(np.int64).max), np.maximum(until, self._seen)
        np.minimum.at(first, row, time)
        np.maximum.at(upto, row, time)
        begin = np.where(self._seen == NEVER, np.minimum(first, upto), self._seen)
        touched = upto > self._seen
        touched[row] = True
        seen = self._seen.copy()

        parts = [Samples(signal=samples.signal[~mine], time=samples.time[~mine], value=samples.value[~mine])]
        own = Samples(signal=samples.signal[mine], time=time, value=samples.value[mine])
        for position in np.unique(self._schedule[touched]).tolist():
            rows = np.flatnonzero(touched & (self._schedule == position))
            edges = self._hours[position].edges(int(begin[rows].min()), int(upto[rows].max()))
            here = self._schedule[row] == position
            told, to_tell = edges.passed(begin[rows]), edges.passed(upto[rows])
            # Time that passed without an edge leaves no trace in the state.
            crossed = (to_tell > told) | (self._seen[rows] == NEVER)
            seen[rows[crossed]] = upto[rows[crossed]]
            parts.append(
                self._admission.admit(
                    edges,
                    rows,
                    Samples(signal=own.signal[here], time=own.time[here], value=own.value[here]),
                    begin=told,
                    end=to_tell,
                )
            )
        self._seen = seen
        return Samples.merged(parts)

    def waiting(self, active: Collection[int]) -> npt.NDArray[np.int32]:
        """Signals of rules to which an opening or closing will do something.

        Args:
            active: ids of rules of which an alarm stands; a closing ends it.
        """
        known = self._seen != NEVER
        is_open = self._open()
        stands = np.array([rule.id in active for rule in self._admission.rules], np.bool_)
        due = np.where(is_open, stands, self._admission.violates())
        return self._admission.signal[np.flatnonzero(known & due)]

    def begun(self) -> npt.NDArray[np.int32]:
        """The signals of rules of which anything was seen here."""
        return self._admission.begun()

    def reset(self, rule_ids: npt.NDArray[np.int32]) -> None:
        """What was measured of these rules does not hold any more."""
        self._admission.reset(rule_ids)

    def snapshot(self) -> bytes:
        """The whole state; `restore` continues from it exactly."""
        return pack(_LABEL, {**self._admission.state(), "seen": self._seen, "open": self._open()})

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot, also one taken with other rules.

        Raises:
            StateError: the bytes are damaged or of another kind.
        """
        arrays = unpack(_LABEL, body)
        was_open = arrays["open"]
        here, there = self._admission.restore(arrays, np.ones(was_open.size, np.bool_))
        self._seen = np.full(self._seen.size, NEVER, np.int64)
        self._seen[here] = arrays["seen"][there]
        # Closed by another schedule while an alarm may stand: no closing will come to end it.
        self._admission.forget(here[was_open[there] & ~self._open()[here]])

    def _open(self) -> npt.NDArray[np.bool_]:
        """Of each rule, whether it applies at the instant seen last."""
        is_open = np.zeros(self._seen.size, np.bool_)
        for position in np.unique(self._schedule[self._seen != NEVER]).tolist():
            rows = np.flatnonzero((self._schedule == position) & (self._seen != NEVER))
            is_open[rows] = self._hours[position].is_open(self._seen[rows])
        return is_open


def _joined(pairs: list[tuple[int, int]]) -> Edges:
    """Beginnings and ends in turn, of what is covered by any of the pairs."""
    if not pairs:
        return Edges(time=np.empty(0, np.int64), open_before=False)
    begin, end = np.array(sorted(pairs), np.int64).T
    reach = np.maximum.accumulate(end)
    starts = np.append(True, begin[1:] > reach[:-1])
    ends = np.append(reach[:-1][starts[1:]], reach[-1])
    return Edges(time=np.column_stack((begin[starts], ends)).ravel(), open_before=False)
