"""The bench at its smallest: it checks that figures come, not what they are."""

import json
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from precursor.bench.ingest import STAGES, bench_ingest, ingest_steps
from precursor.bench.measures import MEASURES
from precursor.bench.report import Report
from precursor.bench.sizes import QUICK
from precursor.cli.bench import bench
from precursor.settings import DatabaseSettings, Settings
from telemetry import schema

# The embedded broker may outlive the program that started it, so nobody keeps its Popen object.
pytestmark = pytest.mark.filterwarnings(r"ignore:subprocess \d+ is still running:ResourceWarning")


@pytest.fixture(scope="module")
def steps() -> list[str]:
    return []


@pytest.fixture(scope="module")
def report(server_dsn: str, steps: list[str]) -> Report:
    """Everything on the tests' PostgreSQL and a broker of the bench's own."""
    settings = Settings(database=DatabaseSettings(dsn=server_dsn))
    return bench_ingest(settings, stages=STAGES, sizes=QUICK, watch=steps.append)


def test_every_measure_gives_a_figure_in_the_shape_all_benches_share(report: Report) -> None:
    document = json.loads(json.dumps(report.as_json()))
    assert set(document) == {"machine", "results"}
    assert [result["name"] for result in document["results"]] == [
        name for name in MEASURES if not name.startswith(("query.", "rules.", "detect."))
    ]
    for result in document["results"]:
        assert set(result) == {"name", "value", "unit", "limit", "ratio"}
        assert result["value"] > 0
        assert result["unit"] == MEASURES[result["name"]].unit
        if result["limit"] is None:
            assert result["ratio"] is None
        else:
            assert result["ratio"] == pytest.approx(result["value"] / result["limit"])


def test_the_machine_is_described_without_saying_where_it_stands(report: Report, server_dsn: str) -> None:
    machine = report.machine
    for fact in ("cpu", "cores", "memory_gib", "os", "python", "postgres", "edition", "broker", "measured_at"):
        assert machine[fact]
    assert machine["database"] == "named by settings"
    text = json.dumps(machine)
    assert "/tmp" not in text
    assert server_dsn not in text


def test_all_that_was_published_is_stored_once_and_the_ledger_adds_up(report: Report) -> None:
    assert {account.name for account in report.accounts} == {
        "mqtt.single_qos1",
        "mqtt.json_array_100",
        "mqtt.json_columnar_100",
        "mqtt.sparkplug_100",
        "mqtt.live_qos1",
        "mqtt.latency",
    }
    for account in report.accounts:
        account.check()
        assert account.published > 0


def test_every_step_is_announced(report: Report, steps: list[str]) -> None:
    assert len(steps) == ingest_steps(STAGES, QUICK)


def test_the_scratch_database_is_gone_afterwards(report: Report, server_dsn: str) -> None:
    with psycopg.connect(server_dsn) as connection:
        left = connection.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE 'precursor\\_bench\\_%'"
        ).fetchall()
    assert left == []


def test_the_command_prints_json_and_writes_the_page_from_it(
    server_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", server_dsn)
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "docs" / "performance.md"
    outcome = CliRunner().invoke(
        bench, ["ingest", "--stage", "decode", "--quick", "--json", "--write", str(page)], catch_exceptions=False
    )
    assert outcome.exit_code == 0
    document = json.loads(outcome.stdout)
    assert [result["name"] for result in document["results"]] == [name for name in MEASURES if "decode" in name]
    assert document["machine"]["broker"] is None
    text = page.read_text()
    assert text.startswith("# Performance\n")
    assert all(f"| `{result['name']}` |" in text for result in document["results"])


def test_queries_of_a_year_answer_with_what_was_stored(
    server_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", server_dsn)
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "performance.md"
    outcome = CliRunner().invoke(bench, ["query", "--quick", "--json", "--write", str(page)], catch_exceptions=False)
    assert outcome.exit_code == 0
    document = json.loads(outcome.stdout)
    names = [result["name"] for result in document["results"]]
    assert names == [name for name in MEASURES if name.startswith("query.")]
    assert page.read_text().startswith("# Performance\n")
    assert f"## Bench query, {document['machine']['edition'].split()[0]}\n" in page.read_text()


def test_the_command_tells_people_the_same_as_a_table(
    server_dsn: str, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", server_dsn)
    monkeypatch.chdir(tmp_path)
    outcome = CliRunner().invoke(bench, ["ingest", "--stage", "store", "--quick"], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert "store.collide" in outcome.stdout
    assert f"edition: {schema.inspect(dsn).edition}" in outcome.stdout
