"""Remaining life of a unit, learned from the histories of units that ran to failure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.life.labelled_histories import LifeHistories

__all__ = ["RemainingLifeColumns", "RemainingLifeModel"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RemainingLifeColumns:
    """Remaining life at each row of histories, in the unit of their age; 0 <= P10 <= P50 <= P90 <= the model's cap."""

    p10: npt.NDArray[np.float64]
    """one in ten ends earlier; NaN: not known, because no sensor had a value up to then"""
    p50: npt.NDArray[np.float64]
    """the figure to quote"""
    p90: npt.NDArray[np.float64]
    """nine in ten end earlier"""


class RemainingLifeModel:
    """Predicts how long a unit has left from its history up to now. Make one with `fit` or `from_state`."""

    @classmethod
    def fit(cls, histories: LifeHistories, *, cap: float | None = None, seed: int = 0) -> "RemainingLifeModel":
        """Learn from units whose last row is their failure.

        Args:
            histories: of units that ran to failure.
            cap: remaining life beyond which it is all the same, in the unit of age. None: half the median life.
            seed: of everything random in it.

        Raises:
            ValueError: too few units.
        """
        raise NotImplementedError

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "RemainingLifeModel":
        """A model from what `state` gave.

        Raises:
            StateError: of another version, or parts are missing.
        """
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """All that was learned: numbers, strings, NumPy arrays, lists, and scikit-learn estimators only."""
        raise NotImplementedError

    def predict(self, histories: LifeHistories) -> RemainingLifeColumns:
        """Remaining life at each row, from the rows of that unit up to it; later rows and other units do not count.

        Raises:
            ValueError: other sensors or settings than it was trained on.
        """
        raise NotImplementedError
