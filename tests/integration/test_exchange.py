"""Export and import of readings on a real database: the same rows afterwards, every one counted, none lost."""

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbm import state_rollup
from ingest.limits import DoorLimits
from precursor.exchange import Imported, import_readings
from telemetry import database, rollups
from telemetry.arrow import EARLIEST, LATEST, read_table
from telemetry.arrow_columns import from_table
from telemetry.batch import ReadingBatch, to_datetime, to_micros
from telemetry.catalogue import load_catalogue
from telemetry.editions import detect_async
from telemetry.errors import ConfigurationError
from telemetry.ledger import read_ledger
from telemetry.ranges import read_readings
from telemetry.reading_files import ReadingFile, ReadingTable, export_readings
from telemetry.store import ReadingStore

T0 = datetime(2026, 10, 5, tzinfo=UTC)
T0_US = to_micros(T0)
NOW = datetime(2026, 11, 21, tzinfo=UTC)
SECOND, HOUR = 1_000_000, 3_600_000_000
UTC_US = pa.timestamp("us", "UTC")

# Sensor 5 is retired, 4 is a score, 3 a state; M-1 is a part of P-1.
PLANT = """
INSERT INTO site (name) VALUES ('mill');
INSERT INTO area (site_id, name) VALUES (1, 'hall');
INSERT INTO asset (name, area_id) VALUES ('P-1', 1);
INSERT INTO asset (name, area_id, parent_id) VALUES ('M-1', 1, 1);
INSERT INTO asset (name, area_id) VALUES ('F-2', 1);
INSERT INTO sensor (name, asset_id, unit) VALUES ('P-1.vib', 1, 'mm/s'), ('M-1.temp', 2, 'degC');
INSERT INTO sensor (name, asset_id, kind) VALUES ('P-1.state', 1, 'state');
INSERT INTO sensor (name, asset_id, kind, computed, source_id) VALUES ('P-1.vib.score', 1, 'derived', 'score', 1);
INSERT INTO sensor (name, asset_id, retired_at) VALUES ('F-2.old', 3, '2026-01-01Z');
"""
IDS = [1, 2, 3, 4, 5]


