"""Baselines beside a level: the hour of the week, and what another sensor says about the machine."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from models import kinds
from models.streaming.context import ContextTwins
from telemetry.batch import ReadingBatch
from telemetry.errors import StateError
from telemetry.quality import Quality

MINUTE = 60_000_000
DAY = 1440

SPEED, VIBRATION = 1, 2

Values = npt.NDArray[np.float64]


def first_alarm(scores: Values, since: int) -> float:
    """Readings from the fault to the alarm; inf: none. Fails if there was one before."""
    assert not (scores[:since] >= 1).any()
    found = np.flatnonzero(scores[since:] >= 1)
    return float(found[0]) if found.size else np.inf


def test_a_seasonal_baseline_sees_what_the_rhythm_hides() -> None:
    count = 26 * DAY
    minutes = np.arange(count)
    weekend = np.where((minutes // DAY + 3) % 7 >= 5, -4.0, 0.0)
    rhythm = 5.0 * np.sin(2 * np.pi * minutes / DAY) + weekend
    values = 50.0 + rhythm + np.random.default_rng(5).normal(0.0, 1.0, count)
    fault = 24 * DAY
    values[fault:] += 4.0
    batch = ReadingBatch.of(minutes * MINUTE, np.ones(count), values)
    # Weekends differ: the first half of the warm-up has to hold a whole week.
    two_weeks = {"warmup_h": 336.0}
    seasonal, plain = (kinds.build(kind, [(1, two_weeks)]).score(batch) for kind in ("seasonal", "auto"))
    assert first_alarm(seasonal, fault) < 60
    assert first_alarm(plain, fault) > 60


def machine(count: int = 7_000, *, fault: int = 6_500, shift: float = 2.0) -> ReadingBatch:
    """A speed that changes every hour, and a vibration that goes with its square; in order of arrival."""
    random = np.random.default_rng(6)
    speed = np.repeat(random.choice([20.0, 40.0, 60.0, 80.0, 100.0], count // 60 + 1), 60)[:count]
    speed += random.normal(0.0, 1.0, count)
    vibration = 2.0 + 0.002 * speed**2 + random.normal(0.0, 0.5, count)
    vibration[fault:] += shift
    time = np.repeat(np.arange(count) * MINUTE, 2)
    return ReadingBatch.of(time, np.tile([SPEED, VIBRATION], count), np.stack([speed, vibration], axis=1).ravel())


def conditioned(batch: ReadingBatch) -> Values:
    seen = ContextTwins({VIBRATION: SPEED}).attach(batch)
    seen = seen.take(seen.sensor_id != SPEED).sorted()
    scores = kinds.build("conditioned", [(VIBRATION, {"warmup": 2000})]).score(seen)
    return np.asarray(scores[seen.sensor_id == VIBRATION], np.float64)


def test_a_baseline_that_knows_the_speed_sees_what_the_speed_hides() -> None:
    batch = machine()
    assert first_alarm(conditioned(batch), 6_500) < 60
    alone = batch.take(batch.sensor_id == VIBRATION)
    plain = kinds.build("auto", [(VIBRATION, {"warmup": 2000})]).score(alone)
    assert first_alarm(plain, 6_500) > 60


def test_at_a_speed_never_seen_there_is_no_score() -> None:
    batch = machine(shift=0.0)
    value = batch.value.copy()
    value[-400::2] = 400.0
    scores = conditioned(ReadingBatch.of(batch.time, batch.sensor_id, value))
    assert np.isfinite(scores[-500:-200]).mean() > 0.95
    assert np.isnan(scores[-200:-150]).all(), "until it is learned"


def loaded(count: int, sensors: int, *, keeps: float) -> tuple[ReadingBatch, npt.NDArray[np.bool_]]:
    """Noise that wanders on what a load makes of a level, a reading a quarter of an hour; twins among it."""
    random = np.random.default_rng(3)
    noise = random.standard_normal((sensors, count))
    noise = lfilter([np.sqrt(1 - keeps**2)], [1, -keeps], noise, axis=1)
    loads = np.repeat(random.uniform(40, 80, (sensors, count // 12)), 12, axis=1)
    ids = np.repeat(np.arange(sensors), count)
    time = np.tile(np.arange(count) * 15 * MINUTE, sensors)
    readings = ReadingBatch.of(time, ids, (50 + 0.15 * loads + noise).ravel())
    batch = ReadingBatch.concat([readings, ReadingBatch.of(time, ~ids, loads.ravel())]).sorted()
    return batch, batch.sensor_id >= 0


def test_noise_that_wanders_is_no_anomaly_at_any_load() -> None:
    # Six hours; 40 sensors for 24 days after the warm-up, for which 0.05 false alarms are budgeted.
    batch, own = loaded(30 * 96, 40, keeps=np.exp(-1 / 24))
    scores = kinds.build("conditioned", [(sensor, {}) for sensor in range(40)]).score(batch)[own].reshape(40, -1)
    assert (scores >= 1).any(axis=1).sum() <= 2
    assert np.isfinite(scores[:, -960:]).mean() > 0.8


def test_a_load_is_known_after_six_stays_if_the_sensor_wanders_and_not_after_a_long_one() -> None:
    batch, own = loaded(30 * 96, 10, keeps=np.exp(-1 / 96))
    value = batch.value.copy()
    day = (batch.time // (15 * MINUTE)) // 96
    # From the 15th day on a new load, first for half a day, then for an hour of each day.
    hour = (batch.time // (60 * MINUTE)) % 24
    new = ((day == 15) & (hour < 12)) | ((day > 15) & (hour == 0))
    value[new & ~own] = 100.0
    value[new & own] += 0.15 * 40
    scores = kinds.build("conditioned", [(sensor, {}) for sensor in range(10)]).score(
        ReadingBatch.of(batch.time, batch.sensor_id, value)
    )
    known = np.isfinite(scores)
    assert not known[new & own & (day < 18)].any()
    assert known[new & own & (day > 26)].mean() > 0.8


def test_without_a_context_there_is_no_score_and_nothing_is_learned() -> None:
    batch = machine(3000)
    value = batch.quality.copy()
    value[batch.sensor_id == SPEED] = Quality.BAD
    assert np.isnan(conditioned(ReadingBatch.of(batch.time, batch.sensor_id, batch.value, value))).all()


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 200), max_size=6), seed=st.integers(0, 100))
def test_a_context_is_the_value_that_arrived_last_in_any_cut_and_after_a_restart(cuts: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    ids = random.choice([SPEED, VIBRATION, 5], 200)
    whole = ReadingBatch.of(np.sort(random.integers(0, 150, 200)), ids, np.arange(200.0), random.integers(0, 4, 200))
    last = np.nan
    expected = []
    for sensor, value, quality in zip(ids.tolist(), whole.value.tolist(), whole.quality.tolist(), strict=True):
        if sensor == SPEED and quality <= Quality.UNCERTAIN:
            last = value
        if sensor == VIBRATION and not np.isnan(last):
            expected.append(last)
    twins = ContextTwins({VIBRATION: SPEED})
    found: list[float] = []
    for begin, end in pairwise([0, *sorted(cuts), 200]):
        attached = twins.attach(whole.take(np.arange(begin, end)))
        found += attached.value[attached.sensor_id == ~VIBRATION].tolist()
        body = twins.snapshot()
        twins = ContextTwins({VIBRATION: SPEED, 9: 8})
        twins.restore(body)
    assert found == expected


def test_a_damaged_context_is_refused() -> None:
    with pytest.raises(StateError):
        ContextTwins({VIBRATION: SPEED}).restore(b"nothing of ours")
