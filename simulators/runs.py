"""Runs of one machine: everything it measured over weeks, and what was wrong with it when.

A run is determined by its `Scenario` alone. Noise, demand, surroundings and faults have random numbers of their own
each: a run with a fault has the readings of the healthy run bit for bit until the damage begins.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from simulators.conditions import Profile, conditions, generator
from simulators.faults import FAULTS, FaultKind, FaultPlan, MachineKind, SensorFaultKind, SensorFaultPlan, severity
from simulators.instruments import read_instrument
from simulators.machines import MACHINES, Point
from telemetry.batch import to_micros
from telemetry.errors import ConfigurationError
from telemetry.plant import AssetState

__all__ = ["Run", "Scenario", "draw_scenario", "simulate"]

_MICRO = timedelta(microseconds=1)
_PF_S = (3 * 86_400.0, 14 * 86_400.0)
_FAULT_PART = 0.8
"""of what a short run has after its healthy time, the P-F interval at most; repair comes after it"""
_REPAIR_S = 86_400.0
_SENSOR_FAULT_S = 7 * 86_400.0
"""until a broken sensor is replaced"""
_DRIFT = (0.12, 0.35)
_LOST_SENSITIVITY = (0.35, 0.7)
_SPIKE = (0.4, 1.5)
_STEADY = frozenset({"speed"})
"""points that hold still when all is well: that one is stuck would be seen by nobody"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is to be simulated.

    Raises:
        ConfigurationError: the machine cannot have the fault, or has no such point; or a time is impossible.
    """

    asset: str
    """name of the asset"""
    machine: MachineKind
    profile: Profile
    start: datetime
    """event time of the first readings, aware"""
    duration_s: float
    interval_s: float = 60.0
    """between readings of a sensor"""
    seed: int
    fault: FaultPlan | None = None
    sensor_faults: tuple[SensorFaultPlan, ...] = ()

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise ConfigurationError(f"start {self.start.isoformat()} has no time zone; write it with Z or an offset")
        if not self.interval_s > 0:
            raise ConfigurationError(f"the interval of a simulation is more than 0 s, not {self.interval_s:g}")
        if not self.duration_s > self.interval_s:
            raise ConfigurationError(
                f"a run of {self.duration_s:g} s has no two readings {self.interval_s:g} s apart; make it longer"
            )
        if self.fault is not None and self.machine not in FAULTS[self.fault.kind].machines:
            raise ConfigurationError(
                f"a {self.machine} has no {self.fault.kind}; it can have "
                + ", ".join(sorted(kind for kind, info in FAULTS.items() if self.machine in info.machines))
            )
        points = [point.name for point in MACHINES[self.machine].points]
        for each in self.sensor_faults:
            if each.point not in points:
                raise ConfigurationError(f"a {self.machine} has no point {each.point!r}; it has {', '.join(points)}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """What a simulated machine measured."""

    scenario: Scenario
    points: tuple[Point, ...]
    time: npt.NDArray[np.int64]
    """µs since 1970, shared by all points"""
    value: npt.NDArray[np.float64]
    """(points, instants), in the unit of the point; NaN: nothing was sent"""
    quality: npt.NDArray[np.int16]
    """(points, instants), a `telemetry.quality.Quality`"""
    state: npt.NDArray[np.int16]
    """(instants), an `AssetState`"""
    speed_hz: npt.NDArray[np.float64]
    """(instants), turns of the shaft a second; 0 at rest"""
    damage: npt.NDArray[np.float64]
    """(instants), 0 (healthy) to 1 (functional failure)"""

    @property
    def states(self) -> list[tuple[datetime, AssetState]]:
        """When the state changed, and to what; the first is the state at the start."""
        at = np.flatnonzero(np.diff(self.state, prepend=-1))
        start = self.scenario.start
        return [
            (start + int(self.time[i] - self.time[0]) * _MICRO, AssetState(int(self.state[i]))) for i in at.tolist()
        ]


def simulate(scenario: Scenario) -> Run:
    """The whole run at once."""
    step_us = round(scenario.interval_s * 1e6)
    count = int(np.ceil(scenario.duration_s / scenario.interval_s - 1e-9))
    first = to_micros(scenario.start)
    time = first + step_us * np.arange(count, dtype=np.int64)
    at_s = (time - first) / 1e6
    asked = conditions(scenario.profile, at_s, epoch_s=first / 1e6, interval_s=scenario.interval_s, seed=scenario.seed)
    damage, failed = _damage(scenario.fault, time)
    asked.running[failed] = False
    machine = MACHINES[scenario.machine]
    true = machine.measure(
        asked,
        {} if scenario.fault is None else {scenario.fault.kind: damage},
        interval_s=scenario.interval_s,
        specimen=generator(scenario.seed, "specimen"),
        rng=generator(scenario.seed, "machine"),
    )
    value = np.empty((len(machine.points), count))
    quality = np.empty((len(machine.points), count), np.int16)
    for row, point in enumerate(machine.points):
        value[row], quality[row] = read_instrument(
            point,
            true[point.name],
            time,
            [each for each in scenario.sensor_faults if each.point == point.name],
            noise=generator(scenario.seed, f"noise {point.name}"),
            fault_draws=generator(scenario.seed, f"sensor fault {point.name}"),
        )
    state = np.where(asked.running, AssetState.RUNNING, np.where(failed, AssetState.FAILED, AssetState.STOPPED))
    return Run(
        scenario=scenario,
        points=machine.points,
        time=time,
        value=value,
        quality=quality,
        state=state.astype(np.int16),
        speed_hz=true["speed"] / 60.0,
        damage=damage,
    )


def _damage(
    fault: FaultPlan | None, time: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Severity over time, and when the machine is down because of it."""
    if fault is None:
        return np.zeros(time.size), np.zeros(time.size, np.bool_)
    onset, failure = to_micros(fault.onset_at), to_micros(fault.functional_failure_at)
    passed = np.clip((time - onset) / (failure - onset), 0.0, 1.0)
    failed = time >= failure
    if fault.repaired_at is not None:
        repaired = time >= to_micros(fault.repaired_at)
        passed[repaired], failed[repaired] = 0.0, False
    return severity(fault.law, passed), failed


