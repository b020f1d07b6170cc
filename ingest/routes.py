"""`Routes`: what a topic means: whose readings arrive there, in which form, and which names are which sensors."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from telemetry.plant import Gateway, PayloadFormat, Sensor

__all__ = ["NAME_LEVEL", "Route", "Routes", "topic_filter", "topic_pattern"]

NAME_LEVEL = "name"
"""a level of this name is the name of the sensor: the payload does not name it"""

_LEVEL = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_MOST_TOPICS = 100_000
"""of patterns that are remembered; a sender that makes up topics does not fill the memory"""


def topic_filter(topic: str) -> str:
    """The MQTT topic filter of a gateway's topic.

    >>> topic_filter("works/{line}/{machine}/data")
    'works/+/+/data'
    """
    return _LEVEL.sub("+", topic)


def topic_pattern(topic: str) -> re.Pattern[str]:
    """What topics a gateway's topic stands for, with a group for each level that has a name.

    >>> topic_pattern("works/{line}/+/#").fullmatch("works/L1/x/y/z").groupdict()
    {'line': 'L1'}
    """
    levels = []
    for level in topic.split("/"):
        named = _LEVEL.fullmatch(level)
        if named is not None:
            levels.append(f"(?P<{named[1]}>[^/]+)")
        else:
            levels.append({"+": "[^/]*", "#": ".*"}.get(level, re.escape(level)))
    whole = "/".join(levels)
    # "a/#" is also "a" (MQTT 5, section 4.7.1.2).
    return re.compile(whole.removesuffix("/.*") + "(?:/.*)?" if whole.endswith("/.*") else whole, re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """What a topic means."""

    source: int
    """position in the ledger's sources"""
    gateway: Gateway | None
    """None: a sensor's own topic"""
    asset: str | None
    """whose points the names sent are; None: names sent are names of sensors"""
    sensor: int | None
    """position among the sensors; None: the readings name their sensors, or `name` is none the plant has"""
    name: str | None
    """the sensor's name as sent, where the topic says it"""
    positions: Mapping[str, int]
    """names as sent that are sensors: their positions"""

    @property
    def named(self) -> bool:
        """Whether the payload names the sensors."""
        return self.sensor is None and self.name is None

    def full_name(self, sent: str) -> str:
        """What the sensor is called in the plant, or would be if it had it."""
        if self.gateway is not None and sent in self.gateway.names:
            return self.gateway.names[sent]
        return sent if self.asset is None else f"{self.asset}.{sent}"


class Routes:
    """Finds the route of a topic. An exact topic wins over a pattern."""

    def __init__(self, sensors: Sequence[Sensor], gateways: Sequence[Gateway], sources: Sequence[str]) -> None:
        self._sources = sources
        self._all = {sensor.name: position for position, sensor in enumerate(sensors)}
        self._points: dict[str, dict[str, int]] = {}
        for position, sensor in enumerate(sensors):
            asset, dot, point = sensor.name.rpartition(".")
            if dot:
                self._points.setdefault(asset, {})[point] = position
        self._exact: dict[str, Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Gateway]] = []
        for gateway in gateways:
            if gateway.format is PayloadFormat.SPARKPLUG_B:
                continue  # a session of its own, with topics of its own
            if topic_filter(gateway.topic) != gateway.topic or {"+", "#"} & set(gateway.topic.split("/")):
                self._patterns.append((topic_pattern(gateway.topic), gateway))
            else:
                self._exact[gateway.topic] = self._route(gateway, {})
        for position, sensor in enumerate(sensors):
            if sensor.topic is not None:
                self._exact[sensor.topic] = Route(
                    source=sources.index(sensor.site),
                    gateway=None,
                    asset=None,
                    sensor=position,
                    name=None,
                    positions=self._all,
                )
        self._found: dict[str, Route | None] = dict(self._exact)

    def find(self, topic: str) -> Route | None:
        """The route of a topic, None where the plant has none."""
        try:
            return self._found[topic]
        except KeyError:
            return self._search(topic)

    def positions(self, gateway: Gateway, asset: str | None) -> Mapping[str, int]:
        """Names as this gateway sends them, of this asset: positions of the sensors they are."""
        known = self._all if asset is None else self._points.get(asset, {})
        if not gateway.names:
            return known
        return {**known, **{sent: self._all[name] for sent, name in gateway.names.items() if name in self._all}}

    def _search(self, topic: str) -> Route | None:
        found = None
        for pattern, gateway in self._patterns:
            match = pattern.fullmatch(topic)
            if match is not None:
                found = self._route(gateway, match.groupdict())
                break
        if len(self._found) >= _MOST_TOPICS:
            self._found = dict(self._exact)
        self._found[topic] = found
        return found

    def _route(self, gateway: Gateway, levels: Mapping[str, str]) -> Route:
        asset = None if gateway.asset is None else gateway.asset.format_map(levels)
        positions = self.positions(gateway, asset)
        name = levels.get(NAME_LEVEL)
        return Route(
            source=self._sources.index(gateway.name),
            gateway=gateway,
            asset=asset,
            sensor=None if name is None else positions.get(name),
            name=name,
            positions=positions,
        )
