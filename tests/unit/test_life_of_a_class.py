"""Lives of a class of assets: what is judged by what, and which failures count for a failure mode."""

from datetime import UTC, datetime

import numpy as np
import pytest
from scipy import stats

from models.life import class_life
from models.life.class_life import LifeTable, TooFewLivesError, train_life
from models.life.competing import ANY, EndedLife, fit_by_mode
from models.life.labelled_histories import LifeHistories


def table(assets: list[int], rows: int = 12) -> LifeTable:
    """Lives of these assets, in the order they ended."""
    unit = np.repeat(np.arange(len(assets)), rows).astype(np.int64)
    age = np.tile(np.arange(1.0, rows + 1), len(assets))
    return LifeTable(
        histories=LifeHistories(unit=unit, age=age, values=np.zeros((unit.size, 1))),
        asset=np.array(assets, np.intp),
        assets=("T-1", "T-2", "T-3", "T-4"),
        points=("vib",),
        settings=(),
        step_s=3600.0,
        data_from=datetime(2026, 1, 1, tzinfo=UTC),
        data_until=datetime(2026, 2, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize("assets", [[0, 1, 2, 3, 0, 1], [0, 0, 0, 1, 2, 3, 3]], ids=["in turn", "one after the other"])
def test_an_asset_is_never_on_both_sides_where_enough_have_failed(assets: list[int]) -> None:
    lives = table(assets)
    folds, by_asset = class_life._folds(lives)
    assert by_asset
    of_row = lives.asset[lives.histories.unit]
    for learned, judged in folds:
        assert not set(of_row[learned]) & set(of_row[judged])
        assert (learned ^ judged).all()
    assert np.sum([judged for _, judged in folds], axis=0).tolist() == [1] * len(of_row)


@pytest.mark.parametrize(
    ("assets", "judged"),
    [([0, 0, 0, 0, 0], [3, 4]), ([0, 1] * 6, [8, 9, 10, 11]), ([0, 0, 0, 1, 2], [3, 4])],
    ids=["one asset", "two", "too few lives without the first"],
)
def test_of_few_assets_the_later_lives_are_judged_by_the_earlier_ones(assets: list[int], judged: list[int]) -> None:
    lives = table(assets)
    [(learned, later)], by_asset = class_life._folds(lives)
    assert not by_asset
    assert np.unique(lives.histories.unit[later]).tolist() == judged
    assert np.unique(lives.histories.unit[learned]).tolist() == list(range(judged[0]))


def test_lives_that_are_too_few_or_show_nothing_are_refused() -> None:
    with pytest.raises(TooFewLivesError, match=r"4 lives .* training takes 5"):
        train_life(table([0, 1, 2, 3]), asset_class="turbofan")
    with pytest.raises(TooFewLivesError, match="no sensor varies"):
        train_life(table([0, 0, 1, 1, 1]), asset_class="turbofan")


def competing(count: int) -> list[EndedLife]:
    """Whichever of wear-out and a random cause comes first."""
    generator = np.random.default_rng(4)
    wear, random = generator.weibull(4.0, count) * 1000, generator.exponential(1500, count)
    return [
        EndedLife(age_s=min(w, r), failed=True, failure_mode="wear" if w < r else "random")
        for w, r in zip(wear.tolist(), random.tolist(), strict=True)
    ]


def test_each_failure_mode_has_the_distribution_it_would_have_alone() -> None:
    fits = fit_by_mode(competing(2_000))
    assert fits.keys() == {"wear", "random"}
    assert (fits["wear"].shape, fits["wear"].scale_s) == pytest.approx((4.0, 1000), rel=0.05)
    assert (fits["random"].shape, fits["random"].scale_s) == pytest.approx((1.0, 1500), rel=0.1)
    assert fits["wear"].failures + fits["random"].failures == 2_000
    alone = [life.age_s for life in competing(2_000) if life.failure_mode == "random"]
    assert stats.weibull_min.fit(alone, floc=0)[2] < 700, "without the others it looks half as long"


def test_failures_of_rare_modes_and_of_none_are_counted_all_together() -> None:
    lives = competing(40)
    assert ANY not in fit_by_mode(lives)
    for more in (EndedLife(age_s=400.0, failed=True), EndedLife(age_s=400.0, failed=True, failure_mode="leak")):
        fits = fit_by_mode([*lives, more])
        assert fits.keys() == {"wear", "random", ANY}
        assert (fits[ANY].failures, fits["wear"].survivors) == (41, 41 - fits["wear"].failures)
    assert fit_by_mode([EndedLife(age_s=age, failed=True) for age in (1.0, 2.0, 3.0)]).keys() == {ANY}
    assert fit_by_mode([EndedLife(age_s=age, failed=False, failure_mode=ANY) for age in (1.0, 2.0, 3.0)]) == {}
