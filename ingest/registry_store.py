"""The registry in the database, as far as messages change it. Each call is a statement of the caller's transaction.

**Clock offset.** A reading is never heard before it is made, but may be heard long after (a gateway that buffers). So
the newest time of a batch minus our clock is at most the offset of the device's clock, however old it looks. The offset
is the largest such sample of a stretch of 5 to 10 minutes: an hour that was buffered leaves it as it was, a clock that
was set ahead shows at once, one that was set back shows after at most 10 minutes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from ingest.registry import Birth, Device, DeviceChange, DeviceKind, DeviceStatus, Sighting
from ingest.texts import storable
from telemetry.batch import to_micros
from telemetry.sql import load_queries

__all__ = [
    "Recorded",
    "load_devices",
    "lose_sight",
    "mark_silent",
    "record_changes",
    "record_sightings",
    "sync_gateways",
]

_SQL = load_queries("ingest", "registry.sql")
_MICROS_PER_SECOND = 1_000_000
_LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Devices whose status changed, by name."""

    online: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    """decommissioned, and heard again"""
    offline: tuple[str, ...] = ()


async def load_devices(
    connection: asyncpg.Connection, *, name: str | None = None, status: DeviceStatus | None = None
) -> tuple[Device, ...]:
    """The registry by name; only the device of this name, only those with this status."""
    rows = await connection.fetch(_SQL["load_devices"], None if name is None else storable(name), status)
    return tuple(
        Device(
            **{
                **row,
                "kind": DeviceKind(row["kind"]),
                "status": DeviceStatus(row["status"]),
                "properties": json.loads(row["properties"]),
            }
        )
        for row in rows
    )


async def record_sightings(connection: asyncpg.Connection, sightings: Sequence[Sighting], now: datetime) -> Recorded:
    """Note when devices were heard; those that were not online are, unless they are quarantined or decommissioned.

    Devices that the registry does not have are passed over. A device is written at most once a second.
    """
    if not sightings:
        return Recorded()
    now_us = to_micros(now)
    sources: dict[str, str] = {}
    ahead_s: dict[str, float | None] = {}
    for sighting in sightings:
        name = storable(sighting.device)
        sources[name] = storable(sighting.source)
        ahead = None if sighting.newest_us is None else (sighting.newest_us - now_us) / _MICROS_PER_SECOND
        before = ahead_s.get(name)
        ahead_s[name] = ahead if before is None or (ahead is not None and ahead > before) else before
    changed = await connection.fetch(
        _SQL["record_sightings"], list(sources), list(sources.values()), list(ahead_s.values()), now
    )
    return Recorded(
        online=tuple(row["name"] for row in changed if row["status"] == DeviceStatus.ONLINE),
        quarantined=tuple(row["name"] for row in changed if row["status"] == DeviceStatus.QUARANTINED),
    )


async def record_changes(connection: asyncpg.Connection, changes: Sequence[DeviceChange], now: datetime) -> Recorded:
    """Births and deaths in the order in which they arrived: facts, status, and what is behind what."""
    if not changes:
        return Recorded()
    births: dict[str, Birth] = {}
    alive: dict[str, Birth] = {}
    died: dict[str, None] = {}
    for change in changes:
        name = storable(change.name)
        if isinstance(change, Birth):
            births[name] = alive[name] = change
        else:
            died[name] = None
            alive = {
                each: birth
                for each, birth in alive.items()
                if each != name and (birth.parent is None or storable(birth.parent) != name)
            }
    seen = Recorded()
    if births:
        await _record_facts(connection, births)
        sightings = [Sighting(device=n, source=b.source, newest_us=b.time_us) for n, b in births.items()]
        seen = await record_sightings(connection, sightings, now)
    if not died:
        return seen
    gone = await connection.fetch(_SQL["record_deaths"], list(died), list(alive), now)
    offline = {row["name"] for row in gone}
    return Recorded(
        online=tuple(name for name in seen.online if name not in offline),
        quarantined=seen.quarantined,
        offline=tuple(sorted(offline)),
    )


async def _record_facts(connection: asyncpg.Connection, births: Mapping[str, Birth]) -> None:
    await connection.execute(
        _SQL["record_births"],
        list(births),
        [birth.kind for birth in births.values()],
        [storable(birth.source) for birth in births.values()],
        [storable(birth.hardware, _LONGEST_TEXT) for birth in births.values()],
        [storable(birth.firmware, _LONGEST_TEXT) for birth in births.values()],
        [_document(birth.properties) for birth in births.values()],
    )
    parents = {name: storable(birth.parent) for name, birth in births.items() if birth.parent is not None}
    if parents:
        await connection.execute(_SQL["set_parents"], list(parents), list(parents.values()))


async def mark_silent(connection: asyncpg.Connection, now: datetime) -> tuple[str, ...]:
    """Devices online that were not heard for longer than they may be are stale now. Their names."""
    return tuple(sorted(row["name"] for row in await connection.fetch(_SQL["mark_silent"], now)))


async def lose_sight(connection: asyncpg.Connection, names: Sequence[str], now: datetime) -> None:
    """Devices that were online are stale: the connection over which they would be heard is lost."""
    if names:
        await connection.execute(_SQL["lose_sight"], [storable(name) for name in names], now)


async def sync_gateways(connection: asyncpg.Connection) -> None:
    """Gateways of the plant are in the registry; those that left the plant are offline."""
    await connection.execute(_SQL["sync_gateways"])


def _document(properties: Mapping[str, object]) -> str:
    """Properties as jsonb takes them: texts storable, numbers finite; what JSON does not have is written as text."""
    return json.dumps({storable(str(key)): _plain(value) for key, value in properties.items()}, allow_nan=False)


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 1 << 63:
        return value
    if isinstance(value, float) and value - value == 0:
        return value
    return storable(str(value), _LONGEST_TEXT)
