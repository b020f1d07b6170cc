"""Commands to Sparkplug devices: asked for here, sent by the engine."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from api.database import Connection
from api.problems import NotFoundError, Problem
from ingest import device_commands

__all__ = ["Command", "NewCommand", "router"]

router = APIRouter(prefix="/commands", tags=["devices"])
_NUMBERS = 2**63 - 1


class NewCommand(BaseModel):
    """A value that a metric of a device is to take."""

    device: str = Field(min_length=1, max_length=500, description="group/node or group/node/device", examples=["h/e/p"])
    metric: str = Field(min_length=1, max_length=1000, description="as its birth certificate names it")
    value: bool | float | Annotated[str, Field(max_length=10_000)]
    requested_by: str = Field(default="", max_length=200, description="who asks for it")


class Command(NewCommand):
    """A command, and what became of it."""

    id: int
    requested_at: datetime
    outcome: Literal["pending", "sent", "refused"] = Field(description="pending: the engine has not looked at it yet")
    settled_at: datetime | None
    refused: str | None = Field(description="why it was not sent")


@router.post(
    "", summary="Ask for a command", status_code=202, responses={422: {"model": Problem}, 503: {"model": Problem}}
)
async def post_command(connection: Connection, command: NewCommand) -> Command:
    """The engine sends it within a second or so, or says why not: no such device or metric, a passive host, a value
    that does not fit. Sent is not done: whether the device has obeyed shows in its readings.
    """
    return _answer(
        await device_commands.request_command(
            connection, command.device, command.metric, command.value, requested_by=command.requested_by
        )
    )


@router.get("", summary="List commands to a device", responses={422: {"model": Problem}, 503: {"model": Problem}})
async def list_commands(
    connection: Connection,
    device: Annotated[str, Query(max_length=500, description="group/node or group/node/device")],
    limit: Annotated[int, Query(ge=1, le=1000, description="at most so many")] = 100,
) -> list[Command]:
    """The last commands to a device, newest first."""
    return [_answer(command) for command in await device_commands.list_commands(connection, device, limit)]


@router.get(
    "/{id}",
    summary="One command",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def get_command(connection: Connection, number: Annotated[int, Path(alias="id", ge=1, le=_NUMBERS)]) -> Command:
    """What became of a command."""
    found = await device_commands.find_command(connection, number)
    if found is None:
        raise NotFoundError(f"there is no command {number}")
    return _answer(found)


def _answer(command: device_commands.DeviceCommand) -> Command:
    return Command(
        id=command.id,
        device=command.device,
        metric=command.metric,
        value=command.value,
        requested_by=command.requested_by,
        requested_at=command.requested_at,
        outcome=command.outcome,
        settled_at=command.settled_at,
        refused=command.refused,
    )
