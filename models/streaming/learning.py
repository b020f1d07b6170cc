"""What is learned at the end of a block of readings: level, scale, limits, and how far they may go."""

import numpy as np
import numpy.typing as npt

from models.contract import ALARM
from models.streaming.limits import SECONDS_PER_YEAR, BlockMaxima, cusum_floor, gaussian_floor
from models.streaming.state import Column, Rows, Settings

__all__ = ["CHART_SIGMA", "SIGMA_PER_DEVIATION", "SMOOTHING", "begin", "learn"]

Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

SIGMA_PER_DEVIATION = float(np.sqrt(np.pi / 2))
"""standard deviation of a normal distribution over its mean absolute deviation"""
SMOOTHING = 0.2
"""lambda of the EWMA chart: the usual choice, good for shifts from 1 sigma on (Montgomery 2013, 9.2)"""
CHART_SIGMA = float(np.sqrt(SMOOTHING / (2 - SMOOTHING)))
"""standard deviation of the chart under independent noise of one sigma (Roberts 1959)"""

_SLACK = 0.5
"""k of the CUSUM: half the shift it is best for, in sigmas (Montgomery 2013, 9.1)"""
_MOST_SLACK = 3.0
_HUBER = 3.0
"""deviations beyond this many sigmas are learned as this many (Huber 1964)"""
_REACH = 4.0
"""a reading is charted as at most so many limits of a lasting shift: by itself it scores at most 0.8 in the chart"""
_LEAST_REACH = 8.0
"""sigmas"""
_REACH_BEFORE = 20.0
"""sigmas, as long as there is no limit"""
_CUSUM_ROOM = 1.1
"""limits that a CUSUM goes up to: from there it is back within its limit soon after a fault"""

_PROBE_BLOCKS = 4
"""blocks of them at least"""
_SETTLED = 3.0
"""warm-ups, the first included, after which level and scale are anchored"""
_FORGETTING = 3.0
"""eta of polynomial-decay averaging (Shamir and Zhang 2013) in the warm-up: its first readings are guesses"""
_MEMORY_US = 30 * 86_400e6
"""the level is at least as quick as a mean over this long"""
_LEVEL_ROOM = 0.5
"""how far the level may go from its anchor, in limits"""
_LIMIT_ROOM = 1.5
"""what a limit may grow to, in limits of the warm-up"""

_DOUBT = 1.5
"""relative standard errors of a scale learned from n readings, times sqrt(n): two of 0.76 / sqrt(n)"""
_STANDARD_ERRORS = 2.0
"""of the level, that a limit allows for"""
_MOST_STRETCH = 4.0
"""a gap counts as so many usual intervals when the rate of readings is learned"""
_SHORTEST_US = 1e3
_ROUNDING = 1e-14
"""share of the level that is rounding, no step"""
_LEAST_SCALE = 1e-10
"""smallest sigma as a share of the level"""
_UNMOVED = 0.05
"""sigma of a sensor that never moved, as a share of its level: nobody knows yet how it moves"""
_VAST = 1e300
"""sigma of one that never moved from 0: nothing it does can be judged"""
_TINIEST = 1e-300


def begin(rows: Rows, settings: Settings) -> None:
    """Rows of sensors of which nothing is known; they are all 0 before."""
    rows.left[:] = rows.size[:] = np.minimum(settings.base, settings.warmup)
    rows.inverse[:] = 1.0
    rows.slack[:] = _SLACK
    for endless in (
        rows.bound,
        rows.huber,
        rows.resolution,
        rows.step,
        rows.chart_ceiling,
        rows.rise_ceiling,
        rows.fall_ceiling,
    ):
        endless[:] = np.inf
    for unknown in (rows.previous, rows.chart_share, rows.cusum_share, rows.level_anchor):
        unknown[:] = np.nan


