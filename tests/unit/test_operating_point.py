"""Machines that are well and operated as they seldom are."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import lfilter

from models.contract import ALARM
from models.multivariate import operating_point
from models.multivariate.kinds import AssetSpec, build_assets
from models.multivariate.state import State
from telemetry.batch import ReadingBatch

WARM = 3000
AFTER = 600
SENSORS = 4
S = 1_000_000
SEEDS = range(3)

Values = npt.NDArray[np.float64]


def demand(seed: int) -> Values:
    """Wanders, and forgets in two hundred samples."""
    noise = np.random.default_rng(seed).standard_normal(WARM + AFTER)
    wander: Values = lfilter([1.0], [1.0, -0.995], noise) * np.sqrt(1 - 0.995**2)
    return np.clip(wander, -2.5, 2.5)


def machine(asked: Values, seed: int, *, curved: bool = False) -> Values:
    """Four sensors; the last goes with the square of what is asked as well."""
    noise = np.random.default_rng(seed + 100).standard_normal((asked.size, SENSORS)) * 0.1
    last = asked + 0.25 * asked**2 if curved else asked
    return np.stack([asked, 0.8 * asked, -asked, last], axis=1) + noise + 20.0


def at_the_end_of_its_range(seed: int) -> Values:
    asked = demand(seed)
    asked[WARM + 200 : WARM + 500] = 2.8
    return machine(asked, seed, curved=True)


def off_its_relations(seed: int) -> Values:
    asked = demand(seed)
    asked[WARM:] *= 0.2
    values = machine(asked, seed, curved=True)
    values[WARM + 300 :, 1] += 1.0
    return values


def far_beyond(seed: int) -> Values:
    asked = demand(seed)
    asked[WARM + 300 :] = 12.0
    return machine(asked, seed)


def unrelated(seed: int) -> Values:
    values = np.random.default_rng(seed).standard_normal((WARM + AFTER, SENSORS))
    values[WARM + 300 :] += [1.5, -1.5, 1.5, -1.5]
    return values


MACHINES = {each.__name__: each for each in (at_the_end_of_its_range, off_its_relations, far_beyond, unrelated)}


@pytest.fixture(scope="module")
def scores() -> Mapping[str, Values]:
    """By what is done, from the end of the warm-up on; a row each seed."""
    values = np.stack([make(seed) for make in MACHINES.values() for seed in SEEDS])
    values = np.concatenate((values, values[:, -1:]), axis=1)
    assets, count, _ = values.shape
    ids = 1 + np.arange(assets * SENSORS).reshape(assets, SENSORS)
    detector = build_assets(
        [
            AssetSpec(asset_id=asset, sensor_ids=tuple(own), parameters={"warmup": WARM, "every_s": 1.0, "budget": 1.0})
            for asset, own in enumerate(ids.tolist())
        ]
    )
    found = detector.fold(
        ReadingBatch.of(
            np.tile(np.arange(count) * S, ids.size),
            np.repeat(ids.ravel(), count),
            values.transpose(0, 2, 1).ravel(),
            np.zeros(ids.size * count),
        )
    )
    order = np.lexsort((found.time, found.asset_id))
    table = found.score[order].reshape(len(MACHINES), len(SEEDS), AFTER)
    return dict(zip(MACHINES, table, strict=True))


def test_the_ends_of_a_curved_range_are_no_anomaly(scores: Mapping[str, Values]) -> None:
    assert scores["at_the_end_of_its_range"].max() < ALARM


def test_a_sensor_that_leaves_the_others_in_the_middle_of_the_range_is_an_anomaly(scores: Mapping[str, Values]) -> None:
    assert scores["off_its_relations"][:, :300].max() < ALARM
    assert scores["off_its_relations"][:, 340:].min() > ALARM


def test_an_operating_point_far_beyond_all_that_was_seen_is_an_anomaly(scores: Mapping[str, Values]) -> None:
    assert scores["far_beyond"][:, :300].max() < ALARM
    assert scores["far_beyond"][:, 340:].min() > ALARM


def test_noise_teaches_nothing_that_dulls_the_detector(scores: Mapping[str, Values]) -> None:
    assert scores["unrelated"][:, :300].max() < ALARM
    assert np.mean(scores["unrelated"][:, 340:] > ALARM) > 0.98


def test_what_goes_apart_while_a_machine_changes_may_do_so_whenever_it_changes() -> None:
    random = np.random.default_rng(1)
    smoothing = np.full(1, 0.1)
    state = State.fresh(1, 2)
    operating_point.begin(state, np.array([[1.0, 0.0]]), np.eye(2)[None])
    level = np.repeat(random.choice([-1.0, 1.0], 40), 100)
    slow = lfilter([0.01], [1.0, -0.99], level)
    for place, apart in zip(level, (level - slow) * random.standard_normal(level.size), strict=True):
        state.smooth[:] = [[place, apart]]
        operating_point.note(state, smoothing)
    state.first_sigma[:] = 1.0
    operating_point.settle(state, np.array([[-1.0, 0.0]]), state.mean, np.full((1, 2), 200.0))
    many = np.full(1, 1e9)

    def factor(place: float) -> float:
        return float(operating_point.widening(state, np.array([[place, 0.0]]), many, smoothing)[0][0])

    for _ in range(1000):
        at_rest = factor(0.5)
    assert at_rest == pytest.approx(1.0)
    assert factor(2.0) > 2.0
    assert factor(-1.0) > 2.0
