"""What applying a plant file would change."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from precursor.plantfile.rows import Row

__all__ = ["Action", "Change", "Plan"]


class Action(StrEnum):
    """What happens to a row. Nothing is ever deleted: readings, alarms and work orders point to it."""

    CREATE = "create"
    CHANGE = "change"
    RETIRE = "retire"
    REVIVE = "revive"


_SIGN = MappingProxyType({Action.CREATE: "+", Action.CHANGE: "~", Action.RETIRE: "-", Action.REVIVE: "^"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row that is created, changed, retired or revived."""

    action: Action
    table: str
    name: str
    row: Row = field(default_factory=dict)
    """as it is to be; empty: retired"""
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """changed and revived rows: field, (old, new)"""

    def as_text(self) -> str:
        """One line, e.g. `~ rule a on P-101.vib_de: high 4.5 -> 7.1`."""
        what = f"{_SIGN[self.action]} {self.table.replace('_', ' ')} {self.name}"
        differences = ", ".join(
            f"{name.removesuffix('_s')} {_shown(name, old)} -> {_shown(name, new)}"
            for name, old, new in _inner(self.fields)
        )
        if self.action is Action.RETIRE:
            kept = {"sensor": "its readings stay", "asset": "its readings stay", "rule": "its alarms stay"}
            return f"{what} (retired{'; ' + kept[self.table] if self.table in kept else ''})"
        if self.action is Action.REVIVE:
            return f"{what} (back from retirement){': ' + differences if differences else ''}"
        if self.action is Action.CREATE:
            unit = self.row.get("unit") if self.table == "sensor" else None
            return f"{what} ({unit})" if unit else what
        return f"{what}: {differences}"

    def as_json(self) -> dict[str, Any]:
        """For machines: plain values only."""
        return {
            "action": str(self.action),
            "kind": self.table,
            "name": self.name,
            "fields": {name: {"old": old, "new": new} for name, (old, new) in self.fields.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything one apply does, or would do."""

    changes: tuple[Change, ...]
    revision: int
    """of the plant before"""
    applied: bool = False
    """False: only looked at"""

    def as_text(self) -> str:
        """One line for each change and a last one that counts them."""
        if not self.changes:
            return "nothing to change"
        counts = {action: sum(change.action is action for change in self.changes) for action in Action}
        told = {"create": "created", "change": "changed", "retire": "retired", "revive": "revived"}
        verb = "" if self.applied else "would be "
        total = ", ".join(f"{count} {verb}{told[action]}" for action, count in counts.items() if count)
        return "\n".join([*(change.as_text() for change in self.changes), total])

    def as_json(self) -> dict[str, Any]:
        """For machines: plain values only."""
        return {
            "applied": self.applied,
            "revision": self.revision + bool(self.applied and self.changes),
            "changes": [change.as_json() for change in self.changes],
        }


def _inner(fields: Mapping[str, tuple[Any, Any]]) -> Iterator[tuple[str, Any, Any]]:
    """Of what is a mapping itself only the keys that differ."""
    for name, (old, new) in fields.items():
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
            yield from _inner({key: (old.get(key), new.get(key)) for key in keys})
        else:
            yield name, old, new


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if name.endswith("_s"):
        return f"{value:g} s"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, str):
        return value or "''"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
