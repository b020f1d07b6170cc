"""Alarm changes into the database, inside the batch transaction. Written twice, a change changes nothing.

Here is also decided who is told of an alarm, and when: docs/alarms.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from rules.definition import Rule, Side
from rules.events import AlarmChange, ChangeKind
from telemetry.sql import load_queries

__all__ = ["DueAlarm", "RecordedAlarms", "annunciate_due", "end_orphans", "record"]

_SQL = load_queries("rules", "alarms.sql")
_UPDATES = (ChangeKind.PEAK, ChangeKind.CLEARED)
_BY_DESIGN = (ChangeKind.SUPPRESSED, ChangeKind.UNSUPPRESSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAlarms:
    """What a batch of changes did to the stored alarms."""

    raised: tuple[tuple[int, AlarmChange], ...] = ()
    """alarms new in the database: id and the change that raised them"""
    updated: tuple[int, ...] = ()
    """ids of alarms with a new peak or an end"""
    annunciated: tuple[tuple[int, AlarmChange], ...] = ()
    """alarms of which people are told now, by event time: id, and the change (raised, unsuppressed) that told them"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueAlarm:
    """An alarm of which people are told later than it was raised: what kept it silent is over."""

    alarm_id: int
    key: str
    rule_id: int
    side: Side
    limit: float
    began_at: datetime
    value: float
    """when it was raised"""
    peak_value: float
    peak_at: datetime
    annunciated_at: datetime

    def change(self, rule: Rule) -> AlarmChange:
        """The change that raised it once; `rule` is that of `rule_id`."""
        return AlarmChange(
            kind=ChangeKind.RAISED,
            key=self.key,
            rule=rule,
            side=self.side,
            limit=self.limit,
            at=self.began_at,
            began_at=self.began_at,
            value=self.value,
            peak_value=self.peak_value,
            peak_at=self.peak_at,
        )


async def record(
    connection: asyncpg.Connection, changes: Sequence[AlarmChange], *, tell_from: datetime | None = None
) -> RecordedAlarms:
    """Write changes, ordered by event time; those already stored are left alone.

    People are told of an alarm when it is raised, unless by its event time it is shelved, out of service, in a
    maintenance window, or suppressed by design from its first instant on; then when nothing stands for it any more
    (an `unsuppressed` change), or by `annunciate_due`.

    Args:
        tell_from: an alarm that began before is told by `annunciate_due` alone, which is: if it still stands then.
            After an outage what came and went in it pages nobody. None: told like others.
    """
    if not changes:
        return RecordedAlarms()
    new, told = await _raise(connection, changes, tell_from)
    by_design = [change for change in changes if change.kind in _BY_DESIGN]
    if by_design:
        told |= await _suppress(connection, by_design)

    # Of several peaks in a batch the last one holds; an end holds against all.
    last = {change.key: change for change in changes if change.kind in _UPDATES}
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
            [None if math.isnan(change.value) else change.value for change in transitions],
            [f"{change.by} stands for it" if change.by else "" for change in transitions],
        )
    return RecordedAlarms(
        raised=tuple((new[c.key], c) for c in changes if c.kind is ChangeKind.RAISED and c.key in new),
        updated=tuple(updated),
        annunciated=tuple((told[c.key, c.kind, c.at], c) for c in changes if (c.key, c.kind, c.at) in told),
    )


_Told = dict[tuple[str, ChangeKind, datetime], int]
"""alarm ids by the change that tells people: key, kind, event time"""


async def _raise(
    connection: asyncpg.Connection, changes: Sequence[AlarmChange], tell_from: datetime | None
) -> tuple[dict[str, int], _Told]:
    raised = [change for change in changes if change.kind is ChangeKind.RAISED]
    if not raised:
        return {}, {}
    at_once = {c.key: c.by for c in changes if c.kind is ChangeKind.SUPPRESSED and c.at == c.began_at}
    rows = await connection.fetch(
        _SQL["raise_alarms"],
        [change.key for change in raised],
        [change.rule.id for change in raised],
        [change.rule.sensor_id for change in raised],
        [change.rule.asset_id for change in raised],
        [change.side.value for change in raised],
        [change.limit for change in raised],
        [change.rule.unit for change in raised],
        [int(change.priority) for change in raised],
        [change.rule.failure_mode for change in raised],
        [change.began_at for change in raised],
        [change.value for change in raised],
        [change.peak_value for change in raised],
        [change.peak_at for change in raised],
        [change.rule.category.value for change in raised],
        [change.rule.latching for change in raised],
        [at_once.get(change.key) for change in raised],
        min(change.began_at for change in raised),
        max(change.began_at for change in raised),
        tell_from,
    )
    return (
        {row["key"]: row["id"] for row in rows},
        {(row["key"], ChangeKind.RAISED, row["at"]): row["id"] for row in rows if row["at"] is not None},
    )


async def _suppress(connection: asyncpg.Connection, changes: Sequence[AlarmChange]) -> _Told:
    last = {change.key: change for change in changes}
    await connection.execute(
        _SQL["suppress_alarms"],
        list(last),
        [change.by if change.kind is ChangeKind.SUPPRESSED else None for change in last.values()],
    )
    freed: dict[str, datetime] = {}
    for change in changes:
        if change.kind is ChangeKind.UNSUPPRESSED:
            freed.setdefault(change.key, change.at)
    if not freed:
        return {}
    rows = await connection.fetch(
        _SQL["tell_unsuppressed"], list(freed), list(freed.values()), min(freed.values()), max(freed.values())
    )
    return {(row["key"], ChangeKind.UNSUPPRESSED, row["at"]): row["id"] for row in rows}


async def annunciate_due(connection: asyncpg.Connection, now: datetime) -> tuple[DueAlarm, ...]:
    """End shelves whose time, or whose one alarm, is over; tell people of alarms that still stand and may be told of.

    For the engine's housekeeping, about once a second, in a transaction of its own. With nothing shelved and nothing
    untold it looks at two empty indexes. A call that is repeated tells nobody twice.

    Returns:
        The alarms of which people are told now, the earliest first: each may ask for a work order.
    """
    rows = await connection.fetch(_SQL["annunciate_due"], now)
    return tuple(
        DueAlarm(
            alarm_id=row["id"],
            key=row["key"],
            rule_id=row["rule_id"],
            side=Side(row["side"]),
            limit=row["limit_value"],
            began_at=row["began_at"],
            value=row["value"],
            peak_value=row["peak_value"],
            peak_at=row["peak_at"],
            annunciated_at=row["annunciated_at"],
        )
        for row in rows
    )


async def end_orphans(connection: asyncpg.Connection) -> tuple[int, ...]:
    """End active alarms whose rule is gone; their ids."""
    return tuple(row["id"] for row in await connection.fetch(_SQL["end_orphans"]))
