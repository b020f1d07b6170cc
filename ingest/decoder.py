"""`Decoder`: messages to one batch of readings, for the plant as it stands."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from ingest.codecs import json_readings
from ingest.codecs.contract import Fault, Item
from ingest.codecs.json_readings import Frame, Point
from ingest.columns import Columns, UnfitError
from ingest.decoded import Decoded, Rejection, RejectReason
from ingest.message import Message
from ingest.timestamps import micros_of
from telemetry.batch import ReadingBatch, to_datetime, to_micros
from telemetry.plant import AssetState, Plant, SensorKind

__all__ = ["UNKNOWN_SOURCE", "Decoder", "DoorLimits"]

UNKNOWN_SOURCE: Final = "unknown"
"""ledger of what arrives on a topic that the plant does not have"""

_MICROS_PER_SECOND = 1_000_000
_STATES = [float(state) for state in AssetState]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorLimits:
    """What is turned away at the door, whatever it says."""

    max_payload_bytes: int = 262_144
    earliest: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    """older readings come from a clock that was never set"""
    max_future_s: float = 600.0
    """how far a device's clock may run ahead of ours: one reading in 2099 would drag every rollup there"""
    max_age_s: float | None = None
    """how long readings are kept: older ones would go to a piece that was thrown away; None: for ever"""
    max_rejected_payload_bytes: int = 4_096
    """how much of a rejected payload is kept"""

    def oldest_us(self, now_us: int) -> int:
        """The earliest time that is let in at a wall-clock time, both in µs since 1970."""
        earliest_us = to_micros(self.earliest)
        if self.max_age_s is None:
            return earliest_us
        return max(earliest_us, now_us - round(self.max_age_s * _MICROS_PER_SECOND))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """What a topic means."""

    source: int
    """position in the ledger's sources"""
    sensor: int | None
    """position among the sensors; None: a gateway, whose readings name their sensors"""


