"""How the database goes about our queries, on a history of weeks: through indexes, and only where the data can be."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import asyncpg
import numpy as np
import pytest

from dashboards.macros import Question, expand
from telemetry import database, rollups
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import detect_async
from telemetry.series import WAVEFORM
from telemetry.sql import load_queries
from telemetry.store import ReadingStore

END = datetime(2026, 3, 2, tzinfo=UTC)
"""a Monday: weeks of partitions and chunks end here, too"""
WEEKS = 8
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BIG = 2_000
"""rows from which on a relation, or a partition of one, must not be read from end to end"""

PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'hall');
INSERT INTO asset (name, area_id) SELECT 'pump-' || number, 1 FROM generate_series(1, 20) AS number;
INSERT INTO sensor (name, asset_id, kind, computed, source_id)
SELECT format('pump-%s.%s', (number - 1) / 5 + 1, (ARRAY['state', 'a', 'b', 'c', 'a.score'])[(number - 1) % 5 + 1]),
       (number - 1) / 5 + 1,
       (ARRAY['state', 'measured', 'measured', 'measured', 'derived'])[(number - 1) % 5 + 1],
       CASE WHEN number % 5 = 0 THEN 'score' ELSE '' END, CASE WHEN number % 5 = 0 THEN number - 3 END
FROM generate_series(1, 100) AS number;
INSERT INTO rule (name, subject, asset_id, sensor_id, unit, high, priority, failure_mode)
VALUES ('hot', 'pump-1.a', 1, 2, '', 80, 3, 'bearing_wear');
INSERT INTO work_order (asset_id, failure_mode, status, priority, title, opened_at, due_at, first_seen_at, last_seen_at)
SELECT number % 20 + 1, 'mode-' || number / 20, CASE WHEN number < 40 THEN 'new' ELSE 'closed' END, 3, 'Look at it',
       at, at + interval '7 days', at, at
FROM generate_series(1, 4000) AS number, LATERAL (SELECT {end} - number * interval '19 minutes' AS at) AS moment;
INSERT INTO work_order_event (work_order_id, to_status, at, actor)
SELECT id, status, opened_at, 'engine' FROM work_order, generate_series(1, 2);
INSERT INTO alarm (key, rule_id, rule_name, sensor_id, asset_id, side, limit_value, unit, priority, failure_mode,
                   began_at, ended_at, value, peak_value, peak_at, work_order_id)
SELECT 'hot/' || number, 1, 'hot', 2, number % 20 + 1, 'high', 80, '', 3, 'bearing_wear', at,
       CASE WHEN number > 20 THEN at + interval '10 minutes' END, 81, 84, at, number
FROM generate_series(1, 4000) AS number, LATERAL (SELECT {end} - number * interval '19 minutes' AS at) AS moment;
INSERT INTO alarm_event (alarm_id, rule_id, kind, at, value)
SELECT id, 1, kind, began_at, 81 FROM alarm, (VALUES ('raised'), ('cleared')) AS event (kind);
INSERT INTO outbox (work_order_id, event, body, delivered_at, next_attempt_at)
SELECT id, 'opened', '{{}}', CASE WHEN id > 20 THEN {end} END, {end} - interval '1 hour' FROM work_order;
INSERT INTO rejected (digest, source, topic, reason, payload, payload_bytes, readings, first_at, last_at)
SELECT number::text::bytea, 'mqtt', 'north/x', 'not_json', '', 0, 1, {end}, {end} - number * interval '1 minute'
FROM generate_series(1, 4000) AS number;
INSERT INTO asset_state_1h (time, asset_id, sensor_id, state, seconds, entries)
SELECT {end} - hour * interval '1 hour', sensor.asset_id, sensor.id, 1, 3600, 0
FROM sensor, generate_series(1, 700) AS hour WHERE sensor.kind = 'state';
INSERT INTO prognosis (asset_id, sensor_id, failure_mode, method, made_at, p10_s, p50_s, p90_s)
SELECT sensor.asset_id, CASE WHEN hour % 2 = 0 THEN sensor.id END, 'mode-' || hour % 3, 'trend',
       {end} - hour * interval '1 hour', 1, 2, 3
FROM sensor, generate_series(1, 200) AS hour WHERE sensor.name LIKE '%.a';
"""

