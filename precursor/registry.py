"""The registry of trained models: candidate, then in shadow, then active; retired at the end, or on the way.

    candidate ──► shadow ──► active ──► retired
        └───────────┴────────────────────►┘   │
                               ▲              │ roll back
                               └──────────────┘

A model in shadow computes what it would say, and says it to nobody; its figures stand in `model_watch`. Of a name, one
model is active at most and one in shadow: who takes the place retires the one that was there.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import asyncpg

from models.artefacts.artefact import Artefact, Metadata, dump, fingerprint, load
from precursor.model_outputs import life_outputs, make_outputs, score_output
from telemetry.errors import ConfigurationError
from telemetry.sql import load_queries

__all__ = [
    "ModelEvent", "ModelRow", "ModelState", "add_model", "find_model", "list_events", "list_models", "load_model",
    "promote", "put_watch", "read_body", "retire", "roll_back",
]  # fmt: skip

_SQL = load_queries("precursor", "registry.sql")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ModelState(StrEnum):
    """Where a model is on its way. Stored as written here."""

    CANDIDATE = "candidate"
    SHADOW = "shadow"
    ACTIVE = "active"
    RETIRED = "retired"


_NEXT: Mapping[ModelState, ModelState] = {
    ModelState.CANDIDATE: ModelState.SHADOW,
    ModelState.SHADOW: ModelState.ACTIVE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A model without its estimators."""

    id: int
    name: str
    version: int
    task: str
    asset_class: str
    state: ModelState
    sha256: bytes
    bytes: int
    metadata: Mapping[str, Any]
    """of `models.artefacts.artefact.Metadata`, times as text"""
    trained_at: datetime
    watched_until: datetime | None
    """up to when it was last looked at; None: not yet"""
    drift: Mapping[str, float]
    """population stability index by feature, then"""
    performance: Mapping[str, float]
    """its figures, then"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEvent:
    """A change of state, and who did it."""

    version: int
    at: datetime
    state_from: str | None
    state_to: str
    actor: str
    note: str


async def add_model(
    connection: asyncpg.Connection, name: str, artefact: Artefact, *, actor: str, note: str = ""
) -> int:
    """Put a model into the registry, as candidate; returns its version.

    Raises:
        ConfigurationError: the name is none that a sensor could have: an active model writes to `ASSET.NAME`; or there
            are models of that name for another task, which write otherwise.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} is no name for a model; expected letters, digits, - and _, at most 64")
    body = dump(artefact)
    async with connection.transaction():
        await connection.execute(_SQL["lock_models"])
        other = await connection.fetchval(_SQL["other_task"], name, artefact.metadata.task)
        if other is not None:
            raise ConfigurationError(
                f"models {name!r} are for {other.replace('_', ' ')}, this one is for"
                f" {artefact.metadata.task.replace('_', ' ')}; give it another name"
            )
        row = await connection.fetchrow(
            _SQL["add_model"],
            name,
            artefact.metadata.task,
            artefact.metadata.asset_class,
            body,
            fingerprint(body),
            _as_json(artefact.metadata),
        )
        await connection.execute(_SQL["add_event"], row["id"], None, ModelState.CANDIDATE.value, actor, note)
    version: int = row["version"]
    return version


async def list_models(
    connection: asyncpg.Connection, name: str | None = None, *, retired: bool = False
) -> Sequence[ModelRow]:
    """Models by name, the newest version first; `retired`: those too."""
    rows = await connection.fetch(_SQL["list_models"], name, retired)
    return [
        ModelRow(
            **{
                **row,
                "state": ModelState(row["state"]),
                "metadata": json.loads(row["metadata"]),
                "drift": json.loads(row["drift"] or "{}"),
                "performance": json.loads(row["performance"] or "{}"),
            }
        )
        for row in rows
    ]


async def list_events(connection: asyncpg.Connection, name: str) -> Sequence[ModelEvent]:
    """What happened to the models of a name, in order."""
    return [ModelEvent(**row) for row in await connection.fetch(_SQL["list_events"], name)]


async def read_body(connection: asyncpg.Connection, model_id: int) -> tuple[bytes, bytes]:
    """The artefact as it is stored, and its SHA-256 as it was noted."""
    row = await connection.fetchrow(_SQL["read_artefact"], model_id)
    return row["artefact"], row["sha256"]


async def load_model(connection: asyncpg.Connection, model_id: int) -> Artefact:
    """The model, ready for use.

    Raises:
        ArtefactError: it was changed, or was written by another version.
    """
    body, sha256 = await read_body(connection, model_id)
    return load(body, sha256=sha256)


