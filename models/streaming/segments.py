"""The readings of a batch, sensor by sensor."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch
from telemetry.quality import usable

__all__ = ["Segments"]

Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segments:
    """Usable readings grouped by sensor, in the order of the sensors."""

    sensor: Index
    """position of each group's sensor among the detector's sensors, ascending"""
    begin: Index
    """position of each group's first reading in `reading`"""
    length: Index
    reading: Index
    """positions in the batch of its usable readings"""

    @classmethod
    def of(cls, batch: ReadingBatch, sensor_ids: npt.NDArray[np.int32]) -> "Segments":
        """Group a batch sorted by (sensor_id, time).

        Raises:
            ValueError: the batch has a reading of a sensor that is not in `sensor_ids`, or is not sorted.
        """
        good = usable(batch.quality)
        if len(batch) == sensor_ids.size and good.all() and np.array_equal(batch.sensor_id, sensor_ids):
            every = np.arange(sensor_ids.size)
            return cls(sensor=every, begin=every, length=np.ones(every.size, np.intp), reading=every)
        order = np.diff(batch.sensor_id)
        if (order < 0).any() or ((np.diff(batch.time) < 0) & (order == 0)).any():
            raise ValueError("readings are not sorted by sensor and time; call ReadingBatch.sorted first")
        begins = np.flatnonzero(np.diff(batch.sensor_id, prepend=batch.sensor_id[:1] - 1))
        found = batch.sensor_id[begins]
        known = np.isin(found, sensor_ids)
        if not known.all():
            raise ValueError(f"readings of sensors this detector does not score: {found[~known].tolist()}")
        reading = np.flatnonzero(good)
        ids = batch.sensor_id[reading]
        begin = np.flatnonzero(np.diff(ids, prepend=ids[:1] - 1))
        return cls(
            sensor=np.searchsorted(sensor_ids, ids[begin]),
            begin=begin,
            length=np.diff(begin, append=ids.size),
            reading=reading,
        )