WAVEFORMS = """
INSERT INTO waveform (time, sensor_id, sample_rate_hz, unit, samples, body)
SELECT $1::timestamptz - hour * interval '1 hour', sensor_id, 25600, 'm/s2', 4, ''
FROM generate_series(0, $2::int - 1) AS hour, generate_series(2, 42, 5) AS sensor_id
"""


@dataclass(frozen=True)
class Case:
    """A query with parameters as they come in practice, and what its plan may do."""

    package: str
    name: str
    arguments: Sequence[object] = ()
    weeks: int | None = None
    """most weeks of readings, or waveforms, its plan may name; None: where the data is turns out only while it runs"""
    file: str = "queries.sql"
    editions: str = "kept aggregates"
    """manners of rollups under which the query is used"""
    interval_ms: int = 10_000
    """of a board's query: how wide a point of the chart is"""


YESTERDAY = (END - DAY, END)
IDS = [2, 7, 12]
HOURS = [END - 30 * DAY, END - 3 * DAY, END - HOUR]
SPAN_BEGINS, SPAN_ENDS = [to_micros(END - HOUR)] * 3, [to_micros(END) - 1] * 3


def telemetry(file: str, name: str, *arguments: object, **more: Any) -> Case:
    return Case("telemetry", name, arguments, file=file, **more)


