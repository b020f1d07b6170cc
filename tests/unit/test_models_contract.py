"""What every registered detector must do, whatever its method."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.contract import Detector
from models.kinds import DETECTORS, build
from telemetry.batch import ReadingBatch
from telemetry.errors import StateError
from telemetry.quality import Quality

S = 1_000_000

SMALL: Mapping[str, Mapping[str, float]] = {
    "auto": {"warmup": 20, "warmup_h": 0},
    "conditioned": {"warmup": 20},
    "cusum": {"warmup": 20},
    "ewma": {"warmup": 20},
    "half_space_trees": {"warmup": 20, "window": 32, "trees": 5, "height": 5},
    "page_hinkley": {"warmup": 20},
    "seasonal": {"warmup": 20, "warmup_h": 0},
}
"""parameters that leave warm-up after at most 100 readings, for quick tests"""

WARM = 100

Values = npt.NDArray[np.float64]

pytestmark = pytest.mark.parametrize("kind", sorted(DETECTORS))


class WithContext:
    """A detector that is given a context, 10 and 11 in turn, with every reading."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.rebaseline, self.snapshot, self.restore = detector.rebaseline, detector.snapshot, detector.restore

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        return self._detector.sensor_ids[self._detector.sensor_ids >= 0]

    def score(self, batch: ReadingBatch) -> Values:
        twins = ReadingBatch.of(batch.time, ~batch.sensor_id, 10.0 + batch.time // S % 2)
        both = ReadingBatch.concat([batch, twins])
        order = both.order()
        scores = np.empty(len(both))
        scores[order] = self._detector.score(both.take(order))
        assert np.isnan(scores[len(batch) :]).all()
        return scores[: len(batch)]


def built(kind: str, sensors: Sequence[tuple[int, Mapping[str, float]]]) -> Detector:
    detector = build(kind, sensors)
    return WithContext(detector) if DETECTORS[kind].context else detector


def made(kind: str, sensor_ids: Sequence[int] = (1,), **parameters: float) -> Detector:
    return built(kind, [(sensor_id, {**SMALL[kind], **parameters}) for sensor_id in sensor_ids])


def batch_of(values: npt.ArrayLike, *, sensor_id: int = 1, quality: int = 0, first: int = 0) -> ReadingBatch:
    """One reading a second."""
    column = np.asarray(values, np.float64)
    time = (np.arange(column.size) + first) * S
    return ReadingBatch.of(time, np.full(column.size, sensor_id), column, np.full(column.size, quality))


def noise(count: int, *, level: float = 50.0, sigma: float = 1.0, seed: int = 5) -> Values:
    return np.random.default_rng(seed).normal(level, sigma, count)


def test_every_kind_has_small_parameters_for_this_suite(kind: str) -> None:
    assert kind in SMALL


def test_scores_are_nan_while_warming_up_and_finite_after(kind: str) -> None:
    scores = made(kind).score(batch_of(noise(200)))
    assert np.isnan(scores[:20]).all()
    assert np.isfinite(scores[WARM:]).all()


def test_a_reading_is_scored_before_it_is_learned(kind: str) -> None:
    one, other = made(kind), made(kind)
    usual = noise(200)
    one.score(batch_of(usual))
    other.score(batch_of(usual))
    alone = one.score(batch_of([80.0], first=200))
    followed = other.score(batch_of([80.0, 80.0, 80.0], first=200))
    assert alone[0] == followed[0]


def test_a_large_offset_costs_no_digits(kind: str) -> None:
    usual = noise(300, level=0.0, sigma=1.0)
    usual[250:] += 10.0
    # Rounded to what float64 holds at 1e8, so that both detectors see the same deviations.
    usual = np.round(usual * 2**20) / 2**20
    near = made(kind).score(batch_of(usual + 1.0))
    far = made(kind).score(batch_of(usual + 1e8))
    np.testing.assert_allclose(far[WARM:], near[WARM:], rtol=1e-5, atol=1e-5)


def test_small_noise_on_a_large_offset_is_still_seen(kind: str) -> None:
    values = noise(300, level=1e8, sigma=0.1)
    values[280:] += 2.0
    scores = made(kind).score(batch_of(values))
    assert scores[WARM:280].max() < 1
    assert scores[285:].min() >= 1


@pytest.mark.parametrize("quality", [Quality.BAD, Quality.STALE])
def test_bad_quality_has_no_score_and_leaves_no_trace(kind: str, quality: Quality) -> None:
    one, other = made(kind), made(kind)
    usual = noise(200)
    assert np.isnan(one.score(batch_of(np.full(50, 1e6), quality=quality))).all()
    np.testing.assert_array_equal(one.score(batch_of(usual)), other.score(batch_of(usual)))
    assert np.isnan(one.score(batch_of([1e6], quality=quality, first=200))).all()
    assert one.snapshot() == other.snapshot()


def test_uncertain_quality_is_scored(kind: str) -> None:
    scores = made(kind).score(batch_of(noise(200), quality=Quality.UNCERTAIN))
    assert np.isfinite(scores[WARM:]).all()


def test_a_gap_does_no_harm(kind: str) -> None:
    detector = made(kind)
    before = detector.score(batch_of(noise(200)))
    after = detector.score(batch_of(noise(200, seed=6), first=30 * 86_400))
    assert np.isfinite(after).all()
    assert abs(np.median(after) - np.median(before[WARM:])) < 1.0


def test_readings_at_the_same_instant_do_no_harm(kind: str) -> None:
    values = noise(400)
    batch = ReadingBatch.of(np.repeat(np.arange(200) * S, 2), np.ones(400), values)
    # They seem to come twice as often, so the limit is a little higher.
    np.testing.assert_allclose(
        np.median(made(kind).score(batch)[WARM:]), np.median(made(kind).score(batch_of(values))[WARM:]), rtol=0.3
    )


def test_readings_out_of_order_are_refused(kind: str) -> None:
    batch = batch_of(noise(10))
    with pytest.raises(ValueError, match="not sorted"):
        build(kind, [(1, SMALL[kind])]).score(batch.take(np.array([3, 1, 2])))


@pytest.mark.parametrize("level", [0.0, 1.0, -273.15, 1e8])
def test_a_constant_signal_is_not_anomalous(kind: str, level: float) -> None:
    detector = made(kind)
    usual = detector.score(batch_of(np.full(300, level)))[WARM:]
    assert (usual < 1.0).all()
    # Rounding noise, as unit conversions leave it, is not an anomaly either.
    rounded = np.nextafter(np.full(50, level), np.inf) if level else np.zeros(50)
    assert detector.score(batch_of(rounded, first=300)).max() < usual.max() + 0.1


@pytest.mark.parametrize("level", [1.0, -273.15, 73.2])
def test_one_digit_of_a_sensor_that_never_moved_is_not_anomalous(kind: str, level: float) -> None:
    values = np.full(600, level)
    values[300:] += 0.01
    scores = made(kind).score(batch_of(values))
    assert (scores[WARM:] < 1).all()


def test_a_step_fault_is_an_anomaly_and_stays_one(kind: str) -> None:
    parameters = {"warmup_h": 0.0} if "warmup_h" in DETECTORS[kind].parameters else {}
    values = noise(2500)
    values[1500:] += 20.0
    scores = built(kind, [(1, parameters)]).score(batch_of(values))
    assert scores[1000:1500].max() < 1
    assert scores[1505:].min() >= 1


def test_rebaselining_forgets_one_sensor_and_no_other(kind: str) -> None:
    detector, untouched = made(kind, [1, 2]), made(kind, [2])
    parts = [batch_of(noise(200, seed=each), sensor_id=each) for each in (1, 2)]
    detector.score(ReadingBatch.concat(parts))
    untouched.score(parts[1])
    detector.rebaseline(np.array([1, 7], np.int32))
    more = [batch_of(noise(200, level=900.0, seed=8), first=200), batch_of(noise(200, seed=9), sensor_id=2, first=200)]
    scores = detector.score(ReadingBatch.concat(more))
    np.testing.assert_array_equal(scores[:200], made(kind).score(more[0]))
    np.testing.assert_array_equal(scores[200:], untouched.score(more[1]))


def test_sensors_do_not_influence_each_other(kind: str) -> None:
    together = made(kind, [3, 8, 5])
    assert together.sensor_ids.tolist() == [3, 5, 8]
    parts = [batch_of(noise(100 + 20 * each, seed=each), sensor_id=each) for each in (3, 5, 8)]
    scores = together.score(ReadingBatch.concat(parts))
    apart = np.concatenate([made(kind, [int(part.sensor_id[0])]).score(part) for part in parts])
    np.testing.assert_array_equal(scores, apart)


def test_parameters_are_per_sensor(kind: str) -> None:
    detector = built(kind, [(1, {**SMALL[kind], "warmup": 150}), (2, SMALL[kind])])
    values = noise(120)
    scores = detector.score(ReadingBatch.concat([batch_of(values), batch_of(values, sensor_id=2)]))
    assert np.isnan(scores[:120]).all()
    assert np.isfinite(scores[120 + WARM :]).all()


def test_a_reading_of_a_foreign_sensor_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="does not score"):
        made(kind, [1]).score(batch_of([1.0], sensor_id=2))


