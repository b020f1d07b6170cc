"""What is sent and stored: a thousand sensors with a reading a second, the same in every run."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from ingest.message import Message
from telemetry.batch import ReadingBatch, to_micros
from telemetry.plant import Asset, Gateway, Plant, Sensor, SensorKind

__all__ = ["BEGIN", "Form", "Workload", "bench_plant", "history"]

Form = Literal["single", "array", "columnar"]

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
        """In one message."""
        return 1 if self.form == "single" else _BLOCK * _BLOCK

    def message(self, number: int) -> tuple[str, bytes]:
        """Topic and payload of the message of this number, from 0."""
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
            yield Message(topic=topic, payload=payload, mid=number % 65_535 + 1, qos=1)


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
        gateways=(Gateway(name="bench-gateway", topic=f"{prefix}/gateway", site="bench"),),
        subscriptions=(f"{prefix}/#",),
    )


def _name(position: int) -> str:
    return f"bench-{position:04}"


def _stamp(second: int) -> str:
    return f"{BEGIN + timedelta(seconds=second):%Y-%m-%dT%H:%M:%SZ}"


def _value(number: int) -> float:
    return round(20 + number * 7919 % 10_000 / 1_000, 3)
