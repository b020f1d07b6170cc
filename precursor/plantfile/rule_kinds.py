"""The kinds of rules: which keys each has, and what it watches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from precursor.plantfile.amounts import Amount, per_time, step_in, value_in
from precursor.plantfile.definition import SensorDefinition
from precursor.plantfile.places import Places
from precursor.plantfile.rule_drafts import Draft, LackingError, Watching
from precursor.plantfile.rule_expressions import expression_inputs
from precursor.plantfile.rule_limits import SIDES, converted, limits, step_of_zero
from rules.iso_20816 import UNIT, ZONES, Foundation
from telemetry.plant import SensorKind
from telemetry.units import UnitError, conversion, same_unit

__all__ = ["COMMON_KEYS", "KINDS", "SENSOR_KINDS", "KindOfRule"]

COMMON_KEYS = frozenset([
    "name", "title", "kind", "priority", "latching", "while", "schedule", "suppressed_by", "suppresses_children",
    "first_out", "failure_mode", "job_plan",
])  # fmt: skip
SENSOR_KINDS = frozenset(["flat_line", "out_of_range", "no_data", "quality"])
"""their alarms are about the measurement, not the machine"""
_DELAYS = frozenset(["on_delay", "off_delay"])
_LIMITS = frozenset([*SIDES, "deadband", "critical_priority"]) | _DELAYS
_ON_SENSORS = frozenset(["sensors"])


@dataclass(frozen=True, slots=True, kw_only=True)
class KindOfRule:
    """What a kind is made of."""

    keys: frozenset[str]
    """those it may have beside the common ones"""
    needs: tuple[str, ...] = ()
    watching: Callable[[Draft, Places], Watching]


def _sensor(draft: Draft) -> SensorDefinition:
    assert draft.sensor is not None, "kinds of this sort are on sensors only"
    return draft.sensor


def _of_limits(draft: Draft, found: tuple[dict[str, float], float], unit: str, **more: Any) -> Watching:
    entry = draft.entry
    return Watching(
        unit=unit,
        limits=found[0],
        deadband=found[1],
        on_delay_s=entry.on_delay,
        off_delay_s=entry.off_delay,
        **more,
    )


def _limit(draft: Draft, _: Places) -> Watching:
    unit = _sensor(draft).unit
    return _of_limits(draft, limits(draft, unit), unit)


def _deviation(draft: Draft, places: Places) -> Watching:
    sensor, entry = _sensor(draft), draft.entry
    if (entry.setpoint is None) == (entry.reference is None):
        raise draft.fault("", "a deviation is from one thing; expected either setpoint or reference")
    if entry.setpoint is not None:
        options: dict[str, Any] = {"setpoint": converted(draft, "setpoint", entry.setpoint, sensor.unit)}
    else:
        assert entry.reference is not None
        reference = places.sensor(draft.asset, entry.reference)
        if reference is None or reference is sensor:
            what = "the sensor itself" if reference else f"no sensor of {draft.asset}, nor of what it is a part of"
            raise draft.fault("reference", f"{entry.reference!r} is {what}; expected a point or a sensor's full name")
        if not same_unit(reference.unit, sensor.unit):
            message = f"{reference.name} is in {reference.unit or 'no unit'}, {sensor.name} in {sensor.unit or 'none'}"
            raise draft.fault("reference", f"{message}; expected a sensor in the same unit")
        options = {"reference": reference.name}
    return _of_limits(draft, limits(draft, sensor.unit, value=step_in), sensor.unit, options=options)


def _rate(draft: Draft, _places: Places) -> Watching:
    sensor, entry = _sensor(draft), draft.entry
    time, per_s = "", 0.0
    for key in SIDES:
        amount: Amount | None = getattr(entry, key)
        if amount is not None and amount[1] is not None:
            try:
                _, time, per_s = per_time(amount)
            except UnitError as fault:
                raise draft.fault(key, str(fault)) from None
            break
    bare = next((key for key in SIDES if getattr(entry, key) is not None), "")
    if bare and not time:
        example = f"{getattr(entry, bare)[0]:g} {sensor.unit}".strip()
        raise draft.fault(bare, f"a rate is by some time; expected e.g. {example}/min, with s, min, h or d")

    def in_time(unit: str, amount: Amount) -> float:
        if amount[1] is None:
            return amount[0]
        of, _, seconds = per_time(amount)
        return step_in(unit, (of[0] * per_s / seconds, of[1]))

    found = limits(draft, sensor.unit, value=in_time, step=in_time)
    unit = f"{sensor.unit or '1'}/{time}"
    return _of_limits(draft, found, unit, options={"window_s": entry.window, "per_s": per_s})


def _window(draft: Draft, _: Places) -> Watching:
    unit, entry = _sensor(draft).unit, draft.entry
    spread = entry.statistic == "standard_deviation"
    if spread and entry.min_readings < 2:
        raise draft.fault("min_readings", "a standard deviation needs 2 readings; expected 2 or more")
    options = {"statistic": entry.statistic, "window_s": entry.window, "min_readings": entry.min_readings}
    return _of_limits(draft, limits(draft, unit, value=step_in if spread else value_in), unit, options=options)


def _count(draft: Draft, _: Places) -> Watching:
    sensor, entry = _sensor(draft), draft.entry
    assert entry.at_least is not None
    assert entry.of is not None
    if (entry.high is None) == (entry.low is None):
        raise draft.fault("", "readings are counted beyond one limit; expected either high or low")
    if entry.at_least > entry.of:
        raise draft.fault("at_least", f"{entry.at_least} of {entry.of} there never are; expected {entry.of} or less")
    key, name = ("high", "above") if entry.high is not None else ("low", "below")
    amount = getattr(entry, key)
    options = {name: converted(draft, key, amount, sensor.unit), "at_least": entry.at_least, "of": entry.of}
    if entry.within is not None:
        options["within_s"] = entry.within
    return Watching(
        unit="",
        options=options,
        on_delay_s=entry.on_delay,
        off_delay_s=entry.off_delay,
        sources={"condition": draft.source(key)} if draft.source(key) else {},
    )


def _iso_20816(draft: Draft, places: Places) -> Watching:
    sensor, entry = _sensor(draft), draft.entry
    try:
        conversion(UNIT, sensor.unit)
    except UnitError:
        raise draft.fault(
            "sensors" if draft.says("sensors") else "",
            f"{sensor.name} is in {sensor.unit or 'no unit'}, and ISO 20816 judges RMS velocity in mm/s: acceleration "
            "(g) says nothing of its zones; expected sensors in mm/s, in/s or another unit of velocity",
        ) from None
    group, foundation = places.machine(draft.asset)
    group, foundation = entry.group or group, entry.foundation or foundation
    for key, value, example in (("group", group, "2"), ("foundation", foundation, "rigid")):
        if value is None:
            message = f"missing for {draft.asset}; expected {key} here or machine: {{{key}: {example}}} in the asset"
            raise draft.fault(key, message)
    assert group is not None
    assert foundation is not None
    zones = ZONES[group, Foundation(foundation)]
    table = {"high": step_in(sensor.unit, (zones.b_c, UNIT)), "high_high": step_in(sensor.unit, (zones.c_d, UNIT))}
    # A number in the file takes the place of the table's, and null that of none.
    table = {side: end for side, end in table.items() if not draft.says(side)}
    found = limits(draft, sensor.unit, others=table)
    sources = dict.fromkeys(table, zones.source)
    return _of_limits(draft, found, sensor.unit, sources=sources)


def _flat_line(draft: Draft, _: Places) -> Watching:
    tolerance = step_of_zero(draft, "tolerance", _sensor(draft).unit)
    return Watching(unit="", options={"tolerance": tolerance}, on_delay_s=_how_long(draft))


def _out_of_range(draft: Draft, _: Places) -> Watching:
    sensor, entry = _sensor(draft), draft.entry
    ends = {"low": sensor.checks.low, "high": sensor.checks.high}
    table = {side: end for side, end in ends.items() if end is not None and getattr(entry, side) is None}
    if not table and entry.low is None and entry.high is None:
        raise draft.fault("", f"{sensor.name} has no range; expected low or high here, or range: [low, high] there")
    found = limits(draft, sensor.unit, others=table)
    return _of_limits(draft, found, sensor.unit, sources=dict.fromkeys(table, "range of the sensor"))


def _no_data(draft: Draft, places: Places) -> Watching:
    names = [draft.subject]
    if draft.sensor is None:
        own = places.sensors_of.get(draft.asset, ())
        names = [sensor.name for sensor in own if sensor.kind is SensorKind.MEASURED]
        if not names:
            message = f"{draft.asset} has no measured sensors of its own; expected an asset that has"
            raise LackingError(draft.place("assets" if draft.says("assets") else ""), message)
    return Watching(unit="", options={"sensors": names}, on_delay_s=_how_long(draft))


def _quality(draft: Draft, _: Places) -> Watching:
    return Watching(unit="", on_delay_s=draft.entry.for_ or 0.0, off_delay_s=draft.entry.off_delay)


def _usage(draft: Draft, _: Places) -> Watching:
    sensor, every = _sensor(draft), draft.entry.every
    assert every is not None
    is_state = sensor.kind is SensorKind.STATE
    unit = "h" if is_state else sensor.unit
    high = converted(draft, "every", every, unit, step_in)
    if high <= 0:
        raise draft.fault("every", f"{high:g}; expected more than 0")
    sources = {"high": draft.source("every")} if draft.source("every") else {}
    return Watching(
        unit=unit, limits={"high": high}, options={"running_hours": True} if is_state else {}, sources=sources
    )


def _expression(draft: Draft, places: Places) -> Watching:
    entry = draft.entry
    assert entry.expression is not None
    inputs, is_condition = expression_inputs(draft, places)
    options = {"text": entry.expression, "inputs": inputs, "is_condition": is_condition}
    if not is_condition:
        unit = entry.unit or ""
        return _of_limits(draft, limits(draft, unit), unit, options=options)
    wrong = next((key for key in (*SIDES, "deadband", "unit") if draft.says(key)), None)
    if wrong is not None:
        raise draft.fault(wrong, f"the expression is true or false; leave {wrong} out, or give a number to compare")
    return Watching(unit="", options=options, on_delay_s=entry.on_delay, off_delay_s=entry.off_delay)


def _how_long(draft: Draft) -> float:
    seconds = draft.entry.for_
    if not seconds:
        raise draft.fault("for", "0; it says how long, so expected a duration above 0")
    return seconds


KINDS: Mapping[str, KindOfRule] = MappingProxyType({
    "limit": KindOfRule(keys=_ON_SENSORS | _LIMITS, watching=_limit),
    "deviation": KindOfRule(keys=_ON_SENSORS | _LIMITS | {"setpoint", "reference"}, watching=_deviation),
    "rate": KindOfRule(keys=_ON_SENSORS | _LIMITS | {"window"}, needs=("window",), watching=_rate),
    "window": KindOfRule(
        keys=_ON_SENSORS | _LIMITS | {"statistic", "window", "min_readings"},
        needs=("statistic", "window"),
        watching=_window,
    ),
    "count": KindOfRule(
        keys=_ON_SENSORS | _DELAYS | {"high", "low", "at_least", "of", "within"},
        needs=("at_least", "of"),
        watching=_count,
    ),
    "iso_20816": KindOfRule(
        keys=_ON_SENSORS | (_LIMITS - {"low", "low_low"}) | {"group", "foundation"}, watching=_iso_20816
    ),
    "flat_line": KindOfRule(keys=_ON_SENSORS | {"tolerance", "for"}, needs=("for",), watching=_flat_line),
    "out_of_range": KindOfRule(keys=_ON_SENSORS | _DELAYS | {"high", "low", "deadband"}, watching=_out_of_range),
    "no_data": KindOfRule(keys=_ON_SENSORS | {"assets", "for"}, needs=("for",), watching=_no_data),
    "quality": KindOfRule(keys=_ON_SENSORS | {"for", "off_delay"}, watching=_quality),
    "usage": KindOfRule(keys=_ON_SENSORS | {"every"}, needs=("every",), watching=_usage),
    "expression": KindOfRule(
        keys=frozenset({"assets", "expression", "inputs", "unit"}) | _LIMITS,
        needs=("expression",),
        watching=_expression,
    ),
})  # fmt: skip
