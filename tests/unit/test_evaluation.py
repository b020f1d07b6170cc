"""The whole fold: detectors and rules together, in any cut, resumed at any moment."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from precursor.evaluation import Evaluation
from rules.definition import Priority, Rule
from rules.events import ChangeKind
from telemetry.batch import ReadingBatch
from telemetry.journal import Recovered, Tick
from telemetry.plant import Asset, DetectorSpec, Plant, Sensor, SensorKind

STATE, VIBRATION, SCORE, UNWATCHED = 1, 2, 3, 4
SECOND = 1_000_000


def sensor(id_: int, kind: SensorKind, **more: object) -> Sensor:
    return Sensor(id=id_, name=f"P.{id_}", asset_id=1, kind=kind, quantity="", unit="", site="s", **more)  # type: ignore[arg-type] # passed through


PLANT = Plant(
    revision=1,
    assets=(Asset(id=1, name="P", title="", parent_id=None, site="s", area="a", asset_class="pump", criticality=3),),
    sensors=(
        sensor(STATE, SensorKind.STATE),
        sensor(VIBRATION, SensorKind.MEASURED, detector=DetectorSpec(kind="ewma", parameters={"warmup": 20})),
        sensor(SCORE, SensorKind.DERIVED, computed="score", source_id=VIBRATION),
        sensor(UNWATCHED, SensorKind.MEASURED),
    ),
)


def rule(id_: int, sensor_id: int, high: float, on_delay_s: float) -> Rule:
    return Rule(
        id=id_,
        name=f"rule-{id_}",
        sensor_id=sensor_id,
        sensor_name=f"P.{sensor_id}",
        asset_id=1,
        unit="",
        high=high,
        low=None,
        on_delay_s=on_delay_s,
        priority=Priority.MEDIUM,
    )


RULES = (rule(1, SCORE, 1.0, 3.0), rule(2, VIBRATION, 50.0, 0.0))


def history(count: int = 300, fault_from: int = 200) -> ReadingBatch:
    """A reading a second of each sensor, the vibration shifted by ten sigmas from `fault_from` on."""
    noise = np.random.default_rng(5).normal(10.0, 1.0, count)
    noise[fault_from:] += 10.0
    time = np.repeat(np.arange(count), 3) * SECOND
    ids = np.tile([STATE, VIBRATION, UNWATCHED], count)
    value = np.stack([np.ones(count), noise, noise], axis=1).ravel()
    return ReadingBatch.of(time, ids, value)


def test_a_shift_raises_the_score_and_the_score_raises_the_alarm() -> None:
    evaluation = Evaluation(PLANT, RULES, report_s=1.0)
    folded = evaluation.fold(evaluation.select(history()))
    raised = [change for change in folded.changes if change.kind is ChangeKind.RAISED]
    assert [change.rule.id for change in raised] == [1]
    assert 200 < raised[0].began_at.timestamp() < 220
    assert set(folded.derived.sensor_id.tolist()) == {SCORE}
    assert len(folded.derived) == 280, "no score while warming up, not a zero"


def test_readings_that_nothing_looks_at_are_not_folded() -> None:
    evaluation = Evaluation(PLANT, RULES)
    assert UNWATCHED not in evaluation.select(history()).sensor_id


def test_nothing_is_scored_while_the_machine_is_stopped() -> None:
    stopped = history()
    value = stopped.value.copy()
    value[stopped.sensor_id == STATE] = 0.0
    evaluation = Evaluation(PLANT, RULES)
    folded = evaluation.fold(ReadingBatch.of(stopped.time, stopped.sensor_id, value))
    assert len(folded.derived) == 0


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 900), max_size=8), checkpoint=st.integers(0, 8))
def test_any_cut_and_a_resume_from_checkpoint_and_journal_give_the_same_scores_and_alarms(
    cuts: list[int], checkpoint: int
) -> None:
    batch = history()
    one = Evaluation(PLANT, RULES)
    whole = one.fold(one.select(batch))

    edges = [0, *sorted(cuts), len(batch)]
    parts = [batch.take(np.arange(begin, end)) for begin, end in pairwise(edges)]
    current = Evaluation(PLANT, RULES)
    saved: dict[str, bytes] = {}
    journal: list[ReadingBatch | Tick] = []
    scores: list[ReadingBatch] = []
    keys: set[tuple[str, str]] = set()
    for number, part in enumerate(parts):
        watched = current.select(part)
        journal.append(watched)
        folded = current.fold(watched)
        scores.append(folded.derived)
        keys |= {(change.key, change.kind) for change in folded.changes if change.kind is not ChangeKind.PEAK}
        if number == checkpoint:
            saved, journal = current.snapshot(), []
        # kill -9: all that is left is the checkpoint and the journal
        current = Evaluation(PLANT, RULES)
        again = current.resume(Recovered(parts=saved, entries=tuple(journal)))
        assert {(change.key, change.kind) for change in again if change.kind is not ChangeKind.PEAK} <= keys

    assert np.array_equal(ReadingBatch.concat(scores).value, whole.derived.value), "bit for bit"
    assert keys == {(change.key, change.kind) for change in whole.changes if change.kind is not ChangeKind.PEAK}


def test_a_delay_runs_out_by_a_tick_and_the_tick_repeats_from_the_journal() -> None:
    evaluation = Evaluation(PLANT, (rule(2, VIBRATION, 5.0, 60.0),))
    reading = ReadingBatch.of([0], [VIBRATION], [9.0])
    evaluation.fold(reading)
    assert evaluation.waiting().tolist() == [VIBRATION]
    tick = Tick(sensor_id=np.array([VIBRATION], np.int32), now=np.array([61 * SECOND]))
    [raised] = evaluation.tick(tick).changes
    assert (raised.kind, raised.began_at.timestamp()) == (ChangeKind.RAISED, 60.0)

    resumed = Evaluation(PLANT, (rule(2, VIBRATION, 5.0, 60.0),))
    again = resumed.resume(Recovered(parts={}, entries=(reading, tick)))
    assert [change.key for change in again] == [raised.key]
    assert not resumed.waiting().size or resumed.tick(tick).changes == ()


def test_the_delay_of_an_alarm_on_a_score_runs_out_when_what_it_is_of_falls_silent() -> None:
    evaluation = Evaluation(PLANT, (rule(1, SCORE, 1.0, 3600.0),))
    batch = history()
    assert evaluation.fold(evaluation.select(batch)).changes == ()
    assert evaluation.waiting().tolist() == [VIBRATION], "nobody sends a score"
    until = int(batch.time.max()) + 2 * 3600 * SECOND
    changes = evaluation.tick(Tick(sensor_id=np.array([VIBRATION], np.int32), now=np.array([until]))).changes
    assert [change.kind for change in changes] == [ChangeKind.RAISED]
