"""Waveforms: written, listed, read by range, and served, on a real database."""

import asyncio
import json
import math
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.app import create_app
from precursor.cli.waveforms import waveforms
from telemetry import waveform_store
from telemetry.editions import detect_async
from telemetry.errors import ConfigurationError, StateError
from telemetry.samples import MAX_SAMPLES, encode_samples
from telemetry.sql import load_queries
from telemetry.store import Written
from telemetry.waveform_files import export_waveforms
from telemetry.waveform_store import WaveformStore, list_waveforms, read_waveform, read_waveforms
from telemetry.waveforms import LATEST, MAX_DURATION, InvalidWaveformError, Waveform, WaveformFault

T0 = datetime(2026, 3, 2, tzinfo=UTC)
SECOND, MINUTE, WEEK = timedelta(seconds=1), timedelta(minutes=1), timedelta(weeks=1)
QUERIES = load_queries("telemetry", "waveforms.sql")
PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'boiler-house');
INSERT INTO asset (name, area_id) VALUES ('pump-1', 1);
INSERT INTO sensor (name, asset_id, unit) VALUES ('pump-1.temperature', 1, 'degC'), ('pump-1.vibration', 1, 'g');
"""
FOREVER = (datetime(1970, 1, 1, tzinfo=UTC), LATEST)


def block(
    time: datetime = T0, sensor_id: int = 1, *, count: int = 10, rate: float = 10.0, unit: str = "g", first: float = 0.5
) -> Waveform:
    samples = np.arange(count, dtype=np.float32)
    samples[0] = first
    return Waveform(sensor_id=sensor_id, time=time, sample_rate_hz=rate, unit=unit, samples=samples)


async def write(connection: asyncpg.Connection, waveforms: Sequence[Waveform]) -> Written:
    store = WaveformStore(await detect_async(connection))
    await store.make_room(connection, waveforms)
    async with connection.transaction():
        return await store.write(connection, waveforms)


async def read(
    connection: asyncpg.Connection, sensors: Sequence[int] = (1,), begin: datetime = T0, end: datetime = LATEST
) -> list[Waveform]:
    return [waveform async for waveform in read_waveforms(connection, sensors, begin, end)]


def content(waveform: Waveform) -> tuple[object, ...]:
    return (
        waveform.sensor_id,
        waveform.time,
        waveform.sample_rate_hz,
        waveform.unit,
        waveform.samples.view(np.uint32).tolist(),
    )


# The type


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"samples": []}, WaveformFault.NO_SAMPLES, id="no samples"),
        pytest.param({"samples": np.zeros(MAX_SAMPLES + 1), "sample_rate_hz": 1e6}, WaveformFault.TOO_MANY_SAMPLES),
        pytest.param({"samples": [0.0, math.nan]}, WaveformFault.NOT_FINITE, id="NaN"),
        pytest.param({"samples": [-math.inf, 0.0]}, WaveformFault.NOT_FINITE, id="infinite"),
        pytest.param({"samples": [1e39]}, WaveformFault.NOT_FINITE, id="more than float32 holds"),
        pytest.param({"samples": [[1.0], [2.0]]}, WaveformFault.WRONG_TYPE, id="two rows"),
        pytest.param({"samples": [[1.0], [2.0, 3.0]]}, WaveformFault.WRONG_TYPE, id="ragged"),
        pytest.param({"samples": ["loud"]}, WaveformFault.WRONG_TYPE, id="text"),
        pytest.param({"samples": 1.0}, WaveformFault.WRONG_TYPE, id="a number"),
        pytest.param({"sample_rate_hz": 0.0}, WaveformFault.BAD_SAMPLE_RATE, id="no rate"),
        pytest.param({"sample_rate_hz": -1.0}, WaveformFault.BAD_SAMPLE_RATE, id="backwards"),
        pytest.param({"sample_rate_hz": math.nan}, WaveformFault.BAD_SAMPLE_RATE, id="NaN rate"),
        pytest.param({"sample_rate_hz": math.inf}, WaveformFault.BAD_SAMPLE_RATE, id="infinite rate"),
        pytest.param({"samples": np.zeros(3601), "sample_rate_hz": 1.0}, WaveformFault.TOO_LONG, id="over an hour"),
        pytest.param({"samples": [1.0], "sample_rate_hz": 5e-324}, WaveformFault.TOO_LONG, id="nearly no rate"),
        pytest.param({"time": datetime(2026, 3, 2)}, WaveformFault.BAD_TIMESTAMP, id="no zone"),  # noqa: DTZ001 the case
        pytest.param({"time": datetime(1969, 12, 31, tzinfo=UTC)}, WaveformFault.BAD_TIMESTAMP, id="before 1970"),
        pytest.param({"time": LATEST}, WaveformFault.BAD_TIMESTAMP, id="in 2200"),
        pytest.param({"unit": "a\0"}, WaveformFault.WRONG_TYPE, id="NUL"),
        pytest.param({"unit": "x" * 101}, WaveformFault.WRONG_TYPE, id="a long unit"),
        pytest.param({"sensor_id": 2**31}, WaveformFault.WRONG_TYPE, id="no sensor"),
    ],
)
def test_what_is_no_waveform_is_refused_with_the_reason(change: dict[str, Any], reason: WaveformFault) -> None:
    valid: dict[str, Any] = {"sensor_id": 1, "time": T0, "sample_rate_hz": 10.0, "unit": "g", "samples": [1, 2, 3]}
    assert Waveform.of(**valid).duration == timedelta(milliseconds=300)
    with pytest.raises(InvalidWaveformError) as refused:
        Waveform.of(**{**valid, **change})
    assert refused.value.reason is reason


def test_samples_cannot_be_changed_and_those_given_to_of_stay_the_givers() -> None:
    given_samples = np.ones(3, np.float32)
    waveform = Waveform.of(sensor_id=1, time=T0, sample_rate_hz=1.0, unit="", samples=given_samples)
    given_samples[0] = 7
    assert waveform.samples.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="read-only"):
        waveform.samples[0] = 2


# Writing


async def test_every_bit_comes_back(connection: asyncpg.Connection) -> None:
    extremes = np.array([-0.0, 1e-45, np.finfo(np.float32).max, -1.5], np.float32)
    written = [
        Waveform(sensor_id=1, time=T0 + timedelta(microseconds=1), sample_rate_hz=1 / 3, unit="µm/s", samples=extremes),
        block(T0 + 3 * WEEK, 2**31 - 1, count=20_000, rate=25_600.0),
        block(datetime(1970, 1, 1, tzinfo=UTC), 2),
    ]
    assert (await write(connection, written)).stored.all()
    found = [await read_waveform(connection, each.sensor_id, each.time) for each in written]
    assert [content(each) for each in found if each is not None] == [content(each) for each in written]


async def test_equal_duplicates_are_told_from_conflicting_content(connection: asyncpg.Connection) -> None:
    await write(connection, [block(), block(T0 + SECOND), block(T0 + 2 * SECOND), block(T0 + 3 * SECOND)])
    again = [
        block(T0 + 4 * SECOND),
        block(),
        block(T0 + SECOND, first=9.0),
        block(T0 + 2 * SECOND, rate=11.0),
        block(T0 + 3 * SECOND, unit="m/s2"),
        block(T0, count=11),
        # The same instant as the first one, written in another zone.
        block((T0 + 4 * SECOND).astimezone(timezone(timedelta(hours=5)))),
        block(T0 + 4 * SECOND, first=9.0),
    ]
    outcome = await write(connection, again)
    assert np.flatnonzero(outcome.stored).tolist() == [0]
    assert np.flatnonzero(outcome.duplicate).tolist() == [1, 6]
    assert np.flatnonzero(outcome.conflicting).tolist() == [2, 3, 4, 5, 7]
    assert [content(each) for each in await read(connection)] == [
        content(block(T0 + second * SECOND)) for second in range(5)
    ]


async def test_the_same_object_twice_is_stored_once(connection: asyncpg.Connection) -> None:
    same = block()
    outcome = await write(connection, [same, same])
    assert (outcome.stored.tolist(), outcome.duplicate.tolist()) == ([True, False], [False, True])


async def test_nothing_to_write_is_no_error(connection: asyncpg.Connection) -> None:
    assert (await write(connection, [])).stored.size == 0


async def test_any_order_and_many_statements_give_each_block_its_outcome(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waveform_store, "_AT_ONCE_BYTES", 100)
    blocks = [block(T0 + n * WEEK, sensor) for n in (3, 0, 2, 1) for sensor in (2, 1, 3)]
    assert (await write(connection, blocks[::2])).stored.all()
    outcome = await write(connection, blocks)
    assert outcome.duplicate.tolist() == [n % 2 == 0 for n in range(12)]
    assert outcome.stored.tolist() == [n % 2 == 1 for n in range(12)]
    assert [content(each) for each in await read(connection, (1, 2, 3))] == [
        content(block(T0 + n * WEEK, sensor)) for sensor in (1, 2, 3) for n in range(4)
    ]


async def test_a_failure_between_two_statements_leaves_nothing(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waveform_store, "_AT_ONCE_BYTES", 1)
    await connection.execute(
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE 'no space left' USING ERRCODE = 'disk_full'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON waveform FOR EACH ROW WHEN (NEW.sensor_id = 2) EXECUTE FUNCTION refuse()
        """
    )
    store = WaveformStore(await detect_async(connection))
    blocks = [block(), block(sensor_id=2)]
    await store.make_room(connection, blocks)
    with pytest.raises(asyncpg.DiskFullError):
        await store.write(connection, blocks)
    assert await connection.fetchval("SELECT count(*) FROM waveform") == 0
    await write(connection, blocks[:1])
    assert await connection.fetchval("SELECT count(*) FROM waveform") == 1


