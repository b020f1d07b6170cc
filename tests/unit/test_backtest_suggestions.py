"""Limits and deadbands out of history."""

import numpy as np
import pytest

from rules.definition import Rule
from rules.events import Side
from rules.signal import Quality
from rules.suggestions import Histories, candidates, propose, value_rules
from telemetry.batch import ReadingBatch
from telemetry.quality import Quality as ReadingQuality

SECOND = 1_000_000


def rule(*, high_high: float | None = None, high: float | None = None, low: float | None = None) -> Rule:
    return Rule(
        id=1, name="hot", sensor_id=1, sensor_name="P-1.temp", asset_id=1, unit="degC",
        high_high=high_high, high=high, low=low,
    )  # fmt: skip


def histories(value: np.ndarray, states: list[tuple[int, float]] | None = None, pieces: int = 1) -> Histories:
    found = Histories([1], [2])
    if states:
        found.note(ReadingBatch.of([at * SECOND for at, _ in states], [2] * len(states), [v for _, v in states]))
    for part in np.array_split(np.arange(value.size), pieces):
        found.note(ReadingBatch.of(part * SECOND, np.ones(part.size), value[part]))
    return found


def test_percentiles_are_those_of_the_values() -> None:
    value = np.random.default_rng(1).permutation(np.arange(20_000.0))
    history, running_only = histories(value).of(1, None, 1.0)

    (found,) = propose(rule(high=5.0), history, quantity="", span=None, running_only=running_only)

    assert not running_only
    assert found.limits == {99.0: 19_800.0, 99.9: 19_980.0, 99.99: 20_000.0}
    assert found.median == 9999.5


def test_a_low_limit_stands_at_the_other_end() -> None:
    history, _ = histories(np.arange(10_001.0)).of(1, None, 1.0)

    high, low = propose(rule(low=5.0, high=9.0), history, quantity="", span=None, running_only=False)

    assert (high.side, low.side) == (Side.HIGH, Side.LOW)
    assert low.limits == pytest.approx({99.0: 100.0, 99.9: 10.0, 99.99: 1.0})


def test_only_values_while_running_count() -> None:
    value = np.where(np.arange(2000) < 1000, 50.0, 0.0)
    history, running_only = histories(value, [(0, 1.0), (1000, 0.0)]).of(1, 2, 1.0)

    (found,) = propose(rule(high=5.0), history, quantity="", span=None, running_only=running_only)

    assert running_only
    assert (found.values, found.median) == (1000, 50.0)


def test_a_machine_that_never_ran_gets_no_proposal() -> None:
    history, running_only = histories(np.arange(1000.0), [(0, 0.0)]).of(1, 2, 1.0)

    assert running_only
    assert propose(rule(high=5.0), history, quantity="", span=None, running_only=True) == ()


def test_noise_is_that_of_the_readings_not_of_the_machine() -> None:
    noisy = np.random.default_rng(2).normal(0, 0.5, 50_000)
    drifting = np.linspace(0, 400, noisy.size) + noisy
    drifting[30_000:] += 1000.0
    history, _ = histories(drifting).of(1, None, 1.0)

    assert history.noise == pytest.approx(0.5, rel=0.03)


def test_noise_of_coarse_digits_is_not_nothing() -> None:
    value = np.where(np.arange(1000) % 10 == 0, 21.0, 20.0)
    history, _ = histories(value).of(1, None, 1.0)

    assert history.noise > 0.1


@pytest.mark.parametrize(
    ("quantity", "deadband"),
    [
        ("volume flow", 5.0),
        ("level", 5.0),
        ("gauge pressure", 2.0),
        ("temperature", 1.0),
        ("vibration velocity RMS", 0.0),
    ],
)
def test_a_deadband_is_at_least_what_is_custom_for_the_quantity(quantity: str, deadband: float) -> None:
    history, _ = histories(np.full(1000, 20.0)).of(1, None, 1.0)

    (found,) = propose(rule(high=50.0), history, quantity=quantity, span=100.0, running_only=False)

    assert found.deadband == deadband


def test_a_noisy_value_gets_three_times_its_noise() -> None:
    history, _ = histories(np.random.default_rng(3).normal(20, 4.0, 20_000)).of(1, None, 1.0)

    (found,) = propose(rule(high=50.0), history, quantity="temperature", span=100.0, running_only=False)

    assert found.deadband == pytest.approx(12.0, rel=0.05)


def test_a_long_history_is_thinned_evenly_whatever_the_batches() -> None:
    value = np.arange(500_000.0)

    once, _ = histories(value).of(1, None, 1.0)
    often, _ = histories(value, pieces=37).of(1, None, 1.0)

    assert 32_768 <= once.value.size <= 65_536
    assert np.unique(np.diff(once.value)).size == 1
    np.testing.assert_array_equal(once.value, often.value)
    # The step is the one to the reading before, not to the one before in the sample.
    assert set(often.step[1:].tolist()) == {1.0}


def test_bad_readings_are_no_history() -> None:
    found = Histories([1], [])
    quality = np.where(np.arange(300) % 3 == 0, ReadingQuality.BAD, ReadingQuality.GOOD)
    found.note(
        ReadingBatch.of(np.arange(300), np.ones(300), np.where(quality == ReadingQuality.BAD, 1e9, 7.0), quality)
    )
    history, _ = found.of(1, None, 1.0)

    assert (history.value.size, history.value.max()) == (200, 7.0)


def test_candidates_differ_in_limit_and_deadband_alone() -> None:
    history, _ = histories(np.arange(10_001.0)).of(1, None, 1.0)
    watched = rule(high=5.0, high_high=9.0)

    pairs = candidates(propose(watched, history, quantity="flow", span=100.0, running_only=False))

    assert [(bare.rule.high, bare.rule.deadband, steady.rule.deadband) for bare, steady in pairs] == [
        (9900.0, 0.0, 5.0),
        (9990.0, 0.0, 5.0),
        (9999.0, 0.0, 5.0),
    ]
    rules = [each.rule for pair in pairs for each in pair]
    assert len({each.id for each in rules}) == len({each.name for each in rules}) == 6
    assert {each.high_high for each in rules} == {None}


def test_only_limits_on_plain_values_are_proposed() -> None:
    quality = Rule(id=2, name="q", sensor_id=1, sensor_name="P-1.temp", asset_id=1, unit="", signal=Quality())

    assert value_rules([rule(high=5.0), quality]) == (rule(high=5.0),)
