"""river's half-space trees, one model a sensor, behind the contract of our detectors."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from models.parameter import Parameter, columns
from models.streaming.learner import LearnerDetector, Range
from models.streaming.state import COMMON, Setting

__all__ = ["PARAMETERS", "HalfSpaceTreesDetector"]

_FEATURES = ("value", "change")
_MOST_BLOCK = 32
_MASS_LEFT = 1e-6
"""1 - score, at least: an empty place"""
_LEAST = 0.5
"""limit, at least: a crowded place is never anomalous"""
_OF_EDGE = 0.9
"""limit, at most, in statistics at the edge of the range: what is there is always anomalous"""

PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "budget": COMMON["budget"],
        "trees": Parameter(default=25, low=1, high=200, whole=True, meaning="number of trees"),
        "height": Parameter(default=6, low=1, high=12, whole=True, meaning="levels of splits in a tree"),
        "window": Parameter(
            default=250, low=16, high=100_000, whole=True, meaning="readings whose masses make up a model"
        ),
        "warmup": Parameter(
            default=100, low=10, high=1_000_000, whole=True, meaning="readings that set the range first"
        ),
        "reach": Parameter(default=8.0, low=3.0, high=1000.0, meaning="sigmas from the level to the edge of the range"),
        "learn_within": Parameter(
            default=5.0, low=1.0, high=1e6, meaning="sigmas from the level beyond which nothing is learned"
        ),
        "seed": Parameter(default=7, low=0, high=2**31 - 1, whole=True, meaning="of the random splits"),
    }
)


class HalfSpaceTreesDetector(LearnerDetector):
    """How empty the place is that a reading falls into, by half-space trees (Tan, Ting and Liu 2011).

    A model a sensor over two features: the value, and its change since the reading before. Both are scaled by a level
    and spread learned in the warm-up (`warmup` readings, outliers clipped), so that `reach` sigmas either way span the
    trees' range; beyond it, values count as at its edge. The next `window` readings fill the trees, another set the
    limit. The statistic is -log(1 - score) of river's score, which runs from 0 (crowded) to 1 (empty). Values further
    than `learn_within` sigmas from the level are not learned either: the score of a far value depends on the seed too
    much to keep a fault from being absorbed by itself.

    Costs about 0.1 ms a reading: for a few sensors, not for thousands. river is imported when the first detector is
    made, because that takes a second.

    Args:
        sensor_ids: int32, sorted, each once.
        settings: see `PARAMETERS`; one number, or one a sensor.
    """

    def __init__(self, sensor_ids: npt.NDArray[np.int32], **settings: Setting) -> None:
        count = np.size(sensor_ids)
        given = columns(PARAMETERS, [{}] * count) | {
            name: np.broadcast_to(np.asarray(setting, np.float64), count) for name, setting in settings.items()
        }
        budget = given.pop("budget")
        rows = zip(*(column.tolist() for column in given.values()), strict=True)
        super().__init__(
            sensor_ids,
            [_Forest(**dict(zip(given, row, strict=True))) for row in rows],
            label="half-space-trees/3",
            block=np.clip(given["window"] // 16, 1, _MOST_BLOCK).astype(np.int64),
            budget=budget,
        )


class _Forest:
    """One sensor's model, with its state in and out as numbers."""

    least = _LEAST

    def __init__(
        self,
        *,
        trees: float,
        height: float,
        window: float,
        warmup: float,
        reach: float,
        learn_within: float,
        seed: float,
    ) -> None:
        self._shape = [trees, height, window, seed]
        self._warmup, self._reach, self._learn_within = warmup, reach, learn_within
        self._model = _grown(int(trees), int(height), int(window), int(seed))
        self._nodes = [node for tree in self._model.trees for node in tree.iter_dfs()]
        self._size = len(self._shape) + Range.size + 2 + 2 * len(self._nodes)
        self._range, self._first_window = Range(), True
        self._features: dict[str, float] = {}
        self._masses: npt.NDArray[np.float64] | None = None
        self.become(None)

    def statistic(self, value: float) -> float:
        if self._range.count < self._warmup:
            return math.nan
        self._features = {
            "value": _place(value - self._range.level, self._reach * self._range.sigma),
            "change": _place(value - self._range.previous, self._reach * self._range.sigma_of_change),
        }
        return math.nan if self._first_window else self._emptiness(self._features)

    @property
    def most(self) -> float:
        return _OF_EDGE * min(self._emptiness({"value": edge, "change": 0.5}) for edge in (0.0, 1.0))

    def _emptiness(self, features: dict[str, float]) -> float:
        return -math.log(max(1 - float(self._model.score_one(features)), _MASS_LEFT))

    def learn(self, value: float, *, anomalous: bool) -> None:
        if self._range.count < self._warmup:
            self._range.learn(value)
            return
        self._range.previous = value
        near = abs(value - self._range.level) <= self._learn_within * self._range.sigma
        # The first window takes all, or a level that moved right after the warm-up would never get a score.
        if self._first_window or (near and not anomalous):
            self._model.learn_one(self._features)
            self._masses = None
            if self._model.counter == 0:
                self._first_window = False

    def numbers(self) -> npt.NDArray[np.float64]:
        if self._masses is None:
            masses = [(node.l_mass, node.r_mass) for node in self._nodes]
            self._masses = np.array(masses, np.float64).reshape(-1, 2).T.ravel()
        head = [*self._shape, *self._range.numbers(), self._model.counter, self._first_window]
        return np.concatenate([np.array(head, np.float64), self._masses])

    def become(self, numbers: npt.NDArray[np.float64] | None) -> bool:
        ours = numbers is not None and numbers.size == self._size
        ours = ours and numbers is not None and numbers[: len(self._shape)].tolist() == self._shape
        if numbers is None or not ours:
            numbers = np.zeros(self._size)
            numbers[len(self._shape) + Range.size + 1] = 1
        begin = len(self._shape)
        self._range = Range(numbers[begin : begin + Range.size].tolist())
        counter, first = numbers[begin + Range.size : begin + Range.size + 2].tolist()
        self._masses = numbers[begin + Range.size + 2 :].copy()
        for node, learning, scoring in zip(self._nodes, *self._masses.reshape(2, -1).tolist(), strict=True):
            node.l_mass, node.r_mass = int(learning), int(scoring)
        self._model.counter, self._first_window = int(counter), bool(first)
        self._model._first_window = self._first_window
        return ours


def _place(difference: float, edge: float) -> float:
    return 0.5 + 0.5 * min(max(difference, -edge), edge) / edge


def _grown(trees: int, height: int, window: int, seed: int) -> Any:
    """A model of river with its trees made; Any, because river has no types."""
    from river.anomaly import HalfSpaceTrees  # noqa: PLC0415 - costs a second, only who uses it shall pay

    model: Any = HalfSpaceTrees
    model = model(n_trees=trees, height=height, window_size=window, seed=seed)
    # river makes the trees when it first learns; the trace this leaves is wiped by `_Forest.become`.
    model.learn_one(dict.fromkeys(_FEATURES, 0.5))
    return model
