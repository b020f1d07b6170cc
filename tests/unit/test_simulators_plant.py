"""The simulated plant: reproducible, healthy where it should be, failing as its labels say."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain, islice

import numpy as np
import numpy.typing as npt
import pytest

from simulators.plant import SENSORS, SimulatedPlant, Tick
from telemetry.errors import ConfigurationError

START = datetime(2026, 11, 21, tzinfo=UTC)
HEALTHY = SimulatedPlant(start=START, duration_s=86_400, interval_s=60, fault_asset=None)
FAILING = replace(HEALTHY, fault_asset="P-101")


def series(plant: SimulatedPlant, sensor: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Seconds since the start, and values, of a numeric sensor."""
    pairs = [
        ((tick.at - plant.start).total_seconds(), reading.value)
        for tick in plant.ticks()
        for reading in tick.readings
        if reading.sensor == sensor
    ]
    table = np.array(pairs, dtype=np.float64)
    return table[:, 0], table[:, 1]


def states(plant: SimulatedPlant, asset: str) -> list[tuple[datetime, float | str]]:
    return [
        (tick.at, reading.value)
        for tick in plant.ticks()
        for reading in tick.readings
        if reading.sensor == f"{asset}.state"
    ]


def changes(reports: list[tuple[datetime, float | str]]) -> list[tuple[datetime, float | str]]:
    return [report for i, report in enumerate(reports) if i == 0 or report[1] != reports[i - 1][1]]


def test_seventeen_sensors_report_and_no_other() -> None:
    first = next(HEALTHY.ticks())
    assert len(SENSORS) == 17
    assert sorted(reading.sensor for reading in first.readings) == sorted(sensor.name for sensor in SENSORS)


def test_same_seed_gives_the_same_readings_however_they_are_read() -> None:
    def in_chunks(ticks: Iterator[Tick], size: int) -> list[Tick]:
        chunks = iter(lambda: list(islice(ticks, size)), [])
        return list(chain.from_iterable(chunks))

    at_once = list(FAILING.ticks())
    other = replace(FAILING).ticks()
    next(replace(FAILING).ticks())  # another iterator on its way must not disturb
    assert in_chunks(other, 7) == at_once
    assert in_chunks(FAILING.ticks(), 251) == at_once
    assert len(at_once) == FAILING.tick_count == 1440


def test_another_seed_gives_other_readings() -> None:
    assert next(replace(HEALTHY, seed=8).ticks()) != next(HEALTHY.ticks())


def test_a_fault_changes_neither_other_assets_nor_the_time_before_its_onset() -> None:
    onset_at = FAILING.faults[0].onset_at
    for healthy, failing in zip(HEALTHY.ticks(), FAILING.ticks(), strict=True):
        rest = [r for r in failing.readings if not r.sensor.startswith("P-101") or failing.at < onset_at]
        assert rest == [r for r in healthy.readings if not r.sensor.startswith("P-101") or healthy.at < onset_at]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("sensor", "low", "high"),
    [
        ("P-101.vib_de", 1.4, 2.2),
        ("P-101.vib_nde", 1.15, 1.85),
        ("P-101.temp_de", 45, 65),
        ("P-101.flow", 98, 142),
        ("P-101.pressure", 3.8, 4.6),
        ("F-201.vib_de", 0.95, 1.45),
        ("F-201.vib_nde", 0.78, 1.22),
        ("F-201.temp_de", 38, 58),
        ("F-201.current", 26, 36),
    ],
)
def test_healthy_assets_stay_in_their_bands(sensor: str, low: float, high: float, seed: int) -> None:
    _, values = series(replace(HEALTHY, seed=seed), sensor)
    assert values.min() > low
    assert values.max() < high


def test_flow_follows_the_load_and_pressure_goes_against_it() -> None:
    _, flow = series(HEALTHY, "P-101.flow")
    _, pressure = series(HEALTHY, "P-101.pressure")
    assert np.corrcoef(flow, pressure)[0, 1] < -0.8


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("asset", ["P-101", "P-102", "F-201"])
def test_wear_grows_past_the_danger_limit_before_functional_failure(asset: str, seed: int) -> None:
    plant = replace(HEALTHY, fault_asset=asset, seed=seed)
    (fault,) = plant.faults
    assert (fault.asset, fault.failure_mode) == (asset, "bearing_wear")
    at, drive_end = series(plant, f"{asset}.vib_de")
    _, other_end = series(plant, f"{asset}.vib_nde")
    onset_s = (fault.onset_at - START).total_seconds()
    failure_s = (fault.functional_failure_at - START).total_seconds()
    assert [onset_s, failure_s] == pytest.approx([0.45 * 86_400, 0.85 * 86_400])
    hours = [
        drive_end[(at >= begin) & (at < begin + 3600)].mean() for begin in np.arange(onset_s, failure_s - 3600, 3600)
    ]
    assert np.all(np.diff(hours) > 0)
    last_minutes = (at >= failure_s - 600) & (at < failure_s)
    assert drive_end[last_minutes].min() > 7.1
    assert drive_end[(at > 0) & (at < onset_s)].max() < 2.2
    assert 2.5 < other_end[last_minutes].mean() < 5