@asynccontextmanager
async def with_plant(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    made = await database.connect(dsn)
    try:
        await made.execute(PLANT)
        yield made
    finally:
        await made.close()


@pytest.fixture
async def plant(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    async with with_plant(dsn) as made:
        yield made


@pytest.fixture
async def other(new_database: Callable[[], str]) -> AsyncIterator[asyncpg.Connection]:
    """Another database with the same plant."""
    async with with_plant(new_database()) as made:
        yield made


async def store(connection: asyncpg.Connection, batch: ReadingBatch) -> None:
    into = ReadingStore(await detect_async(connection))
    await into.make_room(connection, batch)
    async with connection.transaction():
        await into.write(connection, batch)
        await rollups.touch(connection, batch)


async def stored(connection: asyncpg.Connection) -> ReadingBatch:
    return await read_readings(connection, IDS, EARLIEST, LATEST)


async def take(connection: asyncpg.Connection, file: Path | pa.Table, **options: Any) -> Imported:
    table = ReadingTable(file, "memory") if isinstance(file, pa.Table) else ReadingFile(file)
    return await import_readings(connection, table, limits=DoorLimits(), now=NOW, **options)


async def ledger(connection: asyncpg.Connection) -> dict[str, tuple[int, int, int, int]]:
    """received, stored, duplicate, rejected by source; every line of it adds up."""
    rows: list[Any] = list(await read_ledger(connection))
    assert all(row["balanced"] for row in rows)
    return {row["source"]: (row["received"], row["stored"], row["duplicate"], row["rejected"]) for row in rows}


async def forget(connection: asyncpg.Connection) -> None:
    await connection.execute("TRUNCATE reading")
    await connection.execute("TRUNCATE ledger_entry, rejected")


def rows_of(times: npt.ArrayLike, names: Sequence[str], values: npt.ArrayLike, **more: Any) -> pa.Table:
    return pa.table(
        {"time": pa.array(np.array(times, np.int64)).view(UTC_US), "sensor": names, "value": np.asarray(values), **more}
    )


MEASURED = st.tuples(
    st.integers(0, 6 * 7 * 24 * HOUR),
    st.sampled_from([1, 2, 4, 5]),
    st.one_of(
        st.sampled_from([-0.0, 0.0, 5e-324, -2.2e-308, 1e308, -1.7976931348623157e308, 0.1]),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    st.integers(0, 3),
)
STATE = st.tuples(st.integers(0, 30 * HOUR), st.just(3), st.sampled_from([0.0, 1.0, 2.0]), st.integers(0, 3))
HISTORY = st.lists(st.one_of(MEASURED, STATE), max_size=25, unique_by=lambda row: (row[0], row[1]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=HISTORY, ending=st.sampled_from([".parquet", ".arrow"]), batch_rows=st.integers(1, 30))
async def test_any_readings_are_the_same_rows_elsewhere_and_duplicates_where_they_came_from(
    plant: asyncpg.Connection,
    other: asyncpg.Connection,
    tmp_path: Path,
    rows: list[tuple[int, int, float, int]],
    ending: str,
    batch_rows: int,
) -> None:
    for connection in (plant, other):
        await forget(connection)
    batch = ReadingBatch.of(
        *(zip(*((T0_US + row[0], *row[1:]) for row in rows), strict=True) if rows else ([], [], []))
    )
    await store(plant, batch)
    before = await stored(plant)
    assert before.to_bytes() == batch.sorted().to_bytes()

    file, count = tmp_path / f"readings{ending}", len(rows)
    exported = await export_readings(plant, file, force=True)
    assert exported.readings == count
    assert exported.sensors == len({row[1] for row in rows})
    there = await take(other, file, batch_rows=batch_rows)
    assert (await stored(other)).to_bytes() == before.to_bytes()
    assert (there.received, there.stored, there.duplicate, there.rejected.total()) == (count, count, 0, 0)
    again = await take(plant, file, batch_rows=batch_rows)
    assert (again.received, again.stored, again.duplicate, again.rejected.total()) == (count, 0, count, 0)
    assert (await stored(plant)).to_bytes() == before.to_bytes()
    expected = (count, count, 0, 0) if count else None
    assert (await ledger(other)).get(f"import:{file.name}") == expected


async def test_a_table_in_memory_goes_both_ways(plant: asyncpg.Connection, other: asyncpg.Connection) -> None:
    await store(plant, ReadingBatch.of(T0_US + np.arange(20) * SECOND, np.arange(20) % 2 + 1, np.arange(20), [1] * 20))
    table = await read_table(plant)
    assert table.schema.field("quality").type == pa.dictionary(pa.int8(), pa.string())
    ids = {name: sensor.id for name, sensor in (await load_catalogue(plant)).by_name.items()}
    assert from_table(table, ids).to_bytes() == (await stored(plant)).to_bytes()
    assert (await take(other, table)).stored == 20
    frame = (await read_table(plant, sensors=["P-1.vib"])).to_pandas()
    assert str(frame["time"].dt.tz) == "UTC"
    assert set(frame["quality"]) == {"uncertain"}
    assert set(frame["sensor"]) == {"P-1.vib"}


async def test_a_range_begins_with_its_first_moment_ends_before_its_last_and_has_what_was_asked_for(
    plant: asyncpg.Connection, tmp_path: Path
) -> None:
    times = T0_US + np.arange(10) * SECOND
    await store(plant, ReadingBatch.of(np.tile(times, 5), np.repeat(IDS, 10), np.tile(np.arange(10) % 3, 5)))
    file = tmp_path / "part.parquet"
    begin, end = to_datetime(int(times[2])), to_datetime(int(times[5]))
    exported = await export_readings(plant, file, sensors=["F-2.old"], assets=["P-1"], begin=begin, end=end)
    assert (exported.readings, exported.sensors) == (15, 5)
    assert (exported.first, exported.last) == (begin, end - timedelta(seconds=1))
    await export_readings(plant, file, assets=["M-1"], force=True)
    assert set(pq.read_table(file)["sensor"].to_pylist()) == {"M-1.temp"}
    nothing = await export_readings(plant, file, begin=NOW, force=True)
    assert (nothing.readings, nothing.first) == (0, None)
    assert (await take(plant, file)).received == 0


async def test_row_groups_are_bounded_and_say_which_sensors_and_times_they_hold(
    plant: asyncpg.Connection, tmp_path: Path
) -> None:
    count = 150_000
    times = T0_US + np.arange(count) * SECOND
    await store(plant, ReadingBatch.of(np.tile(times, 2), np.repeat([1, 2], count), np.zeros(2 * count)))
    told: list[tuple[int, float]] = []
    await export_readings(plant, tmp_path / "x.parquet", on_progress=lambda *progress: told.append(progress))
    metadata = pq.read_metadata(tmp_path / "x.parquet")
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    assert max(group.num_rows for group in groups) <= 131_072
    names = [(group.column(1).statistics.min, group.column(1).statistics.max) for group in groups]
    assert names == [("P-1.vib", "P-1.vib"), ("M-1.temp", "P-1.vib"), ("M-1.temp", "M-1.temp")]
    assert groups[0].column(0).statistics.max == to_datetime(int(times[131_071]))
    assert [readings for readings, _ in told] == [131_072, 262_144, 300_000]
    assert [part for _, part in told] == sorted(part for _, part in told)


async def test_an_export_that_fails_leaves_no_file_and_the_old_one_as_it_was(
    plant: asyncpg.Connection, tmp_path: Path
) -> None:
    count = 140_000
    await store(plant, ReadingBatch.of(T0_US + np.arange(count) * SECOND, np.ones(count), np.zeros(count)))
    old = tmp_path / "old.parquet"
    old.write_bytes(b"old")

    async def fail_after_one_row_group(target: Path) -> None:
        def lose(readings: int, part: float) -> None:
            raise ConnectionResetError("as if the server had gone away")

        await export_readings(plant, target, force=True, on_progress=lose)

    for target in (old, tmp_path / "new.parquet", tmp_path / "new.arrow"):
        with pytest.raises(ConnectionResetError):
            await fail_after_one_row_group(target)
    with pytest.raises(ConfigurationError, match="--force"):
        await export_readings(plant, old)
    with pytest.raises(ConfigurationError, match=r"did you mean 'P-1.vib'"):
        await export_readings(plant, tmp_path / "x.parquet", sensors=["P-1.vibr"])
    assert os.listdir(tmp_path) == ["old.parquet"]
    assert old.read_bytes() == b"old"
    await export_readings(plant, old, force=True)
    assert pq.read_metadata(old).num_rows == count


async def test_a_full_disk_is_told_as_what_it_is(plant: asyncpg.Connection) -> None:
    class Full(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, body: Any) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(ConfigurationError, match="No space left on device"):
        await export_readings(plant, io.BufferedWriter(Full(), 1))


async def test_rows_that_are_no_readings_are_rejected_with_their_reason_and_the_others_stored(
    plant: asyncpg.Connection,
) -> None:
    await store(plant, ReadingBatch.of([T0_US, T0_US + 1], [1, 1], [1.0, 2.0]))
    day = 24 * HOUR
    rows = [
        (T0_US, "P-1.vib", 1.0, "good"),  # duplicate
        (T0_US + 1, "P-1.vib", 3.0, "good"),  # conflicts
        (T0_US + 2, "P-1.vib", 3.0, "good"),
        (T0_US + 2, "P-1.vib", 3.0, "good"),  # the same again
        (T0_US + 2, "P-1.vib", 3.0, "bad"),  # conflicts with the row before
        (T0_US + 3, "P-1.vib", float("nan"), "good"),
        (T0_US + 4, "P-1.vib", float("nan"), "good"),
        (0, "P-1.vib", 1.0, "good"),
        (to_micros(NOW) + day, "P-1.vib", 1.0, "good"),
        (T0_US + 5, "P-1.state", 7.0, "good"),
        (T0_US + 6, "P-1.vib", 1.0, "so so"),
    ]
    times, names, values, qualities = zip(*rows, strict=True)
    table = rows_of(times, names, values, quality=qualities)
    # Whether or not a transaction has one row only, counts and rejected rows are the same.
    for source, batch_rows in (("one", 1), ("all", 50_000)):
        await plant.execute("DELETE FROM reading WHERE time = $1", to_datetime(T0_US + 2))
        outcome = await take(plant, table, source=source, batch_rows=batch_rows)
        assert (outcome.received, outcome.stored, outcome.duplicate) == (11, 1, 2)
        reasons = {
            "conflicting_value": 2, "not_finite": 2, "too_old_timestamp": 1, "future_timestamp": 1, "unknown_state": 1,
            "unknown_quality": 1,
        }  # fmt: skip
        assert dict(outcome.rejected) == reasons
        kept = await plant.fetch("SELECT reason, readings FROM rejected WHERE source = $1", f"import:{source}")
        assert {row["reason"]: row["readings"] for row in kept} == reasons
        assert (await ledger(plant))[f"import:{source}"] == (11, 1, 2, 8)


async def test_unknown_sensors_are_told_before_anything_is_written_or_skipped_and_counted(
    plant: asyncpg.Connection,
) -> None:
    count = 60_000
    names = ["P-1.vib"] * (count - 2) + ["P-1.vibr", "x"]
    table = rows_of(T0_US + np.arange(count) * SECOND, names, [1.0] * count)
    with pytest.raises(
        ConfigurationError, match=r"2 sensors.*'P-1.vibr' \(did you mean 'P-1.vib'\?\), 'x'.*--skip-unknown"
    ):
        await take(plant, table)
    assert len(await stored(plant)) == 0
    assert await ledger(plant) == {}
    looked = await take(plant, table, skip_unknown=True, dry_run=True)
    assert looked.document() | {"source": ""} == {
        "source": "", "dry_run": True, "received": count, "stored": count - 2, "duplicate": 0, "rejected": 2,
        "rejected_by_reason": {"unknown_sensor": 2}, "first": T0.isoformat(),
        "last": (T0 + timedelta(seconds=count - 3)).isoformat(),
    }  # fmt: skip
    assert len(await stored(plant)) == 0
    assert await ledger(plant) == {}
    outcome = await take(plant, table, skip_unknown=True)
    assert (outcome.stored, outcome.rejected["unknown_sensor"]) == (count - 2, 2)
    assert await ledger(plant) == {"import:memory": (count, count - 2, 0, 2)}


async def test_a_table_in_other_units_is_refused(
    plant: asyncpg.Connection, other: asyncpg.Connection, tmp_path: Path
) -> None:
    await store(plant, ReadingBatch.of([T0_US, T0_US], [1, 2], [1.0, 2.0]))
    await export_readings(plant, tmp_path / "x.parquet")
    await other.execute("UPDATE sensor SET unit = 'degF' WHERE id = 2")
    with pytest.raises(ConfigurationError, match=r"'M-1.temp' is in 'degC' there and in 'degF' here"):
        await take(other, tmp_path / "x.parquet")
    assert len(await stored(other)) == 0
    await other.execute("UPDATE sensor SET unit = 'celsius' WHERE id = 2")
    assert (await take(other, tmp_path / "x.parquet")).stored == 2


async def test_a_file_damaged_at_its_end_writes_nothing(plant: asyncpg.Connection, tmp_path: Path) -> None:
    count = 200_000
    noise = np.random.default_rng(0).normal(size=count)
    rows = rows_of(T0_US + np.arange(count) * SECOND, ["P-1.vib"] * count, noise)
    file = tmp_path / "x.parquet"
    pq.write_table(rows, file, row_group_size=50_000, write_page_checksum=True)
    end = pq.read_metadata(file).row_group(3).column(2).data_page_offset + 10_000
    whole = file.read_bytes()
    file.write_bytes(whole[:end] + bytes(100) + whole[end + 100 :])
    with pytest.raises(ConfigurationError, match=r"'x.parquet' is damaged or was cut off after 1\d\d,\d\d\d rows"):
        await take(plant, file)
    assert len(await stored(plant)) == 0


async def test_imported_history_is_in_rollups_and_reliability_figures(plant: asyncpg.Connection) -> None:
    edition = await detect_async(plant)
    # Live data first: what is imported afterwards lies behind the watermark.
    newest = T0_US + 20 * 24 * HOUR
    await store(plant, ReadingBatch.of([newest], [1], [5.0]))
    watermark = (await rollups.advance(plant, edition, NOW)).watermark
    times = T0_US + np.arange(200) * HOUR // 7
    states = [(T0_US, 1.0), (T0_US + 5 * HOUR, 2.0), (T0_US + 8 * HOUR, 1.0), (T0_US + 10 * HOUR, 0.0)]
    assert to_datetime(int(times[-1])) < watermark
    table = rows_of(
        [*times, *(time for time, _ in states)],
        ["P-1.vib"] * 200 + ["P-1.state"] * 4,
        [*np.arange(200) * 0.1, *(state for _, state in states)],
    )
    await take(plant, table, batch_rows=30)
    advanced = await rollups.advance(plant, edition, NOW)
    assert advanced.complete
    for view, bucket in (("reading_1m", "1 minute"), ("reading_1h", "1 hour"), ("reading_1d", "1 day")):
        found = await plant.fetch(f"SELECT sensor_id, time, count, sum, last FROM {view} ORDER BY 1, 2")
        expected = await plant.fetch(
            "SELECT sensor_id, date_bin($1::text::interval, time, 'epoch') AS bin, count(*), sum(value ORDER BY time),"
            " (array_agg(value ORDER BY time DESC))[1] FROM reading GROUP BY 1, 2 ORDER BY 1, 2",
            bucket,
        )
        assert [tuple(row)[:3] for row in found] == [tuple(row)[:3] for row in expected]
        assert [row["last"] for row in found] == [row[4] for row in expected]
        assert [row["sum"] for row in found] == pytest.approx([row[3] for row in expected])
    await state_rollup.refresh(plant, edition)
    [kpi] = await state_rollup.kpis(plant, begin=T0, end=T0 + timedelta(hours=10), asset="P-1")
    assert (kpi.reliability.downtime_s, kpi.reliability.failures) == (3 * 3600, 1)
    assert kpi.reliability.availability == pytest.approx(0.7)


# The command ---------------------------------------------------------------------------------------------------------


def command(dsn: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "precursor", *arguments], {**os.environ, "PRECURSOR_DATABASE__DSN": dsn}


def run(dsn: str, *arguments: str, expect: int = 0) -> tuple[bytes, str]:
    argv, environment = command(dsn, *arguments)
    done = subprocess.run(argv, env=environment, capture_output=True, timeout=120, check=False)
    assert done.returncode == expect, done.stderr.decode()[-3000:]
    return done.stdout, done.stderr.decode()


async def test_an_import_killed_half_way_and_run_again_ends_equal(
    dsn: str, plant: asyncpg.Connection, tmp_path: Path
) -> None:
    count, blocked = 120_000, 60_000
    times = T0_US + np.arange(count) * SECOND
    file = tmp_path / "history.parquet"
    pq.write_table(rows_of(times, ["P-1.vib"] * count, np.arange(count) * 0.5), file)
    # There before the block below, so that nobody waits for a partition or a chunk instead of for the row.
    await store(plant, ReadingBatch.of(times[[0, -1]], [1, 1], [0.0, (count - 1) * 0.5]))

    blocker = await asyncpg.connect(dsn)
    held = blocker.transaction()
    await held.start()
    await blocker.execute(
        "INSERT INTO reading (time, sensor_id, value) VALUES ($1, 1, 0)", to_datetime(int(times[blocked]))
    )
    argv, environment = command(dsn, "import", str(file))
    victim = subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE)  # noqa: ASYNC220  # ended below
    sessions = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'precursor command' AND datname = current_database()"
    )
    try:
        for _ in range(1200):
            if await plant.fetchval(f"{sessions} AND wait_event_type = 'Lock'"):
                break
            assert victim.poll() is None, victim.communicate()[1].decode()[-3000:]
            await asyncio.sleep(0.05)
        else:
            pytest.fail("the import never came to the blocked row")
    finally:
        victim.kill()
        victim.communicate()
        await held.rollback()
        await blocker.close()
    for _ in range(1200):  # until the server has noticed
        if not await plant.fetchval(sessions):
            break
        await asyncio.sleep(0.05)

    half = await ledger(plant)
    assert half == {"import:history.parquet": (50_000, 49_999, 1, 0)}
    assert len(await stored(plant)) == 50_001
    outcome = json.loads(run(dsn, "import", str(file), "--json")[0])
    assert (outcome["received"], outcome["stored"], outcome["duplicate"]) == (count, 69_999, 50_001)
    whole = await stored(plant)
    assert whole.to_bytes() == ReadingBatch.of(times, np.ones(count), np.arange(count) * 0.5).to_bytes()
    assert await ledger(plant) == {"import:history.parquet": (170_000, 119_998, 50_002, 0)}


async def test_the_commands_write_read_and_report(
    dsn: str, plant: asyncpg.Connection, other: asyncpg.Connection, tmp_path: Path
) -> None:
    await store(plant, ReadingBatch.of(T0_US + np.arange(100) * SECOND, np.ones(100), np.arange(100)))
    file = tmp_path / "readings.parquet"
    exported = json.loads(run(dsn, "export", str(file), "--to", "2026-10-05T00:01", "--asset", "P-1", "--json")[0])
    assert (exported["readings"], exported["sensors"], exported["first"]) == (60, 1, T0.isoformat())
    assert exported["bytes"] == file.stat().st_size
    _, told = run(dsn, "export", str(file), expect=2)
    assert "--force" in told

    stream, told = run(dsn, "export", "-")
    assert told == ""
    assert pa.ipc.open_stream(stream).read_all().num_rows == 100
    piped = tmp_path / "piped.arrow"
    piped.write_bytes(stream)
    output, _ = run(dsn, "import", str(piped), "--source", "pipe")
    assert "100 rows: 0 stored, 100 duplicates, 0 rejected" in output.decode()
    assert "import:pipe" in output.decode()
    assert (await ledger(plant))["import:pipe"] == (100, 0, 100, 0)


def test_the_commands_refuse_in_one_line_what_cannot_be_done(dsn: str, tmp_path: Path) -> None:
    no_file = tmp_path / "text.parquet"
    no_file.write_text("no file of readings")
    for arguments, said in (
        (["import", str(no_file)], "no Parquet or Arrow file"),
        (["export", str(tmp_path / "x.csv")], ".parquet"),
        (["export", "-", "--json"], "standard output"),
    ):
        output, told = run(dsn, *arguments, expect=2)
        assert output == b""
        assert said in told
        assert "Traceback" not in told