async def test_two_writers_of_the_same_blocks_store_them_once(dsn: str) -> None:
    first, second = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    try:
        blocks = [block(T0 + n * SECOND, sensor) for n in range(50) for sensor in (1, 2)]
        await WaveformStore(await detect_async(first)).make_room(first, blocks)
        outcomes = await asyncio.gather(write(first, blocks), write(second, blocks[::-1]))
        assert (outcomes[0].stored ^ outcomes[1].stored[::-1]).all()
        assert (outcomes[0].duplicate ^ outcomes[1].duplicate[::-1]).all()
        assert await first.fetchval("SELECT count(*) FROM waveform") == len(blocks)
    finally:
        await first.close()
        await second.close()


# Damage


async def damage(connection: asyncpg.Connection, change: str) -> None:
    assert await connection.execute(f"UPDATE waveform SET {change} WHERE time = $1", T0) == "UPDATE 1"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("body = set_byte(body, 12, get_byte(body, 12) # 255)", id="a byte"),
        pytest.param("body = substr(body, 1, 20)", id="cut"),
        pytest.param("body = ''", id="empty"),
        pytest.param("samples = 11", id="another count"),
        pytest.param("sample_rate_hz = 'NaN'", id="no rate"),
    ],
)
async def test_a_damaged_block_is_an_error_that_says_which_and_what_to_do(
    connection: asyncpg.Connection, change: str
) -> None:
    await write(connection, [block()])
    await damage(connection, change)
    message = r"sensor 1 at 2026-03-02T00:00:00\+00:00 .*delete it"
    with pytest.raises(StateError, match=message):
        await read_waveform(connection, 1, T0)
    with pytest.raises(StateError, match=message):
        await read(connection)


