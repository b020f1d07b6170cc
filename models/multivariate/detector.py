"""`JointDetector`: assets by all their sensors together."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from models.contract import AssetScores
from models.multivariate.charts import Charts
from models.multivariate.state import STATE_NAMES, State
from models.multivariate.synchroniser import Synchroniser
from telemetry.batch import ReadingBatch
from telemetry.snapshot import pack, unpack

__all__ = ["JointDetector"]

_LABEL = "joint/2"

Column = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class _Kin:
    """Assets with equally many sensors."""

    sensors: int
    assets: Index
    """positions, ascending"""
    charts: Charts


class JointDetector:
    """Readings of many sensors to samples of assets (`Synchroniser`), and those to scores (`Charts`).

    Args:
        assets: (asset id, ids of its sensors), ascending by asset id; no sensor twice.
        align_s: s of event time that sensors of an asset are waited for.
        budget, warmup, warmup_h, every_s, smoothing: see `PARAMETERS`; one number an asset.
    """

    def __init__(
        self,
        assets: Sequence[tuple[int, Sequence[int]]],
        *,
        align_s: float,
        budget: Column,
        warmup: Column,
        warmup_h: Column,
        every_s: Column,
        smoothing: Column,
    ) -> None:
        self._asset_ids = np.array([asset_id for asset_id, _ in assets], np.int32)
        self._sensors = [np.array(sensor_ids, np.int32) for _, sensor_ids in assets]
        self._synchroniser = Synchroniser([sensor_ids for _, sensor_ids in assets], every_s, align_s=align_s)
        number = np.array([ids.size for ids in self._sensors], np.intp)
        self._number = number
        self._most = int(number.max(initial=1))
        self._kin: list[_Kin] = []
        for sensors in np.unique(number).tolist():
            here = np.flatnonzero(number == sensors)
            charts = Charts(
                here.size,
                sensors,
                budget=budget[here],
                warmup=warmup[here],
                warmup_h=warmup_h[here],
                smoothing=smoothing[here],
            )
            self._kin.append(_Kin(sensors, here, charts))

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        """All sensors looked at, sorted, each once."""
        return self._synchroniser.sensor_ids

    def fold(self, batch: ReadingBatch) -> AssetScores:
        """Scores of the samples that are complete now; see `AssetDetector`."""
        samples = self._synchroniser.take(batch)
        score = np.full(samples.asset.size, np.nan)
        contribution = np.full((samples.asset.size, self._most), np.nan)
        every_s = self._synchroniser.every_s
        for kin in self._kin:
            mine = np.flatnonzero(self._number[samples.asset] == kin.sensors)
            if not mine.size:
                continue
            kin.charts.pace(every_s[kin.assets])
            order, ends = _rounds(samples.asset[mine])
            order = mine[order]
            place = np.searchsorted(kin.assets, samples.asset[order])
            value = samples.value.take(order, axis=0)[:, : kin.sensors]
            for begin, end in pairwise((0, *ends)):
                rows, now = order[begin:end], slice(begin, end)
                score[rows], contribution[rows, : kin.sensors] = kin.charts.step(place[now], value[now])
        known = np.flatnonzero(np.isfinite(score))
        return AssetScores(
            asset_id=self._asset_ids[samples.asset[known]],
            time=samples.time[known],
            score=score[known],
            contribution=contribution.take(known, axis=0),
        )

    def rebaseline(self, asset_ids: npt.NDArray[np.int32]) -> None:
        """Forget what is usual for these assets, and warm up anew; others are passed over."""
        for kin in self._kin:
            kin.charts.rebaseline(np.flatnonzero(np.isin(self._asset_ids[kin.assets], asset_ids)))

    def snapshot(self) -> bytes:
        """The whole state; `restore` continues from it exactly."""
        charts = {
            f"chart_{kin.sensors}_{name}": getattr(kin.charts.state, name) for kin in self._kin for name in STATE_NAMES
        }
        return pack(
            _LABEL,
            {
                "asset_id": self._asset_ids,
                "sensors": np.array([ids.size for ids in self._sensors], np.int64),
                "sensor_id": np.concatenate([np.zeros(0, np.int32), *self._sensors]),
                **{f"sync_{name}": array for name, array in self._synchroniser.arrays().items()},
                **charts,
            },
        )

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot, matched by asset with the same sensors in the same order; others start fresh.

        Raises:
            StateError: the bytes are damaged or of another kind.
        """
        arrays = unpack(_LABEL, body)
        ends = np.cumsum(arrays["sensors"])
        stored = {
            int(asset_id): (
                position,
                arrays["sensor_id"][ends[position] - arrays["sensors"][position] : ends[position]],
            )
            for position, asset_id in enumerate(arrays["asset_id"])
        }
        there = np.full(self._asset_ids.size, -1, np.intp)
        for here, (asset_id, ids) in enumerate(zip(self._asset_ids.tolist(), self._sensors, strict=True)):
            position, known = stored.get(asset_id, (-1, ids))
            if np.array_equal(known, ids):
                there[here] = position
        here_too = np.flatnonzero(there >= 0)
        self._synchroniser.clear()
        sync = {name.removeprefix("sync_"): array for name, array in arrays.items() if name.startswith("sync_")}
        self._synchroniser.put(sync, here_too, there[here_too])
        for kin in self._kin:
            kin.charts.state = State.fresh(kin.assets.size, kin.sensors)
            same = np.flatnonzero(there[kin.assets] >= 0)
            if same.size:
                # Among the stored assets, those with as many sensors are numbered on their own.
                among = np.cumsum(arrays["sensors"] == kin.sensors) - 1
                table = State(*(arrays[f"chart_{kin.sensors}_{name}"] for name in STATE_NAMES))
                kin.charts.state.put(same, table.take(among[there[kin.assets[same]]]))


def _rounds(asset: Index) -> tuple[Index, list[int]]:
    """Positions by round: the first row of every asset, then the second of those that have one, ...; rows are sorted
    by asset. And where each round ends.
    """
    begin = np.flatnonzero(np.diff(asset, prepend=-1))
    length = np.diff(begin, append=asset.size)
    if (length == length[0]).all():
        return np.arange(asset.size).reshape(begin.size, -1).T.ravel(), list(
            range(begin.size, asset.size + 1, begin.size)
        )
    number = np.arange(asset.size) - np.repeat(begin, length)
    order = np.argsort(number, kind="stable")
    return order, np.cumsum(np.bincount(number)).tolist()
