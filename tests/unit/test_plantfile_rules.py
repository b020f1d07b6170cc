"""Rules of every kind, templates, overrides and schedules in a plant file: what they mean, and what is refused."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from precursor.plantfile import PlantFileError, read_plant_text
from precursor.plantfile.defined_rules import defined_rules
from precursor.plantfile.definition import PlantDefinition, RuleDefinition
from precursor.plantfile.rule_entries import OverrideEntry, RuleEntry
from precursor.plantfile.rule_kinds import COMMON_KEYS, KINDS
from rules.definition import Category, Gate, Priority, Rule, Schedule, Side, Span
from rules.signal import (
    Count,
    Deviation,
    Expression,
    FlatLine,
    NoData,
    OutOfRange,
    Quality,
    Rate,
    Statistic,
    Usage,
    Value,
    Window,
)
from telemetry.batch import to_datetime

PLANT = """\
version: 1
schedules:
  - {name: shift, timezone: Europe/Berlin, spans: [{days: mon-fri, from: "06:00", to: "22:00"}], closed: [2026-12-25]}
sites:
  - name: works
    gateways: [{name: g, topic: works/g}]
    areas:
      - name: hall
        assets:
          - name: L-1
            class: line
            machine: {group: 2}
            sensors: [{name: state, kind: state}, {name: power, unit: kW}]
            assets:
              - name: P-1
                class: pump
                machine: {foundation: rigid}
                sensors:
                  - {name: vib_de, unit: mm/s, detector: ewma}
                  - {name: vib_nde, unit: in/s}
                  - {name: temp-de, unit: degC, range: [-40 degC, 392 degF]}
                  - {name: temp_nde, unit: degC}
                  - {name: speed, unit: rpm}
                  - {name: hours, unit: h}
              - name: P-2
                class: pump
                machine: {group: 1, foundation: flexible}
                sensors: [{name: vib_de, unit: mm/s}, {name: acc, unit: g_0}]
job_plans:
  - {name: look, due_within: 7 d}
