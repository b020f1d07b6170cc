"""The embedded database and broker: shared between programs, taken over from killed ones, kept between runs."""

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import psutil
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from precursor.embedded import embedded_broker, embedded_database, find_mosquitto, running_broker
from telemetry.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
USER = """
import sys
from pathlib import Path
from precursor.embedded import embedded_broker, embedded_database
with embedded_database(Path(sys.argv[1])), embedded_broker(Path(sys.argv[1]), port=0):
    print("using", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def another_program(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that uses both parts until its standard input is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "using\n"
        yield process


def postmaster(folder: Path) -> int:
    return int((folder / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_parts_run_until_the_last_of_their_users_has_left(tmp_path: Path, lay_server: Callable[[Path], None]) -> None:
    lay_server(tmp_path)
    with another_program(tmp_path) as starter:
        started = running_broker(tmp_path)
        assert started is not None
        server = postmaster(tmp_path)
        with embedded_database(tmp_path) as dsn, embedded_broker(tmp_path) as broker:
            assert broker == started
            assert postmaster(tmp_path) == server
            starter.communicate()
            assert starter.returncode == 0
            assert running_broker(tmp_path) == broker
            with psycopg.connect(dsn) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
    assert running_broker(tmp_path) is None
    assert not alive(server)
    assert not alive(broker.pid)


def test_parts_of_a_killed_program_are_taken_over_and_stopped_by_the_last_one_out(
    tmp_path: Path, lay_server: Callable[[Path], None]
) -> None:
    lay_server(tmp_path)
    with another_program(tmp_path) as killed:
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    server, orphan = postmaster(tmp_path), running_broker(tmp_path)
    assert orphan is not None
    with embedded_database(tmp_path), embedded_broker(tmp_path) as broker:
        assert broker == orphan
        assert postmaster(tmp_path) == server
    assert not alive(server)
    assert not alive(orphan.pid)


def test_the_database_is_kept_between_runs(tmp_path: Path) -> None:
    with embedded_database(tmp_path) as dsn, psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with embedded_database(tmp_path) as dsn, psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_note_left_by_a_machine_that_was_switched_off_does_not_end_a_stranger(
    tmp_path: Path, lay_server: Callable[[Path], None]
) -> None:
    lay_server(tmp_path)
    with embedded_database(tmp_path):
        note = (tmp_path / "postgres" / "postmaster.pid").read_text()
    stranger = os.getpid()
    (tmp_path / "postgres" / "postmaster.pid").write_text(f"{stranger}\n" + note.split("\n", 1)[1])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        (tmp_path / "broker").mkdir()
        told = {"kind": "mosquitto", "host": "127.0.0.1", "port": port, "pid": stranger}
        (tmp_path / "broker" / "running.json").write_text(json.dumps(told))
        assert running_broker(tmp_path) is None
        with embedded_database(tmp_path) as dsn, embedded_broker(tmp_path, port=port) as broker:
            assert broker.pid != stranger
            assert broker.port != port, "a port that is taken is left alone"
            with psycopg.connect(dsn) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            "mosquitto", marks=pytest.mark.skipif(find_mosquitto() is None, reason="no mosquitto on this machine")
        ),
        "amqtt",
    ],
)
def test_the_broker_carries_a_message(tmp_path: Path, kind: str) -> None:
    arrived: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
    subscribed: queue.Queue[int] = queue.Queue()
    with embedded_broker(tmp_path, port=0, prefer=kind) as broker:
        assert broker.kind == kind
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.on_message = lambda _client, _data, message: arrived.put(message)
        client.on_subscribe = lambda _client, _data, mid, _codes, _properties: subscribed.put(mid)
        client.connect(broker.host, broker.port)
        client.loop_start()
        client.subscribe("plant/#", qos=1)
        subscribed.get(timeout=10)
        client.publish("plant/P-101", b"4.2", qos=1).wait_for_publish(10)
        message = arrived.get(timeout=10)
        assert (message.topic, message.payload, message.qos) == ("plant/P-101", b"4.2", 1)
        client.disconnect()
        client.loop_stop()
    assert not alive(broker.pid)


def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="is a file"), embedded_database(tmp_path / "file"):
        pass


def test_data_of_another_postgresql_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ConfigurationError, match=r"PostgreSQL 9.*PRECURSOR_DATA_DIR"), embedded_database(tmp_path):
        pass


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "holiday.jpg").touch()
    with pytest.raises(ConfigurationError, match="no database"), embedded_database(tmp_path):
        pass
