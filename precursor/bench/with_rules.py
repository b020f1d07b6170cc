"""What rules cost from broker to database: throughput with and without them, and how soon an alarm is committed."""

import statistics

import asyncpg
import msgspec
import numpy as np
import numpy.typing as npt

from precursor.bench.end_to_end import EndToEnd
from precursor.bench.report import Account, LossError, Result
from precursor.bench.rounds import Watch
from precursor.bench.sizes import Sizes
from precursor.bench.workload import Workload
from telemetry.sql import load_queries

__all__ = ["measure_with_rules", "with_rules_steps"]

_SQL = load_queries("precursor.bench", "detect.sql")
_TWO = ["bench-high", "bench-low"]
_SPIKE = "bench-spike"
_SPIKE_ABOVE = 29.95
"""one value in two hundred is"""


def with_rules_steps(sizes: Sizes) -> int:
    """How often `measure_with_rules` calls `watch`."""
    return sizes.mqtt_rounds * 3 + 1


async def measure_with_rules(
    runs: EndToEnd, connection: asyncpg.Connection, *, prefix: str, sizes: Sizes, watch: Watch
) -> tuple[list[Result], list[Account]]:
    """The rules.* figures of the whole engine, and what became of every message that was sent for them.

    Raises:
        LossError: not every message's readings were stored once, or not every alarm raised once.
        TransientError: broker or database went away.
    """
    await connection.execute(_SQL["insert_rules"], _SPIKE_ABOVE)
    share, accounts = await _measure_share(runs, connection, prefix=prefix, sizes=sizes, watch=watch)
    latency, more = await _measure_latency(runs, connection, prefix=prefix, sizes=sizes, watch=watch)
    return [share, *latency], [*accounts, *more]


async def _measure_share(
    runs: EndToEnd, connection: asyncpg.Connection, *, prefix: str, sizes: Sizes, watch: Watch
) -> tuple[Result, list[Account]]:
    name = "rules.ingest_share"
    workload = Workload(form="columnar", sensors=sizes.sensors, prefix=prefix)
    with_rules: list[float] = []
    without: list[float] = []
    accounts = []
    for number in range(sizes.mqtt_rounds):
        # Each round another one first, as in `take_turns`.
        for enforced in (True, False) if number % 2 == 0 else (False, True):
            watch(f"{name}: {'with' if enforced else 'without'} rules, round {number + 1} of {sizes.mqtt_rounds}")
            await _begin(connection, _TWO if enforced else [])
            drained = await runs.drain(name, workload, messages=sizes.hundred_messages)
            accounts.append(drained.account)
            (with_rules if enforced else without).append(drained.account.published / drained.wall_s)
    return Result(name=name, value=statistics.median(with_rules), limit=statistics.median(without)), accounts


async def _measure_latency(
    runs: EndToEnd, connection: asyncpg.Connection, *, prefix: str, sizes: Sizes, watch: Watch
) -> tuple[list[Result], list[Account]]:
    """At half of what the engine keeps up with while the publisher is on the same machine."""
    name = "rules.latency"
    workload = Workload(form="single", sensors=sizes.sensors, prefix=prefix)
    floods = []
    for number in range(sizes.mqtt_rounds):
        watch(f"{name}: full load, round {number + 1} of {sizes.mqtt_rounds}")
        await _begin(connection, [*_TWO, _SPIKE])
        floods.append(await runs.live(name, workload, messages=sizes.live_messages))
    rate = statistics.median(flood.rate for flood in floods) / 2
    messages = max(sizes.live_messages, int(sizes.latency_s * rate))
    watch(f"{name}: {messages / rate:.1f} s at {rate:,.0f} messages/s")
    await _begin(connection, [*_TWO, _SPIKE])
    paced = await runs.live(name, workload, messages=messages, rate=rate)
    spikes = _spikes(workload, messages)
    if spikes.size != paced.raised_s.size:
        raise LossError(f"{name}: {paced.raised_s.size} alarms were raised where {spikes.size} should have been")
    latency_ms = 1000 * (paced.raised_s - paced.sent_s[spikes])
    p50_ms, p99_ms = np.percentile(latency_ms, (50, 99)).tolist()
    results = [Result(name="rules.latency_p50", value=p50_ms), Result(name="rules.latency_p99", value=p99_ms)]
    return results, [*(flood.account for flood in floods), paced.account]


async def _begin(connection: asyncpg.Connection, rules: list[str]) -> None:
    """These rules are in force, and nothing has been evaluated yet."""
    async with connection.transaction():
        await connection.execute(_SQL["forget_evaluation"])
        await connection.execute(_SQL["enforce_rules"], rules)


def _spikes(workload: Workload, messages: int) -> npt.NDArray[np.intp]:
    """The messages that raise an alarm: beyond the limit, and the one before of the sensor was not."""
    read = msgspec.json.Decoder(dict[str, object]).decode
    above = np.array([float(str(read(workload.message(each)[1])["value"])) for each in range(messages)]) > _SPIKE_ABOVE
    before = np.concatenate((np.zeros(workload.sensors, np.bool_), above[: -workload.sensors]))[:messages]
    return np.flatnonzero(above & ~before)
