"""Models in use are trained anew on what came since; what comes of it goes into shadow, never into use by itself."""

import asyncio
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from models.artefacts.artefact import Artefact
from models.class_model import ClassTable, TooLittleError, train
from precursor.registry import ModelRow, ModelState, add_model, list_models, promote
from precursor.training.class_training import read_table
from telemetry.plant import Plant

__all__ = ["Retrained", "retrain_models"]

_ACTOR = "retraining"
_WORSE = 0.05
"""by so much less of what is put into later data a new model may notice, and still be worth a look"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """What came of one model."""

    model: ModelRow
    version: int | None
    """of the new one; None: none was kept"""
    said: str
    """for a person"""


async def retrain_models(
    connection: asyncpg.Connection, plant: Plant, now: datetime, *, span: timedelta
) -> Sequence[Retrained]:
    """Train each active anomaly model anew on the `span` before `now`, where none of its name is in shadow.

    Fits in a process of its own, so that whoever else runs here is not held up.
    """
    models = await list_models(connection)
    shadowed = {model.name for model in models if model.state is ModelState.SHADOW}
    until = now.replace(second=0, microsecond=0)
    return [
        await _retrain(connection, plant, model, until, span)
        for model in models
        if model.state is ModelState.ACTIVE and model.task == "anomaly" and model.name not in shadowed
    ]


async def _retrain(
    connection: asyncpg.Connection, plant: Plant, model: ModelRow, until: datetime, span: timedelta
) -> Retrained:
    parameters = model.metadata["parameters"]
    data = await read_table(connection, plant, model.asset_class, until - span, until)
    try:
        artefact = await _fit_apart(data.table, model.asset_class, parameters["budget"], int(parameters["seed"]))
    except TooLittleError as error:
        return Retrained(model=model, version=None, said=str(error))
    before, after = _noticed(model.metadata["metrics"]), _noticed(artefact.metadata.metrics)
    version = await add_model(
        connection,
        model.name,
        artefact,
        actor=_ACTOR,
        note=f"notices {after:.0%}, version {model.version} {before:.0%}",
    )
    if after < before - _WORSE:
        said = f"version {version} notices {after:.0%} of what version {model.version} noticed {before:.0%} of"
        return Retrained(model=model, version=version, said=f"{said}: it stays a candidate")
    await promote(connection, model.name, version, actor=_ACTOR)
    return Retrained(model=model, version=version, said=f"version {version} is in shadow")


async def _fit_apart(table: ClassTable, asset_class: str, budget: float, seed: int) -> Artefact:
    # Spawned, not forked: a fork would take connections and threads along.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as apart:
        return await asyncio.get_running_loop().run_in_executor(apart, _fit, table, asset_class, budget, seed)


def _fit(table: ClassTable, asset_class: str, budget: float, seed: int) -> Artefact:
    return train(table, asset_class=asset_class, budget=budget, seed=seed)


def _noticed(metrics: Mapping[str, float]) -> float:
    """Share of shifts noticed by the candidate that was taken: the largest."""
    return max((value for name, value in metrics.items() if name.startswith("noticed_by_")), default=0.0)
