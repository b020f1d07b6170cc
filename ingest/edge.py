"""`EdgeNodes`: what the Sparkplug host makes of messages, as readings of the plant's sensors and news of devices."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from ingest.codecs.contract import Fault
from ingest.columns import Columns
from ingest.decoded import WantedSensor
from ingest.limits import DoorLimits
from ingest.mqtt_options import Publication
from ingest.quarantine import HeldReading
from ingest.reasons import RejectReason
from ingest.registry import Birth, Death, DeviceChange, DeviceKind, DeviceStatus, Sighting
from ingest.routes import topic_pattern
from ingest.sparkplug.commands import write_request
from ingest.sparkplug.host import SparkplugHost
from ingest.sparkplug.metric import Metric
from ingest.sparkplug.nodes import Changes
from ingest.sparkplug.state import HostMode
from ingest.sparkplug.taken import Command, DeviceNews, Taken
from ingest.sparkplug.topics import NAMESPACE
from ingest.unknown import plain_name
from telemetry.errors import ConfigurationError
from telemetry.plant import Gateway, PayloadFormat, Sensor, UnknownNames
from telemetry.quality import Quality
from telemetry.units import UnitError, conversion

__all__ = ["EdgeNodes", "Heard"]


class Heard:
    """What edge nodes say in a batch: readings in its columns, and all else."""

    def __init__(self, columns: Columns, now_us: int, blocked: frozenset[str]) -> None:
        self.columns = columns
        self.now_us = now_us
        self.blocked = blocked
        self.held: list[HeldReading] = []
        self.wanted: dict[str, WantedSensor] = {}
        self.changes: list[DeviceChange] = []
        self.out_of_sight: list[str] = []
        self.commands: list[Publication] = []
        self.notes: list[str] = []
        self._newest: dict[str, tuple[str, int | None]] = {}

    @property
    def sightings(self) -> list[Sighting]:
        """Nodes and devices that were heard, and the newest live time each gave."""
        return [
            Sighting(device=path, source=source, newest_us=newest) for path, (source, newest) in self._newest.items()
        ]

    def saw(self, path: str, source: str, newest_us: int | None) -> None:
        """A message of a node or device: the node is heard with its device."""
        group, node, *_ = path.split("/")
        for name in dict.fromkeys((f"{group}/{node}", path)):
            _, before = self._newest.get(name, (source, None))
            known = [each for each in (before, newest_us) if each is not None]
            self._newest[name] = (source, max(known, default=None))


class EdgeNodes:
    """A Sparkplug host in front of the sensors of a plant. Make a new one when the plant changes."""

    def __init__(
        self,
        host: SparkplugHost,
        gateways: Sequence[Gateway],
        sensors: Sequence[Sensor],
        limits: DoorLimits,
        convert: Callable[[int, float, float], None],
    ) -> None:
        """
        Args:
            host: whose state is that of the last batch committed.
            gateways: of the plant, those of other formats too.
            sensors: in the order of the decoder's positions.
            limits: of the door.
            convert: told the factor and offset of a sensor's values, by position, where a birth names another unit.
        """
        self.host = host
        self._sensors = sensors
        self._positions = {sensor.name: position for position, sensor in enumerate(sensors)}
        self._limits = limits
        self._convert = convert
        self._gateways = [
            (topic_pattern(gateway.topic), gateway)
            for gateway in gateways
            if gateway.format is PayloadFormat.SPARKPLUG_B
        ]
        self._of_group: dict[str, Gateway | None] = {}
        self._unfit: dict[Metric, str] = {}
        """metrics whose unit is none of their sensor's kind, and what is wrong"""

    @property
    def gateways(self) -> bool:
        """Whether the plant listens to edge nodes at all."""
        return bool(self._gateways)

    def gateway_of(self, topic: str) -> Gateway | None:
        """Through which entry of the plant file a message comes; None: it is not Sparkplug's, or nobody listens."""
        space, _, rest = topic.partition("/")
        if space != NAMESPACE:
            return None
        group = rest.partition("/")[0]
        if group not in self._of_group:
            self._of_group[group] = next(
                (gateway for pattern, gateway in self._gateways if pattern.fullmatch(topic) is not None), None
            )
        return self._of_group[group]

    def take(self, topic: str, payload: bytes, gateway: Gateway, heard: Heard) -> tuple[int, list[Fault]]:
        """How many items a message carries, and which of them are faults; readings go into the columns."""
        return self.add(self.host.take(topic, payload, heard.now_us), gateway, heard)

    def cut_off(self, now_us: int) -> list[tuple[Gateway, Taken]]:
        """The connection is lost: what was live is STALE; for each gateway of the plant file its part, for `add`."""
        lost = self.host.cut_off(now_us)
        parts: dict[str, tuple[Gateway, Taken]] = {}

        def part(path: str) -> Taken | None:
            gateway = self.gateway_of(f"{NAMESPACE}/{path.partition('/')[0]}/NDATA/-")
            return None if gateway is None else parts.setdefault(gateway.name, (gateway, Taken()))[1]

        for metric, time, value, quality in zip(lost.metrics, lost.times, lost.values, lost.qualities, strict=True):
            if (taken := part(metric.path)) is not None:
                taken.add(metric, time, value, Quality(quality))
        for news in lost.news:
            if (taken := part(news.path)) is not None:
                taken.news.append(news)
        return list(parts.values())

    def tick(self, now_us: int) -> list[Publication]:
        """Commands that are due because time went by."""
        return [_publication(command) for command in self.host.tick(now_us)]

    def ask_all(self, now_us: int) -> list[Publication]:
        """Requests for all births, where the host's mode allows them."""
        return [_publication(command) for command in self.host.ask_all(now_us)]

    def write(self, path: str, metric: str, value: bool | float | str, now_us: int, *, mode: HostMode) -> Publication:
        """The command that sets a metric of a node or device.

        Raises:
            ConfigurationError: there is no such device or metric, it is not there, or the value does not fit.
        """
        device = self.host.device(path)
        if device is None:
            raise ConfigurationError(f"no birth of {path!r} is known; `precursor devices list` shows what was born")
        return _publication(write_request(device, metric, value, now_us, mode))

    def live_sensors(self) -> list[int]:
        """`sensor.id` of all metrics of nodes and devices that are there."""
        return [self._sensors[position].id for _, position in self._live()]

    def recall(self, last: Mapping[int, tuple[int, float]]) -> None:
        """What sensors were worth last, by `sensor.id`: time (µs) and value. Converted values are not recalled."""
        for metric, position in self._live():
            sensor = self._sensors[position]
            if sensor.id in last and metric.value is None and metric.unit in ("", sensor.unit) and sensor.factor == 1:
                metric.time, metric.value = last[sensor.id]

    def _live(self) -> Iterator[tuple[Metric, int]]:
        for metric in self.host.metrics():
            device = self.host.device(metric.path)
            gateway = self.gateway_of(f"{NAMESPACE}/{metric.path.partition('/')[0]}/NDATA/-")
            if gateway is None or device is None or device.status is not DeviceStatus.ONLINE:
                continue
            position = self._resolve(metric, gateway)
            if position is not None and not metric.about_itself:
                yield metric, position

    def changes(self) -> Changes:
        """What is to be saved of sessions and births, since this was asked last."""
        return self.host.changes()

    def add(self, taken: Taken, gateway: Gateway, heard: Heard) -> tuple[int, list[Fault]]:
        """How many items the host took, and which of them are faults; readings go into the columns."""
        source = gateway.name
        faults = list(taken.faults)
        for change in taken.news:
            self._note(change, gateway, heard)
        if taken.path is not None and self._is_there(taken.path):
            live = taken.times if not taken.historical else ()
            heard.saw(taken.path, source, max(live, default=None))
        heard.commands += map(_publication, taken.commands)
        heard.notes += taken.notes
        positions = [metric.sensor for metric in taken.metrics]
        # In a set None is found by its hash; in a list it is compared with every number.
        known = None not in set(positions)
        if not known:
            positions = [self._resolve(metric, gateway) for metric in taken.metrics]
            known = None not in positions
        columns = heard.columns
        if known and taken.plain and not heard.blocked and not self._unfit:
            columns.time += taken.times
            columns.sensor += positions  # type: ignore[arg-type]  # no None is left, which mypy cannot see
            columns.value += taken.values  # type: ignore[arg-type]  # no text either
        else:
            faults += self._add_each(taken, positions, gateway, heard)
        return taken.carried, faults

    def _add_each(self, taken: Taken, positions: Sequence[int | None], gateway: Gateway, heard: Heard) -> list[Fault]:
        """Readings one by one; returns those that are none."""
        columns, faults = heard.columns, list[Fault]()
        historical = set(taken.historical)
        rows = zip(taken.metrics, positions, taken.times, taken.values, taken.qualities, strict=True)
        for row, (metric, position, time, value, quality) in enumerate(rows):
            if position is None or _is_blocked(metric.path, heard.blocked):
                faults += self._hold(metric, time, value, quality, gateway, heard)
                continue
            if metric in self._unfit:
                faults.append(Fault(reason=RejectReason.UNIT_MISMATCH, detail=self._unfit[metric][:300]))
                continue
            if isinstance(value, str):
                sensor = self._sensors[position]
                code = sensor.codes.get(value, math.nan)
                if math.isnan(code):
                    reason = RejectReason.UNKNOWN_STATE if sensor.codes else RejectReason.WRONG_TYPE
                    detail = (
                        f"{sensor.name!r} takes {', '.join(sensor.codes) or 'numbers'}, not the text {value[:80]!r}."
                    )
                    faults.append(Fault(reason=reason, detail=detail[:300]))
                    continue
            else:
                code = value
            if row in historical:
                columns.historical.append(len(columns.time))
            columns.add_exact(position, time, code, quality)
        return faults

    def _is_there(self, path: str) -> bool:
        """Whether a node or device was born and has not died: what is heard of others does not make them online."""
        device = self.host.device(path)
        return device is not None and device.status is not DeviceStatus.OFFLINE

    def _hold(
        self, metric: Metric, time: int, value: float | str, quality: int, gateway: Gateway, heard: Heard
    ) -> list[Fault]:
        """Keep the reading of a metric aside that is no sensor of the plant, or say why not."""
        name = self._name(metric, gateway)
        if gateway.unknown is UnknownNames.REJECT:
            detail = f"The sensor {name[:80]!r} is not in the plant."
            return [Fault(reason=RejectReason.UNKNOWN_SENSOR, detail=detail)]
        fault = self._limits.time_fault(time, heard.now_us)
        if fault is not None:
            return [fault]
        if not isinstance(value, str) and not _is_blocked(metric.path, heard.blocked):
            self._want(metric, gateway, heard)
        heard.held.append(
            HeldReading(source=gateway.name, name=name, unit=metric.unit, time_us=time, value=value, quality=quality)
        )
        return []

    def _note(self, change: DeviceNews, gateway: Gateway, heard: Heard) -> None:
        """A birth or a death, or what a device says about itself."""
        if change.status is DeviceStatus.OFFLINE:
            heard.changes.append(Death(name=change.path))
        elif change.status is DeviceStatus.STALE:
            heard.out_of_sight.append(change.path)
        if change.status is not DeviceStatus.ONLINE:
            return
        device = self.host.device(change.path)
        heard.changes.append(
            Birth(
                name=change.path,
                kind=DeviceKind.NODE if change.path.count("/") == 1 else DeviceKind.DEVICE,
                source=gateway.name,
                parent=None if change.path.count("/") == 1 else change.path.rpartition("/")[0],
                hardware=change.hardware or "",
                firmware=change.firmware or "",
                properties=change.properties if device is None else device.about,
                time_us=change.at_us,
            )
        )
        if not _is_blocked(change.path, heard.blocked):
            for metric in change.metrics:
                if self._resolve(metric, gateway) is None and metric.field != "string_value":
                    self._want(metric, gateway, heard)

    def _want(self, metric: Metric, gateway: Gateway, heard: Heard) -> None:
        if gateway.unknown is not UnknownNames.PROVISION:
            return
        name = self._name(metric, gateway)
        asset, _, _ = name.rpartition(".")
        heard.wanted[name] = WantedSensor(
            name=name,
            asset=asset,
            site=gateway.site,
            area=plain_name(metric.path.partition("/")[0]),
            unit=metric.unit,
            low=metric.low,
            high=metric.high,
            origin="birth",
        )

    def _resolve(self, metric: Metric, gateway: Gateway) -> int | None:
        """The position of the sensor that a metric is."""
        if metric.sensor is not None:
            return metric.sensor
        position = self._positions.get(self._name(metric, gateway))
        if position is None:
            return None
        sensor = self._sensors[position]
        self._unfit.pop(metric, None)
        # A unit in the plant file (`sent_in`) is what a person says; a birth's is asked where nobody has said anything.
        if metric.unit and (sensor.factor, sensor.offset) == (1.0, 0.0) and metric.unit != sensor.unit and sensor.unit:
            try:
                self._convert(position, *conversion(metric.unit, sensor.unit))
            except UnitError as error:
                self._unfit[metric] = str(error)
        metric.sensor = position
        return position

    def _name(self, metric: Metric, gateway: Gateway) -> str:
        """What the sensor is called in the plant, or would be if it had it."""
        for sent in (f"{metric.path}:{metric.name}", metric.name):
            if sent in gateway.names:
                return gateway.names[sent]
        group, node, *device = metric.path.split("/")
        # A metric of the node itself belongs to an asset of the node's name.
        levels = {"group": group, "node": node, "device": device[0] if device else node}
        asset = (gateway.asset or "{device}").format_map(levels)
        return f"{plain_name(asset)}.{plain_name(metric.name)}"


def _is_blocked(path: str, blocked: frozenset[str]) -> bool:
    return bool(blocked) and (path in blocked or "/".join(path.split("/")[:2]) in blocked)


def _publication(command: Command) -> Publication:
    return Publication(topic=command.topic, payload=command.payload, qos=0, retain=False)
