"""A rule for one sensor or one asset, as far as the file says it, and how its faults find their place in the file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

from precursor.plantfile.definition import SensorDefinition
from precursor.plantfile.problems import Path
from precursor.plantfile.rule_entries import RuleEntry, WatchEntry

__all__ = ["Draft", "LackingError", "RuleError", "Watching", "description", "given"]


class RuleError(Exception):
    """Something a person has to change about a rule."""

    def __init__(self, path: Path, message: str) -> None:
        self.path = path
        self.message = message
        super().__init__(message)


class LackingError(RuleError):
    """The asset lacks what the rule looks at: fine where a pattern or a template only may mean it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One rule on one subject, before its meaning is worked out."""

    entry: RuleEntry
    """with what its asset says differently"""
    path: Path
    """of the rule in the file"""
    asset: str
    sensor: SensorDefinition | None
    """None: the asset as a whole"""
    origin: str
    """`template pump`, `automatic`; empty: the list of rules"""
    override: Path | None = None
    """of what the asset says differently"""
    overridden: frozenset[str] = frozenset()
    """keys that it says"""

    @property
    def subject(self) -> str:
        """What the rule is on."""
        return self.asset if self.sensor is None else self.sensor.name

    def place(self, key: str) -> Path:
        """Where the file says something about this rule; of a key that nobody wrote: where it would stand."""
        if self.override is not None and key in self.overridden:
            return (*self.override, key)
        return (*self.path, key) if key else self.path

    def says(self, key: str) -> bool:
        """Whether the file gives this key."""
        return key in self.overridden or key in given(self.entry)

    def fault(self, key: str, message: str) -> RuleError:
        """To be raised; an empty key: the rule as a whole."""
        return RuleError(self.place(key), message)

    def source(self, key: str) -> str:
        """Where the value of a key comes from, for people; empty: from the rule itself."""
        return f"override of {self.asset}" if key in self.overridden else self.origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """What a rule of some kind watches, in stored units."""

    unit: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """in the layout of `rules.stored`"""
    limits: Mapping[str, float] = field(default_factory=dict)
    """by side"""
    deadband: float = 0.0
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    sources: Mapping[str, str] = field(default_factory=dict)
    """side, and where its limit comes from, where that is not what the file says of the rule"""


@cache
def _aliases(model: type[WatchEntry]) -> Mapping[str, str]:
    return MappingProxyType({name: info.alias or name for name, info in model.model_fields.items()})


def given(entry: WatchEntry) -> frozenset[str]:
    """The keys that the file gives."""
    aliases = _aliases(type(entry))
    return frozenset(aliases[name] for name in entry.model_fields_set)


def description(key: str) -> str:
    """What is expected under a key of a rule."""
    for name, alias in _aliases(RuleEntry).items():
        if alias == key:
            return RuleEntry.model_fields[name].description or ""
    raise KeyError(key)
