"""Seasonal baseline: what is usual at this hour of the day, and of the week."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from models.parameter import Parameter
from models.streaming.frame import ChartDetector
from models.streaming.learning import Uses
from models.streaming.state import COMMON, Column, Rows, Setting, Settings, Table

__all__ = ["PARAMETERS", "SeasonalDetector"]

PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {**COMMON, "warmup_h": replace(COMMON["warmup_h"], default=168.0)}
)

_HOUR_US = 3_600_000_000
_DAY, _WEEK = 24, 168
_MONDAY_US = 4 * _DAY * _HOUR_US
"""1970-01-05 was the first Monday after the epoch"""
_VISITS = 4.0
"""times that an hour of the week is learned; from then on it stays, or whatever creeps in would become usual"""
_DOUBT_WEEK = 0.25
"""visits of an hour of the week that weigh as much as its hour of the day on all days"""
_DOUBT_DAY = 0.25
"""visits of an hour of the day that weigh as much as the overall level"""


class SeasonalDetector(ChartDetector):
    """EWMA chart and CUSUM of `ChartDetector` on what the time of day and week (UTC) leaves over.

    A profile of the 168 hours of the week is learned, each the mean of how far from the level the sensor was, and
    read with a straight line between the middles of hours. An hour seldom seen yet is drawn towards the same hour
    of the other days, and that towards the level (shrinkage by the number of visits, as in Efron and Morris 1977).
    An hour is learned at four visits and stays then. The charts begin after half the warm-up: where weekends differ,
    give it two weeks.

    Holds 8 KiB a sensor: for those with a rhythm, not for all.

    Args:
        sensor_ids: int32, sorted, each once.
        settings: see `PARAMETERS`; one number, or one a sensor.
    """

    def __init__(self, sensor_ids: npt.NDArray[np.int32], **settings: Setting) -> None:
        given = {"warmup_h": PARAMETERS["warmup_h"].default} | settings
        # Half a warm-up, so that of the default week every hour of the day has come by three times.
        super().__init__(
            sensor_ids, given, label="seasonal/2", uses=Uses(spread=False), baseline=_HoursOfWeek(), probe=0.5
        )


class _HoursOfWeek:
    """State of a sensor: mean, readings, sum noted, readings noted, and the profile in use, of each hour."""

    rows = 5 * _WEEK

    def expected(self, state: Table, time: npt.NDArray[np.int64], context: Column) -> Column:
        del context
        profile = state.reshape(5, _WEEK, -1)[4]
        sensor = np.arange(profile.shape[1])
        # From the middle of one hour to the middle of the next.
        hours = (time - _MONDAY_US - _HOUR_US // 2) / _HOUR_US
        before = np.floor(hours)
        share = hours - before
        hour = before.astype(np.intp) % _WEEK
        one, other = profile[hour, sensor], profile[(hour + 1) % _WEEK, sensor]
        return np.asarray(one + share * (other - one), np.float64)

    def note(
        self,
        state: Table,
        time: npt.NDArray[np.int64],
        context: Column,
        deviation: Column,
        valid: npt.NDArray[np.bool_] | None,
    ) -> None:
        del context
        _, _, total, count, _ = state.reshape(5, _WEEK, -1)
        hour = ((time - _MONDAY_US) // _HOUR_US).astype(np.intp) % _WEEK
        sensor = np.arange(state.shape[1])
        for each in range(len(time)):
            of = sensor if valid is None else sensor[valid[each]]
            total[hour[each, of], of] += deviation[each, of]
            count[hour[each, of], of] += 1

    def fold(
        self,
        state: Table,
        learned: npt.NDArray[np.bool_],
        risen: Column,
        rows: Rows,
        settings: Settings,
    ) -> None:
        del settings
        mean, known, total, count, profile = state.reshape(5, _WEEK, -1)
        visit = np.maximum(_HOUR_US / np.maximum(rows.interval, 1.0), 1.0)
        taken = np.where(learned & (known < _VISITS * visit), count, 0.0)
        known += taken
        mean += np.where(taken > 0, (total - taken * mean) / np.maximum(known, 1.0), 0.0)
        mean -= np.where(known > 0, risen, 0.0)
        total[:] = 0.0
        count[:] = 0.0
        of_day = known.reshape(7, _DAY, -1)
        weighted = mean.reshape(7, _DAY, -1) * of_day
        readings, sums = of_day[0].copy(), weighted[0].copy()
        for day in range(1, 7):
            readings += of_day[day]
            sums += weighted[day]
        usual = np.tile(sums / (readings + _DOUBT_DAY * visit), (7, 1))
        profile[:] = (known * mean + _DOUBT_WEEK * visit * usual) / (known + _DOUBT_WEEK * visit)
