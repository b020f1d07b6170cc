"""Event order: lateness is decided per reading in arrival order, whatever the cuts."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.batch import ReadingBatch
from telemetry.errors import ConfigurationError, StateError
from telemetry.ordering import EventOrder

S = 1_000_000

Reading = tuple[int, int]
"""(sensor, time in microseconds)"""


def batch_of(readings: Sequence[Reading]) -> ReadingBatch:
    """The value is made from sensor and time, so that columns that come apart are noticed."""
    return ReadingBatch.of(
        [time for _, time in readings],
        [sensor for sensor, _ in readings],
        [sensor + time / S for sensor, time in readings],
        [time % 4 for _, time in readings],
    )


def readings_of(batch: ReadingBatch) -> list[Reading]:
    for sensor, time, value, quality in zip(
        batch.sensor_id.tolist(),
        batch.time.tolist(),
        batch.value.tolist(),
        batch.quality.tolist(),
        strict=True,
    ):
        assert (value, quality) == (sensor + time / S, time % 4)
    return list(zip(batch.sensor_id.tolist(), batch.time.tolist(), strict=True))


class ReadingByReading:
    """What `EventOrder` must equal, written for one reading at a time."""

    def __init__(self, lateness: int, max_buffered: int) -> None:
        self.lateness, self.max_buffered = lateness, max_buffered
        self.frontier: dict[int, int] = {}
        self.held: dict[int, set[int]] = {}

    def arrive(self, sensor: int, time: int) -> list[Reading] | None:
        """What goes through now; None: the reading is late."""
        held = self.held.setdefault(sensor, set())
        frontier = self.frontier.get(sensor)
        if time in held or (frontier is not None and time <= frontier):
            return None
        held.add(time)
        frontier = max(time - self.lateness, time - self.lateness if frontier is None else frontier)
        if len(held) > self.max_buffered:
            frontier = max(frontier, min(held))
        through = sorted(each for each in held if each <= frontier)
        held.difference_update(through)
        self.frontier[sensor] = frontier
        return [(sensor, each) for each in through]


def by_sensor(readings: Sequence[Reading]) -> dict[int, list[int]]:
    streams: dict[int, list[int]] = {}
    for sensor, time in readings:
        streams.setdefault(sensor, []).append(time)
    return streams


arrivals = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 30)), max_size=60)


@given(
    readings=arrivals,
    lateness=st.integers(0, 12),
    max_buffered=st.integers(1, 6),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    data=st.data(),
)
@settings(max_examples=400, deadline=None)
def test_any_cut_with_restarts_releases_what_reading_by_reading_would(
    readings: list[Reading], lateness: int, max_buffered: int, cuts: list[int], data: st.DataObject
) -> None:
    reference = ReadingByReading(lateness, max_buffered)
    expected: list[Reading] = []
    late = 0
    for reading in readings:
        through = reference.arrive(*reading)
        late += through is None
        expected += through or []

    order = EventOrder(lateness / 1e6, max_buffered=max_buffered)
    found: list[Reading] = []
    found_late = 0
    bounds = sorted({0, len(readings), *(cut for cut in cuts if cut < len(readings))})
    for start, end in itertools.pairwise(bounds):
        if data.draw(st.booleans(), label="restart"):
            body = order.snapshot()
            order = EventOrder(lateness / 1e6, max_buffered=max_buffered)
            order.restore(body)
        ordered = order.release(batch_of(readings[start:end]))
        ready = readings_of(ordered.ready)
        assert ready == sorted(ready)
        found += ready
        found_late += ordered.late
    assert by_sensor(found) == by_sensor(expected)
    assert found_late == late
    assert order.buffered == sum(len(held) for held in reference.held.values())

    rest = readings_of(order.flush())
    assert rest == sorted((sensor, time) for sensor, held in reference.held.items() for time in held)
    assert len(found) + len(rest) + late == len(readings)


@pytest.mark.parametrize(
    ("lateness_s", "times", "released", "late"),
    [
        pytest.param(0.0, [1, 2, 3], [1, 2, 3], 0, id="in order, at once"),
        pytest.param(0.0, [1, 3, 2, 4], [1, 3, 4], 1, id="older than the newest is late"),
        pytest.param(0.0, [1, 1, 2], [1, 2], 1, id="the same instant twice"),
        pytest.param(2.0, [1, 2, 3], [1], 0, id="held back until the watermark passes"),
        pytest.param(2.0, [3, 2, 5], [2, 3], 0, id="put in order behind the watermark"),
        pytest.param(2.0, [3, 1, 5], [3], 1, id="exactly at the watermark is late"),
        pytest.param(2.0, [3, 3, 5], [3], 1, id="the same instant twice while held back"),
    ],
)
def test_release_of_one_sensor(lateness_s: float, times: list[int], released: list[int], late: int) -> None:
    ordered = EventOrder(lateness_s).release(batch_of([(7, time * S) for time in times]))
    assert [time // S for _, time in readings_of(ordered.ready)] == released
    assert ordered.late == late


def test_sensors_have_watermarks_of_their_own() -> None:
    order = EventOrder()
    order.release(batch_of([(1, 100 * S)]))
    ordered = order.release(batch_of([(2, 5 * S), (1, 50 * S)]))
    assert readings_of(ordered.ready) == [(2, 5 * S)]
    assert ordered.late == 1


def test_what_was_flushed_is_not_released_again() -> None:
    order = EventOrder(10.0)
    order.release(batch_of([(1, 4 * S), (1, 8 * S)]))
    assert readings_of(order.flush()) == [(1, 4 * S), (1, 8 * S)]
    assert not len(order.flush())
    again = order.release(batch_of([(1, 8 * S), (1, 6 * S), (1, 9 * S)]))
    assert again.late == 2
    assert readings_of(order.flush()) == [(1, 9 * S)]


def test_first_reading_of_an_instant_wins() -> None:
    order = EventOrder(1.0)
    order.release(ReadingBatch.of([5], [1], [1.0]))
    order.release(ReadingBatch.of([5], [1], [2.0]))
    assert order.flush().value.tolist() == [1.0]


def test_a_full_buffer_lets_the_oldest_through_early() -> None:
    order = EventOrder(1000.0, max_buffered=2)
    ordered = order.release(batch_of([(1, 10), (1, 20), (1, 30), (1, 5), (2, 1)]))
    assert readings_of(ordered.ready) == [(1, 10)]
    assert ordered.late == 1
    assert order.buffered == 3


def test_an_empty_batch_releases_nothing() -> None:
    ordered = EventOrder(1.0).release(ReadingBatch.empty())
    assert (len(ordered.ready), ordered.late) == (0, 0)


@pytest.mark.parametrize("lateness_s", [-1.0, float("nan"), float("inf")])
def test_an_impossible_lateness_is_refused(lateness_s: float) -> None:
    with pytest.raises(ConfigurationError, match="between 0 and"):
        EventOrder(lateness_s)


def test_a_buffer_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="1 or more"):
        EventOrder(max_buffered=0)


def test_a_foreign_snapshot_is_refused() -> None:
    with pytest.raises(StateError):
        EventOrder().restore(b"something else")


def test_many_sensors_out_of_order_equal_reading_by_reading() -> None:
    random = np.random.default_rng(4)
    sensor = random.integers(1, 50, 5000)
    time = np.arange(5000) * 1000 + random.integers(-30_000, 30_000, 5000)
    readings = list(zip(sensor.tolist(), time.tolist(), strict=True))
    reference = ReadingByReading(20_000, 4096)
    expected = [each for reading in readings for each in reference.arrive(*reading) or []]
    ready = EventOrder(0.02).release(batch_of(readings)).ready
    assert by_sensor(readings_of(ready)) == by_sensor(expected)
