"""Which component of a machine fails soon, learned from errors, replacements and failures of machines like it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier

from telemetry.errors import StateError

__all__ = ["FailureForecast", "MachineEvents", "event_features", "limit_of_best_f1"]

Column = npt.NDArray[np.float64]

_COMPONENT = "component_{}"
_LIMITS = np.round(np.arange(0.05, 0.96, 0.01), 2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MachineEvents:
    """What happened to one machine; times in hours from midnight of any day, ascending."""

    errors: tuple[Column, ...]
    """times of each kind of error"""
    replaced: tuple[Column, ...]
    """times at which each component was replaced, planned or after a failure"""
    traits: tuple[float, ...] = ()
    """what does not change, such as its age or a number for its model; NaN: not known"""


def event_features(machine: MachineEvents, time: Column, *, horizon: float) -> npt.NDArray[np.float64]:
    """What is known of a machine at some instants; events at the instant itself are known.

    Args:
        time: (n,) in hours.
        horizon: hours; errors are counted over one and two of them.

    Returns:
        (n, features): hours since the last error of each kind and the hour of day it came at, numbers of errors,
        hours since each component was replaced and since any was, traits. NaN: it has not happened yet.
    """
    since = [_since(each, time) for each in machine.errors]
    errors = np.sort(np.concatenate((np.empty(0), *machine.errors)))
    replaced = np.unique(np.concatenate((np.empty(0), *machine.replaced)))
    columns = [
        *since,
        *((time - each) % 24 for each in since),
        *(_count(errors, time - span, time) for span in (horizon, 2 * horizon)),
        *(_since(each, time) for each in machine.replaced),
        _since(replaced, time),
        *(np.full(time.size, trait) for trait in machine.traits),
    ]
    return np.column_stack(columns)


def _since(events: Column, time: Column) -> Column:
    last = np.searchsorted(events, time, side="right")
    return time - np.concatenate(([np.nan], events))[last]


def _count(events: Column, after: Column, until: Column) -> Column:
    return (np.searchsorted(events, until, side="right") - np.searchsorted(events, after, side="right")).astype(float)


def limit_of_best_f1(chance: npt.NDArray[np.float64], due: npt.NDArray[np.bool_]) -> float:
    """The chance from which to alarm: the one with the best F1, the middle one where several are as good.

    Args:
        chance: of any shape, 0 to 1.
        due: the same shape: what came true.
    """
    f1 = np.array(
        [
            2 * np.count_nonzero(due & (chance >= limit)) / max(1, due.sum() + (chance >= limit).sum())
            for limit in _LIMITS
        ]
    )
    best = _LIMITS[f1 >= f1.max() - 1e-9]
    return float(best[best.size // 2])


class FailureForecast:
    """The chance that each component fails within a horizon. Make one with `fit` or `from_parts`.

    One ensemble of gradient-boosted trees a component, so that two components may fail at once. Trees are small and
    leaves large: failures are few, and a leaf of a handful of them would be learned by heart.
    """

    def __init__(self, components: Sequence[Any]) -> None:
        self._components = tuple(components)

    @classmethod
    def fit(
        cls,
        features: npt.NDArray[np.float64],
        due: npt.NDArray[np.bool_],
        *,
        seed: int = 0,
        effort: float = 1.0,
    ) -> "FailureForecast":
        """Learn from instants of many machines.

        Args:
            features: (n, features), see `event_features`.
            due: (n, components): whether each fails within the horizon.
            effort: factor on the number of trees; less is quicker and worse.

        Raises:
            ValueError: a component never fails, or always does.
        """
        never = np.flatnonzero(due.all(axis=0) | ~due.any(axis=0))
        if never.size:
            raise ValueError(f"component {never.tolist()[0]} has no failures (or nothing else) to learn from")
        learned = []
        for failing in due.T:
            trees = HistGradientBoostingClassifier(
                learning_rate=0.05,
                max_iter=max(1, round(100 * effort)),
                max_leaf_nodes=8,
                min_samples_leaf=50,
                l2_regularization=1.0,
                early_stopping=False,
                random_state=seed,
            )
            learned.append(trees.fit(features, failing))
        return cls(learned)

    @classmethod
    def from_parts(cls, estimators: Mapping[str, Any]) -> "FailureForecast":
        """A model from its `estimators`, as they come from an artefact.

        Raises:
            StateError: parts are missing.
        """
        wanted = [_COMPONENT.format(number) for number in range(len(estimators))]
        if not wanted or set(wanted) != set(estimators):
            raise StateError("this is no forecast of failures: its trees are missing; train it anew")
        return cls([estimators[name] for name in wanted])

    @property
    def estimators(self) -> dict[str, Any]:
        """Fitted estimators of scikit-learn by name: all that was learned."""
        return {_COMPONENT.format(number): each for number, each in enumerate(self._components)}

    def chance(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(n, components), 0 to 1: how likely each fails within the horizon."""
        return np.column_stack([each.predict_proba(features)[:, 1] for each in self._components])
