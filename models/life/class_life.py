"""Remaining life of a class of assets: a model out of lives that ended in failure, and what it says of others.

`models.life.boosting` learns; here is how it is judged on lives it has not seen, and how it becomes an artefact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from models.artefacts.artefact import Artefact, Metadata, versions
from models.evaluation.life import interval_share, judge_life
from models.life.boosting import RemainingLifeColumns, RemainingLifeModel
from models.life.labelled_histories import LifeHistories
from models.life.prognosis import RemainingLife
from telemetry.errors import ConfigurationError

__all__ = ["FEWEST_LIVES", "LifeTable", "TooFewLivesError", "foretell", "life_figures", "train_life"]

FEWEST_LIVES = 5
"""that ended in failure; three are learned from, and two at least judged"""

_FEWEST = 3
"""assets with lives that ended, for whole assets to be held out; and lives to learn from"""
_FOLDS = 5
_DAY_S = 86_400.0

Rows = npt.NDArray[np.bool_]


class TooFewLivesError(ConfigurationError):
    """There are too few lives to learn from."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LifeTable:
    """Lives of assets of one class, each from its renewal to its failure, a row a step at work."""

    histories: LifeHistories
    """a unit is a life, numbered from 0 by the time it ended; age in days"""
    asset: npt.NDArray[np.intp]
    """(units,) position in `assets`"""
    assets: tuple[str, ...]
    """all of the class: the model is asked about them too that have not failed yet"""
    points: tuple[str, ...]
    """measuring points that all of them have: the columns of the values"""
    settings: tuple[str, ...]
    """those that say how the asset is run, and nothing of wear: the columns of the settings"""
    step_s: float
    data_from: datetime
    data_until: datetime


def train_life(
    table: LifeTable,
    *,
    asset_class: str,
    seed: int = 7,
    effort: float = 1.0,
    watch: Callable[[str], None] = lambda said: None,
) -> Artefact:
    """Judge the model on lives it was not shown, then fit it to all of them.

    Where three assets have failed, whole assets are held out in turn, in five groups at most; else the later third of
    the lives, for a model of the earlier ones. Rows of one life are never on both sides. Beside it stands the mean
    life: each is taken to last as long as those learned from did on average. Remaining life counts up to half the
    median life.

    Args:
        table: lives that ended in failure.
        asset_class: what the assets are.
        seed: of everything random in it.
        effort: factor on the work, as for `RemainingLifeModel.fit`.
        watch: told what it is at.

    Raises:
        TooFewLivesError: fewer than `FEWEST_LIVES`, or nothing in them varies.
    """
    histories = table.histories
    lengths = histories.age[histories.ends]
    if lengths.size < FEWEST_LIVES:
        raise TooFewLivesError(
            f"{lengths.size} lives that began with a renewal and ended in failure; training takes {FEWEST_LIVES}, and"
            " 20 to be good: give it a longer range, or go by age and P-F interval until then"
        )
    cap = float(np.median(lengths)) / 2
    folds, by_asset = _folds(table)
    said = RemainingLifeColumns(**{name: np.full(len(histories), np.nan) for name in ("p10", "p50", "p90")})
    usual = np.full(len(histories), np.nan)
    try:
        for number, (learned, judged) in enumerate(folds, 1):
            watch(f"judging, part {number} of {len(folds)}")
            part = histories.where(learned)
            model = RemainingLifeModel.fit(part, cap=cap, seed=seed, members=1, effort=effort)
            found = model.predict(histories.where(judged))
            said.p10[judged], said.p50[judged], said.p90[judged] = found.p10, found.p50, found.p90
            usual[judged] = np.maximum(part.age[part.ends].mean() - histories.age[judged], 0.0)
        watch(f"learning from {lengths.size} lives")
        model = RemainingLifeModel.fit(histories, cap=cap, seed=seed, effort=effort)
    except ValueError as error:
        raise TooFewLivesError(f"these lives cannot be learned from: {error}") from error
    rows = np.isfinite(usual) & np.isfinite(said.p50)
    if not rows.any():
        raise TooFewLivesError(
            "the lives held out have none of the readings that the others have: nothing can be judged"
        )
    true = histories.remaining[rows]
    figures, plain = (judge_life(true, each[rows], cap=cap) for each in (said.p50, usual))
    capped = np.minimum(true, cap)
    return Artefact(
        metadata=Metadata(
            task="remaining_life",
            asset_class=asset_class,
            features=(*table.points, *table.settings),
            data_from=table.data_from,
            data_until=table.data_until,
            assets=table.assets,
            rows=len(histories),
            metrics={
                "lives": float(lengths.size),
                "validation_lives": float(np.unique(histories.unit[rows]).size),
                "validation_by_asset": float(by_asset),
                "rmse_d": figures.rmse,
                "rmse_of_mean_life_d": plain.rmse,
                "mean_absolute_error_d": figures.mae,
                "mean_absolute_error_of_mean_life_d": plain.mae,
                "bias_d": figures.bias,
                "coverage_p10_p90": interval_share(capped, said.p10[rows], said.p90[rows]),
            },
            parameters={"cap_d": cap, "step_s": table.step_s, "seed": float(seed), "effort": effort},
            versions=versions(),
        ),
        estimators=model.estimators,
        arrays=model.arrays,
    )


