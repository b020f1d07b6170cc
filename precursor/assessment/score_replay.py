"""Stored readings through detectors, and rules over what they say; nothing is written.

The readings of all sensors go by side by side in time, stretch by stretch, through the class that scores in the engine.
What arrived when is not stored, so they go in by their own time; states, and the speeds and loads that levels depend
on, before what was measured at the same instant.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

import asyncpg
import numpy as np

from precursor.assessment.report import Watch
from precursor.backtest.readings import Seen
from precursor.backtest.run import Run
from precursor.backtest.stored_values import Levels
from precursor.backtest.trial import StoredData
from precursor.detection import Detection
from precursor.scoring import Scoring
from precursor.settings import EvaluationSettings
from rules.definition import Rule
from rules.evaluator import RuleEvaluator
from rules.occurrences import Occurrence, OccurrenceLog
from telemetry.batch import ReadingBatch, to_micros
from telemetry.plant import Plant
from telemetry.ranges import read_neighbours
from telemetry.sql import load_queries

__all__ = ["ScoreReplay", "replay_scores"]

_SQL = load_queries("precursor.assessment", "score_replay.sql")


async def replay_scores(
    connection: asyncpg.Connection,
    plant: Plant,
    rules: Sequence[Rule],
    begin: datetime,
    end: datetime,
    *,
    evaluation: EvaluationSettings,
    plain: Sequence[Rule] = (),
    take: Callable[[ReadingBatch], None] = lambda derived: None,
    watch: Watch = lambda doing: None,
) -> tuple["ScoreReplay", Seen]:
    """Run the detectors of a plant over the stored readings of [begin, end), and rules over their scores.

    Args:
        plant: sensors with the ids that their readings have.
        plain: rules on the sensors that are scored, evaluated beside them.
        take: is given all that the detectors say, in the order in which the engine would store it.
    """
    states = sorted(set(Detection(plant).state_sensors().values()))
    neighbours = await read_neighbours(connection, states, begin, end)
    made = ScoreReplay(plant, rules, evaluation=evaluation, plain=plain, take=take)
    made.begin(neighbours.take(neighbours.time < to_micros(begin)), await _rebaselines(connection, plant, begin, end))
    return await StoredData(connection, begin, end).show(
        lambda: made,
        lambda readings, part: watch(f"replaying {readings:,} readings" + (f", {part:.0%}" if part else "")),
    )


class ScoreReplay:
    """A pass over stored readings that scores them, and evaluates rules on the scores."""

    side_by_side = True
    only_rules = False
    rules: Sequence[Rule] = ()
    """none of those that may pass readings over"""

    def __init__(
        self,
        plant: Plant,
        rules: Sequence[Rule],
        *,
        evaluation: EvaluationSettings,
        plain: Sequence[Rule] = (),
        take: Callable[[ReadingBatch], None] = lambda derived: None,
    ) -> None:
        wanted = Detection(plant)
        self._first = np.array(sorted({*wanted.state_sensors().values(), *wanted.contexts().values()}), np.int32)
        self._scoring = Scoring(
            plant,
            lateness_s=evaluation.lateness_s,
            align_s=evaluation.align_s,
            report_s=evaluation.score_every_s,
            settle_s=evaluation.settle_s,
        )
        self._evaluator = RuleEvaluator(rules, align_s=0.0)
        self._rule_of = {rule.sensor_id: rule.id for rule in rules}
        self._log = OccurrenceLog()
        self.plain = Run(plain, align_s=0.0)
        self._take = take
        self._anew: list[tuple[int, int]] = []
        self.watched: list[int] = self._scoring.sensor_ids.tolist()
        self.reported = 0
        """scores and shares in them so far"""
        self.first_at: dict[int, int] = {}
        """by sensor id of a score: event time of the first one, us"""
        self.rebaselined = 0

    def begin(self, states: ReadingBatch, anew: Sequence[tuple[int, int]]) -> None:
        """Say what is known when the range begins.

        Args:
            states: what machines did before, by (sensor_id, time).
            anew: us since 1970, ascending, and asset id: when what is usual for it is learned anew.
        """
        self._scoring.fold(states)
        self._anew = list(anew)

    def fold(self, batch: ReadingBatch) -> None:
        """Readings of all sensors, by (sensor_id, time); no batch begins before the end of the one before."""
        self.plain.fold(batch)
        told = np.isin(batch.sensor_id, self._first)
        rows = np.concatenate([np.flatnonzero(told), np.flatnonzero(~told)])
        arrived = batch.take(rows[np.argsort(batch.time[rows], kind="stable")])
        last = int(arrived.time[-1])
        while self._anew and self._anew[0][0] <= last:
            at, asset_id = self._anew.pop(0)
            before = arrived.time < at
            self._score(arrived.take(before))
            self._rebaseline(at, asset_id)
            arrived = arrived.take(~before)
        self._score(arrived)

    def finish(self, end: datetime) -> tuple[Occurrence, ...]:
        """Let time go on to `end`; all alarms there were, by their beginning."""
        for at, asset_id in self._anew:
            self._rebaseline(at, asset_id)
        self._log.add(self._evaluator.flush())
        sensors = self._evaluator.sensor_ids
        self._log.add(self._evaluator.tick(sensors, np.full(sensors.size, to_micros(end), np.int64)))
        return self._log.occurrences()

    def pass_over(self, levels: Levels) -> None:
        """Nothing is passed over."""

    def _score(self, arrived: ReadingBatch) -> None:
        derived = self._scoring.fold(arrived)
        if not len(derived):
            return
        self._take(derived)
        self.reported += len(derived)
        sensors, starts = np.unique(derived.sensor_id, return_index=True)
        for sensor, at in zip(sensors.tolist(), derived.time[starts].tolist(), strict=True):
            self.first_at.setdefault(sensor, at)
        self._log.add(self._evaluator.fold(derived))

    def _rebaseline(self, at: int, asset_id: int) -> None:
        scores = self._scoring.rebaseline(np.array([asset_id], np.int32)).tolist()
        over = [self._rule_of[score] for score in scores if score in self._rule_of]
        self._log.add(self._evaluator.reset(np.array(over, np.int32), np.full(len(over), at, np.int64)))
        self.rebaselined += 1


async def _rebaselines(
    connection: asyncpg.Connection, plant: Plant, begin: datetime, end: datetime
) -> list[tuple[int, int]]:
    assets = {asset.name: asset.id for asset in plant.assets}
    rows = await connection.fetch(_SQL["read_rebaselines"], begin, end)
    return [(to_micros(row["at"]), assets[row["name"]]) for row in rows if row["name"] in assets]
