"""Readings to what detectors make of them: scores of sensors and assets, shares in them, faults of sensors."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.contract import ALARM, AssetDetector, Detector
from models.operating import RunningGate
from models.reporting import ScoreReports
from models.sensor_faults import SensorFaults
from models.streaming.context import ContextTwins
from precursor.detection import Detection
from telemetry.batch import ReadingBatch
from telemetry.ordering import EventOrder
from telemetry.plant import Plant

__all__ = ["Scoring"]

_SHARED_FROM = ALARM / 2
"""score of an asset from which on the shares of its sensors are told"""
_AT_REST = 1 << 8
"""on top of the quality of a reading, while it waits for its turn: its machine did not run when it arrived"""

SensorIds = npt.NDArray[np.int32]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


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
        settle_s: s of event time from the start of a machine until it is scored.
        report_s: s of event time after which a score is told though it says nothing new.
    """

    def __init__(self, plant: Plant, *, lateness_s: float, align_s: float, report_s: float, settle_s: float) -> None:
        self._plant = plant
        self._detection = wanted = Detection(plant)
        # Detectors see other readings than rules do, in an order of their own.
        self._order = EventOrder(lateness_s)
        self._gate = RunningGate(wanted.state_sensors(), settle_s=settle_s)
        self._twins = ContextTwins(wanted.contexts())
        self._detectors: Mapping[str, Detector] = wanted.detectors()
        self._assets: AssetDetector | None = wanted.asset_detector(align_s)
        self._faults = SensorFaults(wanted.faulted(), machine_side=wanted.machine_side()) if wanted.faulted() else None
        self._scores = {kind: wanted.scores_of(found.sensor_ids) for kind, found in self._detectors.items()}
        self._reports = ScoreReports(wanted.reported(), every_s=report_s)
        looked_at = [found.sensor_ids for found in (*self._detectors.values(), self._assets, self._faults) if found]
        self._looked_at = np.unique(np.concatenate([*looked_at, np.empty(0, np.int32)]))
        self._uses = np.zeros(int(self._looked_at.max(initial=0)) + 2, np.bool_)
        """by sensor id, which of them are looked at; the last one stands for all beyond, the first for twins"""
        self._uses[self._looked_at[self._looked_at >= 0]] = self._uses[0] = True
        self.sources = wanted.sources()
        """int32[n, 2]: scores and the sensors they are of, by sensor; an asset's score is of each of its sensors"""

    @property
    def sensor_ids(self) -> SensorIds:
        """All sensors looked at, ascending."""
        others = np.union1d(self._gate.state_sensors, self._twins.sensor_ids)
        return np.union1d(self._looked_at[self._looked_at >= 0], others)

    def fold(self, batch: ReadingBatch) -> ReadingBatch:
        """What is to be stored of what comes of these readings (in order of arrival), by (sensor_id, time)."""
        if not self._looked_at.size:
            return ReadingBatch.empty()
        ready = self._order.release(self._marked(batch)).ready
        if not len(ready):
            return ready
        works = ready.quality < _AT_REST
        if not works.all():
            quality = ready.quality & ~_AT_REST
            ready = ReadingBatch(time=ready.time, sensor_id=ready.sensor_id, value=ready.value, quality=quality)
        at_work = _where(ready, works)
        told = [self._score(kind, detector, at_work) for kind, detector in self._detectors.items()]
        if self._assets is not None:
            told += self._score_assets(self._assets, at_work)
        if self._faults is not None:
            told.append(self._find_faults(self._faults, ready, works))
        derived = ReadingBatch.concat(told)
        return derived.sorted() if len(derived) else derived

    def rebaseline(self, asset_ids: SensorIds) -> SensorIds:
        """Learn anew what is usual for these assets and their parts; returns the scores that said otherwise."""
        assets = self._with_parts(asset_ids)
        of_assets = [sensor for sensor in self._plant.sensors if sensor.asset_id in assets]
        ids = np.array(sorted(sensor.id for sensor in of_assets), np.int32)
        for detector in self._detectors.values():
            detector.rebaseline(ids[np.isin(ids, detector.sensor_ids)])
        if self._assets is not None:
            self._assets.rebaseline(np.array(sorted(assets), np.int32))
        if self._faults is not None:
            self._faults.rebaseline(ids[np.isin(ids, self._faults.sensor_ids)])
        scores = [sensor.id for sensor in of_assets if sensor.computed in {"score", "anomaly", "sensor_fault"}]
        return np.array(sorted(scores), np.int32)

    def parts(self) -> Mapping[str, _Part]:
        """What has a state, by name."""
        parts: dict[str, _Part] = {
            "order of scored": self._order,
            "running": self._gate,
            "contexts": self._twins,
            "score reports": self._reports,
        }
        parts |= {f"detector/{kind}": detector for kind, detector in self._detectors.items()}
        if self._assets is not None:
            parts["asset detector"] = self._assets
        if self._faults is not None:
            parts["sensor faults"] = self._faults
        return parts

    def _marked(self, batch: ReadingBatch) -> ReadingBatch:
        """Readings that anything here looks at, twins with their contexts among them; those at rest are marked."""
        running = self._gate.running(batch)
        together = self._twins.attach(batch)
        if not running.all():
            quality = together.quality.copy()
            quality[: len(batch)][~running] |= _AT_REST
            together = ReadingBatch(
                time=together.time, sensor_id=together.sensor_id, value=together.value, quality=quality
            )
        return _where(together, self._uses.take(together.sensor_id, mode="clip"))

    def _score(self, kind: str, detector: Detector, ready: ReadingBatch) -> ReadingBatch:
        seen = _where(ready, _of(ready, detector.sensor_ids))
        if not len(seen):
            return seen
        score = detector.score(seen)
        begins, length = _sensors(seen)
        targets = self._scores[kind][np.searchsorted(detector.sensor_ids, seen.sensor_id[begins])]
        scores = ReadingBatch(time=seen.time, sensor_id=np.repeat(targets, length), value=score, quality=seen.quality)
        # Unknown (warming up, bad input) is no reading, never 0: 0 would look healthy.
        scores = _where(scores, np.isfinite(score))
        return scores.take(self._reports.select(scores))

    def _score_assets(self, detector: AssetDetector, ready: ReadingBatch) -> list[ReadingBatch]:
        scores = detector.fold(_where(ready, _of(ready, detector.sensor_ids)))
        if not scores.time.size:
            return []
        anomalies, shares = self._detection.outputs_of(scores.asset_id)
        readings = ReadingBatch.of(scores.time, anomalies, scores.score)
        order = readings.order()
        told = np.zeros(order.size, np.bool_)
        told[order] = self._reports.select(readings.take(order))
        row, column = np.nonzero((told & (scores.score >= _SHARED_FROM))[:, None] & np.isfinite(scores.contribution))
        shared = ReadingBatch.of(scores.time[row], shares[row, column], scores.contribution[row, column])
        return [readings.take(told), shared]

    def _find_faults(self, faults: SensorFaults, ready: ReadingBatch, at_work: Mask) -> ReadingBatch:
        seen = _of(ready, faults.sensor_ids)
        found = faults.fold(_where(ready, seen), at_work[seen])
        targets = self._detection.faults_of(found.sensor_id)
        # One instant, one reading: what was found last there stands.
        order = np.lexsort((np.arange(targets.size), found.time, targets))
        last = np.flatnonzero((np.diff(targets[order], append=-1) != 0) | (np.diff(found.time[order], append=-1) != 0))
        kept = order[last]
        return ReadingBatch.of(found.time[kept], targets[kept], found.kind[kept].astype(np.float64))

    def _with_parts(self, asset_ids: SensorIds) -> set[int]:
        """These assets and all that they consist of."""
        found = set(asset_ids.tolist())
        before = 0
        while len(found) > before:
            before = len(found)
            found.update(asset.id for asset in self._plant.assets if asset.parent_id in found)
        return found


def _where(batch: ReadingBatch, chosen: Mask) -> ReadingBatch:
    return batch if chosen.all() else batch.take(chosen)


def _sensors(batch: ReadingBatch) -> tuple[Index, Index]:
    """Where the readings of each sensor begin, and how many there are; sorted by sensor."""
    ids = batch.sensor_id
    begins = np.concatenate((np.zeros(min(1, ids.size), np.intp), np.flatnonzero(ids[1:] != ids[:-1]) + 1))
    return begins, np.diff(begins, append=ids.size)


def _of(batch: ReadingBatch, sensor_ids: SensorIds) -> Mask:
    """Which readings are of these; sorted by sensor."""
    begins, length = _sensors(batch)
    return np.repeat(np.isin(batch.sensor_id[begins], sensor_ids), length)
