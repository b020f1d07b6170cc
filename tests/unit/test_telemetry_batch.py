"""`ReadingBatch` and the times in it."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.batch import ReadingBatch, to_datetime, to_micros
from telemetry.errors import StateError
from telemetry.snapshot import pack, unpack


def batch(rows: list[tuple[int, int, float]]) -> ReadingBatch:
    return ReadingBatch.of([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_survive_the_way_to_microseconds_and_back_exactly(moment: datetime) -> None:
    assert to_datetime(to_micros(moment)) == moment


def test_a_time_zone_is_converted_and_a_naive_time_refused() -> None:
    berlin = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=1)))
    assert to_datetime(to_micros(berlin)) == berlin
    with pytest.raises(ValueError, match="no time zone"):
        to_micros(datetime(2026, 3, 1, 12))  # noqa: DTZ001 - the naive time is the case


def test_sorting_is_by_sensor_then_time_and_keeps_arrival_order_among_equals() -> None:
    sorted_ = batch([(5, 2, 1.0), (3, 1, 2.0), (3, 2, 3.0), (5, 2, 4.0)]).sorted()
    assert sorted_.sensor_id.tolist() == [1, 2, 2, 2]
    assert sorted_.time.tolist() == [3, 3, 5, 5]
    assert sorted_.value.tolist() == [2.0, 3.0, 1.0, 4.0]


def test_columns_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        batch([(1, 1, 1.0)]).value[0] = 2.0


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="sensor_id"):
        ReadingBatch.of([1, 2], [1], [1.0, 2.0])


@given(
    st.lists(
        st.tuples(
            st.integers(-(2**62), 2**62),
            st.integers(1, 2**31 - 1),
            st.floats(allow_nan=False),
            st.integers(0, 3),
        )
    )
)
def test_bytes_give_the_same_batch_back(rows: list[tuple[int, int, float, int]]) -> None:
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    before = ReadingBatch.of(*columns)
    after = ReadingBatch.from_bytes(before.to_bytes())
    for name in ("time", "sensor_id", "value", "quality"):
        assert np.array_equal(getattr(before, name), getattr(after, name))
    assert len(before.to_bytes()) == 22 * len(rows)


def test_bytes_of_a_broken_length_are_refused() -> None:
    with pytest.raises(StateError, match="whole readings"):
        ReadingBatch.from_bytes(b"123")


def test_a_snapshot_of_another_kind_or_a_damaged_one_is_refused() -> None:
    body = pack("rules/1", {"level": np.arange(3.0)})
    assert unpack("rules/1", body)["level"].tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(StateError, match="'rules/1'"):
        unpack("rules/2", body)
    with pytest.raises(StateError, match="damaged"):
        unpack("rules/1", body[:20])
