"""What is learned at the end of a block of readings: level, scale, limits, and how far they may go."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.contract import ALARM
from models.streaming.limits import SECONDS_PER_YEAR, BlockMaxima, cusum_floor, gaussian_floor, spread_floor
from models.streaming.state import Column, Rows, Settings

__all__ = ["CHART_SIGMA", "SIGMA_PER_DEVIATION", "SMOOTHING", "SPREAD_SMOOTHING", "Uses", "begin", "learn"]

Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

SIGMA_PER_DEVIATION = float(np.sqrt(np.pi / 2))
"""standard deviation of a normal distribution over its mean absolute deviation"""
SMOOTHING = 0.2
"""lambda of the EWMA chart: the usual choice, good for shifts from 1 sigma on (Montgomery 2013, 9.2)"""
CHART_SIGMA = float(np.sqrt(SMOOTHING / (2 - SMOOTHING)))
"""standard deviation of the chart under independent noise of one sigma (Roberts 1959)"""
SPREAD_SMOOTHING = 0.05
"""the same of the magnitudes: they say less, so more of them have to (MacGregor and Harris 1993)"""
SPREAD_SIGMA = float(np.sqrt((1 - 2 / np.pi) * SPREAD_SMOOTHING / (2 - SPREAD_SMOOTHING)))
"""standard deviation of that under independent normal noise of one sigma"""

_SLACK = 0.5
"""k of the CUSUM: half the shift it is best for, in sigmas (Montgomery 2013, 9.1)"""
_MOST_SLACK = 3.0
_HUBER = 3.0
"""deviations beyond this many sigmas are learned as this many (Huber 1964)"""
_REACH = 2.7
"""a reading is charted as at most so many limits of a lasting shift: one outlier scores at most 0.6 in the chart, two
in a row 0.98; heavy tails bring two together now and then"""
_LEAST_REACH = 6.0
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

_REFINED = 4
"""blocks of maxima after which limits are set anew"""
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


class Uses(NamedTuple):
    """Which of the charts make the score."""

    chart: bool = True
    cusum: bool = True
    spread: bool = True


def begin(rows: Rows, settings: Settings) -> None:
    """Rows of sensors of which nothing is known; they are all 0 before."""
    rows.left[:] = rows.size[:] = np.minimum(settings.base, settings.warmup)
    rows.inverse[:] = 1.0
    rows.ripple_share[:] = SPREAD_SMOOTHING
    rows.slack[:] = _SLACK
    rows.wandering[:] = rows.clinging[:] = 1.0
    for endless in (
        rows.bound,
        rows.huber,
        rows.resolution,
        rows.step,
        rows.chart_ceiling,
        rows.rise_ceiling,
        rows.fall_ceiling,
        rows.ripple_most,
    ):
        endless[:] = np.inf
    for unknown in (rows.previous, rows.chart_share, rows.cusum_share, rows.spread_share, rows.level_anchor):
        unknown[:] = np.nan


def learn(
    rows: Rows,
    settings: Settings,
    *,
    sensor: Index,
    now: Column,
    maxima: BlockMaxima,
    uses: Uses,
) -> Mask:
    """End the block of these sensors and begin the next.

    Args:
        rows: changed in place.
        settings: of the same sensors.
        sensor: their places in the maxima.
        now: µs since 1970, time of the last reading of each.
        maxima: of the charts of all sensors; changed in place.
        uses: which limits go into the score.

    Returns:
        whether the block was learned from: not if the score was `ALARM` or more in it.
    """
    worst = np.maximum(rows.chart_peak * rows.chart_share, rows.cusum_peak * rows.cusum_share)
    worst = np.maximum(worst, rows.spread_peak * rows.spread_share)
    learned = ~(worst >= ALARM)
    warming = np.isnan(rows.chart_share)
    # A block that the baseline says little about does not count; only the baseline learns from it.
    informed = learned & (2 * rows.unknown <= rows.size)
    rows.count += np.where(informed, rows.size, 0.0)
    rows.blocks += informed
    total = rows.sum + rows.size * (rows.level - rows.level_probed) * rows.inverse
    probed = np.flatnonzero(informed & (rows.charting == 1))
    _learn_level(rows, settings, informed, warming, now)

    whole = np.zeros(sensor.size, np.bool_)
    if probed.size:
        # The square of a normal statistic has an exponential tail, so that its maxima soon follow Gumbel (Cook 1982);
        # that of a CUSUM has one as it is (Siegmund 1985).
        peaks = np.stack(
            [(rows.chart_peak / CHART_SIGMA) ** 2, rows.cusum_peak, (rows.spread_peak / SPREAD_SIGMA) ** 2]
        )
        whole[probed[maxima.add(sensor[probed], peaks[:, probed], rows.size[probed], total[probed])]] = True

    elapsed = now - rows.first_at
    begins = rows.charting == 0
    for chart in (rows.chart, rows.rise, rows.fall, rows.spread):
        chart[begins] = 0.0
    start = begins & (rows.blocks >= _PROBE_BLOCKS)
    start &= (rows.count >= settings.probe * settings.warmup) & (elapsed >= settings.probe * settings.warmup_us)
    if start.any():
        rows.level_probed[start] = rows.level[start]
        rows.charting[start] = 1.0
    ready = warming & (rows.charting == 1) & (rows.count >= settings.warmup) & (elapsed >= settings.warmup_us)
    due = np.flatnonzero(ready | (whole & ~warming & (maxima.filled[sensor] % _REFINED == 0)))
    if due.size:
        rows.wandering[due], rows.clinging[due] = maxima.wandering(sensor[due])
    _widen_slack(rows)
    if due.size:
        _set_limits(rows, settings, due, sensor[due], maxima, uses, first=ready[due])
    settled = np.isnan(rows.level_anchor) & ~np.isnan(rows.chart_share) & np.isfinite(rows.resolution)
    settled &= (rows.count >= _SETTLED * settings.warmup) & (elapsed >= _SETTLED * settings.warmup_us)
    rows.level_anchor[settled] = rows.level[settled]

    _begin_block(rows, settings, maxima.readings[sensor], now)
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
    ripple = rows.sum_ripple / known / rows.ripple_share * sigma
    rows.ripple += np.where(anchored, 0.0, weight) * (ripple - rows.ripple)
    rows.resolution[:] = np.where(learned, np.minimum(rows.resolution, rows.step), rows.resolution)

    magnitude = np.abs(rows.level)
    rows.tiny[:] = _ROUNDING * magnitude
    unmoved = np.where(magnitude > 0, _UNMOVED * magnitude, _VAST)
    floor = np.where(np.isfinite(rows.resolution), rows.resolution, unmoved)
    floor = np.maximum(np.maximum(floor, settings.min_scale), np.maximum(_LEAST_SCALE * magnitude, _TINIEST))
    sigma = np.where(anchored, sigma, np.maximum(SIGMA_PER_DEVIATION * rows.deviation, floor))
    rows.inverse[:] = 1.0 / sigma
    ripple = np.maximum(SIGMA_PER_DEVIATION * rows.ripple, floor)
    rows.ripple_share[:] = np.where(anchored, rows.ripple_share, SPREAD_SMOOTHING * sigma / ripple)
    rows.huber[:] = np.where(rows.blocks >= _PROBE_BLOCKS, _HUBER, np.inf)
    rows.ripple_most[:] = SPREAD_SMOOTHING * rows.huber


def _level_error(rows: Rows) -> Column:
    """Standard error of the level in sigmas, from how the means of blocks differ: so correlation is in it."""
    return SIGMA_PER_DEVIATION * rows.wander * rows.inverse * np.sqrt(rows.clinging / np.maximum(rows.blocks, 1))


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
    rows: Rows, settings: Settings, due: Index, sensor: Index, maxima: BlockMaxima, uses: Uses, *, first: Mask
) -> None:
    per_reading = settings.budget[due] * rows.interval[due] / (SECONDS_PER_YEAR * 1e6)
    doubt = 1 + _DOUBT / np.sqrt(rows.count[due])
    error = _STANDARD_ERRORS * _level_error(rows)[due]
    error_of_usual = _DOUBT * np.sqrt(rows.wandering[due] / rows.count[due]) / SIGMA_PER_DEVIATION
    seen_chart, seen_cusum, seen_spread = maxima.limit(sensor, per_reading=per_reading, clinging=rows.clinging[due])
    seen_chart, seen_spread = (np.sqrt(np.maximum(seen, 0.0)) for seen in (seen_chart, seen_spread))
    chart = np.maximum(seen_chart, gaussian_floor(per_reading) * doubt + error / CHART_SIGMA)
    cusum = np.maximum(seen_cusum, cusum_floor(per_reading, rows.slack[due], rows.wandering[due]) * doubt)
    spread = np.maximum(seen_spread, spread_floor(per_reading) + error_of_usual / SPREAD_SIGMA)
    both = settings.up[due] * settings.down[due]
    for used, limit, found, anchor, share, unit in (
        (uses.chart, rows.chart_limit, chart, rows.chart_anchor, rows.chart_share, CHART_SIGMA),
        (uses.cusum, rows.cusum_limit, cusum, rows.cusum_anchor, rows.cusum_share, 1.0),
        (uses.spread * both, rows.spread_limit, spread, rows.spread_anchor, rows.spread_share, SPREAD_SIGMA),
    ):
        anchor[due] = np.where(first, found, anchor[due])
        limit[due] = np.minimum(found, _LIMIT_ROOM * anchor[due])
        share[due] = used / (limit[due] * unit)


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
    for empty in (
        rows.chart_peak,
        rows.cusum_peak,
        rows.spread_peak,
        rows.unknown,
        rows.sum,
        rows.sum_abs,
        rows.sum_ripple,
    ):
        empty[:] = 0.0