async def test_a_block_sent_again_is_no_duplicate_of_one_that_cannot_be_read(connection: asyncpg.Connection) -> None:
    await write(connection, [block()])
    await damage(connection, "body = substr(body, 1, 20)")
    assert (await write(connection, [block()])).conflicting.all()


# Ranges


async def test_a_range_has_the_blocks_that_overlap_it_also_one_of_the_week_before(
    connection: asyncpg.Connection,
) -> None:
    hour = block(T0 - MAX_DURATION, count=3600, rate=1.0)
    late = block(T0 - MAX_DURATION + SECOND, count=3600, rate=1.0)
    short = block(T0 - 2 * SECOND)
    at = block(T0)
    after = block(T0 + MINUTE)
    await write(connection, [after, short, at, hour, late])
    cases = [
        ((T0, T0 + MINUTE), [late, at]),
        ((T0, T0 + MINUTE + timedelta(microseconds=1)), [late, at, after]),
        ((T0 - SECOND - timedelta(microseconds=1), T0), [hour, late, short]),
        ((T0 - SECOND, T0), [hour, late]),
        ((T0 + SECOND, T0 + MINUTE), []),
        ((T0 + MINUTE, T0), []),
    ]
    for (begin, end), expected in cases:
        assert [each.time for each in await read(connection, (1,), begin, end)] == [each.time for each in expected]
        listed = await list_waveforms(connection, [1], begin, end, limit=100)
        assert [each.time for each in listed] == [each.time for each in reversed(expected)]


