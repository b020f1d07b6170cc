"""Faults named from one block of samples, and none where there is none."""

import math

import numpy as np
import pytest

from models.vibration.analyser import Analyser
from models.vibration.bearings import Bearing, bearing
from models.vibration.blows import Part
from models.vibration.diagnosis import Fault, diagnose, diagnose_recording
from models.vibration.machine import MachineSpec
from precursor.assessment.synthetic_vibration import bearing_signal

RATE_HZ, COUNT = 25_600.0, 25_600
SPEED_HZ = 24.6
TIME_S = np.arange(COUNT) / RATE_HZ
GEARED = MachineSpec(speed_hz=SPEED_HZ, gear_teeth=(31,))
OWN = Bearing(designation="own", elements=10, element_diameter_mm=9.0, pitch_diameter_mm=49.0, contact_angle_deg=15)
BEARINGS = (bearing("PRONOSTIA"), bearing("ZA-2115 Rexnord"), bearing("UER204 LDK"), OWN)
FAULT = {"outer": Fault.BEARING_OUTER, "inner": Fault.BEARING_INNER, "ball": Fault.BEARING_BALL}


def velocity_line(order: float, rms_mm_s: float, speed_hz: float = SPEED_HZ) -> np.ndarray:
    """m/s² of a line whose velocity is known."""
    frequency_hz = order * speed_hz
    return rms_mm_s * math.sqrt(2) / 1000 * math.tau * frequency_hz * np.sin(math.tau * frequency_hz * TIME_S + order)


def found(samples: np.ndarray, machine: MachineSpec = GEARED) -> dict[Fault, float]:
    noise = 0.05 * np.random.default_rng(2).standard_normal(COUNT)
    verdict = diagnose(Analyser(RATE_HZ, COUNT, machine).analyse(samples + noise, "m/s^2"))
    return {each.fault: each.severity for each in verdict.faults}


def mesh(amplitude: float, sidebands: float) -> np.ndarray:
    lines = [(31.0, amplitude), *((31.0 + beside, sidebands) for beside in (-2, -1, 1, 2))]
    waves = [rms * np.sin(math.tau * order * SPEED_HZ * TIME_S + order) for order, rms in lines]
    return np.asarray(np.sum(waves, axis=0))


@pytest.mark.parametrize(
    ("lines", "fault", "severity"),
    [
        ({1: 5.6, 2: 0.5}, Fault.UNBALANCE, 2.0),
        ({1: 3.0, 2: 4.0}, Fault.MISALIGNMENT, 5 / 2.8),
        ({1: 4.0, 2: 2.0, 3: 2.0, 4: 1.5, 5: 1.0, 6: 1.0}, Fault.LOOSENESS, math.sqrt(24.25) / 2.8),
        ({0.5: 2.0, 1: 4.0, 1.5: 2.0, 2.5: 1.0}, Fault.LOOSENESS, 5 / 2.8),
    ],
    ids=["unbalance", "misalignment", "harmonics", "half orders"],
)
def test_faults_of_the_shaft_are_named_with_their_velocity_over_the_limit(
    lines: dict[float, float], fault: Fault, severity: float
) -> None:
    samples = np.sum([velocity_line(order, rms) for order, rms in lines.items()], axis=0)
    assert found(samples) == {fault: pytest.approx(severity, rel=0.02)}


def test_a_machine_within_its_limit_has_no_fault_and_was_looked_at() -> None:
    samples = velocity_line(1, 1.5) + velocity_line(2, 0.9) + mesh(2.0, 0.2)
    assert found(samples) == {}
    verdict = diagnose(Analyser(RATE_HZ, COUNT, GEARED).analyse(samples, "m/s^2"))
    assert verdict.looked_for == {Fault.UNBALANCE, Fault.MISALIGNMENT, Fault.LOOSENESS, Fault.GEAR}


def test_a_gear_is_named_by_sidebands_larger_than_its_mesh() -> None:
    assert found(velocity_line(1, 0.5) + mesh(2.0, 1.5)) == {Fault.GEAR: pytest.approx(1.5, rel=0.02)}
    assert found(velocity_line(1, 0.5) + mesh(2.0, 0.5)) == {}


