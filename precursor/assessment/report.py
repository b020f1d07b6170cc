"""`Assessment`: how good a model is on labelled data, every figure beside what is had for nothing."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from precursor.assessment.drawings import Drawing

__all__ = ["Assessment", "Figure", "Watch", "finite"]

Watch: TypeAlias = Callable[[str], None]
"""is told what is done at the moment, for people"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure, what is aimed at, and what baselines have."""

    name: str
    """snake_case, stable: programs read it"""
    value: float
    """NaN: there is no such figure on this data"""
    unit: str = ""
    """empty: a number without one"""
    aim: str | None = None
    """in words; None: told only"""
    met: bool | None = None
    """None: nothing is aimed at"""
    baselines: Mapping[str, float] = field(default_factory=dict)
    """by name of the baseline, in the unit of the value"""

    @classmethod
    def aimed(
        cls,
        name: str,
        value: float,
        unit: str = "",
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        baselines: Mapping[str, float] | None = None,
    ) -> "Figure":
        """A figure with a floor, a ceiling or both. NaN meets nothing."""
        aims = []
        if at_least is not None:
            aims.append((f">= {at_least:g}", value >= at_least))
        if at_most is not None:
            aims.append((f"<= {at_most:g}", value <= at_most))
        return cls(
            name=name,
            value=value,
            unit=unit,
            aim=" and ".join(text for text, _ in aims) if aims else None,
            met=all(met for _, met in aims) if aims else None,
            baselines=baselines or {},
        )

    def as_json(self) -> dict[str, Any]:
        """As a JSON object; what is not finite is null."""
        return {
            "name": self.name,
            "value": finite(self.value),
            "unit": self.unit,
            "aim": self.aim,
            "met": None if self.met is None else bool(self.met),
            "baselines": {name: finite(value) for name, value in self.baselines.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """How good a model is on one set of data.

    The texts are Markdown, for the model card.
    """

    dataset: str
    """its name in `precursor.assessment.datasets`"""
    title: str
    figures: tuple[Figure, ...]
    about: str = ""
    """what is assessed: the model, its parameters, where its limit comes from"""
    data: str = ""
    """what the data are: how much, from where, what is labelled, what was learned from"""
    notes: tuple[str, ...] = ()
    """what a reader should know before trusting the figures"""
    weaknesses: tuple[str, ...] = ()
    """what it cannot do, and when not to use it"""
    missed: tuple[str, ...] = ()
    """known failures by name: events missed, faults taken for others"""
    details: Mapping[str, Any] = field(default_factory=dict)
    """more figures, plain and JSON-able; NaN becomes null"""
    drawings: tuple[Drawing, ...] = ()
    parts: tuple["Assessment", ...] = ()
    """one for each of several models that are compared here; each has a card of its own"""

    @property
    def met(self) -> bool:
        """No aim is missed."""
        return all(each.met is None or each.met for each in self.figures)

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "dataset": self.dataset,
            "title": self.title,
            "met": self.met,
            "figures": [each.as_json() for each in self.figures],
            "notes": list(self.notes),
            "missed": list(self.missed),
            "details": finite(dict(self.details)),
            "parts": [each.as_json() for each in self.parts],
        }


def finite(value: Any) -> Any:
    """A plain value as JSON can say it: NaN and infinities become None, NumPy's numbers Python's, at any depth.

    >>> finite({"a": [1, float("nan")]})
    {'a': [1, None]}
    """
    if isinstance(value, Mapping):
        return {str(name): finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(each) for each in value]
    if hasattr(value, "tolist"):
        return finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
