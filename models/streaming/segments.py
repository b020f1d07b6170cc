"""The readings of a batch, sensor by sensor, so that the k-th reading of each can be taken at once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch
from telemetry.quality import usable

__all__ = ["Segments"]

Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segments:
    """Usable readings grouped by sensor, the longest group first."""

    sensor: Index
    """position of each group's sensor among the detector's sensors"""
    begin: Index
    """position of each group's first reading in `reading`"""
    length: Index
    reading: Index
    """positions in the batch of its usable readings"""

    @classmethod
    def of(cls, batch: ReadingBatch, sensor_ids: npt.NDArray[np.int32]) -> "Segments":
        """Group a batch sorted by (sensor_id, time).

        Raises:
            ValueError: the batch has a reading of a sensor that is not in `sensor_ids`.
        """
        reading = np.flatnonzero(usable(batch.quality))
        ids = batch.sensor_id[reading]
        begin = np.flatnonzero(np.diff(ids, prepend=ids[:1] - 1))
        length = np.diff(begin, append=ids.size)
        sensor = np.searchsorted(sensor_ids, ids[begin])
        known = sensor < sensor_ids.size
        known[known] = sensor_ids[sensor[known]] == ids[begin][known]
        if not known.all():
            raise ValueError(f"readings of sensors this detector does not score: {ids[begin][~known].tolist()}")
        longest_first = np.argsort(-length, kind="stable")
        return cls(
            sensor=sensor[longest_first],
            begin=begin[longest_first],
            length=length[longest_first],
            reading=reading,
        )

    def rounds(self) -> Iterator[Index]:
        """Positions in the batch of the k-th reading of every group that has one, for k = 0, 1, ...

        The groups of a round are the first ones of `sensor`.
        """
        if not self.length.size:
            return
        k = np.arange(int(self.length[0]))
        for each, count in zip(k.tolist(), np.searchsorted(-self.length, -k, side="left").tolist(), strict=True):
            yield self.reading[self.begin[:count] + each]
