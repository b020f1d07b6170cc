"""The command line as a plant engineer meets it: processes, their words and their exit status."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from precursor.cli import group
from precursor.cli.environment import unknown_names

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    *("demo", "up", "ingest", "scheduler", "api", "migrate", "doctor", "apply", "ledger", "work-orders", "kpi"),
    *("simulate", "replay", "dashboards"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PRECURSOR_")}
    return {**inherited, "PYTHONPATH": str(ROOT), **settings}


def precursor(folder: Path, *arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "precursor", *arguments],
        cwd=folder,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@dataclass
class Running:
    """A command that goes on until it is told to stop."""

    process: subprocess.Popen[str]
    log: Path

    def wait_for(self, event: str) -> dict[str, object]:
        deadline = time.monotonic() + 60
        while True:
            for line in self.log.read_text().splitlines():
                if line.startswith("{") and json.loads(line)["event"] == event:
                    found: dict[str, object] = json.loads(line)
                    return found
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def end(self, how: signal.Signals) -> int:
        """Signal the whole process group, as Ctrl-C in a terminal does; the exit status."""
        os.killpg(self.process.pid, how)
        status = self.process.wait(timeout=60)
        assert "Traceback" not in self.log.read_text(), self.log.read_text()
        return status


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts commands in the test's folder; those that still run at the end are killed."""
    made: list[Running] = []

    def go(*arguments: str, **settings: str) -> Running:
        log = tmp_path / f"{len(made)}-{arguments[0]}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "precursor", *arguments],
                cwd=tmp_path,
                env=environment(**settings),
                stdout=output,
                stderr=output,
                text=True,
                start_new_session=True,
            )
        made.append(Running(process, log))
        return made[-1]

    yield go
    for running in made:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def embedded_parts_run(folder: Path) -> bool:
    data = folder / "precursor-data"
    return (data / "postgres" / "postmaster.pid").exists() or (data / "broker" / "running.json").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_says_what_it_does(command: str) -> None:
    outcome = CliRunner().invoke(group, [command, "--help"])
    assert outcome.exit_code == 0
    overview = CliRunner().invoke(group, ["--help"]).output
    assert re.search(rf"^  {command}\s+\w", overview, re.MULTILINE)
    assert max(map(len, outcome.output.splitlines())) <= 110


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        pytest.param(["leger"], "did you mean 'ledger'", id="a typing error"),
        pytest.param(["frobnicate"], "no command 'frobnicate'", id="nothing close"),
        pytest.param(["apply", "nowhere.yaml"], "does not exist", id="no plant file"),
        pytest.param(["replay", __file__], "--topic-map", id="no topic map"),
        pytest.param(["simulate", "--speed", "-1"], "--speed", id="time running backwards"),
        pytest.param(["kpi", "--from", "2026-11-21", "--to", "2026-11-20"], "is not before", id="an empty window"),
    ],
)
def test_what_is_typed_wrongly_is_told_with_status_2(typed: list[str], said: str) -> None:
    outcome = CliRunner().invoke(group, typed)
    assert outcome.exit_code == 2
    assert said in outcome.output


def test_names_that_no_setting_has_are_found_with_the_closest_that_one_has() -> None:
    assert unknown_names(["PRECURSOR_MQT__HOST", "PRECURSOR_MQTT__HOST", "precursor_mqtt__port", "PATH"]) == [
        ("PRECURSOR_MQT__HOST", "PRECURSOR_MQTT__HOST")
    ]
    assert unknown_names(["PRECURSOR_COFFEE"]) == [("PRECURSOR_COFFEE", None)]


def test_commands_that_look_make_no_database_where_there_is_none(tmp_path: Path) -> None:
    outcome = precursor(tmp_path, "ledger", PRECURSOR_MQT__HOST="x")
    assert outcome.returncode == 2
    assert "did you mean PRECURSOR_MQTT__HOST?" in outcome.stderr
    assert "`precursor up`" in outcome.stderr
    assert not (tmp_path / "precursor-data").exists()


def test_up_waits_for_a_plant_serves_meanwhile_refuses_a_second_one_and_stops_in_order(
    tmp_path: Path, start: Callable[..., Running], examples: Path, lay_server: Callable[[Path], None]
) -> None:
    lay_server(tmp_path / "precursor-data")
    port = str(free_port())
    up = start("up", PRECURSOR_API__PORT=port)
    assert "precursor apply" in str(up.wait_for("no_plant_applied")["advice"])
    url = str(up.wait_for("api_listening")["url"])
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.status == 200

    second = precursor(tmp_path, "up", PRECURSOR_API__PORT=port, PRECURSOR_LOG__LEVEL="warning")
    assert second.returncode == 1
    [line] = second.stderr.splitlines()
    assert f"cannot listen on 127.0.0.1:{port}" in line

    up.wait_for("engine_listening")
    assert precursor(tmp_path, "apply", examples / "plant.yaml").returncode == 0
    up.wait_for("plant_taken_over")
    sent = precursor(tmp_path, "simulate", "--duration", "600", "--speed", "0", "--fault-asset", "none", "--json")
    readings = json.loads(sent.stdout)["readings_published"]

    deadline = time.monotonic() + 30
    while True:
        ledger = precursor(tmp_path, "ledger", "--json")
        assert ledger.returncode == 0
        rows = [row for row in json.loads(ledger.stdout) if row["source"] != "derived"]
        if sum(row["stored"] for row in rows) == readings:
            break
        assert time.monotonic() < deadline, rows
    assert up.end(signal.SIGINT) == 0
    assert '"stopped"' in up.log.read_text()
    assert not embedded_parts_run(tmp_path)


