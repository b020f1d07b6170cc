"""Figures that need no limit, against cases worked out by hand and another implementation."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from models.evaluation.curves import average_precision, pooled, precision_recall, prevalence, vus_pr
from models.evaluation.events import Run
from models.evaluation.points import point_adjusted, point_figures, row_figures


def run(score: Sequence[float], label: Sequence[int], train: int = 0) -> Run:
    return Run(
        name="run",
        time_s=np.arange(len(score), dtype=np.float64),
        score=np.array(score),
        label=np.array(label, np.bool_),
        train=train,
    )


LABELLED = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=60).filter(
    lambda rows: any(label for label, _ in rows)
)


@given(rows=LABELLED)
@settings(max_examples=40)
def test_average_precision_is_that_of_scikit_learn_ties_and_all(rows: list[tuple[bool, int]]) -> None:
    label, score = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], np.float64)

    assert average_precision(label, score) == pytest.approx(average_precision_score(label, score))
    assert average_precision(label, score) == pytest.approx(average_precision(label, np.exp(score)))


def test_random_scores_have_the_prevalence() -> None:
    generator = np.random.default_rng(1)
    label = generator.random(40_000) < 0.2

    assert average_precision(label, generator.random(40_000)) == pytest.approx(prevalence(label), abs=0.01)
    assert average_precision(label, np.ones(40_000)) == prevalence(label)


def test_an_unknown_score_ranks_below_every_known_one() -> None:
    label = np.array([True, False, True, False])

    assert average_precision(label, np.array([2.0, -5.0, np.nan, np.nan])) == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)
    _, recall, limit = precision_recall(label, np.array([2.0, -5.0, np.nan, np.nan]))
    assert recall.tolist() == [0.5, 0.5, 1.0]
    assert limit.tolist() == [2.0, -5.0, -np.inf]


def test_without_anything_anomalous_there_is_no_recall() -> None:
    with pytest.raises(ValueError, match="no row is anomalous"):
        average_precision(np.zeros(3, np.bool_), np.ones(3))
    with pytest.raises(ValueError, match="no row is anomalous"):
        vus_pr([run([1.0, 2.0], [0, 0])])
    assert np.isnan(prevalence(np.zeros(0, np.bool_)))


def test_rows_that_were_learned_from_are_in_no_curve() -> None:
    label, score = pooled([run([9, 1, 2], [1, 0, 1], train=1), run([3, 4], [0, 1])])

    assert label.tolist() == [False, True, False, True]
    assert score.tolist() == [1, 2, 3, 4]


def test_volume_with_no_tolerance_is_the_area() -> None:
    one = run([0.1, 0.9, 0.2, 0.8, 0.3], [0, 0, 1, 1, 0])

    # One event: each limit with a hit has found every event.
    assert vus_pr([one], widths=[0]) == pytest.approx(average_precision(one.label, one.score))


def test_volume_by_hand() -> None:
    # Rows 2 and 3 are the event; with a buffer of 2, rows 1 and 4 count sqrt(1 - 1/2) each.
    one = run([0, 4, 3, 2, 1], [0, 0, 1, 1, 0])
    edge = np.sqrt(0.5)
    whole = (2 + 2 + 2 * edge) / 2
    hits = np.array([edge, edge + 1, edge + 2, 2 * edge + 2, 2 * edge + 2])
    recall = np.minimum(hits / whole, 1.0)
    by_hand = np.sum(np.diff(recall, prepend=0) * hits / np.arange(1, 6))

    assert vus_pr([one], widths=[2]) == pytest.approx(by_hand)
    area = vus_pr([one], widths=[0])
    assert vus_pr([one], widths=[0, 2]) == pytest.approx((area + by_hand) / 2)


def test_volume_rewards_having_found_every_event() -> None:
    # Two events of one row; the second is found last, so until then half of the recall does not count.
    one = run([9, 1, 1, 1, 1, 0], [1, 0, 0, 0, 0, 1])
    by_hand = 0.5 * 0.5 * 1 + (1 - 0.25) * 2 / 6

    assert vus_pr([one], widths=[0]) == pytest.approx(by_hand)


def test_an_event_does_not_grow_into_the_next_run() -> None:
    event, quiet = run([0, 0, 0, 0, 2], [0, 0, 0, 0, 1]), run([9, 0, 0], [0, 0, 0])
    # Two rows before it, half of the buffer, and no more.
    grown = 1 + np.sqrt(0.75) + np.sqrt(0.5)
    recall = 1 / ((1 + grown) / 2)

    # The first row of the next run is the highest, and a miss in full.
    assert vus_pr([event, quiet], widths=[4]) == pytest.approx(recall / 2 + (1 - recall) * grown / 8)


@given(rows=LABELLED)
@settings(max_examples=40)
def test_volume_stays_between_nothing_and_one_and_forgives(rows: list[tuple[bool, int]]) -> None:
    one = run([float(row[1]) for row in rows], [row[0] for row in rows])

    assert 0 <= vus_pr([one], widths=[0, 3, 8]) <= 1 + 1e-12
    assert vus_pr([run([float(row[0]) for row in rows], [row[0] for row in rows])], widths=[0]) == pytest.approx(1.0)


def test_points_and_why_point_adjusted_ones_are_worthless() -> None:
    label = np.zeros(10_000, np.bool_)
    label[2000:6000] = True
    random = np.random.default_rng(0).random(10_000) < 0.005

    adjusted = point_adjusted(label, random)

    assert adjusted.f1 > 0.9
    assert point_figures(label, random).f1 < 0.02
    always = point_figures(label, np.ones(10_000, np.bool_))
    assert [always.precision, always.recall, always.f1] == pytest.approx([0.4, 1.0, 0.8 / 1.4])
    assert np.isnan(point_figures(label, np.zeros(10_000, np.bool_)).precision)


def test_rows_of_runs_are_told_with_their_warning() -> None:
    told = row_figures([run([2, 0, 0], [1, 1, 0]), run([0, 0, 2], [0, 1, 1])])

    assert told["point_f1"] == pytest.approx(2 / 3)
    assert told["point_adjusted_f1"] == 1.0
    assert "always alarm" in str(told["warning"])