def test_temperature_rises_later_than_vibration() -> None:
    at, vibration = series(FAILING, "P-101.vib_de")
    _, temperature = series(FAILING, "P-101.temp_de")
    _, vibration_healthy = series(HEALTHY, "P-101.vib_de")
    _, temperature_healthy = series(HEALTHY, "P-101.temp_de")
    failure_s = 0.85 * 86_400
    grown = at[vibration > 1.5 * vibration_healthy][0]
    heated = at[temperature > temperature_healthy + 3][0]
    assert 0.45 * 86_400 < grown < heated < failure_s
    before_failure = (at > failure_s - 600) & (at < failure_s)
    assert (temperature - temperature_healthy)[before_failure].mean() > 15


def test_functional_failure_brings_the_failed_state_and_no_flow_to_the_end() -> None:
    (fault,) = FAILING.faults
    assert [state for _, state in changes(states(FAILING, "P-101"))] == ["running", "failed"]
    assert changes(states(FAILING, "P-101"))[1][0] == fault.functional_failure_at
    at, flow = series(FAILING, "P-101.flow")
    _, vibration = series(FAILING, "P-101.vib_de")
    down = at >= (fault.functional_failure_at - START).total_seconds()
    assert flow[down].max() == 0
    assert vibration[down].max() < 0.1
    assert flow[~down].min() > 98


def test_a_repair_makes_the_asset_run_like_new() -> None:
    plant = replace(FAILING, onset=0.2, pf_interval=0.2, repair_s=7200)
    (fault,) = plant.faults
    assert fault.repaired_at == fault.functional_failure_at + timedelta(hours=2)
    history = changes(states(plant, "P-101"))
    assert [state for _, state in history] == ["running", "failed", "running"]
    assert history[2][0] == fault.repaired_at
    at, vibration = series(plant, "P-101.vib_de")
    assert vibration[at >= (fault.repaired_at - START).total_seconds()].max() < 2.2


def test_onset_and_interval_can_be_given_in_seconds() -> None:
    (fault,) = replace(FAILING, onset=3600, pf_interval=7200).faults
    assert fault.onset_at == START + timedelta(hours=1)
    assert fault.functional_failure_at == START + timedelta(hours=3)


def test_the_planned_stop_is_short_and_no_fault() -> None:
    stop = HEALTHY.planned_stop
    assert stop == (START + timedelta(hours=6), START + timedelta(hours=6, minutes=30))
    history = changes(states(HEALTHY, "P-102"))
    assert [state for _, state in history] == ["running", "stopped", "running"]
    assert (history[1][0], history[2][0]) == stop
    at, flow = series(HEALTHY, "P-102.flow")
    _, vibration = series(HEALTHY, "P-102.vib_de")
    stopped = (at >= 6 * 3600) & (at < 6.5 * 3600)
    assert flow[stopped].max() == 0
    assert vibration[stopped].max() < 0.1
    assert vibration[~stopped].min() > 1.4
    assert HEALTHY.faults == ()


def test_without_stop_and_fault_all_assets_run_all_the_time() -> None:
    plant = replace(HEALTHY, stop_asset=None)
    assert plant.planned_stop is None
    assert {state for asset in ("P-101", "P-102", "F-201") for _, state in states(plant, asset)} == {"running"}


def test_state_is_sent_every_minute_and_when_it_changes() -> None:
    plant = replace(FAILING, interval_s=10, duration_s=3600, onset=100, pf_interval=1415)
    moments = [(at - START).total_seconds() for at, _ in states(plant, "P-101")]
    before = [second for second in moments if second < 1515]
    assert before == list(range(0, 1515, 60))
    assert 1520 in moments  # the first tick after functional failure
    assert max(np.diff(moments)) <= 60


def test_every_sensor_reports_at_every_interval() -> None:
    plant = replace(HEALTHY, interval_s=10, duration_s=100)
    moments = [tick.at for tick in plant.ticks() if any(r.sensor == "F-201.current" for r in tick.readings)]
    assert moments == [START + timedelta(seconds=10 * i) for i in range(10)]


def test_event_time_is_utc_whatever_the_zone_of_the_start() -> None:
    there = replace(HEALTHY, start=START.astimezone(timezone(timedelta(hours=5))))
    first = next(there.ticks())
    assert first.at.tzinfo is UTC
    assert first == next(HEALTHY.ticks())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"start": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001 - the case is a naive datetime
        ({"duration_s": 0.0}, "duration"),
        ({"interval_s": -1.0}, "interval"),
        ({"pf_interval": 0.0}, "P-F interval"),
        ({"repair_s": float("nan")}, "repair"),
        ({"onset": -0.1}, "onset"),
        ({"fault_asset": "P-999"}, "P-101, P-102, F-201"),
        ({"stop_asset": "X"}, "P-101, P-102, F-201"),
        ({"fault_mode": "gremlins"}, "bearing_wear"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_wrong_arguments_are_named(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        SimulatedPlant(**{"start": START, "duration_s": 3600.0, **arguments})  # type: ignore[arg-type] # wrong on purpose
