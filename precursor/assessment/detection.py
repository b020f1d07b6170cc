"""The figures and pictures every detector of anomalies is judged by, beside its baselines."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.evaluation.baselines import always, at_random, by_chance
from models.evaluation.curves import average_precision, pooled, precision_recall, prevalence, vus_pr
from models.evaluation.events import EventFigures, Run, judge_events
from models.evaluation.points import row_figures
from precursor.assessment.drawings import Bars, Curves, Drawing, Line, Timeline, Track
from precursor.assessment.report import Figure

__all__ = ["detection_details", "detection_drawings", "detection_figures"]

_MOST_TRACKS = 6
_MOST_POINTS = 2000
_UNITS = (("days", 86_400.0), ("h", 3600.0), ("s", 1.0))


def detection_figures(
    runs: Sequence[Run],
    plain: Sequence[Run] = (),
    *,
    seed: int,
    events_at_least: float | None = None,
    false_alarms_per_h_at_most: float | None = None,
    average_precision_at_least: float | None = None,
) -> tuple[Figure, ...]:
    """Events detected, false alarms an hour, delay, alarm share, average precision and VUS-PR.

    Args:
        plain: the same runs scored by the plainest chart (`models.evaluation.baselines.ewma_z`); empty: left out.
        seed: of the random baseline.
        events_at_least: aim; how many events are to be detected.
    """
    own, crying, chance = judge_events(runs), judge_events(always(runs)), by_chance(runs, seed=seed)
    other = judge_events(plain) if plain else None
    label, _ = pooled(runs)
    some = bool(label.any())

    def beside(of: str, random: float | None = None) -> dict[str, float]:
        found = {"always_alarm": float(getattr(crying, of))}
        if random is not None:
            found["random"] = random
        if other is not None:
            found["plain_ewma"] = float(getattr(other, of))
        return found

    def area(of: Sequence[Run]) -> float:
        return average_precision(*pooled(of)) if some else float("nan")

    def volume(of: Sequence[Run]) -> float:
        return vus_pr(of) if some else float("nan")

    known = prevalence(label)
    return (
        Figure.aimed(
            "events_detected",
            own.detected,
            f"of {own.events}",
            at_least=events_at_least,
            baselines=beside("detected", chance.detected),
        ),
        Figure.aimed(
            "false_alarms_per_h",
            own.false_alarms_per_h,
            "1/h",
            at_most=false_alarms_per_h_at_most,
            baselines=beside("false_alarms_per_h", chance.false_alarms_per_h),
        ),
        Figure.aimed("alarm_share_of_normal", own.alarm_share_of_normal, "", baselines=beside("alarm_share_of_normal")),
        Figure.aimed(
            "median_delay", _median(own), "s", baselines={} if other is None else {"plain_ewma": _median(other)}
        ),
        Figure.aimed(
            "auc_pr",
            area(runs),
            "",
            at_least=average_precision_at_least,
            baselines={"random": known, "always_alarm": known} | ({"plain_ewma": area(plain)} if plain else {}),
        ),
        Figure.aimed(
            "vus_pr",
            volume(runs),
            "",
            baselines={"random": volume(at_random(runs, seed=seed)), "always_alarm": volume(always(runs))}
            | ({"plain_ewma": volume(plain)} if plain else {}),
        ),
    )


def detection_details(runs: Sequence[Run]) -> dict[str, Any]:
    """What stands behind the figures, event by event; and figures that count rows, with their warning."""
    found = judge_events(runs)
    label, _ = pooled(runs)
    return {
        "runs": len(runs),
        "events": [
            {"run": each.run, "begin_s": each.begin_s, "end_s": each.end_s, "delay_s": each.delay_s}
            for each in found.outcomes
        ],
        "false_alarms": found.false_alarms,
        "normal_h": found.normal_h,
        "coverage": found.coverage,
        "prevalence": prevalence(label),
        "delay_quartiles_s": _quartiles(found.delays_s),
        "rows": row_figures(runs),
    }


def detection_drawings(runs: Sequence[Run], plain: Sequence[Run] = ()) -> tuple[Drawing, ...]:
    """Precision over recall, scores of some runs against the truth, and delays."""
    drawings: list[Drawing] = []
    if any(run.label[run.train :].any() for run in runs):
        lines = [_pr_line("detector", runs)]
        if plain:
            lines.append(_pr_line("plain EWMA", plain))
        rate = prevalence(pooled(runs)[0])
        lines.append(Line(name="random", x=np.array([0.0, 1.0]), y=np.array([rate, rate]), plain=True))
        drawings.append(
            Curves(
                name="precision_recall",
                title="Precision over recall, rows of all runs, one limit",
                x="recall",
                y="precision",
                lines=tuple(lines),
            )
        )
    found = judge_events(runs)
    unit, unit_s = _unit(max((float(run.time_s[-1] - run.time_s[0]) for run in runs if run.time_s.size), default=0.0))
    drawings.append(
        Timeline(
            name="runs",
            title="Score against truth: 1 is the limit, grey was learned from",
            x=f"time in run, {unit}",
            tracks=tuple(_track(run, unit_s) for run in _chosen(runs, found)),
        )
    )
    if found.events:
        unit, unit_s = _unit(max(found.delays_s, default=0.0))
        drawings.append(
            Bars(
                name="delays",
                title="Delay of detection; none: missed",
                y=unit,
                names=tuple(each.run for each in found.outcomes),
                values=np.array(
                    [np.nan if (delay := each.delay_s) is None else delay / unit_s for each in found.outcomes]
                ),
            )
        )
    return tuple(drawings)


def _chosen(runs: Sequence[Run], found: EventFigures) -> Sequence[Run]:
    """Those with a missed event first, then evenly over all others: not the prettiest."""
    missed = [run for run in runs if run.name in found.missed][: _MOST_TRACKS // 2]
    others = [run for run in runs if run.name not in found.missed]
    places = np.unique(np.linspace(0, len(others) - 1, min(len(others), _MOST_TRACKS - len(missed))).astype(int))
    return [*missed, *(others[place] for place in places)]


def _unit(longest_s: float) -> tuple[str, float]:
    """In what to tell times up to this one, and how many seconds that has."""
    return next((unit for unit in _UNITS if longest_s >= 3 * unit[1]), _UNITS[-1])


def _track(run: Run, unit_s: float) -> Track:
    time = (run.time_s - run.time_s[:1]) / unit_s
    return Track(
        name=run.name,
        time=time,
        score=run.score,
        label=run.label,
        judged_from=float(time[run.train]) if 0 < run.train < time.size else None,
    )


def _pr_line(name: str, runs: Sequence[Run]) -> Line:
    precision, recall, _ = precision_recall(*pooled(runs))
    # Evenly over recall: over rows nearly all points would lie at one end.
    places = np.unique(np.searchsorted(recall, np.linspace(recall[0], recall[-1], _MOST_POINTS)))
    return Line(name=name, x=recall[places], y=precision[places])


def _median(found: EventFigures) -> float:
    return float(np.median(found.delays_s)) if found.delays_s else float("nan")


def _quartiles(values: Sequence[float]) -> list[float] | None:
    return np.percentile(values, (25, 50, 75)).tolist() if values else None