BLOCK = st.tuples(st.integers(1, 3), st.integers(-5_000_000, 5_000_000), st.integers(1, 40))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(BLOCK, max_size=15, unique_by=lambda row: row[:2]),
    window=st.tuples(st.integers(-6_000_000, 6_000_000), st.integers(0, 6_000_000)),
    rate=st.sampled_from([10.0, 8.0, 3e6]),
    limit=st.integers(1, 5),
)
async def test_lists_in_pages_and_reads_agree_with_the_definition(
    connection: asyncpg.Connection, rows: list[tuple[int, int, int]], window: tuple[int, int], rate: float, limit: int
) -> None:
    await connection.execute("TRUNCATE waveform")
    blocks = [block(T0 + timedelta(microseconds=at), sensor, count=count, rate=rate) for sensor, at, count in rows]
    await write(connection, blocks)
    begin = T0 + timedelta(microseconds=window[0])
    end = begin + timedelta(microseconds=window[1])
    expected = {
        (each.time, each.sensor_id)
        for each in blocks
        if each.time < end and (each.end > begin or each.time >= begin) and each.sensor_id != 3
    }
    listed: list[tuple[datetime, int]] = []
    while page := await list_waveforms(
        connection, [1, 2], begin, end, limit=limit, before=listed[-1] if listed else None
    ):
        assert len(page) <= limit
        listed += [(each.time, each.sensor_id) for each in page]
    assert listed == sorted(expected, reverse=True)
    found = [(each.sensor_id, each.time) for each in await read(connection, (1, 2), begin, end)]
    assert found == sorted((sensor, time) for time, sensor in expected)


async def test_a_long_range_is_read_in_small_statements(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waveform_store, "_AT_ONCE_BYTES", 100)
    monkeypatch.setattr(waveform_store, "_PAGE", 7)
    # The first ones last so long that shorter ones between them and the range are over before it begins.
    blocks = [block(T0 + n * SECOND, count=100 if n % 3 else 5) for n in range(50)]
    await write(connection, blocks)
    begin = T0 + 8 * SECOND
    expected = [each.time for each in blocks if each.end > begin]
    statements: list[tuple[Any, ...]] = []

    def note(statement: asyncpg.connection.LoggedQuery) -> None:
        if statement.query == QUERIES["read_waveforms"]:
            statements.append(statement.args)

    connection.add_query_logger(note)
    assert [each.time for each in await read(connection, (1,), begin)] == expected
    assert len(statements) > 7
    for _, _, first, last in statements:
        assert (
            first == last
            or sum(each.samples.nbytes for each in blocks if first <= each.time <= last and each.end > begin) <= 100
        )