def test_nothing_is_fine(kind: str) -> None:
    assert made(kind).score(ReadingBatch.empty()).size == 0
    nobody = made(kind, [])
    assert nobody.score(ReadingBatch.empty()).size == 0
    nobody.restore(nobody.snapshot())
    nobody.restore(made(kind).snapshot())


@given(
    seed=st.integers(0, 1000),
    cuts=st.sets(st.integers(1, 149), max_size=6),
    bad=st.sets(st.integers(0, 149), max_size=20),
    data=st.data(),
)
@settings(max_examples=5, deadline=None)
def test_any_cut_with_restarts_gives_bit_equal_scores(
    *, kind: str, seed: int, cuts: set[int], bad: set[int], data: st.DataObject
) -> None:
    ids = [2, 4, 9]
    random = np.random.default_rng(seed)
    values = random.normal(1e3, 1.0, (3, 150))
    values[:, 120:] += random.choice([0.0, 30.0], (3, 1))
    quality = np.where(np.isin(np.arange(150), list(bad)), int(Quality.BAD), 0)
    readings = random.random((3, 150)) < 0.9  # a sensor now and then says nothing

    def part(start: int, end: int) -> ReadingBatch:
        row, column = np.nonzero(readings[:, start:end])
        column += start
        return ReadingBatch.of(column * S, np.array(ids)[row], values[row, column], quality[column])

    whole = part(0, 150)
    expected = made(kind, ids).score(whole)
    found = np.empty(0)
    sensor = np.empty(0, np.int32)
    detector = made(kind, ids)
    for start, end in pairwise(sorted({0, 150, *cuts})):
        batch = part(start, end)
        if data.draw(st.booleans(), label="restart"):
            body = detector.snapshot()
            detector.score(batch)  # a transaction that failed
            if data.draw(st.booleans(), label="new process"):
                detector = made(kind, ids)
            detector.restore(body)
            assert detector.snapshot() == body
        found = np.concatenate((found, detector.score(batch)))
        sensor = np.concatenate((sensor, batch.sensor_id))
    for each in ids:
        np.testing.assert_array_equal(found[sensor == each], expected[whole.sensor_id == each])


