"""When a health indicator began to get worse: a level that turns into a drift, with the noise around it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

__all__ = ["FEWEST_POINTS", "DriftFit", "fit_drift", "without_outliers"]

FEWEST_POINTS = 20
"""with fewer neither a drift nor its noise can be told"""

_FEWEST_AFTER = 5
"""points that at least lie after an onset; a slope over fewer is a jump"""
_ONSETS = 32
_RATIOS = np.concatenate([[0.0], 10.0 ** np.arange(-5.0, 2.1, 0.5), [np.inf]])
"""variance that is added from one point to the next over that of the noise; below 1/points^2 it is as none"""
_NEGLIGIBLE = 1e-4
"""of the weight of the likeliest combination"""

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DriftFit:
    """A level, then from an onset on a drift: a Wiener process with drift, seen through measurement noise.

    x(t) = level + drift max(t - onset, 0) + sqrt(diffusion) B(t); y = x + noise (Whitmore 1995; Si et al. 2013).
    Onset and noise are not chosen but weighed: columns with one row for each combination that the data leave open.
    """

    weight: Column
    """how likely the combination is, together 1"""
    onset_s: Column
    drift: Column
    """per s, of the values"""
    drift_variance: Column
    diffusion: Column
    """variance that a second adds"""
    noise: Column
    """variance of a value about the true state"""
    state: Column
    """the true state at the last point, estimated"""
    state_variance: Column
    covariance: Column
    """of state and drift"""
    gain: float
    """2 (ln L - ln L without drift), each at its likeliest; compare with 2 ln(points), see `significant`"""
    log_evidence: float
    """ln of the likelihood, averaged over all combinations"""
    points: int

    @property
    def significant(self) -> bool:
        """Whether a drift and its onset, two more numbers, are worth it (BIC, Schwarz 1978)."""
        return self.gain > 2 * float(np.log(self.points))

    @property
    def likeliest(self) -> int:
        """Row of the likeliest combination."""
        return int(np.argmax(self.weight))


def without_outliers(value: Column, *, half_width: int = 3, reach: float = 5.0) -> npt.NDArray[np.bool_]:
    """Which values lie within `reach` robust sigmas of the median of their neighbours (Hampel 1974; Pearson 2002).

    The first and last `half_width` pass: what is new cannot be told from an outlier yet.

    Args:
        value: in order, finite.
        half_width: neighbours to each side.
        reach: in sigmas, of 1.4826 times the median distance from the local medians.
    """
    inside = np.ones(value.size, np.bool_)
    if value.size <= 2 * half_width:
        return inside
    local = np.median(np.lib.stride_tricks.sliding_window_view(value, 2 * half_width + 1), axis=1)
    deviation = np.abs(value[half_width:-half_width] - local)
    sigma = 1.4826 * float(np.median(deviation))
    if sigma > 0:
        inside[half_width:-half_width] = deviation <= reach * sigma
    return inside


def fit_drift(time_s: Column, value: Column, *, from_start: bool = False) -> DriftFit | None:
    """Fit level, onset, drift and both kinds of noise to a series, by the likelihood of its differences.

    The differences of neighbours are normal with covariance tri-diagonal (diffusion times the time between, plus
    twice the noise; minus the noise beside the diagonal): the level falls out, the drift and the overall variance have
    closed forms, and onsets and ratios of the two variances are gone through on a grid.

    Args:
        time_s: s, strictly ascending, at least `FEWEST_POINTS`, a few hundred at most (the cost grows with them).
        value: finite, any unit.
        from_start: the drift is known to go on all the time; by default its onset is searched for.

    Returns:
        None if the values do not vary: without noise there is no telling.
    """
    count = value.size
    step = np.diff(time_s)
    difference = np.diff(value)
    if not np.ptp(difference) > 1e-12 * np.abs(value).max():
        return None
    starts = np.unique(np.linspace(0, 0 if from_start else count - 1 - _FEWEST_AFTER, _ONSETS).astype(np.intp))
    onset = time_s[starts]
    # What a drift of 1/s from each onset on adds to each difference, s.
    passed = np.diff(np.maximum(time_s[:, None] - onset[None, :], 0.0), axis=0)
    mean_step = float(step.mean())
    rows = []
    without_drift = -np.inf
    for ratio in _RATIOS:
        diffusion, noise = (
            (0.0, 1.0)
            if ratio == 0
            else (1 / mean_step, 0.0)
            if np.isinf(ratio)
            else (
                ratio / mean_step,
                1.0,
            )
        )
        factor = linalg.cholesky_banded(_bands(step, diffusion, noise), lower=True)
        last = np.zeros(count - 1)
        last[-1] = noise
        solved = linalg.cho_solve_banded((factor, True), np.column_stack([difference, last, passed]))
        of_difference, of_last, of_passed = solved[:, 0], solved[:, 1], solved[:, 2:]
        total = float(difference @ of_difference)
        information = np.einsum("ij,ij->j", passed, of_passed)
        score = passed.T @ of_difference
        left = np.maximum(total - score**2 / information, 1e-300)
        log_root = float(np.log(factor[0]).sum())
        without_drift = max(without_drift, -0.5 * count * np.log(total / count) - log_root)
        drift = score / information
        variance = left / (count - 2)
        drift_variance = variance / information
        lever = of_last @ passed
        rows.append(
            (
                -0.5 * count * np.log(left / count) - log_root,
                onset,
                drift,
                drift_variance,
                variance * diffusion,
                variance * noise,
                value[-1] - of_last @ difference + lever * drift,
                np.maximum(variance * (noise - noise * of_last[-1]), 0.0) + lever**2 * drift_variance,
                lever * drift_variance,
            )
        )
    log_likelihood, *columns = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    weight = np.exp(log_likelihood - log_likelihood.max())
    evidence = float(np.log(weight.mean()) + log_likelihood.max())
    kept = weight > _NEGLIGIBLE
    at, drift, drift_variance, diffusion_of, noise_of, state, state_variance, covariance = (
        column[kept] for column in columns
    )
    return DriftFit(
        weight=weight[kept] / weight[kept].sum(),
        onset_s=at,
        drift=drift,
        drift_variance=drift_variance,
        diffusion=diffusion_of,
        noise=noise_of,
        state=state,
        state_variance=state_variance,
        covariance=covariance,
        gain=2 * (float(log_likelihood.max()) - without_drift),
        log_evidence=evidence,
        points=count,
    )


def _bands(step: Column, diffusion: float, noise: float) -> Column:
    bands = np.zeros((2, step.size))
    bands[0] = diffusion * step + 2 * noise
    bands[1, :-1] = -noise
    return bands
