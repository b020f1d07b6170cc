"""Timestamps in every form a device may send."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.timestamps import TimestampError, micros_of
from telemetry.batch import to_datetime, to_micros

MOMENT = 1_700_000_000_123_456


@pytest.mark.parametrize(
    ("stamp", "micros"),
    [
        pytest.param(1_700_000_000, 1_700_000_000_000_000, id="seconds"),
        pytest.param(1_700_000_000_123, 1_700_000_000_123_000, id="milliseconds"),
        pytest.param(MOMENT, MOMENT, id="microseconds"),
        pytest.param(1_700_000_000_123_456_789, MOMENT, id="nanoseconds are cut"),
        pytest.param(1_700_000_000.123456, MOMENT, id="float seconds"),
        pytest.param(1_700_000_000_123.456, MOMENT, id="float milliseconds"),
        pytest.param(1_700_000_000_123_456.0, MOMENT, id="float microseconds"),
        pytest.param(1.7e18, 1_700_000_000_000_000, id="float nanoseconds"),
        pytest.param("1700000000", 1_700_000_000_000_000, id="text of seconds"),
        pytest.param("1700000000.5", 1_700_000_000_500_000, id="text of float seconds"),
        pytest.param(" 1700000000123 ", 1_700_000_000_123_000, id="text of milliseconds, padded"),
        pytest.param("1.7e9", 1_700_000_000_000_000, id="text with an exponent"),
        pytest.param("2023-11-14T22:13:20.123456Z", MOMENT, id="ISO, Z"),
        pytest.param("2023-11-14T22:13:20.123456", MOMENT, id="ISO, naive is UTC"),
        pytest.param("2023-11-14 22:13:20.123456", MOMENT, id="ISO, blank instead of T"),
        pytest.param("2023-11-15T03:43:20.123456+05:30", MOMENT, id="ISO, half-hour offset"),
        pytest.param("2023-11-14T12:13:20.123456-10:00", MOMENT, id="ISO, west"),
        pytest.param("2023-11-14T22:13:20,5Z", 1_700_000_000_500_000, id="ISO, comma"),
        pytest.param("20231114T221320Z", 1_700_000_000_000_000, id="ISO, basic form"),
        pytest.param("2023-11-14", to_micros(datetime(2023, 11, 14, tzinfo=UTC)), id="ISO, date"),
        pytest.param("2023-11-14T22:13:20.1234567Z", MOMENT + 1, id="seventh digit is rounded"),
        pytest.param(0, 0, id="the epoch"),
        pytest.param(-1, -1_000_000, id="before the epoch"),
        pytest.param(99_999_999_999, 99_999_999_999_000_000, id="last second"),
        pytest.param(100_000_000_000, 100_000_000_000_000, id="first millisecond"),
        pytest.param(100_000_000_000_000, 100_000_000_000_000, id="first microsecond"),
        pytest.param(100_000_000_000_000_000, 100_000_000_000_000, id="first nanosecond"),
    ],
)
def test_timestamp_is_read(stamp: object, micros: int) -> None:
    assert micros_of(stamp) == micros


@pytest.mark.parametrize(
    "stamp",
    [
        True,
        None,
        [],
        {},
        math.nan,
        math.inf,
        -math.inf,
        1e300,
        10**22,
        -(10**22),
        10**399,
        "",
        "yesterday",
        "NaN",
        "Infinity",
        "1e999",
        "1_700_000_000",
        "2023-13-01T00:00:00Z",
        "2023-11-14T25:00:00Z",
        "9" * 31,
        "١٢٣",
        "\ud800",
        b"1700000000",
    ],
    ids=lambda stamp: ascii(stamp)[:30],
)
def test_anything_else_is_no_timestamp(stamp: object) -> None:
    with pytest.raises(TimestampError):
        micros_of(stamp)


@given(
    moment=st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)),  # noqa: DTZ001  # strategy wants naive bounds
    offset_min=st.integers(-1439, 1439),
)
def test_iso_text_with_any_offset_is_exact(moment: datetime, offset_min: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    assert to_datetime(micros_of(aware.isoformat())) == aware


@given(st.integers(10**14, 10**17 - 1), st.sampled_from([-1, 1]))
def test_whole_microseconds_are_exact(micros: int, sign: int) -> None:
    assert micros_of(sign * micros) == sign * micros


@given(st.one_of(st.text(), st.floats(), st.integers(), st.booleans(), st.none(), st.binary()))
def test_nothing_but_a_timestamp_error_comes_out(stamp: object) -> None:
    try:
        micros = micros_of(stamp)
    except TimestampError:
        return
    assert -(2**63) <= micros < 2**63
