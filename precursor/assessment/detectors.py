"""The detectors of one sensor each, on made series with known faults: which is good for what.

Recorded data that could tell them apart, with a month of normal time before each fault, is not to be had. So the series
are made: noise of four kinds, and from a day known to us on one of three faults, or none. Sizes are in standard
deviations of the noise and the same for all; nothing is tuned to a detector.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from models.evaluation.baselines import always, by_chance, ewma_z
from models.evaluation.curves import average_precision, pooled, prevalence
from models.evaluation.events import EventFigures, Run, judge_events
from models.kinds import DETECTORS, build
from precursor.assessment.detection import detection_details, detection_drawings
from precursor.assessment.report import Assessment, Figure
from telemetry.batch import ReadingBatch

__all__ = ["assess"]

_STEP_S = 900.0
_DAY_ROWS = 96
_ROWS = 30 * _DAY_ROWS
_LEARNED = 14 * _DAY_ROWS
_ONSETS = (16 * _DAY_ROWS, 24 * _DAY_ROWS)
_EACH = 3
"""series of each noise and fault"""
_LOAD_ROWS = 12
"""between changes of the load, on average"""
_MERGE_S = 3600.0
"""readings come every quarter of an hour: an alarm that dips for one is the same alarm"""
_MONTH_H = 720.0
_NOISES = {
    "white": "independent from reading to reading",
    "wandering": "with a memory of some hours (AR(1), 0.9)",
    "daily": "independent, on a daily wave of three standard deviations",
    "loaded": "independent, on a level that follows a load, which changes every few hours, up to three either way",
}
_FAULTS = {
    "step": "a jump by 2 standard deviations",
    "drift": "half a standard deviation a day, without end",
    "spread": "noise of twice the size",
    "none": "nothing",
}

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Series:
    name: str
    noise: str
    fault: str
    value: Column
    load: Column
    """what a detector that asks for a context gets to know; it bears on the values of `loaded` noise alone"""
    label: npt.NDArray[np.bool_]

    def run(self, score: Column) -> Run:
        time_s = np.arange(_ROWS, dtype=np.float64) * _STEP_S
        return Run(name=self.name, time_s=time_s, score=score, label=self.label, train=_LEARNED)


def assess(folder: Path, *, seed: int, watch: Callable[[str], None]) -> Assessment:
    """Score the series by every kind of detector with its defaults. Needs no files.

    Args:
        folder: not looked at.
    """
    series = tuple(_made(seed))
    plain = [each.run(ewma_z(each.value[:, np.newaxis], _LEARNED)) for each in series]
    parts = []
    for kind in DETECTORS:
        watch(f"detectors: {kind} on {len(series)} series")
        parts.append(_part(kind, series, _scored(kind, series), plain, seed))
    return Assessment(
        dataset="detectors",
        title="Detectors of one sensor, compared on made series",
        about="Each kind of detector for one sensor, with its defaults. Limits are set by the detectors themselves.",
        data=_told(series),
        figures=tuple(
            replace(figure, name=f"{part.dataset.removeprefix('detector_')}_{figure.name}")
            for part in parts
            for figure in part.figures
            if figure.name in ("events_detected", "false_alarms_per_sensor_month", "median_delay")
        ),
        notes=("The series are made: they tell detectors apart, and say little about machines.",),
        parts=tuple(parts),
    )


def _made(seed: int) -> Iterator[_Series]:
    generator = np.random.default_rng(seed)
    for noise in _NOISES:
        for fault in _FAULTS:
            for number in range(1, _EACH + 1):
                onset = int(generator.integers(*_ONSETS))
                usual = generator.normal(size=_ROWS)
                changes = np.cumsum(generator.random(_ROWS) < 1 / _LOAD_ROWS)
                load = generator.uniform(-1, 1, changes[-1] + 1)[changes]
                if noise == "wandering":
                    # Scaled to a standard deviation of 1, and begun in the middle of it.
                    usual = lfilter([np.sqrt(1 - 0.81)], [1, -0.9], usual, zi=[0.9 * usual[0]])[0]
                since = np.clip(np.arange(_ROWS) - onset, 0, None) / _DAY_ROWS
                wrong = np.arange(_ROWS) >= onset
                match fault:
                    case "step":
                        usual += 2.0 * wrong
                    case "drift":
                        usual += 0.5 * since
                    case "spread":
                        usual[wrong] *= 2.0
                if noise == "daily":
                    usual += 3.0 * np.sin(np.arange(_ROWS) * 2 * np.pi / _DAY_ROWS)
                elif noise == "loaded":
                    usual += 3.0 * load
                yield _Series(
                    name=f"{noise}, {fault} {number}",
                    noise=noise,
                    fault=fault,
                    value=50.0 + usual,
                    load=60.0 + 20.0 * load,
                    label=wrong & (fault != "none"),
                )


def _scored(kind: str, series: Sequence[_Series]) -> list[Run]:
    ids = np.arange(1, len(series) + 1)
    detector = build(kind, [(int(number), {}) for number in ids])
    values = {int(number): each.value for number, each in zip(ids, series, strict=True)}
    if DETECTORS[kind].context:
        # As `models.streaming.context` makes them in the engine.
        values |= {int(~number): each.load for number, each in zip(ids, series, strict=True)}
    batch = ReadingBatch.of(
        np.tile(np.arange(_ROWS) * int(_STEP_S * 1e6), len(values)),
        np.repeat(list(values), _ROWS),
        np.concatenate(list(values.values())),
        np.zeros(_ROWS * len(values)),
    ).sorted()
    score = detector.score(batch)[batch.sensor_id >= 0]
    return [each.run(own) for each, own in zip(series, score.reshape(-1, _ROWS), strict=True)]


def _part(kind: str, series: Sequence[_Series], runs: Sequence[Run], plain: Sequence[Run], seed: int) -> Assessment:
    own, other = _judged(runs), _judged(plain)
    crying = _judged(always(runs))
    chance = by_chance(runs, seed=seed, throws=20, merge_s=_MERGE_S)
    label, score = pooled(runs)
    known = prevalence(label)

    figures = [
        Figure(
            name="events_detected",
            value=own.detected,
            unit=f"of {own.events}",
            baselines={"always_alarm": crying.detected, "random": chance.detected, "plain_ewma": other.detected},
        ),
        Figure(
            name="false_alarms_per_sensor_month",
            value=own.false_alarms_per_h * _MONTH_H,
            baselines={
                "always_alarm": crying.false_alarms_per_h * _MONTH_H,
                "random": chance.false_alarms_per_h * _MONTH_H,
                "plain_ewma": other.false_alarms_per_h * _MONTH_H,
            },
        ),
        Figure(
            name="alarm_share_of_normal",
            value=own.alarm_share_of_normal,
            baselines={"always_alarm": 1.0, "plain_ewma": other.alarm_share_of_normal},
        ),
        Figure(name="median_delay", value=_median_h(own), unit="h", baselines={"plain_ewma": _median_h(other)}),
        Figure(
            name="auc_pr",
            value=average_precision(label, score),
            baselines={"random": known, "always_alarm": known, "plain_ewma": average_precision(*pooled(plain))},
        ),
    ]
    for fault in list(_FAULTS)[:-1]:
        mine, plainly = (_judged(_some(series, of, fault=fault)) for of in (runs, plain))
        figures.append(
            Figure(
                name=f"{fault}_detected",
                value=mine.detected,
                unit=f"of {mine.events}",
                baselines={"always_alarm": 0.0, "plain_ewma": plainly.detected},
            )
        )
    for noise in _NOISES:
        mine, plainly = (_judged(_some(series, of, noise=noise)) for of in (runs, plain))
        figures.append(
            Figure(
                name=f"{noise}_false_alarms_per_sensor_month",
                value=mine.false_alarms_per_h * _MONTH_H,
                baselines={"plain_ewma": plainly.false_alarms_per_h * _MONTH_H},
            )
        )
    return Assessment(
        dataset=f"detector_{kind}",
        title=f"Detector `{kind}`: {DETECTORS[kind].title}",
        about=_parameters(kind),
        data=_told(series),
        figures=tuple(figures),
        notes=("The series are made: they tell detectors apart, and say little about machines.",),
        missed=tuple(
            f"{name}: {count} of {_EACH}" for name, count in Counter(_group(name) for name in own.missed).items()
        ),
        details=detection_details(runs),
        drawings=detection_drawings(runs, plain),
    )


def _some(series: Sequence[_Series], runs: Sequence[Run], *, noise: str = "", fault: str = "") -> list[Run]:
    return [
        run for run, each in zip(runs, series, strict=True) if noise in {"", each.noise} and fault in {"", each.fault}
    ]


def _group(name: str) -> str:
    """Noise and fault, without the number."""
    return name.rpartition(" ")[0]


def _judged(runs: Sequence[Run]) -> EventFigures:
    return judge_events(runs, merge_s=_MERGE_S)


def _median_h(found: EventFigures) -> float:
    return float(np.median(found.delays_s)) / 3600 if found.delays_s else float("nan")


def _parameters(kind: str) -> str:
    rows = [
        f"| `{name}` | {parameter.default:g} | {parameter.low:g} to {parameter.high:g} | {parameter.meaning} |"
        for name, parameter in DETECTORS[kind].parameters.items()
    ]
    head = ["| parameter | default | range | meaning |", "|---|---:|---|---|"]
    return "\n".join(["With its defaults; a score of 1 is the limit it has set itself.", "", *head, *rows])


def _told(series: Sequence[_Series]) -> str:
    noises = "; ".join(f"*{name}*: {text}" for name, text in _NOISES.items())
    faults = "; ".join(f"*{name}*: {text}" for name, text in _FAULTS.items())
    return (
        f"{len(series)} made series of 30 days, a reading every quarter of an hour; 14 days are learned from. Noise:"
        f" {noises}. Fault, from a random day between the 16th and the 24th to the end: {faults}."
    )
