"""How long a backtest of a month of a hundred sensors takes, beside bare reading of the same file."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from precursor.backtest.report import Report
from precursor.backtest.rule_set import Point, RuleSet
from precursor.backtest.trial import FileData, Question, backtest
from precursor.bench.report import LossError
from precursor.bench.workload import BEGIN
from rules.definition import Rule
from telemetry.arrow import ReadingEncoder
from telemetry.batch import ReadingBatch, to_micros
from telemetry.catalogue import CatalogueSensor
from telemetry.plant import SensorKind
from telemetry.reading_files import ReadingFile

__all__ = [
    "BACKTEST_FULL", "BACKTEST_QUICK", "BACKTEST_STEPS", "BacktestSizes", "BacktestTimes", "bench_backtest",
    "write_readings",
]  # fmt: skip

_ROWS_A_GROUP = 131_072
_SECOND_US = 1_000_000
_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestSizes:
    """How much is looked at: a reading a second of each sensor."""

    sensors: int
    days: int

    @property
    def readings(self) -> int:
        """In all."""
        return self.sensors * self.days * _DAY_S


BACKTEST_FULL = BacktestSizes(sensors=100, days=30)
BACKTEST_STEPS = 3
"""how often `bench_backtest` calls `watch`"""
BACKTEST_QUICK = BacktestSizes(sensors=10, days=2)
"""to see that it works"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestTimes:
    """What was measured."""

    backtest_s: float
    reading_s: float
    """pyarrow reading the same columns of the same file, nothing else"""
    readings: int
    alarms: int


def bench_backtest(sizes: BacktestSizes, watch: Callable[[str], None] = lambda text: None) -> BacktestTimes:
    """Write a file as `precursor export` does, try two limits on each sensor, and read it bare. Blocks.

    Calls `watch` `BACKTEST_STEPS` times. Takes 2 bytes of disk a reading, thrown away afterwards.

    Raises:
        LossError: not every reading was looked at.
    """
    with tempfile.TemporaryDirectory(prefix="precursor-bench-") as folder:
        path = Path(folder) / "readings.parquet"
        watch("writing a file to backtest on")
        names = write_readings(path, sizes)
        watch("backtest")
        report, backtest_s = _backtest(path, names, sizes)
        if report.seen.readings != sizes.readings:
            raise LossError(f"the backtest saw {report.seen.readings} readings of {sizes.readings}")
        watch("bare reading")
        return BacktestTimes(
            backtest_s=backtest_s,
            reading_s=_read_bare(path),
            readings=report.seen.readings,
            alarms=report.new.performance.alarms,
        )


def write_readings(path: Path, sizes: BacktestSizes) -> dict[str, int]:
    """A file of readings like those of slowly swinging machines, by sensor and time; ids by the names in it."""
    sensors = [
        CatalogueSensor(
            id=number + 1,
            name=f"bench-{number:03}.value",
            kind=SensorKind.MEASURED,
            quantity="",
            unit="",
            assets=(f"bench-{number:03}",),
            site="bench",
        )
        for number in range(sizes.sensors)
    ]
    encoder = ReadingEncoder(sensors, made_by="precursor bench")
    seconds = np.arange(sizes.days * _DAY_S)
    begin = to_micros(BEGIN)
    with pq.ParquetWriter(
        path,
        encoder.schema,
        compression="zstd",
        use_dictionary=["sensor", "quality"],
        column_encoding={"time": "DELTA_BINARY_PACKED"},
        write_page_checksum=True,
    ) as writer:
        for sensor in sensors:
            noise = np.random.default_rng(sensor.id).normal(0, 1, seconds.size)
            value = np.round(20 + 3 * np.sin(seconds * (2 * np.pi / _DAY_S) + sensor.id) + noise, 2)
            for first in range(0, seconds.size, _ROWS_A_GROUP):
                part = slice(first, first + _ROWS_A_GROUP)
                count = value[part].size
                batch = ReadingBatch.of(begin + seconds[part] * _SECOND_US, np.full(count, sensor.id), value[part])
                writer.write_batch(encoder.encode(batch))
    return {sensor.name: sensor.id for sensor in sensors}


def _backtest(path: Path, names: dict[str, int], sizes: BacktestSizes) -> tuple[Report, float]:
    begin, end = BEGIN, BEGIN + timedelta(days=sizes.days)
    rules = RuleSet(
        rules=tuple(_rule(name, number) for name, number in names.items()),
        sensor_ids=names,
        points={number: Point(quantity="", span=None, state_id=None) for number in names.values()},
        machine_of={number: (name.partition(".")[0],) for name, number in names.items()},
    )
    question = Question(name="bench", rules=rules, begin=begin, end=end)
    begun = time.perf_counter()
    report = asyncio.run(backtest(question, FileData(ReadingFile(path), names, begin, end)))
    return report, time.perf_counter() - begun


def _rule(name: str, number: int) -> Rule:
    return Rule(
        id=number,
        name="bench",
        sensor_id=number,
        sensor_name=name,
        asset_id=number,
        unit="",
        high_high=26.5,
        high=25.5,
        deadband=2.0,
        on_delay_s=1.0,
        off_delay_s=60.0,
    )


def _read_bare(path: Path) -> float:
    begun = time.perf_counter()
    with pq.ParquetFile(path, read_dictionary=["sensor", "quality"], buffer_size=1 << 20) as file:
        for _ in file.iter_batches(batch_size=_ROWS_A_GROUP, columns=["time", "sensor", "value", "quality"]):
            pass
    return time.perf_counter() - begun
