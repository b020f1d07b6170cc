"""Readings of unknown names: kept aside, counted, and released into history without losing or doubling any."""

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbm import state_rollup
from ingest.limits import DoorLimits
from ingest.quarantine import Held, HeldReading, HoldLimits, NotHeldError, drop, hold, list_held, newest_held
from ingest.reasons import RejectReason
from precursor.release import Released, release
from telemetry import database, rollups
from telemetry.batch import ReadingBatch, to_datetime, to_micros
from telemetry.editions import detect_async
from telemetry.errors import ConfigurationError
from telemetry.ledger import LedgerLine, add_to_ledger, read_ledger
from telemetry.store import ReadingStore

T0 = datetime(2026, 10, 5, tzinfo=UTC)
T0_US = to_micros(T0)
NOW = datetime(2026, 11, 21, tzinfo=UTC)
SECOND = 1_000_000
HOUR = timedelta(hours=1)

PLANT = """
INSERT INTO site (name) VALUES ('mill');
INSERT INTO area (site_id, name) VALUES (1, 'hall');
INSERT INTO gateway (name, site_id, topic, options)
VALUES ('gw', 1, 'mill/gw', '{"names": {"T7": "P-1.temp"}}'), ('other', 1, 'mill/other', '{}');
INSERT INTO asset (name, area_id) VALUES ('P-1', 1);
INSERT INTO sensor (name, asset_id, unit, factor, "offset") VALUES
    ('P-1.temp', 1, 'degC', 1, 0), ('P-1.speed', 1, 'rpm', 60, 0);
INSERT INTO sensor (name, asset_id, kind, codes)
VALUES ('P-1.state', 1, 'state', '{"off": 0, "on": 1, "fault": 2}');
INSERT INTO sensor (name, asset_id, kind, computed, source_id)
VALUES ('P-1.temp.score', 1, 'derived', 'score', 1);
INSERT INTO sensor (name, asset_id, retired_at) VALUES ('P-1.old', 1, now());
"""


@pytest.fixture
async def plant(connection: asyncpg.Connection) -> asyncpg.Connection:
    await connection.execute(PLANT)
    return connection


def reading(
    name: str, after_s: float, value: float | str = 1.0, *, source: str = "gw", unit: str = "", quality: int = 0
) -> HeldReading:
    time_us = T0_US + round(after_s * SECOND)
    return HeldReading(source=source, name=name, time_us=time_us, value=value, quality=quality, unit=unit)


async def keep(
    connection: asyncpg.Connection, readings: Sequence[HeldReading], limits: HoldLimits | None = None
) -> Held:
    """As the engine does: hold, and count in the ledger, in one transaction."""
    async with connection.transaction():
        held = await hold(connection, readings, limits)
        lines = []
        for position, each in enumerate(readings):
            outcome, reason = "rejected", RejectReason.QUARANTINED.value
            if held.duplicate[position]:
                outcome, reason = "duplicate", ""
            elif held.rejected[position]:
                reason = held.faults[position].reason.value
            lines.append(LedgerLine(source=each.source, outcome="received", readings=1))
            lines.append(LedgerLine(source=each.source, outcome=outcome, reason=reason, readings=1))
        await add_to_ledger(connection, lines)
    return held


async def free(connection: asyncpg.Connection, **options: Any) -> list[Released]:
    return await release(connection, **{"limits": DoorLimits(), "now": NOW, **options})


async def stored(connection: asyncpg.Connection, sensor: str) -> list[tuple[float, float, int]]:
    """Seconds after T0, value and quality of a sensor's readings."""
    rows = await connection.fetch(
        "SELECT time, value, quality FROM reading WHERE sensor_id = (SELECT id FROM sensor WHERE name = $1)"
        " ORDER BY time",
        sensor,
    )
    return [((row["time"] - T0).total_seconds(), row["value"], row["quality"]) for row in rows]


async def ledger(connection: asyncpg.Connection) -> dict[str, tuple[int, int, int, int]]:
    """received, stored, duplicate, rejected by source; every line of it adds up."""
    rows: list[Any] = list(await read_ledger(connection))
    assert all(row["balanced"] for row in rows)
    return {row["source"]: (row["received"], row["stored"], row["duplicate"], row["rejected"]) for row in rows}


