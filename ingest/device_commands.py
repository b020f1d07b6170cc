"""Commands to devices on their way: asked for by people, sent by the engine, which alone speaks to devices."""

import json
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from ingest.texts import storable
from telemetry.sql import load_queries

__all__ = ["DeviceCommand", "find_command", "list_commands", "pending_commands", "request_command", "settle_command"]

_SQL = load_queries("ingest", "device_commands.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCommand:
    """A value that a metric of a device is to take."""

    id: int
    device: str
    """`group/node` or `group/node/device`"""
    metric: str
    value: bool | float | str
    requested_by: str
    requested_at: datetime
    settled_at: datetime | None
    """None: the engine has not looked at it yet"""
    refused: str | None
    """why it was not sent; None, once it is settled: it was"""

    @property
    def outcome(self) -> str:
        """pending, sent or refused"""
        if self.settled_at is None:
            return "pending"
        return "sent" if self.refused is None else "refused"


async def request_command(
    connection: asyncpg.Connection, device: str, metric: str, value: bool | float | str, *, requested_by: str
) -> DeviceCommand:
    """Ask for a command; the engine sends it within a second or so, or says why not."""
    row = await connection.fetchrow(
        _SQL["request"], storable(device), storable(metric), json.dumps(value), storable(requested_by)
    )
    return _command(row)


async def pending_commands(connection: asyncpg.Connection) -> list[DeviceCommand]:
    """Those that nobody has looked at yet, oldest first."""
    return [_command(row) for row in await connection.fetch(_SQL["pending"])]


async def settle_command(connection: asyncpg.Connection, number: int, refused: str | None) -> None:
    """Note that a command was sent, or why it was not."""
    await connection.execute(_SQL["settle"], number, None if refused is None else storable(refused))


async def find_command(connection: asyncpg.Connection, number: int) -> DeviceCommand | None:
    """A command as it stands; None: there is none of this number."""
    row = await connection.fetchrow(_SQL["find"], number)
    return None if row is None else _command(row)


async def list_commands(connection: asyncpg.Connection, device: str, limit: int) -> list[DeviceCommand]:
    """The last commands to a device, newest first."""
    return [_command(row) for row in await connection.fetch(_SQL["list"], storable(device), limit)]


def _command(row: asyncpg.Record) -> DeviceCommand:
    return DeviceCommand(**{**row, "value": json.loads(row["value"])})
