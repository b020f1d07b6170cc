"""The stage from broker to acknowledgement: one reading a message, a hundred a message, and how long one takes."""

import statistics
import time
from collections.abc import Sequence

import asyncpg

from precursor.bench.end_to_end import EndToEnd
from precursor.bench.report import Account, Result
from precursor.bench.rounds import Watch
from precursor.bench.sizes import Sizes
from precursor.bench.store import RawCopy
from precursor.bench.workload import Form, Workload, history
from telemetry.store import encode_copy

__all__ = ["measure_mqtt", "mqtt_steps"]

_HUNDREDS: tuple[tuple[str, Form], ...] = (
    ("mqtt.json_array_100", "array"),
    ("mqtt.json_columnar_100", "columnar"),
    ("mqtt.sparkplug_100", "sparkplug"),
)
_RAW_BATCHES = 5
_RAW_FIRST = 1_000
"""number of the first raw batch: hours after the event times of the messages, in the same week"""


def mqtt_steps(sizes: Sizes) -> int:
    """How often `measure_mqtt` calls `watch`."""
    return sizes.mqtt_rounds * (3 + len(_HUNDREDS)) + 1


async def measure_mqtt(
    runs: EndToEnd,
    connection: asyncpg.Connection,
    *,
    sensor_ids: list[int],
    prefix: str,
    sizes: Sizes,
    watch: Watch,
) -> tuple[list[Result], list[Account]]:
    """All mqtt.* figures, and what became of every message that was sent for them.

    Raises:
        LossError: not every message's readings were stored once.
        TransientError: broker or database went away.
    """
    single, accounts = await _measure_single(runs, prefix=prefix, sizes=sizes, watch=watch)
    results = [single]
    for name, form in _HUNDREDS:
        workload = Workload(form=form, sensors=sizes.sensors, prefix=prefix)
        rates: list[float] = []
        raw_s: list[float] = []
        for number in range(sizes.mqtt_rounds):
            watch(f"{name}: round {number + 1} of {sizes.mqtt_rounds}")
            # The broker keeps nothing for a Sparkplug host that is away: it hears messages as they are sent.
            run = runs.stream if form == "sparkplug" else runs.drain
            drained = await run(name, workload, messages=sizes.hundred_messages)
            accounts.append(drained.account)
            rates.append(drained.account.published / drained.wall_s)
            raw_s += await _raw_copies(connection, sensor_ids, sizes)
        results.append(
            Result(name=name, value=statistics.median(rates), limit=sizes.batch_rows / statistics.median(raw_s))
        )
    live, more = await _measure_live(runs, prefix=prefix, sizes=sizes, watch=watch)
    return [*results, *live], [*accounts, *more]


async def _measure_single(runs: EndToEnd, *, prefix: str, sizes: Sizes, watch: Watch) -> tuple[Result, list[Account]]:
    name, messages = "mqtt.single_qos1", sizes.single_messages
    workload = Workload(form="single", sensors=sizes.sensors, prefix=prefix)
    engine_s, stock_s, accounts = [], [], []
    for number in range(sizes.mqtt_rounds):
        # Each round another one first, as in `take_turns`.
        for contender in ("engine", "stock loop") if number % 2 == 0 else ("stock loop", "engine"):
            watch(f"{name}: {contender}, round {number + 1} of {sizes.mqtt_rounds}")
            if contender == "engine":
                drained = await runs.drain(name, workload, messages=messages)
                accounts.append(drained.account)
                engine_s.append(drained.wall_s)
            else:
                stock_s.append(await runs.stock(workload, messages=messages))
    result = Result(
        name=name, value=messages / statistics.median(engine_s), limit=messages / statistics.median(stock_s)
    )
    return result, accounts


async def _measure_live(
    runs: EndToEnd, *, prefix: str, sizes: Sizes, watch: Watch
) -> tuple[list[Result], list[Account]]:
    """Throughput with the publisher on the same machine, then the latency at half of it.

    Half of what a queue gives would be no half load: there the publisher and half of the broker's work are missing.
    """
    workload = Workload(form="single", sensors=sizes.sensors, prefix=prefix)
    floods = []
    for number in range(sizes.mqtt_rounds):
        watch(f"mqtt.live_qos1: round {number + 1} of {sizes.mqtt_rounds}")
        floods.append(await runs.live("mqtt.live_qos1", workload, messages=sizes.live_messages))
    rate = statistics.median(flood.rate for flood in floods)
    watch(f"mqtt.latency: {sizes.latency_s:g} s at {rate / 2:,.0f} messages/s")
    messages = max(10, int(sizes.latency_s * rate / 2))
    paced = await runs.live("mqtt.latency", workload, messages=messages, rate=rate / 2)
    results = [
        Result(name="mqtt.live_qos1", value=rate),
        Result(name="mqtt.latency_p50", value=paced.p50_ms),
        Result(name="mqtt.latency_p99", value=paced.p99_ms),
    ]
    return results, [*(flood.account for flood in floods), paced.account]


async def _raw_copies(connection: asyncpg.Connection, sensor_ids: list[int], sizes: Sizes) -> Sequence[float]:
    """Seconds of a few raw COPYs behind what the engine has just stored; one more comes before them, to warm up."""
    raw, took_s = RawCopy(connection), []
    bodies = [
        encode_copy(history(_RAW_FIRST + number, rows=sizes.batch_rows, sensor_ids=sensor_ids).sorted())
        for number in range(_RAW_BATCHES + 1)
    ]
    for body in bodies:
        begun_s = time.perf_counter()
        await raw.write(body)
        took_s.append(time.perf_counter() - begun_s)
    return took_s[1:]