async def held_count(connection: asyncpg.Connection) -> int:
    """How many readings are kept aside; what each name says of itself agrees, and none is without a name."""
    assert await connection.fetchval(
        "SELECT coalesce(bool_and(q.readings = r.readings), true)"
        " FROM (SELECT name_id, count(*) AS readings FROM quarantined_reading GROUP BY name_id) AS r"
        " FULL JOIN quarantined_name AS q ON q.id = r.name_id"
    )
    return int(await connection.fetchval("SELECT count(*) FROM quarantined_reading"))


async def test_readings_of_unknown_names_are_kept_aside_by_source_name_and_unit(plant: asyncpg.Connection) -> None:
    readings = [
        reading("a", 0, 1.5),
        reading("a", 1, 2.5, unit="bar"),
        reading("a", 1, 3.5, source="other"),
        reading("b", 0, "on"),
        reading("a", 2, 4.5, quality=2),
    ]
    held = await keep(plant, readings)
    assert held.kept.all()
    found = await list_held(plant)
    assert [(each.source, each.name, each.unit, each.readings, each.sensor) for each in found] == [
        ("gw", "a", "", 2, None),
        ("gw", "a", "bar", 1, None),
        ("gw", "b", "", 1, None),
        ("other", "a", "", 1, None),
    ]
    assert (found[0].begin, found[0].end) == (T0, to_datetime(T0_US + 2 * SECOND))
    newest = await newest_held(plant, found[0], 1)
    assert [(row["value"], row["text"], row["quality"]) for row in newest] == [(4.5, None, 2)]
    assert [name.name for name in await list_held(plant, name="b", source="gw")] == ["b"]
    assert await list_held(plant, name="b", source="other") == []


async def test_what_comes_again_is_a_duplicate_and_what_contradicts_is_rejected(plant: asyncpg.Connection) -> None:
    batch = [reading("a", 0, 1.0), reading("a", 1, "on"), reading("a", 2, 2.0)]
    await keep(plant, batch)
    again = await keep(plant, [*batch, reading("a", 0, 9.0), reading("a", 1, "off"), reading("a", 2, 2.0, quality=1)])
    assert again.duplicate.tolist() == [True, True, True, False, False, False]
    assert again.rejected.tolist() == [False, False, False, True, True, True]
    assert {fault.reason for fault in again.faults.values()} == {RejectReason.CONFLICTING_VALUE}
    assert "another value" in again.faults[3].detail
    assert await held_count(plant) == 3
    assert await ledger(plant) == {"gw": (9, 0, 3, 6)}


async def test_within_a_batch_the_first_of_an_instant_holds(plant: asyncpg.Connection) -> None:
    held = await keep(plant, [reading("a", 0, 1.0), reading("a", 0, 1.0), reading("a", 0, 2.0), reading("a", 0, "1.0")])
    assert held.kept.tolist() == [True, False, False, False]
    assert held.duplicate.tolist() == [False, True, False, False]
    # What is kept holds for all of a later batch, whichever comes first there.
    later = await keep(plant, [reading("a", 0, 2.0), reading("a", 0, 1.0), reading("a", 0, 3.0)])
    assert later.duplicate.tolist() == [False, True, False]
    assert sorted(later.faults) == [0, 2]


async def test_names_and_readings_without_room_are_rejected_and_told(plant: asyncpg.Connection) -> None:
    limits = HoldLimits(names=2, readings=3)
    batch = [reading("a", after) for after in range(5)] + [reading(name, 0) for name in "bcd"]
    batch += [reading("c", 0, source="other")]
    held = await keep(plant, batch, limits)
    assert held.kept.tolist() == [True, True, True, False, False, True, False, False, True]
    assert {fault.reason for fault in held.faults.values()} == {RejectReason.UNKNOWN_SENSOR}
    assert "3 readings of it are kept already" in held.faults[3].detail
    assert "2 names of 'gw' are kept already" in held.faults[6].detail
    # What is kept already is no matter of room, and what is dropped makes some.
    again = await keep(plant, batch, limits)
    assert again.duplicate.tolist() == held.kept.tolist()
    assert await drop(plant, "b") == 1
    assert (await keep(plant, batch, limits)).kept.tolist() == [False] * 5 + [True, False, False, False]
    assert await held_count(plant) == 5
    assert await ledger(plant) == {"gw": (24, 0, 7, 17), "other": (3, 0, 2, 1)}


