"""A model of a class of assets, trained on their history: what is usual for them together, in every way they run.

Streaming detectors learn each machine from its first weeks. A trained model has months of many machines: more than one
operating state, more than one season. It sees means over a minute, standardised by asset, so that machines of one class
can be compared. Three families are tried, and the one that notices most of what is put into later data is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from models.artefacts.artefact import Artefact, Metadata, versions
from models.artefacts.drift import Reference, stability_index
from models.streaming.limits import SECONDS_PER_YEAR, BlockMaxima
from telemetry.batch import to_datetime
from telemetry.errors import ConfigurationError

__all__ = ["SMOOTHED", "STEP", "ClassTable", "TooLittleError", "common_points", "drift", "score", "train"]

STEP = timedelta(minutes=1)
"""between rows; a row is the mean of the readings of its minute"""

_PARTS = (0.6, 0.8)
"""of each asset's good time: candidates are fitted up to the first, set their limits up to the second, and are compared
on the rest, which nothing was set by"""
SMOOTHED = 5
"""rows whose mean score counts: one odd minute is no alarm"""
_FEWEST_ROWS = 2_000
"""of training, over all assets"""
_FEWEST_OF_ASSET = 500
_SHIFTS = (2.0, 3.0, 5.0)
"""sigmas put into one point of later data, to see whether it is noticed"""
_LARGEST = 20.0
"""sigmas beyond which a value counts as this many: a broken sensor is no reason to train on it"""
_SIGMA_PER_MAD = 1.4826
_SMALLEST_SCALE = 1e-9
_MIXTURES = (2, 3, 5)
_MOST_FITTED = 50_000
"""rows a candidate is fitted to: evenly out of all there are"""

Column = npt.NDArray[np.float64]


class TooLittleError(ConfigurationError):
    """There is too little good time to train on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassTable:
    """Good time of assets of one class, one row an asset and minute."""

    assets: tuple[str, ...]
    points: tuple[str, ...]
    """measuring points that all of them have: the columns"""
    asset: npt.NDArray[np.intp]
    """position in `assets`, ascending"""
    time: npt.NDArray[np.int64]
    """µs since 1970, ascending within an asset"""
    values: Column
    """(rows, points); no NaN"""

    def rows_of(self, asset: int) -> slice:
        """Those of one asset."""
        begin, end = np.searchsorted(self.asset, [asset, asset + 1])
        return slice(int(begin), int(end))


def train(table: ClassTable, *, asset_class: str, budget: float, seed: int = 7) -> Artefact:
    """Fit the candidates to the first part of each asset's good time, and take the best on the last part.

    The best one notices most shifts of 2, 3 and 5 sigmas of single points of the last rows at its own limit. Each limit
    is set by the rows between the two: the Gumbel distribution of the largest scores of stretches, at the return period
    that the budget asks for (`models.streaming.limits`). Its false alarms are counted on the last part.

    Args:
        table: good time only.
        asset_class: what the assets are.
        budget: false alarms an asset and year.
        seed: of candidates with random parts.

    Raises:
        TooLittleError: too few rows, or points; it says how many there are.
    """
    table = _long_enough(table)
    part = _parts(table)
    early, middle, late = part == 0, part == 1, part == 2
    level, scale = _standards(table, early)
    rows = _standardised(table.values, level[table.asset], scale[table.asset])
    tried: dict[str, tuple[Any, float, float, float]] = {}
    for name, estimator in _candidates(seed).items():
        estimator.fit(_thinned(rows[early]))
        raw = -estimator.score_samples(rows[middle])
        centre = float(np.median(raw))
        limit = _limit(raw, table.asset[middle], budget)
        tried[name] = (estimator, centre, limit, _noticed(estimator, rows[late], limit))
    best = max(tried, key=lambda name: (tried[name][3], name))
    estimator, centre, limit, _ = tried[best]
    raw = -estimator.score_samples(rows[late])
    alarms = _episodes(raw, table.asset[late], limit)
    months = int(np.count_nonzero(late)) * STEP / timedelta(days=30)
    references = [Reference.of(rows[early, column]) for column in range(len(table.points))]
    return Artefact(
        metadata=Metadata(
            task="anomaly",
            asset_class=asset_class,
            features=table.points,
            data_from=to_datetime(int(table.time.min())),
            data_until=to_datetime(int(table.time.max())) + STEP,
            assets=table.assets,
            rows=int(np.count_nonzero(early)),
            metrics={
                "validation_rows": float(np.count_nonzero(late)),
                "validation_alarms": float(alarms),
                "validation_alarms_per_asset_month": alarms / months,
                **{f"noticed_by_{name}": found for name, (_, _, _, found) in tried.items()},
            },
            parameters={"budget": budget, "seed": float(seed), "step_s": STEP.total_seconds()},
            versions=versions(),
        ),
        estimators={best: estimator},
        arrays={
            "level": level,
            "scale": scale,
            "centre": np.array(centre),
            "limit": np.array(limit),
            **{f"edges/{point}": each.edges for point, each in zip(table.points, references, strict=True)},
            **{f"shares/{point}": each.shares for point, each in zip(table.points, references, strict=True)},
        },
    )


