"""`Columns`: readings while they are collected, as plain lists that become arrays once per batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt

from ingest.codecs.json_readings import QUALITIES, Column, Scalar, Stamp
from ingest.timestamps import micros_of_datetime, micros_of_epoch

__all__ = ["Columns", "UnfitError"]

_PLAIN = frozenset({float, bool})


class UnfitError(ValueError):
    """The quick way does not apply to a payload; the careful pass has the last word."""


@dataclass(slots=True)
class Columns:
    """Readings, and the messages that brought them. Equal positions belong together."""

    codes: Sequence[Mapping[str, float]]
    """for each sensor, what a text means"""
    time: list[int] = field(default_factory=list)
    sensor: list[int] = field(default_factory=list)
    """position among the decoder's sensors, not the id"""
    value: list[float] = field(default_factory=list)
    """as sent, before unit conversion"""
    marks: list[tuple[int, int]] = field(default_factory=list)
    """(position, quality) of the readings that are not good: nearly all are"""
    converted: list[int] = field(default_factory=list)
    """positions of the readings that are in the sensor's unit already"""
    historical: list[int] = field(default_factory=list)
    """positions of the readings that are no news"""
    first: list[int] = field(default_factory=list)
    """for each message, how many readings there were before it"""
    source: list[int] = field(default_factory=list)
    """for each message, its source"""
    carried: list[int] = field(default_factory=list)
    """for each message, how many items it holds, whatever became of them"""

    def begin(self, source: int) -> None:
        """A message begins."""
        self.first.append(len(self.time))
        self.source.append(source)

    def add(self, sensor: int, stamp: Stamp, value: Scalar, quality: int | str | None) -> None:
        """One reading.

        Raises:
            UnfitError: the text or the quality is unknown.
            TimestampError: the time is none. Nothing was added in either case.
        """
        time = micros_of_datetime(stamp) if isinstance(stamp, datetime) else micros_of_epoch(stamp)
        if isinstance(value, str):
            value = self.coded(sensor, value)
        if quality is not None:
            self.mark(1, quality)
        self.time.append(time)
        self.sensor.append(sensor)
        self.value.append(value)

    def add_column(self, sensor: int, times: list[int], values: Column, quality: int | str | None) -> int:
        """One sensor's values at these times; a None is no reading. Returns how many readings it made.

        Raises:
            UnfitError: the lengths differ, or a text or the quality is unknown. Nothing was added.
        """
        if len(times) != len(values):
            raise UnfitError
        if not _PLAIN.issuperset(map(type, values)):
            kept = [position for position, value in enumerate(values) if value is not None]
            times = [times[position] for position in kept]
            values = [
                self.coded(sensor, value) if isinstance(value, str) else value for value in values if value is not None
            ]
        if quality is not None:
            self.mark(len(values), quality)
        self.time += times
        self.sensor += [sensor] * len(times)
        self.value += values  # type: ignore[arg-type]  # neither None nor str is left, which mypy cannot see
        return len(times)

    def add_exact(self, sensor: int, time: int, value: float, quality: int) -> None:
        """One reading that the careful pass has understood."""
        if quality:
            self.marks.append((len(self.time), quality))
        self.time.append(time)
        self.sensor.append(sensor)
        self.value.append(value)

    def coded(self, sensor: int, text: str) -> float:
        """The number that a text means for a sensor.

        Raises:
            UnfitError: none.
        """
        value = self.codes[sensor].get(text)
        if value is None:
            raise UnfitError
        return value

    def mark(self, count: int, quality: int | str) -> None:
        """Give the next `count` readings a quality.

        Raises:
            UnfitError: there is no such quality.
        """
        code = QUALITIES.get(quality)
        if code is None:
            raise UnfitError
        if code:
            begin = len(self.time)
            self.marks += [(position, code) for position in range(begin, begin + count)]

    def take_back(self) -> None:
        """Forget the readings of the message that was begun last."""
        begin = self.first[-1]
        del self.time[begin:], self.sensor[begin:], self.value[begin:]
        while self.marks and self.marks[-1][0] >= begin:
            self.marks.pop()

    def quality(self) -> npt.NDArray[np.int16]:
        """int16 per reading, a `telemetry.quality.Quality`."""
        column = np.zeros(len(self.time), np.int16)
        for position, quality in self.marks:
            column[position] = quality
        return column

    def message_of(self) -> npt.NDArray[np.intp]:
        """For each reading, the position of the message that brought it."""
        edges = np.array([*self.first, len(self.time)], np.intp)
        return np.repeat(np.arange(len(self.first), dtype=np.intp), edges[1:] - edges[:-1])