async def test_the_connection_is_free_between_blocks(connection: asyncpg.Connection) -> None:
    await write(connection, [block(), block(T0 + SECOND)])
    seen = [
        await connection.fetchval("SELECT $1::timestamptz", waveform.time)
        async for waveform in read_waveforms(connection, [1], *FOREVER)
    ]
    assert seen == [T0, T0 + SECOND]


async def test_a_list_says_what_a_block_is_and_takes(connection: asyncpg.Connection) -> None:
    waveform = block(count=5000, rate=2500.0)
    await write(connection, [waveform])
    [listed] = await list_waveforms(connection, [1, 2], *FOREVER, limit=10)
    assert (listed.count, listed.sample_rate_hz, listed.unit, listed.duration) == (5000, 2500.0, "g", 2 * SECOND)
    assert listed.body_bytes == len(encode_samples(waveform.samples)) < 20_000


async def test_recorded_vibration_comes_back(connection: asyncpg.Connection, recorded_data: Path) -> None:
    with np.load(recorded_data / "waveforms" / "femto_bearing1_1_25k6.npz") as snapshots:
        blocks = [
            Waveform.of(
                sensor_id=axis + 1,
                time=T0 + int(name.rstrip("s")) * SECOND,
                sample_rate_hz=25_600.0,
                unit="g",
                samples=snapshots[name][:, axis],
            )
            for name in snapshots.files
            for axis in (0, 1)
        ]
    await write(connection, blocks)
    found = await read(connection, (1, 2))
    assert [content(each) for each in found] == [
        content(each) for each in sorted(blocks, key=lambda each: (each.sensor_id, each.time))
    ]


# Plans

DAY = T0 + 5 * WEEK
HOT: dict[str, tuple[tuple[object, ...], int]] = {
    # Arguments, and how many pieces a plan may look at.
    "find_waveforms": (([1, 2], [DAY, DAY + MINUTE]), 2),
    "list_waveforms": (([1, 2], DAY, DAY - MAX_DURATION, DAY + 10 * MINUTE, -1, 100), 2),
    "measure_waveforms": ((1, DAY, DAY + 10 * MINUTE, DAY - MAX_DURATION, 1000), 2),
    "read_waveforms": ((1, DAY, DAY - MINUTE, DAY + MINUTE), 2),
    "read_waveform": ((1, DAY), 1),
}


@pytest.fixture
async def history(connection: asyncpg.Connection) -> asyncpg.Connection:
    """A quarter of a year of blocks of ten sensors, one in ten minutes."""
    times = [T0 + week * WEEK for week in range(12)]
    store = WaveformStore(await detect_async(connection))
    await store.make_room(connection, [block(time) for time in times])
    await connection.execute(
        """
        INSERT INTO waveform (time, sensor_id, sample_rate_hz, unit, samples, body)
        SELECT time, sensor_id, 10, 'g', 10, $3
        FROM generate_series($1::timestamptz, $2::timestamptz, interval '10 minutes') AS time,
             generate_series(1, 10) AS sensor_id
        """,
        T0,
        times[-1],
        encode_samples(block().samples),
    )
    await connection.execute("ANALYZE waveform")
    return connection


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", HOT)
async def test_hot_queries_look_at_few_pieces_and_through_the_index(
    history: asyncpg.Connection, name: str, mode: str
) -> None:
    arguments, pieces = HOT[name]
    await history.execute(f"SET plan_cache_mode = {mode}")
    text = await history.fetchval(f"EXPLAIN (ANALYZE, TIMING off, FORMAT json) {QUERIES[name]}", *arguments)
    [explained] = json.loads(text)
    # The table itself has no rows: it stands for TimescaleDB's choice among its chunks.
    looked_at = [
        node
        for node in nodes(explained["Plan"])
        if node.get("Relation Name", "waveform") != "waveform" and node["Actual Loops"] > 0
    ]
    assert looked_at
    assert {node["Node Type"] for node in looked_at} <= {"Index Scan"}, text
    assert len({node["Relation Name"] for node in looked_at}) <= pieces, text


# The API


