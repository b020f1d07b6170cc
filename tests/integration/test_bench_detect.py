"""The bench of rules at its smallest, through the engine: it checks that figures come, not what they are."""

import json
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from precursor.bench.detect import DETECT_PARTS, DETECT_QUICK, bench_detect, detect_steps
from precursor.bench.measures import MEASURES
from precursor.bench.report import Report
from precursor.cli.bench import bench
from precursor.settings import DatabaseSettings, Settings

# The embedded broker may outlive the program that started it, so nobody keeps its Popen object.
pytestmark = pytest.mark.filterwarnings(r"ignore:subprocess \d+ is still running:ResourceWarning")

FIGURES = [name for name in MEASURES if name.startswith(("rules.", "detect."))]


@pytest.fixture(scope="module")
def steps() -> list[str]:
    return []


@pytest.fixture(scope="module")
def report(server_dsn: str, steps: list[str]) -> Report:
    """Everything on the tests' PostgreSQL and a broker of the bench's own."""
    settings = Settings(database=DatabaseSettings(dsn=server_dsn))
    return bench_detect(settings, parts=DETECT_PARTS, sizes=DETECT_QUICK, watch=steps.append)


def test_every_measure_of_rules_and_models_gives_a_figure(report: Report, steps: list[str]) -> None:
    assert [result.name for result in report.results] == FIGURES
    assert all(result.value > 0 for result in report.results)
    assert len(steps) == detect_steps(DETECT_PARTS, DETECT_QUICK)
    assert report.machine["broker"]


def test_all_that_was_published_is_stored_once(report: Report) -> None:
    assert {account.name for account in report.accounts} == {
        "rules.ingest_share",
        "rules.latency",
        "detect.ingest_share",
    }
    for account in report.accounts:
        account.check()
        assert account.published > 0


def test_the_scratch_database_of_rules_is_gone_afterwards(report: Report, server_dsn: str) -> None:
    with psycopg.connect(server_dsn) as connection:
        left = connection.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE 'precursor\\_bench\\_%'"
        ).fetchall()
    assert left == []


def test_the_command_prints_json_and_writes_a_section_of_its_own(
    server_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", server_dsn)
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "performance.md"
    outcome = CliRunner().invoke(
        bench, ["detect", "--models", "--quick", "--json", "--write", str(page)], catch_exceptions=False
    )
    assert outcome.exit_code == 0
    document = json.loads(outcome.stdout)
    assert [result["name"] for result in document["results"]] == [name for name in FIGURES if "detect." in name]
    assert f"## Bench detect --models, {document['machine']['edition'].split()[0]}\n" in page.read_text()
