"""Readings of names the plant does not have, kept aside until somebody says which sensor they are.

Everything here is bounded: names of a source, readings of a name, and the length of each text.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import numpy as np
import numpy.typing as npt

from ingest.codecs.contract import Fault
from ingest.reasons import RejectReason
from ingest.texts import storable
from telemetry.batch import to_datetime, to_micros
from telemetry.errors import ConfigurationError
from telemetry.sql import load_queries

__all__ = ["Held", "HeldName", "HeldReading", "HoldLimits", "NotHeldError", "drop", "hold", "list_held", "newest_held"]

_SQL = load_queries("ingest", "quarantine.sql")
_LATEST_US = to_micros(datetime(9000, 1, 1, tzinfo=UTC))
_LONGEST_TEXT = 200
_LONGEST_UNIT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldLimits:
    """How much is kept aside."""

    names: int = 1_000
    """of a source"""
    readings: int = 10_000
    """of a name"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldReading:
    """A reading to keep aside."""

    source: str
    """whose ledger it counts in"""
    name: str
    """the sensor as sent"""
    time_us: int
    """µs since 1970-01-01 UTC; within the door's limits"""
    value: float | str
    """as sent; finite, or a text whose meaning only the sensor's codes will tell"""
    quality: int
    unit: str = ""
    """as sent; "": the payload named none"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """What became of each reading of a batch: masks over its positions, exactly one of them true for each."""

    kept: npt.NDArray[np.bool_]
    duplicate: npt.NDArray[np.bool_]
    """kept already, with the same value and quality"""
    rejected: npt.NDArray[np.bool_]
    """another value is kept for the instant, or there is no room"""
    faults: Mapping[int, Fault]
    """why, for each position that is rejected"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldName:
    """A name whose readings are kept aside."""

    id: int
    source: str
    name: str
    unit: str
    """as sent; "": none. One name in two units is held twice"""
    readings: int
    first_at: datetime
    """when it came first, by our clock"""
    last_at: datetime
    begin: datetime | None
    """time of its first reading"""
    end: datetime | None
    """time of its last reading"""
    sensor: str | None
    """what the plant knows it as by now; None: nothing yet"""


class NotHeldError(ConfigurationError):
    """No reading of this name is kept aside."""

    def __init__(self, name: str, source: str | None) -> None:
        of = "" if source is None else f" of {source!r}"
        super().__init__(
            f"no reading{of} named {name[:200]!r} is kept aside; `precursor quarantine list` shows what is"
        )
        self.name = name


async def hold(
    connection: asyncpg.Connection, readings: Sequence[HeldReading], limits: HoldLimits | None = None
) -> Held:
    """Keep readings aside, in the caller's transaction; what is kept already is not kept twice.

    Call it before anything else of the transaction is written: a release locks names first, too.
    """
    bounds = limits or HoldLimits()
    batch = _Batch(readings)
    if batch.names:
        places = await _places(connection, list(batch.names), bounds)
        await _look(connection, batch, places)
        await _put(connection, batch, places, bounds)
    return batch.held()


@dataclass(slots=True, kw_only=True)
class _Place:
    """Where the readings of a name are kept."""

    id: int
    readings: int
    """how many there are"""


async def _places(
    connection: asyncpg.Connection, names: Sequence["_Name"], bounds: HoldLimits
) -> dict["_Name", _Place]:
    """The places of names, locked; made where the source has room for one more."""
    rows = await connection.fetch(_SQL["lock_names"], *map(list, zip(*names, strict=True)))
    places = {names[row["position"] - 1]: _Place(id=row["id"], readings=row["readings"]) for row in rows}
    missing = [name for name in names if name not in places]
    if not missing:
        return places
    taken = dict(await connection.fetch(_SQL["count_names"], list({source for source, _, _ in missing})))
    fitting = []
    for name in missing:
        taken[name[0]] = taken.get(name[0], 0) + 1
        if taken[name[0]] <= bounds.names:
            fitting.append(name)
    if fitting:
        made = await connection.fetch(_SQL["put_names"], *map(list, zip(*fitting, strict=True)))
        for source, name, unit, number, readings in made:
            places[source, name, unit] = _Place(id=number, readings=readings)
    return places


async def _look(connection: asyncpg.Connection, batch: "_Batch", places: Mapping["_Name", _Place]) -> None:
    """Find what is kept already."""
    known = {name: place.id for name, place in places.items() if place.readings}
    positions = [position for position, name in batch.open.items() if name in known]
    if not positions:
        return
    row = await connection.fetchrow(
        _SQL["find_readings"],
        [known[batch.open[position]] for position in positions],
        [batch.readings[position].time_us for position in positions],
    )
    found = zip(*(row[column] or () for column in ("position", "value", "text", "quality")), strict=True)
    for place, value, text, quality in found:
        batch.settle(positions[place - 1], (value if text is None else text, quality))


