"""Figures that need no limit: how well scores rank what is anomalous above what is not.

A NaN score is unknown. It ranks below every known score, so that silence is never a hit; how much is unknown is told
beside as the coverage of `models.evaluation.events`.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from models.evaluation.events import Run, stretches

__all__ = ["average_precision", "pooled", "precision_recall", "prevalence", "vus_pr"]


def pooled(runs: Sequence[Run]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Labels and scores of all judged rows, run after run: one limit for all of them is what a curve then varies."""
    return (
        np.concatenate([np.zeros(0, np.bool_), *(run.label[run.train :] for run in runs)]),
        np.concatenate([np.zeros(0), *(run.score[run.train :] for run in runs)]),
    )


def prevalence(label: npt.NDArray[np.bool_]) -> float:
    """Part of rows that are anomalous: the average precision of scores that say nothing. NaN: no rows."""
    return float(label.mean()) if label.size else float("nan")


def precision_recall(
    label: npt.NDArray[np.bool_], score: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Precision and recall at each distinct score as the limit, from the highest to the lowest, and those limits.

    Unknown rows come last, at a limit of -inf.

    Raises:
        ValueError: no row is anomalous, so there is no recall.
    """
    positives = int(label.sum())
    if not positives:
        raise ValueError("no row is anomalous: precision and recall are not defined")
    ranked = _ranked(score)
    order = np.argsort(-ranked, kind="stable")
    last = _last_of_ties(ranked[order])
    hits = np.cumsum(label[order])[last]
    return hits / (last + 1), hits / positives, ranked[order][last]


def average_precision(label: npt.NDArray[np.bool_], score: npt.NDArray[np.float64]) -> float:
    """Area under the precision-recall curve, 0 to 1, by the step rule Σ (R_k - R_k-1) P_k; ties are one step.

    The step rule, for straight lines between points promise what no limit can give (Davis & Goadrich 2006, "The
    relationship between precision-recall and ROC curves", ICML). Compare it with `prevalence`, never with 0.5.

    Raises:
        ValueError: as `precision_recall`.

    >>> average_precision(np.array([True, False, True]), np.array([3.0, 2.0, 1.0]))
    0.8333333333333333
    """
    precision, recall, _ = precision_recall(label, score)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def vus_pr(runs: Sequence[Run], *, widths: Iterable[int] = range(0, 101, 5)) -> float:
    """Volume under the surface of precision, recall and tolerance, 0 to 1: average precision forgiving at the edges.

    For each width w the labels grow by w/2 rows on either side of each event, falling off as sqrt(1 - distance/w); an
    alarm there is a hit in part. Recall is of the mean of plain and grown labels, at most 1, times the part of grown
    events with any alarm (existence reward). The volume is the mean over widths of the area under the curve.

    Source: Paparrizos et al. 2022, "Volume under the surface: a new accuracy evaluation measure for time-series anomaly
    detection", PVLDB 15(11), section 4. Unlike there, every distinct score is tried as the limit, not 250 of them, and
    the area is by the step rule of `average_precision`: by the trapezoid rule "always alarm" has 0.80 on SKAB, where
    the prevalence is 0.54.

    Rows count, so runs must be sampled alike.

    Args:
        widths: of the buffer, rows.

    Raises:
        ValueError: no judged row is anomalous, or no width is given.
    """
    label, score = pooled(runs)
    if not label.any():
        raise ValueError("no row is anomalous: precision and recall are not defined")
    parts = [run.label[run.train :] for run in runs]
    ranked = _ranked(score)
    order = np.argsort(-ranked, kind="stable")
    last = _last_of_ties(ranked[order])
    areas = []
    for width in widths:
        grown = np.concatenate([_grown(part, width) for part in parts])
        hits = np.cumsum(grown[order])[last]
        whole = (label.sum() + grown.sum()) / 2
        recall = np.minimum(hits / whole, 1.0) * _existing(parts, width, ranked, order, last)
        precision = hits / (last + 1)
        areas.append(np.sum(np.diff(recall, prepend=0.0) * precision))
    if not areas:
        raise ValueError("no width of the buffer is given")
    return float(np.mean(areas))


def _ranked(score: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(np.isnan(score), -np.inf, score)


def _last_of_ties(descending: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Place of the last row of each distinct score."""
    return np.append(np.flatnonzero(descending[1:] != descending[:-1]), descending.size - 1).astype(np.int64)


def _grown(label: npt.NDArray[np.bool_], width: int) -> npt.NDArray[np.float64]:
    """Labels from 0 to 1 with slopes beside each event; where slopes overlap they add up, to 1 at most."""
    grown = label.astype(np.float64)
    reach = width // 2
    for first, end in stretches(label).tolist():
        before = np.arange(max(first - reach, 0), first)
        grown[before] += np.sqrt(1 - (first - before) / width) if width else 0.0
        after = np.arange(end, min(end + reach, label.size))
        grown[after] += np.sqrt(1 - (after - end + 1) / width) if width else 0.0
    return np.minimum(grown, 1.0)


def _existing(
    parts: Sequence[npt.NDArray[np.bool_]],
    width: int,
    ranked: npt.NDArray[np.float64],
    order: npt.NDArray[np.int64],
    last: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Part of grown events, those that touch being one, with any alarm, at each limit."""
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    first_found = []
    begin = 0
    for part in parts:
        for first, end in stretches(_grown(part, width) > 0).tolist():
            first_found.append(rank[begin + first : begin + end].min())
        begin += part.size
    return np.searchsorted(np.sort(first_found), last, side="right") / len(first_found)
