"""`ThresholdEvaluator`: limits on many signals, evaluated on whole batches as a fold over event time."""

import contextlib
import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from operator import itemgetter
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.definition import Limit, Rule
from rules.events import ActiveAlarm, AlarmChange, ChangeKind, Side, alarm_key
from rules.instances import NEVER, Columns, Flags, Happening, Index, Limits, Log, elapse
from rules.runs import Segments, fold_segments
from rules.samples import Samples, signal_of
from rules.signal import FlatLine, NoData
from telemetry.batch import to_datetime
from telemetry.errors import ConfigurationError, StateError
from telemetry.snapshot import pack, unpack

__all__ = ["ThresholdEvaluator"]

_LABEL = "threshold/2"
_FIRST_LABEL = "threshold/1"
_CODES = MappingProxyType(
    {Side.HIGH_HIGH: 2, Side.HIGH: 1, Side.CONDITION: 0, Side.LOW: -1, Side.LOW_LOW: -2},
)
"""of sides in snapshots; never changed"""
_ORDER = MappingProxyType({kind: place for place, kind in enumerate(ChangeKind)})


class ThresholdEvaluator:
    """Turns samples into alarm changes.

    Each side of a rule is an alarm instance of its own. For the high side, the low side mirrored:

    - *Sample and hold.* A sample holds until the next one of its signal. NaN is certainly normal: not beyond,
      and back.
    - *Raised* when sample > high; a condition when sample >= its threshold. With an on-delay the instance is
      pending from the first violating sample on, and raised at `pending since + on_delay` if the violation lasted
      that long. A sample at or below the limit before that cancels it; the deadband plays no part yet. A sample
      later than the due instant raises whatever it says itself, since the violating one was held until then; a
      sample exactly at the due instant raises only if it still violates; `tick` raises what was due before its
      `now`.
    - *Cleared* when sample <= high - deadband, a condition when below its threshold; with an off-delay at
      `back since + off_delay`, by the same rules. A sample above high - deadband before that cancels the clearing.
    - *Flat lines* are the exception: silence is no proof of flatness. An alarm of theirs is raised by the first
      violating sample at or after the due instant, at that sample's time, and never by time alone.
    - *No data* of a rule with `watched_since_us` is pending since then until there is a first sample.
    - *Peak*: the worst value since the first violating sample. `peak` is reported at the end of a fold for alarms
      that stand and whose peak moved since it was last told, not for conditions. `raised` and `cleared` carry the
      peak up to then.

    `raised` and `cleared` changes and the final peaks do not depend on how the samples are cut into folds. Per
    signal, times never go back over all folds. A tick may run ahead of the samples: a sample from before the last
    change of an instance counts as if it had come at that change, so that no alarm ends before it began.

    Raises:
        ConfigurationError: two rules of one sensor or asset share a name.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        if len({(rule.sensor_name, rule.name) for rule in rules}) != len(rules):
            raise ConfigurationError("two rules of one sensor have the same name; rename one of them")
        if repeated := [rule_id for rule_id, count in Counter(rule.id for rule in rules).items() if count > 1]:
            raise ValueError(f"two rules have the id {repeated[0]}")
        ordered = sorted(rules, key=lambda rule: (signal_of(rule), rule.id))
        self._sides = [(rule, limit) for rule in ordered for limit in rule.limits]
        self._limits = _limits_of(self._sides)
        signal = np.array([signal_of(rule) for rule, _ in self._sides], np.int32)
        self._signals, self._first, self._place, self._count = np.unique(
            signal, return_index=True, return_inverse=True, return_counts=True
        )
        self._rule_id = np.array([rule.id for rule, _ in self._sides], np.int64)
        self._code = np.array([_CODES[limit.side] for _, limit in self._sides], np.int8)
        self._fresh = _fresh(self._sides)
        self._columns = self._fresh.take(np.arange(signal.size))

        # Samples within all limits of a signal of which no alarm stands or waits change nothing.
        low = self._limits.sign < 0
        self._ceiling = np.full(self._signals.size, np.inf)
        np.minimum.at(self._ceiling, self._place, np.where(low, np.inf, self._limits.limit))
        self._floor = np.full(self._signals.size, -np.inf)
        np.maximum.at(self._floor, self._place, np.where(low, -self._limits.limit, -np.inf))
        self._busy = np.zeros(self._signals.size, np.bool_)
        self._note_all_busy()

    @property
    def signals(self) -> npt.NDArray[np.int32]:
        """The signals judged, ascending, each once."""
        return self._signals

    def pending(self) -> npt.NDArray[np.int32]:
        """Signals for which time alone can change something: a delay is running. Ascending."""
        return self._signals[np.unique(self._place[self._columns.waiting & self._limits.by_time])]

    def active(self) -> list[ActiveAlarm]:
        """The alarms that stand, by signal and rule."""
        columns = self._columns
        peak = columns.peak * self._limits.sign
        return [
            ActiveAlarm.of(
                self._sides[position][0],
                self._sides[position][1].side,
                began_us=int(columns.began[position]),
                peak_value=float(peak[position]),
                peak_us=int(columns.peak_at[position]),
            )
            for position in np.flatnonzero(columns.active).tolist()
        ]

    def fold(self, samples: Samples) -> list[AlarmChange]:
        """Judge samples; those of other signals are passed over.

        Returns:
            What changed, by (at, key).
        """
        if not len(samples) or not self._signals.size:
            return []
        signal, value = samples.signal, samples.value
        begin = np.flatnonzero(np.concatenate(([True], signal[1:] != signal[:-1])))
        end = np.append(begin[1:], signal.size)
        highest, lowest = np.fmax.reduceat(value, begin), np.fmin.reduceat(value, begin)
        place, known = self._places(signal[begin])
        beyond = (highest > self._ceiling[place]) | (lowest < self._floor[place])
        loud = np.flatnonzero(known & (beyond | self._busy[place]))
        if not loud.size:
            return []
        place, begin, end = place[loud], begin[loud], end[loud]
        every, which = self._instances(place)
        worst = np.where(self._limits.sign[every] > 0, highest[loud][which], -lowest[loud][which])
        concerned = np.flatnonzero((worst > self._limits.limit[every]) | self._columns.concerns(every))
        instance, segment = every[concerned], which[concerned]

        columns, log = self._columns.take(instance), Log(instance)
        segments = Segments(begin=begin[segment], end=end[segment], time=samples.time, value=value)
        fold_segments(columns, self._limits.take(instance), segments, log)
        self._columns.put(instance, columns)
        self._note_busy(place, every, which)
        return self._changes(log.happenings)

    def tick(self, signal: npt.NDArray[np.int32], now_us: npt.NDArray[np.int64]) -> list[AlarmChange]:
        """Let time pass without samples.

        Args:
            signal: each once; others than `signals` are passed over.
            now_us: for each, until when (exclusive) its last sample is known to have lasted.

        Returns:
            What changed, by (at, key).
        """
        if signal.shape != now_us.shape:
            raise ValueError(f"{now_us.size} instants for {signal.size} signals")
        if not self._signals.size:
            return []
        place, known = self._places(signal)
        known &= self._busy[place]
        if not known.any():
            return []
        place = place[known]
        instance, which = self._instances(place)
        columns, log = self._columns.take(instance), Log(instance)
        elapse(columns, self._limits.take(instance), now_us[known][which], log)
        self._columns.put(instance, columns)
        self._note_busy(place, instance, which)
        return self._changes(log.happenings)

    def reset(self, rule_id: npt.NDArray[np.int32], at_us: npt.NDArray[np.int64]) -> list[AlarmChange]:
        """What these rules warned of is over: their alarms end, delays start anew.

        Args:
            rule_id: each once; others than the rules judged are passed over.
            at_us: since when, for each; an alarm raised later ends when it was raised.

        Returns:
            What changed, by (at, key); the values are NaN.
        """
        moments = dict(zip(rule_id.tolist(), at_us.tolist(), strict=True))
        instance = np.flatnonzero(np.isin(self._rule_id, rule_id))
        columns, log = self._columns.take(instance), Log(instance)
        ended = np.flatnonzero(columns.active)
        asked = np.array([moments[each] for each in self._rule_id[instance[ended]].tolist()], np.int64)
        columns.settled[ended] = np.maximum(asked, columns.settled[ended])
        columns.active[:] = False
        columns.since[:] = NEVER
        log.add_states(ChangeKind.CLEARED, ended, columns, at=columns.settled[ended], value=np.full(ended.size, np.nan))
        self._columns.put(instance, columns)
        self._note_all_busy()
        return self._changes(log.happenings)

    def snapshot(self) -> bytes:
        """The whole state; `restore` continues from it exactly. Instances as they were at first take no room."""
        whole = self._columns
        moved = np.flatnonzero(whole.active | whole.waiting | (whole.settled != NEVER) | self._fresh.waiting)
        columns = whole.take(moved).forgetful()
        return pack(
            _LABEL,
            {
                "rule_id": self._rule_id[moved],
                "side": self._code[moved],
                **{field.name: getattr(columns, field.name) for field in fields(columns)},
            },
        )

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot, also one taken with other rules, or by the first version of this evaluator.

        State is matched by rule and side; rules not in the snapshot start fresh. A delay that ran under a limit which
        has been changed since goes on only if the held sample still stands on the same side of it.

        Raises:
            StateError: the bytes are damaged or of another kind.
        """
        arrays = _unpack(body)
        keys = zip(arrays.pop("rule_id").tolist(), arrays.pop("side").tolist(), strict=True)
        stored = {key: row for row, key in enumerate(keys)}
        found = [
            (position, stored[key])
            for position, key in enumerate(zip(self._rule_id.tolist(), self._code.tolist(), strict=True))
            if key in stored
        ]
        here, there = np.array(found, np.intp).reshape(-1, 2).T
        columns = Columns(**{name: column[there] for name, column in arrays.items()})
        limits = self._limits.take(here)
        beyond, ahead = columns.held > limits.limit, columns.held > limits.clear
        columns.since[~np.where(columns.active, ~ahead, beyond)] = NEVER
        self._columns = self._fresh.take(np.arange(self._rule_id.size))
        self._columns.put(here, columns)
        self._note_all_busy()

    def _places(self, signal: npt.NDArray[np.int32]) -> tuple[Index, Flags]:
        """Where signals stand among those judged, and whether they do."""
        place = np.minimum(np.searchsorted(self._signals, signal), self._signals.size - 1)
        return place, self._signals[place] == signal

    def _instances(self, place: Index) -> tuple[Index, Index]:
        """All instances of some signals, and for each, of which one of them it is."""
        count = self._count[place]
        which = np.repeat(np.arange(place.size), count)
        skipped = np.cumsum(count) - count
        return np.arange(which.size) + np.repeat(self._first[place] - skipped, count), which

    def _note_busy(self, place: Index, instance: Index, which: Index) -> None:
        """See anew of which of these signals, with all their instances, an alarm stands or waits."""
        self._busy[place] = np.bincount(which, weights=self._columns.concerns(instance), minlength=place.size) > 0

    def _note_all_busy(self) -> None:
        everything = np.arange(self._place.size)
        self._note_busy(np.arange(self._signals.size), everything, self._place)

    def _changes(self, happenings: Sequence[Happening]) -> list[AlarmChange]:
        """As objects for a person and a table, in order of event time."""
        changes = []
        # An alarm's begin is told again and again, and most changes come at a begin or a peak.
        moment = functools.cache(to_datetime)
        for each in happenings:
            sign, order = self._limits.sign[each.instance], _ORDER[each.kind]
            for position, at, began, value, peak, peak_at in zip(
                each.instance.tolist(),
                each.at.tolist(),
                each.began.tolist(),
                (each.value * sign).tolist(),
                (each.peak * sign).tolist(),
                each.peak_at.tolist(),
                strict=True,
            ):
                rule, limit = self._sides[position]
                change = AlarmChange(
                    kind=each.kind,
                    key=alarm_key(rule, limit.side, began),
                    rule=rule,
                    side=limit.side,
                    limit=limit.value,
                    at=moment(at),
                    began_at=moment(began),
                    value=value,
                    peak_value=peak,
                    peak_at=moment(peak_at),
                )
                changes.append(((at, change.key, order), change))
        changes.sort(key=itemgetter(0))
        return [change for _, change in changes]


