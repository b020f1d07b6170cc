"""What people do with alarms: acknowledge, comment, reset. Who, when and why is kept with the alarm.

Errors: `UnknownAlarmError`: there is none; `AlarmStepError`: not as it stands; `ConfigurationError`: nobody is named.
"""

from dataclasses import asdict, dataclass
from datetime import datetime

import asyncpg

from rules.alarm_life import AlarmStepError, Standing, Step, after
from telemetry.errors import ConfigurationError, PrecursorError
from telemetry.sql import load_queries

__all__ = [
    "Proposal", "UnknownAlarmError", "acknowledge", "acknowledge_all", "check_actor", "comment", "proposals",
    "read_operators", "reset", "set_operators",
]  # fmt: skip

_SQL = load_queries("rules", "alarm_actions.sql")
_LONGEST_NAME = 200


class UnknownAlarmError(PrecursorError):
    """There is no such alarm, rule, asset, shelf or window; the message names it."""


def check_actor(actor: str) -> str:
    """Who does something, without blanks around.

    Raises:
        ConfigurationError: nobody, or a name no list can show.
    """
    actor = actor.strip()
    if not actor or len(actor) > _LONGEST_NAME:
        raise ConfigurationError(f"say who does it, in at most {_LONGEST_NAME} characters: it is kept with the alarm")
    return actor


async def acknowledge(
    connection: asyncpg.Connection, alarm_id: int, *, actor: str, at: datetime, note: str = ""
) -> None:
    """Somebody knows of the alarm."""
    actor = check_actor(actor)
    async with connection.transaction():
        row = await _lock(connection, alarm_id)
        _check(row, Step.ACKNOWLEDGE)
        await connection.execute(_SQL["acknowledge"], alarm_id, at, actor)
        await connection.execute(_SQL["add_event"], alarm_id, row["rule_id"], "acknowledged", at, actor, note)


async def acknowledge_all(
    connection: asyncpg.Connection,
    *,
    actor: str,
    at: datetime,
    note: str = "",
    rule: str | None = None,
    subject: str | None = None,
    asset: str | None = None,
) -> tuple[int, ...]:
    """Somebody knows of all alarms of a rule, on a sensor or asset (`subject`), of an asset and all below it.

    Returns:
        The alarms that this call acknowledged.
    """
    actor = check_actor(actor)
    if rule is None and subject is None and asset is None:
        raise ConfigurationError("say which alarms: of a rule, of the sensor or asset it is on, of an asset")
    if asset is not None and await connection.fetchval(_SQL["asset_id"], asset) is None:
        raise UnknownAlarmError(f"there is no asset {asset!r}")
    rows = await connection.fetch(_SQL["acknowledge_all"], rule, subject, asset, at, actor, note)
    if not rows:
        raise AlarmStepError("no such alarm waits for somebody to acknowledge it")
    return tuple(row["id"] for row in rows)


async def comment(connection: asyncpg.Connection, alarm_id: int, text: str, *, actor: str, at: datetime) -> None:
    """A remark on the alarm, whatever its state."""
    actor = check_actor(actor)
    if not text.strip():
        raise ConfigurationError("the comment is empty: say what others should know")
    async with connection.transaction():
        row = await _lock(connection, alarm_id)
        await connection.execute(_SQL["add_event"], alarm_id, row["rule_id"], "comment", at, actor, text.strip())


async def reset(connection: asyncpg.Connection, alarm_id: int, *, actor: str, at: datetime, note: str = "") -> None:
    """End a latched alarm whose value has come back; of a rule of usage: let it count from zero again.

    The second is a request to the evaluation: the engine does it within a second, and the alarm clears.
    """
    actor = check_actor(actor)
    async with connection.transaction():
        row = await _lock(connection, alarm_id)
        if row["rule_kind"] == "usage" and row["active"]:
            await connection.execute(_SQL["request_reset"], row["rule_id"], at, actor, note)
            return
        _check(row, Step.RESET)
        await connection.execute(_SQL["reset"], alarm_id, at)
        await connection.execute(_SQL["add_event"], alarm_id, row["rule_id"], "reset", at, actor, note)


async def _lock(connection: asyncpg.Connection, alarm_id: int) -> asyncpg.Record:
    row = await connection.fetchrow(_SQL["lock_alarm"], alarm_id)
    if row is None:
        raise UnknownAlarmError(f"there is no alarm {alarm_id}")
    return row


def _check(row: asyncpg.Record, step: Step) -> None:
    standing = Standing(
        active=row["active"],
        told=row["told"],
        acknowledged=row["acknowledged_at"] is not None,
        latching=row["latching"],
        reset=row["reset"],
    )
    try:
        after(standing, step)
    except AlarmStepError as error:
        by = ""
        if step is Step.ACKNOWLEDGE and standing.acknowledged:
            by = f", by {row['acknowledged_by']} at {row['acknowledged_at']:%Y-%m-%d %H:%M:%S} UTC"
        raise AlarmStepError(f"alarm {row['id']} ({row['rule_name']} on {row['subject']}): {error}{by}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What could be done about a side of a rule that is a nuisance; a person accepts it by shelving."""

    kind: str
    """chattering, flood, fleeting, stale"""
    rule_id: int
    rule: str
    subject: str
    side: str
    priority: int
    """1 low to 3 high"""
    alarms: int
    shelve_s: float | None
    """seconds; None: for one time, until the alarm is normal"""
    why: str
    on_delay_s: float | None
    """an on-delay that nine of ten of its occurrences would not have outlasted; None: not known"""
    deadband: float | None
    """what nine of ten went beyond the limit at most, in `unit`; None: not known, or there is no limit"""
    unit: str

    def document(self) -> dict[str, object]:
        """As JSON has it."""
        return asdict(self)


async def proposals(connection: asyncpg.Connection, at: datetime) -> tuple[Proposal, ...]:
    """What the alarms of the 24 h before `at` suggest, the worst first."""
    return tuple(Proposal(**row) for row in await connection.fetch(_SQL["proposals"], at))


async def read_operators(connection: asyncpg.Connection) -> int:
    """How many people share the alarms."""
    return int(await connection.fetchval(_SQL["operators"]))


async def set_operators(connection: asyncpg.Connection, operators: int) -> None:
    """From now on so many people share the alarms: 1 to 1000.

    Raises:
        ConfigurationError: there cannot be so many.
    """
    if not 1 <= operators <= 1_000:
        raise ConfigurationError(f"{operators} operators: expected 1 to 1000")
    await connection.execute(_SQL["set_operators"], operators)
