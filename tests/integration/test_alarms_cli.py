"""`precursor alarms`, as typed."""

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from precursor.cli import group
from rules.alarm_actions import UnknownAlarmError
from rules.alarm_life import AlarmStepError
from telemetry.errors import ConfigurationError, PrecursorError

PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'water');
INSERT INTO asset (name, area_id, parent_id) VALUES ('pump', 1, NULL), ('motor', 1, 1);
INSERT INTO sensor (name, asset_id, unit) VALUES ('pump.vib', 1, 'mm/s'), ('motor.temp', 2, 'degC');
INSERT INTO rule (name, subject, asset_id, sensor_id, kind, unit, high, priority, latching)
VALUES ('severe', 'pump.vib', 1, 1, 'limit', 'mm/s', 7, 3, false),
       ('hot', 'motor.temp', 2, 2, 'limit', 'degC', 80, 2, true),
       ('silent', 'pump', 1, NULL, 'no_data', '', NULL, 1, false);
INSERT INTO alarm (key, rule_id, rule_name, sensor_id, asset_id, side, limit_value, unit, priority, latching,
                   began_at, ended_at, annunciated_at, value, peak_value, peak_at)
SELECT place::text, r.id, r.name, r.sensor_id, r.asset_id, alarm.side, 7, r.unit, r.priority, r.latching,
       at, at + lasted, at, 7.5, 8, at
FROM rule r
JOIN (VALUES (1, 1, 'high', interval '30 hours', NULL::interval), (2, 2, 'high', interval '3 hours', interval '1 hour'),
             (3, 3, 'condition', interval '2 hours', NULL)) AS alarm (place, rule_id, side, age, lasted)
    ON alarm.rule_id = r.id
CROSS JOIN LATERAL (SELECT now() - age AS at) AS moment
ORDER BY place;
INSERT INTO alarm (key, rule_id, rule_name, sensor_id, asset_id, side, limit_value, unit, priority,
                   began_at, ended_at, annunciated_at, acknowledged_at, acknowledged_by, value, peak_value, peak_at)
SELECT 'c' || n, 1, 'severe', 1, 1, 'high', 7, 'mm/s', 3, at, at + interval '3 seconds', at, at, 'kim', 7.5, 7.8, at
FROM generate_series(1, 4) AS n, LATERAL (SELECT now() - interval '1 hour' + n * interval '9 seconds' AS at) AS moment;
INSERT INTO alarm_event (alarm_id, rule_id, kind, at) SELECT id, rule_id, 'raised', began_at FROM alarm;
"""
Typed = Callable[..., Any]


@pytest.fixture
def typed(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Runs a command line; its output, as JSON where it was asked for, or the error it ends with."""
    with psycopg.connect(dsn) as connection:
        connection.execute(PLANT.encode())
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", dsn)

    def run(*words: str) -> Any:
        found: Result = CliRunner().invoke(group, ["alarms", *words])
        if isinstance(found.exception, PrecursorError):
            return found.exception
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        return json.loads(found.output) if "--json" in words else found.output

    return run


def test_what_is_not_normal_is_listed_and_the_rest_on_demand(typed: Typed) -> None:
    lines = typed("list").splitlines()
    assert lines[0].split()[:3] == ["alarm", "priority", "state"]
    assert [line.split()[0] for line in lines[1:]] == ["3", "2", "1"]
    assert "latched unacknowledged" in lines[2]
    assert [each["id"] for each in typed("list", "--state", "normal", "--json")] == [7, 6, 5, 4]
    assert [each["id"] for each in typed("list", "--asset", "motor", "--priority", "medium", "--json")] == [2]
    assert typed("list", "--category", "sensor") == "no such alarm\n"


def test_an_alarm_is_acknowledged_commented_on_and_reset(typed: Typed) -> None:
    assert typed("acknowledge", "1", "2", "--by", "jo", "--note", "seen") == "acknowledged: 1, 2\n"
    assert "acknowledged already, by jo" in str(typed("acknowledge", "1", "--by", "kim"))
    found = typed("comment", "1", "smells of oil", "--by", "jo", "--json")
    assert [(each["kind"], each["actor"], each["note"]) for each in found["events"]][-2:] == [
        ("acknowledged", "jo", "seen"),
        ("comment", "jo", "smells of oil"),
    ]
    assert typed("reset", "2", "--by", "jo", "--json")["state"] == "normal"
    assert isinstance(typed("reset", "1", "--by", "jo"), AlarmStepError)
    assert isinstance(typed("show", "99"), UnknownAlarmError)
    assert "smells of oil" in typed("show", "1")


