"""Prognoses held against what happened, by cases worked out by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.life.prognosis import EndOfLife, Outcome, Prognosis, RemainingLife
from models.life.scoring import phm12, prognostic_horizon_s, score_prognosis, summarise

NEW = datetime(2026, 1, 1, tzinfo=UTC)
UNKNOWN = RemainingLife(reason="no trend")


def _prognosis(at_s: float, points: tuple[float, float, float] | None, *, asset: str = "P-101") -> Prognosis:
    remaining = UNKNOWN if points is None else RemainingLife(p10_s=points[0], p50_s=points[1], p90_s=points[2])
    at = NEW + timedelta(seconds=at_s)
    return Prognosis(
        asset=asset,
        failure_mode="bearing",
        made_at=at,
        method="trend",
        model_version="trend/1",
        remaining=remaining,
        limit=11.0,
        inputs_from=NEW,
        inputs_until=at,
    )


def _outcome(at_s: float, end: EndOfLife = "failure", *, asset: str = "P-101", began: bool = True) -> Outcome:
    return Outcome(
        asset=asset,
        failure_mode="bearing",
        at=NEW + timedelta(seconds=at_s),
        end=end,
        began=NEW if began else None,
    )


@pytest.mark.parametrize(
    "points",
    [
        {"p10_s": 1.0},
        {"p10_s": 2.0, "p50_s": 1.0, "p90_s": 3.0},
        {"p10_s": -1.0, "p50_s": 1.0, "p90_s": 3.0},
        {"p10_s": 1.0, "p50_s": 2.0, "p90_s": float("inf")},
        {"p10_s": 1.0, "p50_s": 2.0, "p90_s": 3.0, "reason": "none"},
        {"p10_s": 1.0, "p50_s": float("nan"), "p90_s": 3.0},
        {},
    ],
)
def test_half_an_answer_is_refused(points: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="s"):
        RemainingLife(**points)


def test_a_failure_judges_everything() -> None:
    found = score_prognosis(_prognosis(100, (50, 90, 130)), _outcome(200))

    assert found.actual_s == 100
    assert found.error_s == -10
    assert found.relative_accuracy == pytest.approx(0.9)
    assert found.within_alpha is True
    assert found.covered is True
    assert score_prognosis(_prognosis(100, (50, 79, 90)), _outcome(200)).within_alpha is False
    assert score_prognosis(_prognosis(100, (50, 79, 90)), _outcome(200)).covered is False


def test_a_repair_can_only_prove_a_prognosis_wrong() -> None:
    early, late = (
        score_prognosis(_prognosis(100, points), _outcome(200, "repair")) for points in ((5, 9, 20), (50, 150, 300))
    )

    assert (early.covered, early.error_s) == (False, -91)
    assert (late.covered, late.error_s, late.within_alpha) == (None, None, None)


def test_no_answer_has_no_error() -> None:
    found = score_prognosis(_prognosis(100, None), _outcome(200))

    assert (found.error_s, found.covered, found.within_alpha, found.relative_accuracy) == (None, None, None, None)


def test_a_prognosis_is_not_judged_by_what_it_was_not_about() -> None:
    with pytest.raises(ValueError, match="not scored"):
        score_prognosis(_prognosis(0, (1, 2, 3)), _outcome(10, asset="P-102"))
    with pytest.raises(ValueError, match="before"):
        score_prognosis(_prognosis(20, (1, 2, 3)), _outcome(10))


def test_the_score_of_2012_halves_with_5_percent_late_and_20_percent_early() -> None:
    found = phm12([100, 110, 60, 105, 80], [100] * 5)

    assert found.tolist() == pytest.approx([1, 0.25, 0.25, 0.5, 0.5])


def _horizon(p50: Sequence[float], *, tolerance_s: float) -> float | None:
    outcome = _outcome(100)
    scores = [score_prognosis(_prognosis(10.0 * at, (0, value, 1e6)), outcome) for at, value in enumerate(p50)]
    return prognostic_horizon_s(scores, tolerance_s=tolerance_s)


def test_the_horizon_begins_where_prognoses_stay_right() -> None:
    # True: 100, 90, 80, 70, 60. The second is right by chance, the third is wrong again.
    assert _horizon([50, 92, 40, 72, 58], tolerance_s=5) == 70
    assert _horizon([50, 92, 40, 72, 40], tolerance_s=5) is None
    assert _horizon([100, 90, 80, 70, 60], tolerance_s=0) == 100


def test_each_prognosis_is_held_against_the_next_end_of_its_asset() -> None:
    prognoses = [_prognosis(at, (10, 40, 80)) for at in (60, 160, 900)]
    outcomes = [_outcome(200), _outcome(100), _outcome(130, asset="P-102")]

    found = summarise(prognoses, outcomes)["prognoses"]

    # 60 -> 100 and 160 -> 200; nothing is known yet of the one at 900.
    assert (found.prognoses, found.lives) == (2, 2)
    assert found.mean_absolute_error_s == 0
    assert found.coverage == 1
    assert found.phm12 == 1


def test_figures_of_a_set_beside_the_mean_life() -> None:
    prognoses = [_prognosis(0, (10, 60, 150)), _prognosis(50, (10, 20, 30)), _prognosis(80, None)]

    found = summarise(prognoses, [_outcome(100)], mean_life_s=200.0, unit_s=1.0)

    own, mean = found["prognoses"], found["mean life"]
    assert (own.prognoses, own.answered) == (3, 2)
    assert own.coverage == 0.5
    assert own.after_p90 == 0.5
    assert own.before_p10 == 0
    assert own.mean_error_s == -35
    assert own.rmse_s == pytest.approx(((40**2 + 30**2) / 2) ** 0.5)
    # 200 - 0 for 100, and 200 - 50 for 50.
    assert (mean.prognoses, mean.mean_absolute_error_s) == (2, 100)
    assert (mean.phm08 or 0) > (own.phm08 or 0) > 0


def test_an_answer_beyond_all_measure_costs_without_end() -> None:
    found = summarise([_prognosis(0, (1, 1e6, 2e6))], [_outcome(100)], unit_s=1.0)

    assert found["prognoses"].phm08 == float("inf")


def test_a_mean_life_that_is_over_leaves_nothing() -> None:
    found = summarise([_prognosis(90, (1, 2, 30))], [_outcome(100)], mean_life_s={"P-101": 50.0})

    assert found["mean life"].mean_error_s == -10


def test_nothing_to_judge_is_none() -> None:
    found = summarise([_prognosis(0, None)], [_outcome(100, began=False)], mean_life_s=100.0)

    assert set(found) == {"prognoses"}
    assert found["prognoses"].answered == 0
    assert found["prognoses"].coverage is None
    assert found["prognoses"].rmse_s is None
    assert found["prognoses"].horizon_s is None
    assert summarise([], [])["prognoses"].prognoses == 0
