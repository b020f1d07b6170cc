"""What the rules in force watch, in words and for machines: `precursor rules`."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from rules.definition import Category, Gate, Rule, Schedule, Side
from rules.signal import (
    Count,
    Deviation,
    Expression,
    FlatLine,
    NoData,
    OutOfRange,
    Quality,
    Rate,
    Signal,
    Usage,
    Value,
    Window,
)
from rules.store import load_rules
from telemetry.errors import ConfigurationError
from telemetry.names import closest
from telemetry.plant import AssetState, Plant, Sensor, SensorKind
from telemetry.plant_store import load_plant
from telemetry.sql import load_queries

__all__ = ["PlantRules", "Row", "read_rules", "reset_rule"]

_SQL = load_queries("precursor", "rule_explanation.sql")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PERIODS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
_MOST_NAMES = 6

Row = tuple[str, str, str]
"""what, its value, and where that comes from"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantRules:
    """The rules in force, and the plant that they are about."""

    plant: Plant
    rules: tuple[Rule, ...]

    def of_asset(self, name: str) -> list[Rule]:
        """The rules on an asset as a whole, and on its sensors, by what they are on.

        Raises:
            ConfigurationError: the plant has no such asset.
        """
        ids = {asset.name: asset.id for asset in self.plant.assets}
        if name not in ids:
            raise ConfigurationError(f"the plant has no asset {name!r}{closest(name, ids)}")
        found = [rule for rule in self.rules if rule.asset_id == ids[name]]
        return sorted(found, key=lambda rule: (rule.sensor_id is not None, rule.sensor_name, rule.name))

    def unit(self, rule: Rule) -> str:
        """Of the values it looks at."""
        return rule.unit if rule.sensor_id is None else self.plant.sensor_by_id[rule.sensor_id].unit

    def watched(self, rule: Rule) -> str:
        """What its limits are compared with, or what is an alarm by itself."""
        return _watched(rule.signal, self.unit(rule), self._name)

    def explanation(self, rule: Rule) -> Iterator[Row]:
        """Everything about a rule, line by line."""
        yield "watches", self.watched(rule), rule.sources.get("condition", "")
        for limit in rule.limits:
            if limit.side is Side.CONDITION:
                yield "alarm", f"priority {limit.priority.name.lower()}", ""
                continue
            where = "above" if limit.side in (Side.HIGH, Side.HIGH_HIGH) else "below"
            text = f"{where} {_amount(limit.value, rule.unit)}, priority {limit.priority.name.lower()}"
            yield str(limit.side), text, rule.sources.get(str(limit.side), "the rule")
        if rule.deadband:
            yield "deadband", _amount(rule.deadband, rule.unit), rule.sources.get("deadband", "")
        if rule.on_delay_s:
            yield "on delay", period(rule.on_delay_s), rule.sources.get("on_delay", rule.sources.get("for", ""))
        if rule.off_delay_s:
            yield "off delay", period(rule.off_delay_s), rule.sources.get("off_delay", "")
        if rule.latching:
            yield "latching", "stands until somebody resets it", rule.sources.get("latching", "")
        if rule.gate is not None:
            yield "while", self._gate(rule.gate), rule.sources.get("while", "")
        if rule.schedule is not None:
            yield "applies", _schedule(rule.schedule), rule.sources.get("schedule", "")
        if rule.suppressed_by:
            names = [f"{other.name} on {other.sensor_name}" for other in self._suppressing(rule)]
            yield "suppressed by", _list(names), rule.sources.get("suppressed_by", "")
        if rule.first_out is not None:
            yield "first out", f"the first alarm of group {rule.first_out} alone is told", ""
        yield "comes of it", _consequence(rule), rule.sources.get("failure_mode", "")

    def document(self, rule: Rule) -> dict[str, object]:
        """Everything about a rule, for machines."""
        gate, schedule = rule.gate, rule.schedule
        names = [{"rule": other.name, "subject": other.sensor_name} for other in self._suppressing(rule)]
        return {
            "rule": rule.name,
            "subject": rule.sensor_name,
            "asset": self.plant.asset_by_id[rule.asset_id].name,
            "title": rule.title,
            "kind": type(rule.signal).__name__,
            "watches": self.watched(rule),
            "category": str(rule.category),
            "unit": rule.unit,
            "limits": [
                {
                    "side": str(limit.side),
                    "value": limit.value,
                    "priority": limit.priority.name.lower(),
                    "source": rule.sources.get(str(limit.side), "rule"),
                }
                for limit in rule.limits
            ],
            "deadband": rule.deadband,
            "on_delay_s": rule.on_delay_s,
            "off_delay_s": rule.off_delay_s,
            "latching": rule.latching,
            "while": None if gate is None else self._gate(gate),
            "schedule": None if schedule is None else _schedule(schedule),
            "suppressed_by": names,
            "first_out": rule.first_out,
            "failure_mode": rule.failure_mode,
            "job_plan": rule.job_plan,
            "sources": dict(rule.sources),
        }

    def _suppressing(self, rule: Rule) -> list[Rule]:
        return [other for other in self.rules if other.id in rule.suppressed_by]

    def _name(self, sensor_id: int) -> str:
        return self.plant.sensor_by_id[sensor_id].name

    def _gate(self, gate: Gate) -> str:
        sensor: Sensor = self.plant.sensor_by_id[gate.sensor_id]
        if sensor.kind is SensorKind.STATE and gate.low == gate.high:
            text = f"{sensor.name} is {AssetState(int(gate.low)).name.lower()}"
        else:
            ends = [
                f"{word} {_amount(end, sensor.unit)}"
                for word, end in (("at least", gate.low), ("at most", gate.high))
                if math.isfinite(end)
            ]
            text = f"{sensor.name} is {' and '.join(ends)}"
        return f"{text}, from {period(gate.settle_s)} after it came so" if gate.settle_s else text


