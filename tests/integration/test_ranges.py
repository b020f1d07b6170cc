"""Queries of readings and rollups on whatever server there is: ranges, last values, trends, tables."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import NamedTuple

import asyncpg
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry import rollups
from telemetry.alignment import Manner, align
from telemetry.batch import ReadingBatch, to_micros
from telemetry.buckets import Resolution, read_buckets
from telemetry.copy_rows import fetch_rows, row_type
from telemetry.editions import detect_async
from telemetry.errors import StateError
from telemetry.latest import LastValue, Reading, read_last_values
from telemetry.quality import Quality
from telemetry.ranges import read_neighbours, read_readings, stream_readings
from telemetry.resolution import read_tally
from telemetry.store import ReadingStore
from telemetry.trend import RangeTooLongError, Trend, read_trend

T0 = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
EVER = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
LATER = T0 + 400 * DAY
GOOD, UNCERTAIN, BAD, STALE = range(4)

PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'hall');
INSERT INTO asset (name, area_id) VALUES ('pump-1', 1);
INSERT INTO sensor (name, asset_id) SELECT 'pump-1.' || number, 1 FROM generate_series(1, 4) AS number;
"""


class Point(NamedTuple):
    """A reading."""

    at_s: float
    """s after T0"""
    sensor_id: int = 1
    value: float = 1.0
    quality: int = GOOD


@pytest.fixture
async def plant(connection: asyncpg.Connection) -> asyncpg.Connection:
    """A connection to a database with four sensors."""
    await connection.execute(PLANT)
    return connection


def batch_of(points: Sequence[Point]) -> ReadingBatch:
    return ReadingBatch.of(
        [to_micros(T0) + round(point.at_s * 1_000_000) for point in points],
        [point.sensor_id for point in points],
        [point.value for point in points],
        [point.quality for point in points],
    )


async def store(connection: asyncpg.Connection, batch: ReadingBatch | Sequence[Point]) -> None:
    """What the batch transaction does: write, and mark what is late."""
    if not isinstance(batch, ReadingBatch):
        batch = batch_of(batch)
    writer = ReadingStore(await detect_async(connection))
    await writer.make_room(connection, batch)
    async with connection.transaction():
        written = await writer.write(connection, batch)
        await rollups.touch(connection, batch.take(written.stored))


async def advance(connection: asyncpg.Connection) -> None:
    edition = await detect_async(connection)
    while not (await rollups.advance(connection, edition, LATER)).complete:
        pass


def same(one: ReadingBatch, other: ReadingBatch) -> bool:
    return one.to_bytes() == other.to_bytes()


def seconds(time: np.ndarray) -> list[float]:
    """After T0."""
    found: list[float] = ((time - to_micros(T0)) / 1_000_000).tolist()
    return found


POINT = st.builds(
    Point,
    st.one_of(st.integers(0, 300).map(float), st.integers(-30, 30).map(lambda step: step * 41_000.25)),
    st.integers(1, 4),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([GOOD, UNCERTAIN, BAD, STALE]),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    points=st.lists(POINT, max_size=40, unique_by=lambda point: point[:2]),
    wanted=st.lists(st.integers(1, 5), max_size=6),
    begin_s=st.sampled_from([-2e6, -41_000.25, 0.0, 50.0]),
    length_s=st.sampled_from([0.0, 1.0, 100.0, 41_000.25, 1e6, 4e6]),
    batch_rows=st.integers(1, 12),
)
async def test_a_range_holds_the_stored_readings_by_sensor_and_time_in_one_piece_and_in_batches(
    plant: asyncpg.Connection,
    points: list[Point],
    wanted: list[int],
    begin_s: float,
    length_s: float,
    batch_rows: int,
) -> None:
    # TRUNCATE drops chunks, and making them again takes most of the time.
    await plant.execute("DELETE FROM reading")
    await store(plant, points)
    end_s = begin_s + length_s
    expected = batch_of(
        [point for point in points if point.sensor_id in wanted and begin_s <= point.at_s < end_s]
    ).sorted()
    begin, end = T0 + begin_s * SECOND, T0 + end_s * SECOND
    assert same(await read_readings(plant, wanted, begin, end), expected)
    batches = [batch async for batch in stream_readings(plant, wanted, begin, end, batch_rows=batch_rows)]
    assert same(ReadingBatch.concat(batches), expected)
    assert all(len(batch) == batch_rows for batch in batches[:-1])
    assert all(0 < len(batch) <= batch_rows for batch in batches)


