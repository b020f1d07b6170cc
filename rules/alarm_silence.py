"""What people keep silent: a rule that is shelved or out of service, an asset in a maintenance window.

Errors: `UnknownAlarmError`: there is none; `AlarmStepError`: not as it stands; `ConfigurationError`: makes no sense.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import asyncpg

from rules.alarm_actions import UnknownAlarmError, check_actor
from rules.alarm_life import AlarmStepError
from rules.definition import Side
from telemetry.errors import ConfigurationError
from telemetry.sql import load_queries

__all__ = [
    "LONGEST_SHELF", "LONGEST_WINDOW", "Silence", "SilenceKind", "Window", "add_window", "cancel_window",
    "end_silence", "find_silence", "list_silences", "list_windows", "shelve", "take_out_of_service",
]  # fmt: skip

LONGEST_SHELF = timedelta(days=7)
LONGEST_WINDOW = timedelta(days=366)
_SQL = load_queries("rules", "alarm_actions.sql")
_ROWS = 10_000


class SilenceKind(StrEnum):
    """Why people are not told of alarms of a rule."""

    SHELVED = "shelved"
    OUT_OF_SERVICE = "out_of_service"

    @property
    def words(self) -> str:
        """As a person says it."""
        return self.value.replace("_", " ")

    @property
    def ending(self) -> str:
        """The event that ends it."""
        return "unshelved" if self is SilenceKind.SHELVED else "in_service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A rule, or one side of it, of whose alarms people are not told."""

    id: int
    kind: SilenceKind
    rule_id: int
    rule: str
    subject: str
    side: Side | None
    """None: all of them"""
    begin_at: datetime
    end_at: datetime | None
    """None: until somebody ends it, or until the alarm is normal (`one_shot`)"""
    one_shot: bool
    actor: str
    note: str

    @classmethod
    def of(cls, row: asyncpg.Record) -> "Silence":
        """From a row of `silences`."""
        side = None if row["side"] is None else Side(row["side"])
        return cls(**{**row, "kind": SilenceKind(row["kind"]), "side": side})


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Some time in which an asset, and all below it, is worked on."""

    id: int
    asset: str
    begin_at: datetime
    end_at: datetime
    actor: str
    note: str
    cancelled_at: datetime | None
    cancelled_by: str | None


async def shelve(
    connection: asyncpg.Connection,
    rule: str,
    subject: str,
    *,
    actor: str,
    at: datetime,
    side: Side | None = None,
    until: datetime | None = None,
    one_shot: bool = False,
    note: str = "",
) -> Silence:
    """Tell nobody of a rule's alarms until some time, or until the alarm that stands is normal (`one_shot`)."""
    if until is None and not one_shot:
        raise ConfigurationError("a shelf needs an end: say until when, or that it is for one time")
    if until is not None and not timedelta(0) < until - at <= LONGEST_SHELF:
        raise ConfigurationError(
            f"a shelf ends in the future, after {LONGEST_SHELF.days} days at most;"
            " for longer, take the rule out of service"
        )
    async with connection.transaction():
        rule_id = await _lock_rule(connection, rule, subject, side)
        await connection.execute(_SQL["expire_shelves"], rule_id, at)
        if one_shot and not await connection.fetchval(_SQL["alarm_stands"], rule_id, side):
            raise AlarmStepError(
                f"no alarm of {_what(rule, subject, side)} stands, and a shelf for one time ends when it is normal;"
                " say until when instead"
            )
        return await _silence(connection, SilenceKind.SHELVED, rule_id, side, at, until, one_shot, actor, note)


async def take_out_of_service(
    connection: asyncpg.Connection,
    rule: str,
    subject: str,
    *,
    actor: str,
    at: datetime,
    side: Side | None = None,
    note: str = "",
) -> Silence:
    """Tell nobody of a rule's alarms until somebody takes it into service again."""
    async with connection.transaction():
        rule_id = await _lock_rule(connection, rule, subject, side)
        return await _silence(connection, SilenceKind.OUT_OF_SERVICE, rule_id, side, at, None, False, actor, note)


async def end_silence(
    connection: asyncpg.Connection, kind: SilenceKind, silence_id: int, *, actor: str, at: datetime, note: str = ""
) -> None:
    """Unshelve, or take into service again. Of alarms that still stand people are told within a second."""
    actor = check_actor(actor)
    async with connection.transaction():
        row = await connection.fetchrow(_SQL["lock_silence"], silence_id, kind.value)
        if row is None:
            raise UnknownAlarmError(f"there is no rule {kind.words} under number {silence_id}")
        what = _what(row["rule"], row["subject"], row["side"])
        if row["ended_at"] is not None:
            raise AlarmStepError(
                f"{what} is not {kind.words} any more: {row['ended_by']} ended it at {_moment(row['ended_at'])}"
            )
        await connection.execute(_SQL["end_silence"], silence_id, at, actor)
        await connection.execute(
            _SQL["add_event"], None, row["rule_id"], kind.ending, at, actor, _remark(row["side"], note)
        )


