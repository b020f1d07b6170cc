"""The fold: readings in, scores and alarm changes out. No I/O, no clock; the same for live data, restart and replay."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ingest.door_checks import DoorCheckState
from models import kinds
from models.contract import Detector
from models.operating import RunningGate
from rules.definition import Rule
from rules.evaluator import RuleEvaluator
from rules.events import AlarmChange
from telemetry.batch import ReadingBatch
from telemetry.journal import Entry, Recovered, Reset, Tick
from telemetry.ordering import EventOrder
from telemetry.plant import Plant, SensorKind

__all__ = ["Evaluation", "Folded"]

_CHECKS = "door checks"
_ORDER = "order"
_SCORED_ORDER = "order of scored"
_GATE = "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What one batch led to."""

    derived: ReadingBatch
    """scores, to be stored like any reading"""
    changes: tuple[AlarmChange, ...]
    """alarms raised, peaked and cleared, by event time"""
    moved: bool = True
    """whether the state is another than before, alarms apart"""
    late: int = 0
    """readings that came behind the watermark: stored, not evaluated"""


class _Part(Protocol):
    def snapshot(self) -> bytes: ...
    def restore(self, body: bytes) -> None: ...


class Evaluation:
    """Detectors and rules over one plant, with their state.

    State changes in place. After a transaction that failed, throw the object away and `resume` a new one from the
    journal: the same way as after a crash.
    """

    def __init__(self, plant: Plant, rules: Sequence[Rule], *, lateness_s: float = 0.0, align_s: float = 10.0) -> None:
        self.plant = plant
        self.checks = DoorCheckState(plant.sensors)
        self._order = EventOrder(lateness_s)
        # Detectors see fewer readings than rules do (none of a machine at rest), in an order of their own.
        self._scored_order = EventOrder(lateness_s)
        self._gate = RunningGate(_state_sensors(plant))
        self._rules = RuleEvaluator(rules, align_s=align_s)
        self._detectors = _build_detectors(plant)
        self._scored = np.array(
            sorted(id_ for detector in self._detectors.values() for id_ in detector.sensor_ids.tolist()), np.int32
        )
        looked_at = set(self._rules.sensor_ids.tolist())
        pairs = [(s.source_id, s.id) for s in plant.sensors if s.source_id is not None and s.id in looked_at]
        self._sources, self._scores = np.array(sorted(pairs), np.int32).reshape(-1, 2).T
        """of scores that rules look at: the sensors they are of, ascending, and the scores"""
        self._score_of = {
            sensor.source_id: sensor.id
            for sensor in plant.sensors
            if sensor.kind is SensorKind.DERIVED and sensor.source_id is not None
        }
        watched = set(self._rules.sensor_ids.tolist())
        for detector in self._detectors.values():
            watched.update(detector.sensor_ids.tolist())
        watched.update(self._gate.state_sensors.tolist())
        watched.update(self.checks.sensor_ids.tolist())
        self._watched = np.array(sorted(watched), np.int32)

    def select(self, batch: ReadingBatch) -> ReadingBatch:
        """The readings that anything here looks at; `fold` takes these alone."""
        return batch.take(np.isin(batch.sensor_id, self._watched))

    def fold(self, batch: ReadingBatch) -> Folded:
        """Fold newly stored readings, in order of arrival."""
        self.checks.fold(batch)
        ordered = self._order.release(batch)
        derived = self._scores_of(batch) if self._detectors else ReadingBatch.empty()
        everything = ReadingBatch.concat([ordered.ready, derived]).sorted() if len(derived) else ordered.ready
        behind = self._rules.late
        changes = tuple(self._rules.fold(everything))
        return Folded(derived=derived, changes=changes, late=ordered.late + self._rules.late - behind)

    def _scores_of(self, batch: ReadingBatch) -> ReadingBatch:
        running = self._gate.running(batch)
        scored = self._scored_order.release(batch.take(running & np.isin(batch.sensor_id, self._scored))).ready
        return ReadingBatch.concat([self._score(detector, scored) for detector in self._detectors.values()])

    def _score(self, detector: Detector, ready: ReadingBatch) -> ReadingBatch:
        seen = ready.take(np.isin(ready.sensor_id, detector.sensor_ids))
        if not len(seen):
            return seen
        score = detector.score(seen)
        # Unknown (warming up, bad input) is no reading, never 0: 0 would look healthy.
        known = np.isfinite(score)
        targets = np.array([self._score_of[sensor] for sensor in detector.sensor_ids.tolist()], np.int32)
        return ReadingBatch.of(
            seen.time[known],
            targets[np.searchsorted(detector.sensor_ids, seen.sensor_id[known])],
            score[known],
            seen.quality[known],
        )

    def waiting(self) -> npt.NDArray[np.int32]:
        """Sensors of which the passing of time alone can change an alarm, ascending; of a score: what it is of."""
        waiting = self._rules.waiting()
        scored = np.isin(self._scores, waiting)
        if not scored.any():
            return waiting
        return np.union1d(np.setdiff1d(waiting, self._scores), self._sources[scored])

    def tick(self, tick: Tick) -> Folded:
        """Let time pass for some sensors, and with them for their scores."""
        told = np.isin(self._sources, tick.sensor_id)
        order = np.argsort(tick.sensor_id)
        ids, now = tick.sensor_id[order], tick.now[order]
        changes = self._rules.tick(
            np.concatenate([ids, self._scores[told]]),
            np.concatenate([now, now[np.searchsorted(ids, self._sources[told])]]),
        )
        return Folded(derived=ReadingBatch.empty(), changes=tuple(changes), moved=self._rules.moved)

    def reset(self, reset: Reset) -> Folded:
        """What some rules count, or stand for, is over."""
        changes = self._rules.reset(reset.rule_id, reset.at)
        return Folded(derived=ReadingBatch.empty(), changes=tuple(changes))

    def snapshot(self) -> dict[str, bytes]:
        """The whole state, by part."""
        return {name: part.snapshot() for name, part in self._parts().items()} | self._rules.snapshot()

    def _parts(self) -> "dict[str, _Part]":
        return {
            _CHECKS: self.checks,
            _ORDER: self._order,
            _SCORED_ORDER: self._scored_order,
            _GATE: self._gate,
            **{f"detector/{kind}": detector for kind, detector in self._detectors.items()},
        }

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Take over what fits of a state, also of one made under another plant.

        Raises:
            StateError: a part is damaged or of another version.
        """
        for name, part in self._parts().items():
            if (body := parts.get(name)) is not None:
                part.restore(body)
        self._rules.restore(parts)

    def resume(self, recovered: Recovered) -> tuple[AlarmChange, ...]:
        """State as of the last COMMIT, and every alarm change since the checkpoint once more (their keys repeat)."""
        self.restore(recovered.parts)
        changes: list[AlarmChange] = []
        for entry in recovered.entries:
            changes.extend(self._follow(entry).changes)
        return tuple(changes)

    def _follow(self, entry: Entry) -> Folded:
        match entry:
            case Tick():
                return self.tick(entry)
            case Reset():
                return self.reset(entry)
            case _:
                return self.fold(self.select(entry))


def _build_detectors(plant: Plant) -> dict[str, Detector]:
    chosen: dict[str, list[tuple[int, Mapping[str, float]]]] = defaultdict(list)
    for sensor in plant.sensors:
        if sensor.detector is not None:
            chosen[sensor.detector.kind].append((sensor.id, sensor.detector.parameters))
    return {kind: kinds.build(kind, sensors) for kind, sensors in sorted(chosen.items())}


def _state_sensors(plant: Plant) -> dict[int, int]:
    """For each sensor with a detector the state sensor of its asset, or of the nearest asset above it that has one."""
    of_asset = {sensor.asset_id: sensor.id for sensor in plant.sensors if sensor.kind is SensorKind.STATE}
    found: dict[int, int] = {}
    for sensor in plant.sensors:
        asset_id: int | None = sensor.asset_id if sensor.detector is not None else None
        while asset_id is not None:
            if asset_id in of_asset:
                found[sensor.id] = of_asset[asset_id]
                break
            asset_id = plant.asset_by_id[asset_id].parent_id
    return found