"""
SENSORS = ["L-1.state", "L-1.power", "P-1.vib_de", "P-1.vib_de.score", "P-1.vib_nde", "P-1.temp-de", "P-1.temp_nde",
           "P-1.speed", "P-1.hours", "P-2.vib_de", "P-2.acc"]  # fmt: skip
RULES_LINE = len(PLANT.splitlines()) + 2


def written(*rules: str, more: str = "", quality: bool = False) -> str:
    """The plant with these rules, the first on `RULES_LINE`."""
    lines = ["rules:", *(f"  - {{{rule}}}" for rule in rules)] if rules else []
    return PLANT + "\n".join(lines) + "\n" + more + ("" if quality else "sensor_quality: off\n")


def read(text: str) -> PlantDefinition:
    return read_plant_text(text, file="plant.yaml")


def rules_of(text: str) -> list[Rule]:
    definition = read(text)
    return list(
        defined_rules(
            definition,
            sensor_ids={name: number for number, name in enumerate(SENSORS, 1)},
            asset_ids={"L-1": 1, "P-1": 2, "P-2": 3},
            watched_since=to_datetime(5),
        )
    )


def one(rule: str, more: str = "") -> Rule:
    (found,) = rules_of(written(rule.replace("*power", "{power: L-1.power}"), more=more))
    return found


def sides(rule: Rule | RuleDefinition) -> tuple[float | None, ...]:
    return rule.low_low, rule.low, rule.high, rule.high_high


def problems(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(PlantFileError) as caught:
        read(text)
    return [(problem.line, problem.where, problem.message) for problem in caught.value.problems]


# What a rule means ----------------------------------------------------------------------------------------------------


def test_the_sensors_of_these_tests_are_those_of_the_plant() -> None:
    assert [sensor.name for sensor in read(PLANT).sensors] == SENSORS


def test_a_limit_has_four_sides_with_two_priorities_in_the_unit_of_the_sensor() -> None:
    rule = one(
        "name: r, sensors: [P-1.temp_nde], low_low: 0 degC, low: 41 degF, high: 80, high_high: 363.15 K, "
        "deadband: 9 degF, on_delay: 1 min, off_delay: 30, latching: true, priority: low, critical_priority: medium, "
        "failure_mode: heat, job_plan: look, title: Hot"
    )
    assert sides(rule) == pytest.approx((0, 5, 80, 90))
    assert (rule.deadband, rule.on_delay_s, rule.off_delay_s, rule.latching) == (5, 60, 30, True)
    assert [(limit.side, limit.priority) for limit in rule.limits] == [
        (Side.HIGH_HIGH, Priority.MEDIUM), (Side.HIGH, Priority.LOW), (Side.LOW, Priority.LOW),
        (Side.LOW_LOW, Priority.MEDIUM),
    ]  # fmt: skip
    assert (rule.failure_mode, rule.job_plan, rule.title, rule.unit) == ("heat", "look", "Hot", "degC")
    assert (rule.sensor_id, rule.sensor_name, rule.asset_id, rule.watched_since_us) == (7, "P-1.temp_nde", 2, 5)
    assert rule.signal == Value()
    assert rule.critical_priority is Priority.MEDIUM


@pytest.mark.parametrize(
    ("text", "signal", "unit", "expected"),
    [
        (
            "kind: deviation, sensors: [P-1.temp-de], setpoint: 140 degF, high: 9 degF, low: -5",
            Deviation(setpoint=60), "degC", (None, -5, 5, None),
        ),
        (
            "kind: deviation, sensors: [P-1.temp-de], reference: temp_nde, high: 15",
            Deviation(reference_id=7), "degC", (None, None, 15, None),
        ),
        (
            "kind: deviation, sensors: [P-2.vib_de], reference: P-1.vib_de, high: 1",
            Deviation(reference_id=3), "mm/s", (None, None, 1, None),
        ),
        (
            "kind: rate, sensors: [P-1.temp-de], window: 10 min, high: 9 degF/min, high_high: 600 degC/h, low: -2",
            Rate(window_s=600, per_s=60), "degC/min", (None, -2, 5, 10),
        ),
        (
            "kind: rate, sensors: [P-1.vib_de], window: 1 h, high: 2 mm/s/d",
            Rate(window_s=3600, per_s=86_400), "mm/s/d", (None, None, 2, None),
        ),
        (
            "kind: window, sensors: [P-1.temp-de], statistic: mean, window: 5 min, min_readings: 9, high: 194 degF",
            Window(statistic=Statistic.MEAN, window_s=300, min_readings=9), "degC", (None, None, 90, None),
        ),
        (
            "kind: window, sensors: [P-1.temp-de], statistic: standard_deviation, window: 60, high: 9 degF",
            Window(statistic=Statistic.STANDARD_DEVIATION, window_s=60), "degC",
            (None, None, 5, None),
        ),
        (
            "kind: count, sensors: [P-1.temp-de], high: 194 degF, at_least: 3, of: 5, within: 1 h",
            Count(above=90, at_least=3, of=5, within_s=3600), "", (None,) * 4,
        ),
        (
            "kind: count, sensors: [P-1.temp-de], low: 2, at_least: 5, of: 5",
            Count(below=2, at_least=5, of=5), "", (None,) * 4,
        ),
        ("kind: iso_20816, sensors: [P-1.vib_de]", Value(), "mm/s", (None, None, 2.8, 4.5)),
        ("kind: iso_20816, sensors: [P-2.vib_de]", Value(), "mm/s", (None, None, 7.1, 11)),
        ("kind: iso_20816, sensors: [P-2.vib_de], foundation: rigid", Value(), "mm/s", (None, None, 4.5, 7.1)),
        ("kind: iso_20816, sensors: [P-2.vib_de], group: 2", Value(), "mm/s", (None, None, 4.5, 7.1)),
        ("kind: iso_20816, sensors: [P-1.vib_nde]", Value(), "in/s", (None, None, 2.8 / 25.4, 4.5 / 25.4)),
        ("kind: iso_20816, sensors: [P-1.vib_de], high: 0.1 in/s", Value(), "mm/s", (None, None, 2.54, 4.5)),
        ("kind: iso_20816, sensors: [P-1.vib_de], high: null", Value(), "mm/s", (None, None, None, 4.5)),
        (
            "kind: flat_line, sensors: [P-1.temp-de], tolerance: 1.8 degF, for: 1 h",
            FlatLine(tolerance=1), "", (None,) * 4,
        ),
        ("kind: out_of_range, sensors: [P-1.temp-de]", OutOfRange(), "degC", (None, -40, 200, None)),
        ("kind: out_of_range, sensors: [P-1.temp-de], low: 0", OutOfRange(), "degC", (None, 0, 200, None)),
        ("kind: out_of_range, sensors: [P-1.speed], high: 6000 deg/s", OutOfRange(), "rpm", (None, None, 1000, None)),
        ("kind: no_data, sensors: [P-1.speed], for: 5 min", NoData(sensor_ids=(8,)), "", (None,) * 4),
        ("kind: no_data, assets: [P-1], for: 5 min", NoData(sensor_ids=(3, 5, 6, 7, 8, 9)), "", (None,) * 4),
        ("kind: quality, sensors: [P-1.speed], for: 5 min", Quality(), "", (None,) * 4),
        ("kind: usage, sensors: [P-1.hours], every: 10 d", Usage(), "h", (None, None, 240, None)),
        ("kind: usage, sensors: [L-1.state], every: 500", Usage(running_hours=True), "h", (None, None, 500, None)),
        (
            "kind: expression, assets: [P-1], expression: temp_de - temp_nde > 15 && speed > 500",
            Expression(
                text="temp_de - temp_nde > 15 && speed > 500",
                inputs=(("speed", 8), ("temp_de", 6), ("temp_nde", 7)),
                is_condition=True,
            ),
            "", (None,) * 4,
        ),
        (
            "kind: expression, assets: [P-1], expression: power * vib_de_score, unit: kW, high: 900 W, inputs: *power",
            Expression(
                text="power * vib_de_score", inputs=(("power", 2), ("vib_de_score", 4)), is_condition=False
            ),
            "kW", (None, None, 0.9, None),
        ),
    ],
)  # fmt: skip
def test_a_kind_watches(text: str, signal: object, unit: str, expected: Sequence[float | None]) -> None:
    rule = one(f"name: r, priority: low, {text}")
    assert rule.signal == signal
    assert rule.unit == unit
    assert sides(rule) == tuple(end if end is None else pytest.approx(end, rel=1e-9) for end in expected)


def test_patterns_of_sensor_alarms_mean_what_is_measured_and_can_be_judged() -> None:
    def subjects(rule: str) -> list[str]:
        return [found.sensor_name for found in rules_of(written(f"name: r, priority: low, {rule}"))]

    measured = ["P-1.vib_de", "P-1.vib_nde", "P-1.temp-de", "P-1.temp_nde", "P-1.speed", "P-1.hours"]
    assert subjects("kind: no_data, sensors: ['P-1.*'], for: 5") == measured
    assert subjects("kind: out_of_range, sensors: ['P-1.*']") == ["P-1.temp-de"]
    assert subjects("kind: quality, sensors: ['P-1.vib_de.score', 'L-1.*']") == ["P-1.vib_de.score", "L-1.power"]
    assert subjects("sensors: ['L-1.*'], high: 8") == ["L-1.power"]


def test_for_is_the_on_delay_of_a_condition() -> None:
    for text in ("kind: flat_line", "kind: no_data", "kind: quality"):
        assert one(f"name: r, {text}, sensors: [P-1.speed], for: 5 min, priority: low").on_delay_s == 300


def test_alarms_about_the_measurement_are_sensor_alarms() -> None:
    found = {
        kind: one(f"name: r, kind: {kind}, sensors: [P-1.temp-de], priority: low{more}").category
        for kind, more in (
            ("limit", ", high: 1"), ("flat_line", ", for: 5"), ("no_data", ", for: 5"), ("quality", ""),
            ("out_of_range", ""),
        )
    }  # fmt: skip
    assert found.pop("limit") is Category.MACHINE
    assert set(found.values()) == {Category.SENSOR}


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("running", Gate(sensor_id=1, low=1, high=1)),
        ("{state: stopped, settle: 2 min}", Gate(sensor_id=1, low=0, high=0, settle_s=120)),
        ("{sensor: speed, low: 3600 deg/s}", Gate(sensor_id=8, low=600)),
        ("{sensor: P-1.speed, low: 500, high: 900}", Gate(sensor_id=8, low=500, high=900)),
        ("{sensor: power, high: 3 kW}", Gate(sensor_id=2, high=3)),
    ],
)
def test_a_rule_applies_while_the_machine_or_what_it_is_part_of_says_so(text: str, gate: Gate) -> None:
    assert one(f"name: r, sensors: [P-1.vib_de], high: 1, priority: low, while: {text}").gate == gate


def test_a_rule_has_the_hours_of_its_schedule() -> None:
    rule = one("name: r, sensors: [P-1.vib_de], high: 1, priority: low, schedule: shift")
    assert rule.schedule is not None
    assert rule.schedule == Schedule(
        timezone="Europe/Berlin",
        spans=(Span(weekdays=frozenset(range(5)), begin_s=6 * 3600, end_s=22 * 3600),),
        closed=rule.schedule.closed,
    )
    assert {day.isoformat() for day in rule.schedule.closed} == {"2026-12-25"}
    assert rule.sources["schedule"] == "schedule shift"


@pytest.mark.parametrize(
    ("span", "days", "begin_h", "end_h"),
    [
        ("days: mon", {0}, 0, 24),
        ("days: 'sat-mon, wed'", {5, 6, 0, 2}, 0, 24),
        ("days: Fri, from: 22:00, to: 06:00", {4}, 22, 30),
        ("days: sun, from: 06:00, to: 06:00", {6}, 6, 30),
        ("days: sun, to: '24:00'", {6}, 0, 24),
    ],
)
def test_spans_are_written_as_people_say_them(span: str, days: set[int], begin_h: int, end_h: int) -> None:
    text = written("name: r, sensors: [P-1.vib_de], high: 1, priority: low, schedule: shift")
    rule = rules_of(text.replace('days: mon-fri, from: "06:00", to: "22:00"', span))[0]
    assert rule.schedule is not None
    assert rule.schedule.spans == (Span(weekdays=frozenset(days), begin_s=begin_h * 3600, end_s=end_h * 3600),)


def test_a_rule_is_suppressed_by_rules_on_its_asset_and_above_by_no_others() -> None:
    found = rules_of(
        written(
            "name: off, sensors: [L-1.power, P-2.vib_de], low: 1, priority: low".replace("low: 1", "low: 1 kW")
            .replace(", P-2.vib_de", ""),
            "name: still, sensors: ['*.vib_de'], low: 0.1, priority: low",
            "name: high, sensors: [P-1.vib_de, P-2.vib_de], high: 9, priority: low, suppressed_by: [off, still]",
        )
    )  # fmt: skip
    ids = {(rule.name, rule.sensor_name): rule.id for rule in found}
    by = {(rule.name, rule.sensor_name): rule.suppressed_by for rule in found}
    assert by["high", "P-1.vib_de"] == {ids["off", "L-1.power"], ids["still", "P-1.vib_de"]}
    assert by["high", "P-2.vib_de"] == {ids["off", "L-1.power"], ids["still", "P-2.vib_de"]}
    assert by["off", "L-1.power"] == frozenset()


def test_a_rule_that_suppresses_children_suppresses_all_below_its_asset_and_none_beside_it() -> None:
    found = rules_of(
        written(
            "name: off, sensors: [L-1.power], low: 1, priority: low, suppresses_children: true",
            "name: other, sensors: [L-1.power], high: 1, priority: low, first_out: trip",
            "name: silent, kind: no_data, assets: [P-1, L-1], for: 60, priority: low",
        )
    )
    assert [(rule.name, rule.sensor_name, rule.suppressed_by, rule.first_out) for rule in found] == [
        ("off", "L-1.power", frozenset(), None),
        ("other", "L-1.power", frozenset(), "trip"),
        ("silent", "P-1", {1}, None),
        ("silent", "L-1", frozenset(), None),
    ]


# Templates and overrides ----------------------------------------------------------------------------------------------

TEMPLATE = """\
templates:
  - class: pump
    rules:
      - {name: zones, kind: iso_20816, sensors: ["vib_*"], priority: low}
      - {name: silent, kind: no_data, for: 60, priority: low}
      - {name: hot, kind: expression, expression: temp_de > 90, priority: low}
