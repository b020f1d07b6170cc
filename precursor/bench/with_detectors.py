"""What the default detectors cost from broker to database: throughput with all of them on, and with none."""

import json
import statistics
from dataclasses import replace

import asyncpg

from precursor.bench.end_to_end import EndToEnd
from precursor.bench.report import Account, LossError, Result
from precursor.bench.rounds import Watch
from precursor.bench.sizes import Sizes
from precursor.bench.workload import Workload
from telemetry.sql import load_queries

__all__ = ["measure_with_detectors", "with_detectors_steps"]

_SQL = load_queries("precursor.bench", "detect.sql")
_SENSORS_OF_ASSET = 8
_WARMUP = {"warmup": 50}
"""readings: most of a run is scored, not learned from only"""
_LATER_S = 86_400
"""event time of what is measured, after what is learned from, s"""
_ROUNDS_OF_WARMUP = 4
"""so long a run is at least, in warm-ups"""


def with_detectors_steps(sizes: Sizes) -> int:
    """How often `measure_with_detectors` calls `watch`."""
    return sizes.mqtt_rounds * 2


async def measure_with_detectors(
    runs: EndToEnd, connection: asyncpg.Connection, *, prefix: str, sizes: Sizes, watch: Watch
) -> tuple[Result, list[Account]]:
    """`detect.ingest_share`, and what became of every message that was sent for it.

    Raises:
        LossError: not every message's readings were stored once, or nothing was scored.
        TransientError: broker or database went away.
    """
    name = "detect.ingest_share"
    workload = Workload(form="columnar", sensors=sizes.sensors, prefix=prefix)
    messages = max(sizes.hundred_messages, _ROUNDS_OF_WARMUP * _WARMUP["warmup"] * sizes.sensors // workload.readings)
    assets = json.dumps(_WARMUP)
    sensors = json.dumps({**_WARMUP, "warmup_h": 0})
    await connection.execute(_SQL["insert_detectors"], _SENSORS_OF_ASSET, sensors, assets)
    detected: list[float] = []
    without: list[float] = []
    accounts = []
    for number in range(sizes.mqtt_rounds):
        # Each round another one first, as in `take_turns`.
        for on in (True, False) if number % 2 == 0 else (False, True):
            watch(f"{name}: {'with' if on else 'without'} detectors, round {number + 1} of {sizes.mqtt_rounds}")
            async with connection.transaction():
                await connection.execute(_SQL["forget_evaluation"])
                await connection.execute(_SQL["enforce_rules"], [])
                await connection.execute(_SQL["enforce_detectors"], on, sensors)
            if on:
                # Learned from, not measured: this is once in a sensor's life.
                await runs.drain(name, workload, messages=messages)
            drained = await runs.drain(name, replace(workload, epoch_s=_LATER_S), messages=messages)
            scores = await connection.fetchval(_SQL["count_scores"])
            if (scores > 0) != on:
                raise LossError(f"{name}: {scores} scores are stored, detectors are {'on' if on else 'off'}")
            accounts.append(drained.account)
            (detected if on else without).append(drained.account.published / drained.wall_s)
    return Result(name=name, value=statistics.median(detected), limit=statistics.median(without)), accounts
