"""A prognosis with the time it was made, and what became of it."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

__all__ = ["EndOfLife", "Outcome", "Prognosis", "RemainingLife"]

EndOfLife = Literal["failure", "repair"]
"""failure: it failed then; repair: it was replaced or repaired then and would have lived on, nobody knows how long"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainingLife:
    """How long from now on, as three points of its distribution, or why that cannot be said."""

    p10_s: float | None = None
    """s from now; one in ten ends earlier"""
    p50_s: float | None = None
    """s from now; half end earlier. The figure to quote when there is room for one"""
    p90_s: float | None = None
    """s from now; nine in ten end earlier"""
    reason: str | None = None
    """why there is no answer, for a person; None exactly when there is one"""

    def __post_init__(self) -> None:
        points = (self.p10_s, self.p50_s, self.p90_s)
        if self.reason is not None:
            if points != (None, None, None):
                raise ValueError(f"{points} s with a reason why there is no answer: it is one or the other")
            return
        if self.p10_s is None or self.p50_s is None or self.p90_s is None:
            raise ValueError(f"{points} s: an answer has all three, no answer has a reason")
        if not 0 <= self.p10_s <= self.p50_s <= self.p90_s < math.inf:
            raise ValueError(f"{points} s: expected 0 <= P10 <= P50 <= P90, all finite")

    @property
    def known(self) -> bool:
        """Whether there is an answer."""
        return self.reason is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prognosis:
    """When an asset is going to fail in one mode, as it was known at one time."""

    asset: str
    failure_mode: str
    made_at: datetime
    """event time, aware: nothing after it was used"""
    method: str
    """what made it, such as `trend`, `age`, `labelled`"""
    model_version: str
    """of the method or of the artefact"""
    remaining: RemainingLife
    """counted from `made_at`"""
    limit: float | None
    """of the health indicator, in its unit; None where the method has none"""
    inputs_from: datetime
    """event time of the first reading that was used"""
    inputs_until: datetime
    """event time of the last one"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of it."""

    asset: str
    failure_mode: str
    at: datetime
    """aware; of the failure, or of the repair that came before it"""
    end: EndOfLife
    began: datetime | None = None
    """aware; when this life began: installed, or last renewed. None: not known"""
