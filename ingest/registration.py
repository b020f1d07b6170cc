"""Devices as people change them: registered, configured, decommissioned, approved."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from ingest.registry import Device, DeviceKind, TakenNameError, UnknownDeviceError
from ingest.registry_store import load_devices
from ingest.texts import storable
from telemetry.errors import ConfigurationError
from telemetry.sql import load_queries

__all__ = ["MOST_STALE_AFTER_S", "DeviceSettings", "approve", "configure", "decommission", "find_device", "register"]

_SQL = load_queries("ingest", "registry.sql")

MOST_STALE_AFTER_S = 315_360_000.0
"""ten years"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSettings:
    """What a person may set. None: as it is."""

    title: str | None = None
    credentials: str | None = None
    """where its secret is kept, never the secret"""
    hardware: str | None = None
    firmware: str | None = None
    stale_after_s: float | None = None
    """silent for longer: stale, s; 0: never"""

    def __post_init__(self) -> None:
        if self.stale_after_s is not None and not 0 <= self.stale_after_s <= MOST_STALE_AFTER_S:
            raise ConfigurationError(
                f"a device cannot be stale after {self.stale_after_s:g} s: expected up to {MOST_STALE_AFTER_S:,.0f} s"
                " (ten years), 0 for never"
            )


async def find_device(connection: asyncpg.Connection, name: str) -> Device:
    """The device of this name.

    Raises:
        UnknownDeviceError: there is none.
    """
    for device in await load_devices(connection, name=name):
        return device
    raise UnknownDeviceError(name)


async def register(
    connection: asyncpg.Connection,
    name: str,
    kind: DeviceKind,
    *,
    parent: str | None = None,
    source: str = "",
    settings: DeviceSettings | None = None,
) -> Device:
    """A device that nobody heard yet, so that it is expected, or has a title and credentials before its first word.

    Raises:
        TakenNameError: there is one of this name.
        UnknownDeviceError: there is no device `parent`.
        ConfigurationError: no device is ever called this.
    """
    if not name.strip() or storable(name) != name:
        raise ConfigurationError(f"{name[:80]!r} cannot be the name of a device: expected e.g. press-7 or works/edge-1")
    wanted = settings or DeviceSettings()
    async with connection.transaction():
        if parent is not None:
            await find_device(connection, parent)
        made = await connection.fetchval(
            _SQL["register"],
            name,
            kind,
            wanted.title or "",
            source,
            parent,
            wanted.credentials or "",
            wanted.stale_after_s or None,
        )
        if made is None:
            raise TakenNameError(name)
        return await configure(connection, name, wanted)


async def configure(connection: asyncpg.Connection, name: str, settings: DeviceSettings) -> Device:
    """Change what is given; the device afterwards.

    Raises:
        UnknownDeviceError: there is none of this name.
    """
    async with connection.transaction():
        found = await connection.fetchval(
            _SQL["configure"],
            storable(name),
            settings.title,
            settings.credentials,
            settings.hardware,
            settings.firmware,
            settings.stale_after_s,
        )
        if found is None:
            raise UnknownDeviceError(name)
        return await find_device(connection, name)


async def decommission(connection: asyncpg.Connection, name: str, at: datetime) -> Device:
    """Take a device, and all behind it, out of use: when it speaks again it is quarantined. The device afterwards.

    Raises:
        UnknownDeviceError: there is none of this name.
    """
    return await _settle(connection, "decommission", name, at)


async def approve(connection: asyncpg.Connection, name: str, at: datetime) -> Device:
    """Take a quarantined or decommissioned device, and all behind it, into use. The device afterwards.

    What was kept aside of its readings stays there until it is released.

    Raises:
        UnknownDeviceError: there is none of this name.
    """
    return await _settle(connection, "approve", name, at)


async def _settle(connection: asyncpg.Connection, step: str, name: str, at: datetime) -> Device:
    async with connection.transaction():
        # Before the devices, as `precursor apply` does: the two never wait for each other in a circle.
        await connection.execute(_SQL["tell_engine"])
        await connection.execute(_SQL[step], storable(name), at)
        await connection.execute(_SQL["notify"])
        return await find_device(connection, name)