def test_nothing_known_of_a_machine_is_no_verdict_of_health() -> None:
    samples = np.random.default_rng(0).standard_normal(COUNT)
    assert diagnose(Analyser(RATE_HZ, COUNT, MachineSpec()).analyse(samples, "g")).looked_for == frozenset()
    short = Analyser(RATE_HZ, 2560, GEARED).analyse(samples[:2560], "g")
    assert diagnose(short).looked_for == frozenset()


@pytest.mark.parametrize("part", ["outer", "inner", "ball"])
@pytest.mark.parametrize("one", BEARINGS, ids=lambda one: one.designation)
def test_a_damaged_part_is_named_in_most_blocks_with_its_frequency(part: str, one: Bearing) -> None:
    random = np.random.default_rng(len(one.designation))
    machine = MachineSpec(speed_hz=29.3, bearings=(one,))
    analyser = Analyser(RATE_HZ, COUNT, machine)
    right = 0
    for _ in range(6):
        samples = bearing_signal(random, part, one, speed_hz=29.3, sample_rate_hz=RATE_HZ, seconds=1.0, snr_db=-5.0)
        faults = diagnose(analyser.analyse(samples, "g")).faults
        if faults and faults[0].fault is FAULT[part]:
            right += 1
            order = {"outer": one.bpfo, "inner": one.bpfi, "ball": 2 * one.bsf}[part]
            name = {"outer": "BPFO", "inner": "BPFI", "ball": "2 BSF"}[part]
            shown = {line.name: line for line in faults[0].evidence}
            assert shown[name].frequency_hz == pytest.approx(order * 29.3, rel=0.03)
            assert faults[0].severity >= 1
            assert faults[0].bearing == one.designation
    assert right >= 4


def test_noise_and_machines_full_of_lines_have_healthy_bearings() -> None:
    random = np.random.default_rng(8)
    machine = MachineSpec(speed_hz=29.3, bearings=(bearing("UER204 LDK"),), gear_teeth=(23,))
    analyser = Analyser(RATE_HZ, COUNT, machine)
    named = 0
    for number in range(40):
        samples = random.standard_normal(COUNT)
        if number % 2:
            orders = [1, 2, 3, *(23 * mesh + beside for mesh in (1, 2, 3) for beside in range(-3, 4))]
            for order in orders:
                samples += random.uniform(0, 1) * np.sin(math.tau * order * 29.35 * TIME_S + random.uniform(0, 6))
        named += any(each.bearing for each in diagnose(analyser.analyse(samples, "m/s^2")).faults)
    assert named <= 1


def test_strong_tones_in_all_bands_hide_no_fault_and_fake_none() -> None:
    one = bearing("UER204 LDK")
    random = np.random.default_rng(3)
    analyser = Analyser(RATE_HZ, COUNT, MachineSpec(speed_hz=29.3, bearings=(one,)))
    named: dict[str | None, int] = {"outer": 0, "inner": 0, None: 0}
    for part in named:
        for _ in range(6):
            samples = bearing_signal(random, part, one, speed_hz=29.3, sample_rate_hz=RATE_HZ, seconds=1.0, snr_db=-8.0)
            for _ in range(12):
                # As strong as ten times the power of the noise, all of it.
                samples += 4.5 * np.sin(math.tau * random.uniform(500, 12_000) * TIME_S + random.uniform(0, math.tau))
            faults = [each.fault for each in diagnose(analyser.analyse(samples, "g")).faults if each.bearing]
            named[part] += bool(faults) and (part is None or faults[0] is FAULT[part])
    assert min(named["outer"], named["inner"]) >= 5
    assert named[None] == 0


