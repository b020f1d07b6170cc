"""Readings against limits: many sensors in small batches, one sensor in long ones; beside it the bare comparison."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from precursor.bench.report import LossError, Result
from precursor.bench.rounds import Contender, Watch, take_turns
from precursor.bench.workload import BEGIN
from rules.definition import Rule
from rules.evaluator import RuleEvaluator
from telemetry.batch import ReadingBatch, to_micros

__all__ = ["EVALUATION_STEPS", "measure_evaluations"]

EVALUATION_STEPS = 2
"""how often `measure_evaluations` calls `watch`"""

_LOW, _HIGH, _DEADBAND, _DELAY_S = 20.0, 80.0, 2.0, 60.0
_RULES_A_SENSOR = 2
_BATCHES = 10
"""folded in a round"""
_SECOND_US = 1_000_000
_BEGIN_US = to_micros(BEGIN)
_OUT_OF = 1_000
"""readings of a long batch between the begins of two excursions"""
_EXCURSION = 100
"""readings of each, a second apart: more than the delay"""

Values = npt.NDArray[np.float64]


async def measure_evaluations(*, sensors: int, long_readings: int, rounds: int, watch: Watch) -> list[Result]:
    """All rules.* figures that need neither database nor broker.

    Raises:
        LossError: alarms were raised where there are none, or the other way round.
    """
    random = np.random.default_rng(5)
    quiet = random.uniform(30.0, 70.0, sensors)
    noisy = 50.0 + random.choice([-1.0, 1.0], (_BATCHES, sensors)) * random.uniform(31.0, 40.0, (_BATCHES, sensors))
    # No sensor stays beyond the same limit all the time.
    noisy[-1] = _LOW + _HIGH - noisy[0]
    watch(f"rules.evaluations: {rounds} rounds")
    results = await _measure(
        {"rules.evaluations": [quiet] * _BATCHES, "rules.evaluations_noisy": list(noisy)}, sensors, rounds
    )
    calm = random.uniform(30.0, 70.0, long_readings)
    eventful = np.where(np.arange(long_readings) % _OUT_OF < _EXCURSION, calm + 60.0, calm)
    watch(f"rules.long_segments: {rounds} rounds")
    return results + await _measure({"rules.long_segments": [calm], "rules.long_segments_noisy": [eventful]}, 1, rounds)


async def _measure(values: dict[str, Sequence[Values]], sensors: int, rounds: int) -> list[Result]:
    contenders: dict[str, Contender] = {}
    for name, batches in values.items():
        contenders[name] = _evaluate(name, batches, sensors, rounds)
        contenders[f"{name}, bare"] = _compare(batches)
    took_s = await take_turns(contenders, rounds)
    return [
        Result(name=name, value=evaluations / took_s[name], limit=evaluations / took_s[f"{name}, bare"])
        for name, batches in values.items()
        if (evaluations := _RULES_A_SENSOR * sum(batch.size for batch in batches))
    ]


def _evaluate(name: str, batches: Sequence[Values], sensors: int, rounds: int) -> Contender:
    evaluator = RuleEvaluator([rule for sensor in range(1, sensors + 1) for rule in _rules(sensor)], align_s=10.0)
    history = _history(batches, sensors, rounds + 1)
    expected = _excursions(batches, sensors)

    async def evaluate(number: int) -> None:
        raised = 0
        for batch in history[number]:
            raised += sum(change.kind == "raised" for change in evaluator.fold(batch))
        if raised != expected:
            raise LossError(f"{name}: {raised} alarms were raised where {expected} should have been")

    return evaluate


def _compare(batches: Sequence[Values]) -> Contender:
    async def compare(_number: int) -> None:
        for values in batches:
            np.greater(values, _HIGH)
            np.less(values, _LOW)

    return compare


def _history(batches: Sequence[Values], sensors: int, rounds: int) -> list[list[ReadingBatch]]:
    """The batches of each round, each sensor's readings a second apart."""
    seconds = batches[0].size // sensors
    sensor_id = np.repeat(np.arange(1, sensors + 1, dtype=np.int32), seconds)
    time = _BEGIN_US + np.tile(np.arange(seconds, dtype=np.int64), sensors) * _SECOND_US
    quality = np.zeros(sensor_id.size, np.int16)
    return [
        [
            ReadingBatch(
                time=time + (number * len(batches) + place) * seconds * _SECOND_US,
                sensor_id=sensor_id,
                value=values,
                quality=quality,
            )
            for place, values in enumerate(batches)
        ]
        for number in range(rounds)
    ]


def _excursions(batches: Sequence[Values], sensors: int) -> int:
    """How many alarms a round raises; noise of many sensors changes sides before the delay is over."""
    return sum(int((values > _HIGH).sum()) // _EXCURSION for values in batches) if sensors == 1 else 0


def _rules(sensor: int) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            id=_RULES_A_SENSOR * sensor + number,
            name=name,
            sensor_id=sensor,
            sensor_name=f"bench-{sensor}",
            asset_id=1,
            unit="",
            high=high,
            low=low,
            deadband=_DEADBAND,
            on_delay_s=_DELAY_S,
            off_delay_s=_DELAY_S,
        )
        for number, (name, high, low) in enumerate((("high", _HIGH, None), ("low", None, _LOW)))
    )