"""


def with_override(text: str, asset: str = "P-1") -> str:
    return PLANT.replace(
        f"              - name: {asset}\n", f"              - name: {asset}\n{' ' * 16}rules: {text}\n"
    )


def test_a_template_is_for_every_asset_of_its_class_as_far_as_it_has_the_points() -> None:
    found = rules_of(written(more=TEMPLATE))
    assert [(rule.name, rule.sensor_name, rule.high) for rule in found] == [
        ("zones", "P-1.vib_de", 2.8),
        ("zones", "P-1.vib_nde", pytest.approx(2.8 / 25.4)),
        ("zones", "P-2.vib_de", 7.1),
        ("silent", "P-1", None),
        ("silent", "P-2", None),
        ("hot", "P-1", None),
    ]
    assert found[0].sources == {
        "high": "ISO 20816-3 [2nd], group 2, rigid",
        "high_high": "ISO 20816-3 [2nd], group 2, rigid",
    }
    assert found[3].sources == {"condition": "template pump"}


def test_a_template_may_be_for_a_class_without_assets() -> None:
    assert rules_of(written(more=TEMPLATE.replace("pump", "windmill"))) == []


def test_an_asset_has_limits_of_its_own_and_the_rule_says_where_each_comes_from() -> None:
    text = written(more=TEMPLATE).replace(PLANT, with_override("{zones: {high: 3 mm/s, on_delay: 5, priority: high}}"))
    de, _, other, *_ = rules_of(text)
    assert (de.high, de.high_high, de.on_delay_s, de.priority) == (3, 4.5, 5, Priority.HIGH)
    assert de.sources == {
        "high": "override of P-1",
        "high_high": "ISO 20816-3 [2nd], group 2, rigid",
        "on_delay": "override of P-1",
        "priority": "override of P-1",
    }
    assert (other.high, other.on_delay_s, other.priority) == (7.1, 0, Priority.LOW)


def test_an_asset_can_do_without_a_rule() -> None:
    text = written(more=TEMPLATE).replace(PLANT, with_override("{zones: {off: true}, silent: {off: true}}"))
    assert [(rule.name, rule.sensor_name) for rule in rules_of(text)] == [
        ("zones", "P-2.vib_de"), ("silent", "P-2"), ("hot", "P-1"),
    ]  # fmt: skip


def test_a_rule_of_the_list_can_be_overridden_too() -> None:
    text = written("name: r, sensors: ['*.vib_de'], high: 1, priority: low").replace(
        PLANT, with_override("{r: {high: 2}}", "P-2")
    )
    assert {rule.sensor_name: (rule.high, rule.sources) for rule in rules_of(text)} == {
        "P-1.vib_de": (1, {}),
        "P-2.vib_de": (2, {"high": "override of P-2"}),
    }


def test_lines_moved_about_change_nothing_of_what_is_stored() -> None:
    text = written("name: r, sensors: ['*.vib_de'], high: 1, priority: low", more=TEMPLATE)
    assert read("# one more line\n\n" + text).rules == read(text).rules


# The documentation ----------------------------------------------------------------------------------------------------

DOCS = Path(__file__).parents[2] / "docs" / "rules.md"
DOCUMENTED = """\
version: 1
sites:
  - name: works
    gateways: [{name: g, topic: works/g}]
    areas:
      - name: hall
        assets:
          - name: P-101
            machine: {group: 2, foundation: rigid}
            sensors:
              - {name: vib_de, unit: mm/s}
              - {name: vib_nde, unit: mm/s}
              - {name: temp_de, unit: degC, range: [-40, 200]}
              - {name: temp_nde, unit: degC}
              - {name: flow, unit: m^3/h}
              - {name: pressure, unit: bar}
              - {name: state, kind: state}
          - {name: MCC-1, sensors: [{name: p101_kw, unit: kW}]}