def draw_scenario(
    *,
    asset: str,
    start: datetime,
    duration_s: float,
    healthy_s: float,
    seed: int,
    interval_s: float = 60.0,
    machines: Mapping[MachineKind, float] | None = None,
    profile: Profile | None = None,
    fault: FaultKind | None = None,
    sensor_fault: SensorFaultKind | None = None,
) -> Scenario:
    """A scenario by chance: the machine, how it is used, and when its fault begins are drawn from the seed.

    Args:
        healthy_s: nothing is wrong before. P-F intervals are 3 to 14 days; shorter in runs that have no room for
            that, so that functional failure and repair lie inside.
        machines: kinds to choose from, with weights; None: all alike. Those that cannot have the fault fall out.
        profile: None: drawn.
        fault: the fault of the machine; None: it stays healthy.
        sensor_fault: the fault of one of its sensors; None: there is none.

    Raises:
        ConfigurationError: no machine among those given can have the fault.
    """
    rng = generator(seed, "scenario")
    weights = dict.fromkeys(MachineKind, 1.0) if machines is None else dict(machines)
    kinds = [kind for kind in weights if fault is None or kind in FAULTS[fault].machines]
    if not kinds:
        raise ConfigurationError(
            f"{fault} is no fault of a {' or '.join(weights)}; it can be had by a "
            + " or ".join(sorted(FAULTS[fault].machines) if fault is not None else [])
        )
    part = np.array([weights[kind] for kind in kinds])
    machine = kinds[int(rng.choice(len(kinds), p=part / part.sum()))]
    profiles = list(Profile)
    drawn = profiles[int(rng.integers(len(profiles)))]
    room_s = duration_s - healthy_s
    if room_s <= 0:
        raise ConfigurationError(f"a run of {duration_s:g} s has no room for a fault after {healthy_s:g} s without")
    longest_s = min(_PF_S[1], _FAULT_PART * room_s)
    begins_at = start + timedelta(seconds=healthy_s + float(rng.uniform(0, 1)) * max(room_s - _PF_S[1], 0.0))
    pf_s = float(rng.uniform(min(_PF_S[0], longest_s / 2), longest_s))
    return Scenario(
        asset=asset,
        machine=machine,
        profile=drawn if profile is None else profile,
        start=start,
        duration_s=duration_s,
        interval_s=interval_s,
        seed=seed,
        fault=None if fault is None else _fault_plan(fault, begins_at, pf_s, min(_REPAIR_S, 0.1 * room_s), rng),
        sensor_faults=()
        if sensor_fault is None
        else (_sensor_fault_plan(sensor_fault, machine, begins_at, min(_SENSOR_FAULT_S, 0.5 * room_s), rng),),
    )


def _fault_plan(
    kind: FaultKind, onset_at: datetime, pf_s: float, repair_s: float, rng: np.random.Generator
) -> FaultPlan:
    laws = FAULTS[kind].laws
    failure_at = onset_at + timedelta(seconds=pf_s)
    return FaultPlan(
        kind=kind,
        law=laws[int(rng.integers(len(laws)))],
        onset_at=onset_at,
        functional_failure_at=failure_at,
        repaired_at=failure_at + timedelta(seconds=repair_s),
    )


def _sensor_fault_plan(
    kind: SensorFaultKind, machine: MachineKind, begins_at: datetime, lasts_s: float, rng: np.random.Generator
) -> SensorFaultPlan:
    points = [point for point in MACHINES[machine].points if point.name not in _STEADY]
    point = points[int(rng.integers(len(points)))]
    sign = 1.0 if rng.random() < 0.5 else -1.0
    if kind is SensorFaultKind.SPIKES:
        amount = sign * float(rng.uniform(*_SPIKE))
    elif point.unit == "mm/s":
        amount = float(rng.uniform(*_LOST_SENSITIVITY))
    else:
        amount = sign * float(rng.uniform(*_DRIFT))
    return SensorFaultPlan(
        point=point.name,
        kind=kind,
        begins_at=begins_at,
        ends_at=begins_at + timedelta(seconds=lasts_s),
        amount=amount,
    )
