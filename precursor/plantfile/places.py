"""Where things are in the plant of a file: what a rule means by a name or a pattern."""

import fnmatch
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from precursor.plantfile.definition import AssetDefinition, SensorDefinition
from precursor.plantfile.rule_entries import MachineEntry
from telemetry.plant import SensorKind

__all__ = ["Places", "is_pattern"]

_PATTERN = re.compile(r"[*?\[]")


def is_pattern(text: str) -> bool:
    """Whether the text may stand for many names."""
    return _PATTERN.search(text) is not None


class Places:
    """Assets and sensors by name, and what is above what."""

    def __init__(
        self,
        assets: Sequence[AssetDefinition],
        sensors: Sequence[SensorDefinition],
        machines: Mapping[str, MachineEntry],
    ) -> None:
        self.asset_by_name = {asset.name: asset for asset in assets}
        self.sensor_by_name = {sensor.name: sensor for sensor in sensors}
        self._machines = machines

    @cached_property
    def sensors_of(self) -> Mapping[str, Sequence[SensorDefinition]]:
        """Sensors by asset, those of its own."""
        found = defaultdict[str, list[SensorDefinition]](list)
        for sensor in self.sensor_by_name.values():
            found[sensor.asset].append(sensor)
        return found

    @cached_property
    def assets_of_class(self) -> Mapping[str, Sequence[str]]:
        """Names of assets by class."""
        found = defaultdict[str, list[str]](list)
        for asset in self.asset_by_name.values():
            found[asset.asset_class].append(asset.name)
        return found

    def lineage(self, asset: str) -> Iterator[str]:
        """The asset, what it is a part of, what that is a part of ..."""
        name: str | None = asset
        while name is not None and name in self.asset_by_name:
            yield name
            name = self.asset_by_name[name].parent

    def sensor(self, asset: str, text: str) -> SensorDefinition | None:
        """A point of the asset, or of the nearest above that has it, or the sensor of this full name."""
        for name in self.lineage(asset):
            if (found := self.sensor_by_name.get(f"{name}.{text}")) is not None:
                return found
        return self.sensor_by_name.get(text)

    def state_sensor(self, asset: str) -> SensorDefinition | None:
        """What says whether the machine runs: of the asset, or the nearest above."""
        for name in self.lineage(asset):
            for sensor in self.sensors_of.get(name, ()):
                if sensor.kind is SensorKind.STATE:
                    return sensor
        return None

    def machine(self, asset: str) -> tuple[int | None, str | None]:
        """Group and foundation as the asset says, or the nearest above that says it."""
        # What is said here comes before what is known from elsewhere.
        said = [
            machine
            for name in self.lineage(asset)
            for machine in (self._machines.get(name), self.asset_by_name[name].machine)
            if machine is not None
        ]
        group = next((machine.group for machine in said if machine.group is not None), None)
        foundation = next((machine.foundation for machine in said if machine.foundation is not None), None)
        return group, foundation

    def matching_sensors(self, pattern: str) -> list[SensorDefinition]:
        """Those whose full name fits."""
        names = fnmatch.filter(self.sensor_by_name, pattern)
        return [self.sensor_by_name[name] for name in names if fnmatch.fnmatchcase(name, pattern)]

    def matching_points(self, asset: str, pattern: str) -> list[SensorDefinition]:
        """Sensors of the asset whose point fits; `vib_*` is no score, `vib_*.score` is."""
        begin, dots = len(asset) + 1, pattern.count(".")
        return [
            sensor
            for sensor in self.sensors_of.get(asset, ())
            if sensor.name.count(".", begin) == dots and fnmatch.fnmatchcase(sensor.name[begin:], pattern)
        ]

    def matching_assets(self, pattern: str) -> list[str]:
        """Those whose name fits."""
        return [name for name in self.asset_by_name if fnmatch.fnmatchcase(name, pattern)]
