"""A database copied into another edition, or made into one where it is: everything is there, and goes on from there."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import numpy as np
import psycopg
import pytest

from cbm import state_rollup
from ingest.mqtt import MqttOptions, MqttSource
from precursor.apply import apply
from precursor.embedded import embedded_database
from precursor.engine import Engine, EngineOptions
from precursor.session import SessionOptions
from simulators import gateway
from simulators.publisher import publish
from telemetry import database, rollups, schema
from telemetry.aggregates import LEVELS
from telemetry.batch import ReadingBatch, to_datetime, to_micros
from telemetry.editions import TimescaleApache, TimescaleCommunity, detect, detect_async
from telemetry.errors import ConfigurationError, StateError, TransientError
from telemetry.in_place import aggregate, upgrade_offered
from telemetry.series import WAVEFORM
from telemetry.store import ReadingStore
from telemetry.upgrade import Upgraded, copy_database, plan_copy

T0 = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOW = T0 + 60 * DAY
DAYS = 12
HORIZON_RAW, HORIZON_MINUTES = T0 + 6 * DAY, T0 + 3 * DAY
REFRESHED = T0 + 9 * DAY
ROLLUPS = ("reading_1m", "reading_1h", "reading_1d", "asset_state_1d")

PLANT = """
INSERT INTO site (name, subscribe) VALUES ('north', '{a/#,b/#}');
INSERT INTO area (site_id, name) VALUES (1, 'hall');
INSERT INTO asset (name, area_id) VALUES ('pump-1', 1), ('fan-2', 1);
INSERT INTO asset (name, area_id, parent_id) VALUES ('pump-1.motor', 1, 1);
INSERT INTO sensor (name, asset_id, kind, codes) VALUES ('pump-1.state', 1, 'state', '{"run": 1, "off": 0}');
INSERT INTO sensor (name, asset_id) VALUES ('pump-1.vib', 1), ('fan-2.vib', 2);
INSERT INTO sensor (name, asset_id, retired_at) VALUES ('pump-1.old', 1, '2026-03-20');
INSERT INTO sensor (name, asset_id, kind, computed, source_id) VALUES ('pump-1.score', 1, 'derived', 'score', 2);
INSERT INTO job_plan (name, due_within_s, tasks) VALUES ('bearing', 86400, '["open", {"torque": 12.5}]');
INSERT INTO rule (name, subject, asset_id, sensor_id, unit, high, priority, job_plan)
SELECT 'vib-high', name, asset_id, id, unit, 7.1, 1, 'bearing' FROM sensor WHERE id = 2;
INSERT INTO work_order (asset_id, failure_mode, status, priority, title, opened_at, due_at, first_seen_at, last_seen_at)
VALUES (1, 'wear', 'in_progress', 1, 'Bearing', '2026-03-03', '2026-03-04', '2026-03-03', '2026-03-03'),
       (2, 'dirt', 'closed', 2, 'Läufer «7»', '2026-03-03', '2026-03-04', '2026-03-03', '2026-03-03');
INSERT INTO work_order_event (work_order_id, from_status, to_status, at, actor)
VALUES (1, NULL, 'new', '2026-03-03', 'engine'), (1, 'new', 'in_progress', '2026-03-04', 'anna');
INSERT INTO alarm (key, rule_id, rule_name, sensor_id, asset_id, side, limit_value, priority, began_at, value,
                   peak_value, peak_at, work_order_id)