def score(artefact: Artefact, asset: str, values: Column) -> tuple[Column, Column]:
    """How unlike its class and itself an asset is, minute by minute.

    Args:
        artefact: of `train`.
        asset: one that it was trained with; others are standardised as the middle of those.
        values: (rows, points in the order of the features), a row a minute; a row with a NaN has no score.

    Returns:
        Scores (rows), 1 at the limit, 0 in the middle of what is usual; NaN where not known. And the share of each
        point in it (rows, points), together 1: how much the score falls if the point were at its usual level.
    """
    rows = _rows(artefact, asset, values)
    known = np.isfinite(rows).all(axis=1)
    scores, shares = np.full(len(rows), np.nan), np.full(rows.shape, np.nan)
    if not known.any():
        return scores, shares
    estimator = next(iter(artefact.estimators.values()))
    raw = -estimator.score_samples(rows[known])
    fallen = np.empty((raw.size, rows.shape[1]))
    for column in range(rows.shape[1]):
        usual = rows[known]
        usual[:, column] = 0.0
        fallen[:, column] = np.maximum(raw + estimator.score_samples(usual), 0.0)
    total = fallen.sum(axis=1, keepdims=True)
    shares[known] = np.divide(fallen, total, out=np.full_like(fallen, 1 / rows.shape[1]), where=total > 0)
    centre, limit = float(artefact.arrays["centre"]), float(artefact.arrays["limit"])
    whole = np.full(len(rows), np.nan)
    whole[known] = np.maximum(raw - centre, 0.0) / (limit - centre)
    scores = _smoothed(whole)
    return scores, shares


def drift(artefact: Artefact, tables: Mapping[str, Column]) -> dict[str, float]:
    """Population stability index of each point, of all assets together.

    Args:
        artefact: of `train`.
        tables: by asset, as `score` takes them.
    """
    rows = np.concatenate([_rows(artefact, asset, values) for asset, values in sorted(tables.items())])
    return {
        point: stability_index(
            Reference(edges=artefact.arrays[f"edges/{point}"], shares=artefact.arrays[f"shares/{point}"]),
            rows[:, column],
        )
        for column, point in enumerate(artefact.metadata.features)
    }


def _rows(artefact: Artefact, asset: str, values: Column) -> Column:
    level, scale = artefact.arrays["level"], artefact.arrays["scale"]
    assets = artefact.metadata.assets
    if asset in assets:
        place = assets.index(asset)
        return _standardised(values, level[place], scale[place])
    return _standardised(values, np.median(level, axis=0), np.median(scale, axis=0))


def _long_enough(table: ClassTable) -> ClassTable:
    """Without assets that say too little."""
    if not table.points:
        raise TooLittleError("the assets have no measuring point in common; name the sensors of a class alike")
    counts = np.bincount(table.asset, minlength=len(table.assets))
    kept = np.flatnonzero(counts >= _FEWEST_OF_ASSET)
    if counts[kept].sum() < _FEWEST_ROWS:
        raise TooLittleError(
            f"{int(counts.sum()):,} minutes of good time in all, {int(counts.max(initial=0)):,} of one asset; training"
            f" takes {_FEWEST_ROWS:,} in all and {_FEWEST_OF_ASSET:,} of each asset: give it a longer range"
        )
    rows = np.isin(table.asset, kept)
    return ClassTable(
        assets=tuple(table.assets[place] for place in kept.tolist()),
        points=table.points,
        asset=np.searchsorted(kept, table.asset[rows]),
        time=table.time[rows],
        values=table.values[rows],
    )


def _parts(table: ClassTable) -> npt.NDArray[np.intp]:
    """0, 1 or 2: in which part of its asset's good time a row is."""
    begins = np.searchsorted(table.asset, np.arange(len(table.assets)))
    place = np.arange(table.asset.size) - begins[table.asset]
    length = np.bincount(table.asset, minlength=len(table.assets))[table.asset]
    return np.searchsorted(np.array(_PARTS), place / length, side="right")


