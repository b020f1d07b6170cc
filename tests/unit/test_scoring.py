"""All kinds of detectors in the fold together: cut anywhere, killed anywhere, they say the same; repairs begin anew."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from precursor.evaluation import Evaluation
from rules.definition import Priority, Rule
from rules.events import ChangeKind
from telemetry.batch import ReadingBatch
from telemetry.journal import Entry, Rebaseline, Recovered
from telemetry.plant import Asset, DetectorSpec, Plant, Sensor, SensorKind
from telemetry.quality import Quality

S = 1_000_000
STATE, SPEED, VIB, TEMP, FLOW = 1, 2, 3, 4, 5
VIB_SCORE, TEMP_SCORE, ANOMALY, VIB_SHARE, TEMP_SHARE, FLOW_SHARE, TEMP_FAULT, FLOW_FAULT = range(11, 19)
WARM = {"warmup": 60.0}
JOINT = DetectorSpec(kind="joint", parameters={**WARM, "every_s": 1.0}, sensors=("vib", "temp", "flow"))


def asset(id_: int, name: str, **more: object) -> Asset:
    return Asset(
        id=id_, name=name, title="", site="s", area="a", asset_class="pump", criticality=3,
        **{"parent_id": None, **more},  # type: ignore[arg-type] # passed through
    )  # fmt: skip


def sensor(id_: int, name: str, kind: SensorKind = SensorKind.MEASURED, **more: object) -> Sensor:
    given = {"quantity": "", "unit": "", "asset_id": 2, **more}
    return Sensor(id=id_, name=name, kind=kind, site="s", **given)  # type: ignore[arg-type] # passed through


def derived(id_: int, computed: str, source: int | None) -> Sensor:
    return sensor(id_, f"P.{source}.{computed}", SensorKind.DERIVED, computed=computed, source_id=source)


PLANT = Plant(
    revision=1,
    assets=(
        asset(1, "line"),
        asset(2, "P", parent_id=1, detector=JOINT),
    ),
    sensors=(
        sensor(STATE, "state", SensorKind.STATE),
        sensor(SPEED, "speed"),
        sensor(VIB, "vib", detector=DetectorSpec(kind="conditioned", parameters=WARM, sensors=("speed",))),
        sensor(TEMP, "temp", detector=DetectorSpec(kind="auto", parameters={**WARM, "warmup_h": 0.0})),
        sensor(FLOW, "flow"),
        derived(VIB_SCORE, "score", VIB),
        derived(TEMP_SCORE, "score", TEMP),
        derived(ANOMALY, "anomaly", None),
        *(derived(id_, "contribution", of) for id_, of in ((VIB_SHARE, VIB), (TEMP_SHARE, TEMP), (FLOW_SHARE, FLOW))),
        derived(TEMP_FAULT, "sensor_fault", TEMP),
        derived(FLOW_FAULT, "sensor_fault", FLOW),
    ),
)  # fmt: skip
RULES = tuple(
    Rule(
        id=id_, name="anomaly", sensor_id=id_, sensor_name=f"P.{id_}", asset_id=2, unit="", high=1.0, low=None,
        priority=Priority.LOW,
    )
    for id_ in (TEMP_SCORE, ANOMALY)
)  # fmt: skip


def history(count: int = 400, *, first: int = 0, hotter: float = 0.0) -> ReadingBatch:
    """A reading a second of each sensor, in order of time; vibration follows the speed, which goes up and down."""
    random = np.random.default_rng(3 + first)
    second = np.arange(first, first + count)
    speed = 1000 + 400 * np.sin(second / 25) + random.normal(0, 5, count)
    columns = {
        STATE: np.ones(count),
        SPEED: speed,
        VIB: 2 + speed / 500 + random.normal(0, 0.05, count),
        TEMP: 50 + random.normal(0, 1, count) + hotter,
        FLOW: 100 + random.normal(0, 1, count),
    }
    ids = np.tile(list(columns), count)
    return ReadingBatch.of(np.repeat(second, 5) * S, ids, np.stack(list(columns.values()), axis=1).ravel())


def of(batch: ReadingBatch, sensor_id: int) -> ReadingBatch:
    return batch.take(batch.sensor_id == sensor_id)


def test_every_detector_has_its_say_where_the_plant_wants_it() -> None:
    evaluation = Evaluation(PLANT, RULES, report_s=1.0)
    quiet = evaluation.fold(evaluation.select(history()))
    assert {VIB_SCORE, TEMP_SCORE, ANOMALY} <= set(quiet.derived.sensor_id.tolist())
    assert quiet.changes == ()
    hot = evaluation.fold(evaluation.select(history(120, first=400, hotter=12.0)))
    assert {change.rule.id for change in hot.changes if change.kind is ChangeKind.RAISED} == {TEMP_SCORE, ANOMALY}
    assert np.median(of(hot.derived, TEMP_SHARE).value) > 0.8, "it is the temperature"
    assert of(hot.derived, VIB_SCORE).value.max() < 1.0


def test_bad_and_stale_readings_have_no_score() -> None:
    evaluation = Evaluation(PLANT, RULES, report_s=1.0)
    evaluation.fold(evaluation.select(history()))
    later = history(60, first=400, hotter=1e6)
    for quality in (Quality.BAD, Quality.STALE):
        batch = ReadingBatch.of(later.time, later.sensor_id, later.value, np.full(len(later), quality))
        folded = evaluation.fold(evaluation.select(batch))
        assert len(folded.derived) == 0
        assert folded.changes == ()


def test_a_machine_at_rest_is_not_scored() -> None:
    evaluation = Evaluation(PLANT, RULES, report_s=1.0)
    evaluation.fold(evaluation.select(history()))
    stopped = history(60, first=400, hotter=-50.0)
    value = np.where(stopped.sensor_id == STATE, 0.0, stopped.value)
    folded = evaluation.fold(evaluation.select(ReadingBatch.of(stopped.time, stopped.sensor_id, value)))
    assert not np.isin(folded.derived.sensor_id, [VIB_SCORE, TEMP_SCORE]).any()
    assert folded.changes == ()


@settings(max_examples=4, deadline=None)
@given(cuts=st.lists(st.integers(0, 2000), max_size=5), checkpoint=st.integers(0, 5))
def test_any_cut_and_a_resume_from_checkpoint_and_journal_give_bit_equal_scores(
    cuts: list[int], checkpoint: int
) -> None:
    batch = ReadingBatch.concat([history(), history(60, first=400, hotter=12.0)])
    one = Evaluation(PLANT, RULES, report_s=7.0)
    whole = one.fold(one.select(batch))

    current = Evaluation(PLANT, RULES, report_s=7.0)
    saved: dict[str, bytes] = {}
    journal: list[Entry] = []
    scores: list[ReadingBatch] = []
    for number, (begin, end) in enumerate(pairwise([0, *sorted(cuts), len(batch)])):
        watched = current.select(batch.take(np.arange(begin, end)))
        journal.append(watched)
        scores.append(current.fold(watched).derived)
        if number == checkpoint:
            saved, journal = current.snapshot(), []
        # kill -9: all that is left is the checkpoint and the journal
        current = Evaluation(PLANT, RULES, report_s=7.0)
        current.resume(Recovered(parts=saved, entries=tuple(journal)))
    parts, together = ReadingBatch.concat(scores).sorted(), whole.derived
    np.testing.assert_array_equal(parts.sensor_id, together.sensor_id)
    np.testing.assert_array_equal(parts.time, together.time)
    np.testing.assert_array_equal(parts.value, together.value)


def test_after_a_repair_what_is_usual_is_learned_anew_and_what_was_unusual_is_over() -> None:
    evaluation = Evaluation(PLANT, RULES, report_s=1.0)
    entries: list[Entry] = [evaluation.select(history()), evaluation.select(history(120, first=400, hotter=12.0))]
    for entry in entries:
        assert isinstance(entry, ReadingBatch)
        evaluation.fold(entry)
    repaired = Rebaseline(asset_id=np.array([1], np.int32), at=np.array([521 * S]))
    entries.append(repaired)
    ended = evaluation.rebaseline(repaired).changes
    assert {change.rule.id for change in ended if change.kind is ChangeKind.CLEARED} == {TEMP_SCORE, ANOMALY}
    after = evaluation.select(history(200, first=530, hotter=12.0))
    folded = evaluation.fold(after)
    assert int(of(folded.derived, TEMP_SCORE).time.min()) >= (530 + 60) * S, "it warms up anew"
    assert [change for change in folded.changes if change.kind is ChangeKind.RAISED] == []

    resumed = Evaluation(PLANT, RULES, report_s=1.0)
    resumed.resume(Recovered(parts={}, entries=tuple(entries)))
    np.testing.assert_array_equal(resumed.fold(after).derived.value, folded.derived.value)
