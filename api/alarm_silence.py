"""What is shelved, out of service, or being worked on: nobody is told of its alarms."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from api.alarms import Deed, alarm_problems
from api.database import Connection
from api.pages import Cursor, Limit, Number, Page, paginate, read_cursor
from api.problems import InvalidParameterError, Problem
from rules import alarm_silence
from rules.alarm_silence import LONGEST_SHELF, SilenceKind
from rules.definition import Side
from telemetry.batch import EPOCH

__all__ = ["Silence", "Window", "router", "windows"]

router = APIRouter(prefix="/alarms", tags=["alarms"])
windows = APIRouter(prefix="/maintenance-windows", tags=["alarms"])
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_STEP: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem},
    409: {"model": Problem, "description": "it makes no sense as things stand; `detail` says why"},
    422: {"model": Problem},
    503: {"model": Problem},
}


class Silence(BaseModel):
    """A rule, or one side of it, of whose alarms nobody is told."""

    id: int
    rule: str = Field(examples=["bearing-hot"])
    subject: str = Field(description="the sensor or asset the rule is on", examples=["pump-1.temperature"])
    side: Side | None = Field(description="null: all of its sides")
    begin_at: datetime
    end_at: datetime | None = Field(description="null: until somebody ends it, or until the alarm is normal")
    one_shot: bool = Field(description="whether it ends when the alarm that stood is normal")
    actor: str
    note: str


class NewSilence(Deed):
    """Which alarms to keep silent."""

    rule: str = Field(examples=["bearing-hot"])
    subject: str = Field(description="the sensor or asset the rule is on", examples=["pump-1.temperature"])
    side: Side | None = Field(default=None, description="null: all of its sides", examples=["high"])


class NewShelf(NewSilence):
    """Which alarms to shelve, and for how long: for so many seconds, or for one time."""

    for_s: float | None = Field(
        default=None, gt=0, le=LONGEST_SHELF.total_seconds(), description="seconds; at most 7 days", examples=[28800]
    )
    one_shot: bool = Field(default=False, description="until the alarm that stands is normal", examples=[False])


class Window(BaseModel):
    """Some time in which an asset, and all below it, is worked on."""

    id: int
    asset: str = Field(examples=["pump-1"])
    begin_at: datetime
    end_at: datetime = Field(description="exclusive")
    actor: str
    note: str
    cancelled_at: datetime | None
    cancelled_by: str | None


class NewWindow(Deed):
    """When an asset is worked on."""

    asset: str = Field(examples=["pump-1"])
    begin_at: AwareDatetime = Field(examples=["2026-03-02T06:00:00Z"])
    end_at: AwareDatetime = Field(description="exclusive", examples=["2026-03-02T14:00:00Z"])


@router.get("/shelves", summary="What is shelved", responses={422: {"model": Problem}, 503: {"model": Problem}})
async def list_shelves(connection: Connection) -> list[Silence]:
    """Shelves that nobody has ended, and whose time is not over; what ends first at the top."""
    now = datetime.now(UTC)
    found = await alarm_silence.list_silences(connection, SilenceKind.SHELVED)
    return [_silence(each) for each in found if each.end_at is None or each.end_at > now]


@router.post("/shelves", summary="Shelve alarms", status_code=201, responses=_STEP)
async def post_shelf(connection: Connection, shelf: NewShelf) -> Silence:
    """Tell nobody of a rule's alarms for some time. They are recorded; those that stand at the end are told then."""
    now = datetime.now(UTC)
    async with alarm_problems("body.for_s"):
        made = await alarm_silence.shelve(
            connection,
            shelf.rule,
            shelf.subject,
            actor=shelf.actor,
            at=now,
            side=shelf.side,
            until=None if shelf.for_s is None else now + timedelta(seconds=shelf.for_s),
            one_shot=shelf.one_shot,
            note=shelf.note,
        )
    return _silence(made)


