"""One pass of readings through rules, with the evaluator that runs in the engine."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from rules.alignment import groups_of
from rules.definition import Rule
from rules.evaluator import RuleEvaluator
from rules.occurrences import Occurrence, OccurrenceLog
from telemetry.batch import ReadingBatch, to_micros

__all__ = ["Run"]


class Run:
    """Some rules, switched on at the first reading, with nothing known of what was before.

    Time goes on to the end of the range after the last reading: what was still due by then happens.
    """

    def __init__(self, rules: Sequence[Rule], *, align_s: float) -> None:
        self.rules = tuple(rules)
        self._evaluator = RuleEvaluator(rules, align_s=align_s)
        self._log = OccurrenceLog()
        self.side_by_side = any(len(group) > 1 for group in groups_of(rules))
        """whether it needs readings of several sensors side by side in time"""

    @property
    def sensor_ids(self) -> list[int]:
        """Sensors the rules look at, ascending."""
        found: list[int] = self._evaluator.sensor_ids.tolist()
        return found

    def fold(self, batch: ReadingBatch) -> None:
        """Evaluate readings by (sensor_id, time)."""
        self._log.add(self._evaluator.fold(batch))

    def finish(self, end: datetime) -> tuple[Occurrence, ...]:
        """Let time go on to `end`; all alarms there were, by their beginning."""
        self._log.add(self._evaluator.flush())
        sensors = self._evaluator.sensor_ids
        self._log.add(self._evaluator.tick(sensors, np.full(sensors.size, to_micros(end), np.int64)))
        return self._log.occurrences()
