"""Which tables there are to copy from one database to another, and in which order.

The list comes from the target's own catalogue, so a table that a later migration makes is on it by itself.
"""

from collections.abc import Mapping
from datetime import datetime
from graphlib import TopologicalSorter

import asyncpg

from telemetry.aggregates import LEVELS, kept_relations
from telemetry.copying import Relation, Table
from telemetry.editions import Edition
from telemetry.errors import StateError
from telemetry.series import SERIES, Series
from telemetry.sql import load_queries

__all__ = ["FILLED_BY_MIGRATION", "is_series", "list_rollups", "list_tables", "schema_of"]

_SQL = load_queries("telemetry", "upgrade.sql")

FILLED_BY_MIGRATION = ("alarm_operators", "plant_revision", "reading_fence", "reading_watermark")
"""tables that have their one row from the beginning"""

_SEPARATE = ("alembic_version", *(f"{level.relation}_kept" for level in LEVELS))
_SET_BY_TARGET: Mapping[str, tuple[str, ...]] = {"reading_touched": ("marked",)}
"""transactions are numbered by each server for itself"""
_SERIES = {series.relation: series for group in SERIES.values() for series in group}


def is_series(name: str) -> bool:
    """Whether a table holds rows over time, and may be large."""
    return name in _SERIES


async def schema_of(connection: asyncpg.Connection) -> str:
    """The schema in which our tables are."""
    schema: str = await connection.fetchval("SELECT current_schema()")
    return schema


async def list_tables(source: asyncpg.Connection, target: asyncpg.Connection) -> list[Table]:
    """All tables but those of rollups: what others refer to comes first, and what is small before what is large.

    Raises:
        StateError: the databases differ, though both have one schema version.
    """
    theirs = {row["name"]: row for row in await source.fetch(_SQL["tables"])}
    ours = {row["name"]: row for row in await target.fetch(_SQL["tables"])}
    parents = {name: [each for each in row["parents"] if each in ours] for name, row in sorted(ours.items())}
    tables = []
    for name in TopologicalSorter(parents).static_order():
        if name in _SEPARATE:
            continue
        if name not in theirs or sorted(theirs[name]["columns"]) != sorted(ours[name]["columns"]):
            raise StateError(f"table {name} is not the same in both databases, though both have one schema version")
        tables.append(
            Table(
                name=name,
                source=Relation(schema=theirs[name]["schema"], name=name),
                target=Relation(schema=ours[name]["schema"], name=name),
                columns=tuple(each for each in ours[name]["columns"] if each not in _SET_BY_TARGET.get(name, ())),
                series=_in_pieces(name),
            )
        )
    return sorted(tables, key=lambda table: is_series(table.name))


async def list_rollups(
    source: asyncpg.Connection, target: asyncpg.Connection, source_edition: Edition, target_edition: Edition
) -> list[Table]:
    """The kept rows of the rollups, in the order of `LEVELS`; what lies beyond the watermark is counted when asked."""
    watermark: datetime = (await source.fetchrow(_SQL["standing"]))["watermark"]
    schema = await schema_of(target)
    theirs = await kept_relations(source, source_edition.rollups.manner, await schema_of(source))
    ours = await kept_relations(target, target_edition.rollups.manner, schema)
    return [
        Table(
            name=level.relation,
            source=theirs[level.relation],
            target=ours[level.relation],
            columns=tuple(await target.fetchval(_SQL["columns"], schema, level.relation)),
            series=_in_pieces(level.relation),
            before=level.end(watermark),
        )
        for level in LEVELS
    ]


def _in_pieces(name: str) -> Series | None:
    series = _SERIES.get(name)
    return None if series is None or series.piece is None else series
