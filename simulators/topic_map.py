"""The topic map: which column of a recording goes to which topic, and what its time column means."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from telemetry.errors import ConfigurationError

__all__ = ["ColumnTarget", "TimeColumn", "TopicMap", "TopicMapError", "load_topic_map"]

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_FORM = "time: COLUMN or {column, unit, start}; delimiter (optional); columns: {COLUMN: topic}"


class TopicMapError(ConfigurationError):
    """A topic map says something that cannot be done; the message has file, line, key, and what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeColumn:
    """Where a row's event time stands."""

    column: str
    unit_s: float | None
    """seconds per unit of a numeric column; None: the column holds date and time as text"""
    start: datetime | None
    """what a numeric column counts from"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnTarget:
    """Where the values of a column are sent."""

    column: str
    topic: str
    sensor: str
    """its name in a gateway's array: given, or the last two levels of the topic as `asset.point`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicMap:
    """A checked topic map."""

    path: str
    """the file it came from, for messages"""
    time: TimeColumn
    delimiter: str | None
    """None: taken from the header line"""
    columns: tuple[ColumnTarget, ...]
    lines: Mapping[str, int]
    """line of each key in the file (`time`, `columns.NAME`), for messages"""

    def check_header(self, header: Sequence[str], recording: str) -> None:
        """Every column named here must be in the recording.

        Raises:
            TopicMapError: one is not; the message lists those that are.
        """
        wanted = [("time", self.time.column)] + [(f"columns.{target.column}", target.column) for target in self.columns]
        for key, column in wanted:
            if column not in header:
                near = difflib.get_close_matches(column, header, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise TopicMapError(
                    f"{self.path}:{self.lines.get(key, 1)}: {key}: no column {column!r} in {recording}{hint}. "
                    f"Its columns: {', '.join(header)}"
                )


def load_topic_map(path: Path) -> TopicMap:
    """Reads and checks a topic map.

    Raises:
        TopicMapError: the file cannot be read, is not YAML, or has a key that is unknown, missing or wrong.
    """
    try:
        document = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TopicMapError(f"{path}: cannot be read: {error}") from error
    except YAMLError as error:
        raise TopicMapError(f"{path}: is not YAML: {error}") from error
    return _Reader(str(path)).topic_map(document)


class _Reader:
    """Walks the document and knows, for a message, in which line a key stands."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines: dict[str, int] = {}

    def topic_map(self, document: object) -> TopicMap:
        top = self._mapping(document, "", {"time", "delimiter", "columns"}, _FORM)
        delimiter = top.get("delimiter")
        if delimiter is not None and not (isinstance(delimiter, str) and len(delimiter) == 1):
            raise self._error("delimiter", f'expected one character in quotes, such as ";", got {delimiter!r}')
        time = self._time(self._required(top, "time", "the name of the time column"))
        columns = self._mapping(self._required(top, "columns", "{COLUMN: topic}"), "columns", None, "{COLUMN: topic}")
        if not columns:
            raise self._error("columns", "expected at least one COLUMN: topic")
        targets = tuple(self._target(str(name), value) for name, value in columns.items())
        self._reject_twice([target.topic for target in targets], targets, "topic")
        self._reject_twice([target.sensor for target in targets], targets, "sensor")
        return TopicMap(path=self._path, time=time, delimiter=delimiter, columns=targets, lines=self._lines)

    def _time(self, value: object) -> TimeColumn:
        if isinstance(value, str):
            return TimeColumn(column=value, unit_s=None, start=None)
        form = "the name of the time column, or {column: NAME, unit: s, start: 2010-12-01T09:39:39Z}"
        entry = self._mapping(value, "time", {"column", "unit", "start"}, form)
        column = self._required(entry, "column", "the name of the time column", "time.")
        unit, start = entry.get("unit"), entry.get("start")
        if unit is not None and unit not in _SECONDS:
            raise self._error("time.unit", f"expected one of {', '.join(_SECONDS)}, got {unit!r}")
        if start is not None and unit is None:
            raise self._error("time.start", "counts only with a unit; a column of dates and times needs no start")
        return TimeColumn(
            column=str(column),
            unit_s=None if unit is None else _SECONDS[unit],
            start=None if start is None else self._start(start),
        )

    def _start(self, value: object) -> datetime:
        # An unquoted timestamp comes as a subclass of datetime, which should not travel any further.
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError as error:
            raise self._error("time.start", f"expected date and time in ISO 8601, got {value!r}") from error
        plain = datetime.combine(moment.date(), moment.time(), moment.tzinfo)
        return plain.replace(tzinfo=UTC) if plain.tzinfo is None else plain.astimezone(UTC)

    def _target(self, column: str, value: object) -> ColumnTarget:
        key = f"columns.{column}"
        sensor: object = None
        if isinstance(value, dict):
            entry = self._mapping(value, key, {"topic", "sensor"}, "a topic, or {topic, sensor}")
            value, sensor = self._required(entry, "topic", "an MQTT topic", f"{key}."), entry.get("sensor")
        if not isinstance(value, str) or not value or any(sign in value for sign in "+#\0"):
            raise self._error(key, f"expected an MQTT topic without wildcards (+, #), got {value!r}")
        if sensor is not None and (not isinstance(sensor, str) or not sensor):
            raise self._error(f"{key}.sensor", f"expected the sensor's name, got {sensor!r}")
        return ColumnTarget(column=column, topic=value, sensor=sensor or ".".join(value.split("/")[-2:]))

    def _mapping(self, value: object, key: str, allowed: set[str] | None, form: str) -> Mapping[Any, Any]:
        """A mapping with allowed keys only (None: any), its lines remembered."""
        if not isinstance(value, CommentedMap):
            raise self._error(key, f"expected {form}, got {'nothing' if value is None else repr(value)}")
        prefix = f"{key}." if key else ""
        for name in value:
            self._lines[f"{prefix}{name}"] = value.lc.key(name)[0] + 1
            if allowed is not None and name not in allowed:
                raise self._error(f"{prefix}{name}", f"unknown key; expected {', '.join(sorted(allowed))}")
        return value

    def _required(self, entry: Mapping[Any, Any], name: str, form: str, prefix: str = "") -> Any:
        if entry.get(name) is None:
            raise self._error(f"{prefix}{name}", f"missing; expected {form}")
        return entry[name]

    def _reject_twice(self, names: Sequence[str], targets: Sequence[ColumnTarget], what: str) -> None:
        seen: dict[str, str] = {}
        for name, target in zip(names, targets, strict=True):
            if name in seen:
                raise self._error(
                    f"columns.{target.column}",
                    f"{what} {name!r} is taken by column {seen[name]!r}; expected another",
                )
            seen[name] = target.column

    def _error(self, key: str, text: str) -> TopicMapError:
        line = self._lines.get(key) or self._lines.get(key.rsplit(".", 1)[0], 1)
        return TopicMapError(f"{self._path}:{line}: {f'{key}: ' if key else ''}{text}")
