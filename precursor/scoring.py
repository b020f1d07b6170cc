"""Readings to what detectors make of them: scores of sensors, scores of assets and each sensor's share in them."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from models import kinds
from models.contract import ALARM, AssetDetector, Detector
from models.operating import RunningGate
from models.reporting import ScoreReports
from telemetry.batch import ReadingBatch
from telemetry.ordering import EventOrder
from telemetry.plant import Plant, SensorKind

if TYPE_CHECKING:
    from models.multivariate.kinds import AssetSpec

__all__ = ["Scoring"]

_ORDER = "order of scored"
_GATE = "running"
_ASSETS = "asset detector"
_REPORTS = "score reports"
_SHARED_FROM = ALARM / 2
"""score of an asset from which on the shares of its sensors are told"""

SensorIds = npt.NDArray[np.int32]


class _Part(Protocol):
    def snapshot(self) -> bytes: ...
    def restore(self, body: bytes) -> None: ...


class Scoring:
    """All detectors of one plant, with their state. A deterministic fold over the readings in order of arrival.

    Machines at rest are not scored. Scores are reported by exception (`models.reporting`): what comes out is what is
    stored, and what rules look at.

    Args:
        plant: which sensor and which asset has a detector, and which derived sensors take what comes of it.
        lateness_s, align_s: as in `Evaluation`.
        report_s: s of event time after which a score is told though it says nothing new.
    """

    def __init__(self, plant: Plant, *, lateness_s: float, align_s: float, report_s: float) -> None:
        self._plant = plant
        # Detectors see fewer readings than rules do (none of a machine at rest), in an order of their own.
        self._order = EventOrder(lateness_s)
        self._gate = RunningGate(_state_sensors(plant))
        self._detectors = _build_detectors(plant)
        specs = _asset_specs(plant)
        self._assets: AssetDetector | None = None
        if specs:
            from models.multivariate.kinds import build_assets

            self._assets = build_assets(specs, align_s=align_s)
        of_source = {
            (sensor.computed, sensor.source_id): sensor.id
            for sensor in plant.sensors
            if sensor.kind is SensorKind.DERIVED and sensor.source_id is not None
        }
        self._scores = {
            kind: np.array([of_source["score", sensor] for sensor in detector.sensor_ids.tolist()], np.int32)
            for kind, detector in self._detectors.items()
        }
        anomalies = {sensor.asset_id: sensor.id for sensor in plant.sensors if sensor.computed == "anomaly"}
        self._anomaly_assets = np.array(sorted(spec.asset_id for spec in specs), np.int32)
        self._anomalies = np.array([anomalies[asset] for asset in self._anomaly_assets.tolist()], np.int32)
        self._shares = _table([[of_source["contribution", each] for each in spec.sensor_ids] for spec in specs])
        """sensors of the shares by asset, in the order of `_anomaly_assets`; -1: none"""
        self._reports = ScoreReports(np.unique(np.concatenate([*self._scores.values(), self._anomalies, _NONE])),
                                     every_s=report_s)  # fmt: skip
        looked_at = [detector.sensor_ids for detector in self._detectors.values()]
        if self._assets is not None:
            looked_at.append(self._assets.sensor_ids)
        self._scored = np.unique(np.concatenate([*looked_at, _NONE]))
        self.sources = self._pairs(specs)
        """int32[n, 2]: scores and the sensors they are of, by sensor; an asset's score is of each of its sensors"""

    @property
    def sensor_ids(self) -> SensorIds:
        """All sensors looked at, ascending."""
        return np.union1d(self._scored, self._gate.state_sensors)

    def fold(self, batch: ReadingBatch) -> ReadingBatch:
        """What is to be stored of the scores of these readings (in order of arrival), by (sensor_id, time)."""
        if not self._scored.size:
            return ReadingBatch.empty()
        running = self._gate.running(batch)
        ready = self._order.release(batch.take(running & np.isin(batch.sensor_id, self._scored))).ready
        if not len(ready):
            return ready
        told = [self._told(self._score(kind, detector, ready)) for kind, detector in self._detectors.items()]
        if self._assets is not None:
            told += self._score_assets(self._assets, ready)
        derived = ReadingBatch.concat(told)
        return derived.sorted() if len(derived) else derived

    def rebaseline(self, asset_ids: SensorIds) -> SensorIds:
        """Learn anew what is usual for these assets and their parts; returns the scores that said otherwise."""
        assets = self._with_parts(asset_ids)
        of_assets = [sensor for sensor in self._plant.sensors if sensor.asset_id in assets]
        ids = np.array([sensor.id for sensor in of_assets], np.int32)
        for detector in self._detectors.values():
            detector.rebaseline(ids[np.isin(ids, detector.sensor_ids)])
        if self._assets is not None:
            self._assets.rebaseline(np.array(sorted(assets), np.int32))
        scores = [sensor.id for sensor in of_assets if sensor.computed in {"score", "anomaly"}]
        return np.array(sorted(scores), np.int32)

    def parts(self) -> Mapping[str, _Part]:
        """What has a state, by name."""
        parts: dict[str, _Part] = {_ORDER: self._order, _GATE: self._gate, _REPORTS: self._reports}
        parts |= {f"detector/{kind}": detector for kind, detector in self._detectors.items()}
        if self._assets is not None:
            parts[_ASSETS] = self._assets
        return parts

    def _told(self, scores: ReadingBatch) -> ReadingBatch:
        return scores.take(self._reports.select(scores))

    def _score(self, kind: str, detector: Detector, ready: ReadingBatch) -> ReadingBatch:
        seen = ready.take(np.isin(ready.sensor_id, detector.sensor_ids))
        if not len(seen):
            return seen
        score = detector.score(seen)
        # Unknown (warming up, bad input) is no reading, never 0: 0 would look healthy.
        known = np.isfinite(score)
        targets = self._scores[kind][np.searchsorted(detector.sensor_ids, seen.sensor_id[known])]
        return ReadingBatch.of(seen.time[known], targets, score[known], seen.quality[known]).sorted()

    def _score_assets(self, detector: AssetDetector, ready: ReadingBatch) -> list[ReadingBatch]:
        scores = detector.fold(ready.take(np.isin(ready.sensor_id, detector.sensor_ids)))
        if not scores.time.size:
            return []
        place = np.searchsorted(self._anomaly_assets, scores.asset_id)
        anomalies = ReadingBatch.of(scores.time, self._anomalies[place], scores.score)
        order = anomalies.order()
        told = np.zeros(order.size, np.bool_)
        told[order] = self._reports.select(anomalies.take(order))
        row, column = np.nonzero((told & (scores.score >= _SHARED_FROM))[:, None] & np.isfinite(scores.contribution))
        shares = ReadingBatch.of(scores.time[row], self._shares[place[row], column], scores.contribution[row, column])
        return [anomalies.take(told), shares]

    def _pairs(self, specs: "list[AssetSpec]") -> npt.NDArray[np.int32]:
        pairs = [
            (source, score)
            for kind, detector in self._detectors.items()
            for source, score in zip(detector.sensor_ids.tolist(), self._scores[kind].tolist(), strict=True)
        ]
        for spec, anomaly in zip(specs, self._anomalies.tolist(), strict=True):
            pairs += [(source, anomaly) for source in spec.sensor_ids]
        return np.array(sorted(pairs), np.int32).reshape(-1, 2)

    def _with_parts(self, asset_ids: SensorIds) -> set[int]:
        """These assets and all that they consist of."""
        found = set(asset_ids.tolist())
        before = 0
        while len(found) > before:
            before = len(found)
            found.update(asset.id for asset in self._plant.assets if asset.parent_id in found)
        return found


