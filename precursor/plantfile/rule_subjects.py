"""What a rule is on: sensors and assets by name, by pattern, by class."""

from collections.abc import Iterator
from dataclasses import dataclass

from precursor.plantfile.definition import SensorDefinition
from precursor.plantfile.notes import Notes
from precursor.plantfile.places import Places, is_pattern
from precursor.plantfile.problems import Path
from precursor.plantfile.rule_entries import RuleEntry
from precursor.plantfile.rule_kinds import SENSOR_KINDS
from telemetry.names import closest
from telemetry.plant import SensorKind

__all__ = ["Subjects", "WrittenRule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenRule:
    """A rule as it stands in the file."""

    entry: RuleEntry
    path: Path
    origin: str = ""
    asset_class: str | None = None
    """of a template: the class"""


class Subjects:
    """Finds what rules are on."""

    def __init__(self, places: Places, notes: Notes) -> None:
        self._places = places
        self._notes = notes

    def of(self, written: WrittenRule) -> Iterator[tuple[str, SensorDefinition | None]]:
        """Assets, and sensors of theirs; None: the asset as a whole. What is not there is put down."""
        entry, places = written.entry, self._places
        if written.asset_class is not None:
            yield from self._of_class(written, written.asset_class)
        elif entry.assets:
            for place, text in enumerate(entry.assets):
                names = [text] if text in places.asset_by_name else []
                if not names and is_pattern(text):
                    names = places.matching_assets(text)
                if not names and "sites" not in self._notes.unsure:
                    what = "the pattern matches no asset" if is_pattern(text) else "there is no asset of this name"
                    message = f"{text!r}: {what}; expected e.g. P-101 or P-*{closest(text, places.asset_by_name)}"
                    self._notes.add((*written.path, "assets", place), message)
                yield from ((name, None) for name in names)
        else:
            for place, text in enumerate(entry.sensors):
                yield from ((sensor.asset, sensor) for sensor in self._watched(written, place, text))

    def _watched(self, written: WrittenRule, place: int, text: str) -> list[SensorDefinition]:
        places = self._places
        if text in places.sensor_by_name:
            return [places.sensor_by_name[text]]
        found = places.matching_sensors(text) if is_pattern(text) else []
        found = [sensor for sensor in found if _is_meant(written.entry, sensor)]
        if not found and "sites" not in self._notes.unsure:
            what = "the pattern matches no sensor" if is_pattern(text) else "there is no sensor of this name"
            hint = closest(text, places.sensor_by_name)
            message = f"{text!r}: {what}; expected asset.point or a pattern such as *.vib_de{hint}"
            self._notes.add((*written.path, "sensors", place), message)
        return found

    def _of_class(self, written: WrittenRule, asset_class: str) -> Iterator[tuple[str, SensorDefinition | None]]:
        assets = self._places.assets_of_class.get(asset_class, ())
        if not written.entry.sensors:
            yield from ((asset, None) for asset in assets)
            return
        for place, text in enumerate(written.entry.sensors):
            found = [
                sensor
                for asset in assets
                for sensor in self._places.matching_points(asset, text)
                if not is_pattern(text) or _is_meant(written.entry, sensor)
            ]
            if assets and not found and "sites" not in self._notes.unsure:
                points = {
                    sensor.name[len(asset) + 1 :]
                    for asset in assets
                    for sensor in self._places.sensors_of.get(asset, ())
                }
                message = (
                    f"{text!r}: no {asset_class} has such a point; expected a point or a pattern such as vib_*"
                    f"{closest(text, points)}"
                )
                self._notes.add((*written.path, "sensors", place), message)
            yield from ((sensor.asset, sensor) for sensor in found)


def _is_meant(entry: RuleEntry, sensor: SensorDefinition) -> bool:
    """Whether a pattern that fits the sensor's name means it.

    Patterns mean numbers to compare: a state is watched where it is named. Scores and features are no measurements,
    and out of range can only be what has one.
    """
    if sensor.kind is SensorKind.STATE:
        return False
    if entry.kind == "out_of_range" and entry.low is None and entry.high is None:
        return sensor.checks.low is not None or sensor.checks.high is not None
    return entry.kind not in SENSOR_KINDS or sensor.kind is SensorKind.MEASURED