async def test_odd_names_units_texts_and_times_are_kept_or_rejected_and_stop_nothing(plant: asyncpg.Connection) -> None:
    names = ["", "\0", "\ud800", "\\x00", "ü" * 5_000, "ü" * 5_000 + "x", "a" * 60_000, "a/b.c d"]
    batch = [reading(name, 0, "t" * 5_000 + "\0\udfff", unit="u\0" * 500) for name in names]
    batch += [replace(reading("a", 0), time_us=time_us) for time_us in (-1, 1 << 62, -(1 << 62), 9 * 10**17)]
    held = await keep(plant, batch)
    # NUL and its escape are told apart by nobody: the one is kept, the other is the same.
    assert held.kept.tolist() == [True, True, True, False, True, True, True, True, False, False, False, False]
    assert held.duplicate.tolist() == [False, False, False, True] + [False] * 8
    assert {fault.reason for fault in held.faults.values()} == {RejectReason.BAD_TIMESTAMP}
    assert (await keep(plant, batch)).duplicate.tolist() == [True] * 8 + [False] * 4
    assert await held_count(plant) == 7
    assert [each.name for each in await list_held(plant, name="\0")] == ["\\x00"]
    assert await drop(plant, "\0") == 1


async def test_no_readings_need_no_room(plant: asyncpg.Connection) -> None:
    held = await hold(plant, [])
    assert (held.kept.size, held.duplicate.size, held.rejected.size) == (0, 0, 0)


async def test_a_failed_transaction_keeps_nothing_aside(plant: asyncpg.Connection) -> None:
    transaction = plant.transaction()
    await transaction.start()
    await hold(plant, [reading("a", 0)])
    await transaction.rollback()
    assert (await list_held(plant), await held_count(plant)) == ([], 0)
    assert (await keep(plant, [reading("a", 0)])).kept.all()


async def test_names_the_plant_knows_by_now_are_ready(plant: asyncpg.Connection) -> None:
    names = ["P-1.temp", "T7", "P-1.old", "P-1.temp.score", "nobody"]
    await keep(plant, [reading(name, 0, source=source) for name in names for source in ("gw", "other")])
    ready = {(each.source, each.name): each.sensor for each in await list_held(plant) if each.sensor is not None}
    assert ready == {("gw", "P-1.temp"): "P-1.temp", ("other", "P-1.temp"): "P-1.temp", ("gw", "T7"): "P-1.temp"}


async def test_released_readings_are_history_counted_and_in_rollups(plant: asyncpg.Connection) -> None:
    await keep(plant, [reading("P-1.temp", after, 20 + after, quality=after % 2) for after in range(4)])
    [outcome] = await free(plant, name="P-1.temp")
    assert (outcome.received, outcome.stored, outcome.sensor, outcome.obstacle) == (4, 4, "P-1.temp", None)
    assert await stored(plant, "P-1.temp") == [(0, 20, 0), (1, 21, 1), (2, 22, 0), (3, 23, 1)]
    assert await ledger(plant) == {"gw": (4, 0, 0, 4), "release:gw": (4, 4, 0, 0)}
    assert await list_held(plant) == []
    await rollups.advance(plant, await detect_async(plant), T0 + 24 * HOUR)
    row = await plant.fetchrow("SELECT count, sum FROM reading_1h WHERE sensor_id = 1 AND time = $1", T0)
    assert (row["count"], row["sum"]) == (4, 86)
    assert await plant.fetchval("SELECT count(*) FROM evaluation_journal") == 0
    with pytest.raises(NotHeldError, match="quarantine list"):
        await free(plant, name="P-1.temp")


