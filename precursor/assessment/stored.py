"""Scores and prognoses that a plant has stored, held against its known failures.

An alarm is a score of 1 or more, by the evaluator that runs in the engine, and dips of up to 30 s do not end it.
Warnings, false alarms and chance are those of `rules.lead_time`. The plain baseline is a fixed limit on each of the
sensors that are scored: mean and five standard deviations of the first tenth of the range, as one would set it by hand.
"""

import fnmatch
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg

from models.contract import ALARM
from precursor.assessment.foresight import Forecast, Judged
from precursor.assessment.report import Assessment
from precursor.backtest.labels import read_failures
from precursor.backtest.rule_set import RuleSet, rules_in_force
from precursor.backtest.run import Run
from precursor.backtest.stored_values import Levels
from precursor.backtest.trial import StoredData
from rules.definition import Rule
from rules.lead_time import HORIZON, Failure
from rules.occurrences import Occurrence
from telemetry.batch import ReadingBatch
from telemetry.errors import ConfigurationError
from telemetry.plant import AssetState, Plant, Sensor, SensorKind
from telemetry.plant_store import load_plant
from telemetry.sql import load_queries

__all__ = ["Asked", "assess_stored", "chosen_scores", "known_failures", "plain_rules", "score_rule"]

_SQL = load_queries("precursor.assessment")
_SCORES = ("score", "anomaly")
_MERGE_S = 30.0
_LEARNED = 0.1
"""part of the range from which the plain limits are set"""
_PLAIN_SIGMAS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be judged. Patterns with * and ?; empty: all."""

    begin: datetime
    end: datetime
    assets: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    """of the score sensors, or of the sensors they are of"""
    labels: Path | None = None
    """None: failures are where state sensors say `failed`"""
    horizon: timedelta = HORIZON


async def assess_stored(
    connection: asyncpg.Connection, asked: Asked, *, watch: Callable[[str], None] = lambda doing: None
) -> Assessment:
    """Judge what is stored of a range.

    Raises:
        ConfigurationError: no score is left by the patterns, or the labels cannot be read.
    """
    plant = await load_plant(connection)
    scores = chosen_scores(plant, asked, _stored_scores(plant))
    ruled = rules_in_force(plant, [score_rule(number, each, plant) for number, each in enumerate(scores, 1)])
    failures = await known_failures(connection, plant, asked, ruled)
    watch(f"{len(scores):,} scores")
    alarms = await _alarms(connection, asked, ruled.rules)
    watch("the same by plain limits")
    plain = await _alarms(connection, asked, await plain_rules(connection, asked, plant, scores))
    watch("prognoses")
    judged = Judged(
        begin=asked.begin,
        end=asked.end,
        horizon=asked.horizon,
        rules=ruled,
        failures=failures,
        alarms=alarms,
        plain=plain,
        forecasts=await _forecasts(connection, asked, plant, ruled),
    )
    return judged.assessment()


def _stored_scores(plant: Plant) -> list[Sensor]:
    scores = [sensor for sensor in plant.sensors if sensor.computed in _SCORES]
    if not scores:
        raise ConfigurationError(
            "the plant has no score: give a sensor or an asset a detector in the plant file, and apply it"
        )
    return scores


def chosen_scores(plant: Plant, asked: Asked, scores: Sequence[Sensor]) -> list[Sensor]:
    """Those of some score sensors that the patterns leave.

    Raises:
        ConfigurationError: none is left.
    """
    lines = rules_in_force(plant, ()).machine_of
    assets, sensors = plant.asset_by_id, plant.sensor_by_id

    def fits(names: Collection[str], patterns: Sequence[str]) -> bool:
        return not patterns or any(fnmatch.fnmatchcase(name, each) for name in names for each in patterns)

    chosen = []
    for each in scores:
        source = [] if each.source_id is None else [sensors[each.source_id].name]
        if (
            fits(lines[each.asset_id], asked.assets)
            and fits([assets[each.asset_id].asset_class], asked.classes)
            and fits([each.name, *source], asked.sensors)
        ):
            chosen.append(each)
    if not chosen:
        raise ConfigurationError(
            f"none of the {len(scores):,} scores fits the patterns; one of them is {scores[0].name!r}, of the asset"
            f" {assets[scores[0].asset_id].name!r} of class {assets[scores[0].asset_id].asset_class!r}"
        )
    return chosen


def score_rule(number: int, score: Sensor, plant: Plant) -> Rule:
    """The rule whose alarms are those of a score. It is named like the detector."""
    return Rule(
        id=number,
        name=_kind(score, plant),
        sensor_id=score.id,
        sensor_name=score.name,
        asset_id=score.asset_id,
        unit=score.unit,
        # A rule's limit is passed above it, a score's at it.
        high=math.nextafter(ALARM, 0.0),
        off_delay_s=_MERGE_S,
    )


def _kind(score: Sensor, plant: Plant) -> str:
    """Name of the detector that made it."""
    source = None if score.source_id is None else plant.sensor_by_id[score.source_id]
    asset = plant.asset_by_id[score.asset_id]
    for holder in (score, source, asset):
        if holder is not None and holder.detector is not None:
            return holder.detector.kind
    return score.computed


async def known_failures(
    connection: asyncpg.Connection, plant: Plant, asked: Asked, ruled: RuleSet
) -> tuple[Failure, ...] | None:
    """Those of assets that are scored, or that scored ones are a part of; None: nobody says when anything failed."""
    concerned = {name for rule in ruled.rules for name in ruled.machine_of[rule.asset_id]}
    if asked.labels is not None:
        told = read_failures(asked.labels, {asset.name for asset in plant.assets})
        return tuple(each for each in told if each.asset in concerned)
    names = plant.asset_by_id
    states = {
        sensor.id: names[sensor.asset_id].name
        for sensor in plant.sensors
        if sensor.kind is SensorKind.STATE and names[sensor.asset_id].name in concerned
    }
    if not states:
        return None
    rows = await connection.fetch(_SQL["read_failures"], list(states), asked.begin, asked.end, float(AssetState.FAILED))
    return tuple(Failure(asset=states[row["sensor_id"]], failure_at=row["time"]) for row in rows)


class _Alarms:
    """A pass over stored readings that takes note of alarms alone."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.run = Run(rules, align_s=0.0)
        self.watched = self.run.sensor_ids
        self.side_by_side = self.run.side_by_side
        self.rules = self.run.rules
        self.only_rules = True

    def pass_over(self, levels: Levels) -> None:
        """Nothing happened there."""

    def fold(self, batch: ReadingBatch) -> None:
        self.run.fold(batch)


