"""Gateways: which topics are whose, and whether what they send has a place in the plant."""

import re
from collections.abc import Collection, Iterable, Sequence

from ingest.routes import NAME_LEVEL, topic_filter
from precursor.plantfile.definition import AssetDefinition, SensorDefinition, SiteDefinition
from precursor.plantfile.entries import GatewayEntry, ProvisionEntry
from precursor.plantfile.notes import Notes
from precursor.plantfile.problems import Path
from precursor.plantfile.structure import NOBODY
from precursor.plantfile.topics import covers, is_pattern, level_names, overlap, pattern_fault
from telemetry.names import closest
from telemetry.plant import Gateway, PayloadFormat, ProvisionRule, SensorKind, UnknownNames
from telemetry.units import UnitError, check_unit

__all__ = ["Gateways", "Topics", "default_filters"]

_EVERY_GROUP = "spBv1.0/{group}/#"
_SPARKPLUG_TOPIC = re.compile(r"spBv1\.0/(\{group\}|(?!STATE/)[^/+#{}]+)/#")
_SPARKPLUG_LEVELS = ("group", "node", "device")
_TEMPLATE = re.compile(r"[A-Za-z0-9_-]|\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Topics:
    """Topics that are taken: exact ones once, patterns so that no topic fits two of them."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._exact: dict[str, Path] = {}
        self._patterns: dict[str, Path] = {}

    def take(self, topic: str, path: Path, heard: Iterable[str]) -> None:
        """A topic of one sensor or gateway. An exact one may lie under a pattern: it wins."""
        if self._notes.once(self._exact, topic, path, "topic"):
            self._check_heard(topic, path, heard)

    def take_pattern(self, topic: str, path: Path, heard: Iterable[str]) -> None:
        """The topics of a gateway. `heard`: the filters of its site."""
        mine = topic_filter(topic)
        for other, place in self._patterns.items():
            if overlap(mine, topic_filter(other)):
                self._notes.add(
                    path,
                    f"{topic!r} and {other!r} on line {self._notes.line(place)} fit the same topics; make one narrower",
                )
                return
        self._patterns[topic] = path
        self._check_heard(mine, path, heard)

    def _check_heard(self, topic: str, path: Path, heard: Iterable[str]) -> None:
        if not any(covers(text, topic) for text in heard):
            listened = ", ".join(heard)
            self._notes.add(path, f"{topic!r} would never be heard: the site subscribes to {listened}; add a filter")


def default_filters(site: str, gateways: Iterable[GatewayEntry]) -> list[str]:
    """What a site listens to that does not say: its own name, and what its gateways publish elsewhere."""
    filters = [f"{site}/#"]
    for gateway in gateways:
        if gateway.format != "sparkplug_b" and gateway.topic and not pattern_fault(gateway.topic):
            text = topic_filter(gateway.topic)
            if not any(covers(known, text) for known in filters):
                filters.append(text)
    return filters


class Gateways:
    """The gateways of a file."""

    def __init__(self, notes: Notes, topics: Topics) -> None:
        self.found: list[Gateway] = []
        self._notes = notes
        self._topics = topics
        self._names: dict[str, Path] = {}
        self._paths: list[Path] = []

    def add(self, entry: GatewayEntry, site: str, path: Path, heard: Sequence[str]) -> None:
        """Take over a gateway of a site that listens to the filters `heard`."""
        self._notes.once(self._names, entry.name, (*path, "name"), "gateway name")
        format_ = PayloadFormat(entry.format)
        topic = self._topic(entry, path, heard)
        levels = _SPARKPLUG_LEVELS if format_ is PayloadFormat.SPARKPLUG_B else level_names(topic)
        if topic != NOBODY:
            self._check_asset(entry, [level for level in levels if level != NAME_LEVEL], path)
        unknown = UnknownNames.PROVISION if format_ is PayloadFormat.SPARKPLUG_B else UnknownNames.QUARANTINE
        if entry.unknown is not None:
            unknown = UnknownNames(entry.unknown)
        self._check_provision(entry, unknown, path)
        self.found.append(
            Gateway(
                name=entry.name,
                topic=topic,
                site=site,
                format=format_,
                fields=self._fields(entry, path),
                names=entry.names,
                asset=entry.asset,
                unknown=unknown,
                provision=tuple(
                    ProvisionRule(
                        match=rule.match,
                        area=rule.area,
                        asset_class=rule.asset_class,
                        quantity=rule.quantity,
                        unit=rule.unit,
                    )
                    for rule in entry.provision
                ),
            )
        )
        self._paths.append(path)

    def check_names(self, sensors: Iterable[SensorDefinition], assets: Iterable[AssetDefinition]) -> None:
        """What gateways say they send must be there; called when the whole file has been read."""
        kinds = {sensor.name: sensor.kind for sensor in sensors}
        sendable = [name for name, kind in kinds.items() if kind is not SensorKind.DERIVED]
        asset_names = {asset.name for asset in assets}
        for gateway, path in zip(self.found, self._paths, strict=True):
            for sent, name in gateway.names.items():
                if name == NOBODY:
                    continue
                if kinds.get(name) is SensorKind.DERIVED:
                    self._notes.add((*path, "names", sent), f"{name!r} is computed here and cannot be sent")
                elif name not in kinds and "sites" not in self._notes.unsure:
                    message = f"there is no sensor {name!r}; expected asset.point{closest(name, sendable)}"
                    self._notes.add((*path, "names", sent), message)
            asset = gateway.asset
            is_fixed = asset is not None and "{" not in asset and gateway.unknown is not UnknownNames.PROVISION
            if asset is not None and is_fixed and asset not in asset_names and "sites" not in self._notes.unsure:
                message = f"there is no asset {asset!r}; expected the name of one{closest(asset, asset_names)}"
                self._notes.add((*path, "asset"), message)

    def check_filters(self, site: SiteDefinition, path: Path) -> None:
        """A Sparkplug gateway has a session of its own: what it sends must not arrive through the other one as well."""
        for gateway, place in zip(self.found, self._paths, strict=True):
            if gateway.format is not PayloadFormat.SPARKPLUG_B or gateway.topic == NOBODY:
                continue
            for position, text in enumerate(site.subscribe):
                if overlap(text, topic_filter(gateway.topic)):
                    self._notes.add(
                        (*path, "subscribe", position),
                        f"{text!r} hears Sparkplug as well, which the gateway {gateway.name!r} on line"
                        f" {self._notes.line(place)} listens to already; expected narrower filters",
                    )

    def _topic(self, entry: GatewayEntry, path: Path, heard: Sequence[str]) -> str:
        """The topic; `NOBODY` where it cannot be used, which is noted."""
        at = (*path, "topic")
        if entry.format == "sparkplug_b":
            topic = _EVERY_GROUP if entry.topic is None else entry.topic
            if _SPARKPLUG_TOPIC.fullmatch(topic):
                self._topics.take_pattern(topic, at, [topic_filter(topic)])
                return topic
            expected = f"spBv1.0/<group>/#, or {_EVERY_GROUP} for every group, which is the default"
            self._notes.add(at, f"{topic[:80]!r} is no topic of a Sparkplug group; expected {expected}")
            return NOBODY
        if entry.topic is None:
            if self._notes.sound(path):
                self._notes.add(at, f"missing; expected {GatewayEntry.model_fields['topic'].description}")
            return NOBODY
        fault = pattern_fault(entry.topic)
        if fault:
            expected = "a topic such as works/gw-1/readings, or a pattern such as works/{line}/{machine}/data"
            self._notes.add(at, f"{entry.topic[:80]!r} {fault}; expected {expected}")
            return NOBODY
        if is_pattern(entry.topic):
            self._topics.take_pattern(entry.topic, at, heard)
        else:
            self._topics.take(entry.topic, at, heard)
        return entry.topic

    def _check_asset(self, entry: GatewayEntry, levels: Collection[str], path: Path) -> None:
        if entry.asset is None:
            return
        at = (*path, "asset")
        if not entry.asset or _TEMPLATE.sub("", entry.asset):
            example = "-".join(f"{{{level}}}" for level in levels) or "P-101"
            expected = f"letters, digits, '_', '-' and levels of the topic in braces, e.g. {example}"
            self._notes.add(at, f"{entry.asset[:80]!r} is no name of an asset; expected {expected}")
            return
        for match in _TEMPLATE.finditer(entry.asset):
            if match[1] is not None and match[1] not in levels:
                known = f"one of {', '.join(levels)}" if levels else "a topic with a level of this name"
                message = f"the topic has no level {{{match[1]}}} for it; expected {known}{closest(match[1], levels)}"
                self._notes.add(at, message)
                return

    def _fields(self, entry: GatewayEntry, path: Path) -> dict[str, str]:
        if entry.fields_ is None:
            return {}
        at = (*path, "fields")
        if entry.format != "json":
            self._notes.add(at, f"only format json has fields of other names, not {entry.format}; leave it out")
            return {}
        taken: dict[str, str] = {}
        for ours, theirs in entry.fields_.model_dump().items():
            if theirs in taken:
                message = f"{theirs!r} would be both {taken[theirs]} and {ours}; expected five different names"
                self._notes.add((*at, ours) if ours in entry.fields_.model_fields_set else at, message)
                break
            taken[theirs] = ours
        return {ours: theirs for theirs, ours in taken.items() if theirs != ours}

    def _check_provision(self, entry: GatewayEntry, unknown: UnknownNames, path: Path) -> None:
        if not self._notes.sound(path):
            return
        if entry.provision and unknown is not UnknownNames.PROVISION:
            message = f"nothing is made under unknown: {unknown}; expected unknown: provision beside it, or no rules"
            self._notes.add((*path, "provision"), message)
        is_born = entry.format == "sparkplug_b"  # births say what the rules would
        if unknown is UnknownNames.PROVISION and not entry.provision and not is_born:
            message = "no rule says what is made; expected e.g. provision: [{match: '*.temp', area: hall}] beside it"
            self._notes.add((*path, "unknown"), message)
        for place, rule in enumerate(entry.provision):
            self._check_rule(rule, (*path, "provision", place))

    def _check_rule(self, rule: ProvisionEntry, path: Path) -> None:
        try:
            check_unit(rule.unit, rule.quantity)
        except UnitError as fault:
            self._notes.add((*path, "unit"), str(fault))
