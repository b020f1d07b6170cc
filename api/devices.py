"""Devices and gateways: who is there, and who is listened to."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from api.database import Connection
from api.pages import Cursor, Limit, Page, paginate, read_cursor
from api.problems import InvalidParameterError, NotFoundError, Problem
from ingest import registration, registry
from ingest.registration import MOST_STALE_AFTER_S, DeviceSettings
from ingest.registry import DeviceKind, DeviceStatus, TakenNameError, UnknownDeviceError
from telemetry.batch import EPOCH
from telemetry.errors import ConfigurationError
from telemetry.sql import load_queries

__all__ = ["Device", "DeviceChanges", "NewDevice", "router"]

router = APIRouter(prefix="/devices", tags=["devices"])
_SQL = load_queries("api", "devices.sql")
_NUMBERS = 2**31 - 1

Text = Annotated[str | None, Field(max_length=200)]
StaleAfter = Annotated[
    float | None,
    Field(ge=0, le=MOST_STALE_AFTER_S, description="silent for longer, in seconds: stale; 0: never", examples=[60.0]),
]
Credentials = Annotated[
    str | None,
    Field(
        max_length=500,
        description="where its secret is kept (a user at the broker, a path in a vault), never the secret",
    ),
]


class Device(BaseModel):
    """A gateway, an edge node, or a device behind one."""

    name: str = Field(
        description="unique: a gateway's name, group/node or group/node/device", examples=["works/edge-1"]
    )
    kind: DeviceKind
    title: str
    source: str = Field(description="the gateway of the plant file it was heard through last; empty: none yet")
    parent: str | None = Field(description="what it is behind")
    origin: Literal["plant", "birth", "person"] = Field(description="who made it known")
    status: DeviceStatus
    status_at: datetime = Field(description="since when")
    registered_at: datetime
    last_seen_at: datetime | None = Field(description="null: never heard")
    clock_offset_s: float | None = Field(description="its clock minus ours, in seconds; null: not known")
    hardware: str
    firmware: str
    properties: dict[str, Any] = Field(description="whatever else its birth certificate says about it")
    credentials: str = Field(description="where its secret is kept, never the secret")
    stale_after_s: float | None = Field(description="silent for longer, in seconds: stale; null: never")
    decommissioned_at: datetime | None = Field(description="null: in use")


class DeviceChanges(BaseModel):
    """What a person may set; what is left out or null stays as it is."""

    title: Text = None
    hardware: Text = None
    firmware: Text = None
    credentials: Credentials = None
    stale_after_s: StaleAfter = None

    def settings(self) -> DeviceSettings:
        """The same as the registry takes it."""
        return DeviceSettings(
            title=self.title,
            hardware=self.hardware,
            firmware=self.firmware,
            credentials=self.credentials,
            stale_after_s=self.stale_after_s,
        )


class NewDevice(DeviceChanges):
    """A device that is expected."""

    name: str = Field(
        description="as it will call itself: a gateway's name, group/node or group/node/device",
        min_length=1,
        max_length=500,
        examples=["works/edge-1"],
    )
    kind: DeviceKind
    parent: str | None = Field(default=None, description="the device it is behind", max_length=500)
    source: str = Field(default="", description="the gateway of the plant file it speaks through", max_length=200)


@router.get("", summary="List devices", responses={422: {"model": Problem}, 503: {"model": Problem}})
async def list_devices(
    connection: Connection,
    status: Annotated[DeviceStatus | None, Query(description="only these")] = None,
    kind: Annotated[DeviceKind | None, Query(description="only this kind")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Device]:
    """Devices in the order in which they became known."""
    _, after = read_cursor(cursor)
    rows = await connection.fetch(_SQL["devices"], status, kind, min(after or 0, _NUMBERS), limit + 1)
    page, next_cursor = paginate(rows, limit, lambda row: (EPOCH, row["id"]))
    return Page(
        items=[Device(**{**row, "properties": json.loads(row["properties"])}) for row in page], next_cursor=next_cursor
    )


@router.post(
    "",
    summary="Register a device",
    status_code=201,
    responses={
        409: {"model": Problem, "description": "there is one of this name"},
        422: {"model": Problem},
        503: {"model": Problem},
    },
)
async def post_device(connection: Connection, device: NewDevice) -> Device:
    """Make a device known before its first word, with a title, credentials and how long it may be silent."""
    with _problems(device.name):
        return _answer(
            await registration.register(
                connection,
                device.name,
                device.kind,
                parent=device.parent,
                source=device.source,
                settings=device.settings(),
            )
        )


@router.post(
    "/{name:path}/decommission",
    summary="Take a device out of use",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def post_decommission(connection: Connection, name: str) -> Device:
    """When it, or what is behind it, speaks again, it is quarantined: its readings are kept aside until it is approved.

    The answer is the device afterwards.
    """
    with _problems(name):
        return _answer(await registration.decommission(connection, name, datetime.now(UTC)))


@router.post(
    "/{name:path}/approve",
    summary="Listen to a device again",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def post_approval(connection: Connection, name: str) -> Device:
    """Take a quarantined or decommissioned device, and what is behind it, into use.

    What was kept aside of its readings stays there until it is released. The answer is the device afterwards.
    """
    with _problems(name):
        return _answer(await registration.approve(connection, name, datetime.now(UTC)))


@router.get(
    "/{name:path}",
    summary="One device",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def get_device(connection: Connection, name: str) -> Device:
    """Everything known about a device. Slashes in its name are written as they are."""
    with _problems(name):
        return _answer(await registration.find_device(connection, name))


@router.patch(
    "/{name:path}",
    summary="Configure a device",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def patch_device(connection: Connection, name: str, changes: DeviceChanges) -> Device:
    """Change what is given; the answer is the device afterwards."""
    with _problems(name):
        return _answer(await registration.configure(connection, name, changes.settings()))


def _answer(device: registry.Device) -> Device:
    return Device(**asdict(device))


@contextmanager
def _problems(name: str) -> Iterator[None]:
    """Errors of the registry as those of HTTP."""
    try:
        yield
    except UnknownDeviceError as error:
        if error.name != name:
            raise InvalidParameterError(
                "body.parent", f"there is no device {error.name!r}; /devices lists them"
            ) from error
        raise NotFoundError(f"there is no device {name!r}; /devices lists them") from error
    except TakenNameError as error:
        raise HTTPException(409, f"there is a device {name!r} already; PATCH /devices/{name} changes it") from error
    except ConfigurationError as error:
        raise InvalidParameterError("body.name", str(error)) from error