CASES = [
    telemetry("store.sql", "find_stored", IDS, SPAN_BEGINS, SPAN_ENDS, [9, 9, 9], *YESTERDAY, weeks=1),
    telemetry("rollups.sql", "newest_reading", END - HOUR, END + HOUR, weeks=2),
    telemetry("rollups.sql", "oldest_reading", END - HOUR, END + HOUR, weeks=2),
    telemetry("rollups.sql", "fill_minutes", *YESTERDAY, weeks=1, editions="kept"),
    telemetry("rollups.sql", "fill_hours", *YESTERDAY, editions="kept"),
    telemetry("rollups.sql", "fill_days", *YESTERDAY, editions="kept"),
    telemetry("rollups.sql", "recount_minutes", IDS, HOURS, [at + HOUR for at in HOURS], editions="kept"),
    telemetry("rollups.sql", "recount_hours", IDS, HOURS, editions="kept"),
    telemetry("rollups.sql", "recount_days", IDS, HOURS, editions="kept"),
    telemetry("ranges.sql", "read_readings", IDS, HOURS, *YESTERDAY, None, weeks=1),
    telemetry("ranges.sql", "read_readings", [2], [END - 20 * DAY], END - 20 * DAY, END - 7 * DAY, 1000, weeks=3),
    telemetry("ranges.sql", "read_neighbours", IDS, *YESTERDAY),
    telemetry("ranges.sql", "read_minutes", IDS, *YESTERDAY),
    telemetry("ranges.sql", "read_hours", IDS, END - 30 * DAY, END),
    telemetry("ranges.sql", "read_days", IDS, END - 30 * DAY, END),
    telemetry("ranges.sql", "sum_minutes", [2], *YESTERDAY),
    telemetry("ranges.sql", "sum_hours", IDS, END - 30 * DAY, END),
    telemetry("ranges.sql", "sum_days", IDS, END - 30 * DAY, END),
    telemetry("ranges.sql", "count_minutes", [2], *YESTERDAY),
    telemetry("ranges.sql", "count_hours", [2], END - 30 * DAY, END),
    telemetry("ranges.sql", "count_days", [2], END - 50 * DAY, END),
    telemetry("ranges.sql", "last_values", list(range(1, 101))),
    telemetry("ranges.sql", "last_usable_days", IDS),
    telemetry("ranges.sql", "last_usable_values", IDS, HOURS),
    telemetry("waveforms.sql", "find_waveforms", IDS, HOURS),
    telemetry("waveforms.sql", "list_waveforms", IDS, END - DAY, END - DAY, END, 1, 100, weeks=2),
    telemetry("waveforms.sql", "measure_waveforms", 2, END - DAY, END, END - DAY, 1000, weeks=1),
    telemetry("waveforms.sql", "read_waveforms", 2, END - DAY, END - DAY, END - HOUR, weeks=1),
    telemetry("waveforms.sql", "read_waveform", 2, END - DAY, weeks=1),
    Case("api", "sensor", ["pump-1.a"]),
    Case("api", "readings_oldest_first", [2, *YESTERDAY, 1001], weeks=1),
    Case("api", "readings_newest_first", [2, *YESTERDAY, 1001], weeks=1),
    Case("api", "alarms", [None, None, None, None, None, None, 101, None, None, None]),
    Case("api", "alarms", [True, None, None, None, None, None, 101, None, "machine", [3]]),
    Case("api", "alarms", [None, "pump-3", END - 9 * DAY, END, None, None, 101, None, None, None]),
    Case("api", "alarms_awake", [None, None, None, None, None, None, 101, ["shelved"], None, None]),
    Case("api", "alarm", [17]),
    Case("api", "alarm_events", [17]),
    Case("api", "work_orders", [None, None, None, None, 101]),
    Case("api", "work_orders", [["new"], "pump-3", END, 17, 101]),
    Case("api", "work_order", [17]),
    Case("api", "work_order_events", [17]),
    Case("api", "rejected", ["mqtt", None, None, None, 101]),
    Case("api", "computed_sensors", [3], file="models.sql"),
    Case("api", "last_prognoses", [3], file="models.sql"),
    Case("precursor.analysis", "next_waveforms", [IDS, HOURS, 100]),
    Case("precursor.analysis", "last_usable", [2, *YESTERDAY], weeks=1),
    Case("precursor.analysis", "newest_usable", [IDS]),
    Case("precursor.analysis", "add_prognosis", [1, 2, "wear", "trend", None, END, 1.0, 2.0, 3.0, "", 7.1, "{}"]),
    Case("precursor.analysis", "running_hours", [1, END - 7 * DAY, END]),
    Case("precursor.analysis", "failures", [[1, 6], END - 7 * DAY]),
    Case("precursor.analysis", "alarmed_assets"),
    Case("precursor.analysis", "first_alarms", [[3, 4], [END - 7 * DAY, END - DAY], [END - DAY, END]]),
    Case("precursor.analysis", "settle_prognoses", [3, "failed", END, ""]),
    Case("precursor.analysis", "last_prognosis", [3, 12, "mode-1", "trend"]),
    Case("rules", "update_alarms", [["hot/3"], [90.0], [END], [END]], file="alarms.sql"),
    Case("rules", "add_events", [["hot/3"], ["cleared"], [END], [70.0], [""]], file="alarms.sql"),
    Case("rules", "suppress_alarms", [["hot/3"], ["hot/4"]], file="alarms.sql"),
    Case("rules", "tell_unsuppressed", [["hot/3"], [END], END, END], file="alarms.sql"),
    Case("rules", "annunciate_due", [END], file="alarms.sql"),
    Case("rules", "end_orphans", file="alarms.sql"),
    Case("cbm", "take_touched_hours", [500, 50_000.0]),
    Case("cbm", "clear_state_hours", [[1, 6], HOURS[:2], [at + HOUR for at in HOURS[:2]]]),
    Case("cbm", "write_state_hours", [[1, 6], HOURS[:2], [at + HOUR for at in HOURS[:2]]]),
    Case("cbm", "newest_report", [None]),
    Case("cbm", "newest_report", ["pump-3"]),
    Case("cbm", "asset_kpis", [END - 7 * DAY, END, "pump-3", False]),
    Case("cbm", "asset_kpis", [END - 30 * DAY, END, None, True]),
    Case(
        "workorder_bridge",
        "open_orders",
        [[17], ["hot/17"], [18], ["bearing_wear"], ["Look"], [3], [END], [END]],
    ),
    Case("workorder_bridge", "link_alarms", [[17], [17]]),
    Case("workorder_bridge", "merge_requests", [[17], [17], ["Look"], [3], [END], [None]]),
    Case("workorder_bridge", "lock_orders_of_alarms", [[17, 18]]),
    Case("workorder_bridge", "merge_alarms", [[17], 20]),
    Case("workorder_bridge", "note_openings", [[17]]),
    Case("workorder_bridge", "move_openings", [[17]]),
    Case("workorder_bridge", "lock_order", [17]),
    Case("workorder_bridge", "set_status", [17, "assigned", "sam", None]),
    Case("workorder_bridge", "add_outbox", [[17], "opened", None]),
    Case("workorder_bridge", "claim_event", [END, END + HOUR]),
    Case("workorder_bridge", "settle_delivered", [17, END]),
    Case("workorder_bridge", "settle_failed", [17, 1, END, "no answer"]),
    Case("dashboards", "newest_reading"),
    Case("dashboards", "readings", weeks=2),
    Case("dashboards", "readings", interval_ms=600_000),
    Case("dashboards", "readings", interval_ms=7_200_000),
    Case("dashboards", "readings", interval_ms=90_000_000),
    Case("dashboards", "scores", weeks=2),
    Case("dashboards", "scores", interval_ms=7_200_000),
    Case("dashboards", "condition_anomaly", weeks=2),
    Case("dashboards", "condition_anomaly", interval_ms=7_200_000),
    Case("dashboards", "condition_shares", weeks=2),
    Case("dashboards", "condition_scores", weeks=2),
    Case("dashboards", "condition_scores", interval_ms=90_000_000),
    Case("dashboards", "condition_vibration", weeks=2),
    Case("dashboards", "condition_remaining_life", weeks=2),
    Case("dashboards", "condition_sensor_faults"),
    Case("dashboards", "alarms_active"),
    Case("dashboards", "alarms_active_count"),
    Case("dashboards", "asset_states"),
    Case("dashboards", "rejected_by_reason"),
]