def test_restore_keeps_what_still_fits_when_the_plant_changes(kind: str) -> None:
    before, untouched = made(kind, [1, 2]), made(kind, [2])
    for detector in (before, untouched):
        parts = [batch_of(noise(150, seed=each), sensor_id=each) for each in detector.sensor_ids.tolist()]
        detector.score(ReadingBatch.concat(parts))
    after = made(kind, [2, 3])
    after.score(batch_of(noise(150), sensor_id=3))
    after.restore(before.snapshot())
    more = noise(100, seed=9)
    scores = after.score(
        ReadingBatch.concat([batch_of(more, sensor_id=2, first=150), batch_of(more, sensor_id=3, first=150)])
    )
    np.testing.assert_array_equal(scores[:100], untouched.score(batch_of(more, sensor_id=2, first=150)))
    assert np.isnan(scores[100:120]).all()  # sensor 3 was not in the snapshot: it starts afresh


def test_a_foreign_snapshot_is_refused(kind: str) -> None:
    detector = made(kind)
    for other in DETECTORS:
        if other != kind:
            with pytest.raises(StateError, match="of kind"):
                detector.restore(made(other).snapshot())
    with pytest.raises(StateError):
        detector.restore(b"nothing of ours")


def test_memory_is_bounded(kind: str) -> None:
    detector = made(kind)
    detector.score(batch_of(noise(100)))
    size = len(detector.snapshot())
    detector.score(batch_of(noise(1000, seed=8), first=100))
    assert len(detector.snapshot()) == size
