"""`precursor bench query`: a year of readings in the table, and how long users wait for what they ask of it."""

import asyncio
import math
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import numpy as np

from precursor import parts
from precursor.bench.machine import describe
from precursor.bench.report import LossError, Report, Result
from precursor.bench.rounds import Watch, take_turns
from precursor.bench.scratch import insert_plant, scratch_database
from precursor.settings import Settings
from telemetry import database, rollups
from telemetry.batch import to_micros
from telemetry.buckets import Resolution, read_sums
from telemetry.editions import detect_async
from telemetry.latest import read_last_values
from telemetry.retention import Policy, retain
from telemetry.sql import load_queries

__all__ = ["QUERY_FULL", "QUERY_QUICK", "QuerySizes", "bench_query", "query_steps"]

_SQL = load_queries("precursor.bench", "query.sql")

_BEGIN = datetime(2025, 1, 6, tzinfo=UTC)
_WEEK = timedelta(weeks=1)
_MILLISECONDS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySizes:
    """How much is stored and asked for."""

    name: str
    sensors: int
    """one of them with a reading a second"""
    weeks: int
    others_s: int
    """between readings of the other sensors, s"""
    rounds: int
    """of each fast query"""
    raw_rounds: int
    """of the scan of readings beside it"""


QUERY_FULL = QuerySizes(name="full, 50 M readings", sensors=1_000, weeks=52, others_s=1_600, rounds=40, raw_rounds=3)
QUERY_QUICK = QuerySizes(name="quick, 0.6 M readings", sensors=100, weeks=1, others_s=12_000, rounds=5, raw_rounds=2)
"""to see that it works; its figures say little"""


def query_steps(sizes: QuerySizes) -> int:
    """How often `bench_query` calls `watch`."""
    return sizes.weeks + 3


def bench_query(settings: Settings, *, sizes: QuerySizes, watch: Watch) -> Report:
    """Fill a database of the bench's own on the server that settings name, else on an embedded one, and ask. Blocks.

    Raises:
        LossError: a query did not answer with what was stored.
        PrecursorError: the database does not answer, or does not let us do what is needed.
    """
    with tempfile.TemporaryDirectory(prefix="precursor-bench-") as folder:
        private = settings.model_copy(update={"data_dir": Path(folder)})
        with parts.database(private) as server, scratch_database(server) as dsn:
            machine = describe(private, dsn=dsn, sizes=sizes.name, broker=None)
            policy = parts.retention_policy(settings)
            return Report(machine=machine, results=asyncio.run(_measure(dsn, sizes, policy, watch)))


async def _measure(dsn: str, sizes: QuerySizes, policy: Policy, watch: Watch) -> list[Result]:
    connection = await database.connect(dsn, name="precursor bench")
    try:
        sensor_ids = await insert_plant(connection, sensors=sizes.sensors, prefix="precursor-bench")
        await _fill(connection, sensor_ids, sizes, policy, watch)
        watch("asking")
        return await _ask(connection, sensor_ids, sizes)
    finally:
        await connection.close()


async def _fill(
    connection: asyncpg.Connection, sensor_ids: list[int], sizes: QuerySizes, policy: Policy, watch: Watch
) -> None:
    edition = await detect_async(connection)
    await connection.execute("SELECT setseed(0.5)")
    for week in range(sizes.weeks):
        watch(f"storing week {week + 1} of {sizes.weeks}")
        begin, end = _BEGIN + week * _WEEK, _BEGIN + (week + 1) * _WEEK
        await edition.make_room(connection, np.array([to_micros(begin)], np.int64))
        async with connection.transaction():
            await connection.execute(_SQL["insert_readings"], sensor_ids[:1], begin, end, 1)
            await connection.execute(_SQL["insert_readings"], sensor_ids[1:], begin, end, sizes.others_s)
    watch("rolling up")
    while not (await rollups.advance(connection, edition, datetime.now(UTC))).complete:
        pass
    watch("compressing, where the database can")
    # What is old is compressed where users ask for it, too.
    await retain(connection, edition, replace(policy, keep={}), datetime.now(UTC))
    await connection.execute(_SQL["vacuum"])


async def _ask(connection: asyncpg.Connection, sensor_ids: list[int], sizes: QuerySizes) -> list[Result]:
    end = _BEGIN + sizes.weeks * _WEEK
    one = sensor_ids[0]

    async def rolled_up(_: int) -> None:
        hours = await read_sums(connection, [one], _BEGIN, end, Resolution.HOUR)
        _expect("hours", hours.mean.size, sizes.weeks * 168)

    async def raw(_: int) -> None:
        _expect("raw hours", len(await connection.fetch(_SQL["raw_hours"], one, _BEGIN, end)), sizes.weeks * 168)

    async def last(_: int) -> None:
        values = await read_last_values(connection, sensor_ids)
        _expect("last values", sum(value.usable_value is not None for value in values), sizes.sensors)

    async def raw_last(_: int) -> None:
        row = await connection.fetchrow(_SQL["raw_last"], sensor_ids)
        _expect("newest readings", row["count"], sizes.sensors)

    hours = await read_sums(connection, [one], _BEGIN, end, Resolution.HOUR)
    means = dict(zip(hours.time.tolist(), hours.mean.tolist(), strict=True))
    for row in await connection.fetch(_SQL["raw_hours"], one, end - _WEEK, end):
        mean = means[to_micros(row["time"])]
        if not math.isclose(mean, row["mean"]):
            raise LossError(f"the mean of {row['time']} is {row['mean']}, the rollup says {mean}")
    # The scan throws everything else out of the caches: it has its turns after the others.
    took_s = await take_turns({"rolled_up": rolled_up, "last": last, "raw_last": raw_last}, sizes.rounds)
    took_s |= await take_turns({"raw": raw}, sizes.raw_rounds)
    took_ms = {name: seconds * _MILLISECONDS for name, seconds in took_s.items()}
    return [
        Result(name="query.rollup_year", value=took_ms["rolled_up"], limit=took_ms["raw"]),
        Result(name="query.last_values", value=took_ms["last"], limit=took_ms["raw_last"]),
    ]


def _expect(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise LossError(f"{what}: {found} found where {expected} were stored")
