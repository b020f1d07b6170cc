"""What is had for nothing: detectors that know nothing, and the plainest one that knows a little.

A figure is worth what it has above these.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from models.contract import ALARM
from models.evaluation.events import Run, judge_events

__all__ = ["Chance", "always", "at_random", "by_chance", "ewma_z"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """What alarms as many and as long, but at random times, would have had: means over many throws."""

    detected: float
    """events"""
    false_alarms_per_h: float
    """NaN: there was no normal time"""


def always(runs: Sequence[Run]) -> tuple[Run, ...]:
    """The same runs by a detector that always cries."""
    return tuple(replace(run, score=np.full(run.score.size, 2 * ALARM)) for run in runs)


def at_random(runs: Sequence[Run], *, seed: int) -> tuple[Run, ...]:
    """The same runs with the judged scores of each turned round by a random number of rows.

    So there are as many alarms, of the same lengths, and the same scores, but they know nothing of the events. (Rows
    drawn one by one would be a baseline too easily beaten: such alarms flicker, and hardly any is quiet before.)
    """
    generator = np.random.default_rng(seed)
    turned = []
    for run in runs:
        judged = run.score[run.train :]
        by = int(generator.integers(judged.size)) if judged.size else 0
        turned.append(replace(run, score=np.concatenate((run.score[: run.train], np.roll(judged, by)))))
    return tuple(turned)


def by_chance(
    runs: Sequence[Run], *, seed: int, throws: int = 100, merge_s: float = 30.0, quiet_s: float = 10.0
) -> Chance:
    """What `at_random` has on average; one throw alone may be lucky. Its average precision is the prevalence.

    Args:
        merge_s: as for `judge_events`, and `quiet_s` too.
    """
    found = [
        judge_events(at_random(runs, seed=seed + throw), merge_s=merge_s, quiet_s=quiet_s) for throw in range(throws)
    ]
    return Chance(
        detected=float(np.mean([each.detected for each in found])),
        false_alarms_per_h=float(np.mean([each.false_alarms_per_h for each in found])),
    )


def ewma_z(values: npt.NDArray[np.float64], train: int, *, weight: float = 0.05) -> npt.NDArray[np.float64]:
    """Score by the plainest chart: mean over columns of |EWMA of z|, over twice its maximum in the rows to learn from.

    z is by mean and standard deviation of the first rows; a value that is not known counts as usual, and so does
    every value of a column that did not move there. Source: Roberts 1959, "Control chart tests based on geometric
    moving averages", Technometrics 1(3); the limit of twice the maximum is custom, not theory.

    Args:
        values: (n, k), one row a sample, one column a sensor.
        train: how many first rows to learn from.
        weight: of the newest sample, 0 to 1.

    Returns:
        float64 (n,); NaN in the rows to learn from. 1 or more is an alarm.

    Raises:
        ValueError: there are no rows to learn from.
    """
    if not 0 < train <= len(values):
        raise ValueError(f"{train} rows to learn from, of {len(values)}")
    first = values[:train]
    some = np.isfinite(first).any(axis=0)
    usual = np.zeros(values.shape[1])
    spread = np.zeros(values.shape[1])
    usual[some], spread[some] = np.nanmean(first[:, some], axis=0), np.nanstd(first[:, some], axis=0)
    z = (values - usual) / np.where(spread > 0, spread, np.inf)
    smooth = lfilter([weight], [1, weight - 1], np.nan_to_num(z, nan=0.0, posinf=0.0, neginf=0.0), axis=0)
    score = np.abs(smooth).mean(axis=1)
    most = score[:train].max()
    score = score / (2 * most) if most > 0 else np.where(score > 0, np.inf, 0.0)
    score[:train] = np.nan
    return np.asarray(score, np.float64)
