"""river's half-space trees, one model a sensor, behind the contract of our detectors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.parameter import Parameter
from models.streaming.segments import Segments
from telemetry.batch import ReadingBatch
from telemetry.snapshot import pack, unpack

__all__ = ["PARAMETERS", "HalfSpaceTreesDetector"]

_LABEL = "half-space-trees/1"
_FEATURES = ("value", "change")
_SIGMA_PER_DEVIATION = float(np.sqrt(np.pi / 2))
_UNCLIPPED = 10
"""readings at the start of the warm-up that are taken as they are: there is no scale yet to clip by"""
_CLIP = 3.0
"""sigmas beyond which a deviation counts as this many while the range is learned"""
_RELATIVE_FLOOR = 1e-10
"""smallest sigma as a share of the level's magnitude, so that rounding noise stays noise"""
_SMALLEST_SCALE = 1e-300

PARAMETERS: Mapping[str, Parameter] = {
    "trees": Parameter(default=25, low=1, high=200, whole=True, meaning="number of trees"),
    "height": Parameter(default=6, low=1, high=12, whole=True, meaning="levels of splits in a tree"),
    "window": Parameter(default=250, low=10, high=100_000, whole=True, meaning="readings whose masses make up a model"),
    "warmup": Parameter(default=100, low=10, high=1_000_000, whole=True, meaning="readings that set the range first"),
    "reach": Parameter(default=8.0, low=3.0, high=1000.0, meaning="sigmas from the level to the edge of the range"),
    "gate": Parameter(default=0.9, low=0.0, high=1.0, meaning="score above which nothing is learned"),
    "learn_within": Parameter(
        default=5.0, low=1.0, high=1e6, meaning="sigmas from the level beyond which nothing is learned"
    ),
    "seed": Parameter(default=7, low=0, high=2**31 - 1, whole=True, meaning="of the random splits"),
}

Setting = float | npt.NDArray[np.float64]


@dataclass(slots=True)
class _Range:
    """What the warm-up learns about one sensor: where its values and their changes usually lie."""

    count: int = 0
    level: float = 0.0
    spread: float = 0.0
    """mean absolute deviation from the level, clipped"""
    change: float = 0.0
    """mean absolute difference of successive values, clipped"""
    previous: float = 0.0

    def learn(self, value: float) -> None:
        self.count += 1
        if self.count == 1:
            self.level = self.previous = value
            return
        weight = 1 / (self.count - 1)
        deviation, change = value - self.level, abs(value - self.previous)
        if self.count > _UNCLIPPED:
            bound = _CLIP * self.sigma(self.spread)
            deviation = min(max(deviation, -bound), bound)
            change = min(change, _CLIP * self.sigma(self.change))
        self.level += deviation / self.count
        self.spread += weight * (abs(deviation) - self.spread)
        self.change += weight * (change - self.change)

    def sigma(self, deviation: float) -> float:
        return max(deviation * _SIGMA_PER_DEVIATION, _RELATIVE_FLOOR * abs(self.level), _SMALLEST_SCALE)

    def features(self, value: float, reach: float) -> dict[str, float]:
        """The value and its change since the one before, each mapped to 0..1 with the usual in the middle."""
        return {
            "value": _place(value - self.level, reach * self.sigma(self.spread)),
            "change": _place(value - self.previous, reach * self.sigma(self.change)),
        }


def _place(difference: float, edge: float) -> float:
    return 0.5 + 0.5 * min(max(difference, -edge), edge) / edge


