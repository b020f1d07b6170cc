"""What every detector can do."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch

__all__ = ["ALARM", "AssetDetector", "AssetScores", "Detector"]

ALARM = 1.0
"""a score of this or more is anomalous: every detector divides what it measures by a limit it has set itself"""


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
            float64, one score a reading; higher is more anomalous, from `ALARM` on it is an anomaly. NaN while
            warming up, and for bad and stale readings, which are not learned from either.

        Raises:
            ValueError: the batch has a reading of another sensor.
        """
        ...

    def rebaseline(self, sensor_ids: npt.NDArray[np.int32]) -> None:
        """Forget what is usual for these sensors, and warm up anew: the machine was repaired, or changed on purpose.

        Sensors that are not scored here are passed over.
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AssetScores:
    """How unlike themselves assets were, one row an asset and instant, sorted by (asset_id, time)."""

    asset_id: npt.NDArray[np.int32]
    time: npt.NDArray[np.int64]
    """µs since 1970: up to when the readings are that went into it"""
    score: npt.NDArray[np.float64]
    """from `ALARM` on it is an anomaly; rows whose score is not known are left out"""
    contribution: npt.NDArray[np.float64]
    """(rows, sensors of the asset with the most); the share of each sensor in the score, 0 to 1 and together 1, in the
    order of the asset's sensors as they were given; NaN where the asset has fewer"""


class AssetDetector(Protocol):
    """Scores assets by all their sensors together while it learns what is normal for each.

    A deterministic fold over event time: the scores depend on the readings of an asset's sensors in their order, not
    on how the stream is cut into batches as long as its sensors are not further apart than it waits.
    """

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        """All sensors looked at, sorted, each once."""
        ...

    def fold(self, batch: ReadingBatch) -> AssetScores:
        """Scores that are due once these readings are known.

        Args:
            batch: readings of `sensor_ids` only, sorted by (sensor_id, time). Bad and stale ones are as none.

        Raises:
            ValueError: the batch has a reading of another sensor.
        """
        ...

    def rebaseline(self, asset_ids: npt.NDArray[np.int32]) -> None:
        """Forget what is usual for these assets, and warm up anew; others than are scored here are passed over."""
        ...

    def snapshot(self) -> bytes:
        """The whole state, of a size that does not grow; `restore` continues from it exactly."""
        ...

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot, matched by asset with the same sensors; others start fresh.

        Raises:
            StateError: the bytes are damaged or of another kind.
        """
        ...
