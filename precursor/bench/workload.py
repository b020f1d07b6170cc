"""What is sent and stored: a thousand sensors with a reading a second, the same in every run."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from ingest.message import Message
from ingest.sparkplug.datatypes import DataType
from ingest.sparkplug.payload import Payload, encode_payload, metric_of
from ingest.sparkplug.topics import NAMESPACE
from telemetry.batch import ReadingBatch, to_micros
from telemetry.plant import Asset, Gateway, PayloadFormat, Plant, Sensor, SensorKind, UnknownNames

__all__ = ["BEGIN", "Form", "Workload", "bench_plant", "edge_group", "history"]

Form = Literal["single", "array", "columnar", "sparkplug"]

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
"""event time of the first reading"""
_BEGIN_US = to_micros(BEGIN)
_SECOND_US = 1_000_000
_BLOCK = 10
"""sensors, and instants, in a message of 100 readings"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Messages by number. No two of a form hold the same sensor and instant."""

    form: Form
    """one reading a message, an array of 100, or columns of 100"""
    sensors: int
    """a multiple of 10"""
    prefix: str
    """the topics' first levels"""
    epoch_s: int = 0
    """the first message's event time after `BEGIN`, s"""

    @property
    def readings(self) -> int:
        """In one message; of Sparkplug: in one after the birth."""
        return 1 if self.form == "single" else _BLOCK * _BLOCK

    def total(self, messages: int) -> int:
        """Readings in the first so many messages."""
        if self.form == "sparkplug":
            return self.sensors + (messages - 1) * self.readings
        return messages * self.readings

    def message(self, number: int) -> tuple[str, bytes]:
        """Topic and payload of the message of this number, from 0."""
        if self.form == "sparkplug":
            return self._sparkplug(number)
        if self.form == "single":
            instant, sensor = divmod(number, self.sensors)
            payload = f'{{"ts":"{_stamp(self.epoch_s + instant)}","value":{_value(number)}}}'
            return f"{self.prefix}/{_name(sensor)}", payload.encode()
        instant, block = divmod(number, self.sensors // _BLOCK)
        stamps = [_stamp(self.epoch_s + instant * _BLOCK + second) for second in range(_BLOCK)]
        names = [_name(block * _BLOCK + sensor) for sensor in range(_BLOCK)]
        if self.form == "array":
            items = [
                f'{{"sensor":"{name}","ts":"{stamp}","value":{_value(number + position)}}}'
                for position, (stamp, name) in enumerate((stamp, name) for stamp in stamps for name in names)
            ]
            payload = f"[{','.join(items)}]"
        else:
            quoted = ",".join(f'"{stamp}"' for stamp in stamps)
            columns = [
                f'"{name}":[{",".join(str(_value(number + _BLOCK * row + second)) for second in range(_BLOCK))}]'
                for row, name in enumerate(names)
            ]
            payload = f'{{"ts":[{quoted}],"values":{{{",".join(columns)}}}}}'
        return f"{self.prefix}/gateway", payload.encode()

    def messages(self, first: int, count: int) -> Iterator[Message]:
        """`count` messages as the engine gets them."""
        for number in range(first, first + count):
            topic, payload = self.message(number)
            yield Message(topic=topic, payload=payload, mid=number % 65_535 + 1, qos=1, clean=self.form == "sparkplug")

    def _sparkplug(self, number: int) -> tuple[str, bytes]:
        """The birth of an edge node, then its data: a hundred metrics by alias, each of its own second."""
        space, seq = f"{NAMESPACE}/{edge_group(self.prefix)}", number % 256
        if number == 0:
            stamp = _milliseconds(self.epoch_s - 1)
            metrics = [metric_of("bdSeq", DataType.INT64, 0, timestamp_ms=stamp)] + [
                metric_of(_name(sensor), DataType.DOUBLE, _value(sensor), alias=sensor + 1, timestamp_ms=stamp)
                for sensor in range(self.sensors)
            ]
            return f"{space}/NBIRTH/node", encode_payload(Payload(timestamp_ms=stamp, seq=seq, metrics=metrics))
        instant, block = divmod(number - 1, self.sensors // _BLOCK)
        first = block * _BLOCK
        metrics = [
            metric_of(
                None,
                DataType.DOUBLE,
                _value(number * 100 + second * _BLOCK + sensor),
                alias=first + sensor + 1,
                timestamp_ms=_milliseconds(self.epoch_s + instant * _BLOCK + second),
                with_datatype=False,
            )
            for second in range(_BLOCK)
            for sensor in range(_BLOCK)
        ]
        sent = _milliseconds(self.epoch_s + instant * _BLOCK + _BLOCK)
        return f"{space}/NDATA/node", encode_payload(Payload(timestamp_ms=sent, seq=seq, metrics=metrics))


def history(number: int, *, rows: int, sensor_ids: list[int]) -> ReadingBatch:
    """The batch of this number: each sensor once a second, in the order in which gateways send it.

    Batches of different numbers have no instant in common. `rows` is a multiple of the number of sensors.
    """
    seconds = rows // len(sensor_ids)
    instants = _BEGIN_US + (number * seconds + np.arange(seconds)) * _SECOND_US
    noise = np.random.default_rng(number).normal(20.0, 3.0, rows)
    return ReadingBatch.of(np.repeat(instants, len(sensor_ids)), np.tile(sensor_ids, seconds), noise)


def bench_plant(*, sensors: int, prefix: str) -> Plant:
    """The plant of the bench, for what needs no database: ids count from 1."""
    return Plant(
        revision=1,
        assets=(
            Asset(
                id=1,
                name="bench-asset",
                title="",
                parent_id=None,
                site="bench",
                area="bench",
                asset_class="",
                criticality=1,
            ),
        ),
        sensors=tuple(
            Sensor(
                id=position + 1,
                name=_name(position),
                asset_id=1,
                kind=SensorKind.MEASURED,
                quantity="",
                unit="",
                site="bench",
                topic=f"{prefix}/{_name(position)}",
            )
            for position in range(sensors)
        ),
        gateways=(
            Gateway(name="bench-gateway", topic=f"{prefix}/gateway", site="bench"),
            Gateway(
                name="bench-edge",
                topic=f"{NAMESPACE}/{edge_group(prefix)}/#",
                site="bench",
                format=PayloadFormat.SPARKPLUG_B,
                names={_name(position): _name(position) for position in range(sensors)},
                unknown=UnknownNames.REJECT,
            ),
        ),
        subscriptions=(f"{prefix}/#",),
    )


def edge_group(prefix: str) -> str:
    """The Sparkplug group of a run whose topics begin so."""
    return prefix.replace("/", "-")


def _milliseconds(second: int) -> int:
    return (_BEGIN_US + second * _SECOND_US) // 1000


def _name(position: int) -> str:
    return f"bench-{position:04}"


def _stamp(second: int) -> str:
    return f"{BEGIN + timedelta(seconds=second):%Y-%m-%dT%H:%M:%SZ}"


def _value(number: int) -> float:
    return round(20 + number * 7919 % 10_000 / 1_000, 3)