_NONE: SensorIds = np.empty(0, np.int32)


def _build_detectors(plant: Plant) -> dict[str, Detector]:
    chosen: dict[str, list[tuple[int, Mapping[str, float]]]] = defaultdict(list)
    for sensor in plant.sensors:
        if sensor.detector is not None:
            chosen[sensor.detector.kind].append((sensor.id, sensor.detector.parameters))
    return {kind: kinds.build(kind, sensors) for kind, sensors in sorted(chosen.items())}


def _asset_specs(plant: Plant) -> "list[AssetSpec]":
    if not any(asset.detector for asset in plant.assets):
        return []
    from models.multivariate.kinds import AssetSpec

    return [
        AssetSpec(
            asset_id=asset.id,
            sensor_ids=tuple(plant.sensor_by_name[name].id for name in asset.detector.sensors),
            parameters=asset.detector.parameters,
        )
        for asset in sorted(plant.assets, key=lambda asset: asset.id)
        if asset.detector is not None
    ]


def _table(rows: list[list[int]]) -> SensorIds:
    """Rows of different lengths as one array, filled up with -1."""
    table = np.full((len(rows), max(map(len, rows), default=0)), -1, np.int32)
    for row, found in zip(table, rows, strict=True):
        row[: len(found)] = found
    return table


def _state_sensors(plant: Plant) -> dict[int, int]:
    """For each sensor that is scored the state sensor of its asset, or of the nearest asset above it that has one."""
    of_asset = {sensor.asset_id: sensor.id for sensor in plant.sensors if sensor.kind is SensorKind.STATE}
    together = {name for asset in plant.assets if asset.detector is not None for name in asset.detector.sensors}
    found: dict[int, int] = {}
    for sensor in plant.sensors:
        scored = sensor.detector is not None or sensor.name in together
        asset_id: int | None = sensor.asset_id if scored else None
        while asset_id is not None:
            if asset_id in of_asset:
                found[sensor.id] = of_asset[asset_id]
                break
            asset_id = plant.asset_by_id[asset_id].parent_id
    return found