def test_either_all_alarms_are_acknowledged_or_none(typed: Typed) -> None:
    assert isinstance(typed("acknowledge", "1", "99", "--by", "jo"), UnknownAlarmError)
    assert [each["acknowledged_by"] for each in typed("list", "--json")] == [None] * 3


def test_all_alarms_of_an_asset_are_acknowledged_at_once(typed: Typed) -> None:
    assert typed("acknowledge", "--asset", "pump", "--by", "jo", "--json") == {"acknowledged": [1, 2, 3]}
    assert isinstance(typed("acknowledge", "--asset", "pump", "--by", "jo"), AlarmStepError)
    assert isinstance(typed("acknowledge", "--by", "jo"), ConfigurationError)
    assert "Error: give numbers" in typed("acknowledge", "1", "--rule", "hot", "--by", "jo")
    assert "Missing option '--by'" in typed("acknowledge", "1")


def test_a_rule_is_shelved_and_unshelved(typed: Typed) -> None:
    [made] = typed("shelve", "severe", "pump.vib", "--side", "high", "--for", "8 h", "--by", "jo", "--json")
    assert (made["side"], made["actor"]) == ("high", "jo")
    assert [each["state"] for each in typed("list", "--json")][-1] == "shelved"
    assert "severe  pump.vib" in typed("silent")
    assert isinstance(typed("unshelve", "severe", "pump.vib", "--by", "jo"), AlarmStepError)
    assert "again" in typed("unshelve", "severe", "pump.vib", "--side", "high", "--by", "jo")
    assert typed("silent") == "nothing is shelved or out of service\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--by", "jo"], "needs an end"),
        (["--for", "8 d", "--by", "jo"], "7 days at most"),
        (["--for", "soon", "--by", "jo"], "'soon' is no length of time; expected e.g. '8 h'"),
        (["--for", "8 h", "--side", "low", "--by", "jo"], "has no side low; it has high"),
        (["--for", "8 h", "--by", " "], "say who"),
    ],
)
def test_a_shelf_that_makes_no_sense_is_refused(typed: Typed, words: list[str], says: str) -> None:
    assert says in str(typed("shelve", "severe", "pump.vib", *words))


def test_a_rule_goes_out_of_service_and_back(typed: Typed) -> None:
    [made] = typed("out-of-service", "silent", "pump", "--by", "jo", "--note", "workshop", "--json")
    assert (made["kind"], made["end_at"], made["note"]) == ("out_of_service", None, "workshop")
    assert [each["id"] for each in typed("list", "--state", "out_of_service", "--json")] == [3]
    assert "again" in typed("in-service", "silent", "pump", "--by", "jo")


def test_a_maintenance_window_is_entered_listed_and_cancelled(typed: Typed) -> None:
    [made] = typed("windows", "add", "pump", "--for", "8 h", "--by", "jo", "--note", "oil", "--json")
    assert {each["state"] for each in typed("list", "--json")} == {"maintenance"}
    assert "oil" in typed("windows", "list", "--asset", "pump")
    assert "kim" in str(typed("windows", "cancel", str(made["id"]), "--by", "kim", "--json"))
    assert typed("windows", "list") == "no maintenance window\n"
    assert [each["id"] for each in typed("windows", "list", "--all", "--json")] == [made["id"]]
    assert "either --to or --for" in typed("windows", "add", "pump", "--by", "jo")
    early = typed("windows", "add", "pump", "--from", "2026-03-02", "--to", "2026-03-01", "--by", "jo")
    assert "ends after it begins" in str(early)
    assert isinstance(typed("windows", "add", "fan", "--for", "1 h", "--by", "jo"), UnknownAlarmError)


def test_proposals_can_be_typed_as_they_are_printed(typed: Typed) -> None:
    printed = typed("proposals")
    assert "chattering: severe on pump.vib (high): raised 4 times in 24 h" in printed
    assert "an on-delay of 3 s or a deadband of 0.8 mm/s" in printed
    assert "shelve severe pump.vib --side high --for '8 h' --by WHO" in printed
    [proposal] = typed("proposals", "--json")
    assert proposal["shelve_s"] == 28_800
    typed("shelve", "severe", "pump.vib", "--side", "high", "--for", "8 h", "--by", "jo")
    assert typed("proposals") == "no alarm of the last 24 h is a nuisance\n"


def test_performance_is_that_of_so_many_operators(typed: Typed) -> None:
    assert typed("operators", "--json") == {"operators": 1}
    per_day = typed("performance", "--days", "10", "--json")[0]["value"]
    assert typed("operators", "2") == "2\n"
    assert typed("performance", "--days", "10", "--json")[0]["value"] == pytest.approx(per_day / 2)
    assert "alarms per operator and day" in typed("performance")
    assert isinstance(typed("operators", "0"), ConfigurationError)
