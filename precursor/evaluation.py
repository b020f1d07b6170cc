"""The fold: readings in, scores and alarm changes out. No I/O, no clock; the same for live data, restart and replay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ingest.door_checks import DoorCheckState
from models.operating import SETTLE_S
from precursor.scoring import Scoring
from rules.definition import Rule
from rules.evaluator import RuleEvaluator
from rules.events import AlarmChange
from telemetry.batch import ReadingBatch
from telemetry.journal import Entry, Rebaseline, Recovered, Reset, Tick
from telemetry.ordering import EventOrder
from telemetry.plant import Plant

__all__ = ["Evaluation", "Folded"]

_CHECKS = "door checks"
_ORDER = "order"
_REPORT_S = 300.0


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

    def __init__(
        self,
        plant: Plant,
        rules: Sequence[Rule],
        *,
        lateness_s: float = 0.0,
        align_s: float = 10.0,
        report_s: float = _REPORT_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        self.plant = plant
        self.checks = DoorCheckState(plant.sensors)
        self._order = EventOrder(lateness_s)
        self._scoring = Scoring(plant, lateness_s=lateness_s, align_s=align_s, report_s=report_s, settle_s=settle_s)
        self._rules = RuleEvaluator(rules, align_s=align_s)
        self._rules_of = [(rule.id, rule.sensor_id) for rule in rules]
        pairs = self._scoring.sources
        self._sources, self._scores = pairs[np.isin(pairs[:, 1], self._rules.sensor_ids)].T
        """of scores that rules look at: the sensors they are of, ascending, and the scores"""
        self._watched = np.unique(
            np.concatenate([self._rules.sensor_ids, self._scoring.sensor_ids, self.checks.sensor_ids])
        )

    def select(self, batch: ReadingBatch) -> ReadingBatch:
        """The readings that anything here looks at; `fold` takes these alone."""
        return batch.take(np.isin(batch.sensor_id, self._watched))

    def fold(self, batch: ReadingBatch) -> Folded:
        """Fold newly stored readings, in order of arrival."""
        self.checks.fold(batch)
        ordered = self._order.release(batch)
        derived = self._scoring.fold(batch)
        behind = self._rules.late
        changes = tuple(self._rules.fold(self._with_scores(ordered.ready, derived)))
        return Folded(derived=derived, changes=changes, late=ordered.late + self._rules.late - behind)

    def _with_scores(self, ready: ReadingBatch, derived: ReadingBatch) -> ReadingBatch:
        """Readings, and those scores among them that rules look at; sorting both costs more than telling them apart."""
        looked_at = np.isin(derived.sensor_id, self._rules.sensor_ids)
        return ReadingBatch.concat([ready, derived.take(looked_at)]).sorted() if looked_at.any() else ready

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
        scores, score = np.unique(self._scores[told], return_inverse=True)
        # An asset's score is as far as the sensor of it that is furthest.
        reached = np.full(scores.size, np.iinfo(np.int64).min)
        np.maximum.at(reached, score, now[np.searchsorted(ids, self._sources[told])])
        changes = self._rules.tick(np.concatenate([ids, scores]), np.concatenate([now, reached]))
        return Folded(derived=ReadingBatch.empty(), changes=tuple(changes), moved=self._rules.moved)

    def reset(self, reset: Reset) -> Folded:
        """What some rules count, or stand for, is over."""
        changes = self._rules.reset(reset.rule_id, reset.at)
        return Folded(derived=ReadingBatch.empty(), changes=tuple(changes))

    def rebaseline(self, rebaseline: Rebaseline) -> Folded:
        """Some assets are not what they were: what is usual is learned anew, what was unusual about them is over."""
        scores = set(self._scoring.rebaseline(rebaseline.asset_id).tolist())
        over = [rule for rule, sensor in self._rules_of if sensor in scores]
        at = np.full(len(over), rebaseline.at.max(initial=0), np.int64)
        changes = self._rules.reset(np.array(over, np.int32), at)
        return Folded(derived=ReadingBatch.empty(), changes=tuple(changes))

    def snapshot(self) -> dict[str, bytes]:
        """The whole state, by part."""
        return {name: part.snapshot() for name, part in self._parts().items()} | self._rules.snapshot()

    def _parts(self) -> "dict[str, _Part]":
        return {_CHECKS: self.checks, _ORDER: self._order, **self._scoring.parts()}

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
            case Rebaseline():
                return self.rebaseline(entry)
            case _:
                return self.fold(self.select(entry))
