"""What every streaming detector can do."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch

__all__ = ["Detector"]


class Detector(Protocol):
    """Scores the readings of its sensors while it learns what is normal for each.

    A deterministic fold: the scores depend on the readings of each sensor in their order, not on how the
    stream is cut into batches, nor on what other sensors do.
    """

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        """The sensors scored, sorted, each once."""
        ...

    def score(self, batch: ReadingBatch) -> npt.NDArray[np.float64]:
        """Score readings, each before it is learned from.

        Args:
            batch: readings of `sensor_ids` only, sorted by (sensor_id, time).

        Returns:
            float64, one score a reading; higher is more anomalous. NaN while warming up, and for bad and
            stale readings, which are not learned from either.

        Raises:
            ValueError: the batch has a reading of another sensor.
        """
        ...

    def snapshot(self) -> bytes:
        """The whole state, of a size that does not grow; `restore` continues from it exactly."""
        ...

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot, matched by sensor: sensors not in it start fresh, others in it are ignored.

        Raises:
            StateError: the bytes are damaged or of another kind.
        """
        ...