class Decoder:
    """Turns messages into readings of a plant's sensors. Make a new one when the plant changes.

    Nothing that arrives raises: what is no reading becomes a `Rejection`, alone; its neighbours are kept.
    """

    def __init__(self, plant: Plant, limits: DoorLimits | None = None) -> None:
        self._limits = limits or DoorLimits()
        self._sensors = tuple(sensor for sensor in plant.sensors if sensor.kind is not SensorKind.DERIVED)
        self._codes = [sensor.codes for sensor in self._sensors]
        self._position = {sensor.name: position for position, sensor in enumerate(self._sensors)}
        self._derived = {sensor.name for sensor in plant.sensors if sensor.kind is SensorKind.DERIVED}
        self._id = np.array([sensor.id for sensor in self._sensors], np.int32)
        self._factor = np.array([sensor.factor for sensor in self._sensors], np.float64)
        self._offset = np.array([sensor.offset for sensor in self._sensors], np.float64)
        self._converts = bool(np.any(self._factor != 1) or np.any(self._offset != 0))
        self._is_state = np.array([sensor.kind is SensorKind.STATE for sensor in self._sensors], np.bool_)
        names = [gateway.name for gateway in plant.gateways] + [sensor.site for sensor in self._sensors]
        self._sources = tuple(dict.fromkeys([*names, UNKNOWN_SOURCE]))
        self._routes = {
            sensor.topic: _Route(source=self._sources.index(sensor.site), sensor=position)
            for position, sensor in enumerate(self._sensors)
            if sensor.topic is not None
        } | {gateway.topic: _Route(source=self._sources.index(gateway.name), sensor=None) for gateway in plant.gateways}

    def decode(self, messages: Sequence[Message], now_us: int) -> Decoded:
        """What the messages hold, at the wall-clock time `now_us` (microseconds since 1970-01-01 UTC)."""
        columns = Columns(codes=self._codes)
        rejections: list[Rejection] = []
        unknown = self._sources.index(UNKNOWN_SOURCE)
        for message in messages:
            route = self._routes.get(message.topic)
            columns.begin(unknown if route is None else route.source)
            if route is None or not 0 < len(message.payload) <= self._limits.max_payload_bytes:
                columns.carried.append(1)
                rejections.append(self._turned_away(message, route))
                continue
            try:
                carried = self._quickly(message.payload, route, columns)
            except (ValueError, RecursionError):
                columns.take_back()
                carried = self._carefully(message, route, columns, rejections)
            columns.carried.append(carried)
        return self._at_the_door(messages, columns, rejections, now_us)

    def _turned_away(self, message: Message, route: _Route | None) -> Rejection:
        """Why a message is not looked into at all."""
        size = len(message.payload)
        if route is None:
            detail = f"No sensor or gateway of the plant sends on the topic {message.topic[:200]!r}."
            return self._rejection(message, UNKNOWN_SOURCE, Fault(reason=RejectReason.UNKNOWN_SENSOR, detail=detail))
        if size == 0:
            fault = Fault(reason=RejectReason.EMPTY_PAYLOAD, detail="The message has no payload.")
        else:
            detail = f"The payload has {size} bytes, at most {self._limits.max_payload_bytes} are taken."
            fault = Fault(reason=RejectReason.PAYLOAD_TOO_LARGE, detail=detail)
        return self._rejection(message, self._sources[route.source], fault)

    def _quickly(self, payload: bytes, route: _Route, columns: Columns) -> int:
        """Add all readings of a payload without a fault; returns how many items it holds.

        Raises:
            ValueError, RecursionError: it has one. The caller takes back what was added.
        """
        add = columns.add
        sensor = route.sensor
        if sensor is not None:
            content = json_readings.decode_sensor(payload)
            if isinstance(content, Point):
                add(sensor, content.ts, content.value, content.quality)
                return 1
            for point in content:
                add(sensor, point.ts, point.value, point.quality)
            return len(content)
        document = json_readings.decode_gateway(payload)
        if isinstance(document, Frame):
            return self._add_frame(document, columns)
        for named in document:
            add(self._known(named.sensor), named.ts, named.value, named.quality)
        return len(document)

    def _add_frame(self, frame: Frame, columns: Columns) -> int:
        if isinstance(frame.values, dict):
            times = [micros_of(stamp) for stamp in frame.ts] if isinstance(frame.ts, list) else None
            carried = 0
            for name, column in frame.values.items():
                sensor = self._known(name)
                if times is not None and isinstance(column, list):
                    carried += columns.add_column(sensor, times, column, frame.quality)
                elif isinstance(frame.ts, list) or isinstance(column, list):
                    raise UnfitError
                elif column is not None:
                    columns.add(sensor, frame.ts, column, frame.quality)
                    carried += 1
            return carried
        if frame.sensor is UNSET or frame.value is UNSET or isinstance(frame.ts, list):
            raise UnfitError
        columns.add(self._known(frame.sensor), frame.ts, frame.value, frame.quality)
        return 1

    def _known(self, name: str) -> int:
        position = self._position.get(name)
        if position is None:
            raise UnfitError
        return position

    def _carefully(self, message: Message, route: _Route, columns: Columns, rejections: list[Rejection]) -> int:
        """Add what is sound in a payload, reject the rest item by item; returns how many items it holds."""
        carried, items = json_readings.examine(message.payload, gateway=route.sensor is None)
        for item in items:
            fault = item if isinstance(item, Fault) else self._add_item(item, route, columns)
            if fault is not None:
                rejections.append(self._rejection(message, self._sources[route.source], fault))
        return carried

    def _add_item(self, item: Item, route: _Route, columns: Columns) -> Fault | None:
        sensor = route.sensor if item.sensor is None else self._position.get(item.sensor)
        if sensor is None:
            why = "computed here and cannot be sent" if item.sensor in self._derived else "not in the plant"
            detail = f"The sensor {str(item.sensor)[:80]!r} is {why}."
            return Fault(reason=RejectReason.UNKNOWN_SENSOR, detail=detail, text=_text_of(item))
        value = item.value
        if isinstance(value, str):
            codes = self._codes[sensor]
            if value not in codes:
                name = self._sensors[sensor].name
                if codes:
                    expected = ", ".join(map(repr, codes))[:200]
                    detail = f"{value[:80]!r} is no state of {name!r}; expected {expected}."
                    return Fault(reason=RejectReason.UNKNOWN_STATE, detail=detail, text=_text_of(item))
                detail = f"{name!r} takes numbers, not the text {value[:80]!r}."
                return Fault(reason=RejectReason.WRONG_TYPE, detail=detail, text=_text_of(item))
            value = codes[value]
        columns.add_exact(sensor, item.time, value, item.quality)
        return None

    def _at_the_door(
        self, messages: Sequence[Message], columns: Columns, rejections: list[Rejection], now_us: int
    ) -> Decoded:
        """Columns to a batch, without what the door's limits turn away."""
        time = np.array(columns.time, np.int64)
        sensor = np.array(columns.sensor, np.intp)
        value = np.array(columns.value, np.float64)
        message_of = columns.message_of()
        source = np.array(columns.source, np.int16)[message_of]
        if self._converts:
            with np.errstate(over="ignore", invalid="ignore"):
                value = value * self._factor[sensor] + self._offset[sensor]
        earliest = self._limits.oldest_us(now_us)
        latest = now_us + round(self._limits.max_future_s * _MICROS_PER_SECOND)
        sound = np.isfinite(value) & (time >= earliest) & (time <= latest)
        sound &= ~self._is_state[sensor] | np.isin(value, _STATES)
        batch = ReadingBatch(time=time, sensor_id=self._id[sensor], value=value, quality=columns.quality())
        if not sound.all():
            for position in np.flatnonzero(~sound).tolist():
                carrier = int(message_of[position])
                alone = columns.carried[carrier] == 1
                fault = self._door_fault(columns, position, float(value[position]), now_us, alone=alone)
                rejections.append(self._rejection(messages[carrier], self._sources[source[position]], fault))
            batch, source = batch.take(sound), source[sound]
        return Decoded(
            batch=batch,
            source=source,
            sources=self._sources,
            rejections=rejections,
            received=self._received(columns),
        )

    def _received(self, columns: Columns) -> dict[str, int]:
        counts: npt.NDArray[np.int64] = np.zeros(len(self._sources), np.int64)
        np.add.at(counts, columns.source, columns.carried)
        return {name: int(count) for name, count in zip(self._sources, counts, strict=True) if count}

    def _door_fault(self, columns: Columns, position: int, value: float, now_us: int, *, alone: bool) -> Fault:
        """Why a reading that was understood is turned away. The first of several reasons is named."""
        time, sensor = columns.time[position], self._sensors[columns.sensor[position]]
        if not np.isfinite(value):
            reason = RejectReason.NOT_FINITE
            detail = f"The value of {sensor.name!r}, converted to {sensor.unit!r}, is not a finite number."
        elif time < to_micros(self._limits.earliest):
            reason = RejectReason.TOO_OLD_TIMESTAMP
            detail = f"{_moment(time)} lies before {self._limits.earliest.isoformat()}; is the device's clock set?"
        elif time < self._limits.oldest_us(now_us):
            reason = RejectReason.TOO_OLD_TIMESTAMP
            detail = (
                f"{_moment(time)} is older than readings are kept, {(self._limits.max_age_s or 0) / 86_400:g} days;"
                " see PRECURSOR_RETENTION__READINGS_DAYS."
            )
        elif time > now_us + round(self._limits.max_future_s * _MICROS_PER_SECOND):
            reason = RejectReason.FUTURE_TIMESTAMP
            ahead_s = (time - now_us) / _MICROS_PER_SECOND
            detail = (
                f"{_moment(time)} is {ahead_s:.0f} s ahead of the engine's clock,"
                f" {self._limits.max_future_s:.0f} s are allowed; set the device's clock."
            )
        else:
            reason = RejectReason.UNKNOWN_STATE
            known = ", ".join(f"{state.value} ({state.name.lower()})" for state in AssetState)
            detail = f"{value:g} is no state of {sensor.name!r}; expected {known}."
        item = Item(sensor=sensor.name, time=time, value=columns.value[position], quality=0)
        return Fault(reason=reason, detail=detail, text=None if alone else _text_of(item))

    def _rejection(self, message: Message, source: str, fault: Fault) -> Rejection:
        payload = message.payload if fault.text is None else fault.text
        return Rejection(
            source=source,
            # PostgreSQL's text takes neither NUL nor half a surrogate pair.
            topic=message.topic.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00"),
            reason=fault.reason,
            payload=payload[: self._limits.max_rejected_payload_bytes],
            payload_bytes=len(payload),
            detail=fault.detail,
        )


def _text_of(item: Item) -> bytes:
    """An item of a larger message as JSON, with its time as understood."""
    return json.dumps({"sensor": item.sensor, "ts": _moment(item.time), "value": item.value}).encode("ascii")


def _moment(micros: int) -> str:
    try:
        return to_datetime(micros).isoformat()
    except OverflowError:
        return f"{micros} µs"
