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
    "ewma": {"warmup": 20},
    "half_space_trees": {"warmup": 20, "window": 40, "trees": 5, "height": 5},
}
"""parameters that leave warm-up after at most 60 readings, for quick tests"""

WARM = 60

Values = npt.NDArray[np.float64]

pytestmark = pytest.mark.parametrize("kind", sorted(DETECTORS))


def made(kind: str, sensor_ids: Sequence[int] = (1,), **parameters: float) -> Detector:
    return build(kind, [(sensor_id, {**SMALL[kind], **parameters}) for sensor_id in sensor_ids])


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
    assert scores[280:].min() > np.median(scores[WARM:280])
    assert scores[285:].min() > np.quantile(scores[WARM:280], 0.95)


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
    values = noise(200)
    batch = ReadingBatch.of(np.repeat(np.arange(100) * S, 2), np.ones(200), values)
    np.testing.assert_array_equal(made(kind).score(batch), made(kind).score(batch_of(values)))


@pytest.mark.parametrize("level", [0.0, 1.0, -273.15, 1e8])
def test_a_constant_signal_is_not_anomalous(kind: str, level: float) -> None:
    detector = made(kind)
    usual = detector.score(batch_of(np.full(300, level)))[WARM:]
    assert (usual < 1.0).all()
    # Rounding noise, as unit conversions leave it, is not an anomaly either.
    rounded = np.nextafter(np.full(50, level), np.inf) if level else np.zeros(50)
    assert detector.score(batch_of(rounded, first=300)).max() < usual.max() + 0.1


def test_a_step_fault_scores_high_and_stays_high(kind: str) -> None:
    values = noise(3000)
    values[500:] += 20.0
    scores = build(kind, [(1, {})]).score(batch_of(values))
    usual, fault = scores[400:500], scores[510:]
    assert fault.min() > np.quantile(usual, 0.99)
    assert np.median(fault[-500:]) > 0.98 * np.median(fault[:50])


def test_sensors_do_not_influence_each_other(kind: str) -> None:
    together = made(kind, [3, 8, 5])
    assert together.sensor_ids.tolist() == [3, 5, 8]
    parts = [batch_of(noise(100 + 20 * each, seed=each), sensor_id=each) for each in (3, 5, 8)]
    scores = together.score(ReadingBatch.concat(parts))
    apart = np.concatenate([made(kind, [int(part.sensor_id[0])]).score(part) for part in parts])
    np.testing.assert_array_equal(scores, apart)


def test_parameters_are_per_sensor(kind: str) -> None:
    detector = build(kind, [(1, {**SMALL[kind], "warmup": 150}), (2, SMALL[kind])])
    values = noise(100)
    scores = detector.score(ReadingBatch.concat([batch_of(values), batch_of(values, sensor_id=2)]))
    assert np.isnan(scores[:100]).all()
    assert np.isfinite(scores[100 + WARM :]).all()


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
@settings(max_examples=25, deadline=None)
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
