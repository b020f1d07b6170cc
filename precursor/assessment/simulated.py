"""Simulated machines past the default detectors, as in the live fold: alarms of assets, and findings on sensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from models import kinds
from models.contract import ALARM
from models.multivariate.kinds import AssetSpec, build_assets
from models.operating import RunningGate
from models.sensor_faults import SensorFault, SensorFaults, is_sensor
from precursor.plantfile.model_entries import ANOMALY_DELAY_S
from simulators.runs import Run
from telemetry.batch import ReadingBatch
from telemetry.quality import usable

__all__ = [
    "DETECTOR",
    "LEARNING_D",
    "Alarm",
    "Alarms",
    "Finding",
    "Watched",
    "alarms_of",
    "episodes",
    "usable_values",
    "watch_runs",
]

DETECTOR = "auto"
"""on every sensor"""
LEARNING_D = 14.0
"""time in which nothing is wrong and alarms are not judged: the detectors set their limits in it"""
_QUIET_S = 86_400.0
"""an alarm that comes back sooner after it went is the same story"""
_DAY_US = 86_400_000_000
_SIDES = {"mm/s": 1, "m^3/h": -1, "bar": -1, "Pa": -1}
"""vibration; flow and pressure: see `SensorFaults`"""

Times = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Alarms = Sequence[tuple[int, int]]
"""(begin, end) in µs, apart from each other, by time"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An anomaly alarm of an asset: some of its scores are high."""

    begin: int
    """µs since 1970"""
    end: int
    sensors: frozenset[str]
    """points whose own score raised it, or that have most of the asset's"""
    is_sensor: bool
    """it was put down to a sensor when it began, or within `_QUIET_S` after"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was said to be wrong with a sensor."""

    point: str
    kind: SensorFault
    begin: int
    """µs since 1970"""
    end: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Watched:
    """A run, and what the defaults said about it."""

    run: Run
    learned_at: int
    """µs since 1970: alarms are judged from here on"""
    alarms: tuple[Alarm, ...]
    """of the machine's score"""
    of_sensors: tuple[tuple[int, int], ...]
    """what alarms on the scores of its sensors, one by one, would have been"""
    findings: tuple[Finding, ...]
    running: npt.NDArray[np.bool_]
    """(instants) at work, and settled"""
    known: float
    """part of the instants at work after learning in which some score was known"""


def watch_runs(runs: Sequence[Run]) -> list[Watched]:
    """What the default detectors say about these runs, side by side as the machines of one plant."""
    plant = _Plant(runs)
    univariate = kinds.build(DETECTOR, [(sensor, {}) for sensor in plant.sensor_ids.tolist()])
    joint = build_assets([AssetSpec(asset_id=a, sensor_ids=ids) for a, ids in plant.assets.items()])
    doubts = SensorFaults(plant.assets, machine_side=plant.machine_side)
    gate = RunningGate({sensor: plant.state_of[sensor] for sensor in plant.sensor_ids.tolist()})

    time = runs[0].time
    high = np.zeros((plant.sensor_ids.size, time.size), np.bool_)
    known = np.zeros((plant.sensor_ids.size, time.size), np.bool_)
    asset_high, asset_known = (np.zeros((len(runs), time.size), np.bool_) for _ in range(2))
    top = np.full((len(runs), time.size), -1, np.int8)
    found: list[tuple[int, int, int]] = []
    settled = np.zeros((len(runs), time.size), np.bool_)
    for begin in range(0, time.size, plant.rows_a_day):
        batch = plant.readings(begin)
        running = gate.running(batch)
        measured = np.isin(batch.sensor_id, plant.sensor_ids)
        order = batch.take(measured).order()
        ordered, at_work = batch.take(measured).take(order), running[measured][order]
        findings = doubts.fold(ordered, at_work)
        found += zip(findings.sensor_id.tolist(), findings.time.tolist(), findings.kind.tolist(), strict=True)
        work = ordered.take(at_work)
        column = plant.columns(work.time)
        row = np.searchsorted(plant.sensor_ids, work.sensor_id)
        settled[plant.asset_of[row], column] = True
        score = univariate.score(work)
        known[row, column] = np.isfinite(score)
        high[row, column] = score >= ALARM
        asset = joint.fold(work)
        asset_known[asset.asset_id, plant.columns(asset.time)] = True
        asset_high[asset.asset_id, plant.columns(asset.time)] = asset.score >= ALARM
        top[asset.asset_id, plant.columns(asset.time)] = np.argmax(np.nan_to_num(asset.contribution, nan=-1.0), axis=1)
    return [
        _watched(
            run,
            settled[number],
            np.vstack([high[plant.asset_of == number], asset_high[number]]),
            np.vstack([known[plant.asset_of == number], asset_known[number]]),
            top[number],
            _findings(run, plant.assets[number], found),
        )
        for number, run in enumerate(runs)
    ]


