"""A rule as the database keeps it: `rule.kind` and `rule.options`, and the `Rule` they mean.

`options` speaks of sensors and rules by name, so that a plant file can be compared with it. What there is:

    kind          options
    limit         -
    deviation     setpoint | reference (a sensor)
    rate          window_s, per_s
    window        statistic, window_s, min_readings
    count         above | below, at_least, of, within_s
    iso_20816     -
    flat_line     tolerance
    out_of_range  -
    no_data       sensors (a list)
    quality       -
    usage         running_hours
    expression    text, inputs (name in the text: sensor), is_condition

    any kind      gate: sensor, low, high, settle_s
                  schedule: timezone, spans (a list of days, begin_s, end_s), closed (a list of ISO dates)
                  suppressed_by: names of rules on the same asset, or on one above
                  suppresses_children: whether it suppresses all rules of the assets below
                  first_out: a group
                  sources: side or key of the plant file, and where its value comes from
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any

from rules.definition import Gate, Priority, Rule, Schedule, Span
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
    Statistic,
    Usage,
    Value,
    Window,
)
from telemetry.batch import to_micros
from telemetry.errors import ConfigurationError

__all__ = ["build_rules"]

Options = Mapping[str, Any]


def build_rules(
    rows: Iterable[Mapping[str, Any]], sensor_ids: Mapping[str, int], parents: Mapping[int, int | None]
) -> tuple[Rule, ...]:
    """Rules out of rows of the table.

    Args:
        rows: columns of `rule` by name; `options` as a mapping or as JSON.
        sensor_ids: of all sensors that are there, by name.
        parents: of all assets, the id of the one each is a part of.

    Raises:
        ConfigurationError: a row that means nothing; the message names the rule and the mend.
    """
    known: dict[str, Options] = {}
    read = [(row, _options(row["options"], known)) for row in rows]
    family = _Family(read, parents)
    schedules: dict[str, Schedule] = {}
    return tuple(_rule(row, options, sensor_ids, family, schedules) for row, options in read)


def _options(found: str | Options, known: dict[str, Options]) -> Options:
    """Rules of one asset, and all that come by themselves, often have the same; each text is read once."""
    if not isinstance(found, str):
        return found
    if found not in known:
        known[found] = json.loads(found)
    return known[found]


def _rule(
    row: Mapping[str, Any],
    options: Options,
    sensor_ids: Mapping[str, int],
    family: "_Family",
    schedules: dict[str, Schedule],
) -> Rule:
    try:
        return Rule(
            id=row["id"],
            name=row["name"],
            sensor_id=row["sensor_id"],
            sensor_name=row["subject"],
            asset_id=row["asset_id"],
            unit=row["unit"],
            signal=_SIGNALS[row["kind"]](options, sensor_ids),
            high_high=row["high_high"],
            high=row["high"],
            low=row["low"],
            low_low=row["low_low"],
            deadband=row["deadband"],
            on_delay_s=row["on_delay_s"],
            off_delay_s=row["off_delay_s"],
            latching=row["latching"],
            priority=Priority(row["priority"]),
            critical_priority=Priority(row["critical_priority"]),
            gate=_gate(options["gate"], sensor_ids) if "gate" in options else None,
            schedule=_schedule(options["schedule"], schedules) if "schedule" in options else None,
            suppressed_by=family.suppressing(row["id"], row["asset_id"], options.get("suppressed_by", ())),
            first_out=options.get("first_out"),
            failure_mode=row["failure_mode"],
            job_plan=row["job_plan"],
            title=row["title"],
            watched_since_us=to_micros(row["watched_since"]),
            sources=options.get("sources", {}),
        )
    except ConfigurationError:
        raise
    except _UnknownSensorError as error:
        raise ConfigurationError(
            f"rule {row['name']!r} on {row['subject']} looks at the sensor {error}, which is not in the plant: "
            "apply the plant file again, or take the rule out of it"
        ) from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"rule {row['name']!r} on {row['subject']} of kind {row['kind']} can't be read "
            f"({type(error).__name__}: {error}): apply the plant file again, with a program as new as the one "
            "that wrote it"
        ) from error


class _UnknownSensorError(Exception):
    """No sensor has this name; the text is the name."""


def _id(name: str, sensor_ids: Mapping[str, int]) -> int:
    try:
        return sensor_ids[name]
    except KeyError:
        raise _UnknownSensorError(name) from None


Reading = Callable[[Options, Mapping[str, int]], Signal]


def _deviation(options: Options, sensor_ids: Mapping[str, int]) -> Signal:
    if "reference" in options:
        return Deviation(reference_id=_id(options["reference"], sensor_ids))
    return Deviation(setpoint=options["setpoint"])


def _rate(options: Options, _: Mapping[str, int]) -> Signal:
    return Rate(window_s=options["window_s"], per_s=options["per_s"])


def _window(options: Options, _: Mapping[str, int]) -> Signal:
    return Window(
        statistic=Statistic(options["statistic"]),
        window_s=options["window_s"],
        min_readings=options["min_readings"],
    )


def _count(options: Options, _: Mapping[str, int]) -> Signal:
    return Count(
        above=options.get("above"),
        below=options.get("below"),
        at_least=options["at_least"],
        of=options["of"],
        within_s=options.get("within_s", math.inf),
    )


def _no_data(options: Options, sensor_ids: Mapping[str, int]) -> Signal:
    return NoData(sensor_ids=tuple(sorted(_id(name, sensor_ids) for name in options["sensors"])))


def _expression(options: Options, sensor_ids: Mapping[str, int]) -> Signal:
    return Expression(
        text=options["text"],
        inputs=tuple(sorted((name, _id(sensor, sensor_ids)) for name, sensor in options["inputs"].items())),
        is_condition=options["is_condition"],
    )


_SIGNALS: Mapping[str, Reading] = MappingProxyType(
    {
        "limit": lambda options, ids: Value(),
        "deviation": _deviation,
        "rate": _rate,
        "window": _window,
        "count": _count,
        "iso_20816": lambda options, ids: Value(),
        "flat_line": lambda options, ids: FlatLine(tolerance=options["tolerance"]),
        "out_of_range": lambda options, ids: OutOfRange(),
        "no_data": _no_data,
        "quality": lambda options, ids: Quality(),
        "usage": lambda options, ids: Usage(running_hours=options.get("running_hours", False)),
        "expression": _expression,
    }
)


def _gate(options: Options, sensor_ids: Mapping[str, int]) -> Gate:
    return Gate(
        sensor_id=_id(options["sensor"], sensor_ids),
        low=options.get("low", -math.inf),
        high=options.get("high", math.inf),
        settle_s=options.get("settle_s", 0.0),
    )


def _schedule(options: Options, known: dict[str, Schedule]) -> Schedule:
    """Many rules have one schedule; each is made once."""
    text = json.dumps(options, sort_keys=True)
    if text not in known:
        known[text] = Schedule(
            timezone=options["timezone"],
            spans=tuple(
                Span(weekdays=frozenset(span["days"]), begin_s=span["begin_s"], end_s=span["end_s"])
                for span in options["spans"]
            ),
            closed=frozenset(date.fromisoformat(day) for day in options["closed"]),
        )
    return known[text]


class _Family:
    """Which rules stand above which."""

    def __init__(self, read: Sequence[tuple[Mapping[str, Any], Options]], parents: Mapping[int, int | None]) -> None:
        self._parents = parents
        self._by_place: dict[tuple[str, int], list[int]] = {}
        named = {name for _, options in read for name in options.get("suppressed_by", ())}
        over_children: dict[int, list[int]] = {}
        for row, options in read:
            if row["name"] in named:
                self._by_place.setdefault((row["name"], row["asset_id"]), []).append(row["id"])
            if options.get("suppresses_children"):
                over_children.setdefault(row["asset_id"], []).append(row["id"])
        self._over_children = over_children
        self._above: dict[int, frozenset[int]] = {}

    def suppressing(self, rule_id: int, asset_id: int, names: Sequence[str]) -> frozenset[int]:
        """Ids of the rules whose alarms stand for those of a rule."""
        above = self._suppressing_children_of(asset_id)
        if not names:
            return above
        found = {
            other
            for asset in self._lineage(asset_id)
            for name in names
            for other in self._by_place.get((name, asset), ())
        }
        return above | (found - {rule_id})

    def _suppressing_children_of(self, asset_id: int) -> frozenset[int]:
        if not self._over_children:
            return frozenset()
        if asset_id not in self._above:
            self._above[asset_id] = frozenset(
                rule_id
                for asset in self._lineage(asset_id)
                if asset != asset_id
                for rule_id in self._over_children.get(asset, ())
            )
        return self._above[asset_id]

    def _lineage(self, asset_id: int) -> Iterator[int]:
        asset: int | None = asset_id
        while asset is not None:
            yield asset
            asset = self._parents.get(asset)