async def test_released_readings_show_in_rollups_that_were_kept_before(plant: asyncpg.Connection) -> None:
    edition = await detect_async(plant)
    into = ReadingStore(edition)
    live = ReadingBatch.of([T0_US + hour * 3600 * SECOND for hour in range(48)], np.full(48, 1), np.full(48, 5.0))
    await into.make_room(plant, live)
    async with plant.transaction():
        await into.write(plant, live)
        await rollups.touch(plant, live)
    await rollups.advance(plant, edition, T0 + 48 * HOUR)
    await keep(plant, [reading("P-1.temp", 10, 7.0)])
    await free(plant, name="P-1.temp")
    await rollups.advance(plant, edition, T0 + 48 * HOUR)
    row = await plant.fetchrow("SELECT count, max FROM reading_1h WHERE sensor_id = 1 AND time = $1", T0)
    assert (row["count"], row["max"]) == (2, 7.0)


async def test_values_become_the_sensors_own(plant: asyncpg.Connection) -> None:
    await keep(
        plant,
        [
            reading("P-1.temp", 0, 212.0, unit="degF"),
            reading("P-1.speed", 0, 25.0),
            reading("P-1.speed", 1, 1500.0, unit="rpm"),
            reading("P-1.state", 0, "on"),
            reading("P-1.state", 1, 2.0),
        ],
    )
    await free(plant)
    [(after_s, value, _)] = await stored(plant, "P-1.temp")
    assert after_s == 0
    assert value == pytest.approx(100.0)
    # Without a unit they are in the unit the plant file says the sensor sends: 1/s, here.
    assert await stored(plant, "P-1.speed") == [(0, 1500, 0), (1, 1500, 0)]
    assert await stored(plant, "P-1.state") == [(0, 1, 0), (1, 2, 0)]
    await state_rollup.refresh(plant, await detect_async(plant))
    [kpi] = await state_rollup.kpis(plant, begin=T0, end=T0 + HOUR)
    assert kpi.state_at_end is not None


async def test_a_unit_that_does_not_convert_is_told_and_another_can_be_said(plant: asyncpg.Connection) -> None:
    await keep(plant, [reading("P-1.temp", 0, 20.0, unit="Cel"), reading("P-1.temp", 1, 3.0, unit="bar")])
    outcomes = {outcome.unit: outcome for outcome in await free(plant, name="P-1.temp")}
    for unit, outcome in outcomes.items():
        assert outcome.obstacle is not None
        assert repr(unit) in outcome.obstacle
        assert "--unit" in outcome.obstacle
    assert (await held_count(plant), await stored(plant, "P-1.temp")) == (2, [])
    await drop_unit(plant, "bar")
    [outcome] = await free(plant, name="P-1.temp", unit="degC")
    assert (outcome.obstacle, outcome.stored, await stored(plant, "P-1.temp")) == (None, 1, [(0, 20.0, 0)])


async def drop_unit(connection: asyncpg.Connection, unit: str) -> None:
    number = await connection.fetchval("DELETE FROM quarantined_name WHERE unit = $1 RETURNING id", unit)
    await connection.execute("DELETE FROM quarantined_reading WHERE name_id = $1", number)


async def test_what_cannot_be_stored_stays_until_it_can(plant: asyncpg.Connection) -> None:
    await keep(
        plant,
        [
            reading("P-1.state", 0, "on"),
            reading("P-1.state", 1, "idle"),
            reading("P-1.state", 2, "idle"),
            reading("P-1.state", 3, 7.0),
            reading("P-1.temp", 0, "warm"),
            reading("P-1.temp", 1, 1.0),
            reading("P-1.temp", 60 * 86_400, 2.0),
            reading("P-1.temp", -10 * 365 * 86_400, 3.0),
            reading("P-1.speed", 0, 1e308),
        ],
    )
    limits = DoorLimits(earliest=datetime(2020, 1, 1, tzinfo=UTC))
    outcomes = {outcome.sensor: outcome for outcome in await free(plant, limits=limits)}
    assert outcomes["P-1.state"].staying == {"unknown_state": 3}
    assert "'idle' is no state of P-1.state" in outcomes["P-1.state"].details["unknown_state"]
    assert outcomes["P-1.temp"].staying == {"wrong_type": 1, "future_timestamp": 1, "too_old_timestamp": 1}
    assert outcomes["P-1.speed"].staying == {"not_finite": 1}
    assert await held_count(plant) == 7
    assert await ledger(plant) == {"gw": (9, 0, 0, 9), "release:gw": (2, 2, 0, 0)}
    await plant.execute("""UPDATE sensor SET codes = codes || '{"idle": 0}' WHERE name = 'P-1.state'""")
    [again] = await free(plant, name="P-1.state")
    assert (again.received, again.stored, again.staying) == (2, 2, {"unknown_state": 1})
    assert await stored(plant, "P-1.state") == [(0, 1, 0), (1, 0, 0), (2, 0, 0)]
    [later] = await free(plant, name="P-1.temp", now=NOW + 60 * 24 * HOUR)
    assert later.stored == 2