async def promote(
    connection: asyncpg.Connection, name: str, version: int, *, actor: str, note: str = ""
) -> tuple[ModelState, int | None]:
    """One step further: a candidate into shadow, a model in shadow into use.

    Returns:
        The state it has now, and the version that was retired for it.

    Raises:
        ConfigurationError: there is no such model, or no step further.
        ArtefactError: it cannot be loaded here, and would not work.
    """
    async with connection.transaction():
        await connection.execute(_SQL["lock_models"])
        row = await _find(connection, name, version)
        state = ModelState(row["state"])
        if state not in _NEXT:
            raise ConfigurationError(
                f"{name} version {version} is {state}; a candidate goes into shadow, one in shadow becomes active"
                + ("; `precursor models rollback` brings a retired one back" if state is ModelState.RETIRED else "")
            )
        artefact = await load_model(connection, row["id"])
        following = _NEXT[state]
        retired = await _make_way(connection, name, following, actor=actor, note=f"version {version} takes its place")
        await _set(connection, row["id"], state, following, actor=actor, note=note)
        if following is ModelState.ACTIVE:
            await _make_outputs(connection, name, artefact)
    return following, retired


async def retire(connection: asyncpg.Connection, name: str, version: int, *, actor: str, note: str = "") -> None:
    """Take a model out of use for good.

    Raises:
        ConfigurationError: there is no such model, or it is retired.
    """
    async with connection.transaction():
        await connection.execute(_SQL["lock_models"])
        row = await _find(connection, name, version)
        if row["state"] == ModelState.RETIRED:
            raise ConfigurationError(f"{name} version {version} is retired already")
        await _set(connection, row["id"], ModelState(row["state"]), ModelState.RETIRED, actor=actor, note=note)


async def roll_back(connection: asyncpg.Connection, name: str, *, actor: str, note: str = "") -> tuple[int | None, int]:
    """The model that was active before is active again, the one that is retires.

    Returns:
        The version that retired (None: there was none in use), and the one that is active now.

    Raises:
        ConfigurationError: none was active before.
        ArtefactError: that one cannot be loaded here.
    """
    async with connection.transaction():
        await connection.execute(_SQL["lock_models"])
        # Before the one in use is retired and would be the last one that was.
        before = await connection.fetchrow(_SQL["active_before"], name)
        if before is None:
            raise ConfigurationError(
                f"no model {name!r} was active before; `precursor models list` shows what there is"
            )
        artefact = await load_model(connection, before["id"])
        retired = await _make_way(
            connection, name, ModelState.ACTIVE, actor=actor, note=f"rolled back to version {before['version']}"
        )
        await _set(connection, before["id"], ModelState.RETIRED, ModelState.ACTIVE, actor=actor, note=note)
        await _make_outputs(connection, name, artefact)
    return retired, before["version"]


async def put_watch(
    connection: asyncpg.Connection,
    model_id: int,
    begin: datetime,
    end: datetime,
    *,
    drift: Mapping[str, float],
    performance: Mapping[str, float],
) -> None:
    """Note how a model fared in [begin, end)."""
    await connection.execute(_SQL["put_watch"], model_id, begin, end, json.dumps(drift), json.dumps(performance))


async def find_model(connection: asyncpg.Connection, name: str, version: int) -> ModelRow:
    """One model.

    Raises:
        ConfigurationError: there is none of this name and version.
    """
    await _find(connection, name, version)
    return next(row for row in await list_models(connection, name, retired=True) if row.version == version)


async def _find(connection: asyncpg.Connection, name: str, version: int) -> asyncpg.Record:
    row = await connection.fetchrow(_SQL["find_model"], name, version)
    if row is None:
        raise ConfigurationError(
            f"there is no model {name!r} of version {version}; `precursor models list` shows what there is"
        )
    return row


async def _make_outputs(connection: asyncpg.Connection, name: str, artefact: Artefact) -> None:
    """The sensors that an active model writes to."""
    of_life = artefact.metadata.task == "remaining_life"
    await make_outputs(connection, life_outputs(name) if of_life else [score_output(name)], artefact.metadata.assets)


async def _make_way(
    connection: asyncpg.Connection, name: str, state: ModelState, *, actor: str, note: str
) -> int | None:
    there = await connection.fetchrow(_SQL["model_in_state"], name, state.value)
    if there is None:
        return None
    await _set(connection, there["id"], state, ModelState.RETIRED, actor=actor, note=note)
    version: int = there["version"]
    return version


async def _set(
    connection: asyncpg.Connection, model_id: int, before: ModelState, after: ModelState, *, actor: str, note: str
) -> None:
    await connection.execute(_SQL["set_state"], model_id, after.value)
    await connection.execute(_SQL["add_event"], model_id, before.value, after.value, actor, note)


def _as_json(metadata: Metadata) -> str:
    return json.dumps(asdict(metadata), default=datetime.isoformat)