async def _put(
    connection: asyncpg.Connection, batch: "_Batch", places: Mapping["_Name", _Place], bounds: HoldLimits
) -> None:
    """Keep what there is room for."""
    fitting: list[tuple[int, int]] = []
    more: Counter[int] = Counter()
    for position, name in list(batch.open.items()):
        place = places.get(name)
        if place is None:
            batch.refuse(position, f"{bounds.names:,} names of {name[0]!r} are")
        elif place.readings + more[place.id] >= bounds.readings:
            batch.refuse(position, f"{bounds.readings:,} readings of it are")
        else:
            more[place.id] += 1
            fitting.append((position, place.id))
    if not fitting:
        return
    values = [batch.values[position] for position, _ in fitting]
    await connection.execute(
        _SQL["put_readings"],
        [number for _, number in fitting],
        [batch.readings[position].time_us for position, _ in fitting],
        [None if isinstance(value, str) else value for value in values],
        [value if isinstance(value, str) else None for value in values],
        [batch.readings[position].quality for position, _ in fitting],
    )
    await connection.execute(_SQL["count_up"], list(more), list(more.values()))


_Name = tuple[str, str, str]
"""source, name and unit, as they are stored"""
_Content = tuple[float | str, int]
"""value and quality"""


class _Batch:
    """Readings on their way into quarantine, and what is known of each so far."""

    def __init__(self, readings: Sequence[HeldReading]) -> None:
        self.readings = readings
        self.names: dict[_Name, None] = {}
        self.open: dict[int, _Name] = {}
        """positions of the first readings of an instant of a name, as long as nothing else is kept for it"""
        self.values = [
            storable(each.value, _LONGEST_TEXT) if isinstance(each.value, str) else each.value for each in readings
        ]
        self._duplicate = np.zeros(len(readings), np.bool_)
        self._faults: dict[int, Fault] = {}
        self._followers: list[tuple[int, int]] = []
        """positions of readings of an instant that another one of the batch has, and of that one"""
        self._holding: dict[int, _Content] = {}
        """what is kept for the instant of a reading, where it is not that reading"""
        stored: dict[tuple[str, str, str], _Name] = {}
        instants: dict[tuple[_Name, int], int] = {}
        for position, reading in enumerate(readings):
            sent = (reading.source, reading.name, reading.unit)
            name = stored.get(sent)
            if name is None:
                name = (storable(sent[0]), storable(sent[1]), storable(sent[2], _LONGEST_UNIT))
                stored[sent] = name
            if not 0 <= reading.time_us < _LATEST_US:
                self._reject(position, RejectReason.BAD_TIMESTAMP, "Its time is none that can be stored.")
                continue
            leader = instants.setdefault((name, reading.time_us), position)
            if leader == position:
                self.open[position] = name
                self.names[name] = None
            else:
                self._followers.append((position, leader))

    def settle(self, position: int, holding: _Content) -> None:
        """Something is kept for its instant, which may be the same."""
        self.open.pop(position, None)
        if self._content(position) == holding:
            self._duplicate[position] = True
            return
        reading = self.readings[position]
        moment = to_datetime(reading.time_us).isoformat()
        self._holding[position] = holding
        self._reject(
            position,
            RejectReason.CONFLICTING_VALUE,
            f"{reading.name[:80]!r} has another value kept aside for {moment}; the first one stays.",
        )

    def refuse(self, position: int, full: str) -> None:
        """There is no room for it."""
        del self.open[position]
        self._reject(
            position,
            RejectReason.UNKNOWN_SENSOR,
            f"The sensor {self.readings[position].name[:80]!r} is not in the plant, and not kept aside either: {full}"
            " kept already. See `precursor quarantine list`.",
        )

    def held(self) -> Held:
        """The outcome, readings that share an instant included."""
        for position, leader in self._followers:
            if leader in self._faults and leader not in self._holding:
                self._faults[position] = self._faults[leader]
            else:
                self.settle(position, self._holding.get(leader, self._content(leader)))
        rejected = np.zeros(len(self.readings), np.bool_)
        rejected[list(self._faults)] = True
        return Held(
            kept=~(self._duplicate | rejected), duplicate=self._duplicate, rejected=rejected, faults=self._faults
        )

    def _content(self, position: int) -> _Content:
        return self.values[position], self.readings[position].quality

    def _reject(self, position: int, reason: RejectReason, detail: str) -> None:
        self._faults[position] = Fault(reason=reason, detail=detail)


async def list_held(
    connection: asyncpg.Connection, *, name: str | None = None, source: str | None = None
) -> list[HeldName]:
    """What is kept aside; only of this name, only of this source."""
    wanted = None if name is None else storable(name)
    return [HeldName(**row) for row in await connection.fetch(_SQL["held_names"], wanted, source)]


async def newest_held(connection: asyncpg.Connection, held: HeldName, rows: int) -> list[asyncpg.Record]:
    """The newest readings kept aside of a name: time, value or text, quality."""
    return list(await connection.fetch(_SQL["newest_held"], held.id, rows))


async def drop(connection: asyncpg.Connection, name: str, *, source: str | None = None) -> int:
    """Throw away what is kept aside of a name; how many readings that were.

    The ledger stays as it is: they were counted as rejected when they came.

    Raises:
        NotHeldError: nothing is.
    """
    async with connection.transaction():
        numbers = [row["id"] for row in await connection.fetch(_SQL["lock_held"], storable(name), source)]
        if not numbers:
            raise NotHeldError(name, source)
        status = await connection.execute(_SQL["drop_readings"], numbers)
        await connection.execute(_SQL["drop_names"], numbers)
    return int(status.rpartition(" ")[2])
