"""`Lane`: the way of readings through signals, gates, schedules and limits, for some of the rules."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rules.definition import Rule
from rules.events import ActiveAlarm, AlarmChange
from rules.gates import Gates
from rules.handover import joined
from rules.instances import NEVER
from rules.samples import Samples, signal_of
from rules.schedules import Schedules
from rules.signal import NoData
from rules.signals.build import build
from rules.threshold import ThresholdEvaluator
from telemetry.batch import ReadingBatch
from telemetry.quality import usable

__all__ = ["Lane"]

_GATES = "/gates"

Times = npt.NDArray[np.int64]


class _Part(Protocol):
    def snapshot(self) -> bytes: ...
    def restore(self, body: bytes) -> None: ...


class Lane:
    """Evaluates rules one by one; what their alarms mean to each other comes after.

    Args:
        rules: to evaluate here.
        name: what the parts of its state are called, before a slash.
    """

    def __init__(self, rules: Sequence[Rule], name: str) -> None:
        self._name = name
        self._blocks = build([rule for rule in rules if signal_of(rule) < 0])
        self._gates = Gates(list(rules))
        self._schedules = Schedules(list(rules))
        self._thresholds = ThresholdEvaluator(rules)
        signals = self._thresholds.signals
        self._gated = np.searchsorted(signals, self._gates.signal)
        self._scheduled = np.searchsorted(signals, self._schedules.signal)
        self._unbegun = _unbegun(rules)

    @property
    def signals(self) -> npt.NDArray[np.int32]:
        """The signals judged, ascending, each once."""
        return self._thresholds.signals

    @property
    def block_sensor_ids(self) -> npt.NDArray[np.int32]:
        """The sensors out of whose readings anything is computed."""
        ids = [block.sensor_ids for block in self._blocks.values()]
        return np.unique(np.concatenate([np.empty(0, np.int32), *ids]))

    @property
    def seen(self) -> Times:
        """What passing time leaves in the state besides changes of alarms: of schedules, up to when they were told."""
        return self._schedules.seen

    def fold(self, batch: ReadingBatch, until: Times) -> list[AlarmChange]:
        """Evaluate readings sorted by (sensor_id, time), strictly ascending per sensor over all folds.

        Args:
            batch: readings of other sensors are passed over.
            until: for each of `signals`, up to when (us, inclusive) time has passed; `NEVER`: for this one it has not.

        Returns:
            What changed, in no order.
        """
        return self.fold_values(batch) + self.fold_computed(batch, until) + self.pass_time(until)

    def fold_values(self, batch: ReadingBatch) -> list[AlarmChange]:
        """Only the limits on values as they are."""
        good = usable(batch.quality)
        return self._thresholds.fold(Samples.of_values(batch if good.all() else batch.take(good)))

    def fold_computed(self, batch: ReadingBatch, until: Times | None = None) -> list[AlarmChange]:
        """Only what is computed out of readings, or applies at times only."""
        samples = Samples.merged([block.fold(batch) for block in self._blocks.values()])
        if self._gated.size or self._scheduled.size:
            known = np.full(self.signals.size, NEVER, np.int64) if until is None else until
            if len(self._unbegun):
                samples = Samples.merged([self._begun(samples, known), samples])
            samples = self._gates.fold(samples, batch, known[self._gated])
            samples = self._schedules.fold(samples, known[self._scheduled])
        return self._thresholds.fold(samples)

    def pass_time(self, until: Times) -> list[AlarmChange]:
        """What delays that have run out bring about."""
        passed = until != NEVER
        return self._thresholds.tick(self.signals[passed], until[passed] + 1)

    def waiting(self) -> npt.NDArray[np.int32]:
        """Signals to which time alone can do something, ascending."""
        waiting = self._thresholds.pending()
        if self._gated.size or self._scheduled.size:
            active = {alarm.rule.id for alarm in self._thresholds.active()} if self._scheduled.size else set()
            waiting = np.unique(np.concatenate((waiting, self._gates.waiting(), self._schedules.waiting(active))))
        return waiting

    def reset(self, rule_ids: npt.NDArray[np.int32], at_us: Times) -> list[AlarmChange]:
        """What these rules count or warn of is over; others than those of this lane are passed over.

        Returns:
            What changed, in no order.
        """
        changes = self._thresholds.reset(rule_ids, at_us)
        parts = [
            block.reset(rule_ids[at_us == moment].astype(np.int64), moment)
            for moment in np.unique(at_us).tolist()
            for block in self._blocks.values()
        ]
        self._gates.reset(rule_ids)
        self._schedules.reset(rule_ids)
        return changes + self._thresholds.fold(Samples.merged(parts))

    def active(self) -> list[ActiveAlarm]:
        """The alarms that stand, by signal and rule."""
        return self._thresholds.active()

    def snapshot(self) -> dict[str, bytes]:
        """The whole state, by part; `restore` continues from it exactly."""
        parts = self._by_rule() | {_GATES: self._gates}
        return {self._name + part: each.snapshot() for part, each in parts.items()}

    def restore(self, parts: Mapping[str, bytes], other: str) -> None:
        """Go back to a snapshot, also one taken with other rules.

        Args:
            parts: what `snapshot` gave, and perhaps more.
            other: the name of the other lane: rules that were there then take their state along.

        Raises:
            StateError: a part is damaged or of another kind.
        """
        for part, each in self._by_rule().items():
            if bodies := [parts[name + part] for name in (self._name, other) if name + part in parts]:
                each.restore(joined(bodies))
        if (body := parts.get(self._name + _GATES)) is not None:
            self._gates.restore(body)
        begun = np.concatenate((self._gates.begun(), self._schedules.begun()))
        self._unbegun = _taken(self._unbegun, ~np.isin(self._unbegun.signal, begun))

    def _by_rule(self) -> dict[str, _Part]:
        """Those whose snapshots have rows per rule and nothing else."""
        blocks = {f"/signals/{kind}": block for kind, block in self._blocks.items()}
        return {"": self._thresholds, "/schedules": self._schedules, **blocks}

    def _begun(self, samples: Samples, known: Times) -> Samples:
        """The samples that say that there is no data since somebody watches: those whose time has come."""
        reached = known[np.searchsorted(self.signals, self._unbegun.signal)]
        place = np.minimum(np.searchsorted(self._unbegun.signal, samples.signal), len(self._unbegun) - 1)
        mine = self._unbegun.signal[place] == samples.signal
        np.maximum.at(reached, place[mine], samples.time[mine])
        due = reached >= self._unbegun.time
        begun, self._unbegun = _taken(self._unbegun, due), _taken(self._unbegun, ~due)
        return begun


def _unbegun(rules: Sequence[Rule]) -> Samples:
    """Of rules that do not apply at all times, the silence that has lasted since somebody watches.

    Limits count it from then on by themselves; it must pass gate and schedule as any sample does.
    """
    silent = sorted(
        (-rule.id, rule.watched_since_us)
        for rule in rules
        if isinstance(rule.signal, NoData)
        and rule.watched_since_us is not None
        and (rule.gate is not None or rule.schedule is not None)
    )
    return Samples(
        signal=np.array([signal for signal, _ in silent], np.int32),
        time=np.array([since for _, since in silent], np.int64),
        value=np.ones(len(silent)),
    )


def _taken(samples: Samples, which: npt.NDArray[np.bool_]) -> Samples:
    return Samples(signal=samples.signal[which], time=samples.time[which], value=samples.value[which])
