"""How good prognoses were, once the end is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import numpy as np
import numpy.typing as npt

from models.evaluation.life import phm08_score
from models.life.prognosis import Outcome, Prognosis, RemainingLife

__all__ = [
    "PrognosisFigures",
    "PrognosisScore",
    "phm12",
    "prognostic_horizon_s",
    "score_prognosis",
    "summarise",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrognosisScore:
    """One prognosis beside what happened. Errors are predicted minus actual: positive is late, the dangerous side."""

    prognosis: Prognosis
    outcome: Outcome
    actual_s: float
    """from when it was made to the end; at least that long, if the end is a repair"""
    error_s: float | None
    """P50 minus actual; None without an answer, and for a repair unless the P50 came before it (then at most this)"""
    relative_accuracy: float | None
    """1 - |error| / actual, 1 is perfect, not bounded below (Saxena et al. 2010, sec. 4.3); None as `error_s`"""
    within_alpha: bool | None
    """P50 within actual x (1 - alpha) to actual x (1 + alpha): alpha-lambda accuracy (Saxena et al. 2010, sec. 4.2)"""
    covered: bool | None
    """actual within P10 to P90; for a repair False if P90 had passed, else None"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrognosisFigures:
    """How good a set of prognoses was. None: nothing to count it from."""

    prognoses: int
    """whose end is known"""
    answered: int
    """of them with an answer; all the rest is about those"""
    lives: int
    """different ends they were about"""
    coverage: float | None
    """share whose end lay within P10 to P90; honest when it is 0.8"""
    before_p10: float | None
    """share that ended before P10: honest when it is 0.1; more is dangerous"""
    after_p90: float | None
    """share that ended after P90"""
    mean_error_s: float | None
    """predicted minus actual; positive is late"""
    mean_absolute_error_s: float | None
    rmse_s: float | None
    relative_accuracy: float | None
    """median"""
    within_alpha: float | None
    """share"""
    phm08: float | None
    """`models.evaluation.life.phm08_score` a prognosis, in units of `unit_s`; 0 is perfect, may be infinite"""
    phm12: float | None
    """mean of `phm12`; 1 is perfect, 0 is worst"""
    horizon_s: float | None
    """median over lives of `prognostic_horizon_s`, a life without one counting as 0"""


