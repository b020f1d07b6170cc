"""Failures foretold from events alone (Azure predictive maintenance): which component of a machine fails in a day?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.evaluation.horizon import caught
from models.life.labelled_events import FailureForecast, limit_of_best_f1
from precursor.assessment.azure_events import HORIZON_H, STEP_H, TRAINED, Events, Instants, instants_of, read_events
from precursor.assessment.drawings import Bars
from precursor.assessment.report import Assessment, Figure
from telemetry.errors import ConfigurationError

__all__ = ["assess"]

LEAD_H = 3.0
_PRECISION, _RECALL, _CAUGHT = 0.86, 0.91, 220 / 232

Column = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    precision: float
    """share of alarmed (machine, component, instant) that are due"""
    recall: float
    """share of due ones that are alarmed"""
    failures: int
    caught: int
    episodes: int
    """stretches of alarm of one component"""
    true_episodes: int
    """of them, those after whose begin the component fails within the horizon"""
    leads: Column
    """(failures,) hours from the first alarm in the horizon; NaN: missed"""
    precision_machine: float
    """as `precision`, whichever component the alarm names"""
    recall_machine: float

    @property
    def precision_episodes(self) -> float:
        return _ratio(self.true_episodes, self.episodes)


def assess(folder: Path, *, seed: int, watch: Callable[[str], None], effort: float = 1.0) -> Assessment:
    """Learn from the first two thirds of the time, and judge what is foretold in the last.

    Args:
        effort: as for `FailureForecast.fit`; the default is what is assessed.

    Raises:
        ConfigurationError: files are missing or not of this layout, or a component fails too seldom to learn from.
    """
    events = read_events(folder)
    watch(f"{len(events.machines)} machines, {events.end / 24:.0f} days of events")
    instants = instants_of(events)
    cut = events.cut
    earlier = np.floor(TRAINED * cut / 24) * 24
    try:
        watch("learning from the first part of the training time, to choose the limit on the rest of it")
        first = _fit(instants.between(0, earlier - HORIZON_H), seed, effort)
        held = instants.between(earlier + HORIZON_H, cut - HORIZON_H)
        limit = limit_of_best_f1(_chance(first, held), held.due)
        watch("learning from all of the training time")
        train = instants.between(0, cut - HORIZON_H)
        model = _fit(train, seed, effort)
    except ValueError as error:
        raise ConfigurationError(f"{str(folder)!r} has too few events: {error}") from error
    asked = instants.between(cut + HORIZON_H, np.inf)
    if not asked.time.size:
        raise ConfigurationError(f"{str(folder)!r} has events of {events.end / 24:.1f} days only; it takes some months")
    chance = _chance(model, asked)
    own = _judge(events, asked, chance >= limit)
    baselines = _baselines(events, train, asked, chance >= limit, seed)
    matrix = _confusion(events, asked, chance, limit)
    return Assessment(
        dataset="azure",
        title=f"failures of components in the next {HORIZON_H:g} h from events alone (Azure PdM)",
        figures=_figures(events, asked, own, baselines, matrix),
        about=(
            "`models.life.labelled_events.FailureForecast` with its defaults: gradient-boosted trees for each"
            " component, on hours since each kind of error and the hour of day it came at, numbers of errors, and hours"
            f" since components were replaced. It alarms from a chance of {limit:.2f}, which had the best F1 in the"
            " last third of the training time for a model fitted to the time before."
        ),
        data=(
            f"{len(events.machines)} machines over {events.end / 24:.0f} days; learned from what was before"
            f" {events.midnight + pd.Timedelta(hours=cut):%Y-%m-%d}, judged from a day after it, so that no label of"
            f" the training reaches into it. {own.failures} failures of components have all of their {HORIZON_H:g} h"
            " there. Simulated; hourly telemetry is not looked at."
        ),
        notes=(
            (
                f"Every {STEP_H:g} h each machine and component is asked about: due is what fails after that instant"
                f" and at most {HORIZON_H:g} h after. `precision` and `recall` count these; the alarm has to name the"
                " right component. `_machine`: whichever component it names."
            ),
            (
                f"`caught`: failures with an alarm of that component at an instant {HORIZON_H:g} to {LEAD_H:g} h"
                " before. `precision_episodes`: alarms that last count once, and are right if the component fails"
                f" within {HORIZON_H:g} h of their begin."
            ),
            (
                "`random`: the same alarms of each machine turned round by a random time, mean of 20. `age`: hours"
                " since the component was replaced, from a limit on. `last_error`: the kind of error that says most"
                f" about a component, for {HORIZON_H:g} h. Limits and kinds are chosen in the training time, by F1."
            ),
            "Failures of two components of one machine at once count twice.",
            (
                "The whole year was looked at while features were chosen, what comes after the cut too: on these data"
                " this is no clean hold-out."
            ),
            (
                "These data are simulated: nearly all failures are announced by errors exactly 24 h before, and happen"
                " at one hour of the day on a machine's maintenance day. Figures near 1 say that a model has found the"
                " rule; expect less of a real plant."
            ),
        ),
        weaknesses=(
            "A failure that no error announces is not foretold.",
            f"It says nothing beyond {HORIZON_H:g} h.",
        ),
        missed=_missed(events, asked, own),
        details={
            "train_before": str(events.midnight + pd.Timedelta(hours=cut)),
            "limit": limit,
            "prevalence": float(asked.due.mean()),
            "model": _plain(own),
            "baselines": {name: _plain(each) for name, each in baselines.items()},
            "confusion": matrix,
        },
        drawings=(
            Bars(
                name="precision",
                title="Precision, by component and instant",
                y="share of alarms",
                names=("this model", *baselines),
                values=np.array([own.precision, *(each.precision for each in baselines.values())]),
                limit=_PRECISION,
            ),
        ),
    )


def _figures(
    events: Events,
    asked: Instants,
    own: _Verdict,
    baselines: Mapping[str, _Verdict],
    matrix: Mapping[str, Mapping[str, int]],
) -> tuple[Figure, ...]:
    def beside(name: str) -> dict[str, float]:
        return {baseline: float(getattr(each, name)) for baseline, each in baselines.items()}

    def lead(verdict: _Verdict) -> float:
        known = verdict.leads[np.isfinite(verdict.leads)]
        return float(np.median(known)) if known.size else float("nan")

    months = len(events.machines) * float(np.ptp(asked.time)) / (24 * 30)
    named = sum(row[component] for component, row in matrix.items())
    told = sum(sum(row.values()) - row["none"] for row in matrix.values())
    false = {name: (each.episodes - each.true_episodes) / months for name, each in baselines.items()}
    return (
        Figure.aimed("precision", own.precision, at_least=_PRECISION, baselines=beside("precision")),
        Figure.aimed("recall", own.recall, at_least=_RECALL, baselines=beside("recall")),
        Figure.aimed(
            "caught",
            own.caught,
            f"of {own.failures}",
            at_least=float(np.ceil(round(_CAUGHT * own.failures, 6))),
            baselines=beside("caught"),
        ),
        Figure(name="median_lead", value=lead(own), unit="h", baselines={k: lead(v) for k, v in baselines.items()}),
        Figure(name="precision_episodes", value=own.precision_episodes, baselines=beside("precision_episodes")),
        Figure(
            name="false_alarms_per_machine_month", value=(own.episodes - own.true_episodes) / months, baselines=false
        ),
        Figure(name="precision_machine", value=own.precision_machine, baselines=beside("precision_machine")),
        Figure(name="recall_machine", value=own.recall_machine, baselines=beside("recall_machine")),
        Figure(
            name="component_named_right",
            value=_ratio(named, told),
            baselines={"most_frequent": max(sum(row.values()) for row in matrix.values()) / max(1, own.failures)},
        ),
    )


def _fit(instants: Instants, seed: int, effort: float) -> FailureForecast:
    components = instants.due.shape[2]
    features = instants.features.reshape(-1, instants.features.shape[2])
    return FailureForecast.fit(features, instants.due.reshape(-1, components), seed=seed, effort=effort)


def _chance(model: FailureForecast, instants: Instants) -> npt.NDArray[np.float64]:
    flat = model.chance(instants.features.reshape(-1, instants.features.shape[2]))
    return flat.reshape(instants.due.shape)


def _judge(events: Events, asked: Instants, alarm: Flags) -> _Verdict:
    judged_from = asked.time[0] + HORIZON_H
    leads = []
    for machine, failures in enumerate(events.failures):
        for component, all_of_them in enumerate(failures):
            stood = asked.time[alarm[machine, :, component]]
            of_these = all_of_them[(all_of_them >= judged_from) & (all_of_them <= events.end)]
            leads.append(caught(of_these, stood, horizon=HORIZON_H, lead=LEAD_H))
    begins = alarm & ~np.concatenate((np.zeros_like(alarm[:, :1]), alarm[:, :-1]), axis=1)
    every = np.concatenate(leads)
    any_alarm, any_due = np.asarray(alarm.any(axis=2)), np.asarray(asked.due.any(axis=2))
    return _Verdict(
        precision=_share(asked.due, alarm),
        recall=_share(alarm, asked.due),
        failures=int(every.size),
        caught=int(np.isfinite(every).sum()),
        episodes=int(np.count_nonzero(begins)),
        true_episodes=int(np.count_nonzero(begins & asked.due)),
        leads=every,
        precision_machine=_share(any_due, any_alarm),
        recall_machine=_share(any_alarm, any_due),
    )


def _baselines(events: Events, train: Instants, asked: Instants, alarm: Flags, seed: int) -> dict[str, _Verdict]:
    generator = np.random.default_rng(seed)
    by_age, by_error = np.zeros_like(alarm), np.zeros_like(alarm)
    for component in range(alarm.shape[2]):
        due = train.due[:, :, component]
        oldest = float(np.nanmax(train.age[:, :, component], initial=HORIZON_H))
        old = limit_of_best_f1(np.nan_to_num(train.age[:, :, component] / oldest), due)
        by_age[:, :, component] = np.nan_to_num(asked.age[:, :, component] / oldest) >= old
        f1 = [_f1(train.since_error[:, :, kind] < HORIZON_H, due) for kind in range(train.kinds)]
        by_error[:, :, component] = asked.since_error[:, :, int(np.argmax(f1))] < HORIZON_H
    return {
        "always": _judge(events, asked, np.ones_like(alarm)),
        "random": _mean([_judge(events, asked, _turned(alarm, generator)) for _ in range(20)]),
        "age": _judge(events, asked, by_age),
        "last_error": _judge(events, asked, by_error),
    }


def _turned(alarm: Flags, generator: np.random.Generator) -> Flags:
    by = generator.integers(alarm.shape[1], size=len(alarm))
    return np.stack([np.roll(of_machine, shift, axis=0) for of_machine, shift in zip(alarm, by, strict=True)])


def _mean(verdicts: list[_Verdict]) -> _Verdict:
    def mean(name: str) -> float:
        return float(np.mean([getattr(each, name) for each in verdicts]))

    return replace(
        verdicts[0],
        precision=mean("precision"),
        recall=mean("recall"),
        caught=round(mean("caught")),
        episodes=round(mean("episodes")),
        true_episodes=round(mean("true_episodes")),
        leads=np.concatenate([each.leads for each in verdicts]),
        precision_machine=mean("precision_machine"),
        recall_machine=mean("recall_machine"),
    )


def _confusion(
    events: Events, asked: Instants, chance: npt.NDArray[np.float64], limit: float
) -> dict[str, dict[str, int]]:
    """Failures by what failed and by what the alarms in time named: that component if it is among them, else the
    likeliest."""
    matrix = {failed: dict.fromkeys((*events.components, "none"), 0) for failed in events.components}
    for machine, failures in enumerate(events.failures):
        for component, times in enumerate(failures):
            for time in times[times >= asked.time[0] + HORIZON_H]:
                in_time = (asked.time >= time - HORIZON_H) & (asked.time <= time - LEAD_H)
                most = chance[machine, in_time].max(axis=0, initial=0.0)
                named = component if most[component] >= limit else int(most.argmax())
                name = events.components[named] if most[named] >= limit else "none"
                matrix[events.components[component]][name] += 1
    return matrix


def _missed(events: Events, asked: Instants, own: _Verdict) -> tuple[str, ...]:
    judged = [
        (machine, component, time)
        for machine, failures in enumerate(events.failures, 1)
        for component, times in zip(events.components, failures, strict=True)
        for time in times[(times >= asked.time[0] + HORIZON_H) & (times <= events.end)].tolist()
    ]
    return tuple(
        f"machine {machine}, {component}, {events.midnight + pd.Timedelta(hours=time):%Y-%m-%d %H:%M}"
        for (machine, component, time), lead in zip(judged, own.leads.tolist(), strict=True)
        if np.isnan(lead)
    )


def _plain(verdict: _Verdict) -> dict[str, Any]:
    return {
        name: getattr(verdict, name)
        for name in (
            "precision", "recall", "failures", "caught", "episodes", "true_episodes", "precision_machine",
            "recall_machine",
        )
    }  # fmt: skip


def _share(of: Flags, among: Flags) -> float:
    return _ratio(int(np.count_nonzero(of & among)), int(np.count_nonzero(among)))


def _f1(alarm: Flags, due: Flags) -> float:
    return 2 * int(np.count_nonzero(alarm & due)) / max(1, int(np.count_nonzero(alarm)) + int(np.count_nonzero(due)))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
