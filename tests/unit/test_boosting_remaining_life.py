"""Remaining life from labelled histories, on units whose wear is made and therefore known."""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st

from models.artefacts.artefact import Artefact, Metadata
from models.evaluation.life import interval_share
from models.life.boosting import RemainingLifeModel
from models.life.class_life import foretell
from models.life.labelled_features import LifeFeatures
from models.life.labelled_histories import LifeHistories
from telemetry.errors import StateError

CAP = 60.0
WHERE_IT_RUNS = np.array([[0.0, 100.0], [20.0, 50.0], [42.0, 25.0]])
"""three operating conditions that settings tell apart, and that shift sensors far more than wear does"""


def made(units: int, seed: int, *, conditions: bool = True) -> LifeHistories:
    """Units that wear exponentially until they fail; sensors: two of wear, one of the condition, one constant."""
    generator = np.random.default_rng(seed)
    parts = []
    for unit in range(1, units + 1):
        life = int(generator.integers(60, 140))
        age = np.arange(1.0, life + 1)
        wear = np.expm1(4 * age / life) / np.expm1(4.0) + generator.normal(0, 0.05)
        at = generator.integers(3, size=life) if conditions else np.zeros(life, np.int64)
        values = np.column_stack(
            [
                500 + 10 * wear + 200 * at + generator.normal(0, 0.5, life),
                30 - 2 * wear - 10 * at + generator.normal(0, 0.1, life),
                5 + 3 * at + generator.normal(0, 0.1, life),
                np.full(life, 21.61),
            ]
        )
        parts.append((np.full(life, unit), age, values, WHERE_IT_RUNS[at] + generator.normal(0, 0.01, (life, 2))))
    units_, ages, values, settings_ = (np.concatenate(each) for each in zip(*parts, strict=True))
    return LifeHistories(unit=units_.astype(np.int64), age=ages, values=values, settings=settings_)


def fitted(histories: LifeHistories, *, seed: int = 0, effort: float = 0.1) -> RemainingLifeModel:
    return RemainingLifeModel.fit(histories, cap=CAP, seed=seed, members=1, effort=effort)


def rmse(predicted: npt.NDArray[np.float64], actual: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(predicted - np.minimum(actual, CAP)))))


@pytest.fixture(scope="module")
def model() -> RemainingLifeModel:
    return fitted(made(15, seed=1))


def test_new_units_in_changing_conditions_are_foretold_far_better_than_by_the_mean_and_end_between_the_quantiles(
    model: RemainingLifeModel,
) -> None:
    fresh = made(15, seed=2)
    said = model.predict(fresh)
    actual = np.minimum(fresh.remaining, CAP)
    assert rmse(said.p50, actual) < 0.5 * actual.std()
    assert 0.65 <= interval_share(actual, said.p10, said.p90) <= 0.98


def test_conditions_are_found_where_settings_form_clusters_and_only_there() -> None:
    many, one = made(5, seed=5), made(5, seed=5, conditions=False)
    assert len(LifeFeatures.fit(many, np.minimum(many.remaining, CAP), seed=0).centres) == 3
    assert len(LifeFeatures.fit(one, np.minimum(one.remaining, CAP), seed=0).centres) == 1


