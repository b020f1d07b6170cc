"""How models in use and in shadow fare on what came after their training."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import asyncpg
import numpy as np

from models.artefacts.artefact import Artefact, ArtefactError
from models.artefacts.drift import DRIFTED
from models.class_model import STEP, drift
from models.contract import ALARM
from models.life.class_life import life_figures
from precursor.analysis.trained import score_range
from precursor.registry import ModelRow, ModelState, list_models, load_model, put_watch
from precursor.training.life_training import read_lives
from telemetry.batch import EPOCH
from telemetry.errors import ConfigurationError
from telemetry.plant import Plant

__all__ = ["SPAN", "Watched", "watch_models"]

SPAN = timedelta(days=30)
"""looked back"""
_AT_ONCE = timedelta(days=7)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was seen of a model."""

    model: ModelRow
    refused: str = ""
    """why it cannot be loaded; empty: it can"""
    drifted: tuple[str, ...] = field(default=())
    """points that are spread otherwise than in training"""


async def watch_models(
    connection: asyncpg.Connection, plant: Plant, now: datetime, *, span: timedelta = SPAN
) -> Sequence[Watched]:
    """Look at each active model and each in shadow over the time before `now`, and note it in the registry."""
    end = now.replace(second=0, microsecond=0)
    seen = []
    for model in await list_models(connection):
        if model.state not in {ModelState.ACTIVE, ModelState.SHADOW}:
            continue
        try:
            artefact = await load_model(connection, model.id)
        except ArtefactError as error:
            seen.append(Watched(model=model, refused=str(error)))
            continue
        watch = _watch if model.task == "anomaly" else _watch_life
        seen.append(await watch(connection, plant, model, artefact, end - span, end))
    return seen


async def _watch_life(
    connection: asyncpg.Connection, plant: Plant, model: ModelRow, artefact: Artefact, begin: datetime, end: datetime
) -> Watched:
    """What it would have said of lives that ended in the range, and that it did not learn from."""
    metadata = artefact.metadata
    step = timedelta(seconds=metadata.parameters["step_s"])
    since = max(begin, metadata.data_until + _INSTANT)
    try:
        data = await read_lives(connection, plant, model.asset_class, EPOCH, end, ended_from=since, step=step)
    except ConfigurationError:
        return Watched(model=model)
    table = data.table
    if (*table.points, *table.settings) != metadata.features:
        return Watched(model=model)
    performance = {"lives": float(table.asset.size)}
    if table.asset.size:
        performance |= await asyncio.to_thread(life_figures, artefact, table.histories)
    await put_watch(connection, model.id, begin, end, drift={}, performance=performance)
    return Watched(model=model)


async def _watch(
    connection: asyncpg.Connection, plant: Plant, model: ModelRow, artefact: Artefact, begin: datetime, end: datetime
) -> Watched:
    tables: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {}
    scored = anomalous = alarms = 0
    for asset in plant.assets:
        if asset.name not in artefact.metadata.assets:
            continue
        parts, at, standing = [], begin, False
        while at < end:
            until = min(at + _AT_ONCE, end)
            found = await score_range(connection, plant, artefact, asset, at, until)
            at = until
            if found is None:
                break
            known = np.isfinite(found.score)
            above = found.score[known] >= ALARM
            scored += int(known.sum())
            anomalous += int(above.sum())
            alarms += int(np.count_nonzero(above & ~np.concatenate([[standing], above[:-1]])[: above.size]))
            standing = bool(above[-1]) if above.size else standing
            parts.append(found.values[known])
        if parts:
            tables[asset.name] = np.concatenate(parts)
    if not scored:
        return Watched(model=model)
    indices = drift(artefact, tables)
    months = scored * STEP / timedelta(days=30)
    await put_watch(
        connection,
        model.id,
        begin,
        end,
        drift=indices,
        performance={
            "scored_minutes": float(scored),
            "alarms": float(alarms),
            "alarms_per_asset_month": alarms / months,
            "share_of_time_anomalous": anomalous / scored,
        },
    )
    return Watched(model=model, drifted=tuple(sorted(point for point, index in indices.items() if index >= DRIFTED)))
