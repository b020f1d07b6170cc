"""`precursor backtest` on whatever server there is, and on files: the same readings, the same alarms."""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from precursor.apply import apply
from precursor.backtest.readings import Seen
from precursor.backtest.rule_set import rule_set
from precursor.backtest.trial import Data, FileData, Question, StoredData, backtest
from precursor.bench.backtest import BacktestSizes, bench_backtest
from precursor.cli import group
from precursor.plantfile.definition import SensorDefinition
from precursor.plantfile.reader import read_plant_text
from precursor.plantfile.stored_plant import load_stored_plant
from rules.evaluator import RuleEvaluator
from rules.occurrences import Occurrence, OccurrenceLog
from telemetry import rollups
from telemetry.arrow import read_table
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import detect_async
from telemetry.errors import ConfigurationError, PrecursorError
from telemetry.reading_files import ReadingTable, export_readings
from telemetry.store import ReadingStore

T0 = datetime(2026, 9, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATER = T0 + timedelta(days=60)
PLANT = """
version: 1
sites:
  - name: mill
    subscribe: ["mill/#"]
    areas:
      - name: hall
        assets:
          - name: P-1
            sensors:
              - {name: temp, quantity: temperature, unit: degC, topic: mill/P-1/temp}
              - {name: flow, quantity: volume flow, unit: m^3/h, topic: mill/P-1/flow}
              - {name: state, kind: state, topic: mill/P-1/state}
            assets:
              - name: M-1
                sensors:
                  - {name: temp, quantity: temperature, unit: degC, topic: mill/M-1/temp}
"""
RULES = """
rules:
  - name: hot
    sensors: ["*.temp"]
    high: 80
    high_high: 86
    deadband: 2
    on_delay: 20 s
    off_delay: 90 s
    priority: low
  - {name: range, sensors: [P-1.flow], low: 10, high: 60, deadband: 5, priority: medium}
"""
GENTLER = """
rules:
  - {name: hot, sensors: ["*.temp"], high: 84, deadband: 4, on_delay: 60 s, priority: low}
"""
SIDE_BY_SIDE = """
rules:
  - name: hotter-than-motor
    sensors: [P-1.temp]
    kind: deviation
    reference: M-1.temp
    high: 4
    deadband: 1
    priority: low
"""


def readings(seed: int, hours: int, sensor_ids: tuple[int, ...] = (1, 2, 4)) -> ReadingBatch:
    """Every ten seconds, wandering about the limits, with gaps and bad readings."""
    rng = np.random.default_rng(seed)
    parts = []
    for sensor in sensor_ids:
        instants = np.arange(hours * 360) * 10
        wander = np.cumsum(rng.normal(0, 0.02, instants.size))
        value = np.round(np.where(sensor == 2, 35, 78) + 6 * np.sin(instants / 1500 + sensor) + wander
                         + rng.normal(0, 0.4, instants.size), 1)  # fmt: skip
        kept = rng.random(instants.size) > 0.02
        kept[rng.integers(0, instants.size) :][:200] = False
        quality = np.where(rng.random(instants.size) < 0.003, 2, 0)
        time = to_micros(T0) + instants * 1_000_000 + sensor
        parts.append(ReadingBatch.of(time[kept], np.full(kept.sum(), sensor), value[kept], quality[kept]))
    return ReadingBatch.concat(parts)


async def store(connection: asyncpg.Connection, batch: ReadingBatch) -> None:
    """As the engine does: written, and what is late marked."""
    writer = ReadingStore(await detect_async(connection))
    await writer.make_room(connection, batch)
    async with connection.transaction():
        written = await writer.write(connection, batch)
        await rollups.touch(connection, batch.take(written.stored))


async def roll_up(connection: asyncpg.Connection, now: datetime = LATER) -> None:
    edition = await detect_async(connection)
    while not (await rollups.advance(connection, edition, now)).complete:
        pass


def question(rules: str, begin: datetime, end: datetime, **options: Any) -> Question:
    ids = {"P-1.temp": 1, "P-1.flow": 2, "P-1.state": 3, "M-1.temp": 4}
    return Question(
        name="test",
        rules=rule_set(read_plant_text(PLANT + rules, file="plant.yaml"), sensor_ids=ids).watched_since(begin),
        begin=begin,
        end=end,
        **options,
    )


def told(occurrences: tuple[Occurrence, ...]) -> list[tuple[Any, ...]]:
    return [
        (each.source, each.began_at, each.ended_at, each.told_at, each.peak_value, each.peak_at) for each in occurrences
    ]


@pytest.fixture
async def plant(dsn: str, connection: asyncpg.Connection, tmp_path: Path) -> asyncpg.Connection:
    """A connection to a database with the plant; `P-1.temp` has id 1."""
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT + GENTLER)
    await asyncio.to_thread(apply, dsn, file)
    found = await connection.fetch("SELECT id, name FROM sensor ORDER BY id")
    assert {row["name"]: row["id"] for row in found} == {"P-1.temp": 1, "P-1.flow": 2, "P-1.state": 3, "M-1.temp": 4}
    return connection