@router.post("/shelves/{id}/end", summary="Unshelve", status_code=204, responses=_STEP)
async def post_unshelve(connection: Connection, id: Number, deed: Deed) -> None:  # noqa: A002 - as in the path
    """Tell people of these alarms again; of those that stand within a second."""
    await _end(connection, SilenceKind.SHELVED, id, deed)


@router.get(
    "/out-of-service", summary="What is out of service", responses={422: {"model": Problem}, 503: {"model": Problem}}
)
async def list_out_of_service(connection: Connection) -> list[Silence]:
    """Rules that somebody has taken out of service."""
    return [_silence(each) for each in await alarm_silence.list_silences(connection, SilenceKind.OUT_OF_SERVICE)]


@router.post("/out-of-service", summary="Take a rule out of service", status_code=201, responses=_STEP)
async def post_out_of_service(connection: Connection, silence: NewSilence) -> Silence:
    """Tell nobody of a rule's alarms until somebody takes it into service again."""
    async with alarm_problems("body.side"):
        made = await alarm_silence.take_out_of_service(
            connection,
            silence.rule,
            silence.subject,
            actor=silence.actor,
            at=datetime.now(UTC),
            side=silence.side,
            note=silence.note,
        )
    return _silence(made)


@router.post("/out-of-service/{id}/end", summary="Back into service", status_code=204, responses=_STEP)
async def post_in_service(connection: Connection, id: Number, deed: Deed) -> None:  # noqa: A002 - as in the path
    """Tell people of these alarms again; of those that stand within a second."""
    await _end(connection, SilenceKind.OUT_OF_SERVICE, id, deed)


@windows.get("", summary="List maintenance windows", responses={422: {"model": Problem}, 503: {"model": Problem}})
async def list_windows(
    connection: Connection,
    asset: Annotated[str | None, Query(description="only those of this asset")] = None,
    everything: Annotated[
        bool, Query(alias="all", description="those that are over or cancelled, too, not only those to come")
    ] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Window]:
    """Windows in the order in which they were entered."""
    _, after = read_cursor(cursor)
    found = await alarm_silence.list_windows(
        connection,
        asset=asset,
        not_over_at=None if everything else datetime.now(UTC),
        after_id=after or 0,
        rows=limit + 1,
    )
    page, next_cursor = paginate(found, limit, lambda window: (EPOCH, window.id))
    return Page(items=[_window(each) for each in page], next_cursor=next_cursor)


@windows.post("", summary="Enter a maintenance window", status_code=201, responses=_STEP)
async def post_window(connection: Connection, window: NewWindow) -> Window:
    """Tell nobody of alarms of an asset, and of all below it, that are raised in this time."""
    for field in ("begin_at", "end_at"):
        if not EPOCH <= getattr(window, field) < _LATEST:
            raise InvalidParameterError(f"body.{field}", "expected a time between 1970 and 2200")
    async with alarm_problems("body.end_at"):
        made = await alarm_silence.add_window(
            connection, window.asset, window.begin_at, window.end_at, actor=window.actor, note=window.note
        )
    return _window(made)


@windows.post("/{id}/cancel", summary="Cancel a maintenance window", responses=_STEP)
async def post_cancel(connection: Connection, id: Number, deed: Deed) -> Window:  # noqa: A002 - as in the path
    """End it now, or before it begins. The answer is the window afterwards."""
    async with alarm_problems():
        return _window(
            await alarm_silence.cancel_window(connection, id, actor=deed.actor, at=datetime.now(UTC), note=deed.note)
        )


async def _end(connection: Connection, kind: SilenceKind, number: int, deed: Deed) -> None:
    async with alarm_problems():
        await alarm_silence.end_silence(
            connection, kind, number, actor=deed.actor, at=datetime.now(UTC), note=deed.note
        )


def _silence(silence: alarm_silence.Silence) -> Silence:
    return Silence(**asdict(silence))


def _window(window: alarm_silence.Window) -> Window:
    return Window(**asdict(window))
