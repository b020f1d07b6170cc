"""Pacing against a clock that the test moves."""

from datetime import UTC, datetime, timedelta

import pytest

from simulators.pace import Pace
from telemetry.errors import ConfigurationError

START = datetime(2026, 11, 21, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize("speed", [None, 0])
def test_without_speed_every_message_is_due_at_once(speed: float | None) -> None:
    pace = Pace(speed=speed)
    assert [pace.due(after(s), 100.0) for s in (0, 10, 3600)] == [100, 100, 100]


def test_speed_shortens_event_time() -> None:
    pace = Pace(speed=60)
    assert [pace.due(after(s), 100.0) for s in (0, 60, 600)] == [100, 101, 110]


def test_after_a_delay_messages_are_due_at_once_until_the_schedule_is_met() -> None:
    pace = Pace(speed=1)
    pace.due(after(0), 0.0)
    assert pace.due(after(10), 30.0) == 30
    assert pace.due(after(40), 30.0) == 40


def test_event_time_that_steps_back_is_due_at_once() -> None:
    pace = Pace(speed=1)
    pace.due(after(100), 0.0)
    assert pace.due(after(50), 5.0) == 5


def test_rate_spaces_messages_evenly() -> None:
    pace, now_s, moments = Pace(rate=4), 10.0, []
    for _ in range(5):
        now_s = pace.due(START, now_s)
        moments.append(now_s)
    assert moments == pytest.approx([10, 10.25, 10.5, 10.75, 11])


def test_late_wake_ups_do_not_lower_the_rate() -> None:
    pace, now_s = Pace(rate=100), 0.0
    for _ in range(1001):
        now_s = pace.due(START, now_s) + 0.002
    assert now_s == pytest.approx(10, abs=0.1)


def test_rate_holds_while_an_outage_is_made_up_for() -> None:
    pace = Pace(speed=1, rate=10)
    pace.due(after(0), 0.0)
    now_s = 100.0
    for second in range(1, 50):
        now_s = pace.due(after(second), now_s)
    assert now_s >= 100 + 47 * 0.1


@pytest.mark.parametrize("arguments", [{"speed": -1}, {"rate": -1}, {"speed": float("nan")}], ids=str)
def test_a_negative_limit_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="0 \\(no limit\\) or more"):
        Pace(**arguments)
