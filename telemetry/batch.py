"""`ReadingBatch`: the columns that go from codec to COPY to evaluator without becoming Python objects."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

import numpy as np
import numpy.typing as npt

from telemetry.errors import StateError

__all__ = ["EPOCH", "ReadingBatch", "to_datetime", "to_micros"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BYTES_PER_READING = 8 + 4 + 8 + 2

Time = npt.NDArray[np.int64]
SensorId = npt.NDArray[np.int32]
Value = npt.NDArray[np.float64]
QualityCode = npt.NDArray[np.int16]


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC of an aware datetime, exact (no detour through float)."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; the engine knows aware datetimes only")
    return (moment - EPOCH) // _MICROSECOND


def to_datetime(micros: int) -> datetime:
    """The aware UTC datetime of microseconds since 1970-01-01 UTC.

    >>> to_datetime(1_000_000)
    datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=datetime.timezone.utc)
    """
    return EPOCH + int(micros) * _MICROSECOND


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadingBatch:
    """Readings as equally long columns, immutable.

    Order is the caller's: codecs give arrival order, `sorted` gives (sensor_id, time) with arrival order kept
    among equals, which is what the store writes fastest and evaluators expect.
    """

    time: Time
    """int64, microseconds since 1970-01-01 UTC (event time)"""
    sensor_id: SensorId
    """int32, `sensor.id` in the database"""
    value: Value
    """float64, in the sensor's unit; finite"""
    quality: QualityCode
    """int16, a `telemetry.quality.Quality`"""

    def __post_init__(self) -> None:
        for name, dtype in (
            ("time", np.int64),
            ("sensor_id", np.int32),
            ("value", np.float64),
            ("quality", np.int16),
        ):
            column = getattr(self, name)
            if column.dtype != dtype or column.shape != (self.time.size,):
                raise ValueError(
                    f"column {name} is {column.dtype}{column.shape}, expected {np.dtype(dtype)}[{self.time.size}]"
                )
            column.flags.writeable = False

    def __len__(self) -> int:
        return int(self.time.size)

    @classmethod
    def of(
        cls,
        time: npt.ArrayLike,
        sensor_id: npt.ArrayLike,
        value: npt.ArrayLike,
        quality: npt.ArrayLike | None = None,
    ) -> Self:
        """A batch from anything NumPy understands; missing quality means good. Copies, so the columns are ours."""
        moments = np.array(time, dtype=np.int64)
        return cls(
            time=moments,
            sensor_id=np.array(sensor_id, dtype=np.int32),
            value=np.array(value, dtype=np.float64),
            quality=np.zeros(moments.size, np.int16) if quality is None else np.array(quality, dtype=np.int16),
        )

    @classmethod
    def empty(cls) -> Self:
        """No readings."""
        return cls.of([], [], [])

    @classmethod
    def concat(cls, batches: Iterable["ReadingBatch"]) -> "ReadingBatch":
        """All readings of the batches, in the order given."""
        parts = [batch for batch in batches if len(batch)]
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.empty()
        return cls(
            time=np.concatenate([part.time for part in parts]),
            sensor_id=np.concatenate([part.sensor_id for part in parts]),
            value=np.concatenate([part.value for part in parts]),
            quality=np.concatenate([part.quality for part in parts]),
        )

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "ReadingBatch":
        """The readings at these positions, or where this mask is true."""
        return ReadingBatch(
            time=self.time[index],
            sensor_id=self.sensor_id[index],
            value=self.value[index],
            quality=self.quality[index],
        )

    def order(self) -> npt.NDArray[np.intp]:
        """Positions that sort by (sensor_id, time), arrival order kept among equals."""
        if (self.time[1:] >= self.time[:-1]).all():
            return np.argsort(self.sensor_id, kind="stable")
        return np.lexsort((self.time, self.sensor_id))

    def sorted(self) -> "ReadingBatch":
        """The same readings by (sensor_id, time)."""
        return self.take(self.order())

    def to_bytes(self) -> bytes:
        """The columns one after the other, little-endian: 22 bytes a reading."""
        return b"".join(
            column.astype(column.dtype.newbyteorder("<")).tobytes()
            for column in (self.time, self.sensor_id, self.value, self.quality)
        )

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """What `to_bytes` wrote.

        Raises:
            StateError: the length is not that of whole readings.
        """
        count, rest = divmod(len(body), _BYTES_PER_READING)
        if rest:
            raise StateError(f"{len(body)} bytes are not whole readings of {_BYTES_PER_READING} bytes")
        ends = np.cumsum([0, 8 * count, 4 * count, 8 * count, 2 * count])
        time, sensor_id, value, quality = (
            np.frombuffer(body, dtype, count, int(start))
            for dtype, start in zip(("<i8", "<i4", "<f8", "<i2"), ends[:-1], strict=True)
        )
        return cls.of(time, sensor_id, value, quality)