async def test_the_connection_is_free_between_batches(plant: asyncpg.Connection) -> None:
    await store(plant, [Point(second, sensor_id) for second in range(10) for sensor_id in (1, 2)])
    async for batch in stream_readings(plant, [1, 2], *EVER, batch_rows=3):
        assert await plant.fetchval("SELECT 1") == 1
        assert len(batch) <= 3


async def test_a_range_of_many_readings_over_many_weeks_comes_whole(plant: asyncpg.Connection) -> None:
    step_us = 97_000_000
    time = to_micros(T0) + np.arange(60_000, dtype=np.int64) * step_us
    whole = ReadingBatch.of(
        np.tile(time, 2), np.repeat([1, 3], time.size), np.random.default_rng(7).normal(size=120_000)
    )
    await store(plant, whole)
    assert same(await read_readings(plant, [3, 1], *EVER), whole)
    batches = [batch async for batch in stream_readings(plant, [1, 3], *EVER, batch_rows=50_000)]
    assert [len(batch) for batch in batches] == [50_000, 50_000, 20_000]
    assert same(ReadingBatch.concat(batches), whole)


async def test_a_naive_time_is_refused(plant: asyncpg.Connection) -> None:
    with pytest.raises(ValueError, match="time zone"):
        await read_readings(plant, [1], T0.replace(tzinfo=None), T0 + HOUR)


async def test_neighbours_are_the_last_before_and_the_first_after(plant: asyncpg.Connection) -> None:
    await store(plant, [Point(at, value=at) for at in (-9e6, -5, 0, 5, 10, 9e6)] + [Point(3, 2)])
    found = await read_neighbours(plant, [1, 2, 3], T0, T0 + 10 * SECOND)
    assert seconds(found.time) == [-5, 10]


@pytest.mark.parametrize("expression", ["NULL::float8", "1::float4"], ids=["null", "another type"])
async def test_rows_that_are_not_as_expected_are_refused(connection: asyncpg.Connection, expression: str) -> None:
    query = f"SELECT 1::int, {expression} UNION ALL SELECT 2, {expression}"
    with pytest.raises(StateError):
        await fetch_rows(connection, query, row=row_type(number="i4", value="f8"))


QUALITIES = [GOOD, GOOD, UNCERTAIN, BAD, STALE]


def history(days: float = 3, step_s: float = 30, sensor_ids: Sequence[int] = (1, 2)) -> ReadingBatch:
    """Quarters, so that sums are exact, of every quality."""
    chance = np.random.default_rng(3)
    time = to_micros(T0) + (np.arange(int(days * 86400 / step_s)) * step_s * 1e6).astype(np.int64)
    size = time.size * len(sensor_ids)
    return ReadingBatch.of(
        np.tile(time, len(sensor_ids)),
        np.repeat(sensor_ids, time.size),
        chance.integers(-400, 400, size) / 4,
        chance.choice(QUALITIES, size),
    )


