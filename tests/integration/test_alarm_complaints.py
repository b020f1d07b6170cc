"""What users of other systems complain about, as far as alarms are concerned: one test each, evaluator and store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import asyncpg
import numpy as np
import pytest

from rules import alarm_actions
from rules.alarm_life import AlarmStepError
from rules.alarm_store import record
from rules.definition import Rule
from rules.evaluator import RuleEvaluator
from rules.signal import NoData
from telemetry.batch import ReadingBatch, to_micros

T0 = datetime(2026, 3, 2, 8, tzinfo=UTC)
MILLISECOND, SECOND, MINUTE = timedelta(milliseconds=1), timedelta(seconds=1), timedelta(minutes=1)

PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'water');
INSERT INTO asset (name, area_id) VALUES ('pump', 1);
INSERT INTO sensor (name, asset_id, unit) VALUES ('pump.vib', 1, 'mm/s'), ('pump.temp', 1, 'degC');
INSERT INTO rule (name, subject, asset_id, sensor_id, kind, unit, high, priority)
VALUES ('severe', 'pump.vib', 1, 1, 'limit', 'mm/s', 7, 3), ('silent', 'pump', 1, NULL, 'no_data', '', NULL, 2);
"""
SILENT = Rule(
    id=2,
    name="silent",
    sensor_id=None,
    sensor_name="pump",
    asset_id=1,
    unit="",
    signal=NoData(sensor_ids=(1, 2)),
    on_delay_s=60.0,
)


def severe(*, deadband: float = 0.0, on_delay_s: float = 0.0, off_delay_s: float = 0.0) -> Rule:
    return Rule(
        id=1,
        name="severe",
        sensor_id=1,
        sensor_name="pump.vib",
        asset_id=1,
        unit="mm/s",
        high=7.0,
        deadband=deadband,
        on_delay_s=on_delay_s,
        off_delay_s=off_delay_s,
    )


def readings(times: Sequence[datetime], values: Sequence[float], sensor_id: int = 1) -> ReadingBatch:
    return ReadingBatch.of([to_micros(at) for at in times], np.full(len(times), sensor_id), values)


@pytest.fixture
async def plant(connection: asyncpg.Connection) -> asyncpg.Connection:
    await connection.execute(PLANT)
    return connection


async def stored(connection: asyncpg.Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await connection.fetch("SELECT rule_id, began_at, ended_at FROM alarm ORDER BY id")]


@pytest.mark.parametrize("cut", [1, 3, 40], ids=lambda size: f"{size} readings a batch")
async def test_alarms_that_flap_or_double_when_readings_arrive_within_a_second(
    plant: asyncpg.Connection, cut: int
) -> None:
    times = [T0 + MILLISECOND * 20 * number for number in range(40)]
    values = [7.6 if number % 2 else 6.8 for number in range(40)]
    evaluator = RuleEvaluator([severe(deadband=1.0)], align_s=10.0)
    for begin in range(0, 40, cut):
        changes = evaluator.fold(readings(times[begin : begin + cut], values[begin : begin + cut]))
        # A batch that is written twice is no second alarm either.
        for _ in range(2):
            await record(plant, changes)
    assert await stored(plant) == [(1, times[1], None)]
    assert await plant.fetchval("SELECT count(*) FROM alarm_event") == 1


async def test_alarms_that_flap_although_the_value_is_back_only_for_a_moment(plant: asyncpg.Connection) -> None:
    times = [T0 + SECOND * number for number in range(6)]
    evaluator = RuleEvaluator([severe(off_delay_s=2.0)], align_s=10.0)
    for at, value in zip(times, (8.0, 6.0, 8.0, 6.0, 6.0, 6.0), strict=True):
        await record(plant, evaluator.fold(readings([at], [value])))
    assert await stored(plant) == [(1, T0, T0 + 5 * SECOND)]


async def test_alarms_reused_without_a_clear_rule(plant: asyncpg.Connection) -> None:
    evaluator = RuleEvaluator([severe()], align_s=10.0)
    times = [T0 + MINUTE * number for number in range(4)]
    await record(plant, evaluator.fold(readings(times[:2], [8.0, 6.0])))
    await alarm_actions.acknowledge(plant, 1, actor="jo", at=times[1], note="seen")
    before = await plant.fetchrow("SELECT * FROM alarm WHERE id = 1")
    await record(plant, evaluator.fold(readings(times[2:3], [9.0])))
    assert await stored(plant) == [(1, times[0], times[1]), (1, times[2], None)]
    # The new one is nobody's yet, and the old one stays as it was.
    assert await plant.fetchval("SELECT state FROM alarm_state") == "unacknowledged"
    assert await plant.fetchrow("SELECT * FROM alarm WHERE id = 1") == before
    with pytest.raises(AlarmStepError, match="acknowledged already, by jo"):
        await alarm_actions.acknowledge(plant, 1, actor="kim", at=times[3])


async def test_no_data_alarms_missing_or_per_device_instead_of_per_asset(plant: asyncpg.Connection) -> None:
    evaluator = RuleEvaluator([SILENT], align_s=10.0)
    one_speaks = [T0 + 30 * SECOND * number for number in range(6)]
    await record(
        plant, evaluator.fold(ReadingBatch.concat([readings([T0], [1.0]), readings(one_speaks, [1.0] * 6, 2)]))
    )
    both = np.array([1, 2], np.int32)
    last = one_speaks[-1]
    for until in (last + 59 * SECOND, last + 61 * SECOND, last + 10 * MINUTE):
        now = np.full(2, to_micros(until), np.int64)
        await record(plant, evaluator.tick(both, now))
    assert await stored(plant) == [(2, last + MINUTE, None)]
    row = await plant.fetchrow("SELECT sensor_id, asset_id, category FROM alarm")
    assert tuple(row) == (None, 1, "sensor")


async def test_duration_rules_that_need_one_more_message_to_fire(plant: asyncpg.Connection) -> None:
    evaluator = RuleEvaluator([severe(on_delay_s=60.0)], align_s=10.0)
    await record(plant, evaluator.fold(readings([T0], [8.0])))
    assert await stored(plant) == []
    assert evaluator.waiting().tolist() == [1]
    now = np.array([to_micros(T0 + 61 * SECOND)], np.int64)
    recorded = await record(plant, evaluator.tick(np.array([1], np.int32), now))
    assert await stored(plant) == [(1, T0 + MINUTE, None)]
    assert len(recorded.annunciated) == 1


async def test_bursts_after_an_outage_stamped_with_arrival_time(plant: asyncpg.Connection) -> None:
    # Six hours of a gateway's buffer come at once: each alarm stands where it was, and its time is not today's.
    times = [T0 + MINUTE * number for number in range(360)]
    values = [8.0 if number % 60 == 7 else 6.0 for number in range(360)]
    evaluator = RuleEvaluator([severe()], align_s=10.0)
    await record(plant, evaluator.fold(readings(times, values)))
    expected = [(1, T0 + MINUTE * (60 * hour + 7), T0 + MINUTE * (60 * hour + 8)) for hour in range(6)]
    assert await stored(plant) == expected
    events = await plant.fetch("SELECT at FROM alarm_event ORDER BY at")
    assert [row["at"] for row in events] == [at for _, begin, end in expected for at in (begin, end)]
    assert all(b["at"] > a["at"] for a, b in pairwise(events))
    # Told one an hour, as it was: not a flood of now.
    assert await plant.fetch("SELECT * FROM alarm_kpi_floods($1, $2)", T0, T0 + 360 * MINUTE) == []
