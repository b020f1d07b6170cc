"""Detectors over readings that are stored, as if they had been switched on when the range begins.

Judged is as for stored scores, see `precursor.assessment.stored`.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg

from precursor.assessment.foresight import Judged
from precursor.assessment.planned_plant import planned_plant
from precursor.assessment.report import Assessment, Watch
from precursor.assessment.score_replay import ScoreReplay, replay_scores
from precursor.assessment.stored import Asked, chosen_scores, known_failures, plain_rules, score_rule
from precursor.backtest.readings import Seen
from precursor.backtest.rule_set import rules_in_force
from precursor.detection import Detection
from precursor.plantfile.definition import PlantDefinition
from precursor.settings import EvaluationSettings
from telemetry.batch import to_datetime
from telemetry.catalogue import load_catalogue
from telemetry.errors import ConfigurationError
from telemetry.plant import Plant, Sensor
from telemetry.plant_store import load_plant

__all__ = ["assess_replayed"]

_MOST_NAMED = 5
_MOST_TOLD = 200


async def assess_replayed(
    connection: asyncpg.Connection,
    asked: Asked,
    definition: PlantDefinition | None,
    *,
    evaluation: EvaluationSettings,
    watch: Watch = lambda doing: None,
) -> Assessment:
    """Judge what detectors would have said over the readings that are stored of a range.

    Args:
        definition: the plant whose detectors these are; None: that in the database.

    Raises:
        ConfigurationError: no detector is left by the patterns, none of its sensors has readings in the range, or the
            labels cannot be read.
    """
    if definition is None:
        plant = await load_plant(connection)
    else:
        known = {sensor.name: sensor.id for sensor in (await load_catalogue(connection)).sensors}
        plant = planned_plant(definition, sensor_ids=known)
    scores = chosen_scores(plant, asked, _of_detectors(plant))
    ruled = rules_in_force(plant, [score_rule(number, each, plant) for number, each in enumerate(scores, 1)])
    failures = await known_failures(connection, plant, asked, ruled)
    watch("what is usual")
    plain = await plain_rules(connection, asked, plant, scores)
    begun = time.monotonic()
    made, seen = await replay_scores(
        connection,
        _with_detectors_of(plant, scores),
        ruled.rules,
        asked.begin,
        asked.end,
        evaluation=evaluation,
        plain=plain,
        watch=watch,
    )
    took = time.monotonic() - begun
    if not seen.readings:
        raise ConfigurationError(
            f"none of the sensors that are to be scored has a stored reading between {asked.begin:%Y-%m-%d %H:%M} and"
            f" {asked.end:%Y-%m-%d %H:%M} UTC; `precursor import` takes history in"
        )
    judged = Judged(
        begin=asked.begin,
        end=asked.end,
        horizon=asked.horizon,
        rules=ruled,
        failures=failures,
        alarms=made.finish(asked.end),
        plain=made.plain.finish(asked.end),
        forecasts=(),
    )
    found = judged.assessment()
    return replace(
        found,
        dataset="replayed",
        title=f"{len(scores):,} scores of {len(judged.machines):,} assets, replayed, {asked.begin:%Y-%m-%d %H:%M} to"
        f" {asked.end:%Y-%m-%d %H:%M} UTC",
        about="Scores as the detectors of the plant file would have given them, had they been switched on when this"
        " time began: computed from stored readings by what runs in the engine." + found.about.partition(".")[2],
        notes=(*found.notes, *_notes(plant, scores, made, seen, asked)),
        details={name: each for name, each in found.details.items() if name != "prognoses"}
        | {"replay": _details(scores, made, seen, took)},
    )


def _of_detectors(plant: Plant) -> list[Sensor]:
    """Scores that detectors here make, and nobody else."""
    made = set(Detection(plant).reported().tolist())
    scores = [sensor for sensor in plant.sensors if sensor.id in made]
    if not scores:
        raise ConfigurationError(
            "no detector is asked for: give a sensor or an asset of the plant file a `detector`, or the whole file"
            " `detectors: auto`"
        )
    return scores


def _with_detectors_of(plant: Plant, scores: Sequence[Sensor]) -> Plant:
    """The same plant with nothing but what makes these scores: what is not judged need not be computed."""
    sources = {each.source_id for each in scores}
    assets = {each.asset_id for each in scores if each.computed == "anomaly"}
    return replace(
        plant,
        sensors=tuple(
            replace(each, detector=each.detector if each.id in sources else None)
            for each in plant.sensors
            if each.computed != "sensor_fault"
        ),
        assets=tuple(replace(each, detector=each.detector if each.id in assets else None) for each in plant.assets),
    )


def _notes(plant: Plant, scores: Sequence[Sensor], made: ScoreReplay, seen: Seen, asked: Asked) -> list[str]:
    notes = []
    names = {sensor.id: sensor.name for sensor in plant.sensors}
    unread = [names[each] for each in made.watched if each not in seen.sensors]
    if unread:
        notes.append(f"no readings of {_named(unread)} in this time")
    silent = [each.name for each in scores if each.id not in made.first_at]
    if silent:
        notes.append(
            f"{len(silent):,} of {len(scores):,} scores say nothing ({_named(silent)}): too few readings to learn what"
            " is usual, or the machine did not run"
        )
    began = sorted(made.first_at[each.id] for each in scores if each.id in made.first_at)
    if began:
        at = to_datetime(began[len(began) // 2])
        notes.append(
            f"detectors learn first: half of the scores begin by {at:%Y-%m-%d %H:%M}, {_length(at - asked.begin)} after"
            " the beginning; before, they warn of nothing"
        )
    if made.rebaselined:
        notes.append(f"what is usual was learned anew {made.rebaselined:,} times, when that was asked for")
    return notes


def _details(scores: Sequence[Sensor], made: ScoreReplay, seen: Seen, took: float) -> dict[str, Any]:
    return {
        "readings": seen.readings,
        "sensors": len(seen.sensors),
        "reported": made.reported,
        "seconds": round(took, 1),
        "readings_per_s": round(seen.readings / max(took, 1e-9)),
        "rebaselined": made.rebaselined,
        "first_scores": {
            each.name: to_datetime(made.first_at[each.id]).isoformat() if each.id in made.first_at else None
            for each in scores[:_MOST_TOLD]
        },
    }


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return f"{', '.join(names[:_MOST_NAMED])}{more}"


def _length(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    return f"{hours:.3g} h" if hours < 48 else f"{hours / 24:.3g} days"
