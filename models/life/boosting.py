"""Remaining life of a unit, learned from the histories of units that ran to failure."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.isotonic import IsotonicRegression
from sklearn.neural_network import MLPRegressor

from models.life.labelled_features import LifeFeatures
from models.life.labelled_histories import LifeHistories
from telemetry.errors import StateError

__all__ = ["RemainingLifeColumns", "RemainingLifeModel"]

_BOOSTED = "boosted_{}"
_NETWORK = "network_{}_{}_{}"
_FEATURES = "features_{}"
_OWN = ("cap", "sensors", "lowest", "highest", "centre", "scale", "knots", "low", "high")

_ROWS = 5000
"""a member learns from about as many rows: neighbouring rows of a unit say nearly the same"""
_BATCH = 128
_STEPS = 1500
"""gradient steps of a network, whatever the number of rows"""
_FOLDS = 5
_BINS = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RemainingLifeColumns:
    """Remaining life at each row of histories, in the unit of their age; 0 <= P10 <= P50 <= P90 <= the model's cap.

    At the cap it means: the cap or more. NaN: not known, because no sensor has had a value yet.
    """

    p10: npt.NDArray[np.float64]
    """one in ten ends earlier"""
    p50: npt.NDArray[np.float64]
    """the figure to quote; what the members of the ensemble expect on average"""
    p90: npt.NDArray[np.float64]
    """nine in ten end earlier"""


class RemainingLifeModel:
    """Predicts how long a unit has left from its history up to now. Make one with `fit` or `from_parts`.

    The mean of gradient-boosted trees and of small neural networks on the same features: trees follow knees, networks
    extrapolate smoothly, and their errors differ. The target is remaining life up to a cap (Heimes 2008, "Recurrent
    neural networks for remaining useful life estimation", PHM), for wear cannot be seen before it begins. P10 and P90
    are quantiles of how long units lived on for which the model, trained without them, had predicted about the same
    (split conformal prediction within bins of the prediction: Vovk et al. 2005, "Algorithmic learning in a random
    world", ch. 4), so they hold for units that are new.
    """

    def __init__(self, features: LifeFeatures, boosted: list[Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self._features = features
        self._boosted = boosted
        self._arrays = dict(arrays)

    @classmethod
    def fit(
        cls,
        histories: LifeHistories,
        *,
        cap: float | None = None,
        seed: int = 0,
        members: int = 3,
        effort: float = 1.0,
    ) -> "RemainingLifeModel":
        """Learn from units whose last row is their failure.

        Args:
            histories: of units that ran to failure.
            cap: remaining life beyond which it is all the same, in the unit of age. None: half the median life.
            seed: of everything random in it; the same histories and seed give the same model.
            members: trees ensembles and networks each.
            effort: factor on trees and gradient steps; less is quicker and worse.

        Raises:
            ValueError: too few units, or no sensor that varies.
        """
        units = np.unique(histories.unit)
        if units.size < 3:
            raise ValueError(f"{units.size} units that ran to failure: it takes 3 to learn from, and 20 to learn well")
        if cap is None:
            cap = float(np.median(histories.age[histories.ends] - histories.age[histories.starts])) / 2
        if not cap > 0:
            raise ValueError(f"a cap of {cap}: it has to be above 0")
        target = np.minimum(histories.remaining, cap)
        held_out = np.full(len(histories), np.nan)
        fold_of = np.random.default_rng(seed).permutation(units.size) % min(_FOLDS, units.size)
        for fold in range(int(fold_of.max()) + 1):
            judged = np.isin(histories.unit, units[fold_of == fold])
            part = cls._fitted(histories.where(~judged), target[~judged], cap, seed=seed, members=1, effort=effort)
            held_out[judged] = part._expected(part._features.of(histories.where(judged)))
        model = cls._fitted(histories, target, cap, seed=seed, members=members, effort=effort)
        model._arrays |= _quantiles(held_out, target)
        return model

    @classmethod
    def _fitted(
        cls,
        histories: LifeHistories,
        target: npt.NDArray[np.float64],
        cap: float,
        *,
        seed: int,
        members: int,
        effort: float,
    ) -> "RemainingLifeModel":
        features = LifeFeatures.fit(histories, target, seed=seed)
        table = features.of(histories)
        arrays: dict[str, npt.NDArray[Any]] = {
            "cap": np.array(cap),
            "sensors": np.array([histories.values.shape[1], histories.settings.shape[1]]),
            "lowest": table.min(axis=0),
            "highest": table.max(axis=0),
            "centre": table.mean(axis=0),
            "scale": np.where(table.std(axis=0) > 0, table.std(axis=0), 1.0),
        }
        model = cls(features, [], arrays)
        scaled = model._scaled(table)
        stride = max(1, -(-len(scaled) // _ROWS))
        for member in range(members):
            rows = np.arange(member % stride, len(scaled), stride)
            boosted = HistGradientBoostingRegressor(
                max_iter=max(1, round(200 * effort)),
                learning_rate=0.07,
                min_samples_leaf=20,
                max_features=0.3,
                early_stopping=False,
                random_state=seed + member,
            )
            model._boosted.append(boosted.fit(scaled[rows], target[rows]))
            epochs = max(1, round(_STEPS * effort * _BATCH / rows.size))
            network = MLPRegressor(
                hidden_layer_sizes=(64, 32),
                alpha=0.01,
                batch_size=min(_BATCH, rows.size),
                max_iter=epochs,
                n_iter_no_change=epochs + 1,
                random_state=seed + member,
            )
            with warnings.catch_warnings():
                # It stops after so many steps on purpose: what is left to gain is noise.
                warnings.simplefilter("ignore", ConvergenceWarning)
                network.fit(scaled[rows], _squeezed(target[rows], cap))
            for layer, (weights, offsets) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
                model._arrays[_NETWORK.format(member, layer, "weights")] = weights
                model._arrays[_NETWORK.format(member, layer, "offsets")] = offsets
        return model

    @classmethod
    def from_parts(cls, estimators: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> "RemainingLifeModel":
        """A model from its `estimators` and `arrays`, as they come from an artefact.

        Raises:
            StateError: parts are missing.
        """
        wanted = [_FEATURES.format(each.name) for each in fields(LifeFeatures)]
        missing = [name for name in (*wanted, *_OWN) if name not in arrays]
        boosted = [estimators[_BOOSTED.format(n)] for n in range(len(estimators)) if _BOOSTED.format(n) in estimators]
        if missing or not boosted or len(boosted) != len(estimators):
            raise StateError(
                f"this is no model of remaining life ({', '.join(missing) or 'its trees'} missing); train it anew"
            )
        features = LifeFeatures(**{each.name: arrays[_FEATURES.format(each.name)] for each in fields(LifeFeatures)})
        own = {name: array for name, array in arrays.items() if name not in wanted}
        return cls(features, boosted, own)

    @property
    def estimators(self) -> dict[str, Any]:
        """Fitted estimators of scikit-learn by name; together with `arrays` all that was learned."""
        return {_BOOSTED.format(number): each for number, each in enumerate(self._boosted)}

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Numbers beside the estimators, by name."""
        features = {_FEATURES.format(each.name): getattr(self._features, each.name) for each in fields(LifeFeatures)}
        return {**features, **self._arrays}

    @property
    def cap(self) -> float:
        """The longest remaining life that is predicted, in the unit of age: it means so long or longer."""
        return float(self._arrays["cap"])

    def predict(self, histories: LifeHistories, *, last: bool = False) -> RemainingLifeColumns:
        """Remaining life at each row, from the rows of that unit up to it; later rows and other units do not count.

        Args:
            last: at the last row of each unit only, in the order of the units; quicker.

        Raises:
            ValueError: not as many sensors or settings as it was trained on.
        """
        given = (histories.values.shape[1], histories.settings.shape[1])
        wanted = tuple(self._arrays["sensors"].tolist())
        if given != wanted:
            raise ValueError(f"{given} sensors and settings; this model was trained on {wanted}")
        if not len(histories):
            return RemainingLifeColumns(p10=np.empty(0), p50=np.empty(0), p90=np.empty(0))
        rows = histories.ends if last else np.arange(len(histories))
        expected = self._expected(self._features.of(histories)[rows])
        expected[~self._seen(histories)[rows]] = np.nan
        knots = self._arrays["knots"]
        return RemainingLifeColumns(
            p10=np.minimum(np.interp(expected, knots, self._arrays["low"]), expected),
            p50=expected,
            p90=np.maximum(np.interp(expected, knots, self._arrays["high"]), expected),
        )

    def _seen(self, histories: LifeHistories) -> npt.NDArray[np.bool_]:
        """(rows,) whether any sensor has had a value in the unit up to the row."""
        known = np.asarray(np.isfinite(self._features.normalise(histories)).any(axis=1), np.bool_)
        before = np.cumsum(known)
        starts = np.repeat(histories.starts, histories.ends - histories.starts + 1)
        return np.asarray(before > (before - known)[starts], np.bool_)

    def _scaled(self, table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        # No unit is taken to be further out than any that was learned from.
        inside = np.clip(table, self._arrays["lowest"], self._arrays["highest"])
        return np.asarray((inside - self._arrays["centre"]) / self._arrays["scale"])

    def _expected(self, table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        scaled = self._scaled(table)
        trees = np.mean([each.predict(scaled) for each in self._boosted], axis=0)
        networks = np.mean([self._network(member, scaled) for member in range(len(self._boosted))], axis=0)
        return np.asarray((np.clip(trees, 0, self.cap) + np.clip(networks, 0, self.cap)) / 2)

    def _network(self, member: int, scaled: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The forward pass of the network: rectified linear units, the last layer linear."""
        values, layer = scaled, 0
        while (name := _NETWORK.format(member, layer, "weights")) in self._arrays:
            rectified = np.maximum(values, 0) if layer else values
            values = rectified @ self._arrays[name] + self._arrays[_NETWORK.format(member, layer, "offsets")]
            layer += 1
        return np.asarray((values[:, 0] / 3 + 0.5) * self.cap)


def _squeezed(target: npt.NDArray[np.float64], cap: float) -> npt.NDArray[np.float64]:
    """The target about 0 with a deviation of about 1, as the starting weights of a network expect."""
    return np.asarray((target / cap - 0.5) * 3)


def _quantiles(
    predicted: npt.NDArray[np.float64], actual: npt.NDArray[np.float64]
) -> dict[str, npt.NDArray[np.float64]]:
    """10th and 90th percentile of the actual remaining life as functions of the predicted one, never falling."""
    bins = np.array_split(np.argsort(predicted, kind="stable"), min(_BINS, predicted.size))
    knots = np.array([predicted[rows].mean() for rows in bins])
    low, high = (np.array([np.quantile(actual[rows], share) for rows in bins]) for share in (0.1, 0.9))
    return {
        "knots": knots,
        "low": IsotonicRegression().fit_transform(knots, low),
        "high": IsotonicRegression().fit_transform(knots, high),
    }