@pytest.fixture
async def client(dsn: str) -> AsyncIterator[httpx.AsyncClient]:
    """The API over a pump whose vibration sensor has three blocks."""
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool:
        async with pool.acquire() as connection:
            await connection.execute(PLANT)
            third = block(T0 + 2 * MINUTE + timedelta(microseconds=250), 2, count=4, rate=4.0)
            await write(connection, [block(sensor_id=2), block(T0 + MINUTE, 2), third])
        transport = httpx.ASGITransport(create_app(pool), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://precursor") as made:
            yield made


LIST = "/sensors/pump-1.vibration/waveforms"
THIRD = "2026-03-02T00:02:00.000250Z"


async def test_the_newest_blocks_come_first_in_pages(client: httpx.AsyncClient) -> None:
    whole = (await client.get(LIST)).json()
    assert [item["time"] for item in whole["items"]] == [THIRD, "2026-03-02T00:01:00Z", "2026-03-02T00:00:00Z"]
    assert (whole["sensor"], whole["next_cursor"]) == ("pump-1.vibration", None)
    newest = whole["items"][0]
    assert {**newest, "stored_bytes": 0} == {
        "time": THIRD,
        "sample_rate_hz": 4.0,
        "unit": "g",
        "count": 4,
        "duration_s": 1.0,
        "stored_bytes": 0,
    }
    assert newest["stored_bytes"] > 20
    first = (await client.get(LIST, params={"limit": 2})).json()
    second = (await client.get(LIST, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert first["items"] + second["items"] == whole["items"]
    assert second["next_cursor"] is None


async def test_a_window_has_the_blocks_that_reach_into_it(client: httpx.AsyncClient) -> None:
    window = {"from": "2026-03-02T00:00:00.9Z", "to": "2026-03-02T00:02:00Z"}
    found = (await client.get(LIST, params=window)).json()["items"]
    assert [item["time"] for item in found] == ["2026-03-02T00:01:00Z", "2026-03-02T00:00:00Z"]


async def test_a_sensor_without_waveforms_has_an_empty_list(client: httpx.AsyncClient) -> None:
    answer = await client.get("/sensors/pump-1.temperature/waveforms")
    assert answer.json() == {"items": [], "next_cursor": None, "sensor": "pump-1.temperature"}


async def test_samples_come_as_json(client: httpx.AsyncClient) -> None:
    for accept in ("*/*", "application/json", "application/octet-stream;q=0.5, application/*", ""):
        answer = await client.get(f"{LIST}/{THIRD}", headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {
            "sensor": "pump-1.vibration",
            "time": THIRD,
            "sample_rate_hz": 4.0,
            "unit": "g",
            "count": 4,
            "duration_s": 1.0,
            "samples": [0.5, 1.0, 2.0, 3.0],
        }


@pytest.mark.parametrize("accept", ["application/octet-stream", "application/json; q=0.8, application/octet-stream"])
async def test_samples_come_as_bytes_where_those_are_preferred(client: httpx.AsyncClient, accept: str) -> None:
    answer = await client.get(f"{LIST}/2026-03-02T01:02:00.000250%2B01:00", headers={"Accept": accept})
    assert (answer.headers["content-type"], answer.headers["vary"]) == ("application/octet-stream", "Accept")
    assert np.frombuffer(answer.content, "<f4").tolist() == [0.5, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        pytest.param("/sensors/pump-9/waveforms", 404, "no sensor 'pump-9'", id="list of no sensor"),
        pytest.param(f"/sensors/pump-9/waveforms/{THIRD}", 404, "no sensor 'pump-9'", id="block of no sensor"),
        pytest.param(f"{LIST}/2026-03-02T00:02:00Z", 404, f"{LIST} lists them", id="no block then"),
        pytest.param(f"{LIST}/yesterday", 422, "path.time", id="no time"),
        pytest.param(f"{LIST}/2026-03-02T00:02:00", 422, "path.time", id="no zone"),
        pytest.param(f"{LIST}/0001-01-01T00:00:00%2B14:00", 422, "path.time", id="before all time"),
        pytest.param(f"{LIST}/9999-12-31T23:59:59-14:00", 422, "path.time", id="after all time"),
        pytest.param(f"{LIST}?from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z", 422, "query.to", id="no window"),
        pytest.param(f"{LIST}?cursor=x", 422, "query.cursor", id="no cursor"),
        pytest.param(f"{LIST}?limit=0", 422, "query.limit", id="no limit"),
    ],
)
async def test_bad_requests_are_problems(client: httpx.AsyncClient, path: str, status: int, says: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert says in answer.json()["detail"]


# The command line


@pytest.fixture
async def plant(connection: asyncpg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Settings that name a database with four blocks of two sensors."""
    await connection.execute(PLANT)
    await write(connection, [block(T0 + n * MINUTE, sensor) for n in range(2) for sensor in (1, 2)])
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", dsn)
    return dsn


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(waveforms, arguments)


def test_blocks_are_listed_as_a_table_and_as_json(plant: str) -> None:
    table = invoke("list").output.splitlines()
    assert table[0].split() == ["sensor", "time", "(UTC)", "rate", "(Hz)", "unit", "samples", "seconds", "bytes"]
    assert len(table) == 5
    listed = json.loads(invoke("list", "--json", "--sensor", "pump-1.vibration", "--from", "2026-03-02T00:01").output)
    assert [(item["sensor"], item["time"]) for item in listed] == [("pump-1.vibration", "2026-03-02T00:01:00+00:00")]
    assert "no waveform" in invoke("list", "--from", "2026-03-03").output
    assert len(json.loads(invoke("list", "--json", "--limit", "3").output)) == 3


def test_exported_blocks_come_back_from_numpy(plant: str, tmp_path: Path) -> None:
    out = tmp_path / "blocks.npz"
    told = invoke("export", "pump-1.vibration", str(out))
    assert told.output.startswith("2 blocks of pump-1.vibration")
    with np.load(out) as blocks:
        assert blocks.files == [
            "2026-03-02T00:00:00.000000Z",
            "2026-03-02T00:01:00.000000Z",
            "time",
            "sample_rate_hz",
            "unit",
        ]
        assert blocks["2026-03-02T00:01:00.000000Z"].tolist() == block().samples.tolist()
        assert blocks["time"].astype(str).tolist() == ["2026-03-02T00:00:00.000000", "2026-03-02T00:01:00.000000"]
        assert (blocks["sample_rate_hz"].tolist(), blocks["unit"].tolist()) == ([10.0, 10.0], ["g", "g"])
    assert isinstance(invoke("export", "pump-1.vibration", str(out)).exception, ConfigurationError)
    assert invoke("export", "pump-1.vibration", str(out), "--force", "--from", "2027-01-01").output.startswith(
        "0 blocks"
    )


async def test_an_export_that_fails_leaves_no_file(connection: asyncpg.Connection, tmp_path: Path) -> None:
    await write(connection, [block(), block(T0 + SECOND)])
    with pytest.raises(ConfigurationError, match="cannot be written"):
        await export_waveforms(connection, tmp_path / "none" / "blocks.npz", 1, *FOREVER)
    await damage(connection, "body = ''")
    with pytest.raises(StateError):
        await export_waveforms(connection, tmp_path / "blocks.npz", 1, *FOREVER)
    assert os.listdir(tmp_path) == []


def test_an_unknown_sensor_and_a_wrong_file_say_what_to_do(plant: str, tmp_path: Path) -> None:
    unknown = invoke("list", "--sensor", "pump-1.vibratoin").exception
    assert isinstance(unknown, ConfigurationError)
    assert "did you mean 'pump-1.vibration'" in str(unknown)
    assert "end it in .npz" in invoke("export", "pump-1.vibration", str(tmp_path / "blocks.wav")).output
    assert "no folder" in invoke("export", "pump-1.vibration", str(tmp_path / "none" / "blocks.npz")).output
    assert "not before" in invoke("list", "--from", "2026-03-02", "--to", "2026-03-01").output