async def test_a_conflict_with_history_is_rejected_and_kept_whole(plant: asyncpg.Connection) -> None:
    into = ReadingStore(await detect_async(plant))
    there = ReadingBatch.of([T0_US, T0_US + SECOND], [1, 1], [5.0, 6.0])
    await into.make_room(plant, there)
    async with plant.transaction():
        await into.write(plant, there)
    await keep(plant, [reading("x", 0, 5.0), reading("x", 1, 7.0), reading("x", 2, 8.0)])
    [outcome] = await free(plant, name="x", sensor="P-1.temp")
    assert (outcome.received, outcome.stored, outcome.duplicate) == (3, 1, 1)
    assert outcome.rejected == {"conflicting_value": 1}
    assert await ledger(plant) == {"gw": (3, 0, 0, 3), "release:gw": (3, 1, 1, 1)}
    row = await plant.fetchrow("SELECT source, topic, reason, payload FROM rejected")
    assert (row["source"], row["topic"], row["reason"]) == ("release:gw", "x", "conflicting_value")
    assert b'"value": 7.0' in row["payload"]
    assert await held_count(plant) == 0


async def test_only_what_is_asked_for_is_released(plant: asyncpg.Connection) -> None:
    await keep(plant, [reading("P-1.temp", after, source=source) for after, source in ((0, "gw"), (1, "other"))])
    await keep(plant, [reading("nobody", 0), reading("T7", 5)])
    assert [outcome.source for outcome in await free(plant, name="P-1.temp", source="other")] == ["other"]
    assert await stored(plant, "P-1.temp") == [(1, 1, 0)]
    assert {(outcome.name, outcome.sensor) for outcome in await free(plant)} == {
        ("P-1.temp", "P-1.temp"),
        ("T7", "P-1.temp"),
    }
    assert [name.name for name in await list_held(plant)] == ["nobody"]
    assert await free(plant) == []


@pytest.mark.parametrize("sensor", [None, "P-1.old", "P-1.temp.score", "P-1.tmp"])
async def test_without_a_sensor_that_devices_send_nothing_is_released(
    plant: asyncpg.Connection, sensor: str | None
) -> None:
    await keep(plant, [reading("P-1.tempp", 0)])
    with pytest.raises(ConfigurationError, match=r"did you mean 'P-1"):
        await free(plant, name="P-1.tempp", sensor=sensor)
    assert await held_count(plant) == 1


async def test_readings_come_out_in_pieces_and_none_is_left_or_doubled(plant: asyncpg.Connection) -> None:
    await keep(plant, [reading("P-1.temp", after, "?" if after % 7 == 0 else after) for after in range(100)])
    told: list[tuple[int, int]] = []
    [outcome] = await free(plant, rows=9, on_progress=lambda name, done, total: told.append((done, total)))
    assert (outcome.stored, outcome.staying) == (85, {"wrong_type": 15})
    assert told[-1] == (100, 100)
    assert len(told) == 12
    assert await held_count(plant) == 15