async def table_of(connection: asyncpg.Connection) -> ReadingTable:
    return ReadingTable(await read_table(connection), "stored.parquet")


class Noted:
    """Data that counts how many readings were shown one by one."""

    def __init__(self, data: Data) -> None:
        self.name, self._data, self.shown = "noted", data, 0

    async def show(self, make: Callable[[], Any], on_progress: Any) -> tuple[Any, Seen]:
        def counting() -> Any:
            made = make()
            fold = made.fold

            def count(batch: ReadingBatch) -> None:
                self.shown += len(batch)
                fold(batch)

            made.fold = count
            return made

        return await self._data.show(counting, on_progress)


@pytest.mark.parametrize("seed", range(6))
async def test_passing_over_quiet_times_gives_the_alarms_of_all_readings(plant: asyncpg.Connection, seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch = readings(seed, hours=30)
    # Late: some readings of some hours, and all of some minutes; the last of them are not counted again.
    hour, minute = (batch.time // width for width in (3_600_000_000, 60_000_000))
    late = np.isin(
        hour + 100_000_000 * batch.sensor_id, rng.choice(np.unique(hour + 100_000_000 * batch.sensor_id), 12)
    )
    late &= (rng.random(len(batch)) < 0.3) | (minute % 7 == 0)
    uncounted = late & (hour % 2 == 0)
    await store(plant, batch.take(~late))
    await roll_up(plant)
    await store(plant, batch.take(late & ~uncounted))
    await roll_up(plant)
    await store(plant, batch.take(uncounted))
    assert await plant.fetchval("SELECT count(*) FROM reading_touched") > 0
    begin, end = T0 + timedelta(minutes=17, seconds=3), T0 + timedelta(hours=26, minutes=41, seconds=7)
    asked = question(RULES, begin, end)
    names = dict(asked.rules.sensor_ids)

    every = await backtest(asked, FileData(await table_of(plant), names, begin, end))
    data = Noted(StoredData(plant, begin, end))
    stored = await backtest(asked, data)

    assert len(every.new.occurrences) > 10
    assert data.shown < 0.8 * every.seen.readings
    assert told(stored.new.occurrences) == told(every.new.occurrences)
    assert (stored.seen.readings, stored.seen.sensors) == (every.seen.readings, every.seen.sensors)


async def test_quiet_times_are_not_read_reading_by_reading(plant: asyncpg.Connection) -> None:
    calm = readings(1, hours=48)
    calm = ReadingBatch.of(calm.time, calm.sensor_id, np.where(calm.sensor_id == 2, 30.0, 50.0))
    excursion = (calm.sensor_id == 1) & (calm.time > to_micros(T0 + 30 * HOUR)) & (
        calm.time < to_micros(T0 + 30 * HOUR + timedelta(minutes=20))
    )  # fmt: skip
    await store(plant, ReadingBatch.of(calm.time, calm.sensor_id, np.where(excursion, 90.0, calm.value)))
    await roll_up(plant)
    data = Noted(StoredData(plant, T0, T0 + 48 * HOUR))

    report = await backtest(question(RULES, T0, T0 + 48 * HOUR), data)

    assert [each.source[1] for each in report.new.occurrences] == ["hot", "hot"]
    assert report.seen.readings == len(calm)
    assert data.shown < len(calm) / 50


async def test_rules_over_several_sensors_see_them_side_by_side_out_of_a_file_sorted_by_sensor(
    plant: asyncpg.Connection,
) -> None:
    await store(plant, readings(3, hours=30))
    begin, end = T0, T0 + 30 * HOUR
    asked = question(SIDE_BY_SIDE, begin, end)
    evaluator, log = RuleEvaluator(asked.rules.rules, align_s=10.0), OccurrenceLog()
    stream = readings(3, hours=30)
    stream = stream.take(np.argsort(stream.time, kind="stable"))
    for piece in np.array_split(np.arange(len(stream)), 500):
        log.add(evaluator.fold(stream.take(piece).sorted()))
    log.add(evaluator.flush())

    stored = await backtest(asked, StoredData(plant, begin, end))
    filed = await backtest(asked, FileData(await table_of(plant), dict(asked.rules.sensor_ids), begin, end))

    live = [each for each in told(log.occurrences()) if each[0][1] == "hotter-than-motor"]
    assert len(live) > 5
    assert [each for each in told(stored.new.occurrences) if each[0][1] == "hotter-than-motor"] == live
    assert told(filed.new.occurrences) == told(stored.new.occurrences)


async def test_a_file_in_no_order_gives_the_alarms_of_the_sorted_one(plant: asyncpg.Connection) -> None:
    await store(plant, readings(4, hours=10))
    table = await read_table(plant)
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(len(table))))
    # An instant that is there twice counts once, and the first one holds.
    doubled = pa.concat_tables([shuffled, table.slice(0, 500)])
    begin, end = T0, T0 + 10 * HOUR
    asked = question(RULES, begin, end)
    names = dict(asked.rules.sensor_ids)

    tidy = await backtest(asked, FileData(ReadingTable(table, "tidy"), names, begin, end))
    untidy = await backtest(asked, FileData(ReadingTable(doubled, "untidy"), names, begin, end))

    assert tidy.new.occurrences
    assert told(untidy.new.occurrences) == told(tidy.new.occurrences)
    assert (untidy.seen.readings, untidy.seen.repeated) == (len(table), 500)


