"""Sensors whose trend is followed to a limit: what is computed of them, and which limit that is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from precursor.plantfile.amounts import value_in
from precursor.plantfile.definition import RuleDefinition, SensorDefinition
from precursor.plantfile.model_entries import RemainingLifeEntry
from precursor.plantfile.notes import Notes
from precursor.plantfile.problems import Path
from telemetry.plant import DetectorSpec, SensorKind
from telemetry.units import UnitError

__all__ = ["limits_of_rules", "remaining_life", "with_limits"]

TREND = "trend"
"""the kind of model that a `remaining_life` sensor is computed by; its parameter is `high` or `low`, the limit"""

_QUANTILES: Mapping[str, str] = MappingProxyType(
    {
        "remaining_life": "remaining life, median",
        "remaining_life_p10": "remaining life, one in ten is shorter",
        "remaining_life_p90": "remaining life, nine in ten are shorter",
    }
)
_COMPARED = frozenset(["limit", "iso_20816"])
"""kinds of rules whose limits are values of the sensor itself"""


def remaining_life(
    followed: SensorDefinition, entry: RemainingLifeEntry, path: Path, notes: Notes
) -> Iterator[SensorDefinition]:
    """What is computed of a sensor whose trend is followed; what is wrong with it is noted.

    The first one carries how: a `trend` to a limit. Without one it is to be found among the rules: `with_limits`.
    """
    if followed.kind is SensorKind.STATE or not notes.sound(path):
        return
    limit: dict[str, float] = {}
    given = {side: amount for side in ("high", "low") if (amount := getattr(entry, side)) is not None}
    if len(given) > 1:
        notes.add(path, "both high and low; a trend is followed to one of them")
        return
    for side, amount in given.items():
        try:
            limit[side] = value_in(followed.unit, amount)
        except UnitError as fault:
            notes.add((*path, side), f"{fault}; {followed.name} is in {followed.unit or 'no unit'}")
            return
    for computed, quantity in _QUANTILES.items():
        yield SensorDefinition(
            name=f"{followed.name}.{computed}",
            title=f"{followed.title or followed.name}, {quantity}",
            asset=followed.asset,
            kind=SensorKind.DERIVED,
            quantity=quantity,
            unit="d",
            computed=computed,
            source=followed.name,
            detector=DetectorSpec(kind=TREND, parameters=limit) if computed == "remaining_life" else None,
        )


def limits_of_rules(rules: Iterable[RuleDefinition]) -> Mapping[str, Mapping[str, float]]:
    """Of each sensor the limit that is reached first: the lowest `high`, or, where there is none, the highest `low`."""
    found: dict[str, dict[str, float]] = {}
    for rule in rules:
        if rule.sensor is None or rule.kind not in _COMPARED:
            continue
        own = found.setdefault(rule.sensor, {})
        highs = [end for end in (own.get("high"), rule.high, rule.high_high) if end is not None]
        lows = [end for end in (own.get("low"), rule.low, rule.low_low) if end is not None]
        own.update({"high": min(highs)} if highs else {}, **({"low": max(lows)} if lows else {}))
    return {
        sensor: {side: own[side]}
        for sensor, own in found.items()
        if (side := "high" if "high" in own else "low") in own
    }


def with_limits(
    sensors: Sequence[SensorDefinition], rules: Iterable[RuleDefinition], paths: Mapping[str, Path], notes: Notes
) -> list[SensorDefinition]:
    """The sensors, trends that have no limit of their own with that of the rules; where there is none it is noted.

    Args:
        sensors: all of the file.
        rules: likewise.
        paths: where the file says `remaining_life`, by name of the sensor that is sent.
        notes: takes what is wrong.
    """
    limits = limits_of_rules(rules)
    sent = {sensor.name: sensor.source for sensor in sensors}
    found = []
    for each in sensors:
        sensor, detector, source = each, each.detector, each.source
        if detector is not None and detector.kind == TREND and not detector.parameters and source is not None:
            if source in limits:
                sensor = replace(each, detector=replace(detector, parameters=limits[source]))
            elif not notes.problems:
                message = f"no rule has a limit for {source}; expected one, or the limit here, e.g. {{high: 7.1 mm/s}}"
                notes.add(paths[sent[source] or source], message)
        found.append(sensor)
    return found