async def test_two_releases_at_once_share_the_work(plant: asyncpg.Connection, dsn: str) -> None:
    await keep(plant, [reading("P-1.temp", after, after) for after in range(600)])
    sessions = [await database.connect(dsn) for _ in range(3)]
    try:
        outcomes = await asyncio.gather(*(free(session, name="P-1.temp", rows=50) for session in sessions))
    finally:
        for session in sessions:
            await session.close()
    assert sum(outcome.received for [outcome] in outcomes) == 600
    assert sum(outcome.stored for [outcome] in outcomes) == 600
    assert await ledger(plant) == {"gw": (600, 0, 0, 600), "release:gw": (600, 600, 0, 0)}
    assert len(await stored(plant, "P-1.temp")) == 600


async def test_a_release_beside_an_engine_that_writes_loses_and_doubles_nothing(
    plant: asyncpg.Connection, dsn: str
) -> None:
    """One session holds and stores the same instants, as an engine would that takes over a new plant meanwhile."""
    writer, other = await database.connect(dsn), await database.connect(dsn)
    into = ReadingStore(await detect_async(writer))
    written = 0

    async def write() -> None:
        nonlocal written
        for step in range(40):
            batch = ReadingBatch.of([T0_US + (10 * step + n) * SECOND for n in range(10)], np.full(10, 1), np.ones(10))
            await into.make_room(writer, batch)
            async with writer.transaction():
                await hold(writer, [reading("P-1.temp", 10 * step + n) for n in range(5, 15)])
                outcome = await into.write(writer, batch)
                await add_to_ledger(
                    writer,
                    [
                        LedgerLine(source="live", outcome="received", readings=10),
                        LedgerLine(source="live", outcome="stored", readings=int(outcome.stored.sum())),
                        LedgerLine(source="live", outcome="duplicate", readings=int(outcome.duplicate.sum())),
                    ],
                )
                await rollups.touch(writer, batch)
                written += int(outcome.stored.sum())

    released = 0

    async def free_again() -> None:
        nonlocal released
        while not writing.done() or await held_count(other):
            for outcome in await free(other, rows=20):
                released += outcome.stored
            await asyncio.sleep(0)

    try:
        async with asyncio.timeout(120):
            writing = asyncio.create_task(write(), name="writer")
            await free_again()
            await writing
    finally:
        await writer.close()
        await other.close()
    assert await held_count(plant) == 0
    found = await stored(plant, "P-1.temp")
    assert [after for after, _, _ in found] == [float(n) for n in range(405)]
    assert written + released == 405
    assert (await ledger(plant))["live"] == (400, written, 400 - written, 0)


async def test_what_comes_while_a_name_is_tidied_away_stays(plant: asyncpg.Connection, dsn: str) -> None:
    await keep(plant, [reading("P-1.temp", 0)])
    with psycopg.connect(dsn) as holding:

        def hold_one_more(name: str, done: int, total: int) -> None:
            holding.execute("UPDATE quarantined_name SET readings = readings + 1")
            holding.execute("INSERT INTO quarantined_reading SELECT id, now(), 1, NULL, 0 FROM quarantined_name")
            threading.Timer(0.5, holding.commit).start()

        [outcome] = await free(plant, on_progress=hold_one_more)
    assert outcome.received == 1
    assert await held_count(plant) == 1
    assert len(await list_held(plant)) == 1


KILLED = """
import asyncio, sys
from datetime import UTC, datetime
from ingest.limits import DoorLimits
from precursor.release import release
from telemetry import database

async def main(dsn):
    connection = await database.connect(dsn)
    now = datetime(2026, 11, 21, tzinfo=UTC)
    told = lambda name, done, total: print(done, flush=True)
    await release(connection, limits=DoorLimits(), now=now, rows=100, on_progress=told)

asyncio.run(main(sys.argv[1]))
"""


async def test_a_release_that_is_killed_goes_on_where_it_was(plant: asyncpg.Connection, dsn: str) -> None:
    await keep(plant, [reading("P-1.temp", after, after) for after in range(5_000)])
    for pieces in (3, 8):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, dsn, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        assert process.stdout is not None
        for _ in range(pieces):
            assert await process.stdout.readline()
        process.kill()
        await process.wait()
    left = await held_count(plant)
    assert 0 < left <= 4_000
    [outcome] = await free(plant)
    assert outcome.received >= 1
    assert len(await stored(plant, "P-1.temp")) == 5_000
    assert await ledger(plant) == {"gw": (5_000, 0, 0, 5_000), "release:gw": (5_000, 5_000, 0, 0)}