async def find_silence(
    connection: asyncpg.Connection, kind: SilenceKind, rule: str, subject: str, side: Side | None = None
) -> Silence:
    """What keeps exactly these alarms silent."""
    async with connection.transaction():
        rule_id = await _lock_rule(connection, rule, subject, side, retired=True)
        for silence in await list_silences(connection, kind, rule_id):
            if silence.side is side:
                return silence
    raise AlarmStepError(f"{_what(rule, subject, side)} is not {kind.words}")


async def list_silences(
    connection: asyncpg.Connection, kind: SilenceKind, rule_id: int | None = None, silence_id: int | None = None
) -> tuple[Silence, ...]:
    """All that is shelved, or out of service; what ends first at the top."""
    rows = await connection.fetch(_SQL["silences"], kind.value, rule_id, silence_id)
    return tuple(Silence.of(row) for row in rows)


async def add_window(
    connection: asyncpg.Connection, asset: str, begin: datetime, end: datetime, *, actor: str, note: str = ""
) -> Window:
    """Tell nobody of alarms of an asset, and of all below it, that are raised from `begin` until before `end`."""
    actor = check_actor(actor)
    if not timedelta(0) < end - begin <= LONGEST_WINDOW:
        raise ConfigurationError(f"a window ends after it begins, after {LONGEST_WINDOW.days} days at most")
    asset_id = await connection.fetchval(_SQL["asset_id"], asset)
    if asset_id is None:
        raise UnknownAlarmError(f"there is no asset {asset!r}")
    window_id = await connection.fetchval(_SQL["add_window"], asset_id, begin, end, actor, note)
    [window] = await list_windows(connection, window_id=window_id)
    return window


async def cancel_window(
    connection: asyncpg.Connection, window_id: int, *, actor: str, at: datetime, note: str = ""
) -> Window:
    """End a window now, or before it begins. Of alarms that still stand people are told within a second."""
    actor = check_actor(actor)
    async with connection.transaction():
        row = await connection.fetchrow(_SQL["lock_window"], window_id)
        if row is None:
            raise UnknownAlarmError(f"there is no maintenance window {window_id}")
        if row["cancelled_at"] is not None:
            raise AlarmStepError(
                f"maintenance window {window_id} is cancelled already, by {row['cancelled_by']}"
                f" at {_moment(row['cancelled_at'])}"
            )
        if row["end_at"] <= at:
            raise AlarmStepError(f"maintenance window {window_id} was over at {_moment(row['end_at'])}")
        await connection.execute(_SQL["cancel_window"], window_id, at, actor, note)
        [window] = await list_windows(connection, window_id=window_id)
    return window


async def list_windows(
    connection: asyncpg.Connection,
    *,
    asset: str | None = None,
    not_over_at: datetime | None = None,
    window_id: int | None = None,
    after_id: int = 0,
    rows: int = _ROWS,
) -> tuple[Window, ...]:
    """Windows in the order in which they were entered; with `not_over_at` only those to come and those under way."""
    found = await connection.fetch(_SQL["windows"], asset, not_over_at, window_id, after_id, rows)
    return tuple(Window(**row) for row in found)


async def _lock_rule(
    connection: asyncpg.Connection, rule: str, subject: str, side: Side | None, *, retired: bool = False
) -> int:
    row = await connection.fetchrow(_SQL["lock_rule"], rule, subject)
    if row is None or (row["retired_at"] is not None and not retired):
        raise UnknownAlarmError(f"there is no rule {rule!r} on {subject!r}")
    sides = row["sides"] or [Side.CONDITION.value]
    if side is not None and side not in sides:
        raise ConfigurationError(f"rule {rule!r} on {subject!r} has no side {side}; it has {', '.join(sides)}")
    return int(row["id"])


async def _silence(
    connection: asyncpg.Connection,
    kind: SilenceKind,
    rule_id: int,
    side: Side | None,
    at: datetime,
    until: datetime | None,
    one_shot: bool,
    actor: str,
    note: str,
) -> Silence:
    """The rule is locked by the caller."""
    actor = check_actor(actor)
    for other in await list_silences(connection, kind, rule_id):
        if other.side is None or other.side is side:
            end = "until it is normal" if other.end_at is None else f"until {_moment(other.end_at)}"
            raise AlarmStepError(
                f"{_what(other.rule, other.subject, other.side)} is {kind.words} already, by {other.actor}"
                f"{f' {end}' if kind is SilenceKind.SHELVED else ''}; end that first"
            )
    silence_id = await connection.fetchval(
        _SQL["add_silence"], kind.value, rule_id, side, at, until, one_shot, actor, note
    )
    end = "" if until is None else f"until {_moment(until)}"
    remark = "; ".join(part for part in ("for one time" if one_shot else "", end, note) if part)
    await connection.execute(_SQL["add_event"], None, rule_id, kind.value, at, actor, _remark(side, remark))
    [silence] = await list_silences(connection, kind, rule_id, silence_id)
    return silence


def _what(rule: str, subject: str, side: str | None) -> str:
    return f"{rule} on {subject}" + ("" if side is None else f" ({side})")


def _remark(side: str | None, note: str) -> str:
    return note if side is None else f"({side}) {note}".rstrip()


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
