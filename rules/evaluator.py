"""`RuleEvaluator`: readings in, alarm changes out; all kinds of rules together, as a fold over event time."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from rules.alignment import GroupOrder, Released, groups_of, inputs_of, relations_of
from rules.definition import Rule
from rules.events import ActiveAlarm, AlarmChange
from rules.instances import NEVER
from rules.lane import Lane
from rules.samples import signal_of
from rules.suppression import SuppressionByDesign, change_order
from telemetry.batch import ReadingBatch

__all__ = ["RuleEvaluator"]

_DIRECT = "rules"
_ALIGNED = "rules/aligned"
_ORDER = "rules/order"
_SUPPRESSION = "rules/suppression"

_VALUE, _COMPUTED, _IN_GROUP = 1, 2, 4
"""what the readings of a sensor are for: direct rules on its value, direct rules of other kinds, aligned rules"""

Times = npt.NDArray[np.int64]
SensorIds = npt.NDArray[np.int32]


class RuleEvaluator:
    """Two lanes: rules that stand alone are evaluated at once, others in the order of event time of their group.

    The *direct* lane has the rules that look at one sensor and stand in no relation to others. The *aligned* lane has
    the rest: several sensors, gates, suppression, first-out. Their sensors form groups (`rules.alignment`) whose
    readings wait for each other, `align_s` at most; after each release time passes for the whole group up to its
    frontier, so that changes of different sensors come out in order of event time, which is what suppression by
    design needs.

    What is raised, cleared and suppressed does not depend on how the readings are cut into batches, as long as the
    readings of a group come less than `align_s` behind the newest of it.

    Args:
        rules: all that are in force.
        align_s: how long (seconds of event time) sensors that are looked at together wait for each other.

    Raises:
        ConfigurationError: two rules of one sensor or asset share a name; an expression or time zone is unknown.
    """

    def __init__(self, rules: Sequence[Rule], *, align_s: float) -> None:
        inputs = {rule.id: inputs_of(rule) for rule in rules}
        rules = [rule for rule in rules if inputs[rule.id]]  # without any, nothing can ever be said
        related = {rule.id for pair in relations_of(rules) for rule in pair}
        aligned = [rule for rule in rules if rule.id in related or rule.gate is not None or len(inputs[rule.id]) > 1]
        apart = {rule.id for rule in aligned}
        direct = [rule for rule in rules if rule.id not in apart]
        self._direct = Lane(direct, _DIRECT)
        self._aligned = Lane(aligned, _ALIGNED)
        self._order = GroupOrder(groups_of(aligned), align_s)
        self._suppression = SuppressionByDesign(aligned)
        self._settled = True
        self._late = 0
        self._moved = False

        sensors = frozenset().union(*(inputs[rule.id] for rule in rules))
        self._sensor_ids = np.array(sorted(sensors), np.int32)
        self._uses = np.zeros(int(self._sensor_ids.max(initial=0)) + 2, np.uint8)
        """by sensor id; the last one stands for all beyond"""
        self._uses[self._direct.signals[self._direct.signals > 0]] |= _VALUE
        self._uses[self._direct.block_sensor_ids] |= _COMPUTED
        self._uses[self._order.sensor_ids] |= _IN_GROUP

        sensor_of = {signal_of(rule): min(inputs[rule.id]) for rule in rules}
        self._sensor = np.searchsorted(
            self._sensor_ids, [sensor_of[signal] for signal in self._direct.signals.tolist()]
        )
        """of each signal of the direct lane, the position of its sensor"""
        self._group = self._order.group_of(sensor_of[signal] for signal in self._aligned.signals.tolist())
        """of each signal of the aligned lane, the group"""
        self._group_of_rule = dict(
            zip(apart, self._order.group_of(min(inputs[id_]) for id_ in apart).tolist(), strict=True)
        )

    @property
    def sensor_ids(self) -> SensorIds:
        """All sensors whose readings can change anything, ascending."""
        return self._sensor_ids

    @property
    def late(self) -> int:
        """Readings that came too late for the aligned lane, since this object was made."""
        return self._late

    @property
    def moved(self) -> bool:
        """Whether the last `tick` left another state than it found, changes of alarms or not."""
        return self._moved

    def fold(self, batch: ReadingBatch) -> list[AlarmChange]:
        """Evaluate readings sorted by (sensor_id, time), strictly ascending per sensor over all folds.

        Readings of any quality; those of other sensors are passed over.

        Returns:
            What changed, by (at, kind, key).
        """
        uses = self._uses[np.minimum(batch.sensor_id, self._uses.size - 1)]
        found = int(np.bitwise_or.reduce(uses))
        changes = self._settle()
        if found & _VALUE:
            changes += self._direct.fold_values(batch)
        if found & _COMPUTED:
            changes += self._direct.fold_computed(_taken(batch, uses & _COMPUTED != 0))
        if found & _IN_GROUP:
            changes += self._follow(self._order.release(_taken(batch, uses & _IN_GROUP != 0)))
        return sorted(changes, key=change_order)

    def tick(self, sensor_id: SensorIds, now_us: Times) -> list[AlarmChange]:
        """Let time pass for sensors that have been silent.

        Args:
            sensor_id: which; those that nothing here looks at are passed over.
            now_us: for each, until when (exclusive) there is no reading of it.

        Returns:
            What changed, by (at, kind, key).
        """
        known = np.isin(sensor_id, self._sensor_ids)
        sensor_id, now_us = sensor_id[known], now_us[known]
        until = np.full(self._sensor_ids.size, NEVER, np.int64)
        np.maximum.at(until, np.searchsorted(self._sensor_ids, sensor_id), now_us - 1)
        seen = self._direct.seen
        changes = self._settle() + self._direct.fold_computed(ReadingBatch.empty(), until[self._sensor])
        changes += self._direct.pass_time(until[self._sensor])
        member = np.isin(sensor_id, self._order.sensor_ids)
        released = self._order.advance(sensor_id[member], now_us[member])
        changes += self._follow(released)
        self._moved = bool(changes) or bool(released.moved.any()) or not np.array_equal(seen, self._direct.seen)
        return sorted(changes, key=change_order)

    def flush(self) -> list[AlarmChange]:
        """Evaluate everything held back, as at the end of a replay; by (at, kind, key)."""
        return sorted(self._settle() + self._follow(self._order.flush()), key=change_order)

    def waiting(self) -> SensorIds:
        """Sensors of which the passing of time alone can change something, ascending."""
        direct = self._sensor_ids[self._sensor[np.isin(self._direct.signals, self._direct.waiting())]]
        group = self._order.holding()
        group[self._group[np.isin(self._aligned.signals, self._aligned.waiting())]] = True
        return np.union1d(direct, self._order.members_of(group))

    def reset(self, rule_ids: SensorIds, at_us: Times) -> list[AlarmChange]:
        """What these rules count or warn of is over: a machine was serviced.

        Args:
            rule_ids: each once; unknown ones are passed over.
            at_us: since when, for each.

        Returns:
            What changed, by (at, kind, key).
        """
        changes = self._settle() + self._direct.reset(rule_ids, at_us)
        changes += self._suppression.fold(sorted(self._aligned.reset(rule_ids, at_us), key=change_order))
        return sorted(changes, key=change_order)

    def active(self) -> list[ActiveAlarm]:
        """The alarms that stand, suppressed ones among them."""
        return self._direct.active() + self._aligned.active()

    def snapshot(self) -> dict[str, bytes]:
        """The whole state, by part; `restore` continues from it exactly."""
        return {
            **self._direct.snapshot(),
            **self._aligned.snapshot(),
            _ORDER: self._order.snapshot(),
            _SUPPRESSION: self._suppression.snapshot(),
        }

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Go back to a snapshot, also one taken with other rules, or by a version that knew limits on values only.

        State is matched by rule. The first call after it also returns which alarms are suppressed or not because of
        rules that are others now.

        Args:
            parts: what `snapshot` gave; others are passed over.

        Raises:
            StateError: a part is damaged or of another version.
        """
        self._direct.restore(parts, _ALIGNED)
        self._aligned.restore(parts, _DIRECT)
        if (body := parts.get(_ORDER)) is not None:
            self._order.restore(body)
        if (body := parts.get(_SUPPRESSION)) is not None:
            self._suppression.restore(body)
        self._settled = False

    def _follow(self, released: Released) -> list[AlarmChange]:
        """The aligned lane, up to the new frontiers."""
        self._late += released.late
        if not released.moved.any():
            return []
        until = np.where(released.moved, self._order.frontier, NEVER)[self._group]
        changes = self._aligned.fold(released.ready, until)
        return self._suppression.fold(sorted(changes, key=change_order))

    def _settle(self) -> list[AlarmChange]:
        if self._settled:
            return []
        self._settled = True
        frontier = self._order.frontier
        return self._suppression.settle(
            self._aligned.active(), lambda rule_id: int(frontier[self._group_of_rule[rule_id]])
        )


def _taken(batch: ReadingBatch, which: npt.NDArray[np.bool_]) -> ReadingBatch:
    return batch if which.all() else batch.take(which)
