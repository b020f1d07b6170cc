"""The default detector of single sensors, how many readings it scores, how well; beside it river's HalfSpaceTrees."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models import kinds
from models.contract import Detector
from models.evaluation.curves import average_precision
from precursor.bench.report import LossError, Result
from precursor.bench.rounds import Contender, Watch, take_turns
from precursor.bench.workload import BEGIN
from telemetry.batch import ReadingBatch, to_micros

__all__ = ["UNIVARIATE_STEPS", "measure_univariate"]

UNIVARIATE_STEPS = 3
"""how often `measure_univariate` calls `watch`"""

_KIND = "auto"
_WARMUP: Mapping[str, float] = {"warmup": 400}
"""readings, else the figures would be those of a detector that only learns"""
_BATCHES = 10
"""scored in a round"""
_WARM_BATCHES = 1_300
"""readings of a sensor before the clock runs: levels have settled after three warm-ups, and limits are refined ever
less often, as in a plant that runs for long"""
_NARROW_SENSORS, _NARROW_READINGS = 10, 1_000
_RIVER_SENSORS = 20
_RIVER_WARM = 300
"""readings of a sensor before the clock runs: its trees are filled after 250"""
_SECOND_US = 1_000_000
_BEGIN_US = to_micros(BEGIN)

_LABELLED_SENSORS, _LABELLED_READINGS, _NORMAL_READINGS = 20, 1_500, 750
_FAULTS = ("shift", "drift")
_FAULT_READINGS = 150
_CORRELATED = 0.95
"""correlation of successive readings, at most: from white to that of a slow process"""
_SIGMAS = (2.0, 6.0)
"""size of a shift, or end of a drift"""

Values = npt.NDArray[np.float64]


async def measure_univariate(*, sensors: int, rounds: int, watch: Watch) -> list[Result]:
    """`detect.univariate`, `detect.univariate_narrow` and `detect.auc_pr`.

    Raises:
        LossError: a detector past its warm-up gave no score.
    """
    random = np.random.default_rng(6)
    wide = [50.0 + random.standard_normal((sensors, 1)) for _ in range(_BATCHES)]
    narrow = [50.0 + random.standard_normal((_NARROW_SENSORS, _NARROW_READINGS)) for _ in range(_BATCHES)]
    watch(f"detect.univariate: warm-up and {rounds} rounds")
    contenders = {
        "detect.univariate": _detect(wide, _WARM_BATCHES, rounds),
        "detect.univariate_narrow": _detect(narrow, 1, rounds),
        "river": _river(wide),
    }
    watch("detect.univariate: measured")
    took_s = await take_turns(contenders, rounds)
    readings = {name: sum(values.size for values in batches) for name, batches in (("wide", wide), ("narrow", narrow))}
    limit = _BATCHES * min(sensors, _RIVER_SENSORS) / took_s["river"]
    watch("detect.auc_pr")
    ours, theirs = _quality(np.random.default_rng(8))
    return [
        Result(name="detect.univariate", value=readings["wide"] / took_s["detect.univariate"], limit=limit),
        Result(
            name="detect.univariate_narrow", value=readings["narrow"] / took_s["detect.univariate_narrow"], limit=limit
        ),
        Result(name="detect.auc_pr", value=ours, limit=theirs),
    ]


def _built(sensors: int) -> Detector:
    return kinds.build(_KIND, [(sensor, _WARMUP) for sensor in range(1, sensors + 1)])


def _batch(values: Values, number: int) -> ReadingBatch:
    """The batch of this number in a history, values (sensors, readings), a second apart."""
    sensors, readings = values.shape
    time = _BEGIN_US + (np.arange(readings, dtype=np.int64) + number * readings) * _SECOND_US
    sensor_id = np.repeat(np.arange(1, sensors + 1, dtype=np.int32), readings)
    return ReadingBatch(
        time=np.tile(time, sensors), sensor_id=sensor_id, value=values.ravel(), quality=np.zeros(values.size, np.int16)
    )


def _detect(batches: Sequence[Values], warm: int, rounds: int) -> Contender:
    detector = _built(len(batches[0]))
    for number in range(warm):
        detector.score(_batch(batches[number % len(batches)], number))
    history = [
        [_batch(values, warm + number * len(batches) + place) for place, values in enumerate(batches)]
        for number in range(rounds + 1)
    ]

    async def score(number: int) -> None:
        for batch in history[number]:
            if not np.isfinite(detector.score(batch)[-1]):
                raise LossError(f"{_KIND} gave no score after its warm-up")

    return score


def _river(batches: Sequence[Values]) -> Contender:
    values = np.concatenate(batches, axis=1)[:_RIVER_SENSORS]
    # Its trees look at values from 0 to 1.
    features = [[{"value": float(value)} for value in row] for row in np.clip((values - 42.0) / 16.0, 0.0, 1.0)]
    models = [_half_space_trees(seed) for seed in range(len(features))]
    for model, row in zip(models, features, strict=True):
        for number in range(_RIVER_WARM):
            model.learn_one(row[number % len(row)])

    async def score(_number: int) -> None:
        for model, row in zip(models, features, strict=True):
            for each in row:
                model.score_one(each)
                model.learn_one(each)

    return score


def _half_space_trees(seed: int) -> Any:
    """A model of river with its defaults; Any, because river has no types."""
    from river.anomaly import HalfSpaceTrees  # noqa: PLC0415 - costs a second, only this bench pays

    model: Any = HalfSpaceTrees
    return model(seed=seed)


def _quality(random: np.random.Generator) -> tuple[float, float]:
    """Areas under the precision-recall curve of readings after the normal stretch: the default detector's, river's."""
    values, label = _labelled(random)
    judged = np.s_[:, _NORMAL_READINGS:]
    scores = _built(len(values)).score(_batch(values, 0)).reshape(values.shape)
    low, high = values[:, :_NORMAL_READINGS].min(axis=1), values[:, :_NORMAL_READINGS].max(axis=1)
    # A normal stretch's range in the middle half of what its trees look at.
    places = np.clip(0.25 + 0.5 * (values - low[:, None]) / (high - low)[:, None], 0.0, 1.0)
    areas = []
    for learns_on in (True, False):
        theirs = np.array([_river_scores(row, seed, learns_on=learns_on) for seed, row in enumerate(places.tolist())])
        areas.append(average_precision(label[judged].ravel(), theirs[judged].ravel()))
    return average_precision(label[judged].ravel(), scores[judged].ravel()), max(areas)


def _river_scores(places: Sequence[float], seed: int, *, learns_on: bool) -> list[float]:
    model = _half_space_trees(seed)
    scores = []
    for number, place in enumerate(places):
        scores.append(model.score_one({"value": place}))
        if learns_on or number < _NORMAL_READINGS:
            model.learn_one({"value": place})
    return scores


def _labelled(random: np.random.Generator) -> tuple[Values, npt.NDArray[np.bool_]]:
    """Noise of sensors, each with a scale and correlation of its own, and two faults each after the normal stretch."""
    shape = (_LABELLED_SENSORS, _LABELLED_READINGS)
    noise = random.standard_normal(shape)
    keeps = random.uniform(0.0, _CORRELATED, _LABELLED_SENSORS)
    for number in range(1, _LABELLED_READINGS):
        noise[:, number] = keeps * noise[:, number - 1] + np.sqrt(1 - keeps**2) * noise[:, number]
    label = np.zeros(shape, np.bool_)
    room = (_LABELLED_READINGS - _NORMAL_READINGS) // 2
    for sensor in range(_LABELLED_SENSORS):
        for number in range(2):
            begin = _NORMAL_READINGS + number * room + int(random.integers(0, room - _FAULT_READINGS))
            fault = np.s_[sensor, begin : begin + _FAULT_READINGS]
            size = random.uniform(*_SIGMAS) * random.choice([-1.0, 1.0])
            drifts = _FAULTS[(sensor + number) % len(_FAULTS)] == "drift"
            noise[fault] += np.linspace(0.0, size, _FAULT_READINGS) if drifts else size
            label[fault] = True
    return random.uniform(1.0, 100.0, (_LABELLED_SENSORS, 1)) * (noise + 20.0), label