def foretell(artefact: Artefact, history: LifeHistories) -> RemainingLife:
    """How much longer an asset lives, at the last row of its life so far.

    Above the cap a model says nothing but that: where P90 is there, there is no answer yet.

    Args:
        artefact: of `train_life`.
        history: of one unit, age in days, columns in the order of the artefact's features.

    Raises:
        StateError: the artefact is none of remaining life.
        ValueError: the columns are not those it was trained on.
    """
    if not len(history):
        return RemainingLife(reason="no usable readings at work since it was renewed")
    model = RemainingLifeModel.from_parts(artefact.estimators, artefact.arrays)
    said = model.predict(history, last=True)
    p10, p50, p90 = (float(each[0]) for each in (said.p10, said.p50, said.p90))
    if np.isnan(p50):
        return RemainingLife(reason="no usable readings at work since it was renewed")
    # The highest quantile is a mean of what was cut off at the cap: it may come out a hair below.
    if p90 >= 0.999 * model.cap:
        return RemainingLife(reason=f"no end is in sight: the model looks {model.cap:.3g} days ahead")
    return RemainingLife(p10_s=p10 * _DAY_S, p50_s=p50 * _DAY_S, p90_s=p90 * _DAY_S)


def life_figures(artefact: Artefact, histories: LifeHistories) -> dict[str, float]:
    """How good it is on other lives that ended in failure, by the names of the metrics of `train_life`.

    Empty: it has nothing to say of them.
    """
    model = RemainingLifeModel.from_parts(artefact.estimators, artefact.arrays)
    said = model.predict(histories)
    if not np.isfinite(said.p50).any():
        return {}
    figures = judge_life(histories.remaining, said.p50, cap=model.cap)
    return {
        "rmse_d": figures.rmse,
        "mean_absolute_error_d": figures.mae,
        "bias_d": figures.bias,
        "coverage_p10_p90": interval_share(np.minimum(histories.remaining, model.cap), said.p10, said.p90),
    }


def _folds(table: LifeTable) -> tuple[list[tuple[Rows, Rows]], bool]:
    """Rows to learn from and rows to judge, and whether they are of different assets."""
    unit = table.histories.unit
    failing, of_unit = np.unique(table.asset, return_inverse=True)
    if failing.size >= _FEWEST:
        fold = (np.arange(failing.size) % _FOLDS)[of_unit]
        if of_unit.size - np.bincount(fold).max() >= _FEWEST:
            return [(fold[unit] != number, fold[unit] == number) for number in np.unique(fold).tolist()], True
    later = unit >= of_unit.size - max(FEWEST_LIVES - _FEWEST, of_unit.size // 3)
    return [(~later, later)], False
