"""What a detector keeps of each sensor, and what may be set for it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from models.parameter import Parameter
from telemetry.errors import ConfigurationError

__all__ = ["COMMON", "NAMES", "Column", "Rows", "Setting", "Settings", "Table"]

Column = npt.NDArray[np.float64]
Table = npt.NDArray[np.float64]
Setting = float | Column

COMMON: Mapping[str, Parameter] = MappingProxyType(
    {
        # An asset shall have at most one false alarm in a hundred months, and some six sensors: 0.12 / 6 a year each.
        "budget": Parameter(
            default=0.02, low=1e-4, high=1e4, meaning="false alarms a sensor-year that the limit is set for"
        ),
        "warmup": Parameter(
            default=400, low=10, high=10_000_000, whole=True, meaning="readings learned from before the first score"
        ),
        "warmup_h": Parameter(
            default=0.0,
            low=0.0,
            high=10_000.0,
            meaning="hours before the first score, where that is longer than `warmup`; best whole cycles of the plant;"
            " 0 where `warmup` is set alone",
        ),
        "side": Parameter(
            default=0, low=-1, high=1, whole=True, meaning="1: only rises count, -1: only falls, 0: both"
        ),
        "min_scale": Parameter(
            default=0.0, low=0.0, high=1e300, meaning="smallest sigma, in the sensor's unit; e.g. its repeatability"
        ),
    }
)
"""parameters of every detector that sets its own limits"""

_HOUR_US = 3_600e6
_BLOCKS_IN_WARMUP = 16
_LONGEST_IN_WARMUP = 32
_LONGEST = 128
"""readings of a block at most"""


@dataclass(slots=True)
class Rows:
    """State, one float64 a sensor."""

    count: Column
    """readings learned from"""
    blocks: Column
    """learned from"""
    left: Column
    """readings until the block ends"""
    size: Column
    """readings of this block"""
    begun: Column
    """µs since 1970: when the block before ended"""
    first_at: Column
    """µs since 1970"""
    previous: Column
    """value of the last reading; NaN: there was none"""
    level: Column
    deviation: Column
    """mean absolute deviation of readings from the level, in the sensor's unit"""
    ripple: Column
    """the same of readings from where the chart was before them"""
    wander: Column
    """the same of the means of blocks from the level"""
    wandering: Column
    """how much more the mean of many readings varies than if they were independent"""
    clinging: Column
    """successive blocks that say as much as an independent one"""
    interval: Column
    """µs between readings"""
    resolution: Column
    """smallest step learned; inf: it never moved"""
    step: Column
    """smallest step of this block"""
    tiny: Column
    """what does not count as a step"""
    inverse: Column
    """1 / sigma"""
    bound: Column
    """deviations beyond it are charted as this"""
    huber: Column
    """deviations beyond so many sigmas are learned as this many"""
    slack: Column
    """k of the CUSUM, in sigmas"""
    charting: Column
    """1 once the charts run"""
    chart: Column
    """EWMA of deviations, in sigmas; `rise` and `fall` have to come next"""
    rise: Column
    """CUSUM of rises, in sigmas"""
    fall: Column
    chart_ceiling: Column
    """inf; `rise_ceiling` and `fall_ceiling` have to come next"""
    rise_ceiling: Column
    """the CUSUM goes no higher, so that it comes down soon after a fault"""
    fall_ceiling: Column
    spread: Column
    """EWMA of the magnitudes of ripples above the usual one, in sigmas of ripples"""
    ripple_share: Column
    """`SPREAD_SMOOTHING` over the sigma of ripples, which is in sigmas of deviations"""
    ripple_most: Column
    """ripples beyond it go into the spread as this"""
    chart_peak: Column
    """largest magnitude of the chart in this block"""
    cusum_peak: Column
    spread_peak: Column
    unknown: Column
    """readings of this block of which the baseline said nothing"""
    sum: Column
    """of the deviations to be learned of this block, in sigmas"""
    sum_abs: Column
    sum_ripple: Column
    """of the ripples to be learned, as they go into the spread"""
    chart_limit: Column
    """in sigmas of the chart"""
    cusum_limit: Column
    spread_limit: Column
    chart_share: Column
    """1 / limit, of the chart in sigmas of readings; 0: not used; NaN: warming up"""
    cusum_share: Column
    spread_share: Column
    chart_anchor: Column
    """limit at the end of the warm-up"""
    cusum_anchor: Column
    spread_anchor: Column
    level_anchor: Column
    """NaN until level and scale have settled"""
    level_probed: Column
    """level when the charts began to run"""
    drift: Column
    """how far the level has been from there before it settled"""


NAMES = tuple(field.name for field in fields(Rows))


@dataclass(slots=True)
class Settings:
    """What was set, one float64 a sensor."""

    budget: Column
    """false alarms a year of each chart"""
    warmup: Column
    warmup_us: Column
    probe: Column
    """share of the warm-up in which the baseline is learned alone; in the rest the charts run"""
    min_scale: Column
    base: Column
    """readings of a block in the warm-up"""
    longest: Column
    """readings of a block at most, `base` times a power of two"""
    up: Column
    """1 where rises count, else 0"""
    down: Column

    @classmethod
    def of(cls, count: int, given: Mapping[str, Setting], *, charts: int, probe: float) -> Table:
        """The rows of this class for so many sensors; the budget is shared by the charts.

        Raises:
            ConfigurationError: there is no such setting.
        """
        if foreign := sorted(set(given) - set(COMMON)):
            raise ConfigurationError(f"no such parameter: {', '.join(foreign)}; there are {', '.join(COMMON)}")
        budgets, warmups, hours, sides, scales = (
            np.broadcast_to(np.asarray(given.get(name, COMMON[name].default), np.float64), count)
            for name in ("budget", "warmup", "warmup_h", "side", "min_scale")
        )
        base = np.clip(warmups // _BLOCKS_IN_WARMUP, 1, _LONGEST_IN_WARMUP)
        return np.stack(
            [
                budgets / charts,
                warmups,
                hours * _HOUR_US,
                np.full(count, probe),
                scales,
                base,
                base * 2.0 ** np.floor(np.log2(_LONGEST / base)),
                (sides >= 0).astype(np.float64),
                (sides <= 0).astype(np.float64),
            ]
        )
