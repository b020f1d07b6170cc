"""A model of a class of assets: chosen in order of time, with a limit of its own, and telling which point it is."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from models.artefacts.artefact import Artefact, dump, fingerprint, load
from models.artefacts.drift import DRIFTED, SHIFTED
from models.class_model import ClassTable, TooLittleError, drift, score, train
from telemetry.batch import to_micros

BEGIN = to_micros(datetime(2026, 1, 1, tzinfo=UTC))
POINTS = ("current", "flow", "temp")
MINUTE = 60_000_000


def good_time(count: int, *, level: float = 0.0, seed: int = 1) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Two operating states; flow and current go together, temperature wanders slowly."""
    random = np.random.default_rng(seed)
    load = np.where(np.sin(np.arange(count) / 90.0) > 0, 1.0, 0.4) + random.normal(0, 0.01, count)
    flow = 100 * load + random.normal(0, 1.0, count)
    current = 10 + 20 * load + random.normal(0, 0.2, count)
    temp = 50 + 10 * load + random.normal(0, 0.5, count) + np.sin(np.arange(count) / 400.0)
    return np.column_stack([current, flow, temp]) + level


def table(counts: tuple[int, ...] = (4000, 3000)) -> ClassTable:
    values = [good_time(count, level=5.0 * place, seed=place + 1) for place, count in enumerate(counts)]
    return ClassTable(
        assets=tuple(f"P-{place}" for place in range(len(counts))),
        points=POINTS,
        asset=np.repeat(np.arange(len(counts)), counts),
        time=np.concatenate([BEGIN + np.arange(count) * MINUTE for count in counts]),
        values=np.concatenate(values),
    )


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    body = dump(train(table(), asset_class="pump", budget=1.0))
    return load(body, sha256=fingerprint(body))


def test_usual_time_is_not_anomalous_and_an_impossible_combination_is(artefact: Artefact) -> None:
    later = good_time(2000, seed=9)
    scores, _ = score(artefact, "P-0", later)
    assert np.isfinite(scores).all()
    assert np.mean(scores >= 1.0) < 0.002
    # Flow of the lower state at the current of the higher one: each of them is usual by itself.
    high = later[:, 1] > 80
    later[high, 1] -= 60
    scores, shares = score(artefact, "P-0", later)
    settled = high & np.roll(high, 5)
    assert np.median(scores[settled]) > 1.0
    assert np.nanmedian(shares[settled][:, 2]) < 0.2, "temperature has no part in it"
    np.testing.assert_allclose(shares[settled].sum(axis=1), 1.0)


def test_a_row_with_a_gap_has_no_score(artefact: Artefact) -> None:
    later = good_time(50)
    later[20, 1] = np.nan
    scores, shares = score(artefact, "P-0", later)
    assert np.isnan(scores[20])
    assert np.isnan(shares[20]).all()
    assert np.isfinite(np.delete(scores, 20)).all()


def test_the_level_of_each_asset_is_its_own(artefact: Artefact) -> None:
    other = good_time(500, level=5.0, seed=7)
    assert np.mean(score(artefact, "P-1", other)[0] >= 1.0) < 0.01
    assert np.median(score(artefact, "P-0", other)[0]) > 1.0


def test_what_it_was_chosen_by_is_later_than_what_it_was_fitted_to(artefact: Artefact) -> None:
    metrics = artefact.metadata.metrics
    assert artefact.metadata.rows == pytest.approx(0.6 * 7000, abs=2)
    assert metrics["validation_rows"] == pytest.approx(0.2 * 7000, abs=2)
    noticed = {name: value for name, value in metrics.items() if name.startswith("noticed_by_")}
    chosen = next(iter(artefact.estimators))
    assert noticed[f"noticed_by_{chosen}"] == max(noticed.values())
    assert len(noticed) == 5


def test_training_twice_gives_the_same_model(artefact: Artefact) -> None:
    again = train(table(), asset_class="pump", budget=1.0)
    later = good_time(300, seed=4)
    np.testing.assert_array_equal(score(again, "P-1", later)[0], score(artefact, "P-1", later)[0])


def test_inputs_that_changed_have_drifted(artefact: Artefact) -> None:
    same = drift(artefact, {"P-0": good_time(4000, seed=5), "P-1": good_time(3000, level=5.0, seed=6)})
    assert max(same.values()) < SHIFTED
    hotter = good_time(4000, seed=5)
    hotter[:, 2] += 8.0
    changed = drift(artefact, {"P-0": hotter})
    assert changed["temp"] > DRIFTED
    assert changed["flow"] < SHIFTED


def test_too_little_good_time_is_told() -> None:
    with pytest.raises(TooLittleError, match=r"1,200 minutes of good time .* give it a longer range"):
        train(table((700, 500)), asset_class="pump", budget=1.0)
    with pytest.raises(TooLittleError, match="no measuring point in common"):
        train(replace(table(), points=(), values=np.empty((7000, 0))), asset_class="pump", budget=1.0)


def test_an_asset_with_too_little_is_left_out() -> None:
    assert train(table((4000, 100)), asset_class="pump", budget=1.0).metadata.assets == ("P-0",)