PLANT_ONLY = "reads the plant: thousands of rows at most, seldom"
ONE_ROW = "a row, or a lock, that there is one of"
INSERT_ONLY = "writes rows and looks at nothing but the keys they collide with"
SUMS = "sums of a few sources and reasons"
SMALL = "a queue that is kept short"
WHOLE = "all of it is wanted"
MODELS = "versions of models are some hundreds"
PROGNOSES = "one an hour of each trend at most, when somebody looks"
ALARM_RANGE = "every alarm of a range of days, for a board that few people look at"

EXEMPT = {
    ("telemetry", "store.sql"): {
        "add_to_ledger": INSERT_ONLY,
        "add_rejected": INSERT_ONLY,
        "read_ledger": SUMS,
        "read_totals": SUMS,
    },
    ("telemetry", "rollups.sql"): {
        "hold_fence": ONE_ROW,
        "touch_hours": INSERT_ONLY,
        "lock_job": ONE_ROW,
        "unlock_job": ONE_ROW,
        "standing": ONE_ROW,
        "plan_for_stretch": "settings of a transaction",
        "refreshes_in_batches": ONE_ROW,
        "move_fence": ONE_ROW,
        "move_watermark": ONE_ROW,
        "oldest_marks": SMALL,
        "drop_marks": SMALL,
    },
    ("telemetry", "queries.sql"): {
        "plant_revision": ONE_ROW,
        "plant_assets": PLANT_ONLY,
        "plant_sensors": PLANT_ONLY,
        "plant_gateways": PLANT_ONLY,
        "plant_subscriptions": PLANT_ONLY,
    },
    ("telemetry", "journal.sql"): {
        "append": INSERT_ONLY,
        "load_checkpoint": WHOLE,
        "load_entries": "what was folded since the checkpoint: a few MiB at most, once at start",
        "save_part": INSERT_ONLY,
        "drop_other_parts": "a row a part of the evaluation",
        "drop_entries": "what was folded since the checkpoint goes as a whole",
    },
    ("telemetry", "ranges.sql"): {"sensors_in_use": PLANT_ONLY},
    ("telemetry", "waveforms.sql"): {"add_waveforms": INSERT_ONLY},
    ("telemetry", "catalogue.sql"): {"catalogue_sensors": PLANT_ONLY, "catalogue_assets": PLANT_ONLY},
    ("api", "queries.sql"): {
        "schema_revision": ONE_ROW,
        "assets": PLANT_ONLY,
        "asset": "one asset by its name, with counts of what is open on it",
        "asset_id": PLANT_ONLY,
        "sensors": PLANT_ONLY,
        "sensors_named": PLANT_ONLY,
        "sensors_by_name": PLANT_ONLY,
        "ledger": SUMS,
        "alarm_performance": ALARM_RANGE,
    },
    ("api", "models.sql"): {
        "asset_names": PLANT_ONLY,
        "prognoses": PROGNOSES,
        "models": MODELS,
    },
    ("precursor.analysis", "queries.sql"): {
        "one_analysis": ONE_ROW,
        "read_progress": "a row a task and subject, by its key",
        "advance": INSERT_ONLY,
        "orders": "orders are some thousands, and asked for once an hour",
        "open_prognoses": "those whose end is not known, out of an index of their own, once a minute",
        "list_prognoses": PROGNOSES,
    },
    ("precursor.training", "queries.sql"): {"bad_spans": "alarms and orders are some thousands; training is seldom"},
    ("precursor", "computed.sql"): {"put_computed": INSERT_ONLY, "find_computed": SMALL, "drop_computed": SMALL},
    ("precursor", "requests.sql"): {
        "open_requests": "those not yet done, out of an index of their own",
        "settle_requests": SMALL,
        "request_rebaseline": PLANT_ONLY,
        "asset_names": PLANT_ONLY,
    },
    ("rules", "alarms.sql"): {"raise_alarms": INSERT_ONLY},
    ("rules", "queries.sql"): {"rules": PLANT_ONLY, "sensor_ids": PLANT_ONLY, "asset_parents": PLANT_ONLY},
    ("cbm", "queries.sql"): {
        "job_plans": PLANT_ONLY,
        "touch_state_hours": INSERT_ONLY,
        "one_refresh_at_a_time": ONE_ROW,
    },
    ("workorder_bridge", "queries.sql"): {
        "add_event": INSERT_ONLY,
        "list_orders": "the list a planner looks at: open orders, or on demand all",
        "request_resets": PLANT_ONLY,
        "request_rebaseline": PLANT_ONLY,
    },
    ("dashboards", "queries.sql"): {
        "variable_asset": PLANT_ONLY,
        "variable_sensor": PLANT_ONLY,
        "readings_stored": SUMS,
        "readings_unaccounted": SUMS,
        "work_orders_open_count": "open orders are few; the board is looked at by few people",
        "reading_limits": PLANT_ONLY,
        "score_limits": PLANT_ONLY,
        "alarm_timeline": "an alarm of any age may still stand in the range; alarms are some thousands",
        "work_orders_open": "open orders are few; the board is looked at by few people",
        "reliability": "all state sensors over a range of days, from the daily rollup",
        "downtime_per_day": "all state sensors over a range of days, from the daily rollup",
        "ledger": SUMS,
        "condition_limit": "two points",
        "condition_prognoses": PROGNOSES,
        "condition_models": MODELS,
        "alarm_figures": ALARM_RANGE,
        "alarm_rate": ALARM_RANGE,
        "alarm_flood_limit": "two points",
        "alarm_worst": ALARM_RANGE,
        "alarm_priorities": ALARM_RANGE,
        "alarm_acknowledgement": ALARM_RANGE,
        "alarm_floods": ALARM_RANGE,
        "alarm_stale": "alarms of any age may still stand; alarms are some thousands",
        "alarm_proposals": "the alarms of a day, and those of any age that still stand",
    },
}

