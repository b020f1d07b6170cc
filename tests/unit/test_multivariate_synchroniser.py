"""Readings of sensors at rates of their own, as samples of whole assets."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.multivariate.synchroniser import Synchroniser
from telemetry.batch import ReadingBatch

S = 1_000_000


def made(sensors: Sequence[Sequence[int]] = ((1, 2),), every_s: float = 10.0, align_s: float = 10.0) -> Synchroniser:
    return Synchroniser(sensors, np.full(len(sensors), every_s), align_s=align_s)


def readings(*rows: tuple[float, int, float]) -> ReadingBatch:
    """(s, sensor, value)."""
    seconds, sensor_id, value = zip(*rows, strict=True)
    return ReadingBatch.of((np.array(seconds) * S).astype(np.int64), sensor_id, value).sorted()


def regular(sensor: int, every_s: float, until_s: float, value: float = 1.0) -> list[tuple[float, int, float]]:
    return [(float(second), sensor, value) for second in np.arange(0.0, until_s, every_s)]


def told(values: npt.NDArray[np.float64]) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(value) for value in row] for row in values]


def test_a_bin_is_the_mean_of_its_readings_and_as_old_as_its_newest() -> None:
    samples = made().take(readings((1, 1, 2.0), (9, 1, 4.0), (3, 2, 7.0), (10, 1, 0.0), (10, 2, 0.0)))
    assert told(samples.value) == [[3.0, 7.0]]
    assert samples.time.tolist() == [9 * S]


def test_a_bin_is_as_old_as_its_newest_reading_whatever_came_last() -> None:
    synchroniser = made()
    synchroniser.take(readings((8, 1, 2.0), (1, 2, 7.0)))
    synchroniser.take(readings((5, 1, 4.0)))
    samples = synchroniser.take(readings((10, 1, 0.0), (10, 2, 0.0)))
    assert told(samples.value) == [[3.0, 7.0]]
    assert samples.time.tolist() == [8 * S]


def test_a_bin_waits_for_all_sensors_but_not_for_ever() -> None:
    synchroniser = made()
    assert synchroniser.take(readings((1, 1, 2.0), (1, 2, 5.0), (19.9, 1, 3.0))).asset.size == 0
    assert told(synchroniser.take(readings((20.0, 1, 4.0))).value) == [[2.0, 5.0]]


def test_what_comes_after_its_bin_is_over_is_dropped() -> None:
    synchroniser = made()
    synchroniser.take(readings((1, 1, 2.0), (1, 2, 5.0), (25.0, 1, 3.0)))
    synchroniser.take(readings((9.0, 2, 99.0)))
    assert told(synchroniser.take(readings((45.0, 1, 4.0))).value) == [[3.0, 5.0]]


def test_a_silent_sensor_keeps_its_value_for_three_samples() -> None:
    synchroniser = made()
    synchroniser.take(readings((1, 1, 1.0), (1, 2, 5.0)))
    samples = synchroniser.take(readings(*((10.0 * k + 1, 1, float(k)) for k in range(1, 8))))
    assert told(samples.value) == [[1.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [4.0, None], [5.0, None]]


def test_a_sensor_that_speaks_seldom_keeps_its_value_longer() -> None:
    rows = regular(1, 1.0, 200.0) + regular(2, 15.0, 200.0, 7.0)
    value = made(every_s=1.0).take(readings(*rows)).value
    # Until it has told how often it speaks, for three samples; then throughout.
    assert np.isnan(value[:130, 1]).any()
    assert not np.isnan(value[150:, 1]).any()


def test_time_in_which_nothing_was_measured_is_no_sample() -> None:
    samples = made().take(
        readings((1, 1, 1.0), (1, 2, 5.0), (5001, 1, 2.0), (5001, 2, 6.0), (5011, 1, 0.0), (5011, 2, 0))
    )
    assert told(samples.value) == [[1.0, 5.0], [2.0, 6.0]]


def test_the_width_is_the_interval_of_the_slowest_sensor() -> None:
    synchroniser = made(every_s=0.0)
    rows = regular(1, 1.0, 800.0) + regular(2, 20.0, 800.0)
    samples = synchroniser.take(readings(*rows))
    assert synchroniser.every_s.tolist() == [20.0]
    assert np.isfinite(samples.value).all()
    # Nine intervals of twenty seconds, and the ten in which the other may have been ahead.
    assert samples.time.min() == 219 * S


def test_sensors_that_speak_faster_than_a_machine_changes_are_averaged_over_ten_seconds() -> None:
    synchroniser = made(every_s=0.0)
    synchroniser.take(readings(*regular(1, 1.0, 200.0), *regular(2, 0.5, 200.0)))
    assert synchroniser.every_s.tolist() == [10.0]


def test_a_dead_sensor_holds_the_width_up_for_a_day_only() -> None:
    synchroniser = made(((1, 2), (3, 4)), every_s=0.0)
    before = readings(*regular(1, 600.0, 86_000.0))
    assert synchroniser.take(before).asset.size == 0
    after = [(86_400.0 + second, sensor, value) for second, sensor, value in regular(1, 600.0, 6000.0)]
    samples = synchroniser.take(readings(*after))
    assert synchroniser.every_s.tolist() == [600.0, 0.0]
    assert told(samples.value[:1]) == [[1.0, None]]


def test_assets_far_apart_in_time_and_width_do_not_mix() -> None:
    synchroniser = Synchroniser(((1, 2), (3, 4)), np.array([10.0, 0.5]), align_s=10.0)
    rows = [(1.0, 1, 1.0), (1.0, 2, 2.0), (11.0, 1, 0.0), (11.0, 2, 0.0)]
    later = 1.7e9
    rows += [(later, 3, 3.0), (later, 4, 4.0), (later + 0.5, 3, 5.0), (later + 0.5, 4, 6.0), (later + 1, 3, 0.0)]
    rows += [(later + 1, 4, 0.0)]
    samples = synchroniser.take(readings(*rows))
    assert samples.asset.tolist() == [0, 1, 1]
    assert told(samples.value) == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
