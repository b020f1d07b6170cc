"""An engine that gets twice what it can store keeps its memory: the broker has to wait, and nothing is lost."""

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import asyncpg
import psutil
import psycopg
import pytest

from ingest.mqtt import MqttOptions
from precursor.bench.publisher import Published, publish
from precursor.bench.scratch import insert_plant
from precursor.bench.workload import Workload

LIMIT_MIB = 300
SENSORS = 1_000
CALIBRATION = 1_500
"""messages of 100 readings, whose storing shows what the engine sustains"""
TOTALS = """
SELECT coalesce(sum(received), 0)::bigint, coalesce(sum(stored), 0)::bigint, coalesce(sum(duplicate), 0)::bigint,
       coalesce(sum(rejected), 0)::bigint, coalesce(bool_and(balanced), true)
FROM ledger WHERE source <> 'derived'"""


async def prepare(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await insert_plant(connection, sensors=SENSORS, prefix="bench")
    finally:
        await connection.close()


class Memory:
    """Resident memory of a process over time, MiB."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.samples: list[float] = []

    def look(self) -> None:
        self.samples.append(self._process.memory_info().rss / (1 << 20))


@pytest.mark.parametrize(
    "overload_s",
    [
        pytest.param(8, id="seconds", marks=pytest.mark.timeout(240)),
        pytest.param(300, id="minutes", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_memory_stays_flat_at_twice_the_sustainable_rate_and_the_backlog_drains(
    overload_s: int, dsn: str, mosquitto: Any, new_engine: Callable[..., Any]
) -> None:
    mosquitto.stop()
    # A backlog of gigabytes is not what is measured here: the broker shall not write it to disk every second.
    mosquitto.extra = "max_inflight_messages 0\nautosave_interval 3600"
    mosquitto.start()
    asyncio.run(prepare(dsn))
    workload = Workload(form="columnar", sensors=SENSORS, prefix="bench")
    engine = new_engine(dsn, mosquitto.port, "loaded")
    engine.wait_until_listening()
    memory = Memory(engine.process.pid)
    options = MqttOptions(port=mosquitto.port, client_id="load")

    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as apart,
        psycopg.connect(dsn, autocommit=True) as connection,
    ):

        def totals() -> tuple[int, int, int, int, bool]:
            row = connection.execute(TOTALS).fetchone()
            assert row is not None
            return row

        def drain(messages: int) -> None:
            stored, quiet_since = -1, time.monotonic()
            while stored < messages * workload.readings:
                now = totals()[1]
                if now != stored:
                    stored, quiet_since = now, time.monotonic()
                assert time.monotonic() - quiet_since < 60, f"{stored} readings stored, and no more come"
                memory.look()
                time.sleep(0.2)

        apart.submit(publish, options, workload, first=0, count=CALIBRATION).result()
        begun = time.monotonic()
        drain(CALIBRATION)
        apart.submit(publish, options, workload, first=CALIBRATION, count=CALIBRATION).result()
        begun = time.monotonic()
        drain(2 * CALIBRATION)
        sustainable = CALIBRATION / (time.monotonic() - begun)

        first = 2 * CALIBRATION
        count = max(1, round(2 * sustainable * overload_s))
        sending: Future[Published] = apart.submit(
            publish, options, workload, first=first, count=count, rate=2 * sustainable
        )
        begun = time.monotonic()
        before = len(memory.samples)
        while not sending.done():
            memory.look()
            time.sleep(0.2)
        sending.result()
        sent_s = time.monotonic() - begun
        under_load = memory.samples[before:]
        behind = first + count - totals()[1] / workload.readings
        drain(first + count)
        engine.stop()
        received, stored, duplicate, rejected, balanced = totals()

    third = max(1, len(under_load) // 3)
    early, late = statistics.median(under_load[third : 2 * third]), statistics.median(under_load[-third:])
    print(  # noqa: T201  # the figures of the run
        f"sustained {sustainable * 100:.0f} readings/s, sent {count * 100 / sent_s:.0f} readings/s for {sent_s:.0f} s,"
        f" {behind * 100:.0f} readings behind at the end; memory {max(memory.samples):.0f} MiB at most,"
        f" {early:.0f} then {late:.0f} MiB"
    )
    assert behind > 0, "the engine was never behind: this run shows nothing"
    assert max(memory.samples) < LIMIT_MIB
    assert late < 1.15 * early, f"memory grows: {early:.0f} to {late:.0f} MiB"
    expected = (first + count) * workload.readings
    assert (stored, duplicate, rejected, balanced) == (expected, 0, 0, True)
    assert received == stored
