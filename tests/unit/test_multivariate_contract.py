"""What a detector of assets must do, whatever its method."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.contract import ALARM, AssetDetector, AssetScores
from models.multivariate.kinds import AssetSpec, build_assets
from telemetry.batch import ReadingBatch
from telemetry.errors import ConfigurationError, StateError
from telemetry.quality import Quality

S = 1_000_000
WARM = 60
SMALL = {"warmup": float(WARM), "every_s": 1.0}

Values = npt.NDArray[np.float64]


def made(assets: Mapping[int, Sequence[int]] | None = None, **parameters: float) -> AssetDetector:
    given_assets = {7: (1, 2, 3)} if assets is None else assets
    return build_assets(
        [
            AssetSpec(asset_id=asset_id, sensor_ids=tuple(ids), parameters={**SMALL, **parameters})
            for asset_id, ids in given_assets.items()
        ]
    )


def batch_of(values: Values, ids: Sequence[int] = (1, 2, 3), *, first: int = 0, quality: int = 0) -> ReadingBatch:
    """(n, sensors), a reading of each sensor a second; and one more of each, which ends the last second."""
    ended = np.vstack((values, values[-1:]))
    count = len(ended)
    time = np.tile((np.arange(count) + first) * S, len(ids))
    return ReadingBatch.of(time, np.repeat(ids, count), ended.T.ravel(), np.full(time.size, quality)).sorted()


def noise(count: int, sensors: int = 3, *, level: float = 50.0, sigma: float = 1.0, seed: int = 5) -> Values:
    """Related sensors: half of the variance of each is common to all."""
    random = np.random.default_rng(seed)
    common = random.normal(size=(count, 1))
    values: Values = level + sigma * np.sqrt(0.5) * (common + random.normal(size=(count, sensors)))
    return values


def test_scores_begin_after_the_warm_up_with_no_sample_left_out() -> None:
    scores = made().fold(batch_of(noise(200)))
    assert scores.time.tolist() == [second * S for second in range(WARM, 200)]
    assert scores.asset_id.tolist() == [7] * (200 - WARM)
    assert np.isfinite(scores.score).all()


def test_a_sample_is_scored_before_it_is_learned() -> None:
    usual = noise(WARM + 20)
    one = made().fold(batch_of(np.vstack((usual, np.full((1, 3), 51.0)))))
    other = made().fold(batch_of(np.vstack((usual, np.full((4, 3), 51.0)))))
    assert one.score[-1] == other.score[20]


@pytest.mark.parametrize("quality", [Quality.BAD, Quality.STALE])
def test_bad_quality_has_no_score_and_leaves_no_trace(quality: Quality) -> None:
    one, other = made(), made()
    assert one.fold(batch_of(np.full((50, 3), 1e6), quality=quality)).score.size == 0
    usual = batch_of(noise(200))
    np.testing.assert_array_equal(one.fold(usual).score, other.fold(usual).score)
    assert one.fold(batch_of(np.full((50, 3), 1e6), first=300, quality=quality)).score.size == 0
    assert one.snapshot() == other.snapshot()


def test_uncertain_quality_is_scored() -> None:
    assert made().fold(batch_of(noise(200), quality=Quality.UNCERTAIN)).score.size == 200 - WARM


def test_a_gap_does_no_harm() -> None:
    detector = made()
    detector.fold(batch_of(noise(400)))
    after = detector.fold(batch_of(noise(200, seed=6), first=30 * 86_400))
    # The second after which the gap began ends with it.
    assert after.score.size == 201
    assert after.score.max() < ALARM


def test_readings_at_the_same_instant_are_one_sample() -> None:
    values = noise(150)
    batch = batch_of(values)
    twice = ReadingBatch.of(np.repeat(batch.time, 2), np.repeat(batch.sensor_id, 2), np.repeat(batch.value, 2))
    np.testing.assert_array_equal(made().fold(twice).score, made().fold(batch).score)


@pytest.mark.parametrize("level", [0.0, 1.0, -273.15, 1e8])
def test_a_sensor_that_never_moves_is_not_anomalous_and_does_not_blind_the_others(level: float) -> None:
    values = noise(400)
    values[:, 1] = level
    # Rounding noise, as unit conversions leave it, is no movement.
    values[300:, 1] = np.nextafter(level, np.inf) if level else 0.0
    values[350:, 0] += 8.0
    scores = made().fold(batch_of(values))
    assert scores.score[:280].max() < ALARM
    assert scores.score[-20:].min() > ALARM
    assert scores.contribution[-20:].argmax(axis=1).tolist() == [0] * 20
    assert not scores.contribution[:, 1].any()


def test_one_digit_of_a_coarse_sensor_that_had_not_moved_is_not_an_anomaly() -> None:
    values = noise(400)
    values[:, 1] = 73.2
    values[200:, 1] = 73.3
    assert made().fold(batch_of(values)).score.max() < ALARM


def test_a_sensor_that_starts_flat_is_learned_when_it_moves() -> None:
    values = noise(500)
    values[:20, 2] = 50.0
    values[300:, 2] += 8.0
    scores = made(warmup=250).fold(batch_of(values))
    assert scores.score[:50].max() < ALARM
    assert scores.contribution[-1].argmax() == 2
    assert scores.score[-1] > ALARM


def test_sensors_that_say_the_same_do_no_harm_until_they_part() -> None:
    values = noise(600)
    values[:, 1] = 2 * values[:, 0] - 7
    values[500:, 1] += 4.0
    scores = made(warmup=200).fold(batch_of(values))
    assert scores.score[:300].max() < ALARM
    assert scores.score[320:].min() > ALARM


def test_a_broken_relation_is_an_anomaly_though_every_sensor_is_where_it_usually_is() -> None:
    random = np.random.default_rng(3)
    load = random.normal(size=1600)
    load = np.convolve(load, np.ones(20) / 20, "same")
    values = np.stack([load, load, -load], axis=1) * 4 + random.normal(size=(1600, 3)) * 0.1
    values[1300:, 2] *= -1
    scores = made(warmup=600).fold(batch_of(values))
    assert scores.score[: 1300 - 600].max() < ALARM
    assert np.mean(scores.score[-250:] > ALARM) > 0.7
    assert (scores.contribution[-250:][scores.score[-250:] > ALARM].argmax(axis=1) == 2).mean() > 0.95


def test_a_large_offset_costs_no_digits() -> None:
    usual = np.round(noise(300, level=0.0) * 2**20) / 2**20
    usual[250:, 1] += 10.0
    near, far = made().fold(batch_of(usual + 1.0)), made().fold(batch_of(usual + 1e8))
    np.testing.assert_allclose(far.score, near.score, rtol=1e-5)
    np.testing.assert_allclose(far.contribution, near.contribution, atol=1e-5)


def test_values_of_any_size_give_numbers() -> None:
    values = noise(300)
    values[[3, 30, 100, 200], [0, 1, 2, 0]] = [1e300, -1e300, 1e300, -1e300]
    scores = made().fold(batch_of(values))
    assert scores.score.size == 300 - WARM
    assert np.isfinite(scores.score).all()


def test_one_wild_reading_in_the_warm_up_hardly_counts() -> None:
    clean, spoilt = noise(600), noise(600)
    spoilt[100, 1] = 881.0
    clean[500:, 1] += 3.0
    spoilt[500:, 1] += 3.0
    there, here = (made(warmup=300).fold(batch_of(values)).score for values in (clean, spoilt))
    assert here[:200].max() < ALARM
    np.testing.assert_allclose(here[-50:], there[-50:], rtol=0.35)


def test_one_wild_reading_alone_is_no_anomaly() -> None:
    values = noise(800)
    values[700, 1] = 1e4
    assert made(warmup=400).fold(batch_of(values)).score.max() < ALARM


@pytest.mark.parametrize("sensor", range(5))
def test_contributions_sum_to_one_and_point_to_the_sensor_that_moved(sensor: int) -> None:
    ids = range(1, 6)
    values = noise(600, 5)
    values[500:, sensor] += 6.0
    scores = made({7: ids}, warmup=300).fold(batch_of(values, ids))
    np.testing.assert_allclose(scores.contribution.sum(axis=1), 1.0)
    assert scores.contribution.min() >= 0
    assert scores.score[-50:].min() > ALARM
    assert scores.contribution[-50:].argmax(axis=1).tolist() == [sensor] * 50
    assert scores.contribution[-50:, sensor].min() > 0.5


def test_contributions_do_not_depend_on_units() -> None:
    values = noise(200)
    values[150:, 2] += 4.0
    plain, scaled = made().fold(batch_of(values)), made().fold(batch_of(values * [1.0, 1000.0, 0.01]))
    np.testing.assert_allclose(scaled.score, plain.score, rtol=1e-9)
    np.testing.assert_allclose(scaled.contribution, plain.contribution, atol=1e-9)


def test_contributions_come_in_the_order_the_sensors_were_given_and_are_nan_beyond_the_width() -> None:
    values = noise(300)
    values[200:, 0] += 8.0
    two = noise(300, 2)
    detector = made({7: (3, 1, 2), 4: (9, 8)})
    batch = ReadingBatch.concat([batch_of(values), batch_of(two, (8, 9))]).sorted()
    scores = detector.fold(batch)
    assert scores.asset_id.tolist() == sorted(scores.asset_id.tolist())
    wide = scores.contribution[scores.asset_id == 7]
    assert wide[-1].argmax() == 1  # sensor 1 is the second of (3, 1, 2)
    narrow = scores.contribution[scores.asset_id == 4]
    assert np.isnan(narrow[:, 2]).all()
    np.testing.assert_allclose(narrow[:, :2].sum(axis=1), 1.0)


def test_assets_do_not_influence_each_other() -> None:
    both = made({7: (1, 2, 3), 9: (4, 5, 6), 11: (10, 12)})
    parts = {
        7: batch_of(noise(200), (1, 2, 3)),
        9: batch_of(noise(150, seed=6), (4, 5, 6), first=1000),
        11: batch_of(noise(170, 2, seed=7), (10, 12)),
    }
    together = both.fold(ReadingBatch.concat(list(parts.values())).sorted())
    for asset_id, part in parts.items():
        ids = tuple(np.unique(part.sensor_id).tolist())
        alone = made({asset_id: ids}).fold(part)
        mine = together.asset_id == asset_id
        np.testing.assert_array_equal(together.score[mine], alone.score)
        np.testing.assert_array_equal(together.time[mine], alone.time)


def test_a_reading_of_a_foreign_sensor_is_refused() -> None:
    with pytest.raises(ValueError, match=r"does not look at: \[99\]"):
        made().fold(ReadingBatch.of([0, 0], [1, 99], [1.0, 1.0]))


def test_nothing_is_fine() -> None:
    assert made().fold(ReadingBatch.empty()).score.size == 0
    nobody = build_assets([])
    assert nobody.fold(ReadingBatch.empty()).score.size == 0
    nobody.restore(nobody.snapshot())
    nobody.restore(made().snapshot())


def test_rebaseline_warms_up_anew_and_forgets_one_asset_only() -> None:
    detector = made({7: (1, 2, 3), 9: (4, 5, 6)})

    def fold(values: Values, first: int) -> AssetScores:
        parts = [batch_of(values, (1, 2, 3), first=first), batch_of(values, (4, 5, 6), first=first)]
        return detector.fold(ReadingBatch.concat(parts).sorted())

    fold(noise(300), 0)
    detector.rebaseline(np.array([9, 1234], np.int32))
    after = fold(noise(300, seed=6) + 20.0, 301)
    assert after.score[after.asset_id == 7][-1] > ALARM
    anew = after.score[after.asset_id == 9]
    assert anew.size == 301 - WARM  # with the second that ended the first part
    assert anew.max() < ALARM


def test_a_slow_ramp_after_long_learning_is_still_alarmed() -> None:
    """Twenty times the warm-up of normal life, then a tenth of a sigma in as long as the warm-up."""
    warmup, quiet, ramp = 50, 1000, 5000
    values = noise(quiet + ramp)
    values[quiet:, 1] += np.linspace(0.0, 10.0, ramp)
    scores = made(warmup=warmup).fold(batch_of(values))
    assert scores.score[: quiet - warmup].max() < ALARM
    assert scores.score[-200:].min() > ALARM
    assert scores.contribution[-1].argmax() == 1


def test_a_step_fault_stays_in_alarm() -> None:
    values = noise(2500)
    values[500:, 2] += 6.0
    scores = made(warmup=200).fold(batch_of(values)).score[500 - 200 :]
    assert scores[30:].min() > ALARM
    assert np.median(scores[-500:]) > 0.98 * np.median(scores[50:550])


def test_memory_is_bounded() -> None:
    detector = made()
    detector.fold(batch_of(noise(100)))
    size = len(detector.snapshot())
    detector.fold(batch_of(noise(400, seed=8), first=101))
    assert len(detector.snapshot()) == size


@given(
    seed=st.integers(0, 1000),
    cuts=st.lists(st.integers(1, 1200), max_size=6),
    data=st.data(),
)
@settings(max_examples=8, deadline=None)
def test_any_cut_with_restarts_gives_bit_equal_scores(seed: int, cuts: list[int], data: st.DataObject) -> None:
    assets = {7: (1, 2, 3), 9: (6, 4), 12: (8, 9, 10)}
    rates = {1: 1.0, 2: 0.7, 3: 2.0, 4: 1.0, 6: 0.25, 8: 1.0, 9: 1.0, 10: 1.0}
    behind = {1: 0.0, 2: 3.0, 3: 8.0, 4: 1.0, 6: 0.0, 8: 0.0, 9: 9.0, 10: 5.0}
    random = np.random.default_rng(seed)
    parts = []
    for sensor, rate in rates.items():
        time = np.cumsum(random.uniform(0.5, 1.5, int(150 / rate)) * rate * 10 * S).astype(np.int64)
        value = random.normal(1e3, 1.0, time.size)
        value[time > 1200 * S] += random.choice([0.0, 30.0])
        quality = np.where(random.random(time.size) < 0.05, int(Quality.BAD), 0)
        spoken = random.random(time.size) < 0.9
        if sensor == 9:
            spoken &= (time < 700 * S) | (time > 950 * S)
        arrived = time[spoken] + behind[sensor] * S
        parts.append((arrived, np.full(spoken.sum(), sensor), time[spoken], value[spoken], quality[spoken]))
    arrived, sensor_id, time, value, quality = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(arrived, kind="stable")
    stream = ReadingBatch.of(time[order], sensor_id[order], value[order], quality[order])
    # Asset 12 has to find out by itself how often its sensors speak.
    automatic = data.draw(st.booleans(), label="automatic")

    def fresh() -> AssetDetector:
        return build_assets(
            [
                AssetSpec(
                    asset_id=asset_id,
                    sensor_ids=ids,
                    parameters={"warmup": 50, "every_s": 0.0 if automatic or asset_id == 12 else 10.0},
                )
                for asset_id, ids in assets.items()
            ]
        )

    def key(scores: AssetScores) -> list[tuple[float, ...]]:
        columns = (scores.asset_id, scores.time, scores.score, *scores.contribution.T)
        return sorted(zip(*(np.nan_to_num(column, nan=-1.0).tolist() for column in columns), strict=True))

    detector = fresh()
    step = len(stream) // 3  # not at once: even then sensors would be further apart than detectors wait
    expected: list[tuple[float, ...]] = []
    for start in range(0, len(stream), step):
        expected += key(detector.fold(stream.take(np.arange(start, min(start + step, len(stream)))).sorted()))
    assert expected
    found: list[tuple[float, ...]] = []
    detector = fresh()
    for start, end in pairwise(sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})):
        batch = stream.take(np.arange(start, end)).sorted()
        if data.draw(st.booleans(), label="restart"):
            body = detector.snapshot()
            detector.fold(batch)  # a transaction that failed
            if data.draw(st.booleans(), label="new process"):
                detector = fresh()
            detector.restore(body)
            assert detector.snapshot() == body
        found += key(detector.fold(batch))
    assert sorted(found) == sorted(expected)


def test_restore_keeps_what_still_fits_when_the_plant_changes() -> None:
    before = made({7: (1, 2, 3), 9: (4, 5, 6), 11: (7, 8)})
    parts = [batch_of(noise(150, seed=1)), batch_of(noise(150, seed=2), (4, 5, 6)), batch_of(noise(150, 2), (7, 8))]
    before.fold(ReadingBatch.concat(parts).sorted())
    # 9 has lost a sensor, 11 is the same, 7 is gone, 20 is new and wider than any before.
    after = made({9: (4, 5), 11: (7, 8), 20: (1, 2, 3, 30)})
    after.restore(before.snapshot())
    more = noise(100, 2, seed=9)
    parts = [
        batch_of(more, (4, 5), first=151),
        batch_of(more, (7, 8), first=151),
        batch_of(noise(100, 4, seed=9), (1, 2, 3, 30), first=151),
    ]
    scores = after.fold(ReadingBatch.concat(parts).sorted())
    kept = scores.score[scores.asset_id == 11]
    np.testing.assert_array_equal(kept, before.fold(batch_of(more, (7, 8), first=151)).score)
    assert kept.size == 101
    assert np.count_nonzero(scores.asset_id == 9) == 100 - WARM
    assert np.count_nonzero(scores.asset_id == 20) == 100 - WARM


def test_a_foreign_snapshot_is_refused() -> None:
    with pytest.raises(StateError):
        made().restore(b"nothing of ours")


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        pytest.param([(1, (1,), {})], "asset 1 has 1 sensors to look at together; give it two", id="one sensor"),
        pytest.param([(1, (1, 2), {}), (2, (2, 3), {})], "a sensor is given twice", id="shared sensor"),
        pytest.param([(1, (1, 2), {}), (1, (3, 4), {})], "an asset is given twice", id="same asset"),
        pytest.param([(1, (1, 2), {"gate": 3.0})], "asset 1: .*no parameter 'gate'; it has budget", id="unknown"),
        pytest.param([(1, (1, 2), {"warmup": 3.0})], "asset 1: .*warmup is 3; it must be a whole", id="range"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_reason(
    specs: Sequence[tuple[int, tuple[int, ...], Mapping[str, float]]], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build_assets([AssetSpec(asset_id=a, sensor_ids=ids, parameters=given_) for a, ids, given_ in specs])
