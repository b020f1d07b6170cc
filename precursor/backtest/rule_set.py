"""`RuleSet`: the rules of a plant file, ready to be evaluated, without a database or beside one."""

import fnmatch
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from precursor.plantfile.definition import PlantDefinition, RuleDefinition, SensorDefinition
from rules.definition import Rule
from rules.stored import build_rules
from telemetry.batch import EPOCH, to_micros
from telemetry.catalogue import name_list
from telemetry.errors import ConfigurationError
from telemetry.plant import Plant, SensorKind

__all__ = ["Point", "RuleSet", "rule_set", "rules_in_force"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What a proposal has to know of a sensor."""

    quantity: str
    span: float | None
    """of the measuring range, unit of the values; None: not known"""
    state_id: int | None
    """the state sensor of its machine, or of the nearest one it is a part of; None: there is none"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """Rules, and what has to be known of the plant around them."""

    rules: tuple[Rule, ...]
    sensor_ids: Mapping[str, int]
    """of every sensor of the plant, by name"""
    points: Mapping[int, Point]
    """by sensor id; of a set out of the database: none"""
    machine_of: Mapping[int, tuple[str, ...]]
    """by asset id: its name, then that of what it is a part of, and so on"""

    @property
    def assets(self) -> Collection[str]:
        """Names of all assets."""
        return {names[0] for names in self.machine_of.values()}

    def of_assets(self, patterns: Sequence[str]) -> "RuleSet":
        """The rules on assets whose name, or that of what they are a part of, fits one of these patterns.

        Raises:
            ConfigurationError: a pattern fits no asset, or no rule is left.
        """
        for pattern in patterns:
            if not any(fnmatch.fnmatchcase(name, pattern) for name in self.assets):
                raise ConfigurationError(f"the plant has no asset {name_list([pattern], self.assets)}")
        kept = self.narrowed(patterns)
        if not kept.rules:
            raise ConfigurationError(f"no rule is on the assets {', '.join(patterns)} or on a part of them")
        return kept

    def narrowed(self, patterns: Sequence[str]) -> "RuleSet":
        """The same; perhaps none are left."""
        kept = tuple(
            rule
            for rule in self.rules
            if any(fnmatch.fnmatchcase(name, text) for name in self.machine_of[rule.asset_id] for text in patterns)
        )
        return replace(self, rules=kept)

    def watched_since(self, moment: datetime) -> "RuleSet":
        """The same rules, as if put in force at a moment: from then on a sensor that says nothing counts as silent."""
        since = to_micros(moment)
        return replace(self, rules=tuple(replace(rule, watched_since_us=since) for rule in self.rules))


def rule_set(definition: PlantDefinition, *, sensor_ids: Mapping[str, int] | None = None) -> RuleSet:
    """The rules of a definition. Ids are counted from 1; sensors keep those they have, others get ids beyond.

    `RuleSet.watched_since` has to say from when on a sensor that says nothing counts as silent.

    Args:
        sensor_ids: by name: of the database, or of another set that these rules are compared with.
    """
    known = {} if sensor_ids is None else sensor_ids
    new = max(known.values(), default=0)
    ids: dict[str, int] = {}
    for sensor in definition.sensors:
        if sensor.name not in known:
            new += 1
        ids[sensor.name] = known.get(sensor.name, new)
    asset_ids = {asset.name: number for number, asset in enumerate(definition.assets, 1)}
    parents = {asset.name: asset.parent for asset in definition.assets}
    states = {sensor.asset: ids[sensor.name] for sensor in definition.sensors if sensor.kind is SensorKind.STATE}
    return RuleSet(
        rules=build_rules(
            [_row(number, rule, ids, asset_ids) for number, rule in enumerate(definition.rules, 1)],
            ids,
            {asset_ids[name]: None if parent is None else asset_ids[parent] for name, parent in parents.items()},
        ),
        sensor_ids=ids,
        points={ids[sensor.name]: _point(sensor, states, parents) for sensor in definition.sensors},
        machine_of={number: _line(name, parents) for name, number in asset_ids.items()},
    )


def rules_in_force(plant: Plant, rules: Sequence[Rule]) -> RuleSet:
    """The rules that the database has."""
    assets = plant.asset_by_id
    line: dict[int, tuple[str, ...]] = {}
    for asset in plant.assets:
        names, parent = [asset.name], asset.parent_id
        while parent is not None:
            names.append(assets[parent].name)
            parent = assets[parent].parent_id
        line[asset.id] = tuple(names)
    return RuleSet(
        rules=tuple(rules),
        sensor_ids={sensor.name: sensor.id for sensor in plant.sensors},
        points={},
        machine_of=line,
    )


def _row(number: int, rule: RuleDefinition, ids: Mapping[str, int], asset_ids: Mapping[str, int]) -> dict[str, Any]:
    """A rule as the database would have it."""
    return {
        **{each.name: getattr(rule, each.name) for each in fields(rule)},
        "id": number,
        "sensor_id": None if rule.sensor is None else ids[rule.sensor],
        "asset_id": asset_ids[rule.asset],
        "watched_since": EPOCH,
    }


def _point(sensor: SensorDefinition, states: Mapping[str, int], parents: Mapping[str, str | None]) -> Point:
    checks = sensor.checks
    return Point(
        quantity=sensor.quantity,
        span=None if checks.low is None or checks.high is None else checks.high - checks.low,
        state_id=next((states[name] for name in _line(sensor.asset, parents) if name in states), None),
    )


def _line(name: str, parents: Mapping[str, str | None]) -> tuple[str, ...]:
    line = [name]
    while (parent := parents[line[-1]]) is not None:
        line.append(parent)
    return tuple(line)
