"""Import of readings from a table: history, stored and counted like what arrives by MQTT, and not evaluated.

The whole table is looked at first: what is wrong with it as a table, or with its sensors, is said before anything is
written. Then one transaction a piece stores readings, marks rollups, and counts in the ledger, so that an import that
was killed is mended by running it again: what is there already counts as duplicate.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg
import numpy as np

from cbm import state_rollup
from ingest.limits import DoorLimits
from precursor.door import Door
from telemetry import rollups
from telemetry.arrow import sensors_of
from telemetry.arrow_columns import ArrowColumns, RawReadings
from telemetry.batch import ReadingBatch, to_datetime
from telemetry.catalogue import Catalogue, load_catalogue, name_list
from telemetry.editions import detect_async
from telemetry.errors import ConfigurationError
from telemetry.ledger import LedgerLine, add_rejected, add_to_ledger
from telemetry.plant import SensorKind
from telemetry.reading_files import ReadingSource
from telemetry.store import ReadingStore
from telemetry.units import same_unit

__all__ = ["Imported", "import_readings"]

_BATCH_ROWS = 50_000
"""rows a transaction: some tenths of a second"""

Progress = Callable[[str, int, int | None], None]
"""told what is being done, rows done, and rows in all where that is known"""


@dataclass(slots=True, kw_only=True)
class Imported:
    """What became of the rows of a table: received = stored + duplicate + rejected."""

    source: str
    """in the ledger"""
    dry_run: bool
    """nothing was written, and what is stored already was not looked for: duplicates are among `stored`"""
    received: int = 0
    stored: int = 0
    duplicate: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """by reason"""
    first: datetime | None = None
    """time of the earliest row that is a reading"""
    last: datetime | None = None

    def document(self) -> dict[str, object]:
        """For JSON."""
        return {
            "source": self.source,
            "dry_run": self.dry_run,
            "received": self.received,
            "stored": self.stored,
            "duplicate": self.duplicate,
            "rejected": self.rejected.total(),
            "rejected_by_reason": dict(sorted(self.rejected.items())),
            "first": None if self.first is None else self.first.isoformat(),
            "last": None if self.last is None else self.last.isoformat(),
        }


async def import_readings(
    connection: asyncpg.Connection,
    table: ReadingSource,
    *,
    limits: DoorLimits,
    now: datetime,
    source: str | None = None,
    timezone: str | None = None,
    skip_unknown: bool = False,
    dry_run: bool = False,
    batch_rows: int = _BATCH_ROWS,
    on_progress: Progress = lambda doing, done, total: None,
) -> Imported:
    """Store the rows of a table that are readings, and count all of them in the ledger as `import:<source>`.

    `source` is the table's own name unless given; `timezone` that of times without one; rows later than `now` by more
    than the limits allow are rejected. `skip_unknown`: rows of unknown sensors are rejected, not a reason to refuse.
    `dry_run`: only look. Values are taken as stored, in the sensor's unit: no factor is applied. Outside a transaction.

    Raises:
        ConfigurationError: the table cannot be understood, or it and the plant do not fit; nothing was written.
    """
    columns = ArrowColumns(table.schema, timezone=timezone)
    catalogue = await load_catalogue(connection)
    door = Door(catalogue, limits, now)
    name = f"import:{table.name if source is None else source}"
    seen, names = _look(table, columns, door, Imported(source=name, dry_run=True), on_progress)
    _require_known(table.name, names, catalogue, skip_unknown=skip_unknown)
    _require_same_units(table, names, catalogue)
    if dry_run:
        return seen
    writer = _Writer(connection, catalogue, door, ReadingStore(await detect_async(connection)), name)
    outcome = Imported(source=name, dry_run=False, first=seen.first, last=seen.last)
    for raw in _pieces(table, columns, batch_rows):
        await writer.write(raw, outcome)
        on_progress("storing", outcome.received, seen.received)
    return outcome


def _look(
    table: ReadingSource, columns: ArrowColumns, door: Door, seen: Imported, on_progress: Progress
) -> tuple[Imported, set[str | None]]:
    """All of the table, to the last row: what would become of it, and which names it has."""
    names: set[str | None] = set()
    first: list[int] = []
    last: list[int] = []
    for batch in table.batches(columns.names):
        raw = columns.read(batch)
        reasons = door.judge(raw)
        names.update(raw.names[position] for position in np.unique(raw.sensor).tolist())
        time = raw.time[reasons == Door.READING]
        seen.received += len(raw)
        seen.stored += time.size
        seen.rejected.update(door.counts(reasons))
        if time.size:
            first.append(int(time.min()))
            last.append(int(time.max()))
        on_progress("looking", seen.received, None)
    if first:
        seen.first, seen.last = to_datetime(min(first)), to_datetime(max(last))
    return seen, names


def _require_known(table: str, names: set[str | None], catalogue: Catalogue, *, skip_unknown: bool) -> None:
    unknown = sorted(str(name) for name in names if name is not None and name not in catalogue.by_name)
    if unknown and not skip_unknown:
        sensors = "a sensor" if len(unknown) == 1 else f"{len(unknown):,} sensors"
        raise ConfigurationError(
            f"{table!r} names {sensors} the plant does not have: {name_list(unknown, catalogue.by_name)}."
            " Nothing was written. Add them to the plant file and apply it, or store the rest with --skip-unknown"
        )


def _require_same_units(table: ReadingSource, names: set[str | None], catalogue: Catalogue) -> None:
    facts = sensors_of(table.schema)
    differing = [
        f"{name!r} is in {facts[name]['unit']!r} there and in {catalogue.by_name[name].unit!r} here"
        for name in sorted(facts.keys() & names & catalogue.by_name.keys())
        if not same_unit(facts[name].get("unit", ""), catalogue.by_name[name].unit)
    ]
    if differing:
        raise ConfigurationError(
            f"{table.name!r} has other units than the plant: {', '.join(differing[:10])}"
            f"{' and more' if len(differing) > 10 else ''}. Nothing was written. Convert its values first"
        )


def _pieces(table: ReadingSource, columns: ArrowColumns, rows: int) -> Iterator[RawReadings]:
    """The table in pieces of about `rows`, however it was written."""
    held: list[RawReadings] = []
    for batch in table.batches(columns.names):
        for offset in range(0, len(batch), rows):
            held.append(columns.read(batch.slice(offset, rows)))
            if sum(map(len, held)) >= rows:
                yield RawReadings.concat(held)
                held = []
    if held:
        yield RawReadings.concat(held)


class _Writer:
    """One transaction a piece."""

    def __init__(
        self, connection: asyncpg.Connection, catalogue: Catalogue, door: Door, store: ReadingStore, source: str
    ) -> None:
        self._connection = connection
        self._door = door
        self._store = store
        self._source = source
        self._states = np.array([s.id for s in catalogue.sensors if s.kind is SensorKind.STATE], np.int32)

    async def write(self, raw: RawReadings, outcome: Imported) -> None:
        """Store a piece, whole or not at all, and add it to the outcome once it is committed."""
        connection = self._connection
        reasons = self._door.judge(raw)
        kept = np.flatnonzero(reasons == Door.READING)
        batch = ReadingBatch(
            time=raw.time[kept],
            sensor_id=self._door.sensor_ids(raw)[kept],
            value=raw.value[kept],
            quality=raw.quality[kept],
        )
        await self._store.make_room(connection, batch)
        # In the order of the engine's own transaction, so that the two never wait for each other in a circle.
        async with connection.transaction():
            written = await self._store.write(connection, batch)
            new = batch.take(written.stored)
            await state_rollup.touch(connection, new.take(np.isin(new.sensor_id, self._states)))
            reasons[kept[written.conflicting]] = Door.CONFLICTING
            rejected = self._door.counts(reasons)
            stored, duplicate = int(written.stored.sum()), int(written.duplicate.sum())
            await add_rejected(connection, self._door.rejected_rows(raw, reasons, self._source))
            await add_to_ledger(
                connection,
                [
                    LedgerLine(source=self._source, outcome=result, reason=reason, readings=count)
                    for result, reason, count in (
                        ("received", "", len(raw)),
                        ("stored", "", stored),
                        ("duplicate", "", duplicate),
                        *(("rejected", reason, count) for reason, count in rejected.items()),
                    )
                    if count
                ],
            )
            await rollups.touch(connection, new)
        outcome.received += len(raw)
        outcome.stored += stored
        outcome.duplicate += duplicate
        outcome.rejected.update(rejected)
