"""Figures of alarm performance in SQL against the same out of pandas, and against those of a backtest."""

import math
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import numpy as np
import pandas as pd
import pytest

from rules.definition import Priority, Rule, Side
from rules.occurrences import Occurrence
from rules.performance import TARGETS, judge, measure
from telemetry import database

BEGIN = datetime(2026, 3, 2, 5, 10, tzinfo=UTC)
END = BEGIN + timedelta(days=3, hours=1, minutes=7)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=s) for s in (1, 60, 3_600, 86_400))
RULES = 14
LASTED = [0.5, 30.0, 59.999, 60.0, 4_000.0, 86_400.0, 90_000.0]
PRIORITIES = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3]

PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'water');
INSERT INTO asset (name, area_id) VALUES ('pump', 1);
INSERT INTO sensor (name, asset_id, unit) SELECT 's' || n, 1, 'bar' FROM generate_series(1, 14) AS n;
INSERT INTO rule (name, subject, asset_id, sensor_id, unit, high, low, priority)
SELECT 'r' || n, 's' || n, 1, n, 'bar', 8, 2, (ARRAY[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3])[n]
FROM generate_series(1, 14) AS n;
"""


class Alarm(NamedTuple):
    """A row of `alarm`."""

    key: str
    rule: int
    side: str
    began_at: datetime
    ended_at: datetime | None
    annunciated_at: datetime | None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None

    @property
    def priority(self) -> int:
        return PRIORITIES[self.rule - 1]


@pytest.fixture
async def plant(module_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A plant without alarms: what a test writes goes with its transaction."""
    connection = await database.connect(module_dsn)
    try:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM site)"):
            await connection.execute(PLANT)
        transaction = connection.transaction()
        await transaction.start()
        yield connection
        await transaction.rollback()
    finally:
        await connection.close()


def random_alarms(seed: int, count: int = 600) -> list[Alarm]:
    """Alarms of three days: singles, bursts of one rule, avalanches of all, short and long ones, some never told."""
    random = np.random.default_rng(seed)
    length = (END - BEGIN).total_seconds()
    began, rule = random.uniform(0, length, count), random.integers(1, RULES + 1, count)
    for burst in range(8):
        some = random.integers(0, count, random.integers(3, 30))
        began[some] = random.uniform(0, length - 700) + random.uniform(0, (40, 600)[burst % 2], some.size).round(1)
        if burst % 2 == 0:
            rule[some] = random.integers(1, RULES + 1)
    made = []
    for number, second in enumerate(np.unique(began.round(3)).tolist()):
        at = BEGIN + SECOND * second
        lasted_s = float(random.choice(LASTED) + random.choice([0.0, 0.001, 7.0]))
        known = random.random() < 0.6
        # A backtest does not look beyond its end either.
        ended = random.random() < 0.9 and at + SECOND * lasted_s <= END
        made.append(
            Alarm(
                key=f"{seed}/{number}",
                rule=int(rule[number]),
                side="high" if random.random() < 0.7 else "low",
                began_at=at,
                ended_at=at + SECOND * lasted_s if ended else None,
                annunciated_at=at if random.random() < 0.9 else None,
                acknowledged_at=at + SECOND * float(random.uniform(1, 9_000)) if known else None,
                acknowledged_by=("engine" if random.random() < 0.1 else "jo") if known else None,
            )
        )
    return made


async def store(connection: asyncpg.Connection, alarms: Sequence[Alarm]) -> None:
    await connection.executemany(
        "INSERT INTO alarm (key, rule_id, rule_name, asset_id, sensor_id, side, began_at, ended_at, annunciated_at,"
        " acknowledged_at, acknowledged_by, limit_value, unit, priority, value, peak_value, peak_at)"
        " SELECT $1, $2::int, name, 1, sensor_id, $3, $4, $5, $6, $7, $8, 8, unit, priority, 9, 9, $4"
        " FROM rule WHERE id = $2::int",
        alarms,
    )


