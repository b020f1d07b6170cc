"""`precursor bench ingest`: parts and scratch database around the stages, one report out of them."""

import asyncio
import contextlib
import multiprocessing
import secrets
import tempfile
from collections.abc import Collection
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from ingest.mqtt import MqttOptions
from precursor import parts
from precursor.bench.decode import DECODE_STEPS, measure_decode
from precursor.bench.end_to_end import EndToEnd
from precursor.bench.machine import broker_kind, describe, describe_broker
from precursor.bench.mqtt import measure_mqtt, mqtt_steps
from precursor.bench.report import Account, Report, Result
from precursor.bench.rounds import Watch
from precursor.bench.scratch import insert_plant, scratch_database
from precursor.bench.sizes import Sizes
from precursor.bench.storage import STORAGE_STEPS, measure_storage
from precursor.bench.store import STORE_STEPS, measure_store
from precursor.engine import EngineOptions
from precursor.engine_settings import engine_options
from precursor.settings import Settings
from telemetry import database

__all__ = ["STAGES", "bench_ingest", "ingest_steps"]

STAGES: Final = ("store", "decode", "mqtt")
"""in the order of a run"""


def ingest_steps(stages: Collection[str], sizes: Sizes) -> int:
    """How often `bench_ingest` calls `watch`."""
    steps = {"store": STORE_STEPS + STORAGE_STEPS, "decode": DECODE_STEPS, "mqtt": mqtt_steps(sizes)}
    return sum(steps[stage] for stage in stages)


def bench_ingest(settings: Settings, *, stages: Collection[str], sizes: Sizes, watch: Watch) -> Report:
    """Measure the stages on the parts that settings name, else on embedded ones in a folder of their own. Blocks.

    Real parts are left as they were found: the bench works in a database, with topics and with client ids of its
    own, and removes them at the end.

    Raises:
        LossError: readings were lost or doubled; there are no figures then.
        PrecursorError: a part does not answer, or does not let us do what is needed.
    """
    with (
        tempfile.TemporaryDirectory(prefix="precursor-bench-") as folder,
        contextlib.ExitStack() as stack,
    ):
        # Port 0: whatever listens on the usual one must not hear the bench.
        private = settings.model_copy(
            update={"data_dir": Path(folder)}
            | ({} if settings.mqtt.host else {"mqtt": settings.mqtt.model_copy(update={"port": 0})})
        )
        dsn = stack.enter_context(scratch_database(stack.enter_context(parts.database(private))))
        mqtt, broker, keeps_sessions = None, None, True
        if "mqtt" in stages:
            mqtt = stack.enter_context(parts.broker(private))
            broker = describe_broker(private)
            keeps_sessions = broker_kind(private) != "amqtt"
            if not keeps_sessions:
                sizes = sizes.for_slow_broker()
        machine = describe(private, dsn=dsn, sizes=sizes.name, broker=broker)
        results, accounts = asyncio.run(
            _measure(
                dsn,
                mqtt,
                keeps_sessions=keeps_sessions,
                options=engine_options(private),
                stages=stages,
                sizes=sizes,
                watch=watch,
            )
        )
    return Report(machine=machine, results=results, accounts=accounts)


async def _measure(
    dsn: str,
    mqtt: MqttOptions | None,
    *,
    keeps_sessions: bool,
    options: EngineOptions,
    stages: Collection[str],
    sizes: Sizes,
    watch: Watch,
) -> tuple[list[Result], list[Account]]:
    results: list[Result] = []
    accounts: list[Account] = []
    # Topics of a run's own: at a broker that others use too, nobody hears the bench by accident.
    prefix = f"precursor-bench/{secrets.token_hex(4)}"
    connection = await database.connect(dsn, name="precursor bench")
    try:
        sensor_ids = await insert_plant(connection, sensors=sizes.sensors, prefix=prefix)
        if "store" in stages:
            results += await measure_store(connection, sensor_ids=sensor_ids, sizes=sizes, watch=watch)
            results += await measure_storage(
                connection, sensor_ids=sensor_ids[:100], seconds=sizes.storage_seconds, watch=watch
            )
        if "decode" in stages:
            results += await measure_decode(sizes=sizes, watch=watch)
        if mqtt is not None:
            # Spawned, not forked: a fork would take connections and threads along.
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as apart:
                runs = EndToEnd(
                    dsn=dsn,
                    connection=connection,
                    mqtt=replace(mqtt, client_id=f"{mqtt.client_id}-bench"),
                    options=options,
                    prefix=prefix,
                    apart=apart,
                    keeps_sessions=keeps_sessions,
                )
                measured, accounts = await measure_mqtt(
                    runs, connection, sensor_ids=sensor_ids, prefix=prefix, sizes=sizes, watch=watch
                )
                results += measured
    finally:
        await connection.close()
    return results, accounts
