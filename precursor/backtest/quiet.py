"""`Bands`: in which hours and minutes nothing can happen to rules on plain values, by lowest and highest value alone.

A value is beyond a limit, or back inside the deadband, or between the two. As long as all values of a sensor stay in
one of these bands, and it is not that beyond a limit, an evaluator does with the first of them what it would do with
all: a delay that runs goes on, one that does not run does not begin, no peak moves. So a bucket of the rollups whose
lowest and highest value are in one band of every limit, and in the same as the bucket before, need not be looked into:
the same alarms come out, to the microsecond. Beyond a limit every reading is looked at, for the peak. Where a rule
looks at quality, a bucket with a bad or stale reading is looked into as well.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rules.alignment import inputs_of, relations_of
from rules.definition import Rule
from rules.signal import Quality, Value

__all__ = ["ANY", "UNKNOWN", "Bands", "plain_sensors", "quiet"]

UNKNOWN = -1
"""more than one band, or beyond a limit, or not known"""
ANY = -2
"""before the first reading: whatever band comes, nothing changes"""

SensorIds = npt.NDArray[np.int32]
Values = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
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


class Bands:
    """The bands of some sensors.

    Args:
        rules: as `plain_sensors` takes them; those on other sensors are passed over.
    """

    def __init__(self, sensor_ids: Sequence[int], rules: Sequence[Rule]) -> None:
        self._sensors = np.array(sorted(sensor_ids), np.int32)
        wanted = set(sensor_ids)
        # Turned so that above is bad, as the evaluator does: the same numbers are compared.
        sides: dict[int, list[tuple[float, float, float]]] = {sensor: [] for sensor in self._sensors.tolist()}
        for rule in rules:
            if rule.sensor_id in wanted and isinstance(rule.signal, Value):
                for limit in rule.limits:
                    sign = -1.0 if limit.side.is_low else 1.0
                    sides[rule.sensor_id].append((sign, limit.value * sign, limit.value * sign - rule.deadband))
        watched = {rule.sensor_id for rule in rules if isinstance(rule.signal, Quality)}
        self._quality = np.array([sensor in watched for sensor in self._sensors.tolist()], np.bool_)
        """of which quality is looked at as well"""
        most = max(map(len, sides.values()), default=0)
        filler = (1.0, np.inf, np.inf)
        table = np.array([(found + [filler] * most)[:most] for found in sides.values()]).reshape(
            self._sensors.size, most, 3
        )
        self._sign, self._limit, self._clear = table[..., 0], table[..., 1], table[..., 2]

    def codes(self, sensor_id: SensorIds, low: Values, high: Values, unusable: Flags) -> Codes:
        """One number for the bands that values from `low` to `high` are in; `UNKNOWN`: not one band, or beyond a limit.

        Args:
            unusable: whether there are bad or stale readings; without a usable one `low` and `high` are NaN.
        """
        row = np.searchsorted(self._sensors, sensor_id)
        code = np.zeros(sensor_id.size, np.int64)
        for place in range(self._sign.shape[1]):
            sign, limit, clear = self._sign[row, place], self._limit[row, place], self._clear[row, place]
            best, worst = np.where(sign > 0, low, -high), np.where(sign > 0, high, -low)
            back, between = worst <= clear, (best > clear) & (worst <= limit)
            code = np.where((code >= 0) & (back | between), code * 2 + between, UNKNOWN)
        return np.where(unusable & self._quality[row], UNKNOWN, code)


def quiet(sensor_id: SensorIds, code: Codes, before: Codes) -> Flags:
    """Which buckets, sorted by (sensor_id, time), nothing can happen in.

    Args:
        before: for the first bucket of each sensor, the code of the one before it; else passed over.
    """
    if not code.size:
        return np.zeros(0, np.bool_)
    previous = np.concatenate(([UNKNOWN], code[:-1]))
    first = np.concatenate(([True], sensor_id[1:] != sensor_id[:-1]))
    previous[first] = before[first]
    calm: Flags = (code >= 0) & ((previous == code) | (previous == ANY))
    return calm
