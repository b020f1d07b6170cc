"""`ThresholdEvaluator`: limits on many sensors, evaluated on whole batches as a fold over event time."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.definition import ThresholdRule
from rules.events import ActiveAlarm, AlarmChange, ChangeKind, Side, alarm_key
from rules.instances import NEVER, Columns, Happening, Limits, Log, elapse, step, walk
from telemetry.batch import ReadingBatch, to_datetime
from telemetry.errors import ConfigurationError
from telemetry.quality import usable
from telemetry.snapshot import pack, unpack

__all__ = ["ThresholdEvaluator"]

_LABEL = "threshold/1"
_KINDS = tuple(ChangeKind)
_FEW = 16
"""with fewer instances left in a round, walking them one by one costs less than vector operations"""


class ThresholdEvaluator:
    """Turns readings into alarm changes.

    Each side (high, low) of a rule is an alarm instance of its own. For the high side, the low side mirrored:

    - *Sample and hold.* A value holds until the next usable reading of its sensor. Only good and uncertain
      readings count; bad and stale ones neither raise nor clear, and do not interrupt what is going on.
    - *Raised* when value > high. With an on-delay the instance is pending from the first violating reading
      on, and raised at `pending since + on_delay` if the violation lasted that long. A reading at or below
      the limit before that cancels it; the deadband plays no part yet. A reading later than the due
      instant raises whatever it says itself, since the violating value was held until then; a reading
      exactly at the due instant raises only if it still violates; `tick` raises what was due before its
      `now`.
    - *Cleared* when value <= high - deadband; with an off-delay at `back since + off_delay`, by the same
      rules. A reading above high - deadband before that cancels the clearing.
    - *Peak*: the worst value since the first violating reading. `peak` is reported at the end of a fold
      for alarms that stand and whose peak moved since it was last told. `raised` and `cleared` carry the
      peak up to then.

    `raised` and `cleared` changes and the final peaks do not depend on how the readings are cut into batches.
    Per sensor, times should be strictly ascending over all folds, as `telemetry.ordering.EventOrder` gives
    them. A tick may run ahead of the readings: a reading from before the last change of an instance counts
    as if it had come at that change, so that no alarm ends before it began.

    Raises:
        ConfigurationError: two rules of one sensor share a name.
    """

    def __init__(self, rules: Sequence[ThresholdRule]) -> None:
        sides = [
            (rule, side)
            for rule in sorted(rules, key=lambda rule: (rule.sensor_id, rule.id))
            for side, limit in ((Side.HIGH, rule.high), (Side.LOW, rule.low))
            if limit is not None
        ]
        names = {(rule.sensor_name, rule.name) for rule in rules}
        if len(names) != len(rules):
            raise ConfigurationError("two rules of one sensor have the same name; rename one of them")
        self._sides: list[tuple[ThresholdRule, Side]] = sides
        self._sign = np.array([1.0 if side is Side.HIGH else -1.0 for _, side in sides])
        self._limits = _limits_of(sides)
        sensor_of = np.array([rule.sensor_id for rule, _ in sides], np.int32)
        self._keys: dict[str, npt.NDArray[Any]] = {
            "rule_id": np.array([rule.id for rule, _ in sides], np.int64),
            "sensor_id": sensor_of,
            "high": np.array([side is Side.HIGH for _, side in sides], np.bool_),
        }
        self._sensor_ids, self._first, self._count = np.unique(sensor_of, return_index=True, return_counts=True)
        self._sensor_index = np.searchsorted(self._sensor_ids, sensor_of)
        self._columns = Columns.fresh(len(sides))

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        """The sensors watched, sorted, each once."""
        return self._sensor_ids

    def pending_sensors(self) -> npt.NDArray[np.int32]:
        """Sensors for which time alone can change something: an on-delay or off-delay is running. Sorted."""
        waiting = self._sensor_index[self._columns.since != NEVER]
        return self._sensor_ids[np.unique(waiting)] if waiting.size else self._sensor_ids[:0]

    def active(self) -> list[ActiveAlarm]:
        """The alarms that stand, by sensor and rule."""
        columns = self._columns
        return [
            ActiveAlarm.of(
                *self._sides[position],
                began_us=int(columns.began[position]),
                peak_value=float(columns.peak[position] * self._sign[position]),
                peak_us=int(columns.peak_at[position]),
            )
            for position in np.flatnonzero(columns.active).tolist()
        ]

    def fold(self, batch: ReadingBatch) -> list[AlarmChange]:
        """Evaluate readings sorted by (sensor_id, time); readings of other sensors are passed over.

        Returns:
            What changed, by (at, key).
        """
        sensor_id, time, value = batch.sensor_id, batch.time, batch.value
        good = usable(batch.quality)
        if not good.all():
            sensor_id, time, value = sensor_id[good], time[good], value[good]
        if not sensor_id.size or not self._sensor_ids.size:
            return []
        starts = np.flatnonzero(np.concatenate(([True], sensor_id[1:] != sensor_id[:-1])))
        lengths = np.diff(starts, append=sensor_id.size)
        sensor = np.minimum(np.searchsorted(self._sensor_ids, sensor_id[starts]), self._sensor_ids.size - 1)
        highest, lowest = np.maximum.reduceat(value, starts), np.minimum.reduceat(value, starts)

        counts = np.where(self._sensor_ids[sensor] == sensor_id[starts], self._count[sensor], 0)
        segment = np.repeat(np.arange(starts.size), counts)
        skipped = np.cumsum(counts) - counts
        instance = np.arange(segment.size) + (self._first[sensor] - skipped)[segment]
        extreme = np.where(self._sign[instance] > 0, highest[segment], -lowest[segment])
        noisy = (
            (extreme > self._limits.limit[instance])
            | self._columns.active[instance]
            | (self._columns.since[instance] != NEVER)
        )
        if not noisy.any():
            return []
        instance, segment = instance[noisy], segment[noisy]
        longest_first = np.argsort(-lengths[segment], kind="stable")
        instance, segment = instance[longest_first], segment[longest_first]
        return self._rounds(instance, starts[segment], lengths[segment], time, value)

    def tick(self, now_us: npt.NDArray[np.int64]) -> list[AlarmChange]:
        """Let time pass without readings.

        Args:
            now_us: int64, aligned to `sensor_ids`: until when (exclusive) the held value of each sensor is
                known to have lasted.

        Returns:
            What changed, by (at, key).
        """
        if now_us.shape != self._sensor_ids.shape:
            raise ValueError(f"{now_us.size} instants for {self._sensor_ids.size} sensors")
        waiting = np.flatnonzero(self._columns.since != NEVER)
        if not waiting.size:
            return []
        columns = self._columns.take(waiting)
        log = Log(waiting, columns)
        elapse(columns, self._limits.take(waiting), now_us[self._sensor_index[waiting]], log)
        self._columns.put(waiting, columns)
        return self._changes(log.happenings)

    def snapshot(self) -> bytes:
        """The whole state; `restore` continues from it exactly. Instances that never moved take no room."""
        moved = (self._columns.active | (self._columns.since != NEVER) | (self._columns.settled != NEVER)).nonzero()[0]
        columns = self._columns.take(moved).forgetful()
        return pack(
            _LABEL,
            {
                **{name: key[moved] for name, key in self._keys.items()},
                "active": columns.active,
                "since": columns.since,
                "held": columns.held,
                "peak": columns.peak,
                "peak_at": columns.peak_at,
                "began": columns.began,
                "settled": columns.settled,
            },
        )

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot, also one taken with other rules.

        State is matched by (rule, sensor, side); rules not in the snapshot start fresh. A delay that ran
        under a limit which has been changed since goes on only if the held value still stands on the same
        side of it.

        Raises:
            StateError: the bytes are damaged or of another kind.
        """
        arrays = unpack(_LABEL, body)
        keys = zip(*(arrays.pop(name).tolist() for name in self._keys), strict=True)
        stored = {key: row for row, key in enumerate(keys)}
        found = [
            (position, stored[key])
            for position, (rule, side) in enumerate(self._sides)
            if (key := (rule.id, rule.sensor_id, side is Side.HIGH)) in stored
        ]
        here, there = np.array(found, np.intp).reshape(-1, 2).T
        self._columns = Columns.fresh(len(self._sides))
        columns = Columns(**{name: column[there] for name, column in arrays.items()})
        limits = self._limits.take(here)
        holds = np.where(columns.active, columns.held <= limits.clear, columns.held > limits.limit)
        columns.since[~holds] = NEVER
        self._columns.put(here, columns)

    def _rounds(
        self,
        instance: npt.NDArray[np.intp],
        begin: npt.NDArray[np.intp],
        length: npt.NDArray[np.intp],
        time: npt.NDArray[np.int64],
        value: npt.NDArray[np.float64],
    ) -> list[AlarmChange]:
        """The k-th reading of every instance at once, longest segments first; the last few one by one."""
        whole, all_limits, sign = (
            self._columns.take(instance),
            self._limits.take(instance),
            self._sign[instance],
        )
        log = Log(instance, whole)
        # How many instances have more than k readings, for each k.
        remaining = np.searchsorted(-length, -np.arange(int(length[0])), side="left")
        rounds = int(np.searchsorted(-remaining, -_FEW, side="right"))
        shorter = np.flatnonzero(np.diff(remaining[:rounds])) + 1
        for start, end in pairwise(np.unique((0, *shorter, rounds)).tolist()):
            front = slice(int(remaining[start]))
            columns, limits = whole.take(front), all_limits.take(front)
            for k in range(start, end):
                position = begin[front] + k
                step(columns, limits, time[position], value[position] * sign[front], log)
        if rounds < remaining.size:
            for place in range(int(remaining[rounds])):
                rest = slice(int(begin[place]) + rounds, int(begin[place] + length[place]))
                walk(
                    whole,
                    all_limits,
                    place,
                    times=time[rest].tolist(),
                    values=(value[rest] * sign[place]).tolist(),
                    log=log,
                )
        log.add_peaks(whole)
        self._columns.put(instance, whole)
        return self._changes(log.happenings)

    def _changes(self, happenings: Sequence[Happening]) -> list[AlarmChange]:
        """As objects for a person and a table, in order of event time."""
        changes = []
        for each in happenings:
            sign = self._sign[each.instance]
            for position, at, began, value, peak, peak_at in zip(
                each.instance.tolist(),
                each.at.tolist(),
                each.began.tolist(),
                (each.value * sign).tolist(),
                (each.peak * sign).tolist(),
                each.peak_at.tolist(),
                strict=True,
            ):
                rule, side = self._sides[position]
                change = AlarmChange(
                    kind=_KINDS[each.kind],
                    key=alarm_key(rule, side, began),
                    rule=rule,
                    side=side,
                    limit=float(self._limits.limit[position] * self._sign[position]),
                    at=to_datetime(at),
                    began_at=to_datetime(began),
                    value=value,
                    peak_value=peak,
                    peak_at=to_datetime(peak_at),
                )
                changes.append(((at, change.key, each.kind), change))
        changes.sort(key=lambda pair: pair[0])
        return [change for _, change in changes]


def _limits_of(sides: Sequence[tuple[ThresholdRule, Side]]) -> Limits:
    """Limits oriented so that above is always bad, delays in microseconds."""
    limit = np.array([rule.high if side is Side.HIGH else _negated(rule.low) for rule, side in sides], np.float64)
    return Limits(
        limit=limit,
        clear=limit - np.array([rule.deadband for rule, _ in sides], np.float64),
        on_delay=np.array([round(rule.on_delay_s * 1e6) for rule, _ in sides], np.int64),
        off_delay=np.array([round(rule.off_delay_s * 1e6) for rule, _ in sides], np.int64),
    )


def _negated(number: float | None) -> float:
    return math.nan if number is None else -number