job_plans: [{name: change-oil, due_within: 7 d}]
rules:
"""


def test_every_kind_has_an_example_that_is_a_rule_of_that_kind() -> None:
    sections = re.split(r"^### ", DOCS.read_text(), flags=re.MULTILINE)[1:]
    shown = dict[str, set[str]]()
    for section in sections:
        for block in re.findall(r"```yaml\n(- .*?)```", section, re.DOTALL):
            if "class:" not in block:
                found = read(DOCUMENTED + block).rules
                kind = section.split()[0]
                shown[kind] = {rule.kind for rule in found if rule.name != "sensor-quality"}
    assert shown == {kind: {kind} for kind in KINDS}


# Rules that come by themselves ----------------------------------------------------------------------------------------


def quality_rules(*rules: str, more: str = "") -> dict[str, tuple[float, Priority]]:
    definition = read(written(*rules, more=more, quality=True))
    return {
        rule.subject: (rule.on_delay_s, rule.priority)
        for rule in definition.rules
        if rule.name == "sensor-quality" and rule.kind == "quality"
    }


def test_every_sensor_that_a_machine_rule_looks_at_gets_a_quality_rule() -> None:
    found = quality_rules(
        "name: a, sensors: [P-1.vib_de.score], high: 1, priority: low",
        "name: b, kind: deviation, sensors: [P-1.temp-de], reference: temp_nde, high: 1, priority: low",
        "name: c, kind: expression, assets: [P-1], expression: speed > 1, priority: low",
        "name: d, kind: no_data, sensors: [P-1.hours], for: 5, priority: low",
    )
    assert found == dict.fromkeys(("P-1.vib_de", "P-1.temp-de", "P-1.temp_nde", "P-1.speed"), (60, Priority.LOW))


def test_a_quality_rule_of_the_file_takes_the_place_of_the_automatic_one() -> None:
    rules = ("name: a, sensors: ['*.vib_de'], high: 1, priority: low",)
    assert set(quality_rules(*rules)) == {"P-1.vib_de", "P-2.vib_de"}
    mine = "name: q, kind: quality, sensors: [P-1.vib_de], priority: high"
    assert set(quality_rules(*rules, mine)) == {"P-2.vib_de"}


def test_the_file_says_how_long_sensors_may_be_bad() -> None:
    rule = "name: a, sensors: ['*.vib_de'], high: 1, priority: low"
    found = quality_rules(rule, more="sensor_quality: {for: 5 min, priority: medium}\n")
    assert set(found.values()) == {(300, Priority.MEDIUM)}
    assert quality_rules(rule, more="sensor_quality: off\n") == {}
    assert quality_rules(rule, more="sensor_quality: {off: true}\n") == {}


def test_an_asset_can_do_without_the_automatic_rules() -> None:
    text = written("name: a, sensors: ['*.vib_de'], high: 1, priority: low", quality=True)
    text = text.replace(PLANT, with_override("{sensor-quality: {off: true}}"))
    assert {rule.subject for rule in read(text).rules if rule.kind == "quality"} == {"P-2.vib_de"}


# What is refused ------------------------------------------------------------------------------------------------------

ON = "name: r, priority: low, sensors: [P-1.vib_de]"
TEMPERATURE = "name: r, priority: low, sensors: [P-1.temp-de]"
EXPRESSION = "name: r, priority: low, kind: expression"

REFUSED = {
    "missing sensor": ("name: r, priority: low, sensors: [P-1.vib], high: 1", "sensors[0]", "mean 'P-1.vib_de'"),
    "unit": (f"{ON}, high_high: 3 bar", "high_high", "convert"),
    "high-high below high": (f"{ON}, high: 4, high_high: 3", "high_high", "high_high 3 is not above high 4"),
    "high-high is high": (f"{ON}, high: 4, high_high: 4", "high_high", "exchange or correct"),
    "low-low above low": (f"{ON}, low: 1, low_low: 2", "low", "low 1 is not above low_low 2"),
    "deadband": (f"{ON}, low: 1, high: 4, high_high: 9, deadband: 3", "deadband", "less than 3"),
    "critical priority": (f"{ON.replace('low', 'high')}, high: 1, critical_priority: low", "critical_priority", "or"),
    "key of another kind": (f"{ON}, high: 1, window: 5", "window", "kind limit has no window; leave it out"),
    "unknown kind": (f"{ON}, kind: no-data", "kind", "did you mean 'no_data'"),
    "asset for a sensor rule": ("name: r, priority: low, high: 1, assets: [P-1]", "assets", "is on sensors"),
    "no sensors": ("name: r, priority: low, high: 1", "sensors", "missing; expected a list of sensor names"),
    "two setpoints": (f"{ON}, kind: deviation, setpoint: 1, reference: acc, high: 1", "rules[0]", "either setpoint or"),
    "no setpoint": (f"{ON}, kind: deviation, high: 1", "rules[0]", "either setpoint or reference"),
    "reference unit": (f"{ON}, kind: deviation, reference: vib_nde, high: 1", "reference", "in the same unit"),
    "reference itself": (f"{ON}, kind: deviation, reference: vib_de, high: 1", "reference", "the sensor itself"),
    "reference unknown": (f"{ON}, kind: deviation, reference: vib, high: 1", "reference", "no sensor of P-1"),
    "rate without time": (f"{TEMPERATURE}, kind: rate, window: 60, high: 2", "high", "expected e.g. 2 degC/min"),
    "rate by no time": (f"{TEMPERATURE}, kind: rate, window: 60, high: 2 degC/mm", "high", "by no time"),
    "rate of another unit": (f"{TEMPERATURE}, kind: rate, window: 60, high: 2 bar/min", "high", "convert"),
    "rate without window": (f"{TEMPERATURE}, kind: rate, high: 2 degC/min", "window", "missing; expected seconds"),
    "window of nothing": (f"{ON}, kind: window, statistic: mean, window: 0, high: 1", "window", "above 0"),
    "statistic": (f"{ON}, kind: window, statistic: median, window: 9, high: 1", "statistic", "mean, max, min"),
    "one reading": (
        f"{ON}, kind: window, statistic: standard_deviation, window: 9, min_readings: 1, high: 1", "min_readings", "2"
    ),
    "count of both": (f"{ON}, kind: count, high: 1, low: 0, at_least: 1, of: 2", "rules[0]", "either high or low"),
    "more than all": (f"{ON}, kind: count, high: 1, at_least: 3, of: 2", "at_least", "expected 2 or less"),
    "count of none": (f"{ON}, kind: count, high: 1, of: 2", "at_least", "missing"),
    "iso on g": (
        "name: r, priority: low, kind: iso_20816, sensors: [P-2.acc]", "sensors", "P-2.acc is in g_0, and ISO 20816"
    ),
    "iso low": (f"{ON}, kind: iso_20816, low: 1", "low", "leave it out"),
    "iso group": (f"{ON}, kind: iso_20816, group: 3", "group", "1 (above 300 kW) or 2"),
    "iso order": (f"{ON}, kind: iso_20816, high: 5 mm/s", "high", "high_high 4.5 is not above high 5"),
    "iso machine": (
        "name: r, priority: low, kind: iso_20816, sensors: [L-1.power], group: 1", "sensors", "is in kW"
    ),
    "flat for no time": (f"{ON}, kind: flat_line, for: 0", "for", "expected a duration above 0"),
    "flat for unknown time": (f"{ON}, kind: flat_line", "for", "missing"),
    "tolerance": (f"{ON}, kind: flat_line, for: 5, tolerance: -1", "tolerance", "negative"),
    "no range": (f"{ON}, kind: out_of_range", "rules[0]", "P-1.vib_de has no range; expected low or high here"),
    "silence of no time": (f"{ON}, kind: no_data", "for", "missing"),
    "silence of both": (f"{ON}, kind: no_data, assets: [P-1], for: 5", "rules[0]", "either sensors"),
    "silence of nothing": ("name: r, priority: low, kind: no_data, for: 5", "rules[0]", "either sensors"),
    "for beyond a year": (f"{ON}, kind: no_data, for: 400 d", "for", "longer than 366 days"),
    "unknown asset": (f"{EXPRESSION}, assets: [P1], expression: a > 1", "assets[0]", "did you mean 'P-1'"),
    "usage of nothing": ("name: r, priority: low, kind: usage, sensors: [P-1.hours]", "every", "missing"),
    "usage of null": (
        "name: r, priority: low, kind: usage, sensors: [P-1.hours], every: null", "every", "nothing stands here"
    ),
    "usage of zero": ("name: r, priority: low, kind: usage, sensors: [P-1.hours], every: 0", "every", "more than 0"),
    "usage unit": ("name: r, priority: low, kind: usage, sensors: [L-1.state], every: 5 bar", "every", "convert"),
    "unknown name": (
        f"{EXPRESSION}, assets: [P-1], expression: tmp_nde > 1", "expression", "did you mean 'temp_nde'"
    ),
    "no expression": (f"{EXPRESSION}, assets: [P-1], expression: speed >", "expression", ""),
    "expression of text": (f"{EXPRESSION}, assets: [P-1], expression: string(speed)", "expression", ""),
    "limits of a truth": (f"{EXPRESSION}, assets: [P-1], expression: speed > 1, high: 5", "high", "true or false"),
    "a number without limits": (f"{EXPRESSION}, assets: [P-1], expression: speed + 1", "rules[0]", "no limit"),
    "unknown input": (
        f"{EXPRESSION}, assets: [P-1], expression: a > 1, inputs: {{a: P-1.spee}}", "inputs", "did you mean 'P-1.speed'"
    ),
    "input name": (f"{EXPRESSION}, assets: [P-1], expression: a > 1, inputs: {{a-b: speed}}", "inputs", "no name"),
    "unknown schedule": (f"{ON}, high: 1, schedule: shft", "schedule", "did you mean 'shift'"),
    "gate of nothing": (f"{ON}, high: 1, while: {{settle: 5}}", "while", "expected either a state"),
    "gate without ends": (f"{ON}, high: 1, while: {{sensor: speed}}", "while", "expected low, high or both"),
    "gate on a state": (f"{ON}, high: 1, while: {{sensor: state, low: 1}}", "while.sensor", "while: running"),
    "gate of another unit": (f"{ON}, high: 1, while: {{sensor: speed, low: 1 bar}}", "while.low", "speed is in rpm"),
    "gate ends": (f"{ON}, high: 1, while: {{sensor: speed, low: 9, high: 5}}", "while.low", "exchange"),
    "gate unknown": (f"{ON}, high: 1, while: {{sensor: sped, low: 9}}", "while.sensor", "did you mean 'speed'"),
    "gate word": (f"{ON}, high: 1, while: runing", "while.state", "did you mean 'running'"),
    "gate key": (f"{ON}, high: 1, while: {{sensr: speed}}", "while.sensr", "did you mean 'sensor'"),
    "suppressed by itself": (f"{ON}, high: 1, suppressed_by: [r]", "suppressed_by", "suppress itself"),
    "suppressed by nobody": (f"{ON}, high: 1, suppressed_by: [x]", "suppressed_by", "no rule 'x'"),
    "reserved name": (f"{ON.replace('name: r', 'name: sensor-quality')}, high: 1", "name", "choose another"),
    "job plan": (f"{ON}, high: 1, job_plan: look", "job_plan", "without a failure_mode"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_rule_is_refused_once_with_its_line_and_the_mend(case: str) -> None:
    rule, where, words = REFUSED[case]
    found = problems(written(rule))
    assert len(found) == 1, found
    assert found[0][0] == RULES_LINE
    assert found[0][1].startswith("rules[0]")
    assert found[0][1].endswith(where)
    assert words in found[0][2]


ELSEWHERE = {
    "time zone": (("Europe/Berlin", "Europe/Berln"), "schedules[0].timezone", "did you mean 'Europe/Berlin'"),
    "weekday": (("mon-fri", "mo-fri"), "schedules[0].spans[0].days", "are no weekdays; expected weekdays such"),
    "hour": (('"22:00"', '"25:00"'), "schedules[0].spans[0].to", "is no time of day"),
    "begin at the end": (('from: "06:00"', 'from: "24:00"'), "schedules[0].spans[0].from", "00:00 of the next"),
    "day off": (("2026-12-25", "2026-12-32"), "schedules[0].closed[0]", "is no date"),
    "schedule twice": (
        ("schedules:\n", "schedules:\n  - {name: shift, timezone: UTC, spans: [{days: mon}]}\n"), "schedules[1].name",
        "is taken",
    ),
    "machine": (("{group: 2}", "{group: 5}"), "machine.group", "1 (above 300 kW) or 2"),
    "foundation": (("{foundation: rigid}", "{foundation: rigd}"), "machine.foundation", "did you mean 'rigid'"),
}  # fmt: skip


@pytest.mark.parametrize("case", ELSEWHERE)
def test_what_rules_stand_on_is_refused_in_its_own_place(case: str) -> None:
    (old, new), where, words = ELSEWHERE[case]
    text = written("name: r, sensors: [P-1.vib_de], high: 1, priority: low, schedule: shift")
    assert old in text
    found = problems(text.replace(old, new, 1))
    assert len(found) == 1, found
    assert found[0][1].endswith(where)
    assert words in found[0][2]


OVERRIDES = {
    "unknown rule": ("{zone: {high: 1}}", "rules.zone", "did you mean 'zones'"),
    "rule of others": ("{other: {high: 1}}", "rules.other", "watches nothing of P-1; leave it out"),
    "unit": ("{zones: {high: 1 bar}}", "rules.zones.high", "convert"),
    "order": ("{zones: {high: 6 mm/s}}", "rules.zones.high", "high_high 4.5 is not above high 6"),
    "nothing": ("{hot: {expression: null}}", "rules.hot.expression", "nothing stands here; expected a CEL"),
    "key of another kind": ("{zones: {window: 5}}", "rules.zones.window", "leave it out"),
    "unknown key": ("{zones: {hgih: 5}}", "rules.zones.hgih", "did you mean 'high'"),
    "no mapping": ("{zones: 5}", "rules.zones", "expected a mapping"),
    "schedule": ("{zones: {schedule: night}}", "rules.zones.schedule", "no schedule 'night'"),
}


@pytest.mark.parametrize("case", OVERRIDES)
def test_a_wrong_override_is_refused_where_the_asset_says_it(case: str) -> None:
    override, where, words = OVERRIDES[case]
    text = written("name: other, sensors: [P-2.acc], high: 1, priority: low", more=TEMPLATE)
    found = problems(text.replace(PLANT, with_override(override)))
    assert len(found) == 1, found
    assert found[0][1].endswith(where)
    assert found[0][0] == PLANT[: PLANT.index("name: P-1\n")].count("\n") + 2
    assert words in found[0][2]


TEMPLATES = {
    "class": ("class: pump", "class: pumps", "templates[0].class", "did you mean 'pump'"),
    "no class": ("class: pump\n    rules", "rules", "templates[0].class", "missing; expected the class"),
    "assets": ("for: 60", "for: 60, assets: [P-1]", "rules[1].assets", "leave assets out"),
    "point": ('"vib_*"', "vib_ed", "rules[0].sensors[0]", "did you mean 'vib_de'"),
    "pattern": ('"vib_*"', '"vb_*"', "rules[0].sensors[0]", "no pump has such a point"),
    "name of none": ("temp_de >", "temp_ed >", "rules[2].expression", "did you mean 'temp_de'"),
    "name twice": ("name: hot", "name: silent", "rules[2].name", "is taken"),
    "unit": ('["vib_*"]', "[acc]", "rules[0].sensors", "P-2.acc is in g_0"),
}


@pytest.mark.parametrize("case", TEMPLATES)
def test_a_wrong_template_is_refused_once(case: str) -> None:
    old, new, where, words = TEMPLATES[case]
    assert old in TEMPLATE
    found = problems(written(more=TEMPLATE.replace(old, new, 1)))
    assert len(found) == 1, found
    assert found[0][1].endswith(where)
    assert words in found[0][2]


def test_two_rules_of_one_name_on_one_sensor_are_refused_and_on_different_sensors_are_not() -> None:
    rule = "name: zones, sensors: [P-2.acc], high: 1, priority: low"
    assert len(rules_of(written(rule, more=TEMPLATE))) == 7
    ((line, where, message),) = problems(written(rule.replace("acc", "vib_de"), more=TEMPLATE))
    assert where == "templates[0].rules[0].name"
    assert message == f"rule 'zones' is on P-2.vib_de already: line {RULES_LINE}; choose another name"
    assert line > RULES_LINE


def test_rules_that_suppress_each_other_are_refused() -> None:
    found = problems(
        written(
            "name: a, sensors: [P-1.vib_de], high: 1, priority: low, suppressed_by: [b]",
            "name: b, sensors: [P-1.vib_de], high: 2, priority: low, suppressed_by: [c]",
            "name: c, sensors: [P-1.vib_de], high: 3, priority: low, suppressed_by: [a]",
        )
    )
    assert {where for _, where, _ in found} == {f"rules[{place}].suppressed_by" for place in range(3)}
    assert "nobody would hear" in found[0][2]


def test_a_rule_suppressed_by_one_that_is_nowhere_near_is_refused() -> None:
    found = problems(
        written(
            "name: a, sensors: [P-2.vib_de], high: 1, priority: low",
            "name: b, sensors: [P-1.vib_de], high: 2, priority: low, suppressed_by: [a]",
        )
    )
    assert [message for _, _, message in found] == [
        "'a' watches nothing on the assets of 'b', nor above them; leave it out"
    ]


def test_a_machine_that_says_nothing_of_itself_is_refused_by_name() -> None:
    text = written("name: r, priority: low, kind: iso_20816, sensors: [P-1.vib_de]").replace("machine: {group: 2}", "")
    ((_, where, message),) = problems(text.replace("            \n", ""))
    assert where == "rules[0].group"
    assert message == "missing for P-1; expected group here or machine: {group: 2} in the asset"


def test_a_name_in_an_expression_that_may_be_two_points_is_asked_about() -> None:
    text = written("name: r, priority: low, kind: expression, assets: [P-1], expression: temp_nde > 1")
    text = text.replace("{name: hours, unit: h}", "{name: temp-nde, unit: degC}")
    ((_, where, message),) = problems(text)
    assert where == "rules[0].expression"
    assert "temp_nde may be P-1.temp_nde or P-1.temp-nde; say which in inputs" in message
    named = text.replace("temp_nde > 1}", "temp_nde > 1, inputs: {temp_nde: temp-nde}}")
    assert read(named).rules[0].options["inputs"] == {"temp_nde": "P-1.temp-nde"}


def test_every_key_of_a_rule_belongs_to_a_kind_or_to_all() -> None:
    keys = {info.alias or name for name, info in RuleEntry.model_fields.items()}
    assert keys == COMMON_KEYS.union(*(kind.keys for kind in KINDS.values()))
    own = {info.alias or name for name, info in OverrideEntry.model_fields.items()}
    assert own == keys - {"name", "kind", "sensors", "assets"} | {"off"}