NOT_HOT = {
    ("rules", "alarm_actions.sql"): "what people do with alarms, one at a time",
    ("api", "devices.sql"): "a page of devices, of which a plant has hundreds, when somebody looks",
    ("api", "quarantine.sql"): "names kept aside, bounded in number, when somebody looks",
    ("precursor", "registry.sql"): "what people do with models, one at a time, and their list once in half a minute",
    ("precursor", "provision.sql"): "sensors that devices ask for, when one is born",
    ("precursor", "rule_explanation.sql"): "one rule, when somebody asks why",
    ("precursor", "sensor_findings.sql"): "what the data check says of sensors, when somebody looks",
    ("precursor.assessment", "queries.sql"): "an evaluation that somebody asks for: all readings of a range",
    ("precursor.assessment", "score_replay.sql"): "an evaluation in a database of its own",
    ("telemetry", "retention.sql"): "a job asks the catalogue for pieces a few times a day, and moves whole pieces",
    ("telemetry", "upgrade.sql"): "one command in a database's life, which copies all of it",
}
"""files of which no query is looked at"""


@dataclass(frozen=True)
class Scan:
    """One access to a relation in a plan."""

    kind: str
    relation: str
    parent: str
    """the partitioned table or hypertable it is a piece of; itself where it is none"""
    rows: float
    """in the relation, as the planner knows it"""


