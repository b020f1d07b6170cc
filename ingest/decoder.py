"""`Decoder`: messages to one batch of readings, for the plant as it stands."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from msgspec import UNSET

from ingest.codecs.contract import Block, Codec, Fault, Item
from ingest.codecs.forms import codec_for
from ingest.codecs.json_readings import Frame, JsonCodec, Point
from ingest.columns import Columns, UnfitError
from ingest.decoded import Decoded, ReceivedWaveform, Rejection
from ingest.doorway import Doorway, Taken, text_of
from ingest.edge import EdgeNodes
from ingest.limits import DoorLimits
from ingest.message import Message
from ingest.quarantine import HeldReading
from ingest.reasons import RejectReason
from ingest.routes import Route, Routes
from ingest.sparkplug.host import SparkplugHost
from ingest.timestamps import micros_of
from ingest.unknown import wanted_by_rule
from telemetry.batch import to_datetime
from telemetry.plant import Gateway, PayloadFormat, Plant, SensorKind, UnknownNames
from telemetry.units import UnitError, conversion
from telemetry.waveforms import InvalidWaveformError, Waveform

__all__ = ["UNKNOWN_SOURCE", "Decoder"]

UNKNOWN_SOURCE: Final = "unknown"
"""ledger of what arrives on a topic that the plant does not have"""

_WAVEFORMS = frozenset({PayloadFormat.WAVEFORM_JSON, PayloadFormat.WAVEFORM_CBOR})


class Decoder:
    """Turns messages into readings of a plant's sensors. Make a new one when the plant changes.

    Nothing that arrives raises: what is no reading becomes a `Rejection`, alone; its neighbours are kept.
    """

    def __init__(
        self,
        plant: Plant,
        limits: DoorLimits | None = None,
        *,
        blocked: Collection[str] = (),
        host: SparkplugHost | None = None,
    ) -> None:
        """
        Args:
            plant: what there is.
            limits: of the door.
            blocked: devices whose readings are kept aside, also where the plant has their sensors.
            host: of the plant's edge nodes, as of the last batch committed; None: one that knows none of them.
        """
        self._limits = limits or DoorLimits()
        self._blocked = frozenset(blocked)
        self._sensors = tuple(sensor for sensor in plant.sensors if sensor.kind is not SensorKind.DERIVED)
        self._codes = [sensor.codes for sensor in self._sensors]
        self._derived = {sensor.name for sensor in plant.sensors if sensor.kind is SensorKind.DERIVED}
        names = [gateway.name for gateway in plant.gateways] + [sensor.site for sensor in self._sensors]
        self._sources = tuple(dict.fromkeys([*names, UNKNOWN_SOURCE]))
        self._unknown = self._sources.index(UNKNOWN_SOURCE)
        self._door = Doorway(
            self._sensors, self._sources, self._limits, devices=[gateway.name for gateway in plant.gateways]
        )
        self._routes = Routes(self._sensors, plant.gateways, self._sources)
        self._codecs: dict[str, Codec] = {
            gateway.name: codec_for(gateway)
            for gateway in plant.gateways
            if gateway.format is not PayloadFormat.SPARKPLUG_B
        }
        self._json = JsonCodec()
        self.edge = EdgeNodes(host or SparkplugHost(), plant.gateways, self._sensors, self._limits, self._door.convert)

    def decode(self, messages: Sequence[Message], now_us: int) -> Decoded:
        """What the messages hold, at the wall-clock time `now_us` (microseconds since 1970-01-01 UTC)."""
        taken = self._taken(now_us)
        columns = taken.columns
        find = self._routes.find
        for message in messages:
            route = find(message.topic)
            columns.begin(self._unknown if route is None else route.source)
            if route is None and (gateway := self.edge.gateway_of(message.topic)) is not None:
                columns.carried.append(self._of_edge_node(message, gateway, taken))
                continue
            if route is None or not 0 < len(message.payload) <= self._most_bytes(route):
                columns.carried.append(1)
                taken.rejections.append(self._turned_away(message, route))
                continue
            codec = self._json if route.gateway is None else self._codecs[route.gateway.name]
            if isinstance(codec, JsonCodec) and not self._blocks(route):
                try:
                    columns.carried.append(self._quickly(message.payload, route, codec, columns))
                    continue
                except (ValueError, RecursionError):
                    columns.take_back()
            columns.carried.append(self._carefully(message, route, codec, taken))
        return self._door.readings(messages, taken, self.edge.changes())

    def cut_off(self, now_us: int) -> Decoded:
        """The connection to edge nodes is lost: what they said last is STALE."""
        taken = self._taken(now_us)
        # What brings these readings is that no message comes.
        silence = Message(topic="", payload=b"")
        parts = self.edge.cut_off(now_us)
        for gateway, part in parts:
            taken.columns.begin(self._sources.index(gateway.name))
            carried, faults = self.edge.add(part, gateway, taken.heard)
            taken.columns.carried.append(carried)
            taken.rejections += [self._door.rejection(silence, gateway.name, fault) for fault in faults]
        return self._door.readings([silence] * len(parts), taken, self.edge.changes())

    def _taken(self, now_us: int) -> Taken:
        return Taken(Columns(codes=self._codes), now_us, self._blocked)

    def _of_edge_node(self, message: Message, gateway: Gateway, taken: Taken) -> int:
        """What a message of Sparkplug carries; its readings go to the columns."""
        columns = taken.columns
        columns.source[-1] = self._sources.index(gateway.name)
        if not message.clean:
            # Its own session, which the broker forgets, brings it too: a sequence that is heard twice is none.
            return 0
        if len(message.payload) > self._limits.max_waveform_bytes:
            detail = (
                f"The payload has {len(message.payload)} bytes, at most {self._limits.max_waveform_bytes} are taken."
            )
            faults = [Fault(reason=RejectReason.PAYLOAD_TOO_LARGE, detail=detail)]
            carried = 1
        else:
            carried, faults = self.edge.take(message.topic, message.payload, gateway, taken.heard)
        taken.rejections += [self._door.rejection(message, gateway.name, fault) for fault in faults]
        return carried

    def _most_bytes(self, route: Route) -> int:
        if route.gateway is not None and route.gateway.format in _WAVEFORMS:
            return self._limits.max_waveform_bytes
        return self._limits.max_payload_bytes

    def _blocks(self, route: Route) -> bool:
        return route.gateway is not None and route.gateway.name in self._blocked

    def _turned_away(self, message: Message, route: Route | None) -> Rejection:
        """Why a message is not looked into at all."""
        size = len(message.payload)
        if route is None:
            detail = f"No sensor or gateway of the plant sends on the topic {message.topic[:200]!r}."
            return self._door.rejection(
                message, UNKNOWN_SOURCE, Fault(reason=RejectReason.UNKNOWN_SENSOR, detail=detail)
            )
        if size == 0:
            fault = Fault(reason=RejectReason.EMPTY_PAYLOAD, detail="The message has no payload.")
        else:
            detail = f"The payload has {size} bytes, at most {self._most_bytes(route)} are taken."
            fault = Fault(reason=RejectReason.PAYLOAD_TOO_LARGE, detail=detail)
        return self._door.rejection(message, self._sources[route.source], fault)

    @staticmethod
    def _quickly(payload: bytes, route: Route, codec: JsonCodec, columns: Columns) -> int:
        """Add all readings of a payload without a fault; returns how many items it holds.

        Raises:
            ValueError, RecursionError: it has one. The caller takes back what was added.
        """
        add = columns.add
        sensor = route.sensor
        if sensor is not None:
            content = codec.decode_sensor(payload)
            if isinstance(content, Point):
                add(sensor, content.ts, content.value, content.quality)
                return 1
            for point in content:
                add(sensor, point.ts, point.value, point.quality)
            return len(content)
        if route.name is not None:
            raise UnfitError
        document = codec.decode_gateway(payload)
        if isinstance(document, Frame):
            return _add_frame(document, route, columns)
        for named in document:
            add(_known(named.sensor, route), named.ts, named.value, named.quality)
        return len(document)

    def _carefully(self, message: Message, route: Route, codec: Codec, taken: Taken) -> int:
        """Add what is sound in a payload, reject the rest item by item; returns how many items it holds."""
        carried, items = codec.examine(message.payload, named=route.named, now_us=taken.now_us)
        for item in items:
            if isinstance(item, Fault):
                fault: Fault | None = item
            elif isinstance(item, Block):
                fault = self._add_block(item, route, taken)
            else:
                fault = self._add_item(item, route, taken)
            if fault is not None:
                taken.rejections.append(self._door.rejection(message, self._sources[route.source], fault))
        return carried

    def _sensor_of(self, sent: str | None, route: Route) -> int | None:
        if self._blocks(route):
            return None
        return route.sensor if sent is None else route.positions.get(sent)

    def _add_item(self, item: Item, route: Route, taken: Taken) -> Fault | None:
        sensor = self._sensor_of(item.sensor, route)
        if sensor is None:
            return self._add_unknown(item, route, taken)
        value = item.value
        if isinstance(value, str):
            codes = self._codes[sensor]
            if value not in codes:
                name = self._sensors[sensor].name
                if codes:
                    expected = ", ".join(map(repr, codes))[:200]
                    detail = f"{value[:80]!r} is no state of {name!r}; expected {expected}."
                    return Fault(reason=RejectReason.UNKNOWN_STATE, detail=detail, text=text_of(item))
                detail = f"{name!r} takes numbers, not the text {value[:80]!r}."
                return Fault(reason=RejectReason.WRONG_TYPE, detail=detail, text=text_of(item))
            value = codes[value]
        elif item.unit is not None:
            try:
                factor, offset = conversion(item.unit, self._sensors[sensor].unit)
            except UnitError as error:
                return Fault(reason=RejectReason.UNIT_MISMATCH, detail=f"{error}"[:300], text=text_of(item))
            taken.columns.converted.append(len(taken.columns.time))
            value = value * factor + offset
        taken.columns.add_exact(sensor, item.time, value, item.quality)
        return None

    def _add_unknown(self, item: Item, route: Route, taken: Taken) -> Fault | None:
        """Keep a reading aside whose sensor the plant does not have, or say why not."""
        sent = item.sensor if item.sensor is not None else route.name
        gateway = route.gateway
        name = "" if sent is None else route.full_name(sent)
        if sent is None or gateway is None or name in self._derived or gateway.unknown is UnknownNames.REJECT:
            why = "computed here and cannot be sent" if name in self._derived else "not in the plant"
            detail = f"The sensor {name[:80]!r} is {why}."
            return Fault(reason=RejectReason.UNKNOWN_SENSOR, detail=detail, text=text_of(item))
        fault = self._limits.time_fault(item.time, taken.now_us)
        if fault is not None:
            return replace(fault, text=text_of(item))
        # Of a text nobody knows yet what it means.
        if not self._blocks(route) and not isinstance(item.value, str):
            wanted = wanted_by_rule(gateway, name, item.unit or "")
            if wanted is not None:
                taken.wanted[name] = wanted
        taken.held.append(
            HeldReading(
                source=self._sources[route.source],
                name=name,
                unit=item.unit or "",
                time_us=item.time,
                value=item.value,
                quality=item.quality,
            )
        )
        return None

    def _add_block(self, block: Block, route: Route, taken: Taken) -> Fault | None:
        sensor = self._sensor_of(block.sensor, route)
        if sensor is None:
            name = str(block.sensor if block.sensor is not None else route.name)
            return Fault(
                reason=RejectReason.UNKNOWN_SENSOR,
                detail=f"The sensor {route.full_name(name)[:80]!r} is not in the plant.",
            )
        fault = self._limits.time_fault(block.time, taken.now_us)
        if fault is not None:
            return fault
        try:
            waveform = Waveform(
                sensor_id=self._sensors[sensor].id,
                time=to_datetime(block.time),
                sample_rate_hz=block.sample_rate_hz,
                unit=self._sensors[sensor].unit if block.unit is None else block.unit,
                samples=block.samples,
            )
        except InvalidWaveformError as error:
            return Fault(reason=RejectReason(error.reason.value), detail=f"{error}"[:300])
        taken.blocks.append(ReceivedWaveform(source=self._sources[route.source], waveform=waveform))
        return None


def _add_frame(frame: Frame, route: Route, columns: Columns) -> int:
    if isinstance(frame.values, dict):
        times = [micros_of(stamp) for stamp in frame.ts] if isinstance(frame.ts, list) else None
        carried = 0
        for name, column in frame.values.items():
            sensor = _known(name, route)
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
    columns.add(_known(frame.sensor, route), frame.ts, frame.value, frame.quality)
    return 1


def _known(name: str, route: Route) -> int:
    position = route.positions.get(name)
    if position is None:
        raise UnfitError
    return position
