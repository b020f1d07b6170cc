"""Samples of whole assets scored: beside it the bare distance, one product of the same numbers with a fixed matrix."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.contract import ALARM
from models.multivariate.kinds import AssetSpec, build_assets
from precursor.bench.report import LossError, Result
from precursor.bench.rounds import Contender, Watch, take_turns
from precursor.bench.workload import BEGIN
from telemetry.batch import ReadingBatch, to_micros

__all__ = ["MULTIVARIATE_STEPS", "measure_multivariate"]

MULTIVARIATE_STEPS = 1
"""how often `measure_multivariate` calls `watch`"""

_NAME = "detect.multivariate"
_WARMUP = 400
_SECONDS = 10
"""of readings in a batch, one of each sensor a second"""
_BATCHES = 5
"""folded in a round"""
_SECOND_US = 1_000_000
_BEGIN_US = to_micros(BEGIN)

Values = npt.NDArray[np.float64]


async def measure_multivariate(*, assets: int, sensors: int, rounds: int, watch: Watch) -> list[Result]:
    """How many samples a second, one sample being all sensors of an asset at one instant; after the warm-up.

    Args:
        assets: how many.
        sensors: of each, 2 or more.
        rounds: timed; see `take_turns`.

    Raises:
        LossError: samples were not scored, or the shift that one of ten assets has in every round was not an anomaly of
            its sensor.
    """
    watch(f"{_NAME}: {rounds} rounds")
    random = np.random.default_rng(6)
    common = random.normal(size=(assets, 1, _SECONDS * _BATCHES))
    values = 50.0 + common + random.normal(size=(assets, sensors, _SECONDS * _BATCHES))
    took_s = await take_turns({_NAME: _detect(values, rounds), f"{_NAME}, bare": _measure_distance(values)}, rounds)
    samples = assets * _SECONDS * _BATCHES
    return [Result(name=_NAME, value=samples / took_s[_NAME], limit=samples / took_s[f"{_NAME}, bare"])]


def _detect(values: Values, rounds: int) -> Contender:
    assets, sensors, seconds = values.shape
    ids = np.arange(1, assets * sensors + 1).reshape(assets, sensors)
    specs = [
        AssetSpec(asset_id=asset, sensor_ids=tuple(own), parameters={"warmup": _WARMUP, "every_s": 1.0})
        for asset, own in enumerate(ids.tolist())
    ]
    detector = build_assets(specs)
    # One round of warm-up more than needed: the limits have settled when timing begins.
    before = 2 * _WARMUP // seconds + 1
    for number in range(before):
        for batch in _batches(values, number):
            detector.fold(batch)
    shifted = values.copy()
    shifted[::10, 0, seconds // 2 :] += 10.0
    history = [_batches(shifted, before + number) for number in range(rounds + 1)]

    async def detect(number: int) -> None:
        scored = 0
        for batch in history[number]:
            scores = detector.fold(batch)
            scored += scores.score.size
        if scored != assets * seconds:
            raise LossError(f"{_NAME}: {scored} of {assets * seconds} samples were scored")
        last = scores.time == scores.time.max()
        pointed = (scores.score[last] >= ALARM) & (scores.contribution[last].argmax(axis=1) == 0)
        if not pointed[::10].all():
            raise LossError(
                f"{_NAME}: {np.count_nonzero(~pointed[::10])} assets with a shifted sensor were not noticed"
            )

    return detect


def _measure_distance(values: Values) -> Contender:
    """What no detector of this kind can do without: the squared distance, and nothing learned or kept."""
    assets, sensors, _ = values.shape
    precision = np.tile(np.eye(sensors), (assets, 1, 1))
    instants: Sequence[Values] = list(np.ascontiguousarray(values.transpose(2, 0, 1)))

    async def measure(_number: int) -> None:
        for instant in instants:
            np.einsum("ai,ai->a", np.einsum("aij,aj->ai", precision, instant), instant)

    return measure


def _batches(values: Values, number: int) -> list[ReadingBatch]:
    """The batches of a round, one after the other in time."""
    assets, sensors, seconds = values.shape
    sensor_id = np.repeat(np.arange(1, assets * sensors + 1, dtype=np.int32), _SECONDS)
    quality = np.zeros(sensor_id.size, np.int16)
    found = []
    for first in range(0, seconds, _SECONDS):
        time = (number * seconds + first + np.arange(_SECONDS, dtype=np.int64)) * _SECOND_US + _BEGIN_US
        found.append(
            ReadingBatch(
                time=np.tile(time, assets * sensors),
                sensor_id=sensor_id,
                value=np.ascontiguousarray(values[:, :, first : first + _SECONDS]).ravel(),
                quality=quality,
            )
        )
    return found