def _standards(table: ClassTable, early: npt.NDArray[np.bool_]) -> tuple[Column, Column]:
    """Median and spread by asset and point, (assets, points), of the rows fitted to."""
    level = np.empty((len(table.assets), len(table.points)))
    scale = np.empty_like(level)
    for asset in range(len(table.assets)):
        rows = table.rows_of(asset)
        own = table.values[rows][early[rows]]
        level[asset] = np.median(own, axis=0)
        spread = np.median(np.abs(own - level[asset]), axis=0) * _SIGMA_PER_MAD
        # A point that stands still more than half of the time has no median deviation, but moves all the same.
        spread = np.where(spread > 0, spread, own.std(axis=0))
        scale[asset] = np.maximum(spread, _SMALLEST_SCALE * np.maximum(np.abs(level[asset]), 1.0))
    return level, scale


def _standardised(values: Column, level: Column, scale: Column) -> Column:
    return np.clip((values - level) / scale, -_LARGEST, _LARGEST)


def _candidates(seed: int) -> dict[str, Any]:
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415 - scikit-learn costs a second, only who trains pays
    from sklearn.mixture import GaussianMixture  # noqa: PLC0415

    # One component is a Gaussian; `reg_covar` keeps points that say the same from making it singular.
    found: dict[str, Any] = {"gaussian": GaussianMixture(1, reg_covar=1e-3, random_state=seed)}
    for components in _MIXTURES:
        found[f"mixture_{components}"] = GaussianMixture(components, reg_covar=1e-2, random_state=seed)
    found["isolation_forest"] = IsolationForest(n_estimators=100, max_samples=256, random_state=seed)
    return found


def _thinned(rows: Column) -> Column:
    if len(rows) <= _MOST_FITTED:
        return rows
    return rows[np.linspace(0, len(rows) - 1, _MOST_FITTED).astype(np.intp)]


def _limit(raw: Column, asset: npt.NDArray[np.intp], budget: float) -> float:
    """What the smoothed raw score exceeds `budget` times in a year of one asset."""
    blocks = BlockMaxima(1)
    first = np.zeros(1, np.intp)
    blocks.reset(first, np.array([4 * SMOOTHED]))
    smooth = np.concatenate([_smoothed(raw[asset == each]) for each in np.unique(asset)])
    # The distribution is of sizes above the middle: block maxima are taken of what is not negative.
    lowest = float(smooth.min())
    for begin in range(0, smooth.size, 4 * SMOOTHED):
        part = smooth[begin : begin + 4 * SMOOTHED]
        blocks.add(first, np.array([part.max() - lowest]), np.array([part.size]))
    per_row = budget / (SECONDS_PER_YEAR / STEP.total_seconds())
    found = float(blocks.limit(first, per_reading=np.array([per_row]))[0]) + lowest
    return max(found, float(smooth.max()))


def _smoothed(raw: Column) -> Column:
    """Means of the last `SMOOTHED` rows, of as many as there are at the beginning; unknown rows are left out."""
    known = np.isfinite(raw)
    sums = np.cumsum(np.concatenate([np.zeros(SMOOTHED), np.where(known, raw, 0.0)]))
    counts = np.cumsum(np.concatenate([np.zeros(SMOOTHED), known]))
    total = sums[SMOOTHED:] - sums[:-SMOOTHED]
    count = counts[SMOOTHED:] - counts[:-SMOOTHED]
    return np.where(known, total / np.maximum(count, 1), np.nan)


def _noticed(estimator: Any, rows: Column, limit: float) -> float:
    """Share of single-point shifts that go beyond the limit; rows evenly out of all."""
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), 500)).astype(np.intp)]
    found: list[float] = []
    for column in range(rows.shape[1]):
        for shift in _SHIFTS:
            for side in (-1.0, 1.0):
                moved = some.copy()
                moved[:, column] += side * shift
                found.append(float(np.mean(-estimator.score_samples(moved) >= limit)))
    return float(np.mean(found))


def _episodes(raw: Column, asset: npt.NDArray[np.intp], limit: float) -> int:
    count = 0
    for each in np.unique(asset):
        above = _smoothed(raw[asset == each]) >= limit
        count += int(np.count_nonzero(above & ~np.concatenate([[False], above[:-1]])))
    return count


def common_points(points: Sequence[set[str]]) -> tuple[str, ...]:
    """Measuring points that all assets have, sorted."""
    return tuple(sorted(set.intersection(*points))) if points else ()