VALUES ('a', 1, 'vib-high', 2, 1, 'high', 7.1, 1, '2026-03-03', 7.5, 8.25, '2026-03-03', 1);
INSERT INTO alarm_event (alarm_id, rule_id, kind, at) VALUES (1, 1, 'raised', '2026-03-03');
INSERT INTO outbox (work_order_id, event, body, attempts) VALUES (1, 'created', '{"a": [1, 2.5]}', 3);
INSERT INTO ledger_entry
VALUES ('a', 'received', '', 10), ('a', 'stored', '', 9), ('a', 'rejected', 'conflicting_value', 1);
INSERT INTO rejected (digest, source, topic, reason, payload, payload_bytes)
VALUES ('\\x01ff', 'a', 'a/b', 'conflicting_value', '\\x00', 1);
INSERT INTO evaluation_journal (kind, revision, body) SELECT 'readings', 1, '\\x0102' FROM generate_series(1, 5);
DELETE FROM evaluation_journal WHERE seq < 3;
INSERT INTO evaluation_checkpoint (name, seq, body) VALUES ('engine', 2, '\\xff00');
UPDATE plant_revision SET revision = 4;
"""


@dataclass(frozen=True)
class Pair:
    """Addresses of a filled database and of one to copy it into."""

    source: str
    target: str


@pytest.fixture(scope="module")
def plain(databases: Any, lay_server: Callable[[Path], None]) -> Iterator[Any]:
    """Databases on a server of plain PostgreSQL, whatever the server of the run is."""
    if "PRECURSOR_TEST_DSN" not in os.environ:
        yield databases
        return
    with tempfile.TemporaryDirectory(prefix="precursor-test-") as folder:
        lay_server(Path(folder))
        with embedded_database(Path(folder)) as dsn:
            made = type(databases)(dsn)
            yield made
            made.drop_all()


class Filled:
    """Databases on a server, each a copy of one that was filled: filling takes longer than copying."""

    def __init__(self, databases: Any) -> None:
        self._databases = databases
        self._template: str | None = None
        self._made: list[str] = []

    def another(self) -> str:
        """The address of one more."""
        if self._template is None:
            filled = self._databases.migrated()
            asyncio.run(fill(filled))
            self._template = name_of(filled)
            self._elsewhere = self._databases.empty()
            with self._connected() as connection:
                # The workers of TimescaleDB's scheduler would come back to it, and keep it from being copied.
                connection.execute(f"ALTER DATABASE {self._template} ALLOW_CONNECTIONS false".encode())
                connection.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (self._template,)
                )
        self._made.append(f"test_{uuid.uuid4().hex[:12]}")
        with self._connected() as connection:
            connection.execute(
                f"CREATE DATABASE {self._made[-1]} TEMPLATE {self._template} STRATEGY file_copy".encode()
            )
        return str(urlsplit(self._elsewhere)._replace(path=f"/{self._made[-1]}").geturl())

    def drop(self, dsn: str) -> None:
        """Drop one made here."""
        with self._connected() as connection:
            connection.execute(f"DROP DATABASE {name_of(dsn)} WITH (FORCE)".encode())

    def _connected(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._elsewhere, autocommit=True)


def name_of(dsn: str) -> str:
    return str(urlsplit(dsn).path.removeprefix("/"))


@pytest.fixture(scope="module")
def filled(databases: Any, plain: Any) -> dict[str, Filled]:
    """Filled databases, on the server of the run and on plain PostgreSQL."""
    on_server = Filled(databases)
    return {"server": on_server, "plain": on_server if plain is databases else Filled(plain)}


# Both ways between plain PostgreSQL and the server of the run, and within the latter, which may be plain itself.
WAYS = ["server to server"]
if "PRECURSOR_TEST_DSN" in os.environ:
    WAYS += ["plain to server", "server to plain"]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    """From where to where."""
    source, _, target = request.param.partition(" to ")
    return source, target


@pytest.fixture
def pair(way: tuple[str, str], filled: dict[str, Filled], databases: Any, plain: Any) -> Iterator[Pair]:
    """A filled database, and an empty one."""
    here, there = filled[way[0]], {"server": databases, "plain": plain}[way[1]]
    made = Pair(source=here.another(), target=there.migrated())
    yield made
    here.drop(made.source)
    there.drop(made.target)


@pytest.fixture
def bare_pair(way: tuple[str, str], databases: Any, plain: Any) -> Iterator[Pair]:
    """Two empty databases."""
    on = {"server": databases, "plain": plain}
    made = Pair(source=on[way[0]].migrated(), target=on[way[1]].migrated())
    yield made
    on[way[0]].drop(made.source)
    on[way[1]].drop(made.target)


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    # Not a name of ours: the command would take the test for an engine.
    connection = await database.connect(dsn, name="test")
    try:
        yield connection
    finally:
        await connection.close()


async def store(
    connection: asyncpg.Connection, rows: list[tuple[float, int, float, int]], *, mark: bool = True
) -> None:
    """Store (minutes after T0, sensor, value, quality) as the batch transaction does."""
    edition = await detect_async(connection)
    keeper = ReadingStore(edition)
    batch = ReadingBatch.of(
        [to_micros(T0 + row[0] * MINUTE) for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
        [row[3] for row in rows],
    )
    await keeper.make_room(connection, batch)
    async with connection.transaction(isolation="read_committed"):
        await keeper.write(connection, batch)
        await state_rollup.touch(connection, batch.take(batch.sensor_id == 1))
        if mark:
            await rollups.touch(connection, batch)


async def fill(dsn: str) -> None:
    """Days of a plant: rollups that stand, late readings not yet counted, a bad clock, all kinds of rows."""
    async with opened(dsn) as connection:
        edition = await detect_async(connection)
        await connection.execute(PLANT)
        # Quarters: sums of them are exact, so equal in whatever order an edition adds up.
        chosen = random.Random(7)
        day = [
            (minute + 0.25 * part, sensor, chosen.randrange(-64, 64) / 4, chosen.choice([0, 0, 0, 1, 2, 3]))
            for minute in range(0, 1440 * DAYS, 15)
            for part in range(2)
            for sensor in (2, 3, 4, 5)
        ]
        await store(connection, day)
        await store(connection, [(hour * 60 + 7, 1, float(hour % 3), 0) for hour in range(0, 24 * DAYS, 5)])
        while not (await rollups.advance(connection, edition, NOW)).complete:
            pass
        await state_rollup.refresh(connection, edition)
        # Late ones, some counted, some not; and one from the future.
        await store(connection, [(1440 * 7 + 3.5, 2, 16.5, 0), (1440 * 8 + 3.5, 3, -16.5, 0)])
        await rollups.advance(connection, edition, NOW)
        await store(connection, [(1440 * 9 + 3.5, 2, 15.75, 0), (1440 * 9 + 68.5, 1, 2.0, 0), (1440 * 11, 3, 1.0, 0)])
        await store(connection, [(1440 * 400, 2, 1.0, 0), (1440 * DAYS + 1, 2, 1.5, 0)])
        times = np.array([to_micros(T0), to_micros(T0 + 9 * DAY)])
        await edition.make_room(connection, times, WAVEFORM)
        await connection.executemany(
            "INSERT INTO waveform VALUES ($1, 2, 25600, 'mm/s', 1024, $2)",
            [(to_datetime(int(at)), os.urandom(50_000)) for at in times],
        )


async def throw_away(dsn: str, *, all_readings: bool = False) -> None:
    """Readings and minutes are gone, what was made of them is there."""
    async with opened(dsn) as connection:
        edition = await detect_async(connection)
        before = NOW if all_readings else HORIZON_RAW
        for kind, moment in (("readings", before), ("minutes", HORIZON_MINUTES)):
            await connection.execute("INSERT INTO series_horizon VALUES ($1, $2)", kind, moment)
        await connection.execute("DELETE FROM reading WHERE time < $1 OR $2", before, all_readings)
        await connection.execute("DELETE FROM reading_touched WHERE hour < $1", before)
        if all_readings:
            await connection.execute("DELETE FROM asset_state_touched")
        rows = "reading_1m_kept"
        if edition.rollups.manner == "aggregates":
            rows = await connection.fetchval(
                "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)"
                " FROM timescaledb_information.continuous_aggregates WHERE view_name = 'reading_1m'"
            )
        await connection.execute(f"DELETE FROM {rows} WHERE time < $1", HORIZON_MINUTES)


async def everything(dsn: str) -> dict[str, list[Any]]:
    """All rows that anybody can see, sorted; which transaction marked is a matter of each server."""
    async with opened(dsn) as connection:
        tables = await connection.fetch(
            "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
            " AND NOT c.relispartition AND c.relname NOT LIKE '%\\_kept'"
        )
        found = {}
        for name in [*(row[0] for row in tables), *ROLLUPS]:
            if name == "reading_touched":
                rows = await connection.fetch("SELECT sensor_id, hour, begin_at, end_at FROM reading_touched")
            else:
                rows = await connection.fetch(f"SELECT * FROM {name}")
            found[name] = sorted((tuple(row) for row in rows), key=repr)
        return found


async def carried(source: str, target: str) -> Upgraded:
    return await copy_database(source, target, lambda _name, _bytes: None, lambda _bytes: None)


async def bring_up_to_date(dsn: str) -> None:
    """What a scheduler would do."""
    async with opened(dsn) as connection:
        edition = await detect_async(connection)
        await state_rollup.refresh(connection, edition)
        while not (await rollups.advance(connection, edition, NOW)).complete:
            pass


async def test_a_copy_has_every_row_of_every_relation(pair: Pair) -> None:
    before = await everything(pair.source)
    done = await carried(pair.source, pair.target)
    assert not done.before
    assert await everything(pair.target) == before
    assert await everything(pair.source) == before
    assert {table.name: table.rows for table in done.tables}["reading"] == len(before["reading"]) > 9_000
    assert len(before["reading_touched"]) >= 3
    assert len(before["asset_state_touched"]) >= 1


async def test_rollups_of_source_and_copy_stay_the_same_when_both_go_on(pair: Pair) -> None:
    await carried(pair.source, pair.target)
    for dsn in (pair.source, pair.target):
        async with opened(dsn) as connection:
            late = [(1440 * 3 + 5.5, 2, 12.25, 0), (1440 * 10 + 61.5, 1, 0.0, 0)]
            await store(connection, [*late, *((1440 * DAYS + minute, 3, 0.5, 0) for minute in range(5, 300))])
        await bring_up_to_date(dsn)
    assert await everything(pair.target) == await everything(pair.source)
    async with opened(pair.target) as connection:
        assert await connection.fetchval("SELECT count(*) FROM reading_touched") == 0
        assert await connection.fetchval("SELECT sum(count) FROM reading_1d") == (
            await connection.fetchval("SELECT count(*) FROM reading")
        )


@pytest.mark.parametrize("all_readings", [False, True], ids=["some readings left", "no reading left"])
async def test_rollups_outlive_the_readings_that_were_thrown_away(pair: Pair, all_readings: bool) -> None:
    await bring_up_to_date(pair.source)
    await throw_away(pair.source, all_readings=all_readings)
    before = await everything(pair.source)
    await carried(pair.source, pair.target)
    assert await everything(pair.target) == before
    assert min(row[0] for row in before["reading_1d"]) == T0
    async with opened(pair.target) as connection:
        edition = await detect_async(connection)
        if edition.rollups.manner == "aggregates" and not all_readings:
            # Whatever somebody has refreshed by hand.
            for level in LEVELS:
                await connection.execute(
                    f"CALL refresh_continuous_aggregate('{level.relation}', NULL, '{REFRESHED.isoformat()}')"
                )
    assert await everything(pair.target) == before
    await bring_up_to_date(pair.target)
    after = await everything(pair.target)
    for name in ROLLUPS:
        assert set(after[name]) >= {row for row in before[name] if row[0] < REFRESHED}


async def test_an_empty_database_is_copied_too(bare_pair: Pair) -> None:
    before = await everything(bare_pair.source)
    done = await carried(bare_pair.source, bare_pair.target)
    assert await everything(bare_pair.target) == before
    assert {table.name: table.rows for table in done.tables}["reading"] == 0


async def test_identities_go_on_where_they_stood(pair: Pair) -> None:
    async with opened(pair.source) as connection:
        await connection.execute("INSERT INTO site (name) VALUES ('gone')")
        await connection.execute("DELETE FROM site WHERE name = 'gone'")
    await carried(pair.source, pair.target)
    async with opened(pair.target) as connection:
        assert await connection.fetchval("INSERT INTO site (name) VALUES ('next') RETURNING id") == 3
        insert = "INSERT INTO evaluation_journal (kind, revision, body) VALUES ('tick', 1, '') RETURNING seq"
        assert await connection.fetchval(insert) == 6


async def test_the_same_command_again_says_that_all_is_there(pair: Pair) -> None:
    first = await carried(pair.source, pair.target)
    again = await carried(pair.source, pair.target)
    assert again.before
    assert again.tables == first.tables


async def test_what_was_committed_and_not_yet_shown_is_shown_by_the_same_command(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bring_up_to_date(pair.source)
    await throw_away(pair.source)
    before = await everything(pair.source)

    async def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("telemetry.upgrade._finish", dies)
        with pytest.raises(KeyboardInterrupt):
            await carried(pair.source, pair.target)
    assert (await carried(pair.source, pair.target)).before
    assert await everything(pair.target) == before


async def test_a_database_that_holds_anything_is_refused_and_left_alone(pair: Pair) -> None:
    async with opened(pair.target) as connection:
        await connection.execute("INSERT INTO site (name) VALUES ('mine')")
    before = await everything(pair.target)
    with pytest.raises(ConfigurationError, match="not empty"):
        await plan_copy(pair.source, pair.target)
    with pytest.raises(ConfigurationError, match="not empty"):
        await carried(pair.source, pair.target)
    assert await everything(pair.target) == before


async def test_a_database_is_not_copied_into_itself(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="the very database"):
        await carried(dsn, dsn)


@pytest.mark.parametrize("where", ["source", "target"])
async def test_a_running_engine_is_refused(pair: Pair, where: str) -> None:
    engine = await database.connect(getattr(pair, where), name="precursor engine")
    try:
        with pytest.raises(ConfigurationError, match=f"connected to the {where}: precursor engine"):
            await carried(pair.source, pair.target)
    finally:
        await engine.close()


async def test_a_source_that_takes_something_in_meanwhile_gives_no_copy(pair: Pair) -> None:
    written = False

    def on_progress(name: str, _bytes: int) -> None:
        nonlocal written
        if name == "reading" and not written:
            written = True
            with psycopg.connect(pair.source) as other:
                other.execute("UPDATE ledger_entry SET readings = readings + 1 WHERE outcome = 'received'")

    with pytest.raises(TransientError, match="ledger_entry of the source changed"):
        await copy_database(pair.source, pair.target, on_progress, lambda _: None)
    async with opened(pair.target) as connection:
        assert await connection.fetchval("SELECT count(*) FROM reading") == 0
    assert not (await carried(pair.source, pair.target)).before


async def test_a_copy_that_is_not_equal_is_not_kept(pair: Pair) -> None:
    async with opened(pair.target) as connection:
        # A server that changes one row in ten thousand.
        await connection.execute(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN NEW.value := NEW.value + 0.25; RETURN NEW; END $$"
        )
        await connection.execute(
            "CREATE TRIGGER spoil BEFORE INSERT ON reading FOR EACH ROW"
            f" WHEN (NEW.sensor_id = 2 AND NEW.time = '{REFRESHED.isoformat()}') EXECUTE FUNCTION spoil()"
        )
    with pytest.raises(StateError, match=r"reading from .* with other values"):
        await carried(pair.source, pair.target)
    async with opened(pair.target) as connection:
        assert await connection.fetchval("SELECT count(*) FROM reading") == 0
        assert await connection.fetchval("SELECT count(*) FROM site") == 0


def command(source: str | None, target: str, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "precursor", "upgrade", *(() if source is None else ("--from", source)), *more],
        env={**os.environ, "PRECURSOR_DATABASE__DSN": target},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_a_command_that_is_killed_begins_anew_and_doubles_nothing(pair: Pair) -> None:
    before = await everything(pair.source)
    chosen = random.Random(uuid.uuid4().int)
    killed = 0
    for _ in range(4):
        process = command(pair.source, pair.target)
        async with opened(pair.source) as connection:

            async def at_work() -> bool:
                return bool(
                    await connection.fetchval(
                        "SELECT count(*) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND application_name = 'precursor upgrade'"
                    )
                )

            await until(at_work, "the command opens the source")
        await asyncio.sleep(chosen.uniform(0, 1.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    done = command(pair.source, pair.target, "--json")
    out, err = done.communicate()
    assert done.returncode == 0, err
    assert json.loads(out)["tables"]
    assert await everything(pair.target) == before
    assert killed


def test_the_command_makes_the_schema_and_says_what_it_copied(plain: Any, databases: Any) -> None:
    source, target = plain.migrated(), databases.empty()
    try:
        asyncio.run(fill(source))
        look = command(source, target, "--dry-run")
        assert "would be migrated" in look.communicate()[0]
        process = command(source, target)
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert "same checksum on both sides" in out
        again = command(source, target)
        assert "all of it was there already" in again.communicate()[0]
    finally:
        plain.drop(source)
        databases.drop(target)


def test_the_embedded_database_is_named_by_its_folder(
    tmp_path: Path, dsn: str, lay_server: Callable[[Path], None]
) -> None:
    lay_server(tmp_path)
    with embedded_database(tmp_path) as source:
        schema.migrate(source)
        asyncio.run(fill(source))
        before = asyncio.run(everything(source))
    process = command(str(tmp_path), dsn)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert asyncio.run(everything(dsn)) == before


def test_a_source_of_another_schema_is_refused_with_what_to_do(databases: Any, dsn: str) -> None:
    source = databases.empty()
    try:
        process = command(source, dsn)
        _, err = process.communicate()
        assert process.returncode == 2
        assert "precursor migrate" in err
        assert "Traceback" not in err
    finally:
        databases.drop(source)


# With an engine -----------------------------------------------------------------------------------------------------

ENGINE_T0 = 1_780_000_000_000_000


def message(second: float, value: float) -> gateway.Message:
    return gateway.single(to_datetime(ENGINE_T0 + round(second * 1_000_000)), "northfield/P-101/vib_de", value)


@asynccontextmanager
async def running(dsn: str, port: int) -> AsyncIterator[Engine]:
    source = MqttSource(MqttOptions(host="127.0.0.1", port=port, client_id="engine"))
    engine = Engine(dsn=dsn, source=source, options=EngineOptions(session=SessionOptions(silence_s=5.0)))
    stop = asyncio.Event()
    task = asyncio.create_task(engine.run(stop))
    try:
        assert await engine.listening(20)
        yield engine
    finally:
        stop.set()
        await task


async def until(condition: Callable[[], Awaitable[Any]], what: str) -> None:
    for _ in range(400):
        if await condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(what)


async def test_an_engine_goes_on_from_the_checkpoint_and_doubles_no_alarm(
    bare_pair: Pair, mosquitto: Any, examples: Path
) -> None:
    apply(bare_pair.source, examples / "plant.yaml")
    count = "SELECT count(*) FROM alarm"
    async with opened(bare_pair.source) as connection, running(bare_pair.source, mosquitto.port):
        await asyncio.to_thread(publish, [message(n, 9.0) for n in range(0, 120, 10)], port=mosquitto.port)

        async def alarmed() -> bool:
            return bool(await connection.fetchval(count) == 1)

        await until(alarmed, "nine mm/s for two minutes raise the limit's alarm")
    before = await everything(bare_pair.source)
    await carried(bare_pair.source, bare_pair.target)
    async with opened(bare_pair.target) as connection, running(bare_pair.target, mosquitto.port):
        # The alarm stands: more of the same is no second one, and its end is the end of that one.
        messages = [message(n, 9.0) for n in range(120, 300, 10)] + [message(n, 0.5) for n in range(300, 700, 10)]
        await asyncio.to_thread(publish, messages, port=mosquitto.port)

        async def ended() -> bool:
            return bool(await connection.fetchval(f"{count} WHERE ended_at IS NOT NULL"))

        await until(ended, "the alarm that began before the copy ends after it")
        assert await connection.fetchval(count) == 1
        assert await connection.fetchval("SELECT count(*) FROM work_order") == len(before["work_order"])
        assert await connection.fetchval("SELECT key FROM alarm") == before["alarm"][0][1]


# In place -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def apache_dsn(dsn: str) -> str:
    """On a server of the community edition, a database that was made under the Apache licence."""
    with psycopg.connect(dsn) as connection:
        if not isinstance(detect(connection), TimescaleCommunity):
            pytest.skip("the server of the run has no community edition")
    schema.downgrade(dsn, "0001")
    with psycopg.connect(dsn) as connection:
        TimescaleCommunity().drop_series(connection)
        TimescaleApache().create_series(connection)
    schema.migrate(dsn)
    assert schema.inspect(dsn).edition == "timescaledb-apache"
    return dsn


def made_of(dsn: str) -> list[Any]:
    """Our relations with what they are made of, as the server tells them."""
    with psycopg.connect(dsn) as connection:
        relations = connection.execute(
            "SELECT relname, relkind, regexp_replace(pg_get_viewdef(oid), '_hypertable_\\d+|mark\\(\\d+\\)', '', 'g')"
            " FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'i', 'S')"
            " ORDER BY 1"
        ).fetchall()
        functions = connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'reading%'"
        ).fetchall()
        aggregates = connection.execute(
            "SELECT view_schema, view_name, materialized_only, view_definition"
            " FROM timescaledb_information.continuous_aggregates ORDER BY 1, 2"
        ).fetchall()
        rows = connection.execute(
            "SELECT hypertable_name LIKE '\\_mat%', column_name, time_interval FROM timescaledb_information.dimensions"
            " ORDER BY 1, 2, 3"
        ).fetchall()
        return [relations, functions, aggregates, rows]


async def in_place(dsn: str) -> Any:
    return await aggregate(dsn, dry_run=False, tell=lambda _: None)


@pytest.mark.parametrize("horizon", [False, True], ids=["all readings there", "old readings gone"])
async def test_apache_becomes_community_in_place_with_every_row(
    apache_dsn: str, new_database: Callable[[], str], horizon: bool
) -> None:
    await fill(apache_dsn)
    if horizon:
        await bring_up_to_date(apache_dsn)
        await throw_away(apache_dsn)
    before = await everything(apache_dsn)
    done = await in_place(apache_dsn)
    assert [table.name for table in done.tables] == ["reading_1m", "reading_1h", "reading_1d"]
    assert schema.inspect(apache_dsn).edition == "timescaledb-community"
    assert await everything(apache_dsn) == before
    assert made_of(apache_dsn) == made_of(new_database())
    async with opened(apache_dsn) as connection:
        if horizon:
            for level in LEVELS:
                await connection.execute(f"CALL refresh_continuous_aggregate('{level.relation}', NULL, '{REFRESHED}')")
            assert await everything(apache_dsn) == before
        await bring_up_to_date(apache_dsn)
        assert await connection.fetchval("SELECT count(*) FROM reading_touched") == 0
        if not horizon:
            counted = await connection.fetchval("SELECT sum(count) FROM reading_1d")
            assert counted == await connection.fetchval("SELECT count(*) FROM reading")
    assert (await in_place(apache_dsn)).before
    schema.downgrade(apache_dsn)


async def test_what_a_killed_upgrade_in_place_left_is_in_nobodys_way(
    apache_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(apache_dsn)
    before, shape = await everything(apache_dsn), made_of(apache_dsn)[0]

    async def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("telemetry.in_place._change_places", dies)
        with pytest.raises(KeyboardInterrupt):
            await in_place(apache_dsn)
    assert await everything(apache_dsn) == before
    assert made_of(apache_dsn)[0] == shape
    assert schema.inspect(apache_dsn).edition == "timescaledb-apache"
    await in_place(apache_dsn)
    assert await everything(apache_dsn) == before


async def test_rights_on_rollups_outlive_the_upgrade_in_place(apache_dsn: str) -> None:
    reader = f"reader_{uuid.uuid4().hex[:8]}"
    async with opened(apache_dsn) as connection:
        await connection.execute(f"CREATE ROLE {reader}")
        try:
            await connection.execute(f"GRANT SELECT ON reading_1m, asset_state_1d TO {reader}")
            await in_place(apache_dsn)
            may = "SELECT has_table_privilege($1, $2, 'SELECT')"
            assert await connection.fetchval(may, reader, "reading_1m")
            assert await connection.fetchval(may, reader, "asset_state_1d")
            assert not await connection.fetchval(may, reader, "reading_1h")
        finally:
            await connection.execute(f"DROP OWNED BY {reader}")
            await connection.execute(f"DROP ROLE {reader}")


def test_the_command_upgrades_in_place_once(apache_dsn: str) -> None:
    for more, said in (("--dry-run",), "are needed"), ((), "same rows and checksums"), ((), "nothing to do"):
        process = command(None, apache_dsn, *more)
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert said in out
    assert schema.inspect(apache_dsn).edition == "timescaledb-community"


async def test_in_place_is_refused_where_it_cannot_be_with_what_can(dsn: str) -> None:
    edition = schema.inspect(dsn).edition
    if edition == "timescaledb-community":
        assert (await in_place(dsn)).before
    else:
        wanted = {"plain": "--from", "timescaledb-apache": "apache licence"}[edition]
        with pytest.raises(ConfigurationError, match=wanted):
            await in_place(dsn)


def test_what_is_offered(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        assert upgrade_offered(connection) is None


def test_the_community_edition_is_offered_to_a_database_of_the_apache_one(apache_dsn: str) -> None:
    with psycopg.connect(apache_dsn) as connection:
        offer = upgrade_offered(connection)
    assert offer is not None
    assert "precursor upgrade" in offer
