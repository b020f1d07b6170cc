"""Figures that count rows. Of classifications with a horizon they are the right ones; of alarms they are worthless.

On SKAB "always alarm" has a point F1 of 0.70, above most of its leaderboard. Point-adjusted, where one hit makes a
whole event a hit, random alarms on half a percent of rows have 0.97 (why: Kim et al. 2022, "Towards a rigorous
evaluation of time-series anomaly detection", AAAI). They are told among details only, to compare with publications.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.contract import ALARM
from models.evaluation.events import Run, stretches

__all__ = ["WORTHLESS", "PointFigures", "point_adjusted", "point_figures", "row_figures"]

WORTHLESS = "counts rows: always alarm and random alarms score high too; for comparison with publications only"
"""to be printed beside figures of `row_figures`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointFigures:
    """Hits and misses."""

    hits: int
    """predicted and true"""
    false: int
    """predicted, not true"""
    missed: int
    """true, not predicted"""

    @property
    def precision(self) -> float:
        """0 to 1; NaN: nothing was predicted."""
        return self.hits / (self.hits + self.false) if self.hits + self.false else float("nan")

    @property
    def recall(self) -> float:
        """0 to 1; NaN: nothing was true."""
        return self.hits / (self.hits + self.missed) if self.hits + self.missed else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of both, 0 to 1; NaN: nothing was predicted, and nothing true."""
        whole = 2 * self.hits + self.false + self.missed
        return 2 * self.hits / whole if whole else float("nan")


def point_figures(label: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]) -> PointFigures:
    """Of rows, each by itself."""
    hits = int(np.count_nonzero(label & predicted))
    return PointFigures(hits=hits, false=int(predicted.sum()) - hits, missed=int(label.sum()) - hits)


def point_adjusted(label: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]) -> PointFigures:
    """Of rows, where one hit makes its whole event a hit (Xu et al. 2018, "Unsupervised anomaly detection via
    variational auto-encoder for seasonal KPIs in web applications", WWW)."""
    adjusted = predicted.copy()
    for first, end in stretches(label).tolist():
        adjusted[first:end] |= predicted[first:end].any()
    return point_figures(label, adjusted)


def row_figures(runs: Sequence[Run], *, limit: float = ALARM) -> dict[str, float | str]:
    """Both F1s of the judged rows of runs, with what they are worth; for the details of an assessment."""
    judged = [(run.label[run.train :], run.score[run.train :] >= limit) for run in runs]
    return {
        "point_f1": _together([point_figures(label, alarm) for label, alarm in judged]).f1,
        "point_adjusted_f1": _together([point_adjusted(label, alarm) for label, alarm in judged]).f1,
        "warning": WORTHLESS,
    }


def _together(found: Sequence[PointFigures]) -> PointFigures:
    return PointFigures(
        hits=sum(each.hits for each in found),
        false=sum(each.false for each in found),
        missed=sum(each.missed for each in found),
    )
