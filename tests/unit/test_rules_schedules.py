"""Rules that apply only at some hours of some days."""

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.definition import Rule, Schedule, Span
from rules.instances import NEVER
from rules.samples import Samples
from rules.schedules import OpenHours, Schedules
from telemetry.batch import to_datetime, to_micros
from telemetry.errors import ConfigurationError, StateError

HOUR = 3_600_000_000
BERLIN = "Europe/Berlin"
EVERY_DAY = frozenset(range(7))
WORKDAYS = frozenset(range(5))


def hours(begin: float, end: float, weekdays: frozenset[int] = EVERY_DAY) -> Span:
    return Span(weekdays=weekdays, begin_s=round(begin * 3600), end_s=round(end * 3600))


def at(text: str, zone: str = "UTC", fold: int = 0) -> int:
    return to_micros(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC))


def is_open(schedule: Schedule, *moments: int) -> list[bool]:
    opened: list[bool] = OpenHours(schedule).is_open(np.array(moments, np.int64)).tolist()
    return opened


def edges(schedule: Schedule, begin: str, end: str) -> list[str]:
    """Openings and closings in between, UTC."""
    low, high = at(begin), at(end)
    found = OpenHours(schedule).edges(low, high).time
    return [to_datetime(edge).strftime("%m-%d %H:%M") for edge in found[(found >= low) & (found < high)].tolist()]


def test_open_from_the_opening_instant_until_before_the_closing() -> None:
    schedule = Schedule(timezone="UTC", spans=(hours(6, 14),))
    six, two = at("2026-05-04T06:00"), at("2026-05-04T14:00")
    assert is_open(schedule, six - 1, six, two - 1, two) == [False, True, True, False]


def test_weekdays_and_the_time_zone_are_those_of_the_plant() -> None:
    schedule = Schedule(timezone=BERLIN, spans=(hours(6, 14, WORKDAYS),))
    friday, saturday = at("2026-05-08T07:00", BERLIN), at("2026-05-09T07:00", BERLIN)
    assert is_open(schedule, friday, saturday) == [True, False]
    assert is_open(schedule, at("2026-05-08T04:00"), at("2026-05-08T03:59")) == [True, False]


def test_a_span_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    schedule = Schedule(timezone="UTC", spans=(hours(22, 30, frozenset({4})),))  # Friday 22:00 to Saturday 06:00
    assert edges(schedule, "2026-05-04T00:00", "2026-05-11T00:00") == ["05-08 22:00", "05-09 06:00"]


def test_on_closed_days_no_span_begins_but_one_from_the_day_before_ends() -> None:
    schedule = Schedule(timezone="UTC", spans=(hours(22, 30),), closed=frozenset({date(2026, 5, 6)}))
    assert edges(schedule, "2026-05-05T12:00", "2026-05-08T00:00") == ["05-05 22:00", "05-06 06:00", "05-07 22:00"]


def test_shifts_that_touch_or_overlap_are_one() -> None:
    schedule = Schedule(timezone="UTC", spans=(hours(6, 14), hours(14, 22), hours(21, 23)))
    assert edges(schedule, "2026-05-04T00:00", "2026-05-05T00:00") == ["05-04 06:00", "05-04 23:00"]
    always = Schedule(timezone=BERLIN, spans=(hours(0, 24),))
    assert edges(always, "2026-01-01T00:00", "2026-12-31T00:00") == []
    assert is_open(always, at("2026-03-29T01:00")) == [True]
    assert is_open(Schedule(timezone="UTC", spans=()), at("2026-03-29T01:00")) == [False]


def test_a_day_with_23_hours() -> None:
    """Sunday 29 March 2026, 02:00 CET is followed by 03:00 CEST."""
    assert edges(Schedule(timezone=BERLIN, spans=(hours(1, 4),)), "2026-03-29T00:00", "2026-03-29T12:00") == [
        "03-29 00:00",
        "03-29 02:00",
    ]
    skipped = Schedule(timezone=BERLIN, spans=(hours(2.5, 4),))
    assert edges(skipped, "2026-03-29T00:00", "2026-03-29T12:00") == ["03-29 01:30", "03-29 02:00"]
    assert edges(Schedule(timezone=BERLIN, spans=(hours(2.25, 2.75),)), "2026-03-29T00:00", "2026-03-29T12:00") == [
        "03-29 01:15",
        "03-29 01:45",
    ]


