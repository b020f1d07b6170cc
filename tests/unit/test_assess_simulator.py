"""The assessment on simulated machines: what counts as an alarm, as detected and as false; and a small one whole."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.sensor_faults import SensorFault
from precursor.assessment.simulated import Finding, Watched, alarms_of, episodes
from precursor.assessment.simulator import _Sensors, _Tally, assess
from simulators.faults import FaultKind, SensorFaultKind
from simulators.runs import simulate
from simulators.suite import suite
from telemetry.batch import to_micros

STEP = 720_000_000
"""a fifth of the delay of automatic alarms"""
DAY = 120 * STEP
SCENARIOS = suite(2, seed=1, interval_s=3600.0, faults=[FaultKind.OVERHEATING, SensorFaultKind.STUCK])


def test_an_alarm_needs_a_score_that_stays_high_and_ends_when_it_stays_low() -> None:
    time = STEP * np.arange(60)
    high = np.zeros(60, np.bool_)
    high[3:6] = True  # too short
    high[10:20] = high[22:30] = True  # two steps of low are no end
    known = np.ones(60, np.bool_)
    known[13:15] = False
    assert alarms_of(time, high, known) == [(15 * STEP, 35 * STEP)]
    assert alarms_of(time, np.ones(60, np.bool_), known) == [(5 * STEP, 64 * STEP)]
    assert alarms_of(time, high, np.zeros(60, np.bool_)) == []


def test_alarms_that_follow_within_a_day_are_one_story() -> None:
    spans = [(0, 10), (5, 20), (DAY, DAY + 5), (3 * DAY, 3 * DAY + 1)]
    assert episodes(spans) == [(0, DAY + 5), (3 * DAY, 3 * DAY + 1)]


def watched(number: int, findings: tuple[Finding, ...] = ()) -> Watched:
    run = simulate(SCENARIOS[number])
    return Watched(
        run=run,
        learned_at=int(run.time[0]) + 14 * DAY,
        alarms=(),
        of_sensors=(),
        findings=findings,
        running=np.ones(run.time.size, np.bool_),
        known=1.0,
    )


def test_a_detection_begins_between_onset_and_functional_failure() -> None:
    run = watched(0)
    plan = run.run.scenario.fault
    assert plan is not None
    onset, failure = to_micros(plan.onset_at), to_micros(plan.functional_failure_at)
    half = (onset + failure) // 2
    tally = _Tally(leads=[])
    assert tally.take(run, [(onset - 3 * DAY, onset - 2 * DAY), (half, half + 1)]) == pytest.approx(0.5)
    assert (tally.detected, tally.false_alarms) == (1, 1)
    # One that stands since before the onset, or begins too late, has found nothing.
    assert tally.take(run, [(onset - DAY, failure)]) is None
    assert tally.take(run, [(failure, failure + 1)]) is None
    # In the learning days nothing is judged.
    assert tally.take(run, [(run.learned_at - DAY, run.learned_at - 1)]) is None
    assert (tally.faults, tally.detected, tally.false_alarms) == (4, 1, 2)
    assert tally.detected_part == 25
    assert tally.lead == 0
    assert tally.months == pytest.approx(4 * (onset - run.learned_at) / (365.25 / 12 * DAY))


def test_a_sensor_fault_is_recognised_on_its_sensor_and_in_its_time() -> None:
    plan = SCENARIOS[1].sensor_faults[0]
    begin = to_micros(plan.begins_at)
    counted = _Sensors()
    for point, at in ((plan.point, begin + DAY), ("speed", begin + DAY), (plan.point, begin - DAY)):
        counted.take(watched(1, (Finding(point=point, kind=SensorFault.STUCK, begin=at, end=at + DAY),)))
    assert (counted.faults, counted.found, counted.named, counted.false) == (3, 1, 1, 1)
    fault = SCENARIOS[0].fault
    assert fault is not None
    at = to_micros(fault.onset_at) + DAY
    counted.take(watched(0, (Finding(point="temp_de", kind=SensorFault.DRIFT, begin=at, end=at + 1),)))
    assert (counted.machine_faults, counted.taken_for_sensor) == (1, 1)


def test_a_small_assessment_has_every_figure_with_its_baselines(tmp_path: Path) -> None:
    told: list[str] = []
    assessment = assess(tmp_path, seed=4, watch=told.append, runs=6, interval_s=7200.0)
    figures = {figure.name: figure for figure in assessment.figures}
    assert {"faults_detected", "median_lead_of_pf", "false_alarms_per_100_asset_months"} <= set(figures)
    assert set(figures["faults_detected"].baselines) == {"always", "sensors_alone", "ewma_z", "iso_zone_c", "random"}
    assert figures["faults_detected"].baselines["always"] == 0
    assert figures["healthy_asset_months"].value > 1
    assert len(assessment.details["runs"]) == 6
    assert len(told) == 1
    json.dumps(assessment.as_json(), allow_nan=False)
