"""When a rule applies, and what keeps its alarms quiet: state of the machine, schedule, other rules."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from precursor.plantfile.amounts import value_in
from precursor.plantfile.definition import RuleDefinition
from precursor.plantfile.notes import Notes
from precursor.plantfile.places import Places
from precursor.plantfile.rule_drafts import Draft, RuleError
from telemetry.names import closest
from telemetry.plant import AssetState, SensorKind
from telemetry.units import UnitError

__all__ = ["check_suppression", "gate"]


def gate(draft: Draft, places: Places) -> dict[str, Any] | None:
    """The gate of a rule in the layout of `rules.stored`.

    Raises:
        RuleError: there is no such sensor, or its ends make no sense.
    """
    entry = draft.entry.while_
    if entry is None:
        return None
    place = draft.place("while")
    if (entry.state is None) == (entry.sensor is None):
        raise RuleError(place, "expected either a state such as running, or a sensor with low or high")
    if entry.state is not None:
        if entry.low is not None or entry.high is not None:
            raise RuleError(place, "a state has no low or high; leave them out")
        found = places.state_sensor(draft.asset)
        if found is None:
            message = f"{draft.asset} has no state sensor, nor has what it is a part of; expected one of kind: state"
            raise RuleError(place, message)
        code = float(AssetState[entry.state.upper()])
        return _gate(found.name, code, code, entry.settle)
    assert entry.sensor is not None
    found = places.sensor(draft.asset, entry.sensor)
    if found is None:
        hint = closest(entry.sensor, _points(draft.asset, places))
        raise RuleError(
            (*place, "sensor"),
            f"{entry.sensor!r} is no point of {draft.asset}, nor a sensor's full name; expected one of them{hint}",
        )
    if found.kind is SensorKind.STATE:
        raise RuleError((*place, "sensor"), f"{found.name} is a state; expected while: running")
    ends: dict[str, float | None] = {"low": None, "high": None}
    for key in ends:
        amount = getattr(entry, key)
        if amount is not None:
            try:
                ends[key] = value_in(found.unit, amount)
            except UnitError as fault:
                raise RuleError((*place, key), f"{fault}; {found.name} is in {found.unit or 'no unit'}") from None
    low, high = ends["low"], ends["high"]
    if low is None and high is None:
        raise RuleError(place, "no end; expected low, high or both beside the sensor")
    if low is not None and high is not None and low > high:
        raise RuleError((*place, "low"), f"low {low:g} is above high {high:g}; exchange or correct them")
    return _gate(found.name, low, high, entry.settle)


def _gate(sensor: str, low: float | None, high: float | None, settle_s: float) -> dict[str, Any]:
    ends = {key: end for key, end in (("low", low), ("high", high)) if end is not None}
    return {"sensor": sensor, **ends, **({"settle_s": settle_s} if settle_s else {})}


def _points(asset: str, places: Places) -> list[str]:
    return [sensor.name[len(asset) + 1 :] for sensor in places.sensors_of.get(asset, ())]


def check_suppression(
    found: Iterable[RuleDefinition],
    drafts: Mapping[str, Sequence[Draft]],
    names: Collection[str],
    places: Places,
    notes: Notes,
) -> None:
    """Every rule in a suppressed_by is there to do so, and none ends up keeping itself quiet.

    Args:
        found: all rules.
        drafts: those that others suppress, by name.
        names: of all rules of the file.
        places: where assets are.
        notes: takes what is wrong.
    """
    standing: dict[str, set[str]] = {}
    for rule in found:
        standing.setdefault(rule.name, set()).add(rule.asset)
    graph = {name: {other for draft in group for other in draft.entry.suppressed_by} for name, group in drafts.items()}
    for name, group in drafts.items():
        told = set[str]()
        for draft in group:
            for other in draft.entry.suppressed_by:
                if other in told:
                    continue
                fault = _fault(name, other, group, names, standing, places, graph, notes)
                told.add(other)
                if fault:
                    notes.add(draft.place("suppressed_by"), fault)


def _fault(
    name: str,
    other: str,
    group: Sequence[Draft],
    names: Collection[str],
    standing: Mapping[str, set[str]],
    places: Places,
    graph: Mapping[str, set[str]],
    notes: Notes,
) -> str | None:
    if other == name:
        return f"{name!r} would suppress itself; leave it out"
    if other not in names:
        if {"rules", "templates"} & notes.unsure:
            return None
        return f"there is no rule {other!r}; expected the name of a rule{closest(other, names)}"
    if _leads_to(other, name, graph):
        return f"{other!r} is suppressed by {name!r} itself: of two at once nobody would hear; leave one out"
    watched = standing.get(other, set())
    if not notes.problems and not any(
        above in watched
        for draft in group
        if other in draft.entry.suppressed_by
        for above in places.lineage(draft.asset)
    ):
        return f"{other!r} watches nothing on the assets of {name!r}, nor above them; leave it out"
    return None


def _leads_to(begin: str, end: str, graph: Mapping[str, set[str]]) -> bool:
    seen, waiting = {begin}, [begin]
    while waiting:
        for other in graph.get(waiting.pop(), ()):
            if other == end:
                return True
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    return False