def test_a_loud_gear_whose_sidebands_are_multiples_of_the_speed_fakes_no_fault() -> None:
    # 9x lies 1 % from the inner ring's lines, 3x 2.7 % from the other's outer ring's.
    named = 0
    for one in (bearing("ZA-2115 Rexnord"), bearing("UER204 LDK")):
        analyser = Analyser(RATE_HZ, COUNT, MachineSpec(speed_hz=29.3, bearings=(one,)))
        for seed in range(6):
            random = np.random.default_rng(seed)
            samples = random.standard_normal(COUNT)
            for order in (23 * mesh + beside for mesh in (1, 2, 3) for beside in range(-3, 4)):
                samples += 10 * random.uniform() * np.sin(math.tau * order * 29.3 * TIME_S + random.uniform(0, 6))
            named += any(each.bearing for each in diagnose(analyser.analyse(samples, "g")).faults)
    assert named <= 1


def test_blows_on_both_rings_alike_are_an_elements() -> None:
    one = OWN
    signals = [
        bearing_signal(
            np.random.default_rng(seed), part, one, speed_hz=29.3, sample_rate_hz=RATE_HZ, seconds=1.0, snr_db=0.0
        )
        for seed, part in ((4, "outer"), (5, "inner"))
    ]
    analyser = Analyser(RATE_HZ, COUNT, MachineSpec(speed_hz=29.3, bearings=(one,)))
    alone = diagnose(analyser.analyse(signals[0], "g")).faults[0]
    both = diagnose(analyser.analyse(signals[0] + signals[1], "g")).faults[0]
    assert (alone.fault, both.fault) == (Fault.BEARING_OUTER, Fault.BEARING_BALL)


def test_a_weak_blow_on_the_other_ring_makes_no_ball_of_a_damaged_ring() -> None:
    analyser = Analyser(RATE_HZ, COUNT, MachineSpec(speed_hz=29.3, bearings=(OWN,)))
    for seed in range(4):
        inner, outer = (
            bearing_signal(
                np.random.default_rng(seed + number),
                part,
                OWN,
                speed_hz=29.3,
                sample_rate_hz=RATE_HZ,
                seconds=1.0,
                snr_db=snr_db,
            )
            for number, (part, snr_db) in enumerate((("inner", 5.0), ("outer", -8.0)))
        )
        faults = diagnose(analyser.analyse(inner + outer, "g")).faults
        assert faults[0].fault is Fault.BEARING_INNER, seed


def test_lines_of_the_cage_are_an_elements_where_its_own_are_there_however_weak() -> None:
    analyser = Analyser(RATE_HZ, COUNT, MachineSpec(speed_hz=29.3, bearings=(OWN,)))

    def lines(order: float, depth: float) -> np.ndarray:
        waves = [np.cos(math.tau * multiple * order * 29.3 * TIME_S + multiple) for multiple in range(1, 5)]
        return np.asarray(depth * np.sum(waves, axis=0))

    named = {}
    for depth in (0.0, 0.03):
        noise = (np.random.default_rng(seed).standard_normal(COUNT) for seed in range(6))
        blocks = [one * (1 + lines(OWN.ftf, 0.15) + lines(2 * OWN.bsf, depth)) for one in noise]
        readings = [analyser.analyse(samples, "g").bearings[0] for samples in blocks]
        named[depth] = [each.named for each in readings if each.families[Part.BALL].score < 1]
    assert named[0.0] == [Part.CAGE] * 6
    assert named[0.03].count(Part.BALL) >= 2


def test_a_recording_is_named_by_most_of_its_blocks() -> None:
    one = bearing("UER204 LDK")
    random = np.random.default_rng(1)
    analyser = Analyser(RATE_HZ, COUNT, MachineSpec(speed_hz=29.3, bearings=(one,)))
    struck, calm = (
        [
            analyser.analyse(
                bearing_signal(random, part, one, speed_hz=29.3, sample_rate_hz=RATE_HZ, seconds=1.0, snr_db=0.0),
                "g",
            )
            for _ in range(3)
        ]
        for part in ("outer", None)
    )
    assert [each.fault for each in diagnose_recording(analyser, struck).faults] == [Fault.BEARING_OUTER]
    assert diagnose_recording(analyser, [*struck[:2], *calm]).faults == ()
    with pytest.raises(ValueError, match="one block at least"):
        diagnose_recording(analyser, [])