async def _alarms(connection: asyncpg.Connection, asked: Asked, rules: Sequence[Rule]) -> tuple[Occurrence, ...]:
    if not rules:
        return ()
    data = StoredData(connection, asked.begin, asked.end)
    passed, _ = await data.show(lambda: _Alarms(rules), lambda readings, part: None)
    return passed.run.finish(asked.end)


async def plain_rules(
    connection: asyncpg.Connection, asked: Asked, plant: Plant, scores: Sequence[Sensor]
) -> list[Rule]:
    """What one would set by hand on the sensors that these scores are of, after the first tenth of the range."""
    sensors = plant.sensor_by_id
    sources = {each.source_id for each in scores if each.source_id is not None}
    for each in scores:
        if each.source_id is None and (spec := plant.asset_by_id[each.asset_id].detector) is not None:
            sources |= {sensor.id for sensor in plant.sensors if sensor.name in spec.sensors}
    until = asked.begin + (asked.end - asked.begin) * _LEARNED
    rows = await connection.fetch(_SQL["read_usual"], sorted(sources), asked.begin, until)
    return [
        Rule(
            id=number,
            name="plain limit",
            sensor_id=row["sensor_id"],
            sensor_name=sensors[row["sensor_id"]].name,
            asset_id=sensors[row["sensor_id"]].asset_id,
            unit=sensors[row["sensor_id"]].unit,
            high=row["mean"] + _PLAIN_SIGMAS * row["deviation"],
            low=row["mean"] - _PLAIN_SIGMAS * row["deviation"],
            off_delay_s=_MERGE_S,
        )
        for number, row in enumerate(rows, 1)
        if row["deviation"] > 0
    ]


async def _forecasts(
    connection: asyncpg.Connection, asked: Asked, plant: Plant, ruled: RuleSet
) -> tuple[Forecast, ...]:
    assets = plant.asset_by_id
    concerned = {name for rule in ruled.rules for name in ruled.machine_of[rule.asset_id]}
    ids = [asset.id for asset in plant.assets if asset.name in concerned]
    rows = await connection.fetch(_SQL["read_prognoses"], ids, asked.begin, asked.end)
    return tuple(
        Forecast(
            asset=assets[row["asset_id"]].name,
            method=row["method"],
            made_at=row["made_at"],
            p10_s=row["p10_s"],
            p50_s=row["p50_s"],
            p90_s=row["p90_s"],
        )
        for row in rows
    )
