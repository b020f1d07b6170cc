"""What is computed of the sensors and assets of a file: scores, shares, features, sensor faults, remaining life."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from models import kinds
from models.multivariate import kinds as asset_kinds
from precursor.analysis.machines import feature_units, grows_with_damage
from precursor.plantfile.definition import AssetDefinition, SensorDefinition
from precursor.plantfile.entries import AssetEntry, SensorEntry
from precursor.plantfile.machines import bearings
from precursor.plantfile.model_entries import AssetDetectorEntry, DetectorEntry, DetectorsEntry
from precursor.plantfile.notes import Notes
from precursor.plantfile.places import Places
from precursor.plantfile.problems import Path
from precursor.plantfile.remaining_life import remaining_life
from precursor.plantfile.structure import NOBODY
from telemetry.errors import ConfigurationError
from telemetry.names import closest
from telemetry.plant import DetectorSpec, SensorKind, Vibration
from telemetry.units import UnitError, check_unit, conversion

__all__ = ["Computed", "WantedOfAsset", "WantedOfSensor"]

_JOINT = "joint"
"""the kind of detector that scores an asset"""
_FEWEST = 2
"""sensors that an asset is scored by"""
_FOLLOWED_FEATURE = "velocity_rms"
"""of waveforms: what remaining life is counted from"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedOfAsset:
    """An asset, and what the file wants computed of it."""

    asset: AssetDefinition
    entry: AssetEntry
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedOfSensor:
    """A sensor, and what the file wants computed of it."""

    sensor: SensorDefinition
    entry: SensorEntry
    path: Path