def told_of(alarms: Sequence[Alarm]) -> pd.DataFrame:
    """Alarms that people were told of: when, priority, seconds until somebody knew."""
    told = [each for each in alarms if each.annunciated_at is not None]
    return pd.DataFrame(
        {
            "at": pd.to_datetime([each.annunciated_at or each.began_at for each in told], utc=True),
            "priority": [each.priority for each in told],
            "took_s": [
                (each.acknowledged_at - each.began_at).total_seconds()
                if each.acknowledged_at is not None and each.acknowledged_by != "engine"
                else math.nan
                for each in told
            ],
        }
    )


def occurrences(alarms: Sequence[Alarm]) -> list[Occurrence]:
    return [
        Occurrence(
            rule=Rule(
                id=row.rule,
                name=f"r{row.rule}",
                sensor_id=row.rule,
                sensor_name=f"s{row.rule}",
                asset_id=1,
                unit="bar",
                high=8.0,
                low=2.0,
                priority=Priority(row.priority),
            ),
            side=Side(row.side),
            limit=8.0,
            began_at=row.began_at,
            ended_at=row.ended_at,
            told_at=row.annunciated_at,
            peak_value=9.0,
            peak_at=row.began_at,
        )
        for row in alarms
    ]


async def rows(connection: asyncpg.Connection, function: str, *more: Any) -> list[asyncpg.Record]:
    extra = "".join(f", ${number + 3}" for number in range(len(more)))
    return list(await connection.fetch(f"SELECT * FROM {function}($1, $2{extra})", BEGIN, END, *more))


SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("operators", [1, 2])
async def test_the_summary_gives_the_figures_and_verdicts_of_a_backtest(
    plant: asyncpg.Connection, seed: int, operators: int
) -> None:
    alarms = random_alarms(seed)
    await store(plant, alarms)
    await plant.execute("UPDATE alarm_operators SET operators = $1", operators)
    expected = judge(measure(occurrences(alarms), BEGIN, END, operators=operators))
    found = sorted(await rows(plant, "alarm_kpi_summaries"), key=lambda row: row["place"])
    assert [(row["figure"], row["target"]) for row in found] == [(each.name, each.target) for each in expected]
    assert [row["value"] for row in found] == pytest.approx([each.value for each in expected])
    assert [row["verdict"] for row in found] == [each.verdict.value for each in expected]


async def test_the_summary_of_nothing_is_good(plant: asyncpg.Connection) -> None:
    found = await rows(plant, "alarm_kpi_summaries")
    assert {(row["value"], row["verdict"]) for row in found} == {(0.0, "good")}
    assert len(found) == len(TARGETS)


async def test_the_targets_are_those_of_a_backtest(plant: asyncpg.Connection) -> None:
    found = await plant.fetch("SELECT figure, target, good, tolerable FROM alarm_kpi_target ORDER BY place")
    assert {row["figure"]: tuple(row)[1:] for row in found} == dict(TARGETS)


@pytest.mark.parametrize("seed", SEEDS)
async def test_sources_are_counted_as_in_a_backtest(plant: asyncpg.Connection, seed: int) -> None:
    alarms = random_alarms(seed)
    await store(plant, alarms)
    found = sorted(await rows(plant, "alarm_kpi_sources"), key=lambda row: row["place"])
    expected = measure(occurrences(alarms), BEGIN, END).worst
    assert [
        (row["subject"], row["rule"], row["side"], row["priority"], row["alarms"], row["chattering"], row["fleeting"],
         row["stale"])
        for row in found[: len(expected)]
    ] == [
        (each.subject, each.rule, each.side.value, each.priority, each.alarms, each.chattering, each.fleeting,
         each.stale)
        for each in expected
    ]  # fmt: skip
    assert [row["time_s"] for row in found[:10]] == pytest.approx([each.time_s for each in expected])
    assert [row["share"] for row in found[:10]] == pytest.approx([each.share for each in expected])
    assert sum(row["alarms"] for row in found) == len(told_of(alarms))
    assert any(row["chattering"] for row in found)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("step", "frequency"), [(10 * MINUTE, "10min"), (HOUR, "1h"), (DAY, "1D")])
