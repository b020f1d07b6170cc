"""What stored alarms and prognoses were worth, where it is known when machines failed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from models.evaluation.life import interval_share, judge_life
from precursor.assessment.drawings import Bars, Drawing, Line, Scatter
from precursor.assessment.report import Assessment, Figure
from precursor.backtest.rule_set import RuleSet
from rules.lead_time import Failure, Foresight, foresight
from rules.occurrences import Occurrence, by_source, spans_of, union
from telemetry.batch import to_micros

__all__ = ["Forecast", "Judged"]

_HOUR_S, _DAY_S = 3600.0, 86_400.0
_MONTH_S = 30 * _DAY_S
_MOST_TOLD = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A prognosis that was made, s from then to the failure; None: it said that it has no answer."""

    asset: str
    method: str
    made_at: datetime
    p10_s: float | None
    p50_s: float | None
    p90_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Everything stored that is to be judged."""

    begin: datetime
    end: datetime
    horizon: timedelta
    rules: RuleSet
    """one on each score, named like the detector that made it"""
    failures: tuple[Failure, ...] | None
    """None: nobody says when anything failed"""
    alarms: tuple[Occurrence, ...]
    plain: tuple[Occurrence, ...]
    """of plain limits on the sensors that are scored"""
    forecasts: tuple[Forecast, ...]

    @property
    def machines(self) -> Collection[str]:
        """Names of the assets that are scored."""
        return {self.rules.machine_of[rule.asset_id][0] for rule in self.rules.rules}

    def assessment(self) -> Assessment:
        """The figures, and what stands behind them."""
        own, plain = self._held(self.alarms), self._held(self.plain)
        scores = len(self.rules.rules)
        kinds = sorted({rule.name for rule in self.rules.rules})
        by_kind = {kind: self._held([each for each in self.alarms if each.rule.name == kind]) for kind in kinds}
        lives, life_details, life_drawings = self._lives()
        known = bool(own.failures)
        return Assessment(
            dataset="stored",
            title=f"{scores:,} stored scores of {len(self.machines):,} assets, {self.begin:%Y-%m-%d %H:%M} to"
            f" {self.end:%Y-%m-%d %H:%M} UTC",
            about="Scores as they were stored while the plant ran. An alarm is a score of 1 or more; dips of up to"
            " 30 s do not end it. Each detector has set its limit itself, from its own training time.\n\nThe plain"
            " limits beside them are mean and five standard deviations of the first tenth of the time, on each sensor"
            " that is scored.",
            data=f"{len(own.failures):,} failures are known. A warning is an alarm that begins in the"
            f" {self.horizon / timedelta(days=1):g} days before a failure (after its onset, where that is known).",
            figures=(
                *(self._against_failures(own, plain) if known else ()),
                *self._load(own, plain, known),
                *(self._by_detector(by_kind, known) if len(kinds) > 1 else ()),
                *lives,
            ),
            notes=tuple(self._notes(own)),
            missed=tuple(
                f"{each.failure.asset}, {each.failure.failure_at:%Y-%m-%d %H:%M}"
                for each in own.failures
                if each.first is None
            ),
            weaknesses=(
                "A failure that nobody wrote down counts as normal time, and the alarms before it as false.",
                "A repair on an alarm leaves no failure: the alarm counts as false, unless the labels name one.",
            ),
            details={
                "from": self.begin.isoformat(),
                "to": self.end.isoformat(),
                "failures": _failures(own),
                "detectors": {kind: _summary(found) for kind, found in by_kind.items()},
                "plain_limits": _summary(plain),
                "scores": _by_score(self.alarms, self.end),
                "prognoses": life_details,
            },
            drawings=(*_drawings(own), *life_drawings),
        )

    def _held(self, alarms: Sequence[Occurrence]) -> Foresight:
        return foresight(
            alarms,
            self.failures or (),
            self.begin,
            self.end,
            machine_of=self.rules.machine_of,
            machines=self.machines,
            horizon=self.horizon,
        )

    def _against_failures(self, own: Foresight, plain: Foresight) -> tuple[Figure, ...]:
        warned, of = len(own.failures) - own.missed, f"of {len(own.failures)}"
        false = own.false_per_asset_month
        months = len(self.machines) * (self.end - self.begin).total_seconds() / _MONTH_S
        return (
            Figure(
                name="failures_warned",
                value=warned,
                unit=of,
                baselines={
                    "always_alarm": 0.0,
                    "random": own.by_chance,
                    "plain_limits": float(len(plain.failures) - plain.missed),
                },
            ),
            Figure(
                name="median_lead",
                value=_hours(own.median_lead_s),
                unit="h",
                baselines={"plain_limits": _hours(plain.median_lead_s)},
            ),
            Figure(
                name="false_alarms_per_asset_month",
                value=float("nan") if false is None else false,
                baselines={
                    "random": len(self.alarms) / months,
                    "plain_limits": float("nan")
                    if plain.false_per_asset_month is None
                    else plain.false_per_asset_month,
                },
            ),
        )

    def _load(self, own: Foresight, plain: Foresight, known: bool) -> tuple[Figure, ...]:
        months = len(self.machines) * (self.end - self.begin).total_seconds() / _MONTH_S
        return (
            Figure(
                name="alarms_per_asset_month",
                value=len(self.alarms) / months,
                baselines={"plain_limits": len(self.plain) / months},
            ),
            Figure(
                name="alarm_share_of_normal" if known else "alarm_share",
                value=self._share(self.alarms, own),
                baselines={"always_alarm": 1.0, "plain_limits": self._share(self.plain, plain)},
            ),
        )

    def _by_detector(self, found: Mapping[str, Foresight], known: bool) -> tuple[Figure, ...]:
        """Of each kind of detector alone: what it warned of, and how often it cried for nothing."""
        figures = []
        for kind, own in found.items():
            rate = own.false_per_asset_month
            if known:
                figures.append(
                    Figure(
                        name=f"{kind}_failures_warned",
                        value=len(own.failures) - own.missed,
                        unit=f"of {len(own.failures)}",
                        baselines={"always_alarm": 0.0, "random": own.by_chance},
                    )
                )
            figures.append(
                Figure(
                    name=f"{kind}_{'false_' if known else ''}alarms_per_asset_month",
                    value=float("nan") if rate is None else rate,
                )
            )
        return tuple(figures)

    def _share(self, alarms: Sequence[Occurrence], found: Foresight) -> float:
        """Part of the time of machines, outside windows, in which any alarm of theirs stood."""
        begin_us, end_us = to_micros(self.begin), to_micros(self.end)
        windows: dict[str, list[tuple[int, int]]] = {}
        for each in found.failures:
            span = to_micros(each.window_begin), to_micros(each.failure.failure_at)
            windows.setdefault(each.failure.asset, []).append(span)
        alarm_us = normal_us = 0
        for machine in self.machines:
            own = [each for each in alarms if machine in self.rules.machine_of[each.rule.asset_id]]
            apart = np.array(
                [span for name in self._line(machine) for span in windows.get(name, ())], np.int64
            ).reshape(-1, 2)
            inside = union(apart)
            in_windows = int((inside[:, 1] - inside[:, 0]).sum())
            either = union(np.concatenate((spans_of(own, self.end), inside)))
            normal_us += end_us - begin_us - in_windows
            alarm_us += int((either[:, 1] - either[:, 0]).sum()) - in_windows
        return alarm_us / normal_us if normal_us else float("nan")

    def _line(self, machine: str) -> Sequence[str]:
        return next(names for names in self.rules.machine_of.values() if names[0] == machine)

    def _lives(self) -> tuple[tuple[Figure, ...], Mapping[str, Any], tuple[Drawing, ...]]:
        """Prognoses whose asset failed later in the range, against when it did; in hours."""
        failures: dict[str, list[datetime]] = {}
        for failure in self.failures or ():
            failures.setdefault(failure.asset, []).append(failure.failure_at)
        rows = []
        for each in self.forecasts:
            later = [at for at in failures.get(each.asset, ()) if at > each.made_at]
            if later:
                rows.append((each.method, (min(later) - each.made_at).total_seconds(), each))
        if not rows:
            return (), {"made": len(self.forecasts), "judged": 0}, ()
        true = np.array([row[1] for row in rows]) / _HOUR_S
        low, middle, high = (
            np.array([np.nan if (v := getattr(row[2], name)) is None else v for row in rows]) / _HOUR_S
            for name in ("p10_s", "p50_s", "p90_s")
        )
        methods = np.array([row[0] for row in rows])
        found = judge_life(true, middle)
        mean = judge_life(true, np.full(true.size, true.mean()))
        figures = (
            Figure(name="remaining_life_rmse", value=found.rmse, unit="h", baselines={"mean": mean.rmse}),
            Figure(name="remaining_life_p10_p90_share", value=interval_share(true, low, high), aim="about 0.8"),
        )
        details = {
            "made": len(self.forecasts),
            "judged": len(rows),
            "answered": found.predicted,
            "by_method": {
                method: {
                    "cases": int((methods == method).sum()),
                    "rmse_h": judge_life(true[methods == method], middle[methods == method]).rmse,
                }
                for method in sorted(set(methods.tolist()))
            },
        }
        drawing = Scatter(
            name="remaining_life",
            title="Remaining life, prognosis over truth",
            x="true, h",
            y="P50, h",
            points=tuple(
                Line(name=method, x=true[methods == method], y=middle[methods == method])
                for method in sorted(set(methods.tolist()))
            ),
        )
        return figures, details, (drawing,)

    def _notes(self, own: Foresight) -> list[str]:
        notes = []
        if self.failures is None:
            notes.append(
                "no failures are known: the assets have no state sensor, and no --labels are named; only the load of"
                " alarms is told"
            )
        elif not own.failures:
            notes.append("no asset that is scored failed in this time: only the load of alarms is told")
        if self.end - self.begin < timedelta(days=30):
            days = (self.end - self.begin) / timedelta(days=1)
            notes.append(f"{days:.3g} days are little: judge alarms over 30 days or more")
        return notes


def _hours(seconds: float | None) -> float:
    return float("nan") if seconds is None else seconds / _HOUR_S


def _failures(found: Foresight) -> list[dict[str, Any]]:
    return [
        {
            "asset": each.failure.asset,
            "failure_at": each.failure.failure_at.isoformat(),
            "window_begin": each.window_begin.isoformat(),
            "first_alarm": None
            if each.first is None
            else {
                "score": each.first.rule.sensor_name,
                "detector": each.first.rule.name,
                "began_at": each.first.began_at.isoformat(),
            },
            "lead_s": each.lead_s,
            "delay_s": each.delay_s,
        }
        for each in found.failures
    ]


def _summary(found: Foresight) -> dict[str, Any]:
    return {
        "warned": len(found.failures) - found.missed,
        "missed": found.missed,
        "warned_by_chance": found.by_chance,
        "median_lead_s": found.median_lead_s,
        "false_alarms": found.false_alarms,
        "asset_months": found.asset_months,
        "false_per_asset_month": found.false_per_asset_month,
    }


def _by_score(alarms: Sequence[Occurrence], end: datetime) -> list[dict[str, Any]]:
    """The scores with the most alarms, the worst first."""
    found = sorted(by_source(alarms).items(), key=lambda pair: (-len(pair[1]), pair[0][0]))
    return [
        {
            "score": source[0],
            "detector": source[1],
            "alarms": len(own),
            "time_s": sum(each.lasted_s(end) for each in own),
            "peak": max(each.peak_value for each in own),
        }
        for source, own in found[:_MOST_TOLD]
    ]


def _drawings(found: Foresight) -> tuple[Drawing, ...]:
    if not found.failures:
        return ()
    told = found.failures[:40]
    return (
        Bars(
            name="lead_times",
            title="Lead time of the first warning; none: missed",
            y="h",
            names=tuple(f"{each.failure.asset}, {each.failure.failure_at:%m-%d}" for each in told),
            values=np.array([_hours(each.lead_s) for each in told]),
        ),
    )
