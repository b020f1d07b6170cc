"""Pictures of an assessment as plain data; `precursor.assessment.plots` draws them."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Bars", "Curves", "Drawing", "Line", "Scatter", "Timeline", "Track"]

Column: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """One line of a picture."""

    name: str
    x: Column
    y: Column
    """same length; NaN leaves a gap"""
    plain: bool = False
    """drawn thin and dashed: a baseline, a limit"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """Lines over one axis: precision over recall, a spectrum, a degradation with its limit."""

    name: str
    """of the file, a-z and _"""
    title: str
    x: str
    """what the axis says, with its unit"""
    y: str
    lines: tuple[Line, ...]
    steps: bool = False
    """a value holds until the next: precision-recall and distribution curves"""
    log_y: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """A run in a timeline."""

    name: str
    time: Column
    """ascending"""
    score: Column
    """1 is the limit; NaN leaves a gap"""
    label: npt.NDArray[np.bool_]
    judged_from: float | None = None
    """in the unit of time: before it was learned from; None: all is judged"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timeline:
    """Scores of some runs, one above the other, against what is true."""

    name: str
    title: str
    x: str
    """what the time axis says, with its unit"""
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scatter:
    """One point a case: predicted over true."""

    name: str
    title: str
    x: str
    y: str
    points: tuple[Line, ...]
    """a cloud each"""
    diagonal: bool = True
    """draw where both are equal"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bars:
    """A value by name: lead time of each failure, contribution of each sensor."""

    name: str
    title: str
    y: str
    names: tuple[str, ...]
    values: Column
    """NaN: none, e.g. missed"""
    limit: float | None = None
    """a line to compare with"""


Drawing: TypeAlias = Curves | Timeline | Scatter | Bars