@pytest.mark.parametrize("resolution", [Resolution.MINUTE, Resolution.HOUR, Resolution.DAY])
async def test_rollups_of_a_range_are_whole_buckets_with_mean_and_spread(
    plant: asyncpg.Connection, resolution: Resolution
) -> None:
    whole = history()
    await store(plant, whole)
    await advance(plant)
    begin, end = T0 + 7 * HOUR + 13 * SECOND, T0 + 2 * DAY + 5 * SECOND
    found = await read_buckets(plant, [2, 1, 4], begin, end, resolution)
    width = resolution.step // timedelta(microseconds=1)
    assert found.step == resolution.step

    frame = pd.DataFrame(
        {"sensor_id": whole.sensor_id, "time": whole.time // width * width, "value": whole.value, "q": whole.quality}
    )
    frame = frame[(frame.time >= to_micros(begin) // width * width) & (frame.time < to_micros(end))]
    groups = frame.groupby(["sensor_id", "time"])
    assert list(zip(found.sensor_id.tolist(), found.time.tolist(), strict=True)) == list(groups.groups)
    assert found.count.tolist() == groups.size().tolist()
    assert found.good_count.tolist() == groups.q.apply(lambda quality: int((quality == 0).sum())).tolist()
    frame.loc[frame.q > UNCERTAIN, "value"] = np.nan
    values = frame.groupby(["sensor_id", "time"]).value
    assert found.usable_count.tolist() == values.count().tolist()
    for name in ("min", "max", "mean", "first", "last"):
        np.testing.assert_allclose(getattr(found, name), getattr(values, name)(), rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(found.standard_deviation, values.std(ddof=0), rtol=1e-6)


async def test_a_bucket_with_one_wild_value_keeps_what_it_can(plant: asyncpg.Connection) -> None:
    await store(plant, [Point(0, value=1e200), Point(1, value=-1e200), Point(60, value=1.7e308), Point(120, value=2)])
    found = await read_buckets(plant, [1], *EVER, Resolution.MINUTE)
    np.testing.assert_array_equal(found.mean, [0, np.nan, 2])
    np.testing.assert_array_equal(found.standard_deviation, [np.nan, np.nan, 0])
    assert found.max.tolist() == [1e200, 1.7e308, 2]


async def test_raw_readings_have_no_buckets(plant: asyncpg.Connection) -> None:
    with pytest.raises(ValueError, match="read_readings"):
        await read_buckets(plant, [1], *EVER, Resolution.RAW)


@pytest.mark.parametrize(("length", "step"), [(DAY, MINUTE), (30 * DAY, HOUR), (300 * DAY, DAY)])
async def test_the_tally_counts_readings_from_rollups(
    plant: asyncpg.Connection, length: timedelta, step: timedelta
) -> None:
    await store(plant, history(days=2, step_s=60, sensor_ids=[1]))
    await store(plant, [Point(120, 3)])
    await advance(plant)
    tally = await read_tally(plant, [1, 3], T0, T0 + length)
    assert tally.step == step
    assert tally.readings == (1440 if length == DAY else 2880)
    assert await read_tally_readings(plant, T0 - 9 * DAY) == 0


async def read_tally_readings(connection: asyncpg.Connection, begin: datetime) -> int:
    return (await read_tally(connection, [1], begin, begin + DAY)).readings


# -- last values ------------------------------------------------------------------------------------------------------


async def test_last_values_are_of_every_sensor_usable_ones_apart(plant: asyncpg.Connection) -> None:
    await store(plant, [Point(-40 * 86400, 1, 5), Point(0, 1, 7), Point(60, 1, 8, UNCERTAIN)])
    await store(plant, [Point(0, 2, 7), Point(60, 2, 9, STALE)])
    await store(plant, [Point(0, 3, 7, BAD)])
    one, two, three, four = await read_last_values(plant)
    eight = Reading(time=T0 + MINUTE, value=8, quality=Quality.UNCERTAIN)
    seven = Reading(time=T0, value=7, quality=Quality.GOOD)
    stale = Reading(time=T0 + MINUTE, value=9, quality=Quality.STALE)
    bad = Reading(time=T0, value=7, quality=Quality.BAD)
    assert one == LastValue(sensor_id=1, newest=eight, usable=eight)
    assert two == LastValue(sensor_id=2, newest=stale, usable=seven)
    assert three == LastValue(sensor_id=3, newest=bad, usable=None)
    assert four == LastValue(sensor_id=4, newest=None, usable=None)
    assert list(await read_last_values(plant, [4, 2])) == [four, two]
    assert list(await read_last_values(plant, [])) == []


async def test_retired_sensors_are_not_among_all_but_are_found(plant: asyncpg.Connection) -> None:
    await store(plant, [Point(0, 2, 7)])
    await plant.execute("UPDATE sensor SET retired_at = now() WHERE id = 2")
    assert [last.sensor_id for last in await read_last_values(plant)] == [1, 3, 4]
    [last] = await read_last_values(plant, [2])
    assert last.newest == Reading(time=T0, value=7, quality=Quality.GOOD)


async def test_a_usable_value_from_before_a_long_time_of_bad_ones_is_found(plant: asyncpg.Connection) -> None:
    await store(plant, [Point(-20 * 86400, 1, 5), Point(-20 * 86400 + 60, 1, 6), Point(0, 2, 1)])
    await store(plant, [Point(float(at), 1, 9, STALE) for at in range(0, 60_000, 30)])
    await advance(plant)
    [last] = await read_last_values(plant, [1])
    assert last.newest is not None
    assert last.newest.quality is Quality.STALE
    assert last.usable == Reading(time=T0 - 20 * DAY + MINUTE, value=6, quality=Quality.GOOD)


# -- trends -----------------------------------------------------------------------------------------------------------


async def trend(
    connection: asyncpg.Connection, end: datetime, points: int, begin: datetime = T0, **options: object
) -> Trend:
    return await read_trend(connection, 1, begin, end, points, now=LATER, **options)  # type: ignore[arg-type] # handed through


async def test_a_short_range_is_shown_reading_by_reading_broken_at_gaps(plant: asyncpg.Connection) -> None:
    points = [Point(10.0 * number, value=number) for number in range(60) if not 20 <= number < 30]
    points[5] = points[5]._replace(quality=BAD)
    await store(plant, points)
    found = await trend(plant, T0 + 600 * SECOND, 100)
    assert (found.resolution, found.step, found.interval) == (Resolution.RAW, timedelta(0), 10 * SECOND)
    assert [((gap.begin - T0) / SECOND, (gap.end - T0) / SECOND, gap.reason) for gap in found.gaps] == [
        (50, 60, "unusable"),
        (190, 300, "silent"),
    ]
    breaks = np.isnan(found.value)
    assert seconds(found.time[breaks]) == [50, 245]
    assert found.value[~breaks].tolist() == [point.value for point in points if point.quality == GOOD]
    assert found.count.sum() == 49


async def test_a_long_range_is_shown_in_buckets_of_utc(plant: asyncpg.Connection) -> None:
    whole = history(days=3, step_s=10, sensor_ids=[1])
    silent = (whole.time >= to_micros(T0 + 20 * HOUR)) & (whole.time < to_micros(T0 + 25 * HOUR))
    whole = whole.take(~silent)
    await store(plant, whole)
    await advance(plant)
    found = await trend(plant, T0 + 3 * DAY, 100)
    assert (found.resolution, found.step) == (Resolution.HOUR, HOUR)
    assert (found.begin, found.end) == (T0 - 30 * MINUTE, T0 + 3 * DAY + 30 * MINUTE)
    assert (found.time % (3600 * 1_000_000))[~np.isnan(found.value)].tolist() == [0] * (found.count > 0).sum()
    assert found.interval == 10 * SECOND
    [gap] = found.gaps
    assert (gap.reason, gap.begin, gap.end) == ("silent", T0 + 20.5 * HOUR, T0 + 24.5 * HOUR)
    assert np.isnan(found.value).sum() == 1
    usable = whole.take(whole.quality <= UNCERTAIN)
    assert found.count.sum() == len(usable)
    assert np.nansum(found.value * found.count) == pytest.approx(usable.value.sum())
    assert np.nanmin(found.min) == usable.value.min()
    assert np.nanmax(found.max) == usable.value.max()


async def test_a_trend_never_has_more_rows_than_wanted_and_keeps_the_extremes(plant: asyncpg.Connection) -> None:
    whole = history(days=1.5, step_s=20, sensor_ids=[1])
    whole = whole.take((whole.time // 700_000_000) % 3 > 0)
    await store(plant, whole)
    await advance(plant)
    usable = whole.take(whole.quality <= UNCERTAIN)
    for resolution, points in product([None, *Resolution], [10, 47, 333, 5000]):
        found = await trend(plant, T0 + 2 * DAY, points, resolution=resolution)
        assert 0 < found.time.size <= points
        assert (np.diff(found.time) > 0).all()
        assert np.nanmin(found.min) == usable.value.min()
        assert np.nanmax(found.max) == usable.value.max()
        if resolution is not None:
            assert found.step >= resolution.step
        if found.resolution is not Resolution.RAW:
            assert found.count.sum() == len(usable)


async def test_buckets_at_the_edges_of_a_trend_are_whole(plant: asyncpg.Connection) -> None:
    whole = history(days=1, step_s=20, sensor_ids=[1])
    await store(plant, whole)
    await advance(plant)
    found = await trend(plant, T0 + 10 * HOUR + 61 * SECOND, 30, T0 + 2 * HOUR + 61 * SECOND)
    inside = (whole.time >= to_micros(found.begin)) & (whole.time < to_micros(found.end)) & (whole.quality <= UNCERTAIN)
    assert found.begin < T0 + 2 * HOUR + 61 * SECOND
    assert found.end > T0 + 10 * HOUR + 61 * SECOND
    assert found.count.sum() == inside.sum()


async def test_a_sensor_that_reports_on_change_is_not_silent(plant: asyncpg.Connection) -> None:
    await store(plant, [Point(0), Point(10), Point(20), Point(30), Point(3000, value=2)])
    assert [gap.reason for gap in (await trend(plant, T0 + HOUR, 100)).gaps] == ["silent", "silent"]
    assert not (await trend(plant, T0 + HOUR, 100, on_change=True)).gaps
    assert not (await trend(plant, T0 + 50 * MINUTE, 100, T0 + 40 * MINUTE, on_change=True)).gaps
    assert not (await trend(plant, T0 + HOUR, 100, interval=HOUR)).gaps


async def test_where_nothing_came_the_whole_window_is_a_gap_up_to_now(plant: asyncpg.Connection) -> None:
    found = await read_trend(plant, 1, T0, T0 + DAY, 100, now=T0 + HOUR)
    assert found.time.size == 0
    assert [(gap.begin, gap.end, gap.reason) for gap in found.gaps] == [(T0, T0 + HOUR, "silent")]


async def test_raw_values_of_too_long_a_range_are_refused(
    plant: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(plant, [Point(second) for second in range(50)])
    monkeypatch.setattr("telemetry.trend.MOST_READINGS", 49)
    with pytest.raises(RangeTooLongError, match=r"50 readings.*shorter range"):
        await trend(plant, T0 + HOUR, 10, resolution=Resolution.RAW)
    assert (await trend(plant, T0 + HOUR, 10)).step == MINUTE


# -- tables -----------------------------------------------------------------------------------------------------------


async def table(
    connection: asyncpg.Connection,
    manner: Manner,
    step_s: float = 10,
    end_s: float = 60,
    begin_s: float = 0,
    stale_after: timedelta | None = None,
) -> dict[str, list[float]]:
    frame = await align(
        connection,
        {"second": 2, "first": 1},
        T0 + begin_s * SECOND,
        T0 + end_s * SECOND,
        step_s * SECOND,
        manner,
        stale_after=stale_after,
    )
    assert list(frame.columns) == ["second", "first"]
    assert str(frame.index.dtype) == "datetime64[us, UTC]"
    assert frame.index[0] == T0 + begin_s * SECOND
    assert (frame.dtypes == "float64").all()
    return {str(name): [None if np.isnan(value) else value for value in frame[name]] for name in frame}  # type: ignore[misc] # None reads better than NaN in a comparison


async def test_the_last_value_holds_until_it_is_stale_or_a_bad_one_comes(plant: asyncpg.Connection) -> None:
    await store(plant, [Point(-3, value=1), Point(10, value=2), Point(19, value=3), Point(31, value=4)])
    await store(plant, [Point(5, 2, 7), Point(22, 2, 8, BAD), Point(40, 2, 9), Point(500, 2, 10)])
    found = await table(plant, "last", stale_after=15 * SECOND)
    assert found["first"] == [1, 2, 3, 3, 4, None]
    assert found["second"] == [None, 7, 7, None, 9, 9]
    for_ever = await table(plant, "last", end_s=700, step_s=100, stale_after=timedelta.max)
    assert for_ever["first"] == [1, 4, 4, 4, 4, 4, 4]


async def test_staleness_is_three_usual_intervals_unless_given(plant: asyncpg.Connection) -> None:
    await store(plant, [Point(at, value=at) for at in (0, 2, 4, 6, 8, 50)])
    found = await table(plant, "last", step_s=5)
    assert found["first"] == [0, 4, 8, None, None, None, None, None, None, None, 50, 50]


async def test_lines_join_usable_readings_and_not_over_gaps(plant: asyncpg.Connection) -> None:
    await store(plant, [Point(-5, value=0), Point(15, value=4), Point(20, value=1), Point(65, value=10)])
    await store(plant, [Point(0, 2, 5), Point(20, 2, 6, STALE), Point(40, 2, 7), Point(50, 2, 9)])
    found = await table(plant, "linear", stale_after=45 * SECOND)
    assert found["first"] == pytest.approx([1, 3, 1, 3, 5, 7])
    assert found["second"] == [5, None, None, None, 7, 9]
    assert (await table(plant, "linear", stale_after=44 * SECOND))["first"] == [1, 3, 1, None, None, None]


@pytest.mark.parametrize("step", [20 * SECOND, MINUTE, 7 * MINUTE, HOUR, 36 * HOUR, DAY], ids=str)
@pytest.mark.parametrize("begin", [T0, T0 + 90 * MINUTE, T0 + 17 * SECOND], ids=["half hour", "midnight", "odd"])
async def test_means_are_those_of_the_usable_readings_whatever_they_are_read_from(
    plant: asyncpg.Connection, begin: datetime, step: timedelta
) -> None:
    whole = history(days=2, step_s=11)
    whole = whole.take((whole.time // 700_000_000) % 3 > 0)
    await store(plant, whole)
    await advance(plant)
    end = begin + 1.5 * DAY
    found = await align(plant, {"b": 2, "a": 1, "none": 4}, begin, end, step, "mean")
    assert len(found) == -(-(end - begin) // step)
    assert found["none"].isna().all()
    usable = whole.take((whole.quality <= UNCERTAIN) & (whole.time >= to_micros(begin)))
    row = (usable.time - to_micros(begin)) // (step // timedelta(microseconds=1))
    for name, sensor_id in (("a", 1), ("b", 2)):
        own = usable.sensor_id == sensor_id
        expected = pd.Series(usable.value[own]).groupby(row[own]).mean().reindex(range(len(found)))
        np.testing.assert_allclose(found[name].to_numpy(), expected.to_numpy(), rtol=1e-9, atol=1e-12)


async def test_an_empty_range_is_an_empty_table(plant: asyncpg.Connection) -> None:
    found = await align(plant, {"a": 1}, T0, T0, SECOND, "last")
    assert found.shape == (0, 1)
    with pytest.raises(ValueError, match="positive"):
        await align(plant, {"a": 1}, T0, T0 + HOUR, timedelta(0), "last")