async def test_the_rules_in_force_are_what_new_ones_are_compared_with(
    plant: asyncpg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await store(plant, readings(5, hours=24))
    file = tmp_path / "new.yaml"
    file.write_text(PLANT + RULES)
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", dsn)

    found = await asyncio.to_thread(
        document, "backtest", str(file), "--from", "2026-09-01", "--to", "2026-09-02", "--json"
    )

    assert found["old"]["name"] == "in force"
    difference = found["difference"]
    assert difference["only_new"] + difference["in_both"] == found["new"]["alarms"]
    assert difference["only_old"] + difference["old_in_both"] == found["old"]["alarms"]
    assert difference["in_both"] > 0 < difference["only_new"]


async def test_file_and_database_and_csv_give_the_same_report(
    plant: asyncpg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await store(plant, readings(6, hours=24))
    await export_readings(plant, tmp_path / "r.parquet")
    table = pq.read_table(tmp_path / "r.parquet")
    with (tmp_path / "r.csv").open("w") as csv:
        csv.write("time,sensor,value,quality\n")
        columns = [table.column(name).to_pylist() for name in ("time", "sensor", "value", "quality")]
        for time, sensor, value, quality in zip(*columns, strict=True):
            csv.write(f"{time.isoformat()},{sensor},{value!r},{quality}\n")
    (tmp_path / "rules.yaml").write_text(PLANT + RULES)
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", dsn)
    common = (
        "backtest",
        str(tmp_path / "rules.yaml"),
        "--from",
        "2026-09-01",
        "--to",
        "2026-09-02",
        "--suggest",
        "--json",
    )

    stored, parquet, csv_file = [
        await asyncio.to_thread(document, *common, *more)
        for more in ((), ("--data", str(tmp_path / "r.parquet")), ("--data", str(tmp_path / "r.csv")))
    ]

    assert stored["new"]["alarms"] > 5
    assert parquet["new"] == csv_file["new"] == stored["new"]
    assert parquet["suggestions"] == csv_file["suggestions"] == stored["suggestions"]
    assert len(stored["suggestions"]) == 4


async def test_rules_cut_out_of_a_plant_file_are_tried_on_the_plant_in_the_database(
    plant: asyncpg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await store(plant, readings(7, hours=24))
    await export_readings(plant, tmp_path / "r.parquet")
    (tmp_path / "wide.csv").write_text("time,P-1.temp\n2026-09-01T00:00:00Z,90\n2026-09-01T00:01:00Z,90\n")
    (tmp_path / "labels.csv").write_text("asset,failure_at\nM-1,2026-09-01T20:00:00Z\n")
    for name, head in (("whole", PLANT), ("alone", "version: 1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rules.yaml").write_text(head + RULES)
        (tmp_path / name / "gentler.yaml").write_text(head + GENTLER)
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", dsn)
    at = ("--from", "2026-09-01", "--to", "2026-09-02")

    async def report(name: str, *more: str) -> dict[str, Any]:
        words = ("backtest", str(tmp_path / name / "rules.yaml"), *more, "--labels", str(tmp_path / "labels.csv"))
        found = await asyncio.to_thread(document, *words, "--json")
        del found["wall_s"]
        return found

    for more in (
        at,
        (*at, "--suggest", "--assets", "M-*"),
        (*at, "--data", str(tmp_path / "r.parquet")),
        ("--data", str(tmp_path / "wide.csv")),
    ):
        whole, alone = await report("whole", *more), await report("alone", *more)
        assert alone["new"]["alarms"] > 0
        assert alone == whole
    against = ("--data", str(tmp_path / "r.parquet"), *at, "--against")
    whole = await report("whole", *against, str(tmp_path / "whole" / "gentler.yaml"))
    alone = await report("whole", *against, str(tmp_path / "alone" / "gentler.yaml"))
    assert alone["difference"]["only_new"] > 0
    assert alone == whole


async def test_a_plant_in_the_database_is_what_its_file_says(
    dsn: str, connection: asyncpg.Connection, examples: Path, tmp_path: Path
) -> None:
    file = examples / "plant.yaml"
    await asyncio.to_thread(apply, dsn, file)
    defined = read_plant_text(file.read_text(), file="plant.yaml")

    stored = await load_stored_plant(connection)

    def told(sensor: SensorDefinition) -> SensorDefinition:
        return replace(sensor, title="")

    assert {asset.name: asset for asset in stored.assets} == {asset.name: asset for asset in defined.assets}
    assert {each.name: each for each in stored.sensors} == {each.name: told(each) for each in defined.sensors}
    assert {plan.name: plan for plan in stored.job_plans} == {plan.name: plan for plan in defined.job_plans}


async def test_faults_of_rules_alone_are_told_with_their_lines(
    plant: asyncpg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        "version: 1\nrules:\n"
        "  - {name: hot, sensors: [P-1.tmp], high: 80, priority: low}\n"
        "  - {name: fast, sensors: [P-1.flow], high: 80 bar, priority: low}\n"
    )
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", dsn)

    found = await asyncio.to_thread(typed, "backtest", str(file), "--from", "2026-09-01", "--to", "2026-09-02")

    assert isinstance(found.exception, ConfigurationError)
    sensor, unit = str(found.exception).splitlines()
    assert re.search(r"rules\.yaml:3: rules\[0\]\.sensors\[0\]: .*did you mean 'P-1\.temp'", sensor)
    assert re.search(r"rules\.yaml:4: rules\[1\]\.high: .*a unit that converts to 'm\^3/h'", unit)


async def test_rules_alone_need_a_plant(
    dsn: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "rules.yaml").write_text("version: 1" + RULES)
    (tmp_path / "wide.csv").write_text("time,P-1.temp\n2026-09-01T00:00:00Z,90\n")
    words = ("backtest", str(tmp_path / "rules.yaml"), "--data", str(tmp_path / "wide.csv"))
    monkeypatch.setenv("PRECURSOR_DATA_DIR", str(tmp_path / "nothing"))

    without_database = await asyncio.to_thread(typed, *words)
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", dsn)
    without_plant = await asyncio.to_thread(typed, *words)

    for found, mend in ((without_database, "start `precursor up`"), (without_plant, "apply a plant file first")):
        assert isinstance(found.exception, ConfigurationError)
        assert str(found.exception).startswith(f"{tmp_path / 'rules.yaml'} has no sites")
        assert mend in str(found.exception)
        assert str(found.exception).endswith("or give a whole plant file")


def document(*words: str) -> dict[str, Any]:
    found = typed(*words)
    assert found.exception is None, (found.output, found.exception)
    read: dict[str, Any] = json.loads(found.stdout)
    return read


def typed(*words: str) -> Result:
    """A command line; its output, or the error it ends with."""
    found = CliRunner().invoke(group, list(words))
    if found.exception is not None and not isinstance(found.exception, SystemExit | PrecursorError):
        raise found.exception
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With `rules.yaml`, and `wide.csv`: two hours of P-1.temp and P-1.flow, UTC, hot from 00:30 to 01:00."""
    (tmp_path / "rules.yaml").write_text(PLANT + RULES)
    with (tmp_path / "wide.csv").open("w") as file:
        file.write("time;P-1.temp;P-1.flow;comment\n")
        for second in range(0, 7200, 10):
            hot = 1800 <= second < 3600
            file.write(f"{(T0 + timedelta(seconds=second)):%Y-%m-%dT%H:%M:%SZ};{90 if hot else 70};{30};x\n")
    return tmp_path


def test_a_report_on_the_terminal_has_figures_targets_and_worst_alarms(folder: Path) -> None:
    found = typed("backtest", str(folder / "rules.yaml"), "--data", str(folder / "wide.csv"))

    assert found.exception is None
    assert re.search(r"alarms per operator and day\s+24\s+150 or less, 300 at most\s+ok", found.stdout)
    assert re.search(r"P-1.temp hot\s+high\s+low\s+1\s+50\s+31 min 10 s", found.stdout)
    assert "no readings of M-1.temp: rules on them were not tried" in found.stdout


def test_row_groups_outside_the_range_are_not_read(folder: Path) -> None:
    rows = 720
    time = pa.array(to_micros(T0) + np.arange(rows) * 10_000_000).view(pa.timestamp("us", "UTC"))
    table = pa.table({"time": time, "sensor": ["P-1.temp"] * rows, "value": np.full(rows, 90.0)})
    pq.write_table(table, folder / "r.parquet", row_group_size=60)

    found = document(
        "backtest", str(folder / "rules.yaml"), "--data", str(folder / "r.parquet"), "--from", "2026-09-01T00:35",
        "--to", "2026-09-01T01:00", "--json",
    )  # fmt: skip

    assert found["readings"] == 150
    assert found["left_out"]["outside_range"] == 30
    assert found["new"]["occurrences"][0]["began_at"] == "2026-09-01T00:35:20+00:00"


def test_delays_that_run_out_after_the_last_reading_still_count(folder: Path) -> None:
    rules = folder / "late.yaml"
    rules.write_text(PLANT + "rules:\n  - {name: cold, sensors: [P-1.temp], low: 75, on_delay: 2 h, priority: low}\n")
    common = ("backtest", str(rules), "--data", str(folder / "wide.csv"), "--json", "--from", "2026-09-01T01:00")

    short = document(*common, "--to", "2026-09-01T03:00:00")
    long = document(*common, "--to", "2026-09-01T03:00:10")

    assert (short["new"]["alarms"], long["new"]["alarms"]) == (0, 1)


def test_only_some_assets_are_tried(folder: Path) -> None:
    data = ("--data", str(folder / "wide.csv"), "--json")

    motor = document("backtest", str(folder / "rules.yaml"), *data, "--assets", "M-*")
    pump = document("backtest", str(folder / "rules.yaml"), *data, "--assets", "P-1")

    assert (motor["new"]["alarms"], pump["new"]["alarms"]) == (0, 2)
    assert pump["new"]["rules"] > motor["new"]["rules"]


def test_lead_time_before_known_failures_is_told(folder: Path) -> None:
    (folder / "labels.csv").write_text("asset,failure_at\nP-1,2026-09-01T01:00:00Z\n")

    found = document(
        "backtest", str(folder / "rules.yaml"), "--data", str(folder / "wide.csv"), "--labels",
        str(folder / "labels.csv"), "--json",
    )  # fmt: skip

    (failure,) = found["new"]["foresight"]["failures"]
    assert failure["lead_s"] == 1800 - 20
    assert found["new"]["foresight"]["false_alarms"] == 0


def test_the_page_stands_alone_and_has_every_picture(folder: Path) -> None:
    (folder / "old.yaml").write_text(PLANT + GENTLER)
    page = folder / "page.html"

    found = typed(
        "backtest", str(folder / "rules.yaml"), "--data", str(folder / "wide.csv"), "--against",
        str(folder / "old.yaml"), "--suggest", "--html", str(page),
    )  # fmt: skip

    assert found.exception is None
    text = page.read_text()
    assert not re.search(r"(src|href|url)\s*[=(]|https?:|@import", text)
    for label in ("Alarms of 1 assets over time", "Alarms on each day", "Values of P-1.temp"):
        assert f'aria-label="{label}"' in text
    assert "Compared with old.yaml" in text
    assert "Limits out of history" in text


def test_names_in_the_page_cannot_be_markup(folder: Path) -> None:
    rules = folder / "<b>&.yaml"
    rules.write_text(PLANT + RULES)

    typed("backtest", str(rules), "--data", str(folder / "wide.csv"), "--html", str(folder / "page.html"))

    text = (folder / "page.html").read_text()
    assert "<b>" not in text
    assert "&lt;b&gt;&amp;.yaml" in text


def test_a_range_without_readings_is_still_a_report(folder: Path) -> None:
    found = typed(
        "backtest", str(folder / "rules.yaml"), "--data", str(folder / "wide.csv"), "--from", "2027-01-01", "--to",
        "2027-02-01", "--suggest", "--html", str(folder / "page.html"),
    )  # fmt: skip

    assert found.exception is None
    assert "nothing was tried" in found.stdout
    assert "There were no alarms." in (folder / "page.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("--assets", "P-2"), "no asset 'P-2' (did you mean 'P-1'?)", id="unknown asset"),
        pytest.param(("--from", "2026-09-02", "--to", "2026-09-01"), "is not before --to", id="turned round"),
        pytest.param(("--html", "nowhere/page.html"), "there is no folder", id="no folder for the page"),
        pytest.param(("--labels", "rules.yaml"), "rules.yaml:1: no column asset", id="labels"),
        pytest.param(("--topic-map", "rules.yaml"), "rules.yaml:", id="topic map"),
    ],
)
def test_what_is_typed_wrong_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(folder)

    found = typed("backtest", "rules.yaml", "--data", "wide.csv", *words)

    assert found.exception is not None
    assert said in f"{found.output}{found.exception}"


def test_stored_readings_of_the_future_are_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    found = typed("backtest", "rules.yaml", "--from", "2999-01-01", "--to", "2999-02-01")

    assert found.exception is not None
    assert "--from 2999-01-01 00:00:00 lies in the future" in found.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("a,b\n1,2\n", "has the columns a, b; expected columns time, sensor, value", id="columns"),
        pytest.param("time,P-1.temp\n2026-09-01T00:00:00,20\n", "--timezone", id="no zone"),
        pytest.param("time,P-1.temp\n2026-09-01T00:00:00Z,warm\n", "cannot be read", id="no number"),
        pytest.param("time,sensor,value\n2026-09-01T00:00:00Z,P-9.temp,20\n", "'P-9.temp'", id="no known sensor"),
        pytest.param("", "is empty", id="empty"),
        pytest.param("time,P-1.temp\n", "has no readings", id="nothing but a header"),
    ],
)
def test_a_file_that_does_not_fit_is_told(folder: Path, text: str, said: str) -> None:
    (folder / "data.csv").write_text(text)

    found = typed("backtest", str(folder / "rules.yaml"), "--data", str(folder / "data.csv"))

    assert isinstance(found.exception, ConfigurationError)
    assert said in str(found.exception)


def test_a_zone_may_be_given_for_times_without_one(folder: Path) -> None:
    (folder / "data.csv").write_text(
        "time,P-1.temp\n2026-09-01 02:00:00,90\n2026-09-01 02:00:30,90\n2026-09-01 02:01,70\n"
    )

    found = document(
        "backtest",
        str(folder / "rules.yaml"),
        "--data",
        str(folder / "data.csv"),
        "--timezone",
        "Europe/Berlin",
        "--json",
    )

    assert found["new"]["occurrences"][0]["began_at"] == "2026-09-01T00:00:20+00:00"


def test_faults_of_the_rules_file_are_told_with_their_lines(folder: Path) -> None:
    (folder / "rules.yaml").write_text(PLANT + "rules:\n  - {name: hot, sensors: [P-1.tmp], high: 80, priority: low}\n")

    found = typed("backtest", str(folder / "rules.yaml"), "--data", str(folder / "wide.csv"))

    assert isinstance(found.exception, ConfigurationError)
    assert re.search(r"rules\.yaml:\d+: rules\[0\].*P-1\.temp", str(found.exception))


def test_stored_readings_need_a_range(folder: Path) -> None:
    found = typed("backtest", str(folder / "rules.yaml"))

    assert "give --from and --to" in found.output


def test_recorded_runs_of_a_pump_are_tried_with_their_labels(
    recorded_data: Path, examples: Path, tmp_path: Path
) -> None:
    plant = (examples / "replay-plant.yaml").read_text()
    begin, end = plant.index("rules:\n"), plant.index("job_plans:\n")
    rules = """
rules:
  - {name: flow, sensors: [SKAB-1.flow], kind: window, statistic: mean, window: 2 min, low: 31.9, priority: medium}
"""
    (tmp_path / "rules.yaml").write_text(plant[:begin] + rules + plant[end:])
    recording = recorded_data / "skab" / "valve1" / "0.csv"
    rows = [line.split(";") for line in recording.read_text().splitlines()[1:]]
    faulty = [row[0] for row in rows if float(row[-2])]
    (tmp_path / "labels.csv").write_text(
        "asset,failure_at,began_at\n"
        f"SKAB-1,{faulty[-1].replace(' ', 'T')}Z,{faulty[0].replace(' ', 'T')}Z\n"
    )  # fmt: skip

    found = document(
        "backtest", str(tmp_path / "rules.yaml"), "--data", str(recording), "--topic-map",
        str(examples / "replay-skab.yaml"), "--labels", str(tmp_path / "labels.csv"), "--json",
    )  # fmt: skip

    assert found["readings"] == len(rows) * found["sensors"]
    assert found["new"]["foresight"]["warned"] == 1
    assert 0 < found["new"]["foresight"]["failures"][0]["delay_s"] < 300


async def test_an_interrupted_backtest_ends_without_waiting_for_the_file(tmp_path: Path) -> None:
    class Endless:
        name = "endless"
        schema = pa.schema(
            [("time", pa.timestamp("us", "UTC")), ("sensor", pa.string()), ("value", pa.float64())]
        )  # fmt: skip
        read = 0

        def batches(self, columns: Any) -> Any:
            while True:
                time = np.arange(1000) * 1_000_000 + self.read * 1_000_000_000 + to_micros(T0)
                self.read += 1
                yield pa.RecordBatch.from_arrays(
                    [pa.array(time).view(self.schema.field("time").type), pa.array(["P-1.temp"] * 1000),
                     pa.array(np.full(1000, 20.0))], schema=self.schema,
                )  # fmt: skip

    asked = question(RULES, T0, LATER)
    running = asyncio.create_task(backtest(asked, FileData(Endless(), dict(asked.rules.sensor_ids), None, None)))
    await asyncio.sleep(0.2)
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 5)


def test_the_bench_tries_every_reading_of_its_file() -> None:
    steps: list[str] = []

    found = bench_backtest(BacktestSizes(sensors=2, days=1), steps.append)

    assert found.readings == 2 * 86_400
    assert found.backtest_s > 0 < found.reading_s
    assert len(steps) == 3