@pytest.fixture(scope="module")
def weeks_dsn(module_dsn: str) -> str:
    """A database with 100 sensors' readings of eight weeks, and an engine's records of as long."""
    asyncio.run(_fill(module_dsn))
    return module_dsn


async def _fill(dsn: str) -> None:
    connection = await database.connect(dsn)
    try:
        await connection.execute(PLANT.format(end=f"'{END.isoformat()}'::timestamptz"))
        edition = await detect_async(connection)
        writer = ReadingStore(edition)
        week_us = 7 * 24 * 3600 * 1_000_000
        for week in range(WEEKS):
            time = np.arange(to_micros(END) - (week + 1) * week_us, to_micros(END) - week * week_us, 1_800_000_000)
            batch = ReadingBatch.of(
                np.tile(time, 100), np.repeat(np.arange(1, 101), time.size), np.ones(100 * time.size)
            )
            await writer.make_room(connection, batch)
            async with connection.transaction():
                await writer.write(connection, batch)
        # Two weeks of rollups are enough to plan with; eight take minutes where they are continuous aggregates.
        await connection.execute("UPDATE reading_fence SET time = $1", END - 14 * DAY)
        await connection.execute("UPDATE reading_watermark SET time = $1", END - 14 * DAY)
        while not (await rollups.advance(connection, edition, END)).complete:
            pass
        begins = to_micros(END) - np.arange(WEEKS * 7 * 24, dtype=np.int64) * 3_600_000_000
        await edition.make_room(connection, begins, WAVEFORM)
        await connection.execute(WAVEFORMS, END, begins.size)
        # What the planner knows of a table that has just been filled is left to chance otherwise.
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


