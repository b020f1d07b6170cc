"""What charts of whole assets learn once they have warmed up, and that assets are each on their own."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from models.multivariate.charts import Charts
from models.multivariate.products import dot, product, total

Values = npt.NDArray[np.float64]

WARMUP = 50


def made(assets: int) -> Charts:
    charts = Charts(
        assets,
        2,
        budget=np.full(assets, 0.1),
        warmup=np.full(assets, float(WARMUP)),
        warmup_h=np.zeros(assets),
        smoothing=np.full(assets, 0.1),
    )
    charts.pace(np.full(assets, 10.0))
    return charts


def test_after_ten_warm_ups_a_sample_weighs_no_less_than_it_did_then() -> None:
    """A shift too small to be an anomaly, late in a long life: two thirds of it are usual ten warm-ups later."""
    assets, life, shift = 30, 30 * WARMUP, 0.15
    values = np.random.default_rng(2).normal(size=(life + 10 * WARMUP, assets, 2))
    values[life:, :, 0] += shift
    charts = made(assets)
    everyone = np.arange(assets)
    for row in values[:life]:
        charts.step(everyone, row)
    before = charts.state.mean[:, 0].copy()
    for row in values[life:]:
        charts.step(everyone, row)
    learned = charts.state.mean[:, 0] - before
    # With the memory of a whole life, a quarter of it. What of it was noise goes as well.
    expected = (1 - np.exp(-1)) * (shift - np.mean(before + charts.state.origin[:, 0]))
    assert learned.mean() == pytest.approx(expected, rel=0.25)


def test_an_asset_that_pauses_learns_as_if_it_were_alone() -> None:
    """Some of the assets at a time, or all; those in alarm learn nothing and the others go on."""
    random = np.random.default_rng(3)
    values = random.normal(size=(5 * WARMUP, 4, 2))
    values[3 * WARMUP :: 2, 3] += 30.0
    there = random.random((len(values), 4)) < 0.8
    there[::3] = True
    together, alone = made(4), [made(1) for _ in range(4)]
    for row, who in zip(values, there, strict=True):
        assets = np.flatnonzero(who)
        scores, shares = together.step(assets, row[assets])
        for place, asset in enumerate(assets.tolist()):
            score, share = alone[asset].step(np.zeros(1, np.intp), row[asset : asset + 1])
            np.testing.assert_array_equal(score[0], scores[place])
            np.testing.assert_array_equal(share[0], shares[place])


@pytest.mark.parametrize("laid_out", [np.ascontiguousarray, np.asfortranarray])
def test_products_of_many_are_those_of_each_to_the_last_digit(laid_out: Callable[[Values], Values]) -> None:
    random = np.random.default_rng(4)
    matrix, vector = laid_out(random.normal(size=(7, 9, 9))), laid_out(random.normal(size=(7, 9)))
    for row in range(7):
        one = slice(row, row + 1)
        np.testing.assert_array_equal(product(matrix, vector)[one], product(matrix[one], vector[one]))
        np.testing.assert_array_equal(dot(vector, vector)[one], dot(vector[one], vector[one]))
        np.testing.assert_array_equal(total(matrix)[one], total(matrix[one]))
    np.testing.assert_allclose(product(matrix, vector), np.einsum("aij,aj->ai", matrix, vector))
