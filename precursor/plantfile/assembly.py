"""Sites, areas, assets and sensors: from what a person wrote to definitions, with the checks of their meaning."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from precursor.plantfile.checks import door_checks
from precursor.plantfile.computed import Computed, WantedOfAsset, WantedOfSensor
from precursor.plantfile.definition import (
    AreaDefinition,
    AssetDefinition,
    SensorDefinition,
    SiteDefinition,
)
from precursor.plantfile.entries import AssetEntry, SensorEntry, SiteEntry
from precursor.plantfile.gateways import Gateways, Topics, default_filters
from precursor.plantfile.machines import machine
from precursor.plantfile.model_entries import DetectorsEntry
from precursor.plantfile.notes import Notes
from precursor.plantfile.places import Places
from precursor.plantfile.problems import Path
from precursor.plantfile.rule_entries import MachineEntry, OverrideEntry
from precursor.plantfile.topics import filter_fault, topic_fault
from telemetry.plant import AssetState, Gateway, Machine, SensorKind
from telemetry.units import UnitError, check_unit, conversion

__all__ = ["Assembly"]

_CODES = MappingProxyType({state.name.lower(): float(state) for state in AssetState})


class Assembly:
    """What the sites of a file amount to."""

    def __init__(self, notes: Notes) -> None:
        self.sites: list[SiteDefinition] = []
        self.areas: list[AreaDefinition] = []
        self.assets: list[AssetDefinition] = []
        self.sensors: list[SensorDefinition] = []
        self.machines: dict[str, MachineEntry] = {}
        """asset, and what it says of itself as a machine"""
        self.overrides: dict[str, dict[str, tuple[OverrideEntry, Path]]] = {}
        """asset, rule, what is different about the rule there, and where the file says so"""
        self._notes = notes
        self._assets: list[WantedOfAsset] = []
        self._sensors: dict[str, WantedOfSensor] = {}
        self._machines: dict[str, Machine] = {}
        self._site_names: dict[str, Path] = {}
        self._asset_names: dict[str, Path] = {}
        self._topics = Topics(notes)
        self._gateways = Gateways(notes, self._topics)
        self._site_paths: list[Path] = []

    @property
    def gateways(self) -> Sequence[Gateway]:
        """Those of all sites."""
        return self._gateways.found

    def add_site(self, site: SiteEntry, path: Path) -> None:
        """Take over a site with everything in it."""
        self._notes.once(self._site_names, site.name, (*path, "name"), "site name")
        filters = default_filters(site.name, site.gateways) if site.subscribe is None else site.subscribe
        faults = [(place, filter_fault(text)) for place, text in enumerate(filters)]
        for place, fault in faults:
            if fault and self._notes.sound(path):
                self._notes.add(
                    (*path, "subscribe", place), f"{filters[place]!r} {fault}; expected a filter such as works/#"
                )
        # A broken filter hears nothing; every topic under it would be reported as well.
        heard = filters if self._notes.sound(path) and not any(fault for _, fault in faults) else ["#"]
        self.sites.append(SiteDefinition(name=site.name, title=site.title, subscribe=tuple(filters)))
        self._site_paths.append(path)
        for place, gateway in enumerate(site.gateways):
            self._gateways.add(gateway, site.name, (*path, "gateways", place), heard)
        area_names: dict[str, Path] = {}
        for place, area in enumerate(site.areas):
            at = (*path, "areas", place)
            self._notes.once(area_names, area.name, (*at, "name"), "area name")
            self.areas.append(AreaDefinition(site=site.name, name=area.name, title=area.title))
            for asset, parent, asset_path in _tree(area.assets, (*at, "assets"), None):
                self._add_asset(asset, parent, site, area.name, asset_path, heard)

    @property
    def wanted(self) -> Mapping[str, WantedOfSensor]:
        """What is sent, by name, and what the file wants computed of it."""
        return self._sensors

    def finish(self, detectors: DetectorsEntry | None) -> Computed:
        """What is computed of all this, added to it, and the checks that need the whole file.

        Args:
            detectors: what is watched without being asked for one by one; None: nothing.
        """
        sent = Places(
            [wanted.asset for wanted in self._assets],
            [wanted.sensor for wanted in self._sensors.values()],
            self.machines,
        )
        computed = Computed(sent, self._assets, list(self._sensors.values()), detectors, self._notes)
        self.assets, self.sensors = computed.assets, computed.sensors
        self._gateways.check_names(self.sensors, self.assets)
        for site, path in zip(self.sites, self._site_paths, strict=True):
            self._gateways.check_filters(site, path)
        return computed

    def _add_asset(
        self, asset: AssetEntry, parent: str | None, site: SiteEntry, area: str, path: Path, heard: Sequence[str]
    ) -> None:
        self._notes.once(self._asset_names, asset.name, (*path, "name"), "asset name")
        above = Machine() if parent is None else self._machines[parent]
        self._machines[asset.name] = machine(asset.machine, above, (*path, "machine"), self._notes)
        definition = AssetDefinition(
            name=asset.name,
            title=asset.title,
            site=site.name,
            area=area,
            parent=parent,
            asset_class=asset.asset_class,
            criticality=asset.criticality,
            machine=self._machines[asset.name],
        )
        self._assets.append(WantedOfAsset(asset=definition, entry=asset, path=path))
        if asset.machine is not None:
            self.machines[asset.name] = asset.machine
        if asset.rules:
            self.overrides[asset.name] = {
                name: (override, (*path, "rules", name)) for name, override in asset.rules.items()
            }
        points: dict[str, Path] = {}
        for place, sensor in enumerate(asset.sensors):
            at = (*path, "sensors", place)
            self._notes.once(points, sensor.name, (*at, "name"), "sensor name")
            self._add_sensor(sensor, f"{asset.name}.{sensor.name}", asset.name, bool(site.gateways), at, heard)

    def _add_sensor(
        self, sensor: SensorEntry, name: str, asset: str, has_gateway: bool, path: Path, heard: Sequence[str]
    ) -> None:
        # What is missing because of a fault is not missed a second time; what can be read is still checked.
        sound = self._notes.sound(path)
        if sound:
            self._check_belonging(sensor, path)
        if sensor.topic is not None:
            self._check_topic(sensor.topic, (*path, "topic"), heard)
        elif sound and not has_gateway:
            message = "nothing sends it: expected a topic here, or a gateway in the site that sends it"
            self._notes.add(path, message)
        factor, offset = 1.0, 0.0
        if sensor.kind == "measured" and (sound or sensor.unit is not None):
            factor, offset = self._conversion(sensor, path)
        is_state = sensor.kind == "state"
        definition = SensorDefinition(
            name=name,
            title=sensor.title,
            asset=asset,
            kind=SensorKind(sensor.kind),
            quantity=sensor.quantity,
            unit="" if is_state else sensor.unit or "",
            topic=sensor.topic,
            factor=factor,
            offset=offset,
            codes=self._codes(sensor) if is_state else sensor.codes or {},
            checks=door_checks(sensor, path, self._notes),
        )
        # Of two of one name, which is noted, the first one counts.
        self._sensors.setdefault(name, WantedOfSensor(sensor=definition, entry=sensor, path=path))

    def _check_belonging(self, sensor: SensorEntry, path: Path) -> None:
        if sensor.kind == "state":
            for key in ("unit", "sent_in", "detector", "codes", "vibration", "remaining_life"):
                if getattr(sensor, key):
                    self._notes.add((*path, key), f"a state sensor has no {key}; leave it out")
            if sensor.states is not None and not sensor.states:
                self._notes.add((*path, "states"), "an empty mapping; expected e.g. {running: running, off: stopped}")
        elif sensor.states is not None:
            self._notes.add(
                (*path, "states"), "only a state sensor has states; expected kind: state beside it, or codes"
            )

    def _conversion(self, sensor: SensorEntry, path: Path) -> tuple[float, float]:
        if sensor.unit is None:
            self._notes.add(
                (*path, "unit"), 'missing; expected e.g. mm/s, degC, bar, or "" for a number without a unit'
            )
            return 1.0, 0.0
        for key, text in (("unit", sensor.unit), ("sent_in", sensor.sent_in)):
            if text is not None:
                try:
                    check_unit(text, sensor.quantity)
                except UnitError as fault:
                    self._notes.add((*path, key), str(fault))
                    return 1.0, 0.0
        if sensor.sent_in is None:
            return 1.0, 0.0
        try:
            return conversion(sensor.sent_in, sensor.unit)
        except UnitError as fault:
            self._notes.add((*path, "sent_in"), str(fault))
            return 1.0, 0.0

    def _check_topic(self, topic: str, path: Path, heard: Sequence[str]) -> None:
        fault = topic_fault(topic)
        if fault:
            self._notes.add(path, f"{topic[:80]!r} {fault}; expected a topic such as works/P-101/vib_de")
        else:
            self._topics.take(topic, path, heard)

    def _codes(self, sensor: SensorEntry) -> dict[str, float]:
        if not sensor.states:
            return dict(_CODES)
        return {text: _CODES[state] for text, state in sensor.states.items()}


def _tree(
    assets: Sequence[AssetEntry], path: Path, parent: str | None
) -> Iterator[tuple[AssetEntry, str | None, Path]]:
    for place, asset in enumerate(assets):
        at = (*path, place)
        yield asset, parent, at
        yield from _tree(asset.assets, (*at, "assets"), asset.name)