class _Plant:
    """Runs as assets of one plant: sensors are numbered asset by asset, state sensors after all others."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = runs
        self._step_us = int(runs[0].time[1] - runs[0].time[0])
        self._first = int(runs[0].time[0])
        self.rows_a_day = max(_DAY_US // self._step_us, 1)
        counts = [len(run.points) for run in runs]
        begins = np.concatenate([[0], np.cumsum(counts)]).tolist()
        self.assets: Mapping[int, tuple[int, ...]] = {
            number: tuple(range(begins[number], begins[number + 1])) for number in range(len(runs))
        }
        self.asset_of = np.repeat(np.arange(len(runs)), counts)
        self.sensor_ids = np.arange(begins[-1], dtype=np.int32)
        self._states = begins[-1] + np.arange(len(runs))
        self.state_of = dict(enumerate(self._states[self.asset_of].tolist()))
        points = [point for run in runs for point in run.points]
        self.machine_side = {number: _SIDES[point.unit] for number, point in enumerate(points) if point.unit in _SIDES}

    def columns(self, time: Times) -> npt.NDArray[np.int64]:
        """Positions of these times in the time of the runs."""
        return (time - self._first) // self._step_us

    def readings(self, begin: int) -> ReadingBatch:
        """A day of all runs in order of time; the states first, as a controller tells them."""
        rows = slice(begin, begin + self.rows_a_day)
        value = np.vstack(
            [np.vstack([run.state[rows] for run in self._runs]), *(run.value[:, rows] for run in self._runs)]
        )
        quality = np.vstack(
            [np.zeros((len(self._runs), value.shape[1]), np.int16), *(run.quality[:, rows] for run in self._runs)]
        )
        ids = np.concatenate([self._states, self.sensor_ids]).astype(np.int32)
        time = np.broadcast_to(self._runs[0].time[rows][:, None], value.T.shape)
        sent = np.isfinite(value.T)
        return ReadingBatch.of(time[sent], np.broadcast_to(ids, value.T.shape)[sent], value.T[sent], quality.T[sent])


def alarms_of(time: Times, high: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Alarms of one score: raised when it stayed high for the delay, over when it stayed low for it, as by the rules
    that `detectors: auto` makes.

    Args:
        high: the score is an anomaly, by instant.
        known: there is a score; what is not known changes nothing.
    """
    at = np.flatnonzero(known)
    edges = np.flatnonzero(np.diff(high[at].astype(np.int8), prepend=0, append=0))
    delay = round(ANOMALY_DELAY_S * 1e6)
    found: list[tuple[int, int]] = []
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        raised = int(time[at[begin]]) + delay
        over = int(time[at[end]]) if end < at.size else int(time[-1])
        if found and int(time[at[begin]]) < found[-1][1]:
            # It was not low for long enough to be over.
            found[-1] = (found[-1][0], over + delay)
        elif over > raised:
            found.append((raised, over + delay))
    return found


def episodes(alarms: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Alarms of several scores as the stories of one asset: those that overlap or follow soon are one."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(alarms):
        if merged and begin <= merged[-1][1] + round(_QUIET_S * 1e6):
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def _watched(
    run: Run,
    settled: npt.NDArray[np.bool_],
    high: npt.NDArray[np.bool_],
    known: npt.NDArray[np.bool_],
    top: npt.NDArray[np.int8],
    findings: tuple[Finding, ...],
) -> Watched:
    learned_at = int(run.time[0]) + round(LEARNING_D * _DAY_US)
    spans = [(span, row) for row in range(high.shape[0]) for span in alarms_of(run.time, high[row], known[row])]
    # One alarm a machine, on the score of all its sensors together: what `detectors: auto` makes.
    of_score = [each for each in spans if each[1] == len(run.points)]
    alarms = []
    for begin, end in episodes([span for span, _ in of_score]):
        blamed = _blamed(run, begin, [each for each in of_score if begin <= each[0][0] <= begin + 1], top)
        alarms.append(
            Alarm(begin=begin, end=end, sensors=frozenset(blamed), is_sensor=_put_down(begin, blamed, findings))
        )
    after = settled & (run.time >= learned_at)
    return Watched(
        run=run,
        learned_at=learned_at,
        alarms=tuple(alarms),
        of_sensors=tuple(episodes([span for span, row in spans if row < len(run.points)])),
        findings=findings,
        running=settled,
        known=float((known.any(axis=0) & after).sum() / max(after.sum(), 1)),
    )


def _blamed(run: Run, begin: int, raised: Sequence[tuple[tuple[int, int], int]], top: npt.NDArray[np.int8]) -> set[str]:
    """Points that an alarm is about when it begins."""
    rows = {row for _, row in raised}
    if len(run.points) in rows:
        rows.discard(len(run.points))
        rows.add(int(top[np.searchsorted(run.time, begin) - 1]))
    return {run.points[row].name for row in rows if 0 <= row < len(run.points)}


def _put_down(begin: int, blamed: set[str], findings: Sequence[Finding]) -> bool:
    """Whether the alarm is put down to sensors within a day of its begin."""
    until = begin + round(_QUIET_S * 1e6)
    names = sorted({each.point for each in findings} | blamed)
    standing = {names.index(each.point): each.kind for each in findings if each.begin <= until and each.end > begin}
    return is_sensor(standing, {names.index(point): 1 / len(blamed) for point in blamed})


def _findings(run: Run, ids: Sequence[int], found: Sequence[tuple[int, int, int]]) -> tuple[Finding, ...]:
    spans: list[Finding] = []
    last = int(run.time[-1])
    for place, point in zip(ids, run.points, strict=True):
        told = [(time, kind) for sensor, time, kind in found if sensor == place]
        for (begin, kind), (end, _) in pairwise([*told, (last, 0)]):
            if kind != SensorFault.NONE:
                spans.append(Finding(point=point.name, kind=SensorFault(kind), begin=begin, end=end))
    return tuple(sorted(spans, key=lambda each: (each.begin, each.point)))


def usable_values(run: Run) -> npt.NDArray[np.float64]:
    """(points, instants) values; NaN where nothing was sent, or what was sent is no value."""
    return np.where(usable(run.quality), run.value, np.nan)
