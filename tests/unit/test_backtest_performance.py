"""Figures over occurrences, against hand-made cases."""

from datetime import UTC, datetime, timedelta

import pytest

from rules.comparison import compare
from rules.definition import Priority, Rule
from rules.events import AlarmChange, ChangeKind, Side, alarm_key
from rules.occurrences import Occurrence, OccurrenceLog, union
from rules.performance import Verdict, judge, measure
from telemetry.batch import to_micros

BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=10)


def rule(name: str = "hot", sensor: str = "P-1.temp", priority: Priority = Priority.LOW) -> Rule:
    return Rule(
        id=1, name=name, sensor_id=1, sensor_name=sensor, asset_id=1, unit="degC", high=80.0, high_high=90.0,
        priority=priority,
    )  # fmt: skip


def occurrence(
    at_s: float,
    lasts_s: float | None = 600.0,
    *,
    of: Rule | None = None,
    side: Side = Side.HIGH,
    told: bool = True,
) -> Occurrence:
    began = BEGIN + timedelta(seconds=at_s)
    return Occurrence(
        rule=of or rule(),
        side=side,
        limit=80.0,
        began_at=began,
        ended_at=None if lasts_s is None else began + timedelta(seconds=lasts_s),
        told_at=began if told else None,
        peak_value=85.0,
        peak_at=began,
    )


def change(kind: ChangeKind, at_s: float, began_s: float = 0.0, peak: float = 85.0) -> AlarmChange:
    began, at = (BEGIN + timedelta(seconds=seconds) for seconds in (began_s, at_s))
    key = alarm_key(rule(), Side.HIGH, to_micros(began))
    return AlarmChange(
        kind=kind, key=key, rule=rule(), side=Side.HIGH, limit=80.0, at=at, began_at=began, value=81.0,
        peak_value=peak, peak_at=at,
    )  # fmt: skip


def test_changes_become_occurrences_with_the_last_peak() -> None:
    log = OccurrenceLog()
    log.add([change(ChangeKind.RAISED, 0), change(ChangeKind.PEAK, 30, peak=88.0)])
    log.add([change(ChangeKind.CLEARED, 60, peak=89.0), change(ChangeKind.RAISED, 100, began_s=100)])

    first, second = log.occurrences()

    assert (first.began_at, first.ended_at, first.peak_value) == (BEGIN, BEGIN + timedelta(seconds=60), 89.0)
    assert second.ended_at is None
    assert second.lasted_s(BEGIN + timedelta(seconds=400)) == 300


@pytest.mark.parametrize(
    ("changes", "told_s"),
    [
        pytest.param([(ChangeKind.RAISED, 0)], 0, id="never suppressed"),
        pytest.param([(ChangeKind.RAISED, 0), (ChangeKind.SUPPRESSED, 0)], None, id="from the beginning on"),
        pytest.param([(ChangeKind.RAISED, 0), (ChangeKind.SUPPRESSED, 5)], 0, id="after it was told"),
        pytest.param(
            [(ChangeKind.RAISED, 0), (ChangeKind.SUPPRESSED, 0), (ChangeKind.UNSUPPRESSED, 9)], 9, id="told later"
        ),
    ],
)
def test_an_alarm_counts_as_told_when_nothing_stands_for_it(
    changes: list[tuple[ChangeKind, float]], told_s: float | None
) -> None:
    log = OccurrenceLog()
    log.add([change(kind, at) for kind, at in changes])

    (found,) = log.occurrences()

    assert found.told_at == (None if told_s is None else BEGIN + timedelta(seconds=told_s))


def test_a_quiet_time_has_figures_and_they_are_good() -> None:
    found = measure([], BEGIN, END)

    assert (found.alarms, found.per_day, found.floods, found.worst) == (0, 0.0, 0, ())
    assert {each.verdict for each in judge(found)} == {Verdict.GOOD}


def test_rates_are_for_one_operator() -> None:
    alarms = [occurrence(3600 * number) for number in range(40)]

    one, two = measure(alarms, BEGIN, END), measure(alarms, BEGIN, END, operators=2)

    assert (one.per_day, two.per_day) == (4.0, 2.0)
    assert one.per_10_min == pytest.approx(40 / 1440)


def test_suppressed_alarms_burden_nobody() -> None:
    found = measure([occurrence(0), occurrence(10, told=False)], BEGIN, END)

    assert (found.alarms, found.suppressed) == (1, 1)
    assert found.time_in_alarm_s == 600


def test_ten_alarms_in_ten_minutes_are_no_flood_and_eleven_are() -> None:
    ten = [occurrence(number * 59) for number in range(10)]
    eleven = [*ten, occurrence(599)]

    assert measure(ten, BEGIN, END).floods == 0
    flooded = measure(eleven, BEGIN, END)
    assert (flooded.floods, flooded.most_in_10_min, flooded.flood_share) == (1, 11, 1 / 1440)
    assert measure(eleven, BEGIN, END, operators=2).floods == 0