async def read_rules(connection: asyncpg.Connection) -> PlantRules:
    """The plant and its rules, as of one moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return PlantRules(plant=await load_plant(connection), rules=await load_rules(connection))


async def reset_rule(
    connection: asyncpg.Connection, rule: str, subject: str, *, at: datetime, actor: str, note: str
) -> None:
    """Ask the engine to let a rule of usage count from the beginning, from `at` on.

    Raises:
        ConfigurationError: there is no such rule, it counts nothing, or nobody asks.
    """
    if not actor.strip():
        raise ConfigurationError("say who does it: it is kept with the rule")
    found = await connection.fetchrow(_SQL["find_rule"], rule, subject)
    if found is None:
        rows = await connection.fetch(_SQL["names"])
        subjects = {row["subject"] for row in rows if row["name"] == rule}
        if not subjects:
            raise ConfigurationError(f"no rule {rule!r} is in force{closest(rule, {row['name'] for row in rows})}")
        shown = _list(sorted(subjects))
        raise ConfigurationError(f"rule {rule!r} is not on {subject!r}; it is on {shown}{closest(subject, subjects)}")
    if found["kind"] != "usage":
        raise ConfigurationError(
            f"rule {rule!r} on {subject} is of kind {found['kind']} and counts nothing: only usage starts anew"
        )
    await connection.execute(_SQL["request_reset"], found["id"], at, actor.strip(), note)


def period(seconds: float) -> str:
    """A length of time, in the largest unit that divides it."""
    for length, unit in _PERIODS:
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


def _watched(signal: Signal, unit: str, name: Callable[[int], str]) -> str:
    match signal:
        case Value():
            text = "the value"
        case Deviation():
            of = _amount(signal.setpoint or 0.0, unit) if signal.reference_id is None else name(signal.reference_id)
            text = f"the value minus {of}"
        case Rate():
            text = f"how fast the value changes, over {period(signal.window_s)}"
        case Window():
            what = str(signal.statistic).replace("_", " ")
            text = f"the {what} of the last {period(signal.window_s)}, from {signal.min_readings} readings on"
        case Count():
            within = f" within {period(signal.within_s)}" if math.isfinite(signal.within_s) else ""
            end, word = (signal.below, "below") if signal.above is None else (signal.above, "above")
            beyond = f"{word} {_amount(end or 0.0, unit)}"
            text = f"whether {signal.at_least} of {signal.of} readings{within} are {beyond}"
        case FlatLine():
            moves = f" by more than {_amount(signal.tolerance, unit)}" if signal.tolerance else ""
            text = f"whether the value stops moving{moves}"
        case OutOfRange():
            text = "the value, a bad one too, against what can be measured"
        case NoData():
            text = f"whether no reading comes of {_list([name(sensor) for sensor in signal.sensor_ids])}"
        case Quality():
            text = "whether readings are bad or stale"
        case Usage():
            what = "the hours of running" if signal.running_hours else "the growth of the counter"
            text = f"{what} since the last reset"
        case Expression():
            inputs = ", ".join(f"{one} = {name(sensor)}" for one, sensor in signal.inputs)
            text = f"{signal.text} with {inputs}"
    return text


def _consequence(rule: Rule) -> str:
    what = "an alarm about the sensor" if rule.category is Category.SENSOR else "an alarm about the machine"
    if rule.failure_mode is None:
        return f"{what}, no work order"
    plan = f" by job plan {rule.job_plan}" if rule.job_plan is not None else ""
    return f"{what}, and a work order for {rule.failure_mode}{plan}"


def _schedule(schedule: Schedule) -> str:
    spans = [f"{_days(span.weekdays)} {_clock(span.begin_s)}-{_clock(span.end_s)}" for span in schedule.spans]
    closed = f", not on {_list([day.isoformat() for day in sorted(schedule.closed)])}" if schedule.closed else ""
    return f"{'; '.join(spans)} in {schedule.timezone}{closed}"


def _days(weekdays: frozenset[int]) -> str:
    """Runs of three and more as `mon-fri`."""
    runs: list[list[int]] = []
    for day in sorted(weekdays):
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(
        f"{_DAYS[run[0]]}-{_DAYS[run[-1]]}" if len(run) > 2 else ",".join(_DAYS[day] for day in run) for run in runs
    )


def _clock(seconds: int) -> str:
    """Of the day itself, or of the next one; midnight in the end is 24:00."""
    day = "" if seconds <= 86_400 else " next day"
    minutes = (seconds if seconds <= 86_400 else seconds - 86_400) // 60
    return f"{minutes // 60:02}:{minutes % 60:02}{day}"


def _amount(value: float, unit: str) -> str:
    return f"{value:.6g} {unit}".rstrip()


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"
