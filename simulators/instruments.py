"""What instruments make of what there is to be measured: noise, resolution, and faults of their own."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from simulators.faults import SensorFaultKind, SensorFaultPlan
from simulators.machines import Point
from telemetry.batch import to_micros
from telemetry.quality import Quality

__all__ = ["read_instrument"]

Series = npt.NDArray[np.float64]

_HOUR_US = 3_600_000_000
_SPIKES_A_DAY = (6.0, 24.0)
_GAPS_A_DAY = (4.0, 12.0)
_GAP_S = (600.0, 3600.0)
_SENT_AS_BAD = 0.5
"""part of the gaps in which a device says that it has no value, instead of nothing"""


def read_instrument(
    point: Point,
    true: Series,
    time: npt.NDArray[np.int64],
    faults: Sequence[SensorFaultPlan],
    *,
    noise: np.random.Generator,
    fault_draws: np.random.Generator,
) -> tuple[Series, npt.NDArray[np.int16]]:
    """Readings of one sensor: values (NaN: none was sent) and their quality.

    Args:
        true: what there is, in the unit.
        time: µs since 1970.
        faults: of this sensor.
        noise: draws the noise, as often whatever the faults.
        fault_draws: draws where spikes and gaps are.
    """
    spread = point.noise + point.relative_noise * np.abs(true)
    value = true + spread * noise.standard_normal(true.size)
    quality = np.full(true.size, Quality.GOOD, np.int16)
    for fault in faults:
        begin, end = to_micros(fault.begins_at), to_micros(fault.ends_at)
        during = np.flatnonzero((time >= begin) & (time < end))
        if not during.size:
            continue
        if fault.kind is SensorFaultKind.STUCK:
            value[during] = value[max(during[0] - 1, 0)]
        elif fault.kind is SensorFaultKind.DRIFT:
            passed = (time[during] - begin) / (end - begin)
            if point.unit == "mm/s":
                value[during] *= 1 - fault.amount * passed
            else:
                value[during] += fault.amount * point.nominal * passed
        elif fault.kind is SensorFaultKind.SPIKES:
            at = _moments(fault_draws, _SPIKES_A_DAY, begin, end, time, during)
            value[at] += fault.amount * point.nominal * fault_draws.uniform(0.7, 1.3, at.size)
        else:
            for gap in _moments(fault_draws, _GAPS_A_DAY, begin, end, time, during).tolist():
                length_us = int(fault_draws.uniform(*_GAP_S) * 1e6)
                rows = (time >= time[gap]) & (time < min(int(time[gap]) + length_us, end))
                if fault_draws.random() < _SENT_AS_BAD:
                    quality[rows] = Quality.BAD
                else:
                    value[rows] = np.nan
    if point.unit not in {"degC", "bar"}:
        value = np.maximum(value, 0.0)  # NaN stays
    return np.round(value / point.resolution) * point.resolution, quality


def _moments(
    rng: np.random.Generator,
    a_day: tuple[float, float],
    begin: int,
    end: int,
    time: npt.NDArray[np.int64],
    during: npt.NDArray[np.intp],
) -> npt.NDArray[np.intp]:
    """Positions of events that come at random (a Poisson process of a rate drawn from `a_day`)."""
    expected = rng.uniform(*a_day) * (end - begin) / (24 * _HOUR_US)
    moments = np.sort(rng.integers(begin, end, max(int(rng.poisson(expected)), 1)))
    return np.unique(np.minimum(np.searchsorted(time, moments), during[-1]))
