"""Alarms, what happened to them, and what people do about them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import asyncpg
from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from api.database import Connection
from api.pages import Begin, Cursor, End, Limit, Number, Page, check_window, paginate, read_cursor
from api.problems import InvalidParameterError, NotFoundError, Problem
from api.queries import SQL
from rules import alarm_actions
from rules.alarm_actions import UnknownAlarmError
from rules.alarm_life import AlarmState, AlarmStepError
from rules.definition import Category, Priority, Side
from telemetry.errors import ConfigurationError, DatabaseUnavailableError

__all__ = [
    "Acknowledgement", "Alarm", "AlarmDetail", "AlarmEvent", "AlarmFigure", "Comment", "Deed", "Proposal",
    "alarm_problems", "router",
]  # fmt: skip

router = APIRouter(prefix="/alarms", tags=["alarms"])
PriorityName = Literal["low", "medium", "high"]


class Alarm(BaseModel):
    """A limit, or a condition, was violated for longer than the on-delay of its rule."""

    id: int
    rule: str = Field(examples=["bearing-hot"])
    sensor: str | None = Field(
        description="null: the alarm is of the asset as a whole", examples=["pump-1.temperature"]
    )
    asset: str = Field(examples=["pump-1"])
    side: Side = Field(description="which limit; `condition`: the rule has none")
    category: Category = Field(description="what is at fault: the machine, or the measurement")
    state: AlarmState = Field(description="ISA-18.2")
    silent_until: datetime | None = Field(description="shelved, maintenance: until when; null: open, or not silent")
    limit_value: float = Field(description="the limit, in `unit`", examples=[80.0])
    unit: str = Field(examples=["degC"])
    priority: PriorityName
    failure_mode: str | None = Field(description="what it points to; null: no work order comes of it")
    active: bool = Field(description="whether the value is still beyond the limit")
    began_at: datetime = Field(description="event time at which it was raised, on-delay over")
    ended_at: datetime | None = Field(description="event time at which it cleared; null: it stands")
    annunciated_at: datetime | None = Field(description="when people were told; null: not yet, or never")
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    latching: bool = Field(description="whether it stays until it is reset, also after its end")
    reset_at: datetime | None
    value: float = Field(description="the value when it was raised, in `unit`")
    peak_value: float = Field(description="the worst value so far, in `unit`")
    peak_at: datetime
    work_order_id: int | None = Field(description="the work order that took it in")


class AlarmEvent(BaseModel):
    """One thing that happened to an alarm, or to its rule meanwhile."""

    kind: str = Field(examples=["raised", "acknowledged", "cleared"])
    at: datetime = Field(description="event time, or when a person did it")
    value: float | None = Field(description="the sensor's value then, in the alarm's unit")
    actor: str = Field(description="`engine`, or who did it")
    note: str


class AlarmDetail(Alarm):
    """An alarm with its history."""

    events: list[AlarmEvent] = Field(description="oldest first")


class Deed(BaseModel):
    """Who does something, and why."""

    actor: str = Field(description="who does it", min_length=1, max_length=200, examples=["jo.operator"])
    note: str = Field(default="", description="why", max_length=10_000, examples=["seen, fitter is on the way"])


class Comment(BaseModel):
    """A remark on an alarm."""

    actor: str = Field(description="who says it", min_length=1, max_length=200, examples=["jo.operator"])
    text: str = Field(min_length=1, max_length=10_000, examples=["smells of oil"])


class ManyDeed(Deed):
    """Several alarms at once, by rule, by what it is on, by asset with all below it; all that is given must hold."""

    rule: str | None = Field(default=None, examples=["bearing-hot"])
    subject: str | None = Field(default=None, description="the sensor or asset a rule is on")
    asset: str | None = Field(default=None, examples=["pump-1"])


class Acknowledgement(BaseModel):
    """What one request acknowledged."""

    ids: list[int] = Field(examples=[[17, 18]])


class Proposal(BaseModel):
    """What could be done about an alarm that is a nuisance; to accept it, `POST /alarms/shelves`."""

    kind: Literal["chattering", "flood", "fleeting", "stale"]
    rule: str
    subject: str = Field(description="the sensor or asset the rule is on")
    side: Side
    priority: PriorityName
    alarms: int = Field(description="how many of it there were")
    shelve_s: float | None = Field(description="shelve for so many seconds; null: for one time, until it is normal")
    why: str
    on_delay_s: float | None = Field(description="with this on-delay nine of ten of them would not have been raised")
    deadband: float | None = Field(description="nine of ten went no further beyond the limit, in `unit`")
    unit: str


class AlarmFigure(BaseModel):
    """A figure of alarm performance beside its target (ISA-18.2)."""

    figure: str = Field(examples=["alarms per operator and day"])
    value: float
    target: str = Field(examples=["150 or less, 300 at most"])
    verdict: Literal["good", "tolerable", "bad"]


@asynccontextmanager
async def alarm_problems(location: str = "body") -> AsyncIterator[None]:
    """Errors of people's actions as those of HTTP."""
    try:
        yield
    except UnknownAlarmError as error:
        raise NotFoundError(str(error)) from error
    except AlarmStepError as error:
        raise HTTPException(409, str(error)) from error
    except ConfigurationError as error:
        raise InvalidParameterError(location, str(error)) from error
    except asyncpg.TransactionRollbackError as error:  # many alarms at once, and the engine writes to them, too
        raise DatabaseUnavailableError(f"the engine was faster: {error}") from error


