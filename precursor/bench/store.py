"""The store's stage: new readings, readings that are there already, encoding, rollups; beside them the raw COPY."""

import statistics
import time
from datetime import UTC, datetime

import asyncpg

from precursor.bench.report import LossError, Result
from precursor.bench.rounds import Watch, take_turns
from precursor.bench.scratch import empty
from precursor.bench.sizes import Sizes
from precursor.bench.workload import history
from telemetry import rollups
from telemetry.batch import ReadingBatch
from telemetry.editions import detect_async
from telemetry.store import ReadingStore, encode_copy

__all__ = ["STORE_STEPS", "RawCopy", "measure_store"]

STORE_STEPS = 2
"""how often `measure_store` calls `watch`"""

_COLUMNS = ["time", "sensor_id", "value", "quality"]


class RawCopy:
    """The least that a batch of readings costs: COPY BINARY of bytes made beforehand, in one statement."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def write(self, body: bytes) -> None:
        """Store encoded readings that are new."""
        # A view, which the driver sends as it is; bytes it would take for a path, and a file it reads in a thread.
        source = memoryview(body)
        await self._connection.copy_to_table("reading", source=source, columns=_COLUMNS, format="binary")


async def measure_store(
    connection: asyncpg.Connection, *, sensor_ids: list[int], sizes: Sizes, watch: Watch
) -> list[Result]:
    """store.copy, store.collide, store.encode and store.rollups. Leaves the tables empty.

    Raises:
        LossError: the store said of a batch what is not so.
    """
    rounds = sizes.store_rounds
    watch(f"store: {rounds} rounds of {sizes.batch_rows:,} rows")
    # The store writes the even batches and the raw COPY the odd ones: both fill the same pages of the same index.
    batches = [history(number, rows=sizes.batch_rows, sensor_ids=sensor_ids) for number in range(2 * (rounds + 1))]
    bodies = [encode_copy(batch.sorted()) for batch in batches]
    await empty(connection)
    edition = await detect_async(connection)
    await edition.make_room(connection, ReadingBatch.concat(batches).time)

    store, store_of_repeats, raw = ReadingStore(edition), ReadingStore(edition), RawCopy(connection)

    async def copy(number: int) -> None:
        async with connection.transaction():
            written = await store.write(connection, batches[2 * number])
        _expect("stored", int(written.stored.sum()), sizes.batch_rows)

    async def raw_copy(number: int) -> None:
        await raw.write(bodies[2 * number + 1])

    async def collide(number: int) -> None:
        async with connection.transaction():
            written = await store_of_repeats.write(connection, batches[2 * number])
        _expect("duplicate", int(written.duplicate.sum()), sizes.batch_rows)

    async def encode(number: int) -> None:
        encode_copy(batches[number])

    # Collisions by themselves: whoever comes after one finds the server still busy with it.
    took_s = await take_turns({"copy": copy, "raw": raw_copy}, rounds)
    took_s |= await take_turns({"collide": collide}, rounds)
    took_s |= await take_turns({"encode": encode}, rounds)
    watch("store: rollups")
    took_s |= await _measure_rollups(connection, sensor_ids=sensor_ids, sizes=sizes)
    await empty(connection)
    rate = {name: sizes.batch_rows / seconds for name, seconds in took_s.items()}
    return [
        Result(name="store.copy", value=rate["copy"], limit=rate["raw"]),
        Result(name="store.collide", value=rate["collide"], limit=rate["raw"]),
        Result(name="store.encode", value=rate["encode"]),
        Result(name="store.rollups", value=rate["rolled_up"], limit=rate["stored"]),
    ]


async def _measure_rollups(connection: asyncpg.Connection, *, sensor_ids: list[int], sizes: Sizes) -> dict[str, float]:
    """Median seconds of a batch stored, and of one stored with its share of the rollups' job, which comes after some.

    One after the other on one connection: on a server with a core to spare the job runs beside the writers.
    """
    await empty(connection)
    edition = await detect_async(connection)
    store = ReadingStore(edition)
    stored_s: list[float] = []
    rolled_up_s: list[float] = []
    # Round 0 is not timed: most of it is too young to be rolled up, and so is as much of every round after it.
    for number in range(sizes.rollup_rounds + 1):
        first = number * sizes.rollup_batches
        batches = [
            history(first + part, rows=sizes.batch_rows, sensor_ids=sensor_ids) for part in range(sizes.rollup_batches)
        ]
        begun_s = time.perf_counter()
        for batch in batches:
            await store.make_room(connection, batch)
            async with connection.transaction():
                await store.write(connection, batch)
                await rollups.touch(connection, batch)
        stored_at_s = time.perf_counter()
        await rollups.advance(connection, edition, datetime.now(UTC))
        if number:
            stored_s.append((stored_at_s - begun_s) / len(batches))
            rolled_up_s.append((time.perf_counter() - begun_s) / len(batches))
    return {"stored": statistics.median(stored_s), "rolled_up": statistics.median(rolled_up_s)}


def _expect(outcome: str, found: int, expected: int) -> None:
    if found != expected:
        raise LossError(f"the store called {found} of {expected} readings {outcome}")
