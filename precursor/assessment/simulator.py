"""The default detectors on machines of our own simulator, where it is known what is wrong, and since when."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.evaluation.baselines import ewma_z
from precursor.assessment.report import Assessment, Figure
from precursor.assessment.simulated import (
    DETECTOR,
    LEARNING_D,
    Watched,
    alarms_of,
    episodes,
    usable_values,
    watch_runs,
)
from rules.iso_20816 import ZONES, Foundation
from simulators.runs import simulate
from simulators.suite import DURATION_S, suite
from telemetry.batch import to_micros

__all__ = ["assess"]

RUNS = 200
_INTERVAL_S = 120.0
_SIDE_BY_SIDE = 200
"""runs in memory at once: detectors look at many machines nearly as quickly as at one"""
_MONTH_US = 365.25 / 12 * 86_400e6
_ALARM_MM_S = ZONES[2, Foundation.RIGID].b_c

_NOTES = (
    "Detected: an alarm of the machine begins between the onset of damage and functional failure.",
    "Lead: from that alarm to functional failure, as a part of the P-F interval; missed faults count as 0.",
    "False alarms: those that begin in healthy time after the learning days; within a day of one, it is the same one.",
    "A sensor fault is recognised if the right sensor has a finding, of any kind, while the fault lasts.",
    "A machine fault is put down to sensors if any sensor has a finding between onset and functional failure.",
    "An endless alarm detects nothing, for it has to begin inside; it is one false alarm a run.",
)

Spans = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Truth:
    """What is right about a run, µs since 1970."""

    begin: int
    """from here on something is wrong; the end of the run if nothing ever is"""
    end: int
    """functional failure, or the sensor was replaced"""


@dataclass(slots=True, kw_only=True)
class _Tally:
    """What one way of watching came to."""

    runs: int = 0
    faults: int = 0
    detected: int = 0
    leads: list[float]
    false_alarms: int = 0
    months: float = 0.0

    def take(self, watched: Watched, alarms: Spans) -> float | None:
        """Count a run; the lead as a part of the P-F interval if its fault was detected."""
        truth = _truth(watched)
        self.runs += 1
        self.false_alarms += sum(watched.learned_at <= begin < truth.begin for begin, _ in alarms)
        self.months += max(truth.begin - watched.learned_at, 0) / _MONTH_US
        if watched.run.scenario.fault is None:
            return None
        self.faults += 1
        # It has to begin inside: an alarm that stands since before says nothing about the fault.
        inside = [begin for begin, _ in alarms if truth.begin <= begin < truth.end]
        if not inside:
            return None
        self.detected += 1
        self.leads.append((truth.end - min(inside)) / (truth.end - truth.begin))
        return self.leads[-1]

    @property
    def detected_part(self) -> float:
        """% of the faults."""
        return 100 * self.detected / self.faults if self.faults else float("nan")

    @property
    def lead(self) -> float:
        """Median, % of the P-F interval; a fault that was missed has none: 0."""
        missed = [0.0] * (self.faults - self.detected)
        return 100 * float(np.median([*self.leads, *missed])) if self.faults else float("nan")

    @property
    def false_rate(self) -> float:
        """A hundred asset-months of healthy time."""
        return 100 * self.false_alarms / self.months if self.months else float("nan")


def assess(
    folder: Path,
    *,
    seed: int,
    watch: Callable[[str], None],
    runs: int = RUNS,
    interval_s: float = _INTERVAL_S,
) -> Assessment:
    """Simulate `runs` runs of machines, watch them by the defaults, and judge. No files are needed.

    Args:
        folder: not used.
        seed: other machines, other faults.
        watch: is told what is done.
        runs: how many; fewer say less.
        interval_s: s between readings; longer is quicker, and not what is aimed at.
    """
    scenarios = suite(runs, seed=seed, interval_s=interval_s)
    ours, alone, ewma, iso, chance = (_Tally(leads=[]) for _ in range(5))
    rng = np.random.default_rng(seed)
    sensors = _Sensors()
    rows: list[dict[str, Any]] = []
    for begin in range(0, runs, _SIDE_BY_SIDE):
        group = [simulate(scenario) for scenario in scenarios[begin : begin + _SIDE_BY_SIDE]]
        watch(f"simulated machines {begin + 1} to {begin + len(group)} of {runs}")
        for each in watch_runs(group):
            alarms = [(alarm.begin, alarm.end) for alarm in each.alarms]
            lead = ours.take(each, alarms)
            alone.take(each, each.of_sensors)
            ewma.take(each, _by_ewma(each))
            iso.take(each, _by_iso(each))
            chance.take(each, _turned(each, alarms, rng))
            rows.append(_row(each, lead, sensors.take(each)))
    return Assessment(
        dataset="simulator",
        title=f"Default detectors on {runs} simulated runs of pumps, motors, fans and gearboxes",
        figures=_figures(ours, {"sensors_alone": alone, "ewma_z": ewma, "iso_zone_c": iso, "random": chance}, sensors),
        about="The asset detector on all sensors of a machine, and recognition of sensor faults, with their defaults,"
        " in the order of the live fold; an alarm is a score of the machine of 1 or more for an hour, as `detectors:"
        f" auto` makes it. `sensors_alone`: alarms on the scores of `{DETECTOR}` of its sensors, one by one.",
        data=f"Each run is one machine for {DURATION_S / 86_400:g} days at a reading each {interval_s:g} s. Nothing is"
        f" wrong in the first {LEARNING_D:g} days, which are not judged, nor in the seven after them. Seed {seed}."
        " See docs/simulator.md.",
        notes=_NOTES,
        weaknesses=(
            "Simulated machines are tamer than real ones: no neighbours, no maintenance, one fault at a time.",
            "Waveforms are not looked at here; bearing faults show in them earlier than in the velocity RMS.",
        ),
        missed=tuple(
            f"{row['asset']} ({row['machine']}, {row['profile']}): {row['fault']} not detected"
            for row in rows
            if row["lead"] is None and row["fault"] is not None
        ),
        details={"runs": rows, "by_fault": _by_fault(rows), "healthy_asset_months": ours.months},
    )


def _truth(watched: Watched) -> _Truth:
    scenario = watched.run.scenario
    last = int(watched.run.time[-1])
    if scenario.fault is not None:
        return _Truth(
            begin=to_micros(scenario.fault.onset_at), end=min(to_micros(scenario.fault.functional_failure_at), last)
        )
    if scenario.sensor_faults:
        return _Truth(
            begin=to_micros(scenario.sensor_faults[0].begins_at), end=to_micros(scenario.sensor_faults[0].ends_at)
        )
    return _Truth(begin=last, end=last)


@dataclass(slots=True)
class _Sensors:
    """How well sensor faults and machine faults are told apart."""

    faults: int = 0
    found: int = 0
    named: int = 0
    machine_faults: int = 0
    taken_for_sensor: int = 0
    false: int = 0
    months: float = 0.0

    def take(self, watched: Watched) -> list[str]:
        """Count a run; what was found while something was wrong."""
        truth, scenario = _truth(watched), watched.run.scenario
        during = [each for each in watched.findings if truth.begin <= each.begin < truth.end]
        self.false += sum(watched.learned_at <= each.begin < truth.begin for each in watched.findings)
        self.months += max(truth.begin - watched.learned_at, 0) / _MONTH_US
        if scenario.fault is not None:
            self.machine_faults += 1
            self.taken_for_sensor += bool(during)
        elif scenario.sensor_faults:
            plan = scenario.sensor_faults[0]
            right = [each for each in during if each.point == plan.point]
            self.faults += 1
            self.found += bool(right)
            self.named += any(each.kind.name == plan.kind.name for each in right)
        return [f"{each.point}: {each.kind.name.lower()}" for each in during]


def _by_ewma(watched: Watched) -> Spans:
    """The plainest chart over all sensors of the machine at work."""
    at = np.flatnonzero(watched.running)
    train = int((watched.run.time[at] < watched.learned_at).sum())
    if not train:
        return []
    score = ewma_z(usable_values(watched.run)[:, at].T, train)
    time = watched.run.time[at]
    return episodes(alarms_of(time, score >= 1, np.isfinite(score)))


def _by_iso(watched: Watched) -> Spans:
    """Velocity RMS in zone C of a medium machine on a rigid foundation."""
    run = watched.run
    value = usable_values(run)
    spans = []
    for row, point in enumerate(run.points):
        if point.unit == "mm/s":
            known = watched.running & np.isfinite(value[row])
            spans += alarms_of(run.time, value[row] >= _ALARM_MM_S, known)
    return episodes(spans)


def _turned(watched: Watched, alarms: Spans, rng: np.random.Generator) -> Spans:
    """As many alarms, as long, that know nothing: all moved by the same random time, round the end."""
    first, last = watched.learned_at, int(watched.run.time[-1])
    judged = [span for span in alarms if span[0] >= first]
    by = int(rng.integers(last - first))
    return sorted(
        (first + (begin - first + by) % (last - first), first + (begin - first + by) % (last - first) + end - begin)
        for begin, end in judged
    )


def _figures(ours: _Tally, baselines: dict[str, _Tally], sensors: _Sensors) -> tuple[Figure, ...]:
    def beside(name: str, always: float) -> dict[str, float]:
        return {"always": always, **{who: getattr(tally, name) for who, tally in baselines.items()}}

    endless = 100 * ours.runs / ours.months if ours.months else float("nan")
    recognised = 100 * sensors.found / sensors.faults if sensors.faults else float("nan")
    machine = 100 * (1 - sensors.taken_for_sensor / sensors.machine_faults) if sensors.machine_faults else float("nan")
    return (
        Figure.aimed("faults_detected", ours.detected_part, "%", at_least=95, baselines=beside("detected_part", 0.0)),
        Figure.aimed("median_lead_of_pf", ours.lead, "%", at_least=50, baselines=beside("lead", 0.0)),
        Figure.aimed(
            "false_alarms_per_100_asset_months",
            ours.false_rate,
            at_most=1,
            baselines=beside("false_rate", endless),
        ),
        Figure.aimed("sensor_faults_recognised", recognised, "%", at_least=90),
        Figure.aimed("machine_faults_not_put_down_to_sensors", machine, "%", at_least=90),
        Figure(
            name="sensor_faults_named",
            value=100 * sensors.named / sensors.faults if sensors.faults else float("nan"),
            unit="%",
        ),
        Figure(
            name="false_sensor_findings_per_100_asset_months",
            value=100 * sensors.false / sensors.months if sensors.months else float("nan"),
        ),
        Figure(name="healthy_asset_months", value=ours.months),
    )


def _row(watched: Watched, lead: float | None, findings: list[str]) -> dict[str, Any]:
    scenario, truth = watched.run.scenario, _truth(watched)
    plan = next(iter(scenario.sensor_faults), None)
    false = [each for each in watched.alarms if watched.learned_at <= each.begin < truth.begin]
    return {
        "asset": scenario.asset,
        "machine": str(scenario.machine),
        "profile": str(scenario.profile),
        "seed": scenario.seed,
        "fault": None if scenario.fault is None else str(scenario.fault.kind),
        "law": None if scenario.fault is None else str(scenario.fault.law),
        "sensor_fault": None if plan is None else f"{plan.point}: {plan.kind}",
        "lead": lead,
        "false_alarms": [
            {"day": round((each.begin - int(watched.run.time[0])) / 86_400e6, 2), "sensors": sorted(each.sensors)}
            for each in false
        ],
        "findings": findings,
        "known": round(watched.known, 4),
    }


def _by_fault(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    of_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["fault"] is not None:
            of_kind[row["fault"]].append(row)
    return {
        kind: {
            "runs": len(some),
            "detected": sum(row["lead"] is not None for row in some),
            "median_lead": float(np.median([row["lead"] or 0.0 for row in some])),
            "put_down_to_sensors": sum(bool(row["findings"]) for row in some),
        }
        for kind, some in sorted(of_kind.items())
    }