def learn(
    rows: Rows,
    settings: Settings,
    *,
    sensor: Index,
    now: Column,
    chart_maxima: BlockMaxima,
    cusum_maxima: BlockMaxima,
    use_chart: bool,
    use_cusum: bool,
) -> Mask:
    """End the block of these sensors and begin the next.

    Args:
        rows: changed in place.
        settings: of the same sensors.
        sensor: their places in the maxima.
        now: µs since 1970, time of the last reading of each.
        chart_maxima, cusum_maxima: of all sensors; changed in place.
        use_chart, use_cusum: which limits go into the score.

    Returns:
        whether the block was learned from: not if the score was `ALARM` or more in it.
    """
    worst = np.maximum(rows.chart_peak * rows.chart_share, rows.cusum_peak * rows.cusum_share)
    learned = ~(worst >= ALARM)
    warming = np.isnan(rows.chart_share)
    # A block that the baseline says little about does not count; only the baseline learns from it.
    informed = learned & (2 * rows.unknown <= rows.size)
    rows.count += np.where(informed, rows.size, 0.0)
    rows.blocks += informed
    _learn_level(rows, settings, informed, warming, now)

    probed = informed & (rows.charting == 1)
    whole = np.zeros(sensor.size, np.bool_)
    if (index := np.flatnonzero(probed)).size:
        whole[index[chart_maxima.add(sensor[index], (rows.chart_peak[index] / CHART_SIGMA) ** 2, rows.size[index])]] = (
            True
        )
        cusum_maxima.add(sensor[index], rows.cusum_peak[index], rows.size[index])

    elapsed = now - rows.first_at
    start = (rows.charting == 0) & (rows.blocks >= _PROBE_BLOCKS)
    start &= (rows.count >= settings.probe * settings.warmup) & (elapsed >= settings.probe * settings.warmup_us)
    if start.any():
        for chart in (rows.chart, rows.rise, rows.fall):
            chart[start] = 0.0
        rows.level_probed[start] = rows.level[start]
        rows.charting[start] = 1.0
    _widen_slack(rows)
    ready = warming & (rows.charting == 1) & (rows.count >= settings.warmup) & (elapsed >= settings.warmup_us)
    due = np.flatnonzero(ready | (whole & ~warming))
    if due.size:
        _set_limits(rows, settings, due, sensor[due], chart_maxima, cusum_maxima, first=ready[due])
        rows.chart_share[due] = 1.0 / (rows.chart_limit[due] * CHART_SIGMA) if use_chart else 0.0
        rows.cusum_share[due] = 1.0 / rows.cusum_limit[due] if use_cusum else 0.0
    settled = np.isnan(rows.level_anchor) & ~np.isnan(rows.chart_share) & np.isfinite(rows.resolution)
    settled &= (rows.count >= _SETTLED * settings.warmup) & (elapsed >= _SETTLED * settings.warmup_us)
    rows.level_anchor[settled] = rows.level[settled]

    _begin_block(rows, settings, chart_maxima.readings[sensor], now)
    return learned


def _learn_level(rows: Rows, settings: Settings, learned: Mask, warming: Mask, now: Column) -> None:
    first = rows.blocks == 1
    passed = (now - rows.begun) / np.where(first, np.maximum(rows.size - 1, 1), rows.size)
    passed = np.where(rows.interval > 0, np.minimum(passed, _MOST_STRETCH * rows.interval), passed)
    forgetting = np.where(warming, _FORGETTING, 0.0)
    weight = (1 + forgetting) * rows.size / (np.maximum(rows.count, rows.size) + forgetting * rows.size)
    weight = np.minimum(np.maximum(weight, rows.size * rows.interval / _MEMORY_US), 1.0)
    weight = np.where(learned, weight, 0.0)
    rows.interval += weight * (np.maximum(passed, _SHORTEST_US) - rows.interval)

    sigma = 1.0 / rows.inverse
    known = np.maximum(rows.size - rows.unknown, 1)
    moved = rows.sum / known * sigma
    anchored = ~np.isnan(rows.level_anchor)
    level = rows.level + weight * moved
    room = _LEVEL_ROOM * CHART_SIGMA * rows.chart_anchor * sigma
    held = np.minimum(np.maximum(level, rows.level_anchor - room), rows.level_anchor + room)
    rows.level[:] = np.where(anchored, held, level)
    rows.wander += weight * (np.abs(moved) - rows.wander)
    rows.deviation += np.where(anchored, 0.0, weight) * (rows.sum_abs / known * sigma - rows.deviation)
    rows.resolution[:] = np.where(learned, np.minimum(rows.resolution, rows.step), rows.resolution)

    magnitude = np.abs(rows.level)
    rows.tiny[:] = _ROUNDING * magnitude
    unmoved = np.where(magnitude > 0, _UNMOVED * magnitude, _VAST)
    floor = np.where(np.isfinite(rows.resolution), rows.resolution, unmoved)
    floor = np.maximum(np.maximum(floor, settings.min_scale), np.maximum(_LEAST_SCALE * magnitude, _TINIEST))
    sigma = np.where(anchored, sigma, np.maximum(SIGMA_PER_DEVIATION * rows.deviation, floor))
    rows.inverse[:] = 1.0 / sigma
    rows.huber[:] = np.where(rows.blocks >= _PROBE_BLOCKS, _HUBER, np.inf)


