"""Waveforms as a NumPy file: an archive (.npz) with an array for each block, written block by block."""

import contextlib
import uuid
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import numpy.typing as npt

from telemetry.batch import to_micros
from telemetry.errors import ConfigurationError
from telemetry.waveform_store import read_waveforms

__all__ = ["export_waveforms"]


async def export_waveforms(
    connection: asyncpg.Connection, target: Path, sensor_id: int, begin: datetime, end: datetime
) -> int:
    """Write the blocks of a sensor that overlap [begin, end) to a file, and say how many; all of them or no file.

    Each block is an array by the time of its first sample, such as `2026-03-02T00:00:10.000000Z`. Beside them are
    equally long arrays `time` (datetime64[us], UTC), `sample_rate_hz` and `unit`, in the same order. Memory is that of
    `read_waveforms`.

    Raises:
        StateError: a block is damaged.
        ConfigurationError: the file cannot be written.
    """
    times: list[int] = []
    rates: list[float] = []
    units: list[str] = []
    # Under another name first: whoever sees the file sees all of it.
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    with _told(target):
        archive = zipfile.ZipFile(unfinished, "x")
    try:
        async for waveform in read_waveforms(connection, [sensor_id], begin, end):
            times.append(to_micros(waveform.time))
            rates.append(waveform.sample_rate_hz)
            units.append(waveform.unit)
            with _told(target):
                _put(archive, f"{waveform.time:%Y-%m-%dT%H:%M:%S.%fZ}", waveform.samples)
        with _told(target):
            _put(archive, "time", np.array(times, "M8[us]"))
            _put(archive, "sample_rate_hz", np.array(rates, np.float64))
            _put(archive, "unit", np.array(units, np.str_))
            archive.close()
            unfinished.replace(target)
    finally:
        with contextlib.suppress(OSError):
            archive.close()
        unfinished.unlink(missing_ok=True)
    return len(times)


@contextlib.contextmanager
def _told(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{str(target)!r} cannot be written: {error}") from error


def _put(archive: zipfile.ZipFile, name: str, array: npt.NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)
