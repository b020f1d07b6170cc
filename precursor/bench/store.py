"""The store's stage: new readings, readings that are there already, encoding alone; beside them the raw COPY."""

import asyncpg

from precursor.bench.report import LossError, Result
from precursor.bench.rounds import Watch, take_turns
from precursor.bench.scratch import empty
from precursor.bench.sizes import Sizes
from precursor.bench.workload import history
from telemetry.batch import ReadingBatch
from telemetry.editions import detect_async
from telemetry.store import ReadingStore, encode_copy

__all__ = ["STORE_STEPS", "RawCopy", "measure_store"]

STORE_STEPS = 1
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
    """store.copy, store.collide and store.encode. Leaves the tables empty.

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
    await empty(connection)
    rate = {name: sizes.batch_rows / seconds for name, seconds in took_s.items()}
    return [
        Result(name="store.copy", value=rate["copy"], limit=rate["raw"]),
        Result(name="store.collide", value=rate["collide"], limit=rate["raw"]),
        Result(name="store.encode", value=rate["encode"]),
    ]


def _expect(outcome: str, found: int, expected: int) -> None:
    if found != expected:
        raise LossError(f"the store called {found} of {expected} readings {outcome}")
