"""When a silent sensor's event time goes on by our clock."""

import numpy as np

from precursor.silence import Silence
from telemetry.batch import ReadingBatch

SENSORS = np.array([1, 2], np.int32)
SECOND = 1_000_000


def observe(silence: Silence, sensor: int, event_s: int, arrived_s: float) -> None:
    silence.observe(ReadingBatch.of([event_s * SECOND], [sensor], [0.0]), arrived_s)


def test_a_sensor_that_still_sends_is_left_alone() -> None:
    silence = Silence(5)
    observe(silence, 1, 1000, 0.0)
    assert silence.tick(SENSORS, 4.9) is None


def test_after_the_silence_event_time_goes_on_at_our_pace_from_the_last_reading() -> None:
    silence = Silence(5)
    observe(silence, 1, 1000, 0.0)
    tick = silence.tick(SENSORS, 12.0)
    assert tick is not None
    assert tick.sensor_id.tolist() == [1]
    assert tick.now.tolist() == [1007 * SECOND]


def test_only_the_silent_sensor_is_moved_on_while_another_one_sends() -> None:
    silence = Silence(5)
    observe(silence, 1, 1000, 0.0)
    observe(silence, 2, 9000, 9.0)
    tick = silence.tick(SENSORS, 10.0)
    assert tick is not None
    assert tick.sensor_id.tolist() == [1]


def test_an_old_reading_that_arrives_late_does_not_turn_event_time_back() -> None:
    silence = Silence(5)
    observe(silence, 1, 1000, 0.0)
    observe(silence, 1, 10, 1.0)
    tick = silence.tick(SENSORS, 6.0)
    assert tick is not None
    assert tick.now.tolist() == [1000 * SECOND]


def test_sensors_never_heard_of_are_named() -> None:
    silence = Silence(5)
    observe(silence, 1, 1000, 0.0)
    assert silence.unknown(SENSORS).tolist() == [2]
    assert silence.tick(np.array([2], np.int32), 100.0) is None


def test_a_sensor_never_heard_of_is_silent_since_it_is_watched() -> None:
    silence = Silence(5)
    silence.assume([(SENSORS, 1000 * SECOND)], 0.0)
    tick = silence.tick(SENSORS, 12.0)
    assert tick is not None
    assert tick.now.tolist() == [1007 * SECOND] * 2


def test_the_first_reading_of_one_ends_what_was_assumed_of_all_that_are_watched_with_it() -> None:
    silence = Silence(5)
    silence.assume([(SENSORS, 5000 * SECOND), (np.array([3], np.int32), 5000 * SECOND)], 0.0)
    observe(silence, 1, 10, 1.0)
    tick = silence.tick(np.array([1, 2, 3], np.int32), 11.0)
    assert tick is not None
    assert tick.sensor_id.tolist() == [1, 3]
    assert tick.now.tolist() == [15 * SECOND, 5006 * SECOND], "an old reading counts for more than an assumption"


def test_of_sensors_watched_together_one_that_was_heard_of_speaks_for_the_others() -> None:
    silence = Silence(5)
    observe(silence, 1, 10, 0.0)
    silence.assume([(SENSORS, 5000 * SECOND)], 0.0)
    assert silence.unknown(SENSORS).tolist() == [2]