async def test_the_rate_is_that_of_pandas_with_the_empty_periods(
    plant: asyncpg.Connection, seed: int, step: timedelta, frequency: str
) -> None:
    alarms = random_alarms(seed, 100)
    await store(plant, alarms)
    told = told_of(alarms)["at"]
    grid = pd.date_range(pd.Timestamp(BEGIN).floor(frequency), END, freq=frequency, inclusive="left")
    expected = told.dt.floor(frequency).value_counts().reindex(grid, fill_value=0)
    found = await rows(plant, "alarm_kpi_rate", step)
    assert {row["time"]: row["alarms"] for row in found} == {at.to_pydatetime(): n for at, n in expected.items()}
    assert len(found) == len(grid)


@pytest.mark.parametrize("seed", SEEDS)
async def test_floods_are_adjoining_periods_with_more_than_ten(plant: asyncpg.Connection, seed: int) -> None:
    alarms = random_alarms(seed)
    await store(plant, alarms)
    told = told_of(alarms)["at"].dt.floor("10min").value_counts()
    expected: list[list[Any]] = []
    for at, count in told[told > 10].sort_index().items():
        begin = pd.Timestamp(str(at)).to_pydatetime()
        if expected and expected[-1][1] == begin:
            expected[-1] = [
                expected[-1][0], begin + 10 * MINUTE, expected[-1][2] + count, max(expected[-1][3], count)
            ]  # fmt: skip
        else:
            expected.append([begin, begin + 10 * MINUTE, count, count])
    found = sorted([list(row) for row in await rows(plant, "alarm_kpi_floods")])
    assert found == expected
    assert found
    assert len(found) == measure(occurrences(alarms), BEGIN, END).floods


@pytest.mark.parametrize("seed", SEEDS)
async def test_priorities_and_times_to_acknowledge_are_those_of_pandas(plant: asyncpg.Connection, seed: int) -> None:
    alarms = random_alarms(seed)
    await store(plant, alarms)
    told = told_of(alarms)
    found = {row["priority"]: row for row in await rows(plant, "alarm_kpi_priorities")}
    assert {key: row["alarms"] for key, row in found.items()} == told["priority"].value_counts().to_dict()
    assert sum(row["share"] for row in found.values()) == pytest.approx(1)
    assert [found[key]["target_share"] for key in (1, 2, 3)] == [0.8, 0.15, 0.05]

    for row in await rows(plant, "alarm_kpi_acknowledgements"):
        took = told.loc[told["priority"] == row["priority"], "took_s"]
        assert (row["alarms"], row["acknowledged"]) == (len(took), took.notna().sum())
        expected = [took.quantile(part) for part in (0.5, 0.95, 1)]
        assert [row["median_s"], row["p95_s"], row["longest_s"]] == pytest.approx(expected)


@pytest.mark.parametrize("seed", SEEDS)
async def test_stale_alarms_are_those_that_had_stood_for_a_day_in_the_range(
    plant: asyncpg.Connection, seed: int
) -> None:
    alarms = random_alarms(seed)
    await store(plant, alarms)
    since, until = BEGIN + 30 * HOUR, END - 10 * HOUR
    expected = {
        each.key
        for each in alarms
        if each.annunciated_at is not None
        and until - each.began_at > DAY
        and (each.ended_at is None or (each.ended_at >= since and each.ended_at - each.began_at > DAY))
    }
    found = await plant.fetch(
        "SELECT a.key FROM alarm_kpi_stale_alarms($1, $2) s JOIN alarm a ON a.id = s.alarm_id", since, until
    )
    assert {row["key"] for row in found} == expected
    assert expected