def phm12(predicted: npt.ArrayLike, actual: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Accuracy of the IEEE PHM 2012 challenge, the one the FEMTO bearings were made for (Nectoux et al. 2012, eq. 1).

    Args:
        predicted: remaining life, any unit.
        actual: the true one, in the same unit, above 0.

    Returns:
        1 is perfect; halves with every 5 % of the actual life that the prediction is late, 20 % that it is early.

    >>> phm12([100.0, 105.0, 80.0], [100.0, 100.0, 100.0]).tolist()
    [1.0, 0.5, 0.5]
    """
    true = np.asarray(actual, np.float64)
    percent = 100 * (true - np.asarray(predicted, np.float64)) / true
    return np.exp2(-np.where(percent <= 0, -percent / 5, percent / 20))


def score_prognosis(prognosis: Prognosis, outcome: Outcome, *, alpha: float = 0.2) -> PrognosisScore:
    """Hold a prognosis against what happened.

    Args:
        alpha: tolerance of the alpha-lambda accuracy as a share of the actual remaining life.

    Raises:
        ValueError: the outcome is of another asset or mode, or lies before the prognosis.
    """
    if (prognosis.asset, prognosis.failure_mode) != (outcome.asset, outcome.failure_mode):
        raise ValueError(
            f"a prognosis of {prognosis.failure_mode} at {prognosis.asset} is not scored by an outcome of "
            f"{outcome.failure_mode} at {outcome.asset}"
        )
    actual = (outcome.at - prognosis.made_at).total_seconds()
    if actual < 0:
        raise ValueError(f"the outcome at {outcome.at} lies before the prognosis of {prognosis.made_at}")
    p10, p50, p90 = prognosis.remaining.p10_s, prognosis.remaining.p50_s, prognosis.remaining.p90_s
    error = relative = within = covered = None
    if p10 is not None and p50 is not None and p90 is not None:
        failed = outcome.end == "failure"
        if failed or p50 < actual:
            error = p50 - actual
            relative = 1 - abs(error) / actual if actual > 0 else None
            within = abs(error) <= alpha * actual if failed or p50 < (1 - alpha) * actual else None
        if failed or p90 < actual:
            covered = p10 <= actual <= p90
    return PrognosisScore(
        prognosis=prognosis,
        outcome=outcome,
        actual_s=actual,
        error_s=error,
        relative_accuracy=relative,
        within_alpha=within,
        covered=covered,
    )


def prognostic_horizon_s(scores: Sequence[PrognosisScore], *, tolerance_s: float) -> float | None:
    """How long before the end the P50 of one life became right and stayed right until the last prognosis.

    Saxena et al. 2010, sec. 4.1, with a fixed band around the actual end, usually a share of the whole life; stricter
    than there in that prognoses which are right by chance and wrong again do not count.

    Args:
        scores: of one life, by failure.
        tolerance_s: how far the P50 may be from the end, s.

    Returns:
        s before the end; None if the last answer was not right, or there was none.
    """
    answered = sorted((score for score in scores if score.error_s is not None), key=lambda score: -score.actual_s)
    horizon = None
    for score in reversed(answered):
        if score.error_s is None or abs(score.error_s) > tolerance_s:
            break
        horizon = score.actual_s
    return horizon


def summarise(
    prognoses: Sequence[Prognosis],
    outcomes: Sequence[Outcome],
    *,
    alpha: float = 0.2,
    mean_life_s: float | Mapping[str, float] | None = None,
    unit_s: float | None = None,
) -> Mapping[str, PrognosisFigures]:
    """How good prognoses were, beside those who just take every life to be of mean length.

    Each prognosis is held against the first outcome of its asset and mode from then on; without one it is left out.
    Baselines are asked at the same times as the prognoses that have an answer. Lives that ended by repair count in
    `coverage` and errors only where the prognosis had already been proven wrong.

    Args:
        prognoses: in any order, of any assets.
        outcomes: in any order.
        alpha: tolerance, as a share of the actual remaining life (alpha-lambda) and of the whole life (horizon).
        mean_life_s: mean length of lives that were known beforehand, s; one for all or by asset. None: no baseline.
        unit_s: s that count as one cycle in the PHM 2008 score; by default 0.5 % of the mean life, about a cycle of
            the turbofans that score was made for.

    Returns:
        figures by name: `prognoses`, and `mean life` where an outcome says when the life began and a mean is given.
    """
    pairs = _pairs(prognoses, outcomes)
    usual = (
        {outcome.asset: mean_life_s for outcome in outcomes} if isinstance(mean_life_s, float) else mean_life_s or {}
    )
    unit = unit_s if unit_s is not None else 0.005 * float(np.mean(list(usual.values()))) if usual else None
    figures = {"prognoses": _figures(pairs, alpha, unit)}
    constant = [
        (_constant(prognosis, outcome.began, usual[outcome.asset]), outcome)
        for prognosis, outcome in pairs
        if prognosis.remaining.known and outcome.began is not None and outcome.asset in usual
    ]
    if constant:
        figures["mean life"] = _figures(constant, alpha, unit)
    return figures


def _pairs(prognoses: Sequence[Prognosis], outcomes: Sequence[Outcome]) -> list[tuple[Prognosis, Outcome]]:
    by_subject: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.at):
        by_subject.setdefault((outcome.asset, outcome.failure_mode), []).append(outcome)
    pairs: list[tuple[Prognosis, Outcome]] = []
    for prognosis in prognoses:
        later = (
            outcome
            for outcome in by_subject.get((prognosis.asset, prognosis.failure_mode), ())
            if outcome.at >= prognosis.made_at
        )
        pairs += [(prognosis, outcome) for outcome in islice(later, 1)]
    return pairs


def _constant(prognosis: Prognosis, began: datetime, mean_life_s: float) -> Prognosis:
    left = max(0.0, mean_life_s - (prognosis.made_at - began).total_seconds())
    return Prognosis(
        asset=prognosis.asset,
        failure_mode=prognosis.failure_mode,
        made_at=prognosis.made_at,
        method="mean life",
        model_version="baseline",
        remaining=RemainingLife(p10_s=left, p50_s=left, p90_s=left),
        limit=None,
        inputs_from=began,
        inputs_until=prognosis.made_at,
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _phm08(errors: Sequence[float], unit_s: float | None) -> float | None:
    if unit_s is None or not errors:
        return None
    with np.errstate(over="ignore"):
        return phm08_score(np.array(errors) / unit_s) / len(errors)


def _figures(pairs: Sequence[tuple[Prognosis, Outcome]], alpha: float, unit_s: float | None) -> PrognosisFigures:
    by_end: dict[tuple[str, str, datetime], list[PrognosisScore]] = {}
    lives: dict[tuple[str, str, datetime], Outcome] = {}
    for prognosis, outcome in pairs:
        key = (outcome.asset, outcome.failure_mode, outcome.at)
        by_end.setdefault(key, []).append(score_prognosis(prognosis, outcome, alpha=alpha))
        lives[key] = outcome
    scores = [score for of_life in by_end.values() for score in of_life]
    errors = [score.error_s for score in scores if score.error_s is not None]
    judged = [(score.covered, score.actual_s, score.prognosis.remaining) for score in scores]
    covered = [(inside, actual, remaining) for inside, actual, remaining in judged if inside is not None]
    ends = [
        (score.actual_s + score.error_s, score.actual_s)
        for score in scores
        if score.error_s is not None and score.actual_s > 0
    ]
    horizons = [
        prognostic_horizon_s(by_end[key], tolerance_s=alpha * (outcome.at - outcome.began).total_seconds()) or 0.0
        for key, outcome in lives.items()
        if outcome.began is not None and outcome.end == "failure"
    ]
    accuracies = [score.relative_accuracy for score in scores if score.relative_accuracy is not None]
    return PrognosisFigures(
        prognoses=len(scores),
        answered=sum(score.prognosis.remaining.known for score in scores),
        lives=len(lives),
        coverage=_mean([float(inside) for inside, _, _ in covered]),
        before_p10=_mean([float(actual < (remaining.p10_s or 0.0)) for _, actual, remaining in covered]),
        after_p90=_mean([float(actual > (remaining.p90_s or 0.0)) for _, actual, remaining in covered]),
        mean_error_s=_mean(errors),
        mean_absolute_error_s=_mean([abs(error) for error in errors]),
        rmse_s=float(np.sqrt(np.mean(np.square(errors)))) if errors else None,
        relative_accuracy=float(np.median(accuracies)) if accuracies else None,
        within_alpha=_mean([float(score.within_alpha) for score in scores if score.within_alpha is not None]),
        phm08=_phm08(errors, unit_s),
        phm12=float(phm12([end[0] for end in ends], [end[1] for end in ends]).mean()) if ends else None,
        horizon_s=float(np.median(horizons)) if horizons else None,
    )
