"""Remaining life of bearings run to failure, foretold from their first alarm on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from models.life import pf_interval, trend, weibull
from models.life.pf_interval import AlarmedLife, fit_pf_interval, remaining_life_since_alarm
from models.life.prognosis import Outcome, Prognosis, RemainingLife
from models.life.scoring import PrognosisFigures, summarise
from models.life.weibull import fit_weibull, remaining_life_at_age
from precursor.assessment.report import Figure
from telemetry.batch import EPOCH

__all__ = ["BearingLife", "LifeFigures", "foretell", "life_figures"]

LifeFigures = Mapping[str, Mapping[str, PrognosisFigures]]
"""by method, then `prognoses` and `mean life`"""

_FAILED_G = 20.0
"""g, peak: the rig was stopped when it was exceeded (Nectoux et al. 2012, PRONOSTIA, IEEE PHM)"""
_EVERY = 0.05
"""of the age, so that long lives do not count for more than short ones"""
_VERSIONS = {"trend": trend.VERSION, "pf_interval": pf_interval.VERSION, "age": weibull.VERSION}
_FIGURES: tuple[tuple[str, str, float, Callable[[PrognosisFigures], float | None]], ...] = (
    ("coverage_p10_p90", "share, 0.8 is honest", 1.0, lambda figures: figures.coverage),
    ("mean_absolute_error", "min", 1 / 60, lambda figures: figures.mean_absolute_error_s),
    ("mean_error", "min, above 0 is late", 1 / 60, lambda figures: figures.mean_error_s),
    ("phm12_score", "0 to 1, higher is better", 1.0, lambda figures: figures.phm12),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BearingLife:
    """One bearing, from new to failed."""

    name: str
    age_s: npt.NDArray[np.float64]
    """(n,) s, from 0 to the failure"""
    peak_g: npt.NDArray[np.float64]
    """(n,) g; NaN: not known"""
    alarm_age_s: float | None
    """s; None: never alarmed"""

    @property
    def life_s(self) -> float:
        """s from new to failed."""
        return float(self.age_s[-1])


def foretell(bearings: Sequence[BearingLife], *, run_in_s: float, watch: Callable[[str], None]) -> LifeFigures:
    """Foretell the failure of each bearing by three methods, and hold it against what happened.

    - `trend`: peak to the limit of the rig, from the run-in on;
    - `pf_interval`: how long the other bearings lived on after their alarm, as a share of their age then;
    - `age`: the whole lives of the other bearings. The baseline takes each life for as long as the mean of the others.

    Args:
        run_in_s: s of age before which the trend does not look, in bearings that are old enough.
    """
    outcomes = [
        Outcome(
            asset=each.name,
            failure_mode="bearing",
            at=EPOCH + timedelta(seconds=each.life_s),
            end="failure",
            began=EPOCH,
        )
        for each in bearings
    ]
    prognoses: list[Prognosis] = []
    mean_life = {}
    for bearing in bearings:
        watch(f"remaining life of {bearing.name}")
        others = [each for each in bearings if each is not bearing]
        if others:
            mean_life[bearing.name] = float(np.mean([each.life_s for each in others]))
        prognoses += _prognoses(bearing, others, run_in_s)
    return {
        method: summarise([each for each in prognoses if each.method == method], outcomes, mean_life_s=mean_life)
        for method in _VERSIONS
    }


def _prognoses(bearing: BearingLife, others: Sequence[BearingLife], run_in_s: float) -> Iterator[Prognosis]:
    alarm = bearing.alarm_age_s
    if alarm is None:
        return
    lives = fit_weibull([each.life_s for each in others])
    intervals = fit_pf_interval(
        [
            AlarmedLife(alarm_age_s=each.alarm_age_s, end_age_s=each.life_s, failed=True)
            for each in others
            if each.alarm_age_s is not None
        ]
    )
    now = alarm
    while now < bearing.life_s:
        seen = (bearing.age_s <= now) & (bearing.age_s >= min(run_in_s, now / 4))
        since = float(bearing.age_s[seen].min(initial=now))
        answers: Mapping[str, RemainingLife] = {
            "trend": trend.life_by_trend(bearing.age_s[seen], bearing.peak_g[seen], _FAILED_G).remaining,
            "pf_interval": remaining_life_since_alarm(intervals, alarm_age_s=alarm, age_s=now),
            "age": remaining_life_at_age(lives, now),
        }
        at = EPOCH + timedelta(seconds=now)
        for method, answer in answers.items():
            yield Prognosis(
                asset=bearing.name,
                failure_mode="bearing",
                made_at=at,
                method=method,
                model_version=_VERSIONS[method],
                remaining=answer,
                limit=_FAILED_G if method == "trend" else None,
                inputs_from=EPOCH + timedelta(seconds=since if method == "trend" else 0.0),
                inputs_until=at,
            )
        now *= 1 + _EVERY


def life_figures(lives: LifeFigures) -> tuple[Figure, ...]:
    """What is told of each method, beside the mean life."""
    figures = []
    for method, by_name in lives.items():
        own, mean = by_name["prognoses"], by_name.get("mean life")
        share = own.answered / own.prognoses if own.prognoses else float("nan")
        figures.append(Figure(name=f"{method}_answered", value=share, unit="share of prognoses"))
        for name, unit, scale, of in _FIGURES:
            # A point has no interval to cover anything with.
            beside = {} if mean is None or name.startswith("coverage") else {"mean_life": _scaled(of(mean), scale)}
            figures.append(Figure(name=f"{method}_{name}", value=_scaled(of(own), scale), unit=unit, baselines=beside))
    return tuple(figures)


def _scaled(value: float | None, scale: float) -> float:
    return float("nan") if value is None else scale * value