def _level_error(rows: Rows) -> Column:
    """Standard error of the level in sigmas, from how the means of blocks differ: so correlation is in it."""
    return SIGMA_PER_DEVIATION * rows.wander * rows.inverse / np.sqrt(np.maximum(rows.blocks, 1))


def _widen_slack(rows: Rows) -> None:
    """Within a step, and within what the level may be wrong, nothing shall add up in the CUSUM.

    It only ever widens, so that limits stay on the safe side, and no more once the level has settled.
    """
    free = (rows.charting == 1) & np.isnan(rows.level_anchor)
    rows.drift[:] = np.where(free, np.maximum(rows.drift, np.abs(rows.level - rows.level_probed)), rows.drift)
    slack = _SLACK + _STANDARD_ERRORS * np.maximum(_level_error(rows), rows.drift * rows.inverse)
    slack += np.where(np.isfinite(rows.resolution), _SLACK * np.minimum(rows.resolution * rows.inverse, 1.0), 0.0)
    slack = np.maximum(np.minimum(slack, _MOST_SLACK), rows.slack)
    rows.slack[:] = np.where(free, slack, rows.slack)


def _set_limits(
    rows: Rows,
    settings: Settings,
    due: Index,
    sensor: Index,
    chart_maxima: BlockMaxima,
    cusum_maxima: BlockMaxima,
    *,
    first: Mask,
) -> None:
    per_reading = settings.budget[due] * rows.interval[due] / (SECONDS_PER_YEAR * 1e6)
    doubt = 1 + _DOUBT / np.sqrt(rows.count[due])
    error = _STANDARD_ERRORS * _level_error(rows)[due]
    # The square of a normal statistic has an exponential tail, so that its maxima soon follow Gumbel (Cook 1982);
    # that of a CUSUM has one as it is (Siegmund 1985).
    seen = np.sqrt(np.maximum(chart_maxima.limit(sensor, per_reading=per_reading), 0.0))
    chart = np.maximum(seen, gaussian_floor(per_reading) * doubt + error / CHART_SIGMA)
    cusum = np.maximum(
        cusum_maxima.limit(sensor, per_reading=per_reading), cusum_floor(per_reading, rows.slack[due]) * doubt
    )
    rows.chart_anchor[due] = np.where(first, chart, rows.chart_anchor[due])
    rows.cusum_anchor[due] = np.where(first, cusum, rows.cusum_anchor[due])
    rows.chart_limit[due] = np.minimum(chart, _LIMIT_ROOM * rows.chart_anchor[due])
    rows.cusum_limit[due] = np.minimum(cusum, _LIMIT_ROOM * rows.cusum_anchor[due])


def _begin_block(rows: Rows, settings: Settings, whole: npt.NDArray[np.int64], now: Column) -> None:
    known = rows.chart_limit > 0
    reach = np.where(known, np.maximum(_REACH * CHART_SIGMA * rows.chart_limit, _LEAST_REACH), _REACH_BEFORE)
    rows.bound[:] = np.where(rows.charting == 1, reach / rows.inverse, np.inf)
    rows.rise_ceiling[:] = rows.fall_ceiling[:] = np.where(known, _CUSUM_ROOM * rows.cusum_limit, np.inf)
    size = np.minimum(whole, settings.longest)
    rows.size[:] = np.where(rows.count < settings.warmup, np.minimum(size, settings.warmup - rows.count), size)
    rows.left[:] = rows.size
    rows.begun[:] = now
    rows.step[:] = np.inf
    for empty in (rows.chart_peak, rows.cusum_peak, rows.unknown, rows.sum, rows.sum_abs):
        empty[:] = 0.0
