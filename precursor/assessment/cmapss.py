"""Turbofans run to failure (C-MAPSS): how well is their remaining life known at the last cycle that was recorded?

Layout: `train_NAME.txt`, `test_NAME.txt` and `RUL_NAME.txt` (or `.txt.gz`), NAME such as FD001, one set or several in a
folder. Columns without heading: unit, cycle, three operating settings, sensors. Training units run until they fail;
`RUL_NAME` has the cycles that were left to each test unit after its last row, in the order of the units.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from models.evaluation.life import LifeFigures, interval_share, judge_life
from models.life.boosting import RemainingLifeColumns, RemainingLifeModel
from models.life.labelled_histories import LifeHistories
from precursor.assessment.drawings import Bars, Line, Scatter
from precursor.assessment.report import Assessment, Figure
from telemetry.errors import ConfigurationError

__all__ = ["CAP", "TurbofanSet", "assess", "assess_set", "combined", "read_sets"]

CAP = 125.0
"""cycles: the custom of the field since Heimes 2008"""
_AIMS = {"FD001": 11.0}
"""RMSE with the cap, cycles"""
_WINDOW = 10
"""cycles whose means are the input of the baselines"""
_SETTINGS = slice(2, 5)
_SENSORS = slice(5, None)

_ABOUT = (
    "`models.life.boosting.RemainingLifeModel` with its defaults, remaining life up to {cap:g} cycles:"
    " gradient-boosted trees and small neural networks on health indices that are learned from the training units."
    " Parameters were chosen by cross-validation in which whole units of FD001's training set were held out; the test"
    " units were not looked at for it."
)
_NOTES = (
    (
        "Judged at the last row of each test unit. Actual and predicted remaining life both count as {cap:g} where they"
        " are more, except in `rmse_raw`."
    ),
    (
        "`mean`: the mean of the training rows. `ridge`, `boosting`: ridge regression and gradient boosting with"
        " scikit-learn's defaults on age, the mean of each sensor over the last {window} cycles, and its change since"
        " the first {window}."
    ),
    "`constant` beside the coverage: 10 to 90 % of the training rows.",
    "The score of the PHM 2008 challenge is a sum over units: late predictions cost more, and one can be most of it.",
)
_WEAKNESSES = (
    "Above the cap it says the cap: it cannot tell 130 cycles from 300.",
    (
        "On the 100 test engines of FD001 it is not better than plain boosting by more than chance; about 50 settings"
        " were compared on its training engines, which flatters figures from those."
    ),
    "It knows the ways of wear it was shown, and takes a new one for the most similar.",
)

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TurbofanSet:
    """One set: units to learn from, and units to judge."""

    name: str
    train: LifeHistories
    test: LifeHistories
    left: Column
    """(test units,) cycles that were left after the last row of each"""


def read_sets(folder: Path) -> list[TurbofanSet]:
    """All sets of a folder, by name.

    Raises:
        ConfigurationError: there is none, a file is missing, or is not of this layout.
    """
    names = sorted({path.name.split(".")[0].removeprefix("train_") for path in folder.glob("train_*.txt*")})
    if not names:
        raise ConfigurationError(f"no sets in {str(folder)!r}: expected train_FD001.txt (or .txt.gz) and its like")
    return [_read_set(folder, name) for name in names]


def assess(folder: Path, *, seed: int, watch: Callable[[str], None]) -> Assessment:
    """Learn from the training units of each set, and judge what is said of its test units.

    Raises:
        ConfigurationError: files are missing or not of this layout.
    """
    return combined([assess_set(each, seed=seed, watch=watch) for each in read_sets(folder)])


def combined(parts: Sequence[Assessment]) -> Assessment:
    """The assessments of several sets as one, each figure with the name of its set in front; one alone as it is."""
    if len(parts) == 1:
        return parts[0]
    figures = tuple(
        replace(figure, name=f"{part.details['set']}_{figure.name}".lower())
        for part in parts
        for figure in part.figures
    )
    return Assessment(
        dataset="cmapss",
        title=f"remaining life of turbofans (C-MAPSS), {len(parts)} sets",
        figures=figures,
        notes=parts[0].notes,
        details={part.details["set"]: part.details for part in parts},
        parts=tuple(parts),
    )


def assess_set(
    turbofans: TurbofanSet,
    *,
    seed: int,
    watch: Callable[[str], None],
    members: int = 3,
    effort: float = 1.0,
) -> Assessment:
    """As `assess`, for one set.

    Args:
        members: as for `RemainingLifeModel.fit`, and `effort` too; the defaults are what is assessed.
    """
    train, test, left = turbofans.train, turbofans.test, turbofans.left
    watch(f"{turbofans.name}: learning from {train.starts.size} turbofans that ran to failure")
    model = RemainingLifeModel.fit(train, cap=CAP, seed=seed, members=members, effort=effort)
    said = model.predict(test, last=True)
    watch(f"{turbofans.name}: judging {test.starts.size} turbofans")
    figures = judge_life(left, said.p50, cap=CAP)
    baselines = {name: judge_life(left, each, cap=CAP) for name, each in _baselines(train, test, seed).items()}
    return Assessment(
        dataset="cmapss",
        title=f"remaining life of turbofans (C-MAPSS {turbofans.name})",
        figures=_figures(turbofans, said, figures, baselines),
        about=_ABOUT.format(cap=CAP),
        data=(
            f"{train.starts.size} turbofans run to failure to learn from, {len(train):,} cycles;"
            f" {test.starts.size} to judge, {len(test):,} cycles, each cut off {int(left.min())} to {int(left.max())}"
            " cycles before it failed. Simulated."
        ),
        notes=tuple(note.format(cap=CAP, window=_WINDOW) for note in _NOTES),
        weaknesses=_WEAKNESSES,
        details=_details(turbofans, said, figures, baselines),
        drawings=(
            Scatter(
                name="predicted",
                title=f"Remaining life of each turbofan, {turbofans.name}",
                x="actual, cycles (125: that or more)",
                y="predicted, cycles",
                points=(
                    Line(name="P50", x=np.minimum(left, CAP), y=said.p50),
                    Line(name="P10", x=np.minimum(left, CAP), y=said.p10, plain=True),
                    Line(name="P90", x=np.minimum(left, CAP), y=said.p90, plain=True),
                ),
            ),
            Bars(
                name="baselines",
                title=f"Root mean square error, {turbofans.name}",
                y="cycles",
                names=("this model", *baselines),
                values=np.array([figures.rmse, *(each.rmse for each in baselines.values())]),
                limit=_AIMS.get(turbofans.name),
            ),
        ),
    )


def _figures(
    turbofans: TurbofanSet, said: RemainingLifeColumns, figures: LifeFigures, baselines: dict[str, LifeFigures]
) -> tuple[Figure, ...]:
    def beside(name: str) -> dict[str, float]:
        return {baseline: float(getattr(each, name)) for baseline, each in baselines.items()}

    capped = np.minimum(turbofans.left, CAP)
    usual = np.minimum(turbofans.train.remaining, CAP)
    low, high = (np.full(capped.size, np.quantile(usual, share)) for share in (0.1, 0.9))
    return (
        Figure.aimed("rmse", figures.rmse, "cycles", at_most=_AIMS.get(turbofans.name), baselines=beside("rmse")),
        Figure(name="rmse_raw", value=figures.rmse_raw, unit="cycles", baselines=beside("rmse_raw")),
        Figure(name="mae", value=figures.mae, unit="cycles", baselines=beside("mae")),
        Figure(name="bias", value=figures.bias, unit="cycles", baselines=beside("bias")),
        Figure(name="phm08", value=figures.phm08, baselines=beside("phm08")),
        Figure(
            name="coverage_p10_p90",
            value=interval_share(capped, said.p10, said.p90),
            baselines={"constant": interval_share(capped, low, high)},
        ),
        Figure(
            name="width_p10_p90",
            value=float(np.nanmean(said.p90 - said.p10)),
            unit="cycles",
            baselines={"constant": float(np.mean(high - low))},
        ),
    )


def _details(
    turbofans: TurbofanSet, said: RemainingLifeColumns, figures: LifeFigures, baselines: dict[str, LifeFigures]
) -> dict[str, Any]:
    capped = np.minimum(turbofans.left, CAP)
    bands = ((0.0, 25.0), (25.0, 50.0), (50.0, 75.0), (75.0, 100.0), (100.0, np.inf))
    inside = {f"{low:g} to {high:g}": (turbofans.left >= low) & (turbofans.left < high) for low, high in bands}
    return {
        "set": turbofans.name,
        "cap": CAP,
        "turbofans": {"train": int(turbofans.train.starts.size), "test": int(turbofans.test.starts.size)},
        "predicted": figures.predicted,
        "before_p10": float(np.mean(capped < said.p10)),
        "after_p90": float(np.mean(capped > said.p90)),
        "phm08_per_turbofan": {
            "model": figures.phm08 / max(1, figures.predicted),
            **{name: each.phm08 / max(1, each.predicted) for name, each in baselines.items()},
        },
        "rmse_by_cycles_left": {
            band: judge_life(turbofans.left[rows], said.p50[rows], cap=CAP).rmse for band, rows in inside.items()
        },
    }


def _baselines(train: LifeHistories, test: LifeHistories, seed: int) -> dict[str, Column]:
    target = np.minimum(train.remaining, CAP)
    learned, asked = _plain(train), _plain(test)[test.ends]
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 7)))
    boosting = HistGradientBoostingRegressor(random_state=seed)
    return {
        "mean": np.full(test.starts.size, target.mean()),
        "ridge": np.asarray(ridge.fit(learned, target).predict(asked)),
        "boosting": np.asarray(boosting.fit(learned, target).predict(asked)),
    }


def _plain(histories: LifeHistories) -> npt.NDArray[np.float64]:
    """Age, mean of each sensor over the last rows of the unit and over its first, what is not known taken to be 0."""
    total = np.vstack([np.zeros(histories.values.shape[1]), np.cumsum(np.nan_to_num(histories.values), axis=0)])
    rows, before = np.arange(len(histories)), histories.positions
    start = rows - before
    last, first = np.maximum(start, rows + 1 - _WINDOW), np.minimum(rows + 1, start + _WINDOW)
    recent = (total[rows + 1] - total[last]) / (rows + 1 - last)[:, None]
    beginning = (total[first] - total[start]) / (first - start)[:, None]
    return np.hstack([histories.age[:, None], recent, recent - beginning])


def _read_set(folder: Path, name: str) -> TurbofanSet:
    train, test = (_histories(_path(folder, f"{part}_{name}")) for part in ("train", "test"))
    path = _path(folder, f"RUL_{name}")
    left = _table(path, columns=1)[:, 0]
    if left.size != test.starts.size:
        raise ConfigurationError(f"{str(path)!r} has {left.size} rows for {test.starts.size} turbofans of test_{name}")
    if train.values.shape[1] != test.values.shape[1]:
        raise ConfigurationError(f"train_{name} and test_{name} in {str(folder)!r} differ in columns")
    return TurbofanSet(name=name, train=train, test=test, left=left)


def _path(folder: Path, stem: str) -> Path:
    found = [path for path in (folder / f"{stem}.txt", folder / f"{stem}.txt.gz") if path.is_file()]
    if not found:
        raise ConfigurationError(f"no {stem}.txt (or .txt.gz) in {str(folder)!r}")
    return found[0]


def _histories(path: Path) -> LifeHistories:
    table = _table(path, columns=6)
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    try:
        return LifeHistories(
            unit=table[:, 0].astype(np.int64), age=table[:, 1], settings=table[:, _SETTINGS], values=table[:, _SENSORS]
        )
    except ValueError as error:
        raise ConfigurationError(f"{str(path)!r}: {error}") from error


def _table(path: Path, *, columns: int) -> npt.NDArray[np.float64]:
    try:
        with warnings.catch_warnings():
            # NumPy warns of a file without rows: below it is an error.
            warnings.simplefilter("ignore", UserWarning)
            table = np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise ConfigurationError(f"{str(path)!r} is no table of numbers: {error}") from error
    if not len(table) or table.shape[1] < columns:
        raise ConfigurationError(f"{str(path)!r}: expected rows of at least {columns} numbers with spaces between")
    return table