def test_parts_orphaned_by_a_kill_are_taken_over_and_stopped(
    tmp_path: Path, start: Callable[..., Running], lay_server: Callable[[Path], None]
) -> None:
    lay_server(tmp_path / "precursor-data")
    killed = start("up", PRECURSOR_API__PORT="0")
    killed.wait_for("engine_listening")
    killed.process.kill()
    killed.process.wait()
    assert embedded_parts_run(tmp_path)
    broker = (tmp_path / "precursor-data" / "broker" / "running.json").read_text()
    again = start("up", PRECURSOR_API__PORT="0")
    again.wait_for("engine_listening")
    assert (tmp_path / "precursor-data" / "broker" / "running.json").read_text() == broker
    assert again.end(signal.SIGTERM) == 0
    assert not embedded_parts_run(tmp_path)


def test_the_parts_as_three_processes_share_one_data_folder(tmp_path: Path, start: Callable[..., Running]) -> None:
    assert precursor(tmp_path, "migrate").returncode == 0
    ingest, scheduler = start("ingest"), start("scheduler")
    api = start("api", PRECURSOR_API__PORT="0")
    ingest.wait_for("engine_listening")
    with urllib.request.urlopen(str(api.wait_for("api_listening")["url"]), timeout=10) as answer:
        assert answer.status == 200
    assert ingest.end(signal.SIGTERM) == 0
    assert scheduler.end(signal.SIGTERM) == 0
    assert embedded_parts_run(tmp_path)
    assert api.end(signal.SIGTERM) == 0
    assert not embedded_parts_run(tmp_path)


def test_a_database_nobody_has_migrated_is_refused_with_what_to_do(
    tmp_path: Path, unmigrated_dsn: str, start: Callable[..., Running]
) -> None:
    settings = {
        "PRECURSOR_DATABASE__DSN": unmigrated_dsn,
        "PRECURSOR_MQTT__HOST": "127.0.0.1",
        "PRECURSOR_API__PORT": "0",
    }
    all_of_them = [start(command, **settings) for command in ("ingest", "api", "ledger")]
    for running in all_of_them:
        assert running.process.wait(60) == 2
        assert "run `precursor migrate`" in running.log.read_text()
        assert "Traceback" not in running.log.read_text()


def test_a_database_of_a_newer_program_is_left_alone(tmp_path: Path, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for command in ("migrate", "ledger"):
        outcome = precursor(tmp_path, command, PRECURSOR_DATABASE__DSN=dsn)
        assert outcome.returncode == 2
        assert "newer" in outcome.stderr


def test_a_database_that_is_away_fails_commands_at_once_and_is_waited_for_by_the_engine(
    tmp_path: Path, start: Callable[..., Running]
) -> None:
    settings = {
        "PRECURSOR_DATABASE__DSN": f"postgresql://nobody@127.0.0.1:{free_port()}/nothing",
        "PRECURSOR_MQTT__HOST": "127.0.0.1",
        "PRECURSOR_API__PORT": "0",
    }
    up = start("up", **settings)
    outcome = precursor(tmp_path, "ledger", **settings)
    assert outcome.returncode == 1
    assert len(outcome.stderr.splitlines()) == 1
    up.wait_for("database_unavailable")
    assert up.end(signal.SIGTERM) == 0
    assert up.log.read_text().count("database_unavailable") == 1


def test_a_database_that_will_never_let_us_in_is_not_waited_for(tmp_path: Path, dsn: str) -> None:
    elsewhere = re.sub(r"/test_\w+", "/no_such_database", dsn)
    outcome = precursor(tmp_path, "ingest", PRECURSOR_DATABASE__DSN=elsewhere, PRECURSOR_MQTT__HOST="127.0.0.1")
    assert outcome.returncode == 2
    assert "refuses us" in outcome.stderr


def test_a_ledger_that_does_not_add_up_is_status_1(tmp_path: Path, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO ledger_entry (source, outcome, reason, readings) VALUES ('x', 'received', '', 3)"
        )
    outcome = precursor(tmp_path, "ledger", PRECURSOR_DATABASE__DSN=dsn)
    assert outcome.returncode == 1
    assert "NO" in outcome.stdout


def test_doctor_says_of_a_broker_that_is_not_there_what_to_check(tmp_path: Path) -> None:
    port = free_port()
    outcome = precursor(tmp_path, "doctor", PRECURSOR_MQTT__HOST="127.0.0.1", PRECURSOR_MQTT__PORT=str(port))
    assert outcome.returncode == 1
    assert re.search(rf"^FAIL  broker: 127.0.0.1:{port}: .*PRECURSOR_MQTT__HOST", outcome.stdout, re.MULTILINE)


def test_doctor_finds_a_working_broker_working(tmp_path: Path, mosquitto: Any) -> None:
    settings = {"PRECURSOR_MQTT__HOST": "127.0.0.1", "PRECURSOR_MQTT__PORT": str(mosquitto.port)}
    outcome = precursor(tmp_path, "doctor", **settings)
    assert outcome.returncode == 0, outcome.stdout
