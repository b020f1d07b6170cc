"""Vibration of bearings: which part is damaged, from geometry and shaft speed alone; and ISO severity, exactly."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.signal
from scipy.stats import kurtosis

from models.vibration.analyser import Analyser, Analysis
from models.vibration.bearings import catalogue
from models.vibration.diagnosis import Fault, Verdict, diagnose, diagnose_recording
from models.vibration.machine import MachineSpec
from models.vibration.spectrum import velocity_rms
from precursor.assessment.drawings import Curves, Drawing, Line
from precursor.assessment.recordings import HEALTHY, Recording, read_recordings, read_snapshots
from precursor.assessment.report import Assessment, Figure
from precursor.assessment.synthetic_vibration import bearing_signal
from rules.iso_20816 import UNIT, ZONES, Zones
from telemetry.errors import ConfigurationError
from telemetry.units import UnitError, conversion

__all__ = ["assess", "iso_zone"]

Row = npt.NDArray[np.float64]

_PARTS = {
    Fault.BEARING_OUTER: "outer",
    Fault.BEARING_INNER: "inner",
    Fault.BEARING_BALL: "ball",
    Fault.BEARING_CAGE: "cage",
}
_CLASSES = (HEALTHY, "inner", "outer", "ball")
_UNKNOWN = "unknown"
_BLOCK_S = 1.0
_RECORDING_S = 2.0
"""blocks that a whole recording is named from, each from the middle of the one before: lines twice as close are told
apart, and none of the recording is lost to the window"""
_PLAIN_KURTOSIS = 3.5
"""of the plain baseline: above it a bearing counts as damaged"""
_SNRS_DB = (-25.0, -20.0, -15.0, -10.0, -5.0, 0.0, 5.0)
_SYNTHETIC = 10
"""blocks a part and noise level"""
_SYNTHETIC_HEALTHY = 60
_FEMTO_HZ = 25_600.0
_FEMTO_BAND_HZ = (60.0, 1000.0)
"""of velocity in a block of 0.1 s: 10 Hz is one period"""

_ABOUT = (
    "`models.vibration` with its defaults: squared envelopes of 1 to 15 bands of a block, the first four lines of each"
    " fault frequency within 1.5 % slip, against what noise makes in one of 10,000 blocks and what the block itself"
    " shows where no fault is. Figures of blocks are of single ones of 1 s. A recording is cut into blocks of 2 s,"
    " overlapping by half; it has a fault if most of them have, and which one is read from the mean of their spectra."
    " Nothing is learned from recordings; notch, slip and the vote of blocks were chosen with these recordings and"
    " synthetic ones in view, so their own figures are no proof. That an element is named where both rings are struck"
    " alike was thought of when looking at one of them (CWRU, ball, 0.007 in, no load), whose ball shows no line of its"
    " own."
)
_NOTES = (
    "`kurtosis`: damaged, and then of the outer ring, where kurtosis is over 3.5.",
    "`random` draws one of four names; `always_outer` says the same of all.",
    "Synthetic blocks are of bearings of the catalogue other than those recorded, with 1 % random slip.",
)
_WEAKNESSES = (
    "Two damaged rings of like strength are taken for a ball.",
    "Of a ball whose own lines are missing only blows on both rings tell; there a single block is often not enough.",
    "Blocks with fewer than four turns of the cage, and unknown speeds, are not judged.",
    "A fault frequency within two bins of a multiple of the shaft speed needs longer blocks.",
)


def assess(folder: Path, *, seed: int, watch: Callable[[str], None]) -> Assessment:
    """Name the damage in all recordings below a folder.

    Raises:
        ConfigurationError: no recordings there.
    """
    recordings = read_recordings(folder)
    judged = [each for each in recordings if each.truth is not None]
    truths = [str(each.truth) for each in judged]
    if not judged:
        raise ConfigurationError(
            f"no recording in {str(folder)!r} says by its name what is damaged: inner, outer, ball"
        )
    blocks: list[list[str]] = []
    named: list[str] = []
    evidence: dict[str, Any] = {}
    for each in judged:
        watch(each.name)
        name, verdict = _name(each)
        of_blocks = [_bearing_name(diagnose(one)) for one in _blocks(each, _BLOCK_S, steps=1)[1]]
        named.append(name)
        blocks.append(of_blocks)
        evidence[each.name] = {"truth": each.truth, "named": name, "blocks": Counter(of_blocks), **_told(verdict)}
    random = np.random.default_rng(seed)
    drawn = [str(random.choice(_CLASSES)) for _ in truths]
    plain = ["outer" if kurtosis(each.samples, fisher=False) > _PLAIN_KURTOSIS else HEALTHY for each in judged]
    baselines = {"always_outer": ["outer"] * len(truths), "random": drawn, "kurtosis": plain}
    figures = [
        Figure.aimed(
            f"named_{kind}",
            _share(truths, named, kind),
            at_least=1.0,
            baselines={title: _share(truths, other, kind) for title, other in baselines.items()},
        )
        for kind in _CLASSES
        if kind in truths
    ]
    of_all = [(truth, name) for truth, names in zip(truths, blocks, strict=True) for name in names]
    figures.extend(
        Figure(name=f"blocks_named_{kind}", value=_share([t for t, _ in of_all], [n for _, n in of_all], kind))
        for kind in _CLASSES
        if kind in truths
    )
    watch("ISO zones")
    figures.append(Figure.aimed("iso_zone_error", _iso_zone_error(), at_most=0.01))
    watch("synthetic bearings")
    synthetic, false_share = _synthetic(seed)
    figures.append(Figure(name="synthetic_false_share", value=false_share))
    watch("robustness")
    details: dict[str, Any] = {
        "recordings": evidence,
        "confusion": _confusion(truths, named),
        "confusion_of_blocks": _confusion([t for t, _ in of_all], [n for _, n in of_all]),
        "not_judged": [each.name for each in recordings if each.truth is None],
        "robustness": _robustness(judged, seed),
        "synthetic_named_right_by_snr_db": {
            part: dict(zip(map(str, _SNRS_DB), shares, strict=True)) for part, shares in synthetic.items()
        },
    }
    snapshots = dict(_snapshots(folder))
    if snapshots:
        details["snapshots"] = {name: figures_of for name, (figures_of, _) in snapshots.items()}
    return Assessment(
        dataset="waveforms",
        title="Bearing faults by name from vibration",
        figures=tuple(figures),
        about=_ABOUT,
        data=(
            f"{len(judged)} recordings of {', '.join(f'{count} {kind}' for kind, count in Counter(truths).items())};"
            f" {len(of_all)} blocks of {_BLOCK_S:g} s."
        ),
        notes=_NOTES,
        weaknesses=_WEAKNESSES,
        missed=tuple(
            f"{each.name}: {each.truth}, taken for {name}"
            for each, name in zip(judged, named, strict=True)
            if each.truth != name
        ),
        details=details,
        drawings=_drawings(synthetic, snapshots),
    )


def iso_zone(velocity: float, unit: str, zones: Zones) -> str:
    """A, B, C or D of ISO 20816-3.

    Raises:
        ConfigurationError: the unit is not of velocity; zones of severity are, and g is never compared with mm/s.
    """
    try:
        factor, _ = conversion(unit, UNIT)
    except UnitError as error:
        raise ConfigurationError(
            f"zones of ISO 20816 are RMS velocities in {UNIT}, and {unit} is none: take velocity_rms ({error})"
        ) from error
    limits = (zones.a_b, zones.b_c, zones.c_d)
    return "ABCD"[sum(velocity * factor > limit for limit in limits)]


def _iso_zone_error() -> float:
    """How far the boundary at which the zone of a synthetic machine changes is from the table, at most, as a share.

    Sums of two sines, of which the power is known, at each boundary of each group; frequencies off all bins.
    """
    rate_hz, frequencies = 25_600.0, (24.37, 391.83)
    time = np.arange(round(rate_hz)) / rate_hz
    worst = 0.0
    for zones in ZONES.values():
        for limit in (zones.a_b, zones.b_c, zones.c_d):
            acceleration = sum(
                limit / 1000 * math.tau * frequency * np.sin(math.tau * frequency * time + frequency)
                for frequency in frequencies
            )
            measured = velocity_rms(np.asarray(acceleration), rate_hz, "m/s^2")
            worst = max(worst, abs(measured / limit - 1))
            if iso_zone(measured * 1.01, UNIT, zones) == iso_zone(measured * 0.99, UNIT, zones):
                worst = math.inf
    return worst


def _name(recording: Recording, seconds: float = _RECORDING_S) -> tuple[str, Verdict]:
    """Of the recording, and why."""
    analyser, analyses = _blocks(recording, seconds, steps=2)
    verdict = diagnose_recording(analyser, analyses)
    return _bearing_name(verdict), verdict


def _blocks(recording: Recording, seconds: float, steps: int) -> tuple[Analyser, list[Analysis]]:
    """Of blocks of this length, so many begin in the time of one."""
    count = min(round(seconds * recording.sample_rate_hz), recording.samples.size)
    analyser = Analyser(recording.sample_rate_hz, count, recording.machine)
    begins = range(0, recording.samples.size - count + 1, count // steps)
    return analyser, [analyser.analyse(recording.samples[begin : begin + count], "g") for begin in begins]


def _bearing_name(verdict: Verdict) -> str:
    """Faults of shafts are not what these recordings are labelled by."""
    if Fault.BEARING_OUTER not in verdict.looked_for:
        return _UNKNOWN
    return next((_PARTS[each.fault] for each in verdict.faults if each.fault in _PARTS), HEALTHY)


def _told(verdict: Verdict) -> dict[str, Any]:
    return {
        "evidence": [
            {"fault": str(each.fault), "severity": each.severity}
            | {line.name: f"{line.frequency_hz:.2f} Hz, {line.amplitude:.3g} {line.unit}" for line in each.evidence}
            for each in verdict.faults
        ]
    }


def _share(truths: Sequence[str], named: Sequence[str], kind: str) -> float:
    """Of those that are of this kind, how many are named so."""
    of_kind = [name == kind for truth, name in zip(truths, named, strict=True) if truth == kind]
    return float(np.mean(of_kind)) if of_kind else math.nan


def _confusion(truths: Sequence[str], named: Sequence[str]) -> dict[str, dict[str, int]]:
    pairs = Counter(zip(truths, named, strict=True))
    return {
        truth: {name: pairs[truth, name] for name in (*_CLASSES, "cage", _UNKNOWN) if pairs[truth, name]}
        for truth in dict.fromkeys(truths)
    }


def _robustness(judged: Sequence[Recording], seed: int) -> dict[str, dict[str, dict[str, int]]]:
    """Confusion of the same recordings under what should not matter much."""
    random = np.random.default_rng(seed)

    def confusion(change: Callable[[Recording], Recording], seconds: float = _RECORDING_S) -> dict[str, dict[str, int]]:
        changed = [change(each) for each in judged]
        return _confusion([str(each.truth) for each in changed], [_name(each, seconds)[0] for each in changed])

    def altered(recording: Recording, samples: Row, rate_hz: float) -> Recording:
        return Recording(
            name=recording.name,
            samples=samples,
            sample_rate_hz=rate_hz,
            machine=recording.machine,
            truth=recording.truth,
        )

    def noisy(recording: Recording) -> Recording:
        noise = recording.samples.std() * random.standard_normal(recording.samples.size)
        return altered(recording, recording.samples + noise, recording.sample_rate_hz)

    def slower(recording: Recording) -> Recording:
        resampled = scipy.signal.resample_poly(recording.samples, 7, 8)
        return altered(recording, resampled, recording.sample_rate_hz * 7 / 8)

    def later(recording: Recording) -> Recording:
        half = round(recording.sample_rate_hz / 2)
        return altered(recording, recording.samples[half:], recording.sample_rate_hz)

    return {
        "half_second_later": confusion(later),
        "blocks_of_half_a_second": confusion(lambda each: each, 0.5),
        "noise_as_loud_as_the_signal": confusion(noisy),
        "sampled_at_7_8_of_the_rate": confusion(slower),
    }


def _synthetic(seed: int) -> tuple[dict[str, list[float]], float]:
    """Share of blocks named right by part and SNR, and share of noise that is named anything."""
    random = np.random.default_rng(seed)
    rate_hz = 25_600.0
    bearings = [catalogue()[name] for name in ("ZA-2115 Rexnord", "UER204 LDK")]
    speeds = (33.3, 23.7)
    machines = [MachineSpec(speed_hz=hz, bearings=(one,)) for hz, one in zip(speeds, bearings, strict=True)]
    analysers = [Analyser(rate_hz, round(rate_hz), machine) for machine in machines]

    def names(part: str | None, snr_db: float, number: int) -> list[str]:
        found = []
        for place in range(number):
            analyser = analysers[place % len(analysers)]
            machine = analyser.machine
            hz = float(machine.speed_hz or 0.0) * (1 + random.uniform(-0.005, 0.005))
            samples = bearing_signal(
                random, part, machine.bearings[0], speed_hz=hz, sample_rate_hz=rate_hz, seconds=1.0, snr_db=snr_db
            )
            found.append(_bearing_name(diagnose(analyser.analyse(samples, "m/s^2"))))
        return found

    shares = {
        part: [float(np.mean([name == part for name in names(part, snr_db, _SYNTHETIC)])) for snr_db in _SNRS_DB]
        for part in ("outer", "inner", "ball")
    }
    return shares, float(np.mean([name != HEALTHY for name in names(None, 0.0, _SYNTHETIC_HEALTHY)]))


def _snapshots(folder: Path) -> Iterable[tuple[str, tuple[dict[str, float], dict[str, Row]]]]:
    """How features of short blocks grow towards the end of a life: last tenth over first half, medians."""
    for name, rows in read_snapshots(folder):
        if len(rows) < 10:
            continue
        machine = MachineSpec(bands_hz=((1000.0, 5000.0),))
        analyser = Analyser(_FEMTO_HZ, rows[0][1].shape[0], machine)
        series: dict[str, list[float]] = {"time_s": [], "acceleration_rms": [], "kurtosis": [], "velocity_rms": []}
        for time_s, samples in rows:
            if samples.shape[0] != analyser.count:
                continue
            found = analyser.features(np.ascontiguousarray(samples[:, 0]), "g")
            series["time_s"].append(time_s)
            series["acceleration_rms"].append(found["acceleration_rms"][0])
            series["kurtosis"].append(found["kurtosis"][0])
            low_hz, high_hz = _FEMTO_BAND_HZ
            series["velocity_rms"].append(velocity_rms(samples[:, 0], _FEMTO_HZ, "g", low_hz=low_hz, high_hz=high_hz))
        columns = {key: np.array(values) for key, values in series.items()}
        yield name, ({key: _growth(values) for key, values in columns.items() if key != "time_s"}, columns)


def _growth(values: Row) -> float:
    return float(np.median(values[-max(3, values.size // 10) :]) / np.median(values[: values.size // 2]))


def _drawings(
    synthetic: Mapping[str, Sequence[float]], snapshots: Mapping[str, tuple[dict[str, float], dict[str, Row]]]
) -> tuple[Drawing, ...]:
    return (
        Curves(
            name="synthetic_by_snr",
            title="Synthetic bearings: blocks of 1 s named right",
            x="signal to noise, dB",
            y="share",
            lines=tuple(
                Line(name=part, x=np.array(_SNRS_DB), y=np.array(shares)) for part, shares in synthetic.items()
            ),
        ),
        *(
            Curves(
                name=_file_name(name),
                title=f"{name}: features of snapshots over their median in the first half",
                x="time, s",
                y="ratio",
                lines=tuple(
                    Line(name=key, x=columns["time_s"], y=values / np.median(values[: values.size // 2]))
                    for key, values in columns.items()
                    if key != "time_s"
                ),
            )
            for name, (_, columns) in snapshots.items()
        ),
    )


def _file_name(name: str) -> str:
    """As a file may be called: a-z, 0-9 and _."""
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower())