def test_a_day_with_25_hours() -> None:
    """Sunday 25 October 2026, 03:00 CEST is followed by 02:00 CET: a shift of the night has an hour more."""
    night = Schedule(timezone=BERLIN, spans=(hours(22, 30),))
    assert edges(night, "2026-10-24T12:00", "2026-10-25T12:00") == ["10-24 20:00", "10-25 05:00"]
    twice = Schedule(timezone=BERLIN, spans=(hours(2, 2.5),))
    assert edges(twice, "2026-10-25T00:00", "2026-10-25T12:00") == ["10-25 00:00", "10-25 01:30"]


@settings(deadline=None)
@given(
    spans=st.lists(
        st.builds(hours, st.integers(0, 23), st.integers(1, 30), st.frozensets(st.integers(0, 6))), max_size=3
    ),
    moments=st.lists(st.integers(0, 24 * 120), min_size=1, max_size=9),
    zone=st.sampled_from([BERLIN, "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
)
def test_the_wall_clock_says_whether_it_is_open(spans: list[Span], moments: list[int], zone: str) -> None:
    """Away from the days on which clocks change, asked for in any order."""
    schedule = Schedule(timezone=zone, spans=tuple(spans), closed=frozenset({date(2026, 2, 3)}))
    opened = OpenHours(schedule)
    for moment in moments:
        instant = datetime(2026, 1, 1, tzinfo=UTC) + moment * timedelta(hours=1) + timedelta(minutes=10)
        clock = instant.astimezone(ZoneInfo(zone))
        around = {(clock + timedelta(days=days)).utcoffset() for days in (-3, -2, -1, 0, 1, 2)}
        if len(around) > 1:
            continue
        expected = any(
            day.weekday() in span.weekdays
            and day not in schedule.closed
            and span.begin_s
            <= (clock.replace(tzinfo=None) - datetime.combine(day, datetime.min.time())).total_seconds()
            and (clock.replace(tzinfo=None) - datetime.combine(day, datetime.min.time())).total_seconds() < span.end_s
            for span in spans
            for day in (clock.date(), clock.date() - timedelta(days=1))
        )
        assert opened.is_open(np.array([to_micros(instant)])).tolist() == [expected]


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no time zone 'Europe/Atlantis'"):
        OpenHours(Schedule(timezone="Europe/Atlantis", spans=()))


Point = tuple[float, float]
"""(hours since 1970, value)"""
DAY_SHIFT = Schedule(timezone="UTC", spans=(hours(6, 14),))


def rule(id_: int = 1, schedule: Schedule | None = DAY_SHIFT) -> Rule:
    return Rule(
        id=id_,
        name=f"rule{id_}",
        sensor_id=1,
        sensor_name="sensor1",
        asset_id=1,
        unit="",
        high=10.0,
        schedule=schedule,
    )


def fold(
    schedules: Schedules, samples: Sequence[Point] = (), until: float | None = None, signal: int = -1
) -> list[tuple[float, float | None]]:
    """The samples let through; None is NaN."""
    after = schedules.fold(
        Samples(
            signal=np.full(len(samples), signal, np.int32),
            time=np.array([round(time * HOUR) for time, _ in samples], np.int64),
            value=np.array([value for _, value in samples], np.float64),
        ),
        np.full(schedules.signal.size, NEVER if until is None else round(until * HOUR), np.int64),
    )
    assert set(after.signal.tolist()) <= {signal}
    return [
        (time / HOUR, None if np.isnan(value) else value)
        for time, value in zip(after.time.tolist(), after.value.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        pytest.param([(6, 1), (13, 2)], [(6, 1), (13, 2)], id="open"),
        pytest.param([(13, 2), (14, 3)], [(13, 2), (14, None)], id="at the closing instant it does not count"),
        pytest.param([(13, 2), (20, 3)], [(13, 2), (14, None)], id="the closing ends what stands"),
        pytest.param([(15, 2), (20, 3)], [(15, None)], id="outside from the beginning"),
        pytest.param(
            [(20, 3), (31, 4)], [(20, None), (30, 3), (31, 4)], id="what was measured before holds at the opening"
        ),
        pytest.param([(20, 3), (30, 4)], [(20, None), (30, 4)], id="measured at the opening instant"),
        pytest.param(
            [(13, 2), (61, 4)],
            [(13, 2), (14, None), (30, 2), (38, None), (54, 2), (61, 4)],
            id="days without a sample",
        ),
    ],
)
def test_which_samples_count(samples: Sequence[Point], expected: list[tuple[float, float | None]]) -> None:
    assert fold(Schedules([rule()]), samples) == expected


def test_time_that_passes_closes_and_opens() -> None:
    schedules = Schedules([rule()])
    assert fold(schedules, [(13, 11)]) == [(13, 11)]
    assert schedules.waiting({1}).tolist() == [-1]
    assert schedules.waiting(set()).tolist() == []
    assert fold(schedules, until=13.9) == []
    assert fold(schedules, until=14) == [(14, None)]
    assert schedules.waiting(set()).tolist() == [-1]
    assert fold(schedules, until=30) == [(30, 11)]
    assert fold(schedules, [(30.5, 9), (38, 9)]) == [(30.5, 9), (38, None)]
    assert schedules.waiting(set()).tolist() == []


def test_time_that_passes_without_opening_or_closing_leaves_no_trace() -> None:
    schedules = Schedules([rule()])
    fold(schedules, [(7, 1)])
    before = schedules.snapshot()
    assert fold(schedules, until=13) == []
    assert schedules.snapshot() == before


def test_a_sample_from_before_a_closing_that_was_told_does_not_count_any_more() -> None:
    schedules = Schedules([rule()])
    fold(schedules, [(13, 1)])
    assert fold(schedules, until=15) == [(14, None)]
    assert fold(schedules, [(13.5, 99)]) == []


def test_samples_of_other_rules_pass() -> None:
    assert fold(Schedules([rule()]), [(20, 1)], signal=7) == [(20, 1)]
    assert fold(Schedules([]), [(20, 1)]) == [(20, 1)]


def test_what_stands_ends_when_the_hours_were_changed_meanwhile() -> None:
    schedules = Schedules([rule()])
    fold(schedules, [(13, 11)])
    earlier = Schedules([rule(schedule=Schedule(timezone="UTC", spans=(hours(6, 12),)))])
    earlier.restore(schedules.snapshot())
    assert fold(earlier, [(13.5, 12), (13.6, 12)]) == [(13.5, None)]


def test_a_damaged_snapshot_is_refused() -> None:
    with pytest.raises(StateError):
        Schedules([rule()]).restore(b"nonsense")


@settings(deadline=None)
@given(times=st.lists(st.integers(0, 400), unique=True, min_size=1), cut=st.randoms(use_true_random=False))
def test_any_cut_lets_the_same_samples_through(times: list[int], cut: random.Random) -> None:
    rules = [rule(schedule=Schedule(timezone=BERLIN, spans=(hours(6, 14), hours(20, 26, WORKDAYS))))]
    samples = [(time / 4, float(time)) for time in sorted(times)]
    whole = fold(Schedules(rules), samples)
    schedules, pieces = Schedules(rules), []
    for position, sample in enumerate(samples):
        pieces += fold(schedules, [sample])
        if cut.random() < 0.3 and position + 1 < len(samples):
            pieces += fold(schedules, until=cut.uniform(sample[0], samples[position + 1][0] - 0.01))
        if cut.random() < 0.1:
            parts = schedules.snapshot()
            schedules = Schedules(rules)
            schedules.restore(parts)
    assert pieces == whole
