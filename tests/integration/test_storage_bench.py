"""What a stored reading takes on disk, measured."""

import asyncpg

from precursor.bench.scratch import insert_plant
from precursor.bench.storage import STORAGE_STEPS, measure_storage
from telemetry.editions import detect_async


async def test_bytes_of_a_reading_are_those_on_disk(connection: asyncpg.Connection) -> None:
    ids = await insert_plant(connection, sensors=10, prefix="x")
    told: list[str] = []
    results = await measure_storage(connection, sensor_ids=ids, seconds=3_000, watch=told.append)
    assert [result.name for result in results] == ["store.bytes_per_reading"]
    assert len(told) == STORAGE_STEPS
    if (await detect_async(connection)).compresses:
        assert 1 < results[0].value < 20
    else:
        # A row has a header of 24 bytes and 26 of data, its index entry 20, and pages are not full.
        assert 70 < results[0].value < 160
    assert await connection.fetchval("SELECT count(*) FROM reading") == 0
