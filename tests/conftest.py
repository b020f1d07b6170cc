"""Real parts for tests: PostgreSQL (embedded, or the one `PRECURSOR_TEST_DSN` names) and Mosquitto."""

import os
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psycopg
import pytest
from psycopg import sql

from precursor.embedded import find_mosquitto
from telemetry import schema

DATA = Path(os.environ.get("PRECURSOR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def pytest_report_header() -> list[str]:
    """What the run is made on."""
    return [
        f"database: {'PRECURSOR_TEST_DSN' if os.environ.get('PRECURSOR_TEST_DSN') else 'embedded PostgreSQL'}",
        f"mosquitto: {find_mosquitto() or 'none: tests that need a real broker are skipped'}",
        f"recorded plant data: {'there' if DATA.is_dir() else 'none: tests that need it are skipped'}",
    ]


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """The folder of recorded plant data."""
    if not DATA.is_dir():
        pytest.skip(f"no recorded plant data at {DATA}; set PRECURSOR_DATA")
    return DATA


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of examples."""
    return EXAMPLES


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """A PostgreSQL server on which tests may make databases."""
    given = os.environ.get("PRECURSOR_TEST_DSN")
    if given:
        yield given
        return
    from precursor.embedded import embedded_database

    with (
        tempfile.TemporaryDirectory(prefix="precursor-test-") as folder,
        embedded_database(Path(folder)) as dsn,
    ):
        yield dsn


@pytest.fixture
def new_database(server_dsn: str) -> Iterator[Callable[[], str]]:
    """Makes empty, migrated databases; they are dropped at the end."""
    made: list[str] = []

    def make() -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(server_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        made.append(name)
        parts = psycopg.conninfo.conninfo_to_dict(server_dsn)
        host = str(parts.get("host", "localhost"))
        user, password = parts.get("user", "postgres"), parts.get("password")
        login = f"{user}:{password}" if password else f"{user}"
        if host.startswith("/"):
            dsn = f"postgresql://{login}@/{name}?host={host}"
        else:
            dsn = f"postgresql://{login}@{host}:{parts.get('port', 5432)}/{name}"
        schema.migrate(dsn)
        return dsn

    yield make
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        for name in made:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def dsn(new_database: Callable[[], str]) -> str:
    """An empty, migrated database."""
    return new_database()


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to it."""
    made = await asyncpg.connect(dsn)
    yield made
    await made.close()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Mosquitto:
    """A broker of the test's own, on a port and with a store that outlive its restarts."""

    folder: Path
    port: int
    extra: str = ""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        program = find_mosquitto()
        assert program is not None
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {self.folder}/\nautosave_interval 1\nmax_queued_messages 0\n"
            f"log_dest file {self.folder}/mosquitto.log\n"
            f"{'user root' if os.geteuid() == 0 else ''}\n{self.extra or 'max_inflight_messages 0'}\n"
        )
        self.process = subprocess.Popen([program, "-c", str(config)])
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline, "mosquitto does not start"
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, politely or not."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=20)
            self.process = None


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A real broker."""
    if find_mosquitto() is None:
        pytest.skip("no mosquitto on this machine: this test needs a real broker with a persistent session")
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    broker = Mosquitto(folder=folder, port=free_port())
    broker.start()
    yield broker
    broker.stop()