class Computed:
    """Adds to assets and sensors what is computed of them.

    Args:
        places: of all that is sent.
        wanted_of_assets, wanted_of_sensors: all of the file, in its order.
        detectors: what is watched without being asked for one by one; None: nothing.
        notes: takes what is wrong.
    """

    def __init__(
        self,
        places: Places,
        wanted_of_assets: Sequence[WantedOfAsset],
        wanted_of_sensors: Sequence[WantedOfSensor],
        detectors: DetectorsEntry | None,
        notes: Notes,
    ) -> None:
        self.scores: list[str] = []
        """of automatic detectors"""
        self.faults: list[str] = []
        self._places = places
        self._notes = notes
        self._detectors = DetectorsEntry(off=True) if detectors is None else detectors
        self._wanted = {wanted.sensor.name: wanted for wanted in wanted_of_sensors}
        self._owner: dict[str, str] = {}
        """sensor, and the asset whose score it goes into"""
        self._speed_sensors: dict[str, str | None] = {}
        """asset, and the full name of what measures its speed"""
        # What is asked for comes first: a sensor goes into the score of one asset alone.
        asked = {wanted.asset.name: self._asked_for(wanted) for wanted in wanted_of_assets}
        self.assets = [
            self._asset(wanted, asked[wanted.asset.name] or self._automatic(wanted)) for wanted in wanted_of_assets
        ]
        self.sensors = [sensor for wanted in wanted_of_sensors for sensor in self._of_sensor(wanted)]
        self.sensors += [_anomaly(asset) for asset in self.assets if asset.detector is not None]

    # Assets

    def _asset(self, wanted: WantedOfAsset, detector: DetectorSpec | None) -> AssetDefinition:
        sensor, entry, parent = wanted.asset.machine.speed_sensor, wanted.entry.machine, wanted.asset.parent
        if sensor is not None and entry is not None and entry.speed_sensor is not None:
            sensor = self._speed_sensor(wanted, sensor)
        elif sensor is not None and parent is not None:
            sensor = self._speed_sensors.get(parent)
        self._speed_sensors[wanted.asset.name] = sensor
        machine = replace(wanted.asset.machine, speed_sensor=sensor)
        if detector is not None and f"{wanted.asset.name}.anomaly" in self._places.sensor_by_name:
            self._notes.add(
                (*wanted.path, "detector"),
                f"the score of {wanted.asset.name} would be called like its point 'anomaly'; give the point another"
                " name, or say detector: off",
            )
        return replace(wanted.asset, machine=machine, detector=detector)

    def _speed_sensor(self, wanted: WantedOfAsset, text: str) -> str | None:
        path = (*wanted.path, "machine", "speed_sensor")
        found = self._measured(wanted.asset.name, text, path)
        if found is None:
            return None
        try:
            conversion(found.unit, "rpm")
        except UnitError:
            message = f"{found.name} is in {found.unit or 'no unit'}; expected a sensor in rpm, Hz or rad/s"
            self._notes.add(path, message)
            return None
        return found.name

    def _asked_for(self, wanted: WantedOfAsset) -> DetectorSpec | None:
        entry, path = wanted.entry.detector, (*wanted.path, "detector")
        if entry is None or entry.off or not self._notes.sound(path):
            return None
        try:
            asset_kinds.validate(entry.__pydantic_extra__)
        except ConfigurationError as fault:
            self._notes.add(path, str(fault))
            return None
        before = len(self._notes.problems)
        if entry.sensors is None:
            names = self._candidates(wanted.asset.name)
        else:
            names = self._named(wanted.asset.name, entry, path)
        if len(names) < _FEWEST:
            if len(self._notes.problems) == before and "sites" not in self._notes.unsure:
                message = f"{wanted.asset.name} has {len(names)} sensors to be scored by; expected {_FEWEST} or more"
                self._notes.add(path, message)
            return None
        self._owner |= dict.fromkeys(names, wanted.asset.name)
        return self._joint(names, dict(entry.__pydantic_extra__))

    def _named(self, asset: str, entry: AssetDetectorEntry, path: Path) -> list[str]:
        names: list[str] = []
        for place, text in enumerate(entry.sensors or ()):
            at = (*path, "sensors", place)
            found = self._measured(asset, text, at)
            if found is None:
                continue
            if found.name in names:
                self._notes.add(at, f"{found.name} stands twice; keep one")
            elif found.name in self._owner:
                message = f"{found.name} goes into the score of {self._owner[found.name]} already; leave one out"
                self._notes.add(at, message)
            else:
                names.append(found.name)
        return names

    def _automatic(self, wanted: WantedOfAsset) -> DetectorSpec | None:
        detectors = self._detectors
        if detectors.off or detectors.assets == "off" or wanted.entry.detector is not None:
            return None
        names = [name for name in self._candidates(wanted.asset.name) if name not in self._owner]
        if len(names) < _FEWEST:
            return None
        self._owner |= dict.fromkeys(names, wanted.asset.name)
        self.scores.append(f"{wanted.asset.name}.anomaly")
        return self._joint(names, {})

    def _joint(self, names: Sequence[str], parameters: dict[str, float]) -> DetectorSpec:
        return DetectorSpec(kind=_JOINT, parameters=self._budget() | parameters, sensors=tuple(names))

    def _budget(self) -> dict[str, float]:
        budget = self._detectors.budget
        return {} if self._detectors.off or budget is None else {"budget": budget}

    def _candidates(self, asset: str) -> list[str]:
        """Sensors of an asset that are looked at where nobody says which."""
        own = self._places.sensors_of.get(asset, ())
        return [sensor.name for sensor in own if self._is_candidate(sensor.name)]

    def _is_candidate(self, name: str) -> bool:
        wanted = self._wanted[name]
        sensor, entry = wanted.sensor, wanted.entry
        is_off = entry.detector is not None and entry.detector.kind == "off"
        return (
            sensor.kind is SensorKind.MEASURED
            and not is_off
            and entry.vibration is None
            and not sensor.codes
            and not _counts(sensor.unit)
        )

    # Sensors

    def _of_sensor(self, wanted: WantedOfSensor) -> Iterator[SensorDefinition]:
        """The sensor, and what is computed of it alone."""
        name, entry = wanted.sensor.name, wanted.entry
        is_automatic = not self._detectors.off and self._is_candidate(name)
        detector = self._own_detector(wanted)
        if detector is None and is_automatic and entry.detector is None and self._detectors.sensors == "auto":
            detector = DetectorSpec(kind="auto", parameters=self._budget())
            # One alarm a machine: of what goes into its score, that is the one.
            if f"{self._owner.get(name)}.anomaly" not in self.scores:
                self.scores.append(f"{name}.score")
        vibration = self._vibration(wanted)
        sensor = replace(wanted.sensor, detector=detector, vibration=vibration)
        yield sensor
        if detector is not None:
            yield _derived(sensor, "score", "anomaly score")
        followed = sensor
        has_unit = entry.unit is not None and _is_unit(entry.unit, sensor.quantity)
        if vibration is not None and has_unit:
            for feature in self._features(sensor, vibration):
                yield feature
                if feature.detector is not None:
                    self.scores.append(f"{feature.name}.score")
                    yield _derived(feature, "score", "anomaly score")
                if feature.computed == _FOLLOWED_FEATURE:
                    followed = feature
        if name in self._owner:
            yield _derived(sensor, "contribution", "share of the asset's anomaly score")
        if is_automatic and self._detectors.sensor_faults == "auto":
            self.faults.append(f"{name}.sensor_fault")
            yield _derived(sensor, "sensor_fault", "sensor fault")
        if entry.remaining_life is not None and has_unit:
            yield from remaining_life(followed, entry.remaining_life, (*wanted.path, "remaining_life"), self._notes)

    def _own_detector(self, wanted: WantedOfSensor) -> DetectorSpec | None:
        entry, path = wanted.entry.detector, (*wanted.path, "detector")
        if entry is None or entry.kind in {"off", NOBODY} or wanted.sensor.kind is not SensorKind.MEASURED:
            return None
        try:
            kinds.validate(entry.kind, entry.__pydantic_extra__)
        except ConfigurationError as error:
            self._notes.add(path, str(error))
            return None
        on = self._context(wanted, entry, path)
        return DetectorSpec(kind=entry.kind, parameters=dict(entry.__pydantic_extra__), sensors=on)

    def _context(self, wanted: WantedOfSensor, entry: DetectorEntry, path: Path) -> tuple[str, ...]:
        """The sensor that the usual level depends on, where the detector looks at one."""
        depends = kinds.DETECTORS[entry.kind].context
        if depends != bool(entry.on):
            says = (
                "needs to know on what the level depends; expected on: speed" if depends else "has no on; leave it out"
            )
            self._notes.add((*path, "on"), f"detector {entry.kind} {says}")
            return ()
        names: list[str] = []
        for place, text in enumerate(entry.on):
            found = self._measured(wanted.sensor.asset, text, (*path, "on", place))
            if found is not None and found.name == wanted.sensor.name:
                self._notes.add((*path, "on", place), "the sensor itself; expected another one, e.g. speed")
            elif found is not None:
                names.append(found.name)
        return tuple(names)

    def _vibration(self, wanted: WantedOfSensor) -> Vibration | None:
        entry, path = wanted.entry.vibration, (*wanted.path, "vibration")
        if entry is None or wanted.sensor.kind is not SensorKind.MEASURED:
            return None
        return Vibration(bearings=bearings(entry.bearings, (*path, "bearings"), self._notes))

    def _features(self, sensor: SensorDefinition, vibration: Vibration) -> Iterator[SensorDefinition]:
        machine = self._places.asset_by_name[sensor.asset].machine
        try:
            units = feature_units(sensor.unit, machine, vibration)
        except ConfigurationError as fault:
            self._notes.add((*self._wanted[sensor.name].path, "vibration"), str(fault))
            return
        watched = not self._detectors.off and self._detectors.sensors == "auto"
        for name, unit in units.items():
            found = _derived(sensor, name, name.replace("_", " "), unit)
            if watched and grows_with_damage(name):
                found = replace(found, detector=DetectorSpec(kind="auto", parameters=self._budget() | {"side": 1.0}))
            yield found

    def _measured(self, asset: str, text: str, path: Path) -> SensorDefinition | None:
        """The sensor that is meant, which sends numbers."""
        if text == NOBODY:
            return None
        found = self._places.sensor(asset, text)
        if found is None:
            if "sites" not in self._notes.unsure:
                points = [sensor.name[len(asset) + 1 :] for sensor in self._places.sensors_of.get(asset, ())]
                message = f"{text!r} is no point of {asset}, nor a sensor's full name; expected one of them"
                self._notes.add(path, f"{message}{closest(text, points)}")
            return None
        if found.kind is not SensorKind.MEASURED or self._wanted[found.name].entry.vibration is not None:
            what = "a state" if found.kind is SensorKind.STATE else "waveforms"
            self._notes.add(path, f"{found.name} sends {what}; expected a sensor that sends numbers")
            return None
        return found


def _is_unit(unit: str, quantity: str) -> bool:
    """Whether it can be used; where not, that is noted already."""
    try:
        check_unit(unit, quantity)
    except UnitError:
        return False
    return True


def _counts(unit: str) -> bool:
    """Whether values in this unit grow for ever: hours run, energy used."""
    if unit.strip().endswith("Wh"):
        return True
    try:
        conversion(unit, "s")
    except UnitError:
        return False
    return bool(unit.strip())


def _derived(sensor: SensorDefinition, computed: str, quantity: str, unit: str = "") -> SensorDefinition:
    return SensorDefinition(
        name=f"{sensor.name}.{computed}",
        title=f"{sensor.title or sensor.name}, {quantity}",
        asset=sensor.asset,
        kind=SensorKind.DERIVED,
        quantity=quantity,
        unit=unit,
        computed=computed,
        source=sensor.name,
    )


def _anomaly(asset: AssetDefinition) -> SensorDefinition:
    return SensorDefinition(
        name=f"{asset.name}.anomaly",
        title=f"{asset.title or asset.name}, anomaly score",
        asset=asset.name,
        kind=SensorKind.DERIVED,
        quantity="anomaly score",
        unit="",
        computed="anomaly",
    )
