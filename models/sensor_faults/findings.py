"""What is found to be wrong with sensors, and what that means for an alarm."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

__all__ = ["SensorFault", "SensorFindings", "is_sensor"]

_MOST = 0.5


class SensorFault(IntEnum):
    """What is wrong with a sensor. The order is that of precedence: a stuck sensor drifts as well."""

    NONE = 0
    DRIFT = 1
    """it leaves what the other sensors of its asset say it should show, alone"""
    SPIKES = 2
    """again and again single readings far off"""
    STUCK = 3
    """its value does not move any more, while the machine runs"""
    DROPOUT = 4
    """readings are missing, or bad, while the other sensors of the asset go on"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SensorFindings:
    """Findings as equally long columns, by time, then by sensor."""

    sensor_id: npt.NDArray[np.int32]
    time: npt.NDArray[np.int64]
    """µs since 1970: the readings up to here say so"""
    kind: npt.NDArray[np.int8]
    """a `SensorFault`; `NONE`: nothing is wrong any more"""
    score: npt.NDArray[np.float64]
    """what was measured over its limit: 1 or more where something is wrong"""

    def __len__(self) -> int:
        return int(self.sensor_id.size)


def is_sensor(findings: Mapping[int, SensorFault], contribution: Mapping[int, float]) -> bool:
    """Whether an anomaly is that of a sensor, by what is found on sensors at the time.

    Args:
        findings: what stands, by sensor id (`SensorFaults.standing`).
        contribution: how much of the anomaly each sensor is, by id, together 1. For an alarm on the score of one
            sensor: that sensor, and 1.

    Returns:
        True where faulty sensors are at least half of it. False says that it is the machine, or not known: an alarm is
        taken for one of the machine until a sensor is found out.
    """
    faulty = sum(part for sensor, part in contribution.items() if findings.get(sensor, SensorFault.NONE))
    return faulty >= _MOST * sum(contribution.values()) > 0
