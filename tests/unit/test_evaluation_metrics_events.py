"""Events found and false alarms, against cases counted by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.baselines import always, at_random, by_chance, ewma_z
from models.evaluation.events import Run, judge_events


def run(score: npt.ArrayLike, label: npt.ArrayLike, *, train: int = 0, step_s: float = 1.0) -> Run:
    return Run(
        name="run",
        time_s=np.arange(np.size(score), dtype=np.float64) * step_s,
        score=np.array(score, np.float64),
        label=np.array(label, np.bool_),
        train=train,
    )


def stretch(*parts: tuple[int, float]) -> list[float]:
    """So many rows of each value."""
    return [value for count, value in parts for _ in range(count)]


LABEL = [int(value) for value in stretch((100, 0), (50, 1), (100, 0))]


@pytest.mark.parametrize(
    ("score", "delay_s"),
    [
        pytest.param(stretch((110, 0), (5, 1), (135, 0)), 10.0, id="starts inside"),
        pytest.param(stretch((100, 0), (150, 2)), 0.0, id="starts with it and never ends"),
        pytest.param(stretch((99, 0), (151, 2)), None, id="starts a row before"),
        pytest.param(stretch((20, 0), (230, 2)), None, id="stands since long before"),
        pytest.param(stretch((85, 0), (4, 2), (31, 0), (10, 2), (120, 0)), 20.0, id="was over 11 s before"),
        pytest.param(stretch((85, 0), (6, 2), (29, 0), (10, 2), (120, 0)), None, id="stood 10 s before"),
        pytest.param(stretch((160, 0), (90, 2)), None, id="starts after it"),
        pytest.param(stretch((250, 0.999)), None, id="stays below the limit"),
        pytest.param(stretch((90, 2), (20, np.nan), (140, 2)), None, id="is not known over the onset"),
        pytest.param(stretch((100, np.nan), (150, 2)), 0.0, id="nothing is known before"),
        pytest.param(stretch((100, 0), (10, np.nan), (140, 2)), 10.0, id="is known late"),
        pytest.param(stretch((100, 0), (150, np.inf)), 0.0, id="is infinite"),
    ],
)
def test_an_event_is_detected_by_an_alarm_that_starts_inside_after_quiet(
    score: Sequence[float], delay_s: float | None
) -> None:
    found = judge_events([run(score, LABEL)])

    assert found.events == 1
    assert found.outcomes[0].delay_s == delay_s
    assert found.missed == (("run",) if delay_s is None else ())


def test_an_alarm_that_stands_since_the_row_before_started_there_however_long_ago_that_was() -> None:
    score, label = [0, 0, 2, 2, 2, 0], [0, 0, 0, 1, 1, 0]

    assert judge_events([run(score, label, step_s=3600.0)]).detected == 0
    assert judge_events([run(np.roll(score, 1), label, step_s=3600.0)]).detected == 1


@pytest.mark.parametrize(
    ("score", "false_alarms", "share"),
    [
        pytest.param(stretch((250, 0)), 0, 0.0, id="none"),
        pytest.param(stretch((10, 0), (1, 1), (30, 0), (1, 1), (208, 0)), 2, 2 / 200, id="31 s apart are two"),
        pytest.param(stretch((10, 0), (1, 1), (29, 0), (1, 1), (209, 0)), 1, 2 / 200, id="30 s apart are one"),
        pytest.param(stretch((120, 0), (50, 1), (80, 0)), 0, 20 / 200, id="a tail is charged, not counted"),
        pytest.param(stretch((120, 0), (50, 1), (40, 0), (9, 1), (31, 0)), 1, 29 / 200, id="another after the tail"),
        pytest.param(stretch((90, 0), (20, 1), (140, 0)), 1, 10 / 200, id="begins before the event"),
        pytest.param(stretch((250, 1)), 1, 1.0, id="one endless alarm"),
        pytest.param(stretch((100, np.nan), (50, 0), (100, 0)), 0, 0.0, id="unknown time is not normal time"),
    ],
)
def test_false_alarms_are_episodes_and_their_time_is_charged(
    score: Sequence[float], false_alarms: int, share: float
) -> None:
    found = judge_events([run(score, LABEL)])

    unknown = int(np.isnan(score).sum())
    assert found.false_alarms == false_alarms
    assert found.alarm_share_of_normal == pytest.approx(share)
    assert found.normal_h == pytest.approx((200 - unknown) / 3600)
    assert found.coverage == pytest.approx(1 - unknown / 250)


def test_what_was_learned_from_is_not_judged() -> None:
    score, label = stretch((50, 2), (100, 0)), [0] * 20 + [1] * 40 + [0] * 90

    found = judge_events([run(score, label, train=55)])

    assert (found.events, found.false_alarms) == (0, 0)
    assert found.normal_h == pytest.approx(90 / 3600)


def test_time_in_which_nothing_was_measured_was_not_watched() -> None:
    time_s = np.concatenate((np.arange(60.0), 86_400 + np.arange(60.0)))
    gap = Run(name="gap", time_s=time_s, score=np.zeros(120), label=np.zeros(120, np.bool_))

    assert judge_events([gap]).normal_h == pytest.approx(120 / 3600)


def test_alarms_of_two_runs_are_never_one() -> None:
    alarm = run(stretch((1, 1), (99, 0)), [0] * 100)

    assert judge_events([alarm, alarm]).false_alarms == 2


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"time_s": np.array([0.0, 2.0, 2.0])}, id="time stands still"),
        pytest.param({"score": np.zeros(4)}, id="another length"),
        pytest.param({"label": np.zeros(3)}, id="labels are numbers"),
        pytest.param({"train": 4}, id="trained beyond the end"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(broken: dict[str, Any]) -> None:
    sound: dict[str, Any] = {"time_s": np.arange(3.0), "score": np.zeros(3), "label": np.zeros(3, np.bool_)}

    with pytest.raises(ValueError, match="run:"):
        Run(name="run", **sound | broken)


ROWS = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 3.0, np.nan]), st.booleans()), min_size=1, max_size=120)


@settings(max_examples=50)
@given(rows=ROWS, step_s=st.sampled_from([0.1, 1.0, 600.0]))
def test_always_crying_detects_nothing_and_pays_for_all_its_time(rows: list[tuple[float, bool]], step_s: float) -> None:
    runs = [run([score for score, _ in rows], [label for _, label in rows], step_s=step_s)]

    found = judge_events(always(runs))

    assert found.detected == 0
    assert found.events == judge_events(runs).events
    normal = any(not label for _, label in rows) and len(rows) > 1
    assert found.alarm_share_of_normal == 1.0 if normal else np.isnan(found.alarm_share_of_normal)


@settings(max_examples=50)
@given(rows=ROWS, shift_s=st.floats(-1e6, 1e6), factor=st.sampled_from([0.5, 2.0, 64.0]))
def test_the_clock_and_the_scale_do_not_matter(rows: list[tuple[float, bool]], shift_s: float, factor: float) -> None:
    one = run([score for score, _ in rows], [label for _, label in rows])
    # A whole number of seconds: the bounds of the windows must not fall between floats.
    other = Run(
        name="run", time_s=one.time_s + np.floor(shift_s), score=one.score * factor, label=one.label, train=one.train
    )

    found, moved = judge_events([one]), judge_events([other], limit=factor)

    assert moved.delays_s == found.delays_s
    assert moved.false_alarms == found.false_alarms
    assert moved.normal_h == pytest.approx(found.normal_h)


def test_random_alarms_are_as_many_and_as_long_and_know_nothing() -> None:
    generator = np.random.default_rng(5)
    runs = []
    for _ in range(20):
        label = np.zeros(1000, np.bool_)
        label[600:700] = True
        score = np.where(label, 2.0, generator.random(1000) * 0.5)
        runs.append(run(score, label, train=200))

    turned = at_random(runs, seed=3)
    chance = by_chance(runs, seed=3, throws=30)

    assert judge_events(runs).detected == 20
    assert [np.sort(each.score).tolist() for each in turned] == [np.sort(each.score).tolist() for each in runs]
    assert all((mine.score[:200] == other.score[:200]).all() for mine, other in zip(runs, turned, strict=True))
    # An alarm of 100 rows lands in 800 at random: it starts inside in an eighth.
    assert chance.detected == pytest.approx(20 / 8, abs=1.0)
    assert by_chance(runs, seed=3, throws=3) == by_chance(runs, seed=3, throws=3)


def test_the_plain_chart_alarms_at_twice_what_it_learned_from() -> None:
    values = np.column_stack((np.tile([9.0, 11.0], 100), np.full(200, 7.0)))
    values[150:, 0] += 1.0
    values[170, 1] = np.nan

    score = ewma_z(values, 100, weight=1.0)

    # z is 1 all the while, of the column that moves; the mean of both is a half, and so the limit is at 1.
    assert np.isnan(score[:100]).all()
    assert score[100:150] == pytest.approx(0.5)
    assert score[150:] == pytest.approx(np.tile([0.0, 1.0], 25))
