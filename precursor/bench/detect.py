"""`precursor bench detect`: what it costs to watch every reading, by rules and by detectors."""

import asyncio
import multiprocessing
import secrets
from collections.abc import Collection
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from precursor.bench.backtest import BACKTEST_FULL, BACKTEST_QUICK, BACKTEST_STEPS, BacktestSizes, bench_backtest
from precursor.bench.end_to_end import EndToEnd
from precursor.bench.evaluations import EVALUATION_STEPS, measure_evaluations
from precursor.bench.machine import describe
from precursor.bench.measures import MEASURES
from precursor.bench.multivariate import MULTIVARIATE_STEPS, measure_multivariate
from precursor.bench.report import Account, Report, Result
from precursor.bench.rounds import Watch
from precursor.bench.scratch import insert_plant
from precursor.bench.sizes import FULL, QUICK, Sizes
from precursor.bench.stand import Stand, stand
from precursor.bench.univariate import UNIVARIATE_STEPS, measure_univariate
from precursor.bench.waveform import WAVEFORM_STEPS, measure_waveform
from precursor.bench.with_detectors import measure_with_detectors, with_detectors_steps
from precursor.bench.with_rules import measure_with_rules, with_rules_steps
from precursor.engine_settings import engine_options
from precursor.settings import Settings
from telemetry import database

__all__ = ["DETECT_FULL", "DETECT_PARTS", "DETECT_QUICK", "DetectSizes", "bench_detect", "detect_steps"]

DETECT_PARTS = ("rules", "models")


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectSizes:
    """How much is evaluated."""

    sensors: int
    """with two rules each"""
    long_readings: int
    """of one sensor, in one batch"""
    rounds: int
    assets: int
    """of eight sensors, scored by them together"""
    backtest: BacktestSizes
    engine: Sizes
    """of what goes through the whole engine"""


DETECT_FULL = DetectSizes(
    sensors=10_000, long_readings=200_000, rounds=15, assets=1_000, backtest=BACKTEST_FULL, engine=FULL
)
DETECT_QUICK = DetectSizes(sensors=100, long_readings=5_000, rounds=2, assets=20, backtest=BACKTEST_QUICK, engine=QUICK)
"""to see in some seconds that it works; its figures say little"""


def detect_steps(parts: Collection[str], sizes: DetectSizes) -> int:
    """How often `bench_detect` calls `watch`."""
    steps = {
        "rules": EVALUATION_STEPS + with_rules_steps(sizes.engine) + BACKTEST_STEPS,
        "models": UNIVARIATE_STEPS + MULTIVARIATE_STEPS + WAVEFORM_STEPS + with_detectors_steps(sizes.engine),
    }
    return sum(steps[part] for part in parts)


def bench_detect(settings: Settings, *, parts: Collection[str], sizes: DetectSizes, watch: Watch) -> Report:
    """Measure some of `DETECT_PARTS` on the parts that settings name, else on embedded ones in a folder of their own.
    Blocks.

    Real parts are left as they were found, as by `bench_ingest`.

    Raises:
        LossError: readings were lost or doubled, or alarms; there are no figures then.
        PrecursorError: a part does not answer, or does not let us do what is needed.
    """
    with stand(settings) as on:
        if not on.keeps_sessions:
            sizes = replace(sizes, engine=sizes.engine.for_slow_broker())
        machine = describe(on.settings, dsn=on.dsn, sizes=sizes.engine.name, broker=on.broker)
        results, accounts = asyncio.run(_measure(on, parts, sizes, watch))
    if "rules" in parts:
        times = bench_backtest(sizes.backtest, watch)
        results.append(Result(name="rules.backtest", value=times.backtest_s, limit=times.reading_s))
    order = list(MEASURES)
    results.sort(key=lambda result: order.index(result.name))
    return Report(machine=machine, results=results, accounts=accounts)


async def _measure(
    on: Stand, wanted: Collection[str], sizes: DetectSizes, watch: Watch
) -> tuple[list[Result], list[Account]]:
    results: list[Result] = []
    accounts: list[Account] = []
    if "rules" in wanted:
        results += await measure_evaluations(
            sensors=sizes.sensors, long_readings=sizes.long_readings, rounds=sizes.rounds, watch=watch
        )
    if "models" in wanted:
        results += await measure_univariate(sensors=sizes.sensors, rounds=sizes.rounds, watch=watch)
        results += await measure_multivariate(assets=sizes.assets, sensors=8, rounds=sizes.rounds, watch=watch)
        results += await measure_waveform(rounds=sizes.rounds, watch=watch)
    # Topics of a run's own: at a broker that others use too, nobody hears the bench by accident.
    prefix = f"precursor-bench/{secrets.token_hex(4)}"
    connection = await database.connect(on.dsn, name="precursor bench")
    try:
        await insert_plant(connection, sensors=sizes.engine.sensors, prefix=prefix)
        # Spawned, not forked: a fork would take connections and threads along.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as apart:
            runs = EndToEnd(
                dsn=on.dsn,
                connection=connection,
                mqtt=replace(on.mqtt, client_id=f"{on.mqtt.client_id}-bench"),
                options=engine_options(on.settings),
                prefix=prefix,
                apart=apart,
                keeps_sessions=on.keeps_sessions,
            )
            if "rules" in wanted:
                measured, more = await measure_with_rules(
                    runs, connection, prefix=prefix, sizes=sizes.engine, watch=watch
                )
                results += measured
                accounts += more
            if "models" in wanted:
                share, more = await measure_with_detectors(
                    runs, connection, prefix=prefix, sizes=sizes.engine, watch=watch
                )
                results.append(share)
                accounts += more
    finally:
        await connection.close()
    return results, accounts