def test_adjoining_periods_are_one_flood_and_others_another() -> None:
    periods = (0, 1, 5)
    alarms = [occurrence(period * 600 + number * 50) for period in periods for number in range(12)]

    found = measure(alarms, BEGIN, END)

    assert (found.floods, found.flood_share) == (2, 3 / 1440)


@pytest.mark.parametrize(
    ("at_s", "chattering"),
    [
        pytest.param([0, 30, 60], 3, id="three within a minute"),
        pytest.param([0, 30, 61], 0, id="three in just over a minute"),
        pytest.param([0, 20], 0, id="two"),
        pytest.param([0, 20, 40, 60, 300], 4, id="four, and one later"),
    ],
)
def test_chattering_is_one_alarm_three_times_within_a_minute(at_s: list[float], chattering: int) -> None:
    found = measure([occurrence(at, 5) for at in at_s], BEGIN, END)

    assert (found.chattering, found.chattering_sources) == (chattering, int(chattering > 0))


def test_three_different_alarms_within_a_minute_do_not_chatter() -> None:
    alarms = [
        occurrence(0, 5),
        occurrence(10, 5, side=Side.HIGH_HIGH),
        occurrence(20, 5, of=rule(sensor="P-2.temp")),
    ]

    assert measure(alarms, BEGIN, END).chattering == 0


def test_fleeting_is_under_a_minute_and_stale_over_a_day() -> None:
    alarms = [occurrence(0, 59), occurrence(100, 60), occurrence(200, 86_400), occurrence(300, 86_401)]

    found = measure(alarms, BEGIN, END)

    assert (found.fleeting, found.stale) == (1, 1)


def test_what_still_stands_is_neither_fleeting_nor_endless() -> None:
    found = measure([occurrence(864_000 - 30, None)], BEGIN, END)

    assert (found.fleeting, found.time_in_alarm_s) == (0, 30)


def test_time_with_any_alarm_counts_once_however_many_stand() -> None:
    found = measure([occurrence(0, 1000), occurrence(500, 1000, side=Side.HIGH_HIGH)], BEGIN, END)

    assert found.time_in_alarm_s == 2000
    assert found.alarm_share == pytest.approx(1500 / 864_000)


def test_worst_alarms_come_first_with_their_share() -> None:
    many = [occurrence(number * 7200, of=rule(sensor="P-2.temp")) for number in range(6)]
    few = [occurrence(number * 7200) for number in range(2)]

    found = measure([*few, *many], BEGIN, END)

    assert [(load.subject, load.alarms, load.share) for load in found.worst] == [
        ("P-2.temp", 6, 0.75),
        ("P-1.temp", 2, 0.25),
    ]
    assert found.worst_share == 1.0


def test_only_ten_are_among_the_worst() -> None:
    alarms = [occurrence(number, of=rule(sensor=f"P-{number}.temp")) for number in range(20)]

    found = measure(alarms, BEGIN, END)

    assert (len(found.worst), found.worst_share) == (10, 0.5)


def test_priority_is_that_of_the_side() -> None:
    found = measure([occurrence(0), occurrence(0, side=Side.HIGH_HIGH)], BEGIN, END)

    assert dict(found.priorities) == {Priority.LOW: 1, Priority.MEDIUM: 0, Priority.HIGH: 1}


def test_too_many_alarms_are_told_as_such() -> None:
    alarms = [occurrence(number * 200, 5, of=rule(sensor=f"P-{number % 300}.temp")) for number in range(4000)]

    verdicts = {each.name: each.verdict for each in judge(measure(alarms, BEGIN, END))}

    assert verdicts["alarms per operator and day"] is Verdict.BAD
    assert verdicts["load of the ten worst, %"] is Verdict.GOOD
    assert verdicts["chattering alarms"] is Verdict.GOOD


def test_union_joins_what_touches_or_overlaps() -> None:
    import numpy as np

    spans = np.array([(5, 7), (0, 2), (2, 3), (6, 10), (12, 13)], np.int64)

    assert union(spans).tolist() == [[0, 3], [5, 10], [12, 13]]


def test_alarms_are_compared_by_subject_and_time_not_by_name() -> None:
    renamed = rule(name="overheated")
    new = [occurrence(0, 100), occurrence(1000, 100), occurrence(0, 100, of=rule(sensor="P-2.temp"))]
    old = [occurrence(50, 100, of=renamed), occurrence(90, 5, of=renamed), occurrence(2000, 100, of=renamed)]

    found = compare(new, old, END)

    assert [each.began_at for each in found.new_in_both] == [BEGIN]
    assert len(found.old_in_both) == 2
    assert len(found.only_new) == 2
    assert [each.began_at for each in found.only_old] == [BEGIN + timedelta(seconds=2000)]


def test_alarms_that_only_touch_are_the_same_and_suppressed_ones_are_not_compared() -> None:
    touching = compare([occurrence(0, 100)], [occurrence(100, 100)], END)
    apart = compare([occurrence(0, 100)], [occurrence(101, 100), occurrence(0, 100, told=False)], END)

    assert (len(touching.only_new), len(touching.only_old)) == (0, 0)
    assert (len(apart.only_new), len(apart.only_old)) == (1, 1)
