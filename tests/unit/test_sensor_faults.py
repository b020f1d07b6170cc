"""Sensor faults: each is found on its sensor, machines that change are let alone, and batches do not matter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest

from models.sensor_faults import SensorFault, SensorFaults, SensorFindings, is_sensor
from telemetry.batch import ReadingBatch
from telemetry.errors import StateError
from telemetry.quality import Quality

Values = npt.NDArray[np.float64]

ASSETS = {1: (11, 12, 13, 14, 15, 16), 2: (21, 22)}
STEP_US = 60_000_000
LEARNED = 60 * 26
"""instants"""
COUNT = 60 * 50
HOURS = 20


@dataclass(slots=True)
class Signals:
    """Six sensors that follow one load, all a little differently, and two others; COUNT instants."""

    value: Values
    quality: npt.NDArray[np.int16]
    running: npt.NDArray[np.bool_]
    sensors: Sequence[int] = field(default=(*ASSETS[1], *ASSETS[2]))

    @classmethod
    def healthy(cls, seed: int = 1) -> "Signals":
        rng = np.random.default_rng(seed)
        at = np.arange(COUNT)
        load = 1 + 0.1 * np.sin(at / 230) + 0.05 * np.sin(at / 97)
        gains = np.array([2.0, 50.0, 100.0, 4.0, 30.0, 55.0, 10.0, 20.0])[:, None]
        value = gains * (1 + np.array([0.5, 0.4, 1, -0.3, 0.8, 0.4, 0, 1])[:, None] * (load - 1))
        value *= 1 + 0.004 * rng.standard_normal(value.shape)
        quality = np.zeros(value.shape, np.int16)
        return cls(value=np.round(value / 0.01) * 0.01, quality=quality, running=np.ones(COUNT, np.bool_))

    def batch(self, begin: int = 0, end: int = COUNT) -> tuple[ReadingBatch, npt.NDArray[np.bool_]]:
        """Readings of these instants by sensor and time; NaN: none."""
        end = min(end, COUNT)
        value = self.value[:, begin:end]
        sent = np.isfinite(value)
        time = np.broadcast_to(STEP_US * np.arange(begin, end), value.shape)
        ids = np.broadcast_to(np.array(self.sensors)[:, None], value.shape)
        batch = ReadingBatch.of(time[sent], ids[sent], value[sent], self.quality[:, begin:end][sent])
        return batch, np.broadcast_to(self.running[begin:end], value.shape)[sent]

    def row(self, sensor: int) -> int:
        return self.sensors.index(sensor)


def detector(**settings: int) -> SensorFaults:
    return SensorFaults(ASSETS, machine_side={11: 1, 16: -1}, hours=HOURS, **settings)


def found(signals: Signals) -> dict[int, SensorFault]:
    """Everything that was found, the last word for each sensor."""
    findings = detector().fold(*signals.batch())
    return {
        int(sensor): SensorFault(int(kind))
        for sensor, kind in zip(findings.sensor_id, findings.kind, strict=True)
        if kind != SensorFault.NONE
    }


def stuck(signals: Signals, sensor: int) -> None:
    row = signals.row(sensor)
    signals.value[row, LEARNED + 300 :] = signals.value[row, LEARNED + 300]


def drifts(signals: Signals, sensor: int, part: float = 0.15) -> None:
    row = signals.row(sensor)
    passed = np.arange(COUNT - LEARNED) / (COUNT - LEARNED)
    signals.value[row, LEARNED:] *= 1 + part * passed


def spikes(signals: Signals, sensor: int) -> None:
    signals.value[signals.row(sensor), LEARNED + 100 :: 120] *= 1.5


def drops_out(signals: Signals, sensor: int) -> None:
    row = signals.row(sensor)
    for begin in range(LEARNED + 100, COUNT, 200):
        signals.value[row, begin : begin + 30] = np.nan


def turns_bad(signals: Signals, sensor: int) -> None:
    row = signals.row(sensor)
    for begin in range(LEARNED + 100, COUNT, 200):
        signals.quality[row, begin : begin + 30] = Quality.BAD


@pytest.mark.parametrize("sensor", [15])
@pytest.mark.parametrize(
    ("breaks", "kind"),
    [
        (stuck, SensorFault.STUCK),
        (drifts, SensorFault.DRIFT),
        (spikes, SensorFault.SPIKES),
        (drops_out, SensorFault.DROPOUT),
        (turns_bad, SensorFault.DROPOUT),
    ],
)
def test_a_fault_is_found_on_its_sensor_alone(
    breaks: Callable[[Signals, int], None], kind: SensorFault, sensor: int
) -> None:
    signals = Signals.healthy()
    breaks(signals, sensor)
    assert found(signals) == {sensor: kind}


def more_load(signals: Signals) -> None:
    # Beyond what was learned, and all sensors say so.
    rise = 1 + 0.3 * np.arange(COUNT - LEARNED) / (COUNT - LEARNED)
    gains = np.array([0.5, 0.4, 1, -0.3, 0.8, 0.4, 0, 1])[:, None]
    signals.value[:, LEARNED:] *= 1 + gains * (rise - 1)


def wear(signals: Signals) -> None:
    # Vibration alone rises, and its noise with it.
    rng = np.random.default_rng(5)
    rise = np.geomspace(1, 5, COUNT - LEARNED)
    signals.value[0, LEARNED:] *= rise * (1 + 0.02 * (rise - 1) * rng.standard_normal(rise.size))


def heat(signals: Signals) -> None:
    # Two sensors of six: what both say is the machine.
    rise = np.linspace(0, 20, COUNT - LEARNED)
    signals.value[1, LEARNED:] += rise
    signals.value[5, LEARNED:] += 0.6 * rise


def stands(signals: Signals) -> None:
    # A stop that nobody told of: several sensors show the same for hours.
    signals.value[:5, LEARNED + 500 : LEARNED + 1000] = np.array([0.05, 20.0, 0.0, 1.1, 0.0])[:, None]


def rests(signals: Signals) -> None:
    signals.value[:, LEARNED + 500 : LEARNED + 1000] = 0.0
    signals.running[LEARNED + 500 : LEARNED + 1000] = False


def gateway_is_silent(signals: Signals) -> None:
    for begin in range(LEARNED + 100, COUNT, 200):
        signals.value[:, begin : begin + 60] = np.nan


def one_spike(signals: Signals) -> None:
    signals.value[2, LEARNED + 700] *= 2


def setpoint(signals: Signals) -> None:
    signals.value[3] = 4.0


def coarse(signals: Signals) -> None:
    # A thermometer with a resolution of two degrees.
    signals.value[1] = np.round(signals.value[1] / 2) * 2


@pytest.mark.parametrize(
    "happens",
    [lambda _: None, more_load, wear, heat, stands, rests, gateway_is_silent, one_spike, setpoint, coarse],
    ids=lambda each: each.__name__.strip("<>"),
)
def test_what_is_no_sensor_fault_is_not_found(happens: Callable[[Signals], None]) -> None:
    signals = Signals.healthy()
    happens(signals)
    assert found(signals) == {}


def test_what_leaves_the_others_to_the_side_of_machine_faults_is_no_drift() -> None:
    for sensor, part in ((11, 0.5), (16, -0.15)):
        signals = Signals.healthy()
        drifts(signals, sensor, part)
        assert found(signals) == {}
        signals = Signals.healthy()
        drifts(signals, sensor, -part)
        assert found(signals) == {sensor: SensorFault.DRIFT}


def test_a_finding_ends_when_the_sensor_is_mended() -> None:
    signals = Signals.healthy()
    row = signals.row(12)
    signals.value[row, LEARNED + 300 : LEARNED + 600] = signals.value[row, LEARNED + 300]
    faults = detector()
    findings = faults.fold(*signals.batch())
    assert findings.kind.tolist() == [SensorFault.STUCK, SensorFault.NONE]
    begin, end = (findings.time / STEP_US - LEARNED).tolist()
    assert 300 < begin < 340
    assert 600 < end < 640
    assert faults.standing == {}


def all_at_once() -> Signals:
    signals = Signals.healthy()
    stuck(signals, 12)
    spikes(signals, 13)
    drops_out(signals, 21)
    drifts(signals, 15)
    signals.running[LEARNED + 200 : LEARNED + 400] = False
    return signals


def rows(findings: Sequence[SensorFindings]) -> list[tuple[int, int, int, float]]:
    return [
        row
        for each in findings
        for row in zip(
            each.time.tolist(), each.sensor_id.tolist(), each.kind.tolist(), each.score.tolist(), strict=True
        )
    ]


@pytest.mark.parametrize("size", [3, 61])
def test_how_the_stream_is_cut_changes_nothing(size: int) -> None:
    signals = all_at_once()
    begin = 0 if size > 50 else LEARNED + 390  # every reading alone takes its time
    one, other = detector(), detector()
    together = rows([one.fold(*signals.batch())])
    parts = [other.fold(*signals.batch(0, begin))] if begin else []
    last = COUNT if size > 50 else LEARNED + 500
    parts += [other.fold(*signals.batch(at, min(at + size, last))) for at in range(begin, last, size)]
    cut = rows(parts)
    assert cut
    assert cut == together[: len(cut)]
    if last == COUNT:
        assert cut == together
        assert one.snapshot() == other.snapshot()


def test_a_restart_continues_exactly() -> None:
    signals = all_at_once()
    whole, before = detector(), detector()
    for begin in range(0, COUNT, 500):
        whole.fold(*signals.batch(begin, begin + 500))
    cut = LEARNED + 833
    before.fold(*signals.batch(0, cut))
    after = detector()
    after.restore(before.snapshot())
    after.fold(*signals.batch(cut, COUNT))
    assert after.standing == whole.standing != {}
    assert after.snapshot() == whole.snapshot()


def test_a_snapshot_of_another_plant_fits_where_assets_have_the_same_sensors() -> None:
    signals = all_at_once()
    before = detector()
    before.fold(*signals.batch())
    after = SensorFaults({1: ASSETS[1], 2: (22, 21, 23), 3: (31, 32)}, machine_side={11: 1, 16: -1}, hours=HOURS)
    after.restore(before.snapshot())
    assert after.standing == {sensor: kind for sensor, kind in before.standing.items() if sensor in ASSETS[1]}
    with pytest.raises(StateError):
        after.restore(b"no state")


def test_the_state_does_not_grow() -> None:
    signals = all_at_once()
    faults = detector()
    faults.fold(*signals.batch(0, 10))
    small = len(faults.snapshot())
    faults.fold(*signals.batch(10, COUNT))
    assert len(faults.snapshot()) == small


def test_after_a_new_baseline_all_is_learned_anew() -> None:
    signals = Signals.healthy()
    stuck(signals, 12)
    drifts(signals, 15)
    faults = detector()
    faults.fold(*signals.batch())
    assert set(faults.standing) == {12, 15}
    faults.rebaseline(np.array([12, 15, 99], np.int32))
    assert faults.standing == {}
    later, running = signals.batch(COUNT - 400, COUNT)
    moved = ReadingBatch.of(later.time + 400 * STEP_US, later.sensor_id, later.value, later.quality)
    assert len(faults.fold(moved, running)) == 0


def test_readings_that_come_again_or_late_are_passed_over() -> None:
    signals = all_at_once()
    one, other = detector(), detector()
    one.fold(*signals.batch())
    for begin in range(0, COUNT, 720):
        other.fold(*signals.batch(max(begin - 300, 0), begin + 720))
    assert other.standing == one.standing


def test_values_that_are_none_and_an_offset_change_nothing() -> None:
    signals = all_at_once()
    expected = found(signals)
    assert len(expected) == 4
    signals.value += 1e6
    assert found(signals) == expected
    batch, running = signals.batch()
    wild = ReadingBatch.of(
        np.append(batch.time, batch.time[-1:] + 1),
        np.append(batch.sensor_id, batch.sensor_id[-1:]),
        np.append(batch.value, np.nan),
        np.append(batch.quality, np.int16(0)),
    )
    assert len(detector().fold(wild, np.append(running, True))) > 0


def test_readings_of_other_sensors_and_sensors_given_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="99"):
        detector().fold(ReadingBatch.of([0], [99], [1.0]))
    with pytest.raises(ValueError, match="twice"):
        SensorFaults({1: (1, 2), 2: (2, 3)})
    assert len(SensorFaults({}).fold(ReadingBatch.empty())) == 0


@pytest.mark.parametrize(
    ("standing", "contribution", "expected"),
    [
        ({}, {11: 1.0}, False),
        ({11: SensorFault.STUCK}, {11: 1.0}, True),
        ({11: SensorFault.DRIFT}, {11: 0.6, 12: 0.4}, True),
        ({11: SensorFault.DRIFT}, {11: 0.4, 12: 0.6}, False),
        ({11: SensorFault.DRIFT}, {}, False),
    ],
)
def test_an_anomaly_is_a_sensors_where_faulty_sensors_are_most_of_it(
    standing: dict[int, SensorFault], contribution: dict[int, float], expected: bool
) -> None:
    assert is_sensor(standing, contribution) is expected
