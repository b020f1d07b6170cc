"""`Bands`: in which hours and minutes nothing can happen to rules on plain values, by lowest and highest value alone.

A value is beyond a limit, or back inside the deadband, or between the two. While all values of a sensor stay in one of
these bands, and it is not that beyond the limit, an evaluator does with the first of them what it would do with all: a
delay that runs goes on, one that does not run does not begin, no peak moves. And while no alarm stands, it makes no
difference between back and between at all. So a bucket of the rollups need not be looked into if for every limit

- no value is beyond it, and
- its alarm is known not to stand (values were back for longer than the off-delay, and none was beyond it since), or all
  values are in one band, the same as those of the bucket before:

the same alarms come out, to the microsecond. Beyond a limit every reading is looked at, for the peak. Quality is one
more limit, for rules that look at it: a bad or stale reading is beyond.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rules.alignment import inputs_of, relations_of
from rules.definition import Rule
from rules.signal import Quality, Value

__all__ = ["BACK", "BETWEEN", "MIXED", "Bands", "Calm", "Judged", "plain_sensors", "quiet"]

BACK, BETWEEN, MIXED = 0, 1, 2

SensorIds = npt.NDArray[np.int32]
Values = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def plain_sensors(rules: Sequence[Rule]) -> list[int]:
    """Sensors of which every rule holds a value against limits, or looks at quality, and nothing else; ascending."""
    related = {rule.id for pair in relations_of(rules) for rule in pair}
    alone = [
        rule
        for rule in rules
        if isinstance(rule.signal, Value | Quality)
        and rule.gate is None
        and rule.schedule is None
        and rule.id not in related
    ]
    apart = {rule.id for rule in alone}
    others = {sensor for rule in rules if rule.id not in apart for sensor in inputs_of(rule)}
    return sorted({rule.sensor_id for rule in alone if rule.sensor_id is not None} - others)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """Buckets by (sensor_id, time), against each limit of their sensors: a column a limit."""

    beyond: Flags
    """whether a value may be beyond it"""
    band: npt.NDArray[np.int8]
    """`BACK`, `BETWEEN` or `MIXED`"""
    off_delay: Times
    """us"""


class Bands:
    """The limits of some sensors.

    Args:
        rules: as `plain_sensors` takes them; those on other sensors are passed over.
    """

    def __init__(self, sensor_ids: Sequence[int], rules: Sequence[Rule]) -> None:
        self._sensors = np.array(sorted(sensor_ids), np.int32)
        # Turned so that above is bad, as the evaluator does: the same numbers are compared.
        sides: dict[int, list[tuple[float, float, float, float]]] = {number: [] for number in self._sensors.tolist()}
        qualities: dict[int, float] = {}
        for rule in rules:
            if rule.sensor_id not in sides:
                continue
            if isinstance(rule.signal, Quality):
                qualities[rule.sensor_id] = max(rule.off_delay_s, qualities.get(rule.sensor_id, 0.0))
                continue
            for limit in rule.limits:
                sign = -1.0 if limit.side.is_low else 1.0
                turned = limit.value * sign
                sides[rule.sensor_id].append((sign, turned, turned - rule.deadband, rule.off_delay_s))
        most = max(map(len, sides.values()), default=0)
        filler = (1.0, np.inf, np.inf, 0.0)
        table = np.array([(found + [filler] * most)[:most] for found in sides.values()])
        self._sign, self._limit, self._clear, off_delay_s = np.moveaxis(
            table.reshape(self._sensors.size, most, 4), 2, 0
        )
        self._quality = np.array([number in qualities for number in sides], np.bool_)
        """of which quality is looked at as well"""
        quality_s = np.array([[qualities.get(number, 0.0)] for number in sides]).reshape(-1, 1)
        self._off_delay = np.round(np.hstack((off_delay_s, quality_s)) * 1e6).astype(np.int64)

    @property
    def columns(self) -> int:
        """Limits that a sensor has at most, and quality."""
        return int(self._off_delay.shape[1])

    def judge(self, sensor_id: SensorIds, low: Values, high: Values, unusable: Flags, unknown: Flags) -> Judged:
        """Hold buckets against the limits.

        Args:
            low, high: of usable values; NaN where there are none.
            unusable: whether there are bad or stale readings.
            unknown: of which not every reading, or too many, are known.
        """
        row = np.searchsorted(self._sensors, sensor_id)
        sign, limit, clear = self._sign[row], self._limit[row], self._clear[row]
        best = np.where(sign > 0, low[:, None], -high[:, None])
        worst = np.where(sign > 0, high[:, None], -low[:, None])
        real = np.isfinite(limit)
        dark = (unknown[:, None] | np.isnan(worst)) & real
        band = np.where(worst <= clear, BACK, np.where((best > clear) & (worst <= limit), BETWEEN, MIXED))
        ill = (unusable | unknown) & self._quality[row]
        return Judged(
            beyond=np.column_stack((dark | (real & (worst > limit)), ill)),
            band=np.column_stack(
                (np.where(dark, MIXED, np.where(real, band, BACK)), np.where(ill, MIXED, BACK))
            ).astype(np.int8),
            off_delay=self._off_delay[row],
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Calm:
    """What is known of a bucket, or of each sensor after its last one: a row each, a column a limit."""

    resting: Flags
    """whether its alarm is known not to stand, and not about to"""
    band: npt.NDArray[np.int8]


def quiet(
    sensor_id: SensorIds, begin: Times, end: Times, judged: Judged, before: Calm, given: Flags
) -> tuple[Flags, Flags]:
    """Which buckets, sorted by (sensor_id, time), nothing can happen in.

    Args:
        before: by sensor id; brought up to the last bucket of each sensor.
        given: a row a bucket: alarms known from elsewhere not to stand when it begins.

    Returns:
        The buckets, and for each of them and each limit whether its alarm is known not to stand when it begins.
    """
    if not sensor_id.size:
        return np.zeros(0, np.bool_), np.zeros((0, judged.beyond.shape[1]), np.bool_)
    number = np.arange(sensor_id.size)
    first = np.concatenate(([True], sensor_id[1:] != sensor_id[:-1]))
    known = given.copy()
    known[first] |= before.resting[sensor_id[first]]
    previous = np.vstack((judged.band[:1], judged.band[:-1]))
    previous[first] = before.band[sensor_id[first]]
    same = (judged.band == previous) & (judged.band != MIXED)

    # Back without a break since when: the end of the first bucket that is.
    back = judged.band == BACK
    begins_run = back & ~(np.vstack((back[:1] & False, back[:-1])) & ~first[:, None])
    run = np.maximum.accumulate(np.where(begins_run, number[:, None], 0), axis=0)
    settled = back & (begin[:, None] >= end[run] + judged.off_delay)

    # The last moment (even numbers: before a bucket, odd ones: after it) at which it was known to rest, or not to.
    after = 2 * number[:, None] + 1
    on = np.where(known, after - 1, -1)
    on[1:] = np.maximum(on[1:], np.where(settled[:-1], after[:-1], -1))
    off = np.where(first[:, None], after - 2, np.full_like(on, -2))
    off[1:] = np.maximum(off[1:], np.where(judged.beyond[:-1], after[:-1], -2))
    resting = np.maximum.accumulate(on, axis=0) > np.maximum.accumulate(off, axis=0)

    last = np.append(np.flatnonzero(first)[1:] - 1, sensor_id.size - 1)
    before.resting[sensor_id[last]] = settled[last] | (resting[last] & ~judged.beyond[last])
    before.band[sensor_id[last]] = judged.band[last]
    calm: Flags = (~judged.beyond & (resting | same)).all(axis=1)
    return calm, resting
