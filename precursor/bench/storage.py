"""What a stored reading takes on disk, when everything that can be compressed is."""

from datetime import datetime, timedelta

import asyncpg
import numpy as np

from precursor.bench.report import LossError, Result
from precursor.bench.rounds import Watch
from precursor.bench.workload import BEGIN
from simulators.physics import Machine, Nameplate
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import detect_async
from telemetry.plant import AssetState
from telemetry.series import READING
from telemetry.store import ReadingStore

__all__ = ["STORAGE_STEPS", "measure_storage"]

STORAGE_STEPS = 2
"""how often `measure_storage` calls `watch`"""

_DECIMALS = {"vib_de": 2, "vib_nde": 2, "temp_de": 1, "flow": 1, "pressure": 2}
"""that each sensor gives: 4-20 mA inputs and PLC gateways give multiples of a step, not noise to the last bit"""
_BATCH_SECONDS = 500


async def measure_storage(
    connection: asyncpg.Connection, *, sensor_ids: list[int], seconds: int, watch: Watch
) -> list[Result]:
    """store.bytes_per_reading: of machines of the simulator, five sensors each, once a second. The table is empty first
    and last; heap, indexes, TOAST and what is compressed are counted, free space in them too.

    Args:
        sensor_ids: a multiple of 5.
        seconds: how long it is measured: 5 million readings give a figure that holds.

    Raises:
        LossError: not everything was stored.
    """
    machines = len(sensor_ids) // len(_DECIMALS)
    watch(f"store: {seconds * machines * len(_DECIMALS):,} readings of {machines} machines, to see what they take")
    edition = await detect_async(connection)
    store = ReadingStore(edition)
    plant = [_Recording(number) for number in range(machines)]
    stored = 0
    for first in range(0, seconds, _BATCH_SECONDS):
        moments = [BEGIN + timedelta(seconds=at) for at in range(first, min(first + _BATCH_SECONDS, seconds))]
        values = np.concatenate([machine.measure(moments) for machine in plant])
        times = np.array([to_micros(moment) for moment in moments])
        batch = ReadingBatch.of(np.tile(times, len(values)), np.repeat(sensor_ids, times.size), values.ravel())
        await store.make_room(connection, batch)
        async with connection.transaction():
            stored += int((await store.write(connection, batch)).stored.sum())
    if stored != seconds * len(sensor_ids):
        raise LossError(f"the store wrote {stored} of {seconds * len(sensor_ids)} readings")
    watch("store: compressing them" if edition.compresses else "store: looking what they take")
    pieces = await edition.pieces(connection, READING) or []
    for piece in pieces:
        await edition.compress(connection, READING, piece)
    usage = await edition.usage(connection, READING)
    for piece in pieces:
        await edition.drop_piece(connection, READING, piece)
    return [Result(name="store.bytes_per_reading", value=usage.bytes / stored)]


class _Recording:
    """A machine of the simulator, through sensors of limited resolution."""

    def __init__(self, number: int) -> None:
        nameplate = Nameplate(
            vib_de_mm_s=1.2 + 0.05 * number,
            vib_nde_mm_s=1.0 + 0.04 * number,
            temp_de_c=45.0 + number % 20,
            flow_m3_h=100.0 + 5 * number,
            pressure_bar=4.2,
        )
        self._machine = Machine(nameplate, np.random.default_rng(number), interval_s=1.0)

    def measure(self, moments: list[datetime]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """A row a sensor, a column a moment."""
        steps = [self._machine.step(moment, AssetState.RUNNING, 0.0) for moment in moments]
        return np.array([np.round([step[point] for step in steps], places) for point, places in _DECIMALS.items()])