async def test_views_show_the_last_thirty_days(plant: asyncpg.Connection) -> None:
    now = await plant.fetchval("SELECT now()")
    shift = now - END - 2 * HOUR
    alarms = [
        each._replace(
            began_at=each.began_at + shift,
            ended_at=None if each.ended_at is None else each.ended_at + shift,
            annunciated_at=None if each.annunciated_at is None else each.annunciated_at + shift,
        )
        for each in random_alarms(1)
    ]
    await store(plant, alarms)
    told = len(told_of(alarms))
    assert await plant.fetchval("SELECT sum(alarms) FROM alarm_kpi_10m") == told
    assert await plant.fetchval("SELECT sum(alarms) FROM alarm_kpi_1h") == told
    assert await plant.fetchval("SELECT sum(alarms) FROM alarm_kpi_1d") == told
    assert await plant.fetchval("SELECT sum(alarms) FROM alarm_kpi_priority") == told
    assert await plant.fetchval("SELECT sum(alarms) FROM alarm_kpi_acknowledgement") == told
    assert await plant.fetchval("SELECT count(*) FROM alarm_kpi_top") == 10
    assert await plant.fetchval("SELECT count(*) FROM alarm_kpi_chattering WHERE chattering < 3") == 0
    assert await plant.fetchval("SELECT count(*) FROM alarm_kpi_flood") > 0
    assert await plant.fetchval("SELECT count(*) FROM alarm_kpi_stale WHERE ended_at < now()") == 0
    assert await plant.fetchval("SELECT count(*) FROM alarm_kpi_summary") == len(TARGETS)


async def nuisance(connection: asyncpg.Connection, rule: int, begins: list[datetime], lasted_s: float | None) -> None:
    await store(
        connection,
        [
            Alarm(f"{rule}/{at}", rule, "high", at, None if lasted_s is None else at + SECOND * lasted_s, at)
            for at in begins
        ],
    )


async def test_proposals_name_what_chatters_floods_flees_and_stands_for_days(plant: asyncpg.Connection) -> None:
    now = END
    await nuisance(plant, 1, [now - 5 * HOUR + 10 * SECOND * n for n in range(4)], 4.0)
    await nuisance(plant, 2, [now - 20 * HOUR + HOUR * n for n in range(12)], 20.0)
    await nuisance(plant, 3, [now - 30 * HOUR], None)
    for rule in range(4, 10):
        await nuisance(plant, rule, [now - 5 * MINUTE + SECOND * n * 61 for n in range(2)], 30.0)
    await nuisance(plant, 14, [now - 5 * MINUTE + SECOND * n * 61 for n in range(2)], 30.0)
    found = await plant.fetch("SELECT * FROM alarm_proposals($1)", now)
    assert [(row["kind"], row["rule"], row["alarms"], row["shelve_s"]) for row in found] == [
        ("chattering", "r1", 4, 28_800),
        *[("flood", f"r{rule}", 2, 3_600) for rule in range(4, 10)],
        ("fleeting", "r2", 12, 28_800),
        ("stale", "r3", 1, None),
    ]
    why = "raised 4 times in 24 h, 4 of them three or more within a minute; stands for 4.0 s at median"
    assert (found[0]["why"], found[0]["on_delay_s"], found[0]["deadband"]) == (why, 4, 1)
    assert found[1]["why"] == "2 of the 14 alarms of the last 10 minutes, of low priority"
    assert found[-1]["why"] == "stands since 2026-03-04 00:17, 30 h"


async def test_what_is_silent_already_is_not_proposed(plant: asyncpg.Connection) -> None:
    await nuisance(plant, 1, [END - HOUR + 10 * SECOND * n for n in range(4)], 4.0)
    assert len(await plant.fetch("SELECT * FROM alarm_proposals($1)", END)) == 1
    await plant.execute(
        "INSERT INTO alarm_suppression (kind, rule_id, begin_at, actor) VALUES ('out_of_service', 1, $1, 'jo')", BEGIN
    )
    assert await plant.fetch("SELECT * FROM alarm_proposals($1)", END) == []