@dataclass(frozen=True)
class Sent:
    """A reading somebody sends, or (None) a release."""

    name: str
    second: int
    value: float | str
    quality: int
    unit: str


a_reading = st.builds(
    Sent,
    name=st.sampled_from(["P-1.temp", "P-1.state", "T7", "nobody"]),
    second=st.integers(0, 3),
    value=st.sampled_from([0.0, 1.0, 32.0, "on", "?"]),
    quality=st.sampled_from([0, 2]),
    unit=st.sampled_from(["", "degF", "bar"]),
)
a_step = st.lists(a_reading, min_size=1, max_size=12) | st.none()
FORGET = "TRUNCATE quarantined_name, quarantined_reading; TRUNCATE reading; TRUNCATE ledger_entry, rejected"


@pytest.fixture(scope="module")
def planted(module_dsn: str) -> str:
    with psycopg.connect(module_dsn, autocommit=True) as laying:
        laying.execute(PLANT)
    return module_dsn


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(a_step, min_size=1, max_size=6), names=st.integers(1, 4), readings=st.integers(1, 3))
async def test_whatever_is_held_and_released_the_ledger_adds_up(
    steps: list[list[Sent] | None], names: int, readings: int, planted: str
) -> None:
    connection = await database.connect(planted)
    kept = received = stored_count = 0
    reasons: Counter[str] = Counter()
    try:
        await connection.execute(FORGET)
        for step in [*steps, None]:
            if step is None:
                for outcome in await free(connection, rows=2):
                    assert outcome.received == outcome.stored + outcome.duplicate + outcome.rejected.total()
                    received += outcome.received
                    stored_count += outcome.stored
                continue
            batch = [reading(s.name, s.second, s.value, quality=s.quality, unit=s.unit) for s in step]
            held = await keep(connection, batch, HoldLimits(names=names, readings=readings))
            assert (held.kept.astype(int) + held.duplicate + held.rejected == 1).all()
            assert sorted(held.faults) == np.flatnonzero(held.rejected).tolist()
            kept += int(held.kept.sum())
            reasons.update(fault.reason.value for fault in held.faults.values())
        assert await held_count(connection) == kept - received
        assert await connection.fetchval("SELECT count(*) FROM reading") == stored_count
        lines = await ledger(connection)
        assert lines.get("release:gw", (0, 0, 0, 0))[:2] == (received, stored_count)
        by_reason = {
            row["reason"]: row["readings"]
            for row in await connection.fetch(
                "SELECT reason, readings FROM ledger_entry WHERE source = 'gw' AND outcome = 'rejected'"
            )
        }
        assert by_reason == {**reasons, **({"quarantined": kept} if kept else {})}
        for left in await list_held(connection):
            rows = await newest_held(connection, left, 100)
            if left.sensor == "P-1.state":
                assert all(row["text"] == "?" or row["value"] == 32 for row in rows)
            elif left.sensor is not None and left.unit != "bar":
                assert all(row["text"] is not None for row in rows)
    finally:
        await connection.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(a_reading, min_size=1, max_size=15), data=st.data())
async def test_a_batch_that_is_delivered_again_brings_nothing_new(
    batch: list[Sent], data: st.DataObject, planted: str
) -> None:
    readings = [reading(s.name, s.second, s.value, quality=s.quality, unit=s.unit) for s in batch]
    again = data.draw(st.permutations(readings))
    connection = await database.connect(planted)
    try:
        await connection.execute(FORGET)
        first = await keep(connection, readings)
        before = await held_count(connection)
        second = await keep(connection, again)
        assert not second.kept.any()
        assert await held_count(connection) == before == int(first.kept.sum())
        # What was kept or equal to it is a duplicate now, in whatever order it comes; the rest is rejected again.
        assert int(second.duplicate.sum()) == int((first.kept | first.duplicate).sum())
    finally:
        await connection.close()
