"""What devices send: readings as JSON payloads on topics."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from simulators.plant import GATEWAY_TOPIC, SENSORS, Tick

__all__ = ["Message", "NamedReading", "array", "plant_messages", "single", "timestamp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One MQTT message, ready to be published."""

    at: datetime
    """event time at which the device has it ready (that of its last reading)"""
    topic: str
    payload: bytes
    readings: int
    """how many readings the payload holds"""


class NamedReading(msgspec.Struct, frozen=True):
    """An element of a gateway's array."""

    sensor: str
    ts: str
    value: float | str


class _SingleReading(msgspec.Struct, frozen=True):
    ts: str
    value: float | str


_encoder = msgspec.json.Encoder()


def timestamp(at: datetime) -> str:
    """ISO 8601 in UTC.

    >>> timestamp(datetime(2026, 11, 21, 6, 30, tzinfo=UTC))
    '2026-11-21T06:30:00Z'
    """
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def single(at: datetime, topic: str, value: float | str) -> Message:
    """One reading on the topic of its sensor: `{"ts": ..., "value": ...}`."""
    payload = _encoder.encode(_SingleReading(ts=timestamp(at), value=value))
    return Message(at=at, topic=topic, payload=payload, readings=1)


def array(at: datetime, topic: str, readings: Iterable[NamedReading]) -> Message:
    """Readings of several sensors on a gateway's topic: `[{"sensor": ..., "ts": ..., "value": ...}, ...]`."""
    elements = list(readings)
    return Message(at=at, topic=topic, payload=_encoder.encode(elements), readings=len(elements))


def plant_messages(ticks: Iterable[Tick]) -> Iterator[Message]:
    """The simulated plant's messages: sensors with a topic send alone, the others through their gateway."""
    topics = {sensor.name: sensor.topic for sensor in SENSORS}
    for tick in ticks:
        gathered: list[NamedReading] = []
        for reading in tick.readings:
            topic = topics[reading.sensor]
            if topic is None:
                gathered.append(NamedReading(sensor=reading.sensor, ts=timestamp(tick.at), value=reading.value))
            else:
                yield single(tick.at, topic, reading.value)
        if gathered:
            yield array(tick.at, GATEWAY_TOPIC, gathered)
