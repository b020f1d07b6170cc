"""Histories of units: what their sensors showed from the first cycle on, to the end or up to now."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["LifeHistories"]


def _no_settings() -> npt.NDArray[np.float64]:
    return np.empty((0, 0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LifeHistories:
    """Rows of one or more units, the rows of a unit together and in the order of time.

    A row is one cycle, or one snapshot at a regular step (an hour, a shift): what a unit did in it, as one figure a
    sensor.

    Raises:
        ValueError: columns differ in length, a unit's rows are apart or not in the order of age, or a figure is
            infinite.
    """

    unit: npt.NDArray[np.int64]
    """(rows,) whose row it is"""
    age: npt.NDArray[np.float64]
    """(rows,) since the unit began to live: cycles, hours, whatever remaining life is asked for in; rises in a unit"""
    values: npt.NDArray[np.float64]
    """(rows, sensors) in any units; NaN: not known"""
    settings: npt.NDArray[np.float64] = field(default_factory=_no_settings)
    """(rows, settings) at which the unit was operated, such as speed and load; NaN: not known. None by default"""

    def __post_init__(self) -> None:
        rows = self.unit.size
        if self.settings.size == 0:
            object.__setattr__(self, "settings", np.empty((rows, 0)))
        if self.values.ndim != 2 or self.settings.ndim != 2:
            raise ValueError("values and settings have a row a cycle and a column a sensor")
        if not (rows == self.age.size == len(self.values) == len(self.settings)):
            raise ValueError(
                f"{rows} units, {self.age.size} ages, {len(self.values)} rows of values and {len(self.settings)} of "
                "settings: one of each a row"
            )
        starts = self.starts
        if np.unique(self.unit).size != starts.size:
            raise ValueError("the rows of a unit have to be together; sort them by unit and age")
        rises = np.diff(self.age) > 0
        rises[starts[1:] - 1] = True
        if not rises.all() or not np.isfinite(self.age).all():
            raise ValueError("the age of a unit has to be known and to rise from row to row; sort them by unit and age")
        if np.isinf(self.values).any() or np.isinf(self.settings).any():
            raise ValueError("a value is infinite; give NaN where it is not known")

    def __len__(self) -> int:
        return int(self.unit.size)

    @property
    def starts(self) -> npt.NDArray[np.intp]:
        """(units,) the first row of each unit."""
        return np.flatnonzero(np.r_[True, np.diff(self.unit) != 0]) if self.unit.size else np.empty(0, np.intp)

    @property
    def ends(self) -> npt.NDArray[np.intp]:
        """(units,) the last row of each unit."""
        return np.r_[self.starts[1:], self.unit.size].astype(np.intp) - 1 if self.unit.size else np.empty(0, np.intp)

    @property
    def positions(self) -> npt.NDArray[np.intp]:
        """(rows,) how many rows of its unit come before each row."""
        lengths = self.ends - self.starts + 1
        return np.arange(len(self)) - np.repeat(self.starts, lengths)

    @property
    def remaining(self) -> npt.NDArray[np.float64]:
        """(rows,) age left to the last row of the unit: remaining life, if that is where the unit failed."""
        lengths = self.ends - self.starts + 1
        return np.repeat(self.age[self.ends], lengths) - self.age

    def where(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> "LifeHistories":
        """Some of the rows, in this order."""
        return LifeHistories(
            unit=self.unit[rows], age=self.age[rows], values=self.values[rows], settings=self.settings[rows]
        )
