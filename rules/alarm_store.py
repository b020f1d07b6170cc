"""Alarm changes into the database, inside the batch transaction. Written twice, a change changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from rules.events import AlarmChange, ChangeKind
from telemetry.sql import load_queries

__all__ = ["RecordedAlarms", "end_orphans", "record"]

_SQL = load_queries("rules", "alarms.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAlarms:
    """What a batch of changes did to the stored alarms."""

    raised: tuple[tuple[int, AlarmChange], ...] = ()
    """alarms new in the database: id and the change that raised them"""
    updated: tuple[int, ...] = ()
    """ids of alarms with a new peak or an end"""


async def record(connection: asyncpg.Connection, changes: Sequence[AlarmChange]) -> RecordedAlarms:
    """Write changes, ordered by event time; those already stored are left alone."""
    if not changes:
        return RecordedAlarms()
    raised = [change for change in changes if change.kind is ChangeKind.RAISED]
    new: dict[str, int] = {}
    if raised:
        rows = await connection.fetch(
            _SQL["raise_alarms"],
            [change.key for change in raised],
            [change.rule.id for change in raised],
            [change.rule.sensor_id for change in raised],
            [change.rule.asset_id for change in raised],
            [change.side.value for change in raised],
            [change.limit for change in raised],
            [change.rule.unit for change in raised],
            [int(change.rule.priority) for change in raised],
            [change.rule.failure_mode for change in raised],
            [change.began_at for change in raised],
            [change.value for change in raised],
            [change.peak_value for change in raised],
            [change.peak_at for change in raised],
        )
        new = {row["key"]: row["id"] for row in rows}

    # Of several peaks in a batch the last one holds; an end holds against all.
    last = {change.key: change for change in changes if change.kind is not ChangeKind.RAISED}
    updated: list[int] = []
    if last:
        rows = await connection.fetch(
            _SQL["update_alarms"],
            list(last),
            [change.peak_value for change in last.values()],
            [change.peak_at for change in last.values()],
            [change.at if change.kind is ChangeKind.CLEARED else None for change in last.values()],
        )
        updated = [row["id"] for row in rows]

    transitions = [change for change in changes if change.kind is not ChangeKind.PEAK]
    if transitions:
        await connection.execute(
            _SQL["add_events"],
            [change.key for change in transitions],
            [change.kind.value for change in transitions],
            [change.at for change in transitions],
            [change.value for change in transitions],
        )
    return RecordedAlarms(
        raised=tuple((new[change.key], change) for change in raised if change.key in new),
        updated=tuple(updated),
    )


async def end_orphans(connection: asyncpg.Connection) -> tuple[int, ...]:
    """End active alarms whose rule is gone; their ids."""
    return tuple(row["id"] for row in await connection.fetch(_SQL["end_orphans"]))
