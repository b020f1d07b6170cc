"""Parameters of detectors: what may be set for a sensor, in which range, and what holds otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from telemetry.errors import ConfigurationError

__all__ = ["Parameter", "check", "columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One thing that can be set about a detector."""

    default: float
    low: float
    """smallest value allowed"""
    high: float
    """largest value allowed"""
    meaning: str
    """for a person, with the unit"""
    whole: bool = False
    """whole numbers only"""

    def allows(self, value: float) -> bool:
        """Whether the value may be used; NaN may not."""
        return self.low <= value <= self.high and (not self.whole or float(value).is_integer())

    @property
    def range(self) -> str:
        """The values allowed, in words."""
        return f"{'a whole number' if self.whole else 'a number'} from {self.low:g} to {self.high:g}"


def check(kind: str, declared: Mapping[str, Parameter], given: Mapping[str, float]) -> None:
    """Refuse what a detector of this kind does not know or allow.

    Raises:
        ConfigurationError: naming the parameters, or the range, that would do.
    """
    for name, value in given.items():
        if name not in declared:
            raise ConfigurationError(f"detector {kind} has no parameter {name!r}; it has {', '.join(sorted(declared))}")
        if not declared[name].allows(value):
            raise ConfigurationError(f"detector {kind}: {name} is {value:g}; it must be {declared[name].range}")


def columns(
    declared: Mapping[str, Parameter], given: Sequence[Mapping[str, float]]
) -> dict[str, npt.NDArray[np.float64]]:
    """Parameters of many sensors as one column each, defaults filled in; float64, in the order given."""
    return {
        name: np.array([each.get(name, parameter.default) for each in given], np.float64)
        for name, parameter in declared.items()
    }
