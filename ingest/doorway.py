"""`Doorway`: what has been read out of messages becomes a batch, without what the door's limits turn away."""

import json
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ingest.codecs.contract import Fault, Item
from ingest.columns import Columns
from ingest.decoded import Decoded, ReceivedWaveform, Rejection, WantedSensor
from ingest.edge import Heard
from ingest.limits import DoorLimits, moment
from ingest.message import Message
from ingest.quarantine import HeldReading
from ingest.reasons import RejectReason
from ingest.registry import Sighting
from ingest.sparkplug.nodes import Changes
from telemetry.batch import ReadingBatch
from telemetry.plant import AssetState, Sensor, SensorKind

__all__ = ["Doorway", "Taken", "text_of"]

_STATES = [float(state) for state in AssetState]


class Taken:
    """What has been taken out of messages so far."""

    def __init__(self, columns: Columns, now_us: int, blocked: frozenset[str]) -> None:
        self.columns = columns
        self.now_us = now_us
        self.rejections: list[Rejection] = []
        self.blocks: list[ReceivedWaveform] = []
        self.held: list[HeldReading] = []
        self.wanted: dict[str, WantedSensor] = {}
        self.heard = Heard(columns, now_us, blocked)


class Doorway:
    """The door of a plant's sensors, by their positions."""

    def __init__(
        self, sensors: Sequence[Sensor], sources: tuple[str, ...], limits: DoorLimits, *, devices: Collection[str]
    ) -> None:
        """`devices`: sources that are gateways, which are heard when a message of theirs comes."""
        self._sensors = sensors
        self._sources = sources
        self._limits = limits
        self._devices = frozenset(devices)
        self._id = np.array([sensor.id for sensor in sensors], np.int32)
        self._factor = np.array([sensor.factor for sensor in sensors], np.float64)
        self._offset = np.array([sensor.offset for sensor in sensors], np.float64)
        self._converts = bool(np.any(self._factor != 1) or np.any(self._offset != 0))
        self._is_state = np.array([sensor.kind is SensorKind.STATE for sensor in sensors], np.bool_)

    def convert(self, position: int, factor: float, offset: float) -> None:
        """From now on a sensor's values come in another unit, as a birth says."""
        self._factor[position], self._offset[position] = factor, offset
        self._converts = True

    def readings(self, messages: Sequence[Message], taken: "Taken", changes: Changes) -> Decoded:
        """Columns to a batch, without what the door's limits turn away."""
        columns, now_us = taken.columns, taken.now_us
        # Of a flat list quicker than `np.array`, which looks for lists within it.
        count = len(columns.time)
        time = np.fromiter(columns.time, np.int64, count)
        sensor = np.fromiter(columns.sensor, np.intp, count)
        value = np.fromiter(columns.value, np.float64, count)
        message_of = columns.message_of()
        source = np.array(columns.source, np.int16)[message_of]
        if self._converts:
            factor, offset = self._factor[sensor], self._offset[sensor]
            factor[columns.converted], offset[columns.converted] = 1, 0
            with np.errstate(over="ignore", invalid="ignore"):
                value = value * factor + offset
        sound = np.isfinite(value) & (time >= self._limits.oldest_us(now_us)) & (time <= self._limits.latest_us(now_us))
        sound &= ~self._is_state[sensor] | np.isin(value, _STATES)
        batch = ReadingBatch(time=time, sensor_id=self._id[sensor], value=value, quality=columns.quality())
        turned_away: dict[tuple[int, RejectReason], int] = {}
        if not sound.all():
            for position in np.flatnonzero(~sound).tolist():
                carrier = int(message_of[position])
                alone = columns.carried[carrier] == 1
                fault = self._door_fault(columns, position, float(value[position]), now_us, alone=alone)
                taken.rejections.append(self.rejection(messages[carrier], self._sources[source[position]], fault))
                key = int(batch.sensor_id[position]), fault.reason
                turned_away[key] = turned_away.get(key, 0) + 1
            batch, source = batch.take(sound), source[sound]
        heard = taken.heard
        historical = np.zeros(sound.size, np.bool_)
        historical[columns.historical] = True
        return Decoded(
            batch=batch,
            source=source,
            sources=self._sources,
            rejections=taken.rejections,
            received=self._received(columns),
            blocks=taken.blocks,
            held=[*taken.held, *heard.held],
            wanted=(*taken.wanted.values(), *heard.wanted.values()),
            sightings=[*self._sightings(batch, source, columns), *heard.sightings],
            historical=historical[sound] if columns.historical else None,
            changes=heard.changes,
            out_of_sight=heard.out_of_sight,
            nodes=changes.nodes,
            metrics=changes.metrics,
            commands=heard.commands,
            notes=heard.notes,
            turned_away=turned_away,
        )

    def _received(self, columns: Columns) -> dict[str, int]:
        counts: npt.NDArray[np.int64] = np.zeros(len(self._sources), np.int64)
        np.add.at(counts, columns.source, columns.carried)
        return {name: int(count) for name, count in zip(self._sources, counts, strict=True) if count}

    def _sightings(self, batch: ReadingBatch, source: npt.NDArray[np.int16], columns: Columns) -> list[Sighting]:
        """Which gateways were heard, and the newest time each of them gave."""
        newest = np.full(len(self._sources), np.iinfo(np.int64).min, np.int64)
        np.maximum.at(newest, source, batch.time)
        return [
            Sighting(
                device=self._sources[position],
                source=self._sources[position],
                newest_us=int(newest[position]) if newest[position] > np.iinfo(np.int64).min else None,
            )
            for position in sorted(set(columns.source))
            if self._sources[position] in self._devices
        ]

    def _door_fault(self, columns: Columns, position: int, value: float, now_us: int, *, alone: bool) -> Fault:
        """Why a reading that was understood is turned away. The first of several reasons is named."""
        time, sensor = columns.time[position], self._sensors[columns.sensor[position]]
        if not np.isfinite(value):
            detail = f"The value of {sensor.name!r}, converted to {sensor.unit!r}, is not a finite number."
            fault: Fault | None = Fault(reason=RejectReason.NOT_FINITE, detail=detail)
        else:
            fault = self._limits.time_fault(time, now_us)
        if fault is None:
            known = ", ".join(f"{state.value} ({state.name.lower()})" for state in AssetState)
            detail = f"{value:g} is no state of {sensor.name!r}; expected {known}."
            fault = Fault(reason=RejectReason.UNKNOWN_STATE, detail=detail)
        item = Item(sensor=sensor.name, time=time, value=columns.value[position], quality=0)
        return fault if alone else replace(fault, text=text_of(item))

    def rejection(self, message: Message, source: str, fault: Fault) -> Rejection:
        """A fault, and the message it was found in."""
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


def text_of(item: Item) -> bytes:
    """An item of a larger message as JSON, with its time as understood."""
    return json.dumps({"sensor": item.sensor, "ts": moment(item.time), "value": item.value}).encode("ascii")
