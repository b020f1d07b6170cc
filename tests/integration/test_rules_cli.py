"""`precursor rules`, as typed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from precursor.apply import apply
from precursor.cli import group
from telemetry.errors import ConfigurationError, PrecursorError

PLANT = """\
version: 1
schedules: [{name: shift, timezone: Europe/Berlin, spans: [{days: mon-fri, from: 22:00, to: 06:00}],
             closed: [2026-12-25]}]
sites:
  - name: works
    gateways: [{name: g, topic: works/g}]
    areas:
      - name: hall
        assets:
          - name: P-1
            class: pump
            machine: {group: 2, foundation: rigid}
            rules: {zones: {high: 3 mm/s, on_delay: 90}}
            sensors:
              - {name: vib, unit: mm/s}
              - {name: temp, unit: degC}
              - {name: other, unit: degC}
              - {name: state, kind: state}
          - {name: T-1}
templates:
  - class: pump
    rules:
      - {name: zones, title: Vibration, kind: iso_20816, sensors: [vib], deadband: 0.2, priority: medium,
         while: {state: running, settle: 2 min}, schedule: shift, suppressed_by: [silent], first_out: trip,
         failure_mode: bearing_wear, latching: true}
      - {name: silent, kind: no_data, for: 10 min, priority: low}
rules:
  - {name: hot, kind: deviation, sensors: [P-1.temp], reference: other, high: 5, priority: low}
  - {name: often, kind: count, sensors: [P-1.temp], high: 80, at_least: 3, of: 5, within: 1 h, priority: low}
  - {name: hours, kind: usage, sensors: [P-1.state], every: 500 h, priority: low}
"""
EXPLAINED = """\
zones on P-1.vib: Vibration
  watches        the value
  high_high      above 4.5 mm/s, priority high                                     ISO 20816-3 [2nd], group 2, rigid
  high           above 3 mm/s, priority medium                                     override of P-1
  deadband       0.2 mm/s
  on delay       90 s                                                              override of P-1
  latching       stands until somebody resets it
  while          P-1.state is running, from 2 min after it came so
  applies        mon-fri 22:00-06:00 next day in Europe/Berlin, not on 2026-12-25  schedule shift
  suppressed by  silent on P-1
  first out      the first alarm of group trip alone is told
  comes of it    an alarm about the machine, and a work order for bearing_wear
"""

Typed = Callable[..., Result]


@pytest.fixture
def typed(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Runs a command line; its output, or the error it ends with."""
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT)
    apply(dsn, file)
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", dsn)

    def run(*words: str) -> Result:
        found = CliRunner().invoke(group, ["rules", *words])
        if found.exception is not None and not isinstance(found.exception, SystemExit | PrecursorError):
            raise found.exception
        return found

    return run


def requests(dsn: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT rule.name, rule.subject, request.actor, request.note, request.done_at "
            "FROM evaluation_request request JOIN rule ON rule.id = request.rule_id"
        ).fetchall()


def test_all_rules_are_listed_with_limits_and_what_they_are_about(typed: Typed) -> None:
    lines = typed("list").output.splitlines()
    assert lines[0].split() == ["rule", "on", "limits", "priority", "about"]
    assert len(lines) == 1 + 5 + 4
    (zones,) = [line for line in lines if line.startswith("zones")]
    assert zones.split(maxsplit=2)[1:] == ["P-1.vib", "high-high 4.5, high 3 mm/s    medium  machine"]


def test_the_list_can_be_of_one_asset_and_for_machines(typed: Typed) -> None:
    found = json.loads(typed("list", "--asset", "P-1", "--json").output)
    assert {(rule["rule"], rule["subject"]) for rule in found if rule["category"] == "sensor"} == {
        ("silent", "P-1"), ("sensor-quality", "P-1.vib"), ("sensor-quality", "P-1.temp"),
        ("sensor-quality", "P-1.other"), ("sensor-quality", "P-1.state"),
    }  # fmt: skip
    assert "no rule watches T-1" in typed("list", "--asset", "T-1").output


def test_a_rule_is_explained_with_each_limit_and_where_it_comes_from(typed: Typed) -> None:
    output = typed("explain", "P-1").output
    assert EXPLAINED in output
    assert output.startswith("silent on P-1\n  watches      whether no reading comes of P-1.vib, P-1.temp, P-1.other")
    assert "the value minus P-1.other" in output
    assert "whether 3 of 5 readings within 1 h are above 80 degC" in output
    assert "the hours of running since the last reset" in output
    assert "an alarm about the sensor, no work order" in output


def test_an_explanation_for_machines_has_the_same_facts(typed: Typed) -> None:
    found = {rule["rule"]: rule for rule in json.loads(typed("explain", "P-1", "--json").output)}
    assert found["zones"]["limits"] == [
        {"side": "high_high", "value": 4.5, "priority": "high", "source": "ISO 20816-3 [2nd], group 2, rigid"},
        {"side": "high", "value": 3.0, "priority": "medium", "source": "override of P-1"},
    ]
    assert found["zones"]["suppressed_by"] == [{"rule": "silent", "subject": "P-1"}]
    assert found["hot"]["limits"][0]["source"] == "rule"
    assert found["silent"]["limits"][0]["source"] == "template pump"


def test_an_asset_that_is_not_there_is_told_with_the_closest(typed: Typed) -> None:
    error = typed("explain", "P-2").exception
    assert isinstance(error, ConfigurationError)
    assert str(error) == "the plant has no asset 'P-2'; did you mean 'P-1'?"
    assert "no rule watches T-1" in typed("explain", "T-1").output


def test_a_reset_is_asked_of_the_engine(typed: Typed, dsn: str) -> None:
    assert typed("reset", "hours", "P-1.state", "--by", "kim", "--note", "oil changed").exit_code == 0
    assert requests(dsn) == [("hours", "P-1.state", "kim", "oil changed", None)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("hors", "P-1.state"), "no rule 'hors' is in force; did you mean 'hours'?"),
        (("hours", "P-1.stat"), "rule 'hours' is not on 'P-1.stat'; it is on P-1.state; did you mean 'P-1.state'?"),
        (("hot", "P-1.temp"), "rule 'hot' on P-1.temp is of kind deviation and counts nothing: only usage starts anew"),
    ],
)
def test_a_reset_of_what_counts_nothing_is_refused(
    typed: Typed, dsn: str, words: tuple[str, ...], message: str
) -> None:
    assert str(typed("reset", *words, "--by", "kim").exception) == message
    assert requests(dsn) == []


def test_a_reset_by_nobody_is_refused(typed: Typed, dsn: str) -> None:
    assert "say who does it" in str(typed("reset", "hours", "P-1.state", "--by", " ").exception)
    assert typed("reset", "hours", "P-1.state").exit_code == 2
    assert requests(dsn) == []