def _limits_of(sides: Sequence[tuple[Rule, Limit]]) -> Limits:
    """Limits oriented so that above is always bad, delays in microseconds."""
    sign = np.array([-1.0 if limit.side.is_low else 1.0 for _, limit in sides], np.float64)
    value = np.array([limit.value for _, limit in sides], np.float64)
    condition = np.array([limit.side is Side.CONDITION for _, limit in sides], np.bool_)
    # At or above a threshold is above the number before it.
    limit = np.where(condition, np.nextafter(value, -np.inf), value * sign)
    deadband = np.array([rule.deadband for rule, _ in sides], np.float64)
    return Limits(
        sign=sign,
        limit=limit,
        clear=np.where(condition, limit, limit - deadband),
        on_delay=np.array([round(rule.on_delay_s * 1e6) for rule, _ in sides], np.int64),
        off_delay=np.array([round(rule.off_delay_s * 1e6) for rule, _ in sides], np.int64),
        by_time=np.array([not isinstance(rule.signal, FlatLine) for rule, _ in sides], np.bool_),
        has_peak=~condition,
    )


def _fresh(sides: Sequence[tuple[Rule, Limit]]) -> Columns:
    """Instances that have seen nothing: there is no data since the rule is in force."""
    columns = Columns.fresh(len(sides))
    for position, (rule, limit) in enumerate(sides):
        if isinstance(rule.signal, NoData) and rule.watched_since_us is not None:
            columns.since[position] = columns.peak_at[position] = rule.watched_since_us
            columns.held[position] = columns.peak[position] = limit.value
    return columns


def _unpack(body: bytes) -> dict[str, npt.NDArray[Any]]:
    with contextlib.suppress(StateError):
        arrays = unpack(_FIRST_LABEL, body)
        del arrays["sensor_id"]
        arrays["side"] = np.where(arrays.pop("high"), _CODES[Side.HIGH], _CODES[Side.LOW])
        return arrays
    return unpack(_LABEL, body)