@given(cut=st.integers(5, 59), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_what_comes_later_and_what_other_units_do_changes_nothing_said_now(
    model: RemainingLifeModel, cut: int, seed: int
) -> None:
    history = made(2, seed=seed)
    first = np.flatnonzero(history.unit == 1)
    now = history.where(first[:cut])
    generator = np.random.default_rng(seed)
    values = history.values.copy()
    values[cut:] = generator.permutation(values[cut:])
    other = LifeHistories(unit=history.unit, age=history.age, values=values, settings=history.settings)
    expected = model.predict(now)
    for said in (model.predict(history), model.predict(other)):
        # Matrix products round differently by the number of rows.
        np.testing.assert_allclose(said.p50[:cut], expected.p50, atol=1e-6)
        np.testing.assert_allclose(said.p10[:cut], expected.p10, atol=1e-6)
    assert model.predict(now, last=True).p50[0] == pytest.approx(expected.p50[-1], abs=1e-6)


@given(seed=st.integers(0, 99), missing=st.floats(0, 1), scale=st.sampled_from([0.0, 1.0, 1e6]))
@settings(max_examples=10, deadline=None)
def test_quantiles_never_cross_and_stay_between_0_and_the_cap_whatever_comes_in(
    model: RemainingLifeModel, seed: int, missing: float, scale: float
) -> None:
    history = made(2, seed=seed)
    generator = np.random.default_rng(seed)
    values = history.values + generator.normal(0, 1, history.values.shape) * scale
    values[generator.random(values.shape) < missing] = np.nan
    said = model.predict(LifeHistories(unit=history.unit, age=history.age, values=values, settings=history.settings))
    known = ~np.isnan(said.p50)
    assert (np.isnan(said.p10) == ~known).all()
    assert (np.isnan(said.p90) == ~known).all()
    chain = np.stack([np.zeros(len(history)), said.p10, said.p50, said.p90, np.full(len(history), CAP)])[:, known]
    assert (np.diff(chain, axis=0) >= 0).all()


def test_quantiles_that_say_otherwise_than_the_figure_between_them_give_way_to_it(model: RemainingLifeModel) -> None:
    fresh = made(2, seed=14)
    plain = model.predict(fresh).p50
    arrays = model.arrays
    crossed = {**arrays, "low": np.full_like(arrays["low"], CAP), "high": np.zeros_like(arrays["high"])}
    said = RemainingLifeModel.from_parts(model.estimators, crossed).predict(fresh)
    np.testing.assert_array_equal(np.stack([said.p10, said.p50, said.p90]), np.stack([plain] * 3))


def test_a_life_that_goes_on_is_foretold_where_its_end_is_in_sight(model: RemainingLifeModel) -> None:
    day = datetime(2026, 1, 1, tzinfo=UTC)
    metadata = Metadata(
        task="remaining_life", asset_class="fan", features=("a", "b", "c", "d", "x", "y"), data_from=day,
        data_until=day, assets=("F-1",), rows=1,
    )  # fmt: skip
    artefact = Artefact(metadata=metadata, estimators=model.estimators, arrays=model.arrays)
    rows = np.flatnonzero(made(1, seed=15).unit)
    young, old, none = (foretell(artefact, made(1, seed=15).where(rows[:seen])) for seen in (5, rows.size - 5, 0))
    assert "no end is in sight: the model looks 60 days ahead" in (young.reason or "")
    assert "no usable readings" in (none.reason or "")
    said = model.predict(made(1, seed=15).where(rows[: rows.size - 5]), last=True)
    assert [old.p10_s, old.p50_s, old.p90_s] == [each[0] * 86_400 for each in (said.p10, said.p50, said.p90)]
    assert 0 < said.p50[0] < 20


def test_nothing_is_said_until_a_sensor_has_had_a_value(model: RemainingLifeModel) -> None:
    history = made(2, seed=6)
    values = history.values.copy()
    begins = history.starts[1]
    values[begins : begins + 7] = np.nan
    values[begins + 7, 1:] = np.nan
    said = model.predict(
        LifeHistories(unit=history.unit, age=history.age, values=values, settings=history.settings)
    ).p50
    assert np.flatnonzero(np.isnan(said)).tolist() == list(range(begins, begins + 7))


def test_gaps_and_a_sensor_that_is_dead_in_a_unit_cost_little(model: RemainingLifeModel) -> None:
    fresh = made(10, seed=7)
    values = fresh.values.copy()
    values[np.random.default_rng(0).random(values.shape) < 0.2] = np.nan
    values[:, 2] = np.nan
    patchy = LifeHistories(unit=fresh.unit, age=fresh.age, values=values, settings=fresh.settings)
    actual = np.minimum(fresh.remaining, CAP)
    assert rmse(model.predict(patchy).p50, actual) < 1.3 * rmse(model.predict(fresh).p50, actual)


def test_a_constant_sensor_is_ignored_even_when_it_moves_later(model: RemainingLifeModel) -> None:
    history = made(2, seed=8)
    values = history.values.copy()
    values[:, 3] = np.linspace(-1e6, 1e6, len(values))
    moved = LifeHistories(unit=history.unit, age=history.age, values=values, settings=history.settings)
    np.testing.assert_array_equal(model.predict(moved).p50, model.predict(history).p50)


@pytest.mark.slow
def test_the_same_histories_and_seed_give_the_same_model() -> None:
    histories, fresh = made(3, seed=9), made(2, seed=10)
    said = [fitted(histories, seed=seed, effort=0.01).predict(fresh).p50 for seed in (3, 3, 4)]
    np.testing.assert_array_equal(said[0], said[1])
    assert not np.array_equal(said[0], said[2])


def test_a_model_comes_back_from_its_parts_through_skops(model: RemainingLifeModel) -> None:
    fresh = made(3, seed=11)
    body = skops.io.dumps(model.estimators)
    unknown = set(skops.io.get_untrusted_types(data=body))
    # These two are in the list of artefacts: skops leaves trees to the reader.
    assert unknown <= {"sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"}
    assert all(isinstance(array, np.ndarray) and array.dtype.kind in "fi" for array in model.arrays.values())
    back = RemainingLifeModel.from_parts(skops.io.loads(body, trusted=sorted(unknown)), model.arrays)
    np.testing.assert_array_equal(back.predict(fresh).p90, model.predict(fresh).p90)
    assert back.cap == CAP


def test_parts_that_are_missing_are_named(model: RemainingLifeModel) -> None:
    arrays = model.arrays
    del arrays["knots"]
    with pytest.raises(StateError, match="knots"):
        RemainingLifeModel.from_parts(model.estimators, arrays)
    with pytest.raises(StateError, match="trees"):
        RemainingLifeModel.from_parts({}, model.arrays)


def test_what_cannot_be_learned_from_is_refused(model: RemainingLifeModel) -> None:
    with pytest.raises(ValueError, match="2 units"):
        fitted(made(2, seed=12))
    history = made(3, seed=13)
    with pytest.raises(ValueError, match="no sensor varies"):
        fitted(LifeHistories(unit=history.unit, age=history.age, values=np.ones_like(history.values)))
    with pytest.raises(ValueError, match="trained on"):
        model.predict(LifeHistories(unit=history.unit, age=history.age, values=history.values))


@pytest.mark.parametrize(
    ("unit", "age", "says"),
    [([1, 2, 1], [1, 1, 2], "together"), ([1, 1, 1], [1, 3, 2], "rise"), ([1, 1, 2], [1, np.nan, 1], "known")],
    ids=["torn apart", "out of order", "unknown age"],
)
def test_histories_out_of_order_are_refused(unit: list[int], age: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        LifeHistories(unit=np.array(unit), age=np.array(age, float), values=np.zeros((3, 1)))
