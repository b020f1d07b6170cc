"""A disk that fills up and connections that break in the middle of a batch: all of it is stored, or nothing."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import numpy as np
import psycopg
import pytest
import structlog

from ingest.mqtt import MqttOptions, MqttSource
from precursor.apply import apply
from precursor.embedded import embedded_database
from precursor.engine import Engine
from simulators import gateway
from simulators.publisher import publish
from telemetry import database, rollups, schema
from telemetry.batch import ReadingBatch, to_datetime
from telemetry.editions import detect_async
from telemetry.errors import DatabaseUnavailableError
from telemetry.ledger import LedgerLine, add_to_ledger
from telemetry.store import ReadingStore, Written

T0 = 1_780_000_000_000_000
SECOND = 1_000_000
DISK_FULL = "53100"

PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'hall');
INSERT INTO asset (name, area_id) VALUES ('pump-1', 1);
INSERT INTO sensor (name, asset_id) SELECT 'pump-1.' || number, 1 FROM generate_series(1, 50) AS number;
"""


def batch_of(count: int, begin: int = T0) -> ReadingBatch:
    """A reading a second for each of 50 sensors."""
    position = np.arange(count)
    return ReadingBatch.of(begin + position // 50 * SECOND, position % 50 + 1, position / 4)


async def commit(connection: asyncpg.Connection, store: ReadingStore, batch: ReadingBatch) -> Written:
    """What the batch transaction does with readings."""
    with database.translated():
        await store.make_room(connection, batch)
        async with connection.transaction():
            written = await store.write(connection, batch)
            await add_to_ledger(
                connection,
                [
                    LedgerLine(source="gw", outcome="received", readings=len(batch)),
                    LedgerLine(source="gw", outcome="stored", readings=int(written.stored.sum())),
                ],
            )
            await rollups.touch(connection, batch.take(written.stored))
    return written


async def figures(connection: asyncpg.Connection) -> tuple[int, int, int]:
    """Readings stored, and in the ledger as received and stored."""
    row = await connection.fetchrow(
        "SELECT (SELECT count(*) FROM reading), coalesce(sum(readings) FILTER (WHERE outcome = 'received'), 0),"
        " coalesce(sum(readings) FILTER (WHERE outcome = 'stored'), 0) FROM ledger_entry"
    )
    return int(row[0]), int(row[1]), int(row[2])


async def assert_rolled_up(connection: asyncpg.Connection) -> None:
    """Every reading is in each rollup, kept or counted on the spot."""
    edition = await detect_async(connection)
    while not (await rollups.advance(connection, edition, to_datetime(T0 + 30 * 86_400 * SECOND))).complete:
        pass
    for level, unit in (("reading_1m", "minute"), ("reading_1h", "hour"), ("reading_1d", "day")):
        assert await connection.fetch(
            f"SELECT sensor_id, time, count, good_count, min, max FROM {level} ORDER BY 1, 2"
        ) == (
            await connection.fetch(
                f"SELECT sensor_id, date_trunc('{unit}', time, 'UTC'), count(*), sum((quality = 0)::int), min(value),"
                " max(value) FROM reading GROUP BY 1, 2 ORDER BY 1, 2"
            )
        ), level


@dataclass
class SmallDisk:
    """A filesystem of its own, so that it can be full."""

    folder: Path

    def fill(self, *, leave_bytes: int = 0) -> None:
        """Take all of its room but so much."""
        with (self.folder / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        with (self.folder / "ballast").open("r+b") as file:
            file.truncate(max(os.fstat(file.fileno()).st_size - leave_bytes, 0))

    def clear(self) -> None:
        """Room again."""
        (self.folder / "ballast").unlink()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server may enter, whose user is another one where we are root."""
    # Not pytest's: those are closed to others whenever another run begins on the same machine.
    with tempfile.TemporaryDirectory(prefix="precursor-test-") as made:
        Path(made).chmod(0o711)
        yield Path(made)


@pytest.fixture
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """Sixty-four MiB that are mounted for this test; skipped, and said so, where nothing may be mounted."""
    mounted = folder / "disk"
    mounted.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(mounted)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a disk to fill up needs the right to mount one: {made.stderr.strip()}")
    try:
        yield SmallDisk(folder=mounted)
    finally:
        # Lazily: a server that died badly may hold a file for a moment longer.
        subprocess.run(["umount", "--lazy", str(mounted)], check=True)


@pytest.fixture
def server_folder(folder: Path, lay_server: Callable[[Path], None]) -> Path:
    """Where a PostgreSQL of the test's own lives."""
    lay_server(folder / "server")
    return folder / "server"


def give_to_server(path: Path, server_folder: Path) -> None:
    """The server runs as the owner of its data, which for root is another user."""
    data = (server_folder / "postgres").stat()
    os.chown(path, data.st_uid, data.st_gid)
    path.chmod(0o700)


@pytest.fixture
def dsn_on_small_disk(small_disk: SmallDisk, server_folder: Path) -> Iterator[str]:
    """A migrated database whose tables, and nothing else, lie on the small disk."""
    with embedded_database(server_folder) as server:
        place = small_disk.folder / "tables"
        place.mkdir()
        give_to_server(place, server_folder)
        dsn = urlsplit(server)._replace(path="/small").geturl()
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{place}'".encode())
            connection.execute("CREATE DATABASE small TEMPLATE template0 TABLESPACE small")
        schema.migrate(dsn)
        yield dsn
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("DROP DATABASE small WITH (FORCE)")
            connection.execute("DROP TABLESPACE small")


async def test_a_disk_full_in_mid_copy_leaves_nothing_of_the_batch_which_goes_in_once_there_is_room(
    dsn_on_small_disk: str, small_disk: SmallDisk
) -> None:
    connection = await database.connect(dsn_on_small_disk)
    try:
        await connection.execute(PLANT)
        store = ReadingStore(await detect_async(connection))
        await commit(connection, store, batch_of(5_000))
        # From the second batch on it is one COPY straight into the table.
        await commit(connection, store, batch_of(5_000, T0 + 200 * SECOND))
        batch = batch_of(100_000, T0 + 400 * SECOND)
        await store.make_room(connection, batch)
        small_disk.fill(leave_bytes=2 << 20)
        for _ in range(3):
            with pytest.raises(DatabaseUnavailableError, match="No space left on device") as caught:
                await commit(connection, store, batch)
            assert isinstance(caught.value.__cause__, asyncpg.PostgresError)
            assert caught.value.__cause__.sqlstate == DISK_FULL
            assert await figures(connection) == (10_000, 10_000, 10_000)
        small_disk.clear()
        assert (await commit(connection, store, batch)).stored.all()
        assert await figures(connection) == (110_000, 110_000, 110_000)
        await assert_rolled_up(connection)
    finally:
        await connection.close()


async def test_a_full_disk_under_the_rollups_stops_them_and_nothing_else(
    dsn_on_small_disk: str, small_disk: SmallDisk
) -> None:
    connection = await database.connect(dsn_on_small_disk)
    try:
        await connection.execute(PLANT)
        store, edition = ReadingStore(await detect_async(connection)), await detect_async(connection)
        await commit(connection, store, batch_of(150_000))
        small_disk.fill()
        with pytest.raises(DatabaseUnavailableError, match="No space left on device"), database.translated():
            await rollups.advance(connection, edition, to_datetime(T0 + 86_400 * SECOND))
        assert await connection.fetchval("SELECT count(*) FROM reading_1m_kept") == 0
        small_disk.clear()
        await commit(connection, store, batch_of(500, T0 + 60 * SECOND + 1))
        await assert_rolled_up(connection)
    finally:
        await connection.close()


async def test_a_server_that_cannot_write_its_log_dies_and_comes_back_without_a_part_of_the_batch(
    small_disk: SmallDisk, server_folder: Path
) -> None:
    batch = batch_of(200_000, T0 + 400 * SECOND)
    with embedded_database(server_folder) as dsn:
        schema.migrate(dsn)
        with psycopg.connect(dsn, autocommit=True) as settings:
            # No spare files of the log: they would be written before the disk is seen to be full.
            settings.execute("ALTER SYSTEM SET min_wal_size = '32MB'")
            settings.execute("ALTER SYSTEM SET wal_recycle = off")
    log = server_folder / "postgres" / "pg_wal"
    shutil.move(log, small_disk.folder / "pg_wal")
    log.symlink_to(small_disk.folder / "pg_wal")
    for path in (small_disk.folder, small_disk.folder / "pg_wal"):
        give_to_server(path, server_folder)
    for path in (small_disk.folder / "pg_wal").rglob("*"):
        os.chown(path, (server_folder / "postgres").stat().st_uid, (server_folder / "postgres").stat().st_gid)
    with embedded_database(server_folder) as dsn:
        connection = await database.connect(dsn)
        try:
            await connection.execute(PLANT)
            store = ReadingStore(await detect_async(connection))
            await commit(connection, store, batch_of(5_000))
            await store.make_room(connection, batch)
            small_disk.fill()
            async with asyncio.timeout(60):
                with pytest.raises(DatabaseUnavailableError):
                    await commit(connection, store, batch)
        finally:
            connection.terminate()
        small_disk.clear()
    with embedded_database(server_folder) as dsn:
        connection = await database.connect(dsn)
        try:
            assert await figures(connection) == (5_000, 5_000, 5_000)
            store = ReadingStore(await detect_async(connection))
            assert (await commit(connection, store, batch)).stored.all()
            assert await figures(connection) == (205_000, 205_000, 205_000)
            await assert_rolled_up(connection)
        finally:
            await connection.close()
    assert "No space left on device" in (server_folder / "postgres" / "log").read_text(errors="replace")


@contextlib.asynccontextmanager
async def wire(dsn: str) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """An address that leads to the server, and what cuts it: both ends see a lost connection."""
    server = urlsplit(dsn)
    ends: list[asyncio.StreamWriter] = []
    carrying: list[asyncio.Task[None]] = []

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                target.write(data)
                await target.drain()
        target.transport.abort()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        folder = parse_qs(server.query).get("host")
        if folder:
            to_server = await asyncio.open_unix_connection(f"{folder[0]}/.s.PGSQL.5432")
        else:
            to_server = await asyncio.open_connection(server.hostname, server.port)
        ends.extend([writer, to_server[1]])
        carrying.append(asyncio.create_task(carry(reader, to_server[1])))
        carrying.append(asyncio.create_task(carry(to_server[0], writer)))

    def cut() -> None:
        for end in ends:
            end.transport.abort()

    # A socket of the machine, which holds little; and a short path, which such a socket needs.
    with tempfile.TemporaryDirectory(prefix="wire-") as folder:
        async with await asyncio.start_unix_server(accept, f"{folder}/.s.PGSQL.5432"):
            user = server.netloc.rpartition("@")[0]
            yield server._replace(netloc=f"{user}@", query=f"host={folder}").geturl(), cut
            cut()
            await asyncio.gather(*carrying)


@pytest.mark.parametrize("how", ["the network is gone", "the server ends the session"])
async def test_a_connection_lost_in_mid_copy_leaves_nothing_of_the_batch(
    dsn: str, connection: asyncpg.Connection, how: str
) -> None:
    await connection.execute(PLANT)
    # Far more than the sockets between take up: most of it still waits to be sent.
    batch = batch_of(60_000, T0 + 400 * SECOND)
    middle = (to_datetime(int(batch.time[10_000])), 25)
    rival = await database.connect(dsn)
    async with wire(dsn) as (address, cut):
        writer = await database.connect(address)
        process = writer.get_server_pid()
        store = ReadingStore(await detect_async(writer))
        await commit(writer, store, batch_of(500))
        # From the second batch on it is one COPY straight into the table.
        await commit(writer, store, batch_of(500, T0 + 10 * SECOND))
        await store.make_room(writer, batch)
        # The COPY comes as far as this row, and waits for what becomes of it: half of the batch is written then.
        transaction = rival.transaction()
        await transaction.start()
        await rival.execute("INSERT INTO reading (time, sensor_id, value) VALUES ($1, $2, 0)", *middle)
        writing = asyncio.create_task(commit(writer, store, batch))
        while not await connection.fetchval(
            "SELECT wait_event_type = 'Lock' AND query LIKE 'COPY%' FROM pg_stat_activity WHERE pid = $1", process
        ):
            assert not writing.done()
        if how == "the network is gone":
            cut()
        else:
            await connection.execute("SELECT pg_terminate_backend($1)", process)
        async with asyncio.timeout(30):
            with pytest.raises(DatabaseUnavailableError):
                await writing
        await transaction.rollback()
    await rival.close()
    while await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", process):
        pass
    assert await figures(connection) == (1_000, 1_000, 1_000)
    store = ReadingStore(await detect_async(connection))
    assert (await commit(connection, store, batch)).stored.all()
    assert await figures(connection) == (61_000, 61_000, 61_000)
    await assert_rolled_up(connection)


@contextlib.asynccontextmanager
async def running(dsn: str, port: int, source: MqttSource) -> AsyncIterator[Engine]:
    """An engine in this process."""
    engine = Engine(dsn=dsn, source=source)
    stop = asyncio.Event()
    task = asyncio.create_task(engine.run(stop), name="engine")
    try:
        assert await engine.listening(30)
        yield engine
    finally:
        stop.set()
        await task


async def until(condition: Callable[[], Awaitable[bool]], what: str, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


def vibration(seconds: Sequence[int]) -> list[gateway.Message]:
    return [
        gateway.single(to_datetime(T0 + second * SECOND), "northfield/P-101/vib_de", second % 3 + 0.25)
        for second in seconds
    ]


async def test_an_engine_acknowledges_nothing_while_the_disk_is_full_and_everything_after(
    dsn_on_small_disk: str, small_disk: SmallDisk, mosquitto: Any, examples: Path
) -> None:
    apply(dsn_on_small_disk, examples / "plant.yaml")
    source = MqttSource(MqttOptions(host="127.0.0.1", port=mosquitto.port, client_id="engine"))
    connection = await database.connect(dsn_on_small_disk)
    try:
        with structlog.testing.capture_logs() as lines:
            async with running(dsn_on_small_disk, mosquitto.port, source) as engine:
                await asyncio.to_thread(publish, vibration(range(100)), port=mosquitto.port)

                async def acknowledged(count: int) -> bool:
                    return source.acknowledged == count

                await until(lambda: acknowledged(100), "the first hundred are stored and acknowledged")
                before = await figures(connection)
                small_disk.fill()
                await asyncio.to_thread(publish, vibration(range(100, 6_000)), port=mosquitto.port)

                async def refused() -> bool:
                    return engine.totals.database_up is False

                await until(refused, "the engine notices that the disk is full")
                # Some attempts.
                await asyncio.sleep(3)
                assert source.acknowledged == source.received - 5_900 + (await figures(connection))[0] - before[0]
                small_disk.clear()
                await until(lambda: acknowledged(6_000), "everything is stored and acknowledged")
        assert await connection.fetchval("SELECT count(*) FROM reading WHERE time >= $1", to_datetime(T0)) >= 6_000
        assert await connection.fetchval("SELECT bool_and(balanced) FROM ledger")
        await assert_rolled_up(connection)
        events = [line["event"] for line in lines if line["event"].startswith("database_")]
        assert events == ["database_connected", "database_unavailable", "database_connected"]
    finally:
        await connection.close()