@pytest.fixture
async def weeks(weeks_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to it."""
    opened = await database.connect(weeks_dsn)
    yield opened
    await opened.close()


async def scans(connection: asyncpg.Connection, query: str, arguments: Sequence[object]) -> list[Scan]:
    """What the plan of a query looks at."""
    statement = await connection.prepare(query)
    found = [
        (node["Node Type"], node["Schema"], node["Relation Name"])
        for node in _nodes((await statement.explain(*arguments))[0]["Plan"])
        # An INSERT names its target, TimescaleDB's own nodes name the hypertable: neither reads it.
        if "Relation Name" in node and node["Node Type"].endswith("Scan") and node["Node Type"] != "Custom Scan"
    ]
    relations = {
        (row["schema"], row["relation"]): row
        for row in await connection.fetch(
            "SELECT n.nspname AS schema, c.relname AS relation, c.reltuples AS rows,"
            " coalesce(root.relname, c.relname) AS parent"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class root ON root.oid = i.inhparent"
            " WHERE c.relkind IN ('r', 'p', 'm', 'v')"
        )
    }
    # A temporary table is in a schema of another name; it only ever holds a batch.
    unknown = {"parent": "", "rows": 0.0}
    facts = [relations.get((schema, relation), unknown) for _, schema, relation in found]
    return [
        Scan(kind=kind, relation=relation, parent=fact["parent"], rows=fact["rows"])
        for (kind, _, relation), fact in zip(found, facts, strict=True)
    ]


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _text(case: Case) -> str:
    text = load_queries(case.package, case.file)[case.name]
    if case.package != "dashboards":
        return text
    chosen = {"asset": ["pump-3"], "sensor": ["pump-3.a"]}
    return expand(text, Question(begin=END - DAY, end=END, interval_ms=case.interval_ms, variables=chosen))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.package}-{case.name}")
async def test_a_hot_query_uses_indexes_and_only_the_weeks_it_asks_for(weeks: asyncpg.Connection, case: Case) -> None:
    if (await detect_async(weeks)).rollups.manner not in case.editions:
        return
    found = await scans(weeks, _text(case), case.arguments)
    read_whole = sorted({scan.relation for scan in found if scan.kind == "Seq Scan" and scan.rows >= BIG})
    assert not read_whole, "read from end to end"
    if case.weeks is not None:
        named = {scan.relation for scan in found if scan.parent in {"reading", "waveform"}}
        assert 1 <= len(named) <= case.weeks


async def test_the_guard_sees_a_table_read_from_end_to_end_and_weeks_that_are_not_asked_for(
    weeks: asyncpg.Connection,
) -> None:
    whole = await scans(weeks, "SELECT max(value) FROM reading", [])
    assert {scan.kind for scan in whole if scan.rows >= BIG} == {"Seq Scan"}
    assert len({scan.relation for scan in whole if scan.parent == "reading"}) >= WEEKS
    [alarm] = await scans(weeks, "SELECT max(value) FROM alarm", [])
    assert (alarm.kind, alarm.relation) == ("Seq Scan", "alarm")
    assert alarm.rows >= BIG


FILES = sorted({(case.package, case.file) for case in CASES} | set(EXEMPT))


@pytest.mark.parametrize(("package", "file"), FILES, ids=lambda part: part)
def test_every_named_query_is_looked_at_or_exempt_with_a_reason(package: str, file: str) -> None:
    looked_at = {case.name for case in CASES if (case.package, case.file) == (package, file)}
    exempt = EXEMPT.get((package, file), {})
    assert all(exempt.values())
    assert looked_at.isdisjoint(exempt)
    assert looked_at | set(exempt) == set(load_queries(package, file))


def test_every_file_of_named_queries_is_known_here() -> None:
    packages = sorted({package for package, _ in {*FILES, *NOT_HOT}})
    found = {
        (package, entry.name)
        for package in packages
        for entry in files(package).iterdir()
        if entry.name.endswith(".sql") and re.search(r"^-- name: ", entry.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert found == set(FILES) | set(NOT_HOT)
