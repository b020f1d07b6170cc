"""Simulated machines: determined by their seed, healthy where labels say so, and each fault with its signature."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pytest

from simulators.conditions import Conditions, Profile, conditions, generator
from simulators.faults import (
    FAULTS,
    FaultKind,
    FaultPlan,
    Law,
    MachineKind,
    SensorFaultKind,
    SensorFaultPlan,
    severity,
)
from simulators.machines import MACHINES
from simulators.runs import Run, Scenario, draw_scenario, simulate
from simulators.suite import suite
from telemetry.errors import ConfigurationError
from telemetry.plant import AssetState
from telemetry.quality import Quality

START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
PUMP = Scenario(
    asset="P-1",
    machine=MachineKind.PUMP,
    profile=Profile.STEADY,
    start=START,
    duration_s=10 * 86_400.0,
    interval_s=300.0,
    seed=5,
)


def fault(kind: FaultKind, law: Law = Law.LINEAR) -> FaultPlan:
    return FaultPlan(
        kind=kind,
        law=law,
        onset_at=START + 3 * DAY,
        functional_failure_at=START + 8 * DAY,
        repaired_at=START + 9 * DAY,
    )


def sensor_fault(kind: SensorFaultKind, point: str = "flow", amount: float = 0.2) -> SensorFaultPlan:
    return SensorFaultPlan(point=point, kind=kind, begins_at=START + 3 * DAY, ends_at=START + 7 * DAY, amount=amount)


def column(run: Run, point: str) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = run.value[[each.name for each in run.points].index(point)]
    return values


def days(run: Run) -> npt.NDArray[np.float64]:
    passed: npt.NDArray[np.float64] = (run.time - run.time[0]) / 86_400e6
    return passed


def test_a_run_is_determined_by_its_scenario() -> None:
    one, other = simulate(PUMP), simulate(replace(PUMP))
    np.testing.assert_array_equal(one.value, other.value)
    assert not np.array_equal(one.value, simulate(replace(PUMP, seed=6)).value)


@pytest.mark.parametrize("kind", FaultKind)
def test_before_its_onset_a_fault_changes_nothing(kind: FaultKind) -> None:
    machine = min(FAULTS[kind].machines)
    scenario = replace(PUMP, machine=machine)
    healthy, failing = simulate(scenario), simulate(replace(scenario, fault=fault(kind)))
    before = days(healthy) <= 3
    np.testing.assert_array_equal(failing.value[:, before], healthy.value[:, before])
    assert not np.array_equal(failing.value, healthy.value)


UP, DOWN = 1, -1
SIGNATURES = [
    (MachineKind.PUMP, FaultKind.BEARING_INNER, {"vib_de": UP, "vib_nde": UP, "temp_de": UP}, "flow"),
    (MachineKind.FAN, FaultKind.BEARING_OUTER, {"vib_de": UP, "vib_nde": UP, "temp_de": UP}, "flow"),
    (MachineKind.MOTOR, FaultKind.UNBALANCE, {"vib_de": UP, "vib_nde": UP}, "temp_de"),
    (MachineKind.GEARBOX, FaultKind.MISALIGNMENT, {"vib_de": UP, "temp_de": UP}, "speed"),
    (MachineKind.PUMP, FaultKind.CAVITATION, {"vib_de": UP, "flow": DOWN, "pressure": DOWN}, "temp_de"),
    (MachineKind.MOTOR, FaultKind.OVERHEATING, {"temp_de": UP, "temp_nde": UP, "temp_winding": UP}, "vib_de"),
    (MachineKind.GEARBOX, FaultKind.OVERHEATING, {"temp_oil": UP, "oil_pressure": DOWN}, "vib_de"),
    (MachineKind.FAN, FaultKind.CLOGGED_FILTER, {"filter_dp": UP, "flow": DOWN, "pressure": DOWN}, "vib_nde"),
    (MachineKind.PUMP, FaultKind.CLOGGED_FILTER, {"suction": DOWN, "flow": DOWN, "pressure": DOWN}, "vib_nde"),
    (MachineKind.PUMP, FaultKind.SEAL_LEAK, {"flow": DOWN, "pressure": DOWN, "current": UP}, "temp_nde"),
    (MachineKind.GEARBOX, FaultKind.GEAR_WEAR, {"vib_de": UP, "vib_nde": UP, "temp_oil": UP}, "speed"),
]


@pytest.mark.parametrize(
    ("machine", "kind", "moves", "stays"),
    SIGNATURES,
    ids=[f"{kind} of a {machine}" for machine, kind, _, _ in SIGNATURES],
)
def test_a_fault_shows_where_physics_says(
    machine: MachineKind, kind: FaultKind, moves: dict[str, int], stays: str
) -> None:
    scenario = replace(PUMP, machine=machine)
    healthy, failing = simulate(scenario), simulate(replace(scenario, fault=fault(kind)))
    late = (days(healthy) > 7.5) & (days(healthy) < 8) & (healthy.state == AssetState.RUNNING)
    usual = healthy.state == AssetState.RUNNING

    def moved(point: str) -> float:
        difference = column(failing, point)[late].mean() - column(healthy, point)[late].mean()
        return float(difference / column(healthy, point)[usual].std())

    for point, sign in moves.items():
        assert sign * moved(point) > 2, point
    assert abs(moved(stays)) < 3


@pytest.mark.parametrize(
    "kind", [FaultKind.BEARING_INNER, FaultKind.BEARING_OUTER, FaultKind.UNBALANCE, FaultKind.MISALIGNMENT]
)
@pytest.mark.parametrize("law", Law)
def test_vibration_is_in_zone_d_at_functional_failure_and_not_half_way(kind: FaultKind, law: Law) -> None:
    run = simulate(replace(PUMP, fault=fault(kind, law)))
    vibration, at = column(run, "vib_de"), days(run)
    assert vibration[(at > 7.9) & (at < 8)].mean() > 7.1
    assert vibration[(at > 5.4) & (at < 5.6)].mean() < 5.5


def test_unbalance_grows_with_the_square_of_speed() -> None:
    # Vibration of damage alone: the healthy part goes away as a sum of energies.
    def born(demand: float) -> float:
        at = Conditions(
            running=np.ones(100, np.bool_), demand=np.full(100, demand), controlled=True, ambient_c=np.full(100, 20.0)
        )
        squares = [
            MACHINES[MachineKind.FAN].measure(
                at, damage, interval_s=60.0, specimen=generator(1, "a"), rng=generator(1, "b")
            )["vib_de"][0]
            ** 2
            for damage in ({FaultKind.UNBALANCE: np.ones(100)}, {})
        ]
        return float(np.sqrt(squares[0] - squares[1]))

    assert born(1.0) / born(0.5) == pytest.approx(4.0, rel=1e-6)


@pytest.mark.parametrize("machine", MachineKind)
@pytest.mark.parametrize("profile", Profile)
def test_healthy_machines_stay_within_what_is_plausible(machine: MachineKind, profile: Profile) -> None:
    run = simulate(replace(PUMP, machine=machine, profile=profile, duration_s=20 * 86_400.0))
    at_work = run.state == AssetState.RUNNING
    assert 0.3 < at_work.mean() <= 1
    assert np.isfinite(run.value).all()
    assert column(run, "vib_de")[at_work].max() < 4.5
    assert column(run, "vib_de")[~at_work].max(initial=0) < 0.2
    assert column(run, "temp_de").max() < 75
    assert column(run, "current")[~at_work].max(initial=0) == 0
    assert (run.quality == Quality.GOOD).all()
    for point, values in zip(run.points, run.value, strict=True):
        steps = values / point.resolution
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)


def test_flow_and_pressure_lie_on_the_pump_curve() -> None:
    run = simulate(replace(PUMP, profile=Profile.STEPS))
    at_work = run.state == AssetState.RUNNING
    flow, head = column(run, "flow")[at_work] / 120, column(run, "pressure")[at_work] / 4.2
    np.testing.assert_allclose(head, 1.25 - 0.25 * flow**2, atol=0.05)
    assert np.ptp(flow) > 0.2


def test_temperature_lags_behind_a_start_and_vibration_does_not() -> None:
    run = simulate(replace(PUMP, profile=Profile.PRODUCTION, interval_s=60.0, duration_s=2 * 86_400.0))
    start = np.flatnonzero(np.diff(run.state) == 1)[0] + 1
    assert column(run, "vib_de")[start + 1] > 0.8
    warm = column(run, "temp_de")[start + 300]
    assert column(run, "temp_de")[start + 5] < column(run, "temp_de")[start + 60] < warm


def test_after_functional_failure_the_machine_is_down_until_repaired_and_then_as_new() -> None:
    run = simulate(replace(PUMP, fault=fault(FaultKind.BEARING_INNER)))
    at = days(run)
    assert (run.state[(at >= 8) & (at < 9)] == AssetState.FAILED).all()
    assert [state for _, state in run.states if state is AssetState.FAILED] == [AssetState.FAILED]
    healthy = simulate(PUMP)
    np.testing.assert_array_equal(run.damage[at >= 9], 0)
    np.testing.assert_array_equal(column(run, "vib_de")[at >= 9], column(healthy, "vib_de")[at >= 9])


@pytest.mark.parametrize("law", Law)
def test_damage_grows_from_nothing_to_functional_failure(law: Law) -> None:
    grown = severity(law, np.linspace(0, 1, 101))
    assert (grown[0], grown[-1]) == (0, pytest.approx(1))
    assert (np.diff(grown) > 0).all()
    assert (grown[50] < 0.25) == (law is Law.EXPONENTIAL)


@pytest.mark.parametrize("kind", SensorFaultKind)
def test_a_sensor_fault_is_in_its_sensor_and_its_time_alone(kind: SensorFaultKind) -> None:
    healthy, odd = simulate(PUMP), simulate(replace(PUMP, sensor_faults=(sensor_fault(kind),)))
    flow = [point.name for point in odd.points].index("flow")
    during = (days(odd) >= 3) & (days(odd) < 7)
    np.testing.assert_array_equal(np.delete(odd.value, flow, axis=0), np.delete(healthy.value, flow, axis=0))
    np.testing.assert_array_equal(odd.value[:, ~during], healthy.value[:, ~during])
    assert not np.array_equal(odd.value[flow], healthy.value[flow]) or (odd.quality[flow] == Quality.BAD).any()


def test_each_sensor_fault_is_what_it_is_called() -> None:
    def flow(kind: SensorFaultKind) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int16]]:
        run = simulate(replace(PUMP, sensor_faults=(sensor_fault(kind),)))
        during = (days(run) >= 3) & (days(run) < 7)
        row = [point.name for point in run.points].index("flow")
        return run.value[row, during], column(simulate(PUMP), "flow")[during], run.quality[row, during]

    value, _, _ = flow(SensorFaultKind.STUCK)
    assert np.unique(value).size == 1
    value, true, _ = flow(SensorFaultKind.DRIFT)
    assert value[-1] - true[-1] == pytest.approx(0.2 * 120, rel=0.02)
    assert value[0] - true[0] == pytest.approx(0, abs=0.2)
    value, true, _ = flow(SensorFaultKind.SPIKES)
    assert 5 <= (np.abs(value - true) > 10).sum() <= 120
    value, _, quality = flow(SensorFaultKind.DROPOUT)
    assert 0.02 < (np.isnan(value) | (quality == Quality.BAD)).mean() < 0.6
    assert np.isnan(value).any()
    assert (quality == Quality.BAD).any()


def test_profiles_do_what_their_names_say() -> None:
    at_s = np.arange(0, 14 * 86_400.0, 300.0)

    def of(profile: Profile) -> Conditions:
        return conditions(profile, at_s, epoch_s=START.timestamp(), interval_s=300.0, seed=1)

    production = of(Profile.PRODUCTION)
    weekend = (at_s // 86_400) % 7 >= 5  # 2026-03-02 is a Monday
    assert not production.running[weekend].any()
    assert 0.6 < production.running[~weekend].mean() < 0.75
    steps = of(Profile.STEPS).demand
    assert (np.abs(np.diff(steps)) > 0.05).sum() < 60
    assert np.ptp(steps) > 0.15
    assert of(Profile.VARIABLE_SPEED).controlled
    assert of(Profile.STEADY).demand.std() < 0.06


def test_a_suite_has_every_fault_and_healthy_runs_and_depends_on_the_number_alone() -> None:
    scenarios = suite(60, seed=3)
    assert {each.fault.kind for each in scenarios if each.fault} == set(FaultKind)
    assert {each.sensor_faults[0].kind for each in scenarios if each.sensor_faults} == set(SensorFaultKind)
    assert sum(not each.fault and not each.sensor_faults for each in scenarios) == 18
    assert suite(20, seed=3) == scenarios[:20]
    assert all(
        START.replace(month=1, day=5) + 21 * DAY
        <= each.fault.onset_at
        < each.fault.functional_failure_at
        < each.start + timedelta(seconds=each.duration_s)
        for each in scenarios
        if each.fault
    )


def test_a_short_run_has_a_short_fault_inside_it() -> None:
    scenario = draw_scenario(asset="M", start=START, duration_s=7200, healthy_s=3000, seed=1, fault=FaultKind.UNBALANCE)
    assert scenario.fault is not None
    assert scenario.fault.repaired_at is not None
    assert scenario.fault.repaired_at < START + timedelta(seconds=7200)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: replace(PUMP, machine=MachineKind.MOTOR, fault=fault(FaultKind.SEAL_LEAK)),
            "a motor has no seal_leak",
        ),
        (lambda: replace(PUMP, sensor_faults=(sensor_fault(SensorFaultKind.STUCK, "torque"),)), "no point 'torque'"),
        (lambda: replace(PUMP, interval_s=0), "more than 0 s"),
        (lambda: replace(PUMP, duration_s=100), "no two readings"),
        (lambda: replace(PUMP, start=datetime(2026, 1, 1)), "no time zone"),  # noqa: DTZ001 (that is the mistake)
        (lambda: suite(3, seed=1, machines=[MachineKind.FAN], faults=[FaultKind.GEAR_WEAR]), "gear_wear is no fault"),
        (lambda: suite(0, seed=1), "one run or more"),
    ],
)
def test_what_cannot_be_simulated_is_refused(make: object, said: str) -> None:
    assert callable(make)
    with pytest.raises(ConfigurationError, match=said):
        make()
