"""Bearings run to failure: how early degradation is noticed, and how well the remaining life is foretold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import lfilter

from models.contract import ALARM
from models.evaluation.baselines import always, at_random
from models.evaluation.events import EventFigures, Run, judge_events
from models.life import degradation
from precursor.assessment.drawings import Bars, Curves, Drawing, Line, Timeline, Track
from precursor.assessment.femto_life import BearingLife, LifeFigures, foretell, life_figures
from precursor.assessment.report import Assessment, Figure
from telemetry.errors import ConfigurationError

__all__ = ["assess"]

Column = npt.NDArray[np.float64]

_AXES = ("h", "v")
_SYMPTOMS = ("b0_1k", "b1_3k", "b3_6k", "b6_12.8k", "kurt")
"""RMS of four bands, and kurtosis: energy and impulses"""
_MERGE_S = 300.0
_LIMITS_DB = (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0)
_THROWS = 100
_BASELINE_ROWS = 120
_BASELINE_HELD = 6

_ABOUT = (
    "`models.life.degradation` with its defaults: an alarm is a rise of two symptoms out of five (RMS of four bands,"
    " kurtosis) by 3 dB, as a median over five minutes, over the same bearing at a quarter to half of its age; in the"
    " first hour, the run-in, of three; at any time, for a minute, of four by 6 dB. Nothing is learned from other"
    " bearings, nor from later. Remaining life is foretold from the first alarm on, whenever the bearing is 5 % older,"
    " three times over: by the trend of the peak to 20 g (`models.life.trend`); by how long the other bearings lived on"
    " after their alarm, as a share of their age then (`pf_interval`); and by their whole lives (`age`), the latter two"
    " with `models.life.weibull`."
)
_DATA = (
    "{count} bearings run to failure under overload, {hours:.1f} h together, a snapshot of 0.1 s every 10 s, two axes."
    " The end of a file is the failure. An alarm in the first half of a life counts as false."
)
_NOTES = (
    (
        "Lead counts from the first alarm, whether it stands until the end or comes and goes; in the median a premature"
        " or missing one counts as no lead."
    ),
    "Half of life is a convention: a bearing may well degrade from before on.",
    "`plain_ewma`: EWMA of RMS over mean + 5 sigma of the first 20 minutes for six snapshots.",
    "`random` turns the scores of each bearing round by a random number of rows: as many alarms, that know nothing.",
    "`mean_life` takes each life for as long as the mean of the other bearings, at the times the method has an answer.",
)
_WEAKNESSES = (
    "Bearings that fail abruptly give minutes.",
    (
        "The trend extrapolates what is there, and the last acceleration of a spall is not: on these bearings it is"
        " late, and its interval far too narrow."
    ),
    "Age and P-F interval say little with a handful of lives that differ by a factor of five.",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bearing:
    name: str
    time_s: Column
    """age, from 0"""
    level_db: Column
    """(symptoms, axes, n)"""
    peak_g: Column
    """the larger of the axes"""
    rms_g: Column
    """mean of the axes"""

    @property
    def life_s(self) -> float:
        return float(self.time_s[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leads:
    """What the first alarm of each bearing was worth."""

    lead: tuple[float, ...]
    """share of life from it to failure; 0: never"""
    detected: float
    premature: float
    """first alarms before half of life"""

    @property
    def median(self) -> float:
        """A premature alarm is no lead."""
        return float(np.median([0.0 if lead > 0.5 else lead for lead in self.lead]))


def assess(folder: Path, *, seed: int, watch: Callable[[str], None]) -> Assessment:
    """Run the degradation score and both prognoses with their defaults over every bearing of a folder.

    Raises:
        ConfigurationError: no file `Bearing*.csv`, or one without a column that is needed.
    """
    bearings = [_read(path) for path in sorted(folder.glob("Bearing*.csv"))]
    if not bearings:
        raise ConfigurationError(f"no Bearing*.csv in {folder}: expected one file a bearing, one row a snapshot")
    found = []
    for bearing in bearings:
        watch(f"degradation of {bearing.name}")
        found.append(degradation.degradation(bearing.time_s, bearing.level_db))
    runs = [_run(bearing, each.score) for bearing, each in zip(bearings, found, strict=True)]
    plain = [_run(bearing, _plain(bearing)) for bearing in bearings]
    own, other = _leads(runs), _leads(plain)
    lives = foretell(
        [
            BearingLife(
                name=bearing.name,
                age_s=bearing.time_s,
                peak_g=bearing.peak_g,
                alarm_age_s=(1 - lead) * bearing.life_s if lead else None,
            )
            for bearing, lead in zip(bearings, own.lead, strict=True)
        ],
        run_in_s=degradation.DegradationParameters().run_in_s,
        watch=watch,
    )
    judged = judge_events(runs, merge_s=_MERGE_S)
    return Assessment(
        dataset="femto",
        title="Degradation and remaining life of bearings run to failure (FEMTO / PRONOSTIA)",
        about=_ABOUT,
        data=_DATA.format(count=len(bearings), hours=sum(bearing.life_s for bearing in bearings) / 3600),
        figures=(*_detection(own, other, runs, plain, judged, seed), *life_figures(lives)),
        notes=_NOTES,
        weaknesses=_WEAKNESSES,
        missed=tuple(
            f"{bearing.name}: {'never detected' if not lead else 'alarm before half of life'}"
            for bearing, lead in zip(bearings, own.lead, strict=True)
            if not 0 < lead <= 0.5
        ),
        details=_details(bearings, runs, own, other, lives),
        drawings=_drawings(bearings, found, runs, own),
    )


def _read(path: Path) -> _Bearing:
    columns = [f"{axis}_{name}" for axis in _AXES for name in (*_SYMPTOMS, "peak", "rms")]
    rows = pd.read_csv(path)
    lacking = [name for name in ("t_s", *columns) if name not in rows]
    if lacking:
        raise ConfigurationError(f"{path} has no column {', '.join(lacking)}; expected t_s, and for h_ and v_ those")
    rows = rows.drop_duplicates("t_s").sort_values("t_s")

    def axes(name: str) -> Column:
        return np.stack([rows[f"{axis}_{name}"].to_numpy(np.float64) for axis in _AXES])

    time = rows["t_s"].to_numpy(np.float64)
    level = np.stack([axes(name) for name in _SYMPTOMS])
    level[~(level > 0)] = np.nan
    return _Bearing(
        name=path.stem,
        time_s=time - time[0],
        level_db=20 * np.log10(level),
        peak_g=axes("peak").max(axis=0),
        rms_g=axes("rms").mean(axis=0),
    )


def _run(bearing: _Bearing, score: Column) -> Run:
    """The second half of life counts as what is to be detected, an alarm in the first as false."""
    return Run(
        name=bearing.name,
        time_s=bearing.time_s,
        score=score,
        label=bearing.time_s > bearing.life_s / 2,
    )


def _plain(bearing: _Bearing) -> Column:
    """EWMA of RMS above mean + 5 sigma of the first 20 minutes for six snapshots in a row."""
    first = bearing.rms_g[:_BASELINE_ROWS]
    weight = 0.2
    smooth, _ = lfilter([weight], [1, weight - 1], bearing.rms_g, zi=[(1 - weight) * bearing.rms_g[0]])
    score = (smooth - first.mean()) / (5 * first.std())
    score[_BASELINE_HELD - 1 :] = np.lib.stride_tricks.sliding_window_view(score, _BASELINE_HELD).min(axis=1)
    score[:_BASELINE_ROWS] = np.nan
    return np.asarray(score, np.float64)


def _leads(runs: Sequence[Run]) -> _Leads:
    leads = []
    for run in runs:
        alarms = np.flatnonzero(run.score >= ALARM)
        leads.append(float(1 - run.time_s[alarms[0]] / run.time_s[-1]) if alarms.size else 0.0)
    return _Leads(
        lead=tuple(leads), detected=sum(lead > 0 for lead in leads), premature=sum(lead > 0.5 for lead in leads)
    )


def _detection(
    own: _Leads, plain: _Leads, runs: Sequence[Run], plain_runs: Sequence[Run], judged: EventFigures, seed: int
) -> tuple[Figure, ...]:
    crying = _leads(always(runs))
    throws = [_leads(at_random(runs, seed=seed + throw)) for throw in range(_THROWS)]
    cry, other = judge_events(always(runs)), judge_events(plain_runs, merge_s=_MERGE_S)

    def beside(of: Callable[[_Leads], float], scale: float = 1.0) -> dict[str, float]:
        return {
            "always_alarm": scale * of(crying),
            "random": scale * float(np.mean([of(throw) for throw in throws])),
            "plain_ewma": scale * of(plain),
        }

    return (
        Figure.aimed(
            "bearings_detected",
            own.detected,
            f"of {len(runs)}",
            at_least=len(runs),
            baselines=beside(lambda leads: leads.detected),
        ),
        Figure.aimed(
            "alarms_before_half_life",
            own.premature,
            f"of {len(runs)}",
            at_most=0,
            baselines=beside(lambda leads: leads.premature),
        ),
        Figure.aimed(
            "median_lead",
            100 * own.median,
            "% of life",
            at_least=10,
            baselines=beside(lambda leads: leads.median, 100.0),
        ),
        Figure.aimed(
            "false_alarms_per_h",
            judged.false_alarms_per_h,
            "1/h",
            baselines={"always_alarm": cry.false_alarms_per_h, "plain_ewma": other.false_alarms_per_h},
        ),
        Figure.aimed(
            "alarm_share_of_first_half",
            judged.alarm_share_of_normal,
            "",
            baselines={"always_alarm": 1.0, "plain_ewma": other.alarm_share_of_normal},
        ),
    )


def _details(
    bearings: Sequence[_Bearing],
    runs: Sequence[Run],
    own: _Leads,
    plain: _Leads,
    lives: LifeFigures,
) -> dict[str, Any]:
    default = degradation.DegradationParameters().limit_db
    at_limit = {limit: _leads([_at_limit(run, limit / default) for run in runs]) for limit in _LIMITS_DB}
    return {
        "bearings": [
            {
                "name": bearing.name,
                "life_min": bearing.life_s / 60,
                "lead_min": lead * bearing.life_s / 60,
                "lead_share": lead,
                "plain_ewma_lead_min": other * bearing.life_s / 60,
                "highest_score_in_first_half": _highest(run),
            }
            for bearing, run, lead, other in zip(bearings, runs, own.lead, plain.lead, strict=True)
        ],
        "limits_db": {
            f"{limit:g}": {"median_lead": leads.median, "premature": leads.premature, "detected": leads.detected}
            for limit, leads in at_limit.items()
        },
        "limit_left_one_out": _left_one_out(bearings, at_limit),
        "remaining_life": {
            method: {name: asdict(figures) for name, figures in by_name.items()} for method, by_name in lives.items()
        },
    }


def _at_limit(run: Run, share: float) -> Run:
    return replace(run, score=run.score / share)


def _highest(run: Run) -> float:
    first = run.score[~run.label]
    return float(np.nanmax(first)) if np.isfinite(first).any() else float("nan")


def _left_one_out(bearings: Sequence[_Bearing], at_limit: Mapping[float, _Leads]) -> dict[str, Any]:
    """What each bearing would have had, were the limit chosen for the longest lead of the others, none premature."""
    chosen = {}
    for left, bearing in enumerate(bearings):

        def worth(limit: float, left: int = left) -> tuple[float, float, float]:
            others = np.delete(np.array(at_limit[limit].lead), left)
            if not others.size:
                return 0.0, 0.0, 0.0
            return (
                float(np.count_nonzero(others)),
                -float(np.count_nonzero(others > 0.5)),
                float(np.median(np.where(others > 0.5, 0.0, others))),
            )

        limit = max(at_limit, key=worth)
        chosen[bearing.name] = {"limit_db": limit, "lead_share": at_limit[limit].lead[left]}
    leads = [each["lead_share"] for each in chosen.values()]
    return {
        "bearings": chosen,
        "median_lead": float(np.median([0.0 if lead > 0.5 else lead for lead in leads])),
        "premature": sum(lead > 0.5 for lead in leads),
    }


def _drawings(
    bearings: Sequence[_Bearing], found: Sequence[degradation.Degradation], runs: Sequence[Run], own: _Leads
) -> tuple[Drawing, ...]:
    longest = max(range(len(bearings)), key=lambda place: bearings[place].life_s)
    return (
        Timeline(
            name="scores",
            title="Degradation score: 1 is the limit, marked is the second half of life",
            x="age, min",
            tracks=tuple(Track(name=run.name, time=run.time_s / 60, score=run.score, label=run.label) for run in runs),
        ),
        Bars(
            name="leads",
            title="First alarm before failure; above 50 % is premature",
            y="% of life",
            names=tuple(bearing.name for bearing in bearings),
            values=100 * np.array([lead or np.nan for lead in own.lead]),
            limit=50.0,
        ),
        Curves(
            name="symptoms",
            title=f"Symptoms of {bearings[longest].name} over itself at a quarter to half of its age",
            x="age, min",
            y="dB",
            lines=tuple(
                Line(name=name, x=bearings[longest].time_s / 60, y=rise)
                for name, rise in zip(_SYMPTOMS, found[longest].rise_db, strict=True)
            ),
        ),
    )
