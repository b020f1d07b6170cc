"""Replays a recorded CSV: each row's values leave as the messages that a device would have sent."""

import csv
import gzip
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

from simulators.gateway import Message, NamedReading, array, single, timestamp
from simulators.topic_map import TopicMap
from telemetry.errors import ConfigurationError

__all__ = ["Recording", "RecordingError", "RecordingSummary"]

_DELIMITERS = ";,\t|"
_MISSING = frozenset({"", "nan"})


class RecordingError(ConfigurationError):
    """A recording cannot be read as the topic map says; the message has file, line and column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSummary:
    """What a recording holds: `readings` = `rows` x mapped columns - `missing`."""

    rows: int
    readings: int
    missing: int
    """empty or NaN fields of mapped columns: no readings"""
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    at: datetime
    values: tuple[float | None, ...]
    """in the order of the mapped columns; None: missing"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A CSV file (plain or `.gz`, with a header line) seen through a topic map."""

    path: Path
    topic_map: TopicMap
    start: datetime | None = None
    """event time of the first row; None: as recorded, or the map's `time.start` for a column that counts"""
    delimiter: str | None = None
    """None: the map's, else the one that is most frequent in the header line"""

    def summary(self) -> RecordingSummary:
        """Reads the whole file once, so that what is wrong with it shows before anything is sent.

        Raises:
            RecordingError: it cannot be read, or a field is neither number nor missing.
            TopicMapError: the map names a column that is not there.
        """
        rows = readings = 0
        first_at = last_at = None
        for row in self._rows():
            rows += 1
            readings += sum(value is not None for value in row.values)
            first_at = first_at or row.at
            last_at = row.at
        missing = rows * len(self.topic_map.columns) - readings
        return RecordingSummary(rows=rows, readings=readings, missing=missing, first_at=first_at, last_at=last_at)

    def messages(self, *, gateway_topic: str | None = None, batch: int = 100) -> Iterator[Message]:
        """The recording as messages, in the order of its rows.

        Args:
            gateway_topic: None: each reading alone on its column's topic; else all on this topic, as arrays
                with sensor names.
            batch: readings in an array, across rows; the last may be shorter.

        Raises:
            RecordingError, TopicMapError: as `summary`; also where they are met, after what came before.
            ConfigurationError: batch is less than 1.
        """
        if batch < 1:
            raise ConfigurationError(f"a gateway's array holds 1 reading or more, not {batch}")
        return self._singles() if gateway_topic is None else self._arrays(gateway_topic, batch)

    def _singles(self) -> Iterator[Message]:
        targets = self.topic_map.columns
        for row in self._rows():
            for target, value in zip(targets, row.values, strict=True):
                if value is not None:
                    yield single(row.at, target.topic, value)

    def _arrays(self, topic: str, batch: int) -> Iterator[Message]:
        targets = self.topic_map.columns
        gathered: list[NamedReading] = []
        last_at: datetime | None = None
        for row in self._rows():
            last_at, moment = row.at, timestamp(row.at)
            for target, value in zip(targets, row.values, strict=True):
                if value is None:
                    continue
                gathered.append(NamedReading(sensor=target.sensor, ts=moment, value=value))
                if len(gathered) == batch:
                    yield array(row.at, topic, gathered)
                    gathered = []
        if gathered and last_at is not None:
            yield array(last_at, topic, gathered)

    def _rows(self) -> Iterator[_Row]:
        try:
            with self._open() as file:
                yield from self._parse(file)
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise RecordingError(f"{self.path}: cannot be read: {error}") from error

    def _open(self) -> TextIO:
        # utf-8-sig: spreadsheets put a byte-order mark in front of the first column's name.
        if self.path.suffix == ".gz":
            return gzip.open(self.path, "rt", encoding="utf-8-sig", newline="")
        return self.path.open(encoding="utf-8-sig", newline="")

    def _parse(self, file: TextIO) -> Iterator[_Row]:
        first_line = file.readline()
        delimiter = self.delimiter or self.topic_map.delimiter or max(_DELIMITERS, key=first_line.count)
        header = next(csv.reader([first_line], delimiter=delimiter), [])
        self.topic_map.check_header(header, str(self.path))
        time_index = header.index(self.topic_map.time.column)
        places = [(header.index(target.column), target.column) for target in self.topic_map.columns]
        clock = _Clock(self.topic_map, self.start)
        reader = csv.reader(file, delimiter=delimiter)
        for fields in reader:
            if not fields:
                continue
            where = f"{self.path}:{reader.line_num + 1}"
            if len(fields) != len(header):
                raise RecordingError(f"{where}: {len(fields)} fields, expected {len(header)} as in the header")
            yield _Row(
                at=clock.moment(fields[time_index], where),
                values=tuple(_number(fields[index], column, where) for index, column in places),
            )


class _Clock:
    """Event time of a row from the text of its time column."""

    def __init__(self, topic_map: TopicMap, start: datetime | None) -> None:
        if start is not None and start.tzinfo is None:
            raise ConfigurationError(f"start {start.isoformat()} has no time zone; write it with Z or an offset")
        self._time = topic_map.time
        self._map = topic_map
        self._start = start
        self._first: datetime | float | None = None

    def moment(self, text: str, where: str) -> datetime:
        """With a given start, the first row is there, and the others follow at their recorded distance."""
        if self._time.unit_s is None:
            at = self._date(text, where)
            if self._first is None:
                self._first = at
            if self._start is None or not isinstance(self._first, datetime):
                return at
            return self._start.astimezone(UTC) + (at - self._first)
        offset_s = _number(text, self._time.column, where)
        if offset_s is None:
            raise RecordingError(f"{where}: column {self._time.column!r} is empty, expected the time of the row")
        offset_s *= self._time.unit_s
        if self._first is None:
            self._first = offset_s
        if self._start is not None and not isinstance(self._first, datetime):
            return self._start.astimezone(UTC) + timedelta(seconds=offset_s - self._first)
        if self._time.start is None:
            raise RecordingError(
                f"{self._map.path}:{self._map.lines.get('time', 1)}: time.start: missing; column "
                f"{self._time.column!r} counts from a moment that has to be given, here or as start (--start)"
            )
        return self._time.start + timedelta(seconds=offset_s)

    def _date(self, text: str, where: str) -> datetime:
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError as error:
            raise RecordingError(
                f"{where}: column {self._time.column!r} is {text!r}, expected date and time in ISO 8601; "
                "for a column that counts, write time: {column, unit, start} in the topic map"
            ) from error
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _number(text: str, column: str, where: str) -> float | None:
    """The value of a field; None where it is missing. Infinity is no measurement: JSON could not carry it."""
    text = text.strip()
    if text.lower() in _MISSING:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise RecordingError(f"{where}: column {column!r} is {text!r}, expected a number or nothing")
    return value
