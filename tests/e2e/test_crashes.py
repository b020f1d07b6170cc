"""Killed engine, stopped database: nothing lost, nothing doubled, the same alarms and work orders."""

import asyncio
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from precursor.apply import apply
from precursor.embedded import embedded_database
from simulators.gateway import Message
from simulators.publisher import Published, publish
from simulators.replay import Recording
from simulators.topic_map import load_topic_map
from telemetry import schema

NewEngine = Callable[..., Any]

ALARMS = """
SELECT key, began_at, ended_at, value, peak_value, peak_at, limit_value FROM alarm ORDER BY key"""
EVENTS = """
SELECT a.key, e.kind, e.at, e.value FROM alarm_event e JOIN alarm a ON a.id = e.alarm_id ORDER BY 1, 2, 3"""
ORDERS = """
SELECT a.name, w.failure_mode, w.status, w.priority, w.title, w.opened_at, w.due_at, w.first_seen_at, w.last_seen_at,
       w.occurrences, w.evidence
FROM work_order w JOIN asset a ON a.id = w.asset_id ORDER BY 1, 2, w.opened_at"""
READINGS = """
SELECT s.name, count(*), sum(r.value::numeric), min(r.time), max(r.time)
FROM reading r JOIN sensor s ON s.id = r.sensor_id GROUP BY s.name ORDER BY s.name"""
TOTALS = """
SELECT sum(received), sum(stored), sum(duplicate), sum(rejected), bool_and(balanced) FROM ledger
WHERE source <> 'derived'"""


async def fetch(dsn: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


def look(dsn: str, query: str) -> list[tuple[Any, ...]]:
    return asyncio.run(fetch(dsn, query))


def recording(data: Path, examples: Path) -> Recording:
    return Recording(path=data / "skab/valve1/0.csv", topic_map=load_topic_map(examples / "replay-skab.yaml"))


class Publishing(threading.Thread):
    """Publishes in the background; `outcome` is there after `join`."""

    def __init__(self, messages: Iterator[Message], port: int, rate: float) -> None:
        super().__init__(name="publishing")
        self._messages, self._port, self._rate = messages, port, rate
        self.outcome: Published | None = None

    def run(self) -> None:
        self.outcome = publish(self._messages, port=self._port, rate=self._rate)


def wait_for(dsn: str, published: int, *, timeout_s: float = 60) -> None:
    """Until as many readings are stored as were published."""
    deadline = time.monotonic() + timeout_s
    while (stored := int(look(dsn, TOTALS)[0][1] or 0)) < published:
        assert time.monotonic() < deadline, f"{stored} of {published} stored"
        time.sleep(0.2)


def survives_kills(
    kills: int,
    mosquitto: Any,
    new_database: Callable[[], str],
    new_engine: NewEngine,
    data: Path,
    examples: Path,
) -> None:
    replay = recording(data, examples)
    killed_dsn, whole_dsn = new_database(), new_database()
    for dsn in (killed_dsn, whole_dsn):
        apply(dsn, examples / "replay-plant.yaml")
    # Both engines hear the same messages: one is killed over and over, the other one never.
    whole = new_engine(whole_dsn, mosquitto.port, "whole")
    killed = new_engine(killed_dsn, mosquitto.port, "killed")
    whole.wait_until_listening()
    killed.wait_until_listening()

    expected = replay.summary().readings
    publishing = Publishing(replay.messages(), mosquitto.port, rate=expected / (1.6 * kills))
    publishing.start()
    moments = random.Random(20)
    for _ in range(kills):
        time.sleep(moments.uniform(0.3, 2.5))
        killed.kill()
        killed.start()
    publishing.join()
    assert publishing.outcome is not None
    assert publishing.outcome.readings == expected
    for engine, dsn in ((killed, killed_dsn), (whole, whole_dsn)):
        wait_for(dsn, expected)
        engine.stop()

    assert look(whole_dsn, TOTALS) == [(expected, expected, 0, 0, True)]
    [(received, stored, duplicate, rejected, balanced)] = look(killed_dsn, TOTALS)
    assert (stored, rejected, balanced) == (expected, 0, True)
    assert received == stored + duplicate
    assert look(whole_dsn, ALARMS), "the replay is meant to raise alarms"
    assert look(whole_dsn, ORDERS), "the replay is meant to open work orders"
    for query in (READINGS, ALARMS, EVENTS, ORDERS):
        assert look(killed_dsn, query) == look(whole_dsn, query)


@pytest.mark.parametrize(
    "kills", [pytest.param(6, id="6"), pytest.param(200, id="200", marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_kills_during_a_replay_lose_nothing_double_nothing_and_change_no_alarm(
    kills: int,
    mosquitto: Any,
    new_database: Callable[[], str],
    new_engine: NewEngine,
    recorded_data: Path,
    examples: Path,
) -> None:
    survives_kills(kills, mosquitto, new_database, new_engine, recorded_data, examples)


@pytest.mark.parametrize("away_s", [8, pytest.param(30, marks=pytest.mark.slow)])
def test_a_database_that_is_away_is_waited_for_and_said_once_and_nothing_is_lost(
    away_s: int,
    mosquitto: Any,
    new_engine: NewEngine,
    lay_server: Callable[[Path], None],
    recorded_data: Path,
    examples: Path,
    request: pytest.FixtureRequest,
) -> None:
    replay = recording(recorded_data, examples)
    expected = replay.summary().readings
    publishing = Publishing(replay.messages(), mosquitto.port, rate=expected / (away_s + 5))
    # Not below pytest's own folder: that is closed to the user PostgreSQL runs as where we are root.
    data = tempfile.TemporaryDirectory(prefix="precursor-outage-")
    request.addfinalizer(data.cleanup)
    folder = Path(data.name)
    lay_server(folder)
    with embedded_database(folder) as dsn:
        schema.migrate(dsn)
        apply(dsn, examples / "replay-plant.yaml")
        engine = new_engine(dsn, mosquitto.port, "waits")
        engine.wait_until_listening()
        publishing.start()
        time.sleep(3)
    # The last user left: the server is stopped. The engine is told by address and does not count.
    time.sleep(away_s)
    assert engine.process is not None
    assert engine.process.poll() is None, "the engine gave up"
    assert len(engine.events("database_unavailable")) == 1
    assert publishing.is_alive(), "messages come meanwhile"
    with embedded_database(folder) as dsn:
        publishing.join()
        wait_for(dsn, expected)
        engine.stop()
        [(received, stored, duplicate, rejected, balanced)] = look(dsn, TOTALS)
    assert (stored, rejected, balanced) == (expected, 0, True)
    assert received == stored + duplicate
    assert len(engine.events("database_unavailable")) == 1
    assert len(engine.events("database_connected")) == 2