@router.get("", summary="List alarms", responses={422: {"model": Problem}, 503: {"model": Problem}})
async def list_alarms(
    connection: Connection,
    active: Annotated[bool | None, Query(description="true: those that stand; false: those that ended")] = None,
    asset: Annotated[str | None, Query(description="only those of this asset")] = None,
    state: Annotated[list[AlarmState] | None, Query(description="only these; give it once for each")] = None,
    category: Annotated[Category | None, Query(description="only what is at fault here")] = None,
    priority: Annotated[list[PriorityName] | None, Query(description="only these; give it once for each")] = None,
    begin: Begin = None,
    end: End = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Alarm]:
    """Alarms that stood at some time in the window, the latest to begin first."""
    check_window(begin, end)
    after = read_cursor(cursor)
    priorities = None if priority is None else [Priority[name.upper()].value for name in priority]
    # What is not normal is in an index of its own, however long the history.
    awake = state is not None and AlarmState.NORMAL not in state
    rows = await connection.fetch(
        SQL["alarms_awake" if awake else "alarms"],
        active,
        asset,
        begin,
        end,
        *after,
        limit + 1,
        None if state is None else [each.value for each in state],
        category,
        priorities,
    )
    page, next_cursor = paginate(rows, limit, lambda row: (row["began_at"], row["id"]))
    return Page(items=[Alarm(**_fields(row)) for row in page], next_cursor=next_cursor)


@router.post(
    "/acknowledge",
    summary="Acknowledge several alarms",
    responses={
        404: {"model": Problem},
        409: {"model": Problem, "description": "none of them waits for it"},
        422: {"model": Problem},
        503: {"model": Problem},
    },
)
async def post_acknowledge_all(connection: Connection, deed: ManyDeed) -> Acknowledgement:
    """Say that somebody knows of all alarms that wait for it, of a rule or of an asset."""
    async with alarm_problems():
        ids = await alarm_actions.acknowledge_all(
            connection,
            actor=deed.actor,
            at=datetime.now(UTC),
            note=deed.note,
            rule=deed.rule,
            subject=deed.subject,
            asset=deed.asset,
        )
    return Acknowledgement(ids=list(ids))


@router.get(
    "/proposals", summary="What to do about nuisances", responses={422: {"model": Problem}, 503: {"model": Problem}}
)
async def list_proposals(connection: Connection) -> list[Proposal]:
    """Alarms of the last 24 h that chatter, flood, flee or stand for days, the worst first, with what could be done."""
    found = await alarm_actions.proposals(connection, datetime.now(UTC))
    return [Proposal(**{**each.document(), "priority": _name(each.priority)}) for each in found]


@router.get("/performance", summary="Alarm performance", responses={422: {"model": Problem}, 503: {"model": Problem}})
async def list_performance(connection: Connection, begin: Begin = None, end: End = None) -> list[AlarmFigure]:
    """Figures of ISA-18.2 beside their targets; without a window those of the last 30 days."""
    check_window(begin, end)
    rows = await connection.fetch(SQL["alarm_performance"], begin, end)
    return [AlarmFigure(**row) for row in rows]


@router.get(
    "/{id}",
    summary="One alarm and its history",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def get_alarm(connection: Connection, id: Number) -> AlarmDetail:  # noqa: A002 - the path says /alarms/{id}
    """An alarm and what happened to it, oldest first."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await _detail(connection, id)


_STEP: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem},
    409: {"model": Problem, "description": "it makes no sense as the alarm stands; `detail` says why"},
    422: {"model": Problem},
    503: {"model": Problem},
}


@router.post("/{id}/acknowledge", summary="Acknowledge an alarm", responses=_STEP)
async def post_acknowledge(connection: Connection, id: Number, deed: Deed) -> AlarmDetail:  # noqa: A002 - as in the path
    """Say that somebody knows of it. The answer is the alarm afterwards."""
    async with alarm_problems():
        await alarm_actions.acknowledge(connection, id, actor=deed.actor, at=datetime.now(UTC), note=deed.note)
    return await _detail(connection, id)


@router.post("/{id}/comments", summary="Comment on an alarm", responses=_STEP)
async def post_comment(connection: Connection, id: Number, comment: Comment) -> AlarmDetail:  # noqa: A002 - as in the path
    """Add a remark for others to read. The answer is the alarm afterwards."""
    async with alarm_problems():
        await alarm_actions.comment(connection, id, comment.text, actor=comment.actor, at=datetime.now(UTC))
    return await _detail(connection, id)


@router.post("/{id}/reset", summary="Reset a latched alarm", responses=_STEP)
async def post_reset(connection: Connection, id: Number, deed: Deed) -> AlarmDetail:  # noqa: A002 - as in the path
    """End a latched alarm whose value has come back; let a rule of usage count from zero again.

    The second is done by the engine, within a second. The answer is the alarm afterwards.
    """
    async with alarm_problems():
        await alarm_actions.reset(connection, id, actor=deed.actor, at=datetime.now(UTC), note=deed.note)
    return await _detail(connection, id)


async def _detail(connection: asyncpg.Connection, number: int) -> AlarmDetail:
    row = await connection.fetchrow(SQL["alarm"], number)
    if row is None:
        raise NotFoundError(f"there is no alarm {number}")
    events = await connection.fetch(SQL["alarm_events"], number)
    return AlarmDetail(**_fields(row), events=[AlarmEvent(**event) for event in events])


def _fields(row: asyncpg.Record) -> dict[str, object]:
    return {**row, "priority": _name(row["priority"]), "active": row["ended_at"] is None}


def _name(priority: int) -> str:
    return Priority(priority).name.lower()
