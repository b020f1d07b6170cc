"""`precursor devices` and `precursor quarantine`, as typed."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime

import click
import psycopg
import pytest
from click.testing import CliRunner, Result

from ingest.quarantine import HeldReading, hold
from ingest.registry import Birth, DeviceKind
from ingest.registry_store import record_changes, sync_gateways
from precursor.cli import group
from telemetry import database
from telemetry.batch import to_micros
from telemetry.errors import ConfigurationError, PrecursorError

T0 = datetime(2026, 10, 5, tzinfo=UTC)
PLANT = """
INSERT INTO site (name) VALUES ('mill');
INSERT INTO area (site_id, name) VALUES (1, 'hall');
INSERT INTO gateway (name, site_id, topic) VALUES ('gw', 1, 'mill/gw');
INSERT INTO asset (name, area_id) VALUES ('P-1', 1);
INSERT INTO sensor (name, asset_id, unit) VALUES ('P-1.temp', 1, 'degC');
"""

Typed = Callable[..., Result]
VALUES: list[float | str] = [20.0, 21.0, "warm"]


async def fill(dsn: str) -> None:
    connection = await database.connect(dsn)
    await connection.execute(PLANT)
    await sync_gateways(connection)
    birth = Birth(name="w/a", kind=DeviceKind.NODE, source="gw", firmware="2.1", properties={"Rack": 3})
    await record_changes(connection, [birth], T0)
    await hold(
        connection,
        [
            HeldReading(source="gw", name=name, time_us=to_micros(T0) + n, value=value, quality=0)
            for name in ("P-1.temp", "P-1.tmp")
            for n, value in enumerate(VALUES)
        ],
    )
    await connection.close()


@pytest.fixture
def typed(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Runs a command line; its output, or the error it ends with."""
    asyncio.run(fill(dsn))
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", dsn)

    def run(*words: str) -> Result:
        found = CliRunner().invoke(group, list(words))
        if found.exception is not None and not isinstance(found.exception, SystemExit | PrecursorError):
            raise found.exception
        return found

    return run


def document(result: Result) -> object:
    assert result.exception is None, result.output
    return json.loads(result.output)


def test_devices_are_listed_for_people_and_programs(typed: Typed) -> None:
    lines = typed("devices", "list").output.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["device", "kind", "status"],
        ["gw", "gateway", "offline"],
        ["w/a", "node", "online"],
    ]
    found = document(typed("devices", "list", "--status", "online", "--json"))
    assert isinstance(found, list)
    assert [each["name"] for each in found] == ["w/a"]
    assert typed("devices", "list", "--status", "stale").output == "no device is stale\n"


def test_a_device_is_shown_with_what_its_birth_said(typed: Typed) -> None:
    shown = typed("devices", "show", "w/a").output
    for text in ("online since 2026-10-05 00:00:00 UTC", "2.1", "Rack"):
        assert text in shown
    missing = typed("devices", "show", "nobody").exception
    assert isinstance(missing, ConfigurationError)
    assert "devices list" in str(missing)


def test_a_device_is_registered_configured_decommissioned_and_approved(typed: Typed) -> None:
    made = typed("devices", "register", "w/b", "--kind", "node", "--title", "Edge B", "--stale-after", "60")
    assert ["stale", "after", "60", "s"] in [line.split() for line in made.output.splitlines()]
    typed("devices", "configure", "w/b", "--credentials", "broker user b", "--stale-after", "0")
    found = document(typed("devices", "show", "w/b", "--json"))
    assert isinstance(found, dict)
    assert (found["title"], found["credentials"], found["stale_after_s"]) == ("Edge B", "broker user b", None)
    assert "offline, decommissioned" in typed("devices", "decommission", "w/b").output
    assert "decommissioned" not in typed("devices", "approve", "w/b").output


def test_what_is_kept_aside_is_listed_and_shown(typed: Typed) -> None:
    listed = typed("quarantine", "list").output
    assert "as P-1.temp" in listed
    assert "1 of 2 names are sensors by now" in listed
    shown = typed("quarantine", "show", "P-1.tmp").output
    assert "3 readings of 'P-1.tmp' from gw, without a unit; no sensor of the plant" in shown
    assert [line.split()[-2] for line in shown.splitlines()[2:]] == ["warm", "21", "20"]
    assert isinstance(document(typed("quarantine", "show", "P-1.tmp", "--json")), list)


def test_what_is_released_and_what_stays_is_told(typed: Typed, dsn: str) -> None:
    released = typed("quarantine", "release", "--all")
    assert released.exit_code == 1
    assert "2 readings released: 2 stored, 0 duplicates, 0 rejected" in released.output
    assert "1 stay: wrong_type: P-1.temp takes numbers, not the text 'warm'." in released.output
    assert "did you mean 'P-1.temp'?" in str(typed("quarantine", "release", "P-1.tmp").exception)
    found = document_of_failure(typed("quarantine", "release", "P-1.tmp", "--as", "P-1.temp", "--json"))
    assert (found[0]["duplicate"], found[0]["staying_by_reason"]) == (2, {"wrong_type": 1})
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT value FROM reading ORDER BY time").fetchall() == [(20,), (21,)]


def document_of_failure(result: Result) -> list[dict[str, object]]:
    assert result.exit_code == 1
    found: list[dict[str, object]] = json.loads(result.output)
    return found


@pytest.mark.parametrize(
    "words", [[], ["P-1.temp", "--all"], ["--all", "--as", "P-1.temp"], ["--all", "--unit", "degC"]]
)
def test_a_release_without_sense_is_refused(typed: Typed, words: list[str]) -> None:
    assert typed("quarantine", "release", *words).exit_code == click.UsageError.exit_code


def test_nothing_is_thrown_away_unless_somebody_says_so(typed: Typed) -> None:
    assert "say --yes" in str(typed("quarantine", "drop", "P-1.tmp").exception)
    assert typed("quarantine", "drop", "P-1.tmp", "--yes").output == "3 readings of 'P-1.tmp' thrown away\n"
    assert typed("quarantine", "drop", "P-1.temp", "--yes").exit_code == 0
    assert typed("quarantine", "list").output == "nothing is kept aside\n"
