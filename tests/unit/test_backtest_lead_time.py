"""Alarms against known failures, by hand-made cases."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from precursor.backtest.labels import read_failures
from rules.definition import Rule
from rules.events import Side
from rules.lead_time import Failure, Foresight, foresight
from rules.occurrences import Occurrence
from rules.signal import FlatLine
from telemetry.errors import ConfigurationError

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=120)
PUMP = Rule(id=1, name="hot", sensor_id=1, sensor_name="P-1.temp", asset_id=1, unit="degC", high=80.0)
MOTOR = Rule(id=2, name="hot", sensor_id=2, sensor_name="M-1.temp", asset_id=2, unit="degC", high=80.0)
STUCK = Rule(
    id=3, name="stuck", sensor_id=1, sensor_name="P-1.temp", asset_id=1, unit="", signal=FlatLine(), on_delay_s=60.0
)
MACHINE_OF = {1: ("P-1",), 2: ("M-1", "P-1"), 3: ("P-2",)}


def day(number: float) -> datetime:
    return BEGIN + timedelta(days=number)


def alarm(at_day: float, rule: Rule = PUMP, *, told: bool = True) -> Occurrence:
    return Occurrence(
        rule=rule, side=Side.HIGH, limit=80.0, began_at=day(at_day), ended_at=day(at_day + 0.1),
        told_at=day(at_day) if told else None, peak_value=90.0, peak_at=day(at_day),
    )  # fmt: skip


def judged(alarms: list[Occurrence], failures: list[Failure], **options: timedelta) -> Foresight:
    return foresight(alarms, failures, BEGIN, END, machine_of=MACHINE_OF, machines=["P-1", "P-2"], **options)


def failed(at_day: float, asset: str = "P-1", began: float | None = None) -> Failure:
    return Failure(asset=asset, failure_at=day(at_day), began_at=None if began is None else day(began))


def test_lead_time_is_from_the_first_alarm_in_the_window() -> None:
    found = judged([alarm(50), alarm(45)][::-1], [failed(60)])

    assert found.failures[0].lead_s == 15 * 86_400
    assert (found.missed, found.false_alarms) == (0, 0)


@pytest.mark.parametrize(
    ("at_day", "warned"),
    [
        pytest.param(29.9, False, id="before the horizon"),
        pytest.param(30, True, id="at the horizon"),
        pytest.param(59.9, True, id="shortly before"),
        pytest.param(60, False, id="at the failure"),
    ],
)
def test_the_window_is_from_the_horizon_to_the_failure(at_day: float, warned: bool) -> None:
    found = judged([alarm(at_day)], [failed(60)])

    assert (found.missed, found.false_alarms) == ((0, 0) if warned else (1, 1))


def test_the_window_begins_at_the_failure_before() -> None:
    found = judged([alarm(55)], [failed(60), failed(70)])

    assert [each.first is not None for each in found.failures] == [True, False]
    assert found.failures[1].window_begin == day(60)


def test_a_known_onset_begins_the_window_and_gives_a_delay() -> None:
    found = judged([alarm(40), alarm(52)], [failed(60, began=50)])

    assert (found.failures[0].lead_s, found.failures[0].delay_s) == (8 * 86_400, 2 * 86_400)
    assert found.false_alarms == 1


def test_an_alarm_of_a_part_warns_of_its_machine_and_another_machine_does_not() -> None:
    assert judged([alarm(50, MOTOR)], [failed(60)]).missed == 0
    assert judged([alarm(50, PUMP)], [failed(60, "P-2")]).missed == 1


def test_alarms_about_a_measurement_or_told_to_nobody_do_not_count() -> None:
    found = judged([alarm(50, STUCK), alarm(10, STUCK), alarm(50, told=False)], [failed(60)])

    assert (found.missed, found.false_alarms) == (1, 0)


def test_false_alarms_are_by_month_of_time_outside_windows() -> None:
    found = judged([alarm(10), alarm(90), alarm(50)], [failed(60)])

    assert found.asset_months == pytest.approx((2 * 120 - 30) / 30)
    assert found.false_per_asset_month == pytest.approx(2 / 7)


def test_chance_is_what_random_alarms_would_have_found() -> None:
    found = judged([alarm(10), alarm(90)], [failed(60)])

    assert found.by_chance == pytest.approx(1 - (1 - 30 / 120) ** 2)


def test_failures_outside_the_time_are_left_out_but_end_windows() -> None:
    found = judged([alarm(5)], [failed(-1), failed(10), failed(500)])

    assert [each.failure.failure_at for each in found.failures] == [day(10)]
    assert found.failures[0].window_begin == BEGIN


def test_a_shorter_horizon_makes_old_alarms_false() -> None:
    found = judged([alarm(50)], [failed(60)], horizon=timedelta(days=5))

    assert (found.missed, found.false_alarms, found.median_lead_s) == (1, 1, None)


def test_labels_are_read_by_time(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(
        "asset,failure_at,began_at\nP-2,2026-07-02T00:00:00+02:00,\nP-1,2026-06-02T10:00:00Z,2026-06-01T10:00:00Z\n"
    )

    found = read_failures(file, {"P-1", "P-2"})

    assert found == (
        Failure(
            asset="P-1",
            failure_at=datetime(2026, 6, 2, 10, tzinfo=UTC),
            began_at=datetime(2026, 6, 1, 10, tzinfo=UTC),
        ),
        Failure(asset="P-2", failure_at=datetime(2026, 7, 1, 22, tzinfo=UTC)),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("asset,at\n", "labels.csv:1: no column failure_at", id="a column is missing"),
        pytest.param("asset,failure_at\nP-11,2026-06-02T10Z\n", "labels.csv:2: there is no asset 'P-11'", id="asset"),
        pytest.param("asset,failure_at\nP-1,yesterday\n", "labels.csv:2: failure_at is 'yesterday'", id="no time"),
        pytest.param("asset,failure_at\nP-1,2026-06-02T10:00\n", "labels.csv:2: failure_at '2026-06-02T10:00' has no"
                     " time zone", id="no zone"),
        pytest.param("asset,failure_at,began_at\nP-1,2026-06-02T10:00Z,2026-06-03T10:00Z\n", "labels.csv:2: began_at",
                     id="began after"),
        pytest.param("", "labels.csv:1: no column asset", id="empty"),
    ],
)  # fmt: skip
def test_labels_with_a_fault_are_refused_with_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(text)

    with pytest.raises(ConfigurationError) as refused:
        read_failures(file, {"P-1"})

    assert said in str(refused.value)
