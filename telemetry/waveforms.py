"""Waveforms: blocks of equally spaced samples of one sensor, as they are given and as they are listed."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Self

import numpy as np
import numpy.typing as npt

from telemetry.batch import EPOCH
from telemetry.errors import PrecursorError
from telemetry.samples import MAX_SAMPLES, Samples

__all__ = ["LATEST", "MAX_DURATION", "InvalidWaveformError", "Waveform", "WaveformFault", "WaveformSummary"]

MAX_DURATION = timedelta(hours=1)
"""of one block; longer recordings are stored as several"""
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""no block begins then or later, none before 1970"""

_MAX_SENSOR_ID = 2**31 - 1
_MAX_UNIT = 100


class WaveformFault(StrEnum):
    """Why something is no waveform. Stored as written here, like every reason of a rejection; never renamed."""

    NO_SAMPLES = "no_samples"
    TOO_MANY_SAMPLES = "too_many_samples"
    WRONG_TYPE = "wrong_type"
    """not one row of numbers, or a unit or sensor that cannot be stored"""
    NOT_FINITE = "not_finite"
    """a sample is NaN or an infinity, or too large for float32"""
    BAD_SAMPLE_RATE = "bad_sample_rate"
    TOO_LONG = "too_long"
    BAD_TIMESTAMP = "bad_timestamp"


class InvalidWaveformError(PrecursorError, ValueError):
    """What somebody gives as a waveform is none."""

    def __init__(self, reason: WaveformFault, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Waveform:
    """One block of samples.

    Raises:
        InvalidWaveformError: it is not as the fields say.
    """

    sensor_id: int
    """`sensor.id` in the database"""
    time: datetime
    """of the first sample, aware, from 1970 until before 2200"""
    sample_rate_hz: float
    """positive; the block lasts at most an hour"""
    unit: str
    samples: Samples
    """float32, finite, at least one and at most `MAX_SAMPLES`; read-only from now on"""

    def __post_init__(self) -> None:
        if not 0 <= self.sensor_id <= _MAX_SENSOR_ID:
            raise InvalidWaveformError(WaveformFault.WRONG_TYPE, f"{self.sensor_id} is no number of a sensor")
        if len(self.unit) > _MAX_UNIT or "\0" in self.unit:
            raise InvalidWaveformError(WaveformFault.WRONG_TYPE, f"{self.unit[:_MAX_UNIT]!r} is no unit")
        if self.time.tzinfo is None or not EPOCH <= self.time < LATEST:
            raise InvalidWaveformError(
                WaveformFault.BAD_TIMESTAMP, f"{self.time} is not a time with a zone from 1970 until before 2200"
            )
        if self.samples.dtype != np.float32 or self.samples.ndim != 1:
            raise InvalidWaveformError(
                WaveformFault.WRONG_TYPE,
                f"samples are {self.samples.dtype}{list(self.samples.shape)}, not one row of float32",
            )
        if not self.samples.size:
            raise InvalidWaveformError(WaveformFault.NO_SAMPLES, "a waveform has at least one sample")
        if self.samples.size > MAX_SAMPLES:
            raise InvalidWaveformError(
                WaveformFault.TOO_MANY_SAMPLES,
                f"{self.samples.size:,} samples are more than the {MAX_SAMPLES:,} of one block: divide it",
            )
        unusable = np.flatnonzero(~np.isfinite(self.samples))
        if unusable.size:
            raise InvalidWaveformError(
                WaveformFault.NOT_FINITE,
                f"{unusable.size:,} of {self.samples.size:,} samples are no finite float32, the first at {unusable[0]}",
            )
        if not (math.isfinite(self.sample_rate_hz) and self.sample_rate_hz > 0):
            raise InvalidWaveformError(
                WaveformFault.BAD_SAMPLE_RATE, f"{self.sample_rate_hz} is no sample rate in Hz: it is not above zero"
            )
        if self.samples.size / self.sample_rate_hz > MAX_DURATION.total_seconds():
            raise InvalidWaveformError(
                WaveformFault.TOO_LONG,
                f"{self.samples.size:,} samples at {self.sample_rate_hz:g} Hz last longer than an hour: divide it",
            )
        self.samples.flags.writeable = False

    @classmethod
    def of(cls, *, sensor_id: int, time: datetime, sample_rate_hz: float, unit: str, samples: npt.ArrayLike) -> Self:
        """A waveform from samples in anything NumPy understands. Copies, so the samples are ours.

        Raises:
            InvalidWaveformError: it is none.
        """
        try:
            # Too large for float32 becomes an infinity, and is refused as one.
            with np.errstate(over="ignore"):
                row = np.array(samples, dtype=np.float32)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidWaveformError(WaveformFault.WRONG_TYPE, f"samples are not numbers: {error}") from error
        return cls(sensor_id=sensor_id, time=time, sample_rate_hz=sample_rate_hz, unit=unit, samples=row)

    @property
    def duration(self) -> timedelta:
        """A sample period for each sample, to microseconds."""
        return _duration(self.samples.size, self.sample_rate_hz)

    @property
    def end(self) -> datetime:
        """When it is over, exclusive."""
        return self.time + self.duration

    def says_the_same(self, other: "Waveform") -> bool:
        """Whether rate, unit and samples are equal."""
        return (
            self.sample_rate_hz == other.sample_rate_hz
            and self.unit == other.unit
            and np.array_equal(self.samples, other.samples)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveformSummary:
    """A stored block without its samples."""

    sensor_id: int
    time: datetime
    """of the first sample"""
    sample_rate_hz: float
    unit: str
    count: int
    """samples"""
    body_bytes: int
    """as it is stored, compressed"""

    @property
    def duration(self) -> timedelta:
        """A sample period for each sample, to microseconds."""
        return _duration(self.count, self.sample_rate_hz)


def _duration(count: int, sample_rate_hz: float) -> timedelta:
    return timedelta(seconds=count / sample_rate_hz)
