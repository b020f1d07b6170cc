"""Degradation of one machine since it was new, by several symptoms that have to agree."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["VERSION", "Degradation", "DegradationParameters", "degradation"]

VERSION = "degradation/1"

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DegradationParameters:
    """Defaults come from principles and from the test rig of the FEMTO bearings (docs/remaining-life.md)."""

    window_s: float = 300.0
    """s; a level counts by its median over the last window, so that what is short does not count"""
    burst_s: float = 60.0
    """s; the same for a rise so broad and steep that it need not last"""
    run_in_s: float = 3600.0
    """s of age; until then surfaces smooth, lubricant spreads and all warms up, so more symptoms have to agree"""
    limit_db: float = 3.0
    """dB; twice the power, or 1.4 times the amplitude"""
    agreeing: int = 2
    """symptoms that have to have risen by the limit once run in"""
    agreeing_in_run_in: int = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Degradation:
    """How much worse than in its middle age, at each time."""

    score: Column
    """float64 (n,); from 1 on it degrades; NaN while there is nothing to compare with, or the levels are not known"""
    rise_db: Column
    """float64 (symptoms, n); dB of the last window over the reference, the larger of the axes"""


def degradation(time_s: Column, level_db: Column, parameters: DegradationParameters | None = None) -> Degradation:
    """Score how much several symptoms have risen together; at each time from what was known then.

    Damage excites several bands, and impulses; lubrication, temperature or load mostly one. So the score is that of
    the second-highest symptom over the limit (in the run-in the third-highest). What it has risen over is the same
    machine at a quarter to half of its present age: what wears in goes with the logarithm of age and stays the same
    from half the age to the full one, a step that settles is forgotten when the machine is four times as old, and a
    fault that grows, however slowly, is not learned. Once run in, nothing from the run-in is referred to. Of a rise in
    all symptoms but one by twice the limit a minute is enough.

    Args:
        time_s: (n,) s, ascending; the first is when the machine was new or as good as new.
        level_db: (symptoms, axes, n) in dB, 20 lg of an amplitude; higher is worse, at least three symptoms.
        parameters: None for the defaults.

    Raises:
        ValueError: shapes do not fit, or time does not ascend.
    """
    given = parameters or DegradationParameters()
    symptoms, _, count = level_db.shape
    if time_s.shape != (count,) or symptoms < 3 or (np.diff(time_s) <= 0).any():
        raise ValueError(
            f"levels {level_db.shape} at times {time_s.shape}: expected (at least 3, axes, n), times ascending"
        )
    score, rise = np.full(count, np.nan), np.full((symptoms, count), np.nan)
    known = np.flatnonzero(np.isfinite(level_db).all(axis=(0, 1)))
    if known.size:
        age = time_s[known] - time_s[0]
        rises, bursts = _rises(age, np.ascontiguousarray(level_db[:, :, known]), given)
        agreeing = np.where(age <= given.run_in_s, given.agreeing_in_run_in, given.agreeing)
        ordered = np.sort(rises, axis=0)
        lasting = ordered[symptoms - np.minimum(agreeing, symptoms), np.arange(age.size)]
        broad = np.sort(bursts, axis=0)[1]
        rise[:, known] = rises
        score[known] = np.maximum(lasting / given.limit_db, broad / (2 * given.limit_db))
    return Degradation(score=score, rise_db=rise)


def _rises(age: Column, level: Column, given: DegradationParameters) -> tuple[Column, Column]:
    """(symptoms, n) each: over a window, and over a burst."""
    rises = np.full((level.shape[0], age.size), np.nan)
    bursts = rises.copy()
    quarter = np.where(age <= given.run_in_s, given.window_s, given.run_in_s - given.window_s)
    first = np.searchsorted(age, np.maximum(quarter, age / 4))
    end = np.searchsorted(age, np.maximum(quarter + given.window_s, age / 2))
    # A median of fewer than three would follow a single spike.
    latest = np.maximum(np.arange(age.size) - 2, 0)
    window = np.minimum(np.searchsorted(age, age - given.window_s, side="right"), latest)
    burst = np.minimum(np.searchsorted(age, age - given.burst_s, side="right"), latest)
    # The reference moves slowly, but for the end of the run-in: once in a burst is often enough.
    due = np.diff(np.floor(age / given.burst_s), prepend=-1.0) > 0
    due |= np.diff(age > given.run_in_s, prepend=False)
    reference = None
    for now in np.flatnonzero((end > first) & (end <= np.arange(age.size))).tolist():
        if reference is None or due[now]:
            reference = np.median(level[:, :, first[now] : end[now]], axis=2)
        rises[:, now] = (np.median(level[:, :, window[now] : now + 1], axis=2) - reference).max(axis=1)
        bursts[:, now] = (np.median(level[:, :, burst[now] : now + 1], axis=2) - reference).max(axis=1)
    return rises, bursts