class HalfSpaceTreesDetector:
    """How empty the place is that a reading falls into, by half-space trees (Tan, Ting and Liu 2011).

    A model a sensor over two features: the value, and its change since the reading before. Both are scaled
    by a level and spread learned in the warm-up (`warmup` readings, outliers clipped), so that `reach` sigmas
    either way span the trees' range; beyond it, values count as at its edge. The first `window` readings
    after that fill the trees, then scores begin: 0 (crowded) to 1 (empty). Nothing is learned while the score
    is above `gate`, nor from values further than `learn_within` sigmas from the level: the score of a far
    value depends on the seed too much to keep a fault from being absorbed by itself.

    Costs about 0.1 ms a reading: for a few sensors, not for thousands. river is imported when the first
    detector is made, because that takes a second.

    Args:
        sensor_ids: int32, sorted, each once.
        trees, height, ...: see `PARAMETERS`; one number, or one a sensor.
    """

    def __init__(
        self,
        sensor_ids: npt.NDArray[np.int32],
        *,
        trees: Setting = PARAMETERS["trees"].default,
        height: Setting = PARAMETERS["height"].default,
        window: Setting = PARAMETERS["window"].default,
        warmup: Setting = PARAMETERS["warmup"].default,
        reach: Setting = PARAMETERS["reach"].default,
        gate: Setting = PARAMETERS["gate"].default,
        learn_within: Setting = PARAMETERS["learn_within"].default,
        seed: Setting = PARAMETERS["seed"].default,
    ) -> None:
        self._sensor_ids = np.array(sensor_ids, np.int32)
        settings = {
            "trees": trees,
            "height": height,
            "window": window,
            "warmup": warmup,
            "reach": reach,
            "gate": gate,
            "learn_within": learn_within,
            "seed": seed,
        }
        count = self._sensor_ids.size
        columns = [np.broadcast_to(np.asarray(each, np.float64), count).tolist() for each in settings.values()]
        self._forests = [_Forest(**dict(zip(settings, row, strict=True))) for row in zip(*columns, strict=True)]

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        """The sensors scored, sorted, each once."""
        return self._sensor_ids

    def score(self, batch: ReadingBatch) -> npt.NDArray[np.float64]:
        """Score readings (sorted by sensor and time), each before it is learned from; see `Detector`."""
        scores = np.full(len(batch), np.nan)
        segments = Segments.of(batch, self._sensor_ids)
        for sensor, begin, length in zip(
            segments.sensor.tolist(), segments.begin.tolist(), segments.length.tolist(), strict=True
        ):
            readings = segments.reading[begin : begin + length]
            forest = self._forests[sensor]
            scores[readings] = [forest.score(value) for value in batch.value[readings].tolist()]
        return scores

    def snapshot(self) -> bytes:
        """The range, the counters and the masses of all nodes; the splits come from the seed again."""
        forests = self._forests
        return pack(
            _LABEL,
            {
                "sensor_id": self._sensor_ids,
                "shape": np.array([forest.shape for forest in forests], np.int64).reshape(-1, 4),
                "nodes": np.array([forest.masses.shape[1] for forest in forests], np.int64),
                "range": np.array([forest.range_row() for forest in forests], np.float64).reshape(-1, 5),
                "progress": np.array([forest.progress() for forest in forests], np.int64).reshape(-1, 2),
                "masses": np.concatenate([np.empty((2, 0), np.int32), *(forest.masses for forest in forests)], axis=1),
            },
        )

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot; see `Detector`. Trees of another shape start fresh."""
        arrays = unpack(_LABEL, body)
        ends = np.cumsum(arrays["nodes"]).tolist()
        row_of = {sensor_id: row for row, sensor_id in enumerate(arrays["sensor_id"].tolist())}
        for sensor_id, forest in zip(self._sensor_ids.tolist(), self._forests, strict=True):
            row = row_of.get(sensor_id)
            if row is None or tuple(arrays["shape"][row].tolist()) != forest.shape:
                forest.reset()
                continue
            begin = ends[row] - int(arrays["nodes"][row])
            forest.reset(
                range_row=arrays["range"][row].tolist(),
                progress=arrays["progress"][row].tolist(),
                masses=arrays["masses"][:, begin : ends[row]],
            )


class _Forest:
    """One sensor's model, with its state in and out as numbers."""

    def __init__(
        self,
        *,
        trees: float,
        height: float,
        window: float,
        warmup: float,
        reach: float,
        gate: float,
        learn_within: float,
        seed: float,
    ) -> None:
        self.shape = (int(trees), int(height), int(window), int(seed))
        self._warmup, self._reach = int(warmup), reach
        self._gate, self._learn_within = gate, learn_within
        self._model = _grown(*self.shape)
        self._nodes = [node for tree in self._model.trees for node in tree.iter_dfs()]
        self._first_window = True
        self._masses: npt.NDArray[np.int32] | None = None
        self.reset()

    def score(self, value: float) -> float:
        """Score a usable value, then learn from it; NaN while warming up."""
        learned = self._range
        if learned.count < self._warmup:
            learned.learn(value)
            learned.previous = value
            return math.nan
        features = learned.features(value, self._reach)
        learned.previous = value
        score = math.nan if self._first_window else float(self._model.score_one(features))
        near = abs(value - learned.level) <= self._learn_within * learned.sigma(learned.spread)
        # The first window takes all, or a level that moved right after the warm-up would never get a score.
        if self._first_window or (near and score <= self._gate):
            self._model.learn_one(features)
            self._masses = None
            if self._model.counter == 0:
                self._first_window = False
        return score

    @property
    def masses(self) -> npt.NDArray[np.int32]:
        """int32[2, nodes]: the masses being learned, and those scored with."""
        if self._masses is None:
            self._masses = np.array(
                [[node.l_mass for node in self._nodes], [node.r_mass for node in self._nodes]], np.int32
            )
        return self._masses

    def range_row(self) -> tuple[float, ...]:
        """The learned range as numbers."""
        return astuple(self._range)

    def progress(self) -> tuple[int, int]:
        """Readings learned in the current window; 1 while that is the first one."""
        return self._model.counter, int(self._first_window)

    def reset(
        self,
        range_row: Sequence[float] = (0, 0.0, 0.0, 0.0, 0.0),
        progress: Sequence[int] = (0, 1),
        masses: npt.NDArray[np.int32] | None = None,
    ) -> None:
        """Go to the given state; without one, to that of a model that has seen nothing."""
        count, *rest = range_row
        self._range = _Range(int(count), *rest)
        known = np.zeros((2, len(self._nodes)), np.int32) if masses is None else masses
        for node, learning, scoring in zip(self._nodes, *known.tolist(), strict=True):
            node.l_mass, node.r_mass = learning, scoring
        self._masses = known
        self._model.counter, self._first_window = progress[0], bool(progress[1])
        self._model._first_window = self._first_window


def _grown(trees: int, height: int, window: int, seed: int) -> Any:
    """A model of river with its trees made; Any, because river has no types."""
    from river.anomaly import HalfSpaceTrees  # noqa: PLC0415 - costs a second, only who uses it shall pay

    model: Any = HalfSpaceTrees
    model = model(n_trees=trees, height=height, window_size=window, seed=seed)
    # river makes the trees when it first learns; the trace this leaves is wiped by `_Forest.reset`.
    model.learn_one(dict.fromkeys(_FEATURES, 0.5))
    return model
