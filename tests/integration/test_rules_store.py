"""Rules through the database: applied, loaded, changed, and refused where a row means nothing."""

from pathlib import Path

import asyncpg
import psycopg
import pytest

from precursor.apply import apply
from precursor.plantfile import PlantFileError, read_plant_file
from precursor.plantfile.defined_rules import defined_rules
from rules.definition import Gate, Rule
from rules.signal import Expression, NoData, Quality
from rules.store import load_rules
from telemetry.errors import ConfigurationError

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
            machine: {group: 2, foundation: rigid}
            sensors: [{name: state, kind: state}, {name: power, unit: kW}]
            assets:
              - name: P-1
                class: pump
                sensors:
                  - {name: vib, unit: mm/s, detector: ewma}
                  - {name: temp, unit: degC, range: [-40, 200]}
                  - {name: other, unit: degC}
              - {name: P-2, class: pump, sensors: [{name: vib, unit: in/s}]}
templates:
  - class: pump
    rules:
      - {name: zones, kind: iso_20816, sensors: [vib], priority: low, critical_priority: medium, schedule: shift}
      - {name: silent, kind: no_data, for: 60, priority: low, suppressed_by: [off]}
rules:
  - {name: limit, sensors: [P-1.temp], low_low: 1, low: 2, high: 3, high_high: 4, deadband: 0.5, latching: true,
     on_delay: 5, off_delay: 6, priority: medium, failure_mode: heat, title: Hot, first_out: trip, while: running}
  - {name: setpoint, kind: deviation, sensors: [P-1.temp], setpoint: 60, high: 5, priority: low}
  - {name: reference, kind: deviation, sensors: [P-1.temp], reference: other, high: 5, priority: low}
  - {name: rate, kind: rate, sensors: [P-1.temp], window: 10 min, high: 2 degC/min, priority: low}
  - {name: window, kind: window, sensors: [P-1.temp], statistic: max, window: 60, high: 90, priority: low}
  - {name: count, kind: count, sensors: [P-1.temp], high: 90, at_least: 3, of: 5, within: 1 h, priority: low}
  - {name: flat, kind: flat_line, sensors: [P-1.temp], tolerance: 0.1, for: 1 h, priority: low}
  - {name: range, kind: out_of_range, sensors: [P-1.temp], priority: low}
  - {name: quality, kind: quality, sensors: [P-1.other], for: 60, off_delay: 5, priority: low}
  - {name: hours, kind: usage, sensors: [L-1.state], every: 500 h, priority: low}
  - {name: formula, kind: expression, assets: [P-1], expression: temp - other > 15, priority: low}
  - {name: off, sensors: [L-1.power], low: 1, priority: low, suppresses_children: true,
     while: {sensor: power, high: 5, settle: 9}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "plant.yaml"
    path.write_text(PLANT)
    return path


@pytest.fixture
def applied(connection: asyncpg.Connection, dsn: str, file: Path) -> asyncpg.Connection:
    apply(dsn, file)
    return connection


def apply_text(dsn: str, file: Path, text: str) -> str:
    """What the plan says."""
    file.write_text(text)
    return apply(dsn, file).as_text()


def run(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement)


async def test_every_kind_loads_as_the_file_means_it(applied: asyncpg.Connection, file: Path) -> None:
    loaded = await load_rules(applied)
    sensor_ids = {row["name"]: row["id"] for row in await applied.fetch("SELECT id, name FROM sensor")}
    asset_ids = {row["name"]: row["id"] for row in await applied.fetch("SELECT id, name FROM asset")}
    since = await applied.fetchval("SELECT min(watched_since) FROM rule")
    meant = defined_rules(read_plant_file(file), sensor_ids=sensor_ids, asset_ids=asset_ids, watched_since=since)
    assert {type(rule.signal).__name__ for rule in loaded} == {
        "Value", "Deviation", "Rate", "Window", "Count", "FlatLine", "OutOfRange", "NoData", "Quality", "Usage",
        "Expression",
    }  # fmt: skip
    # Ids are counted in the order of writing: on an empty database they are the same.
    assert [(rule.id, rule.name, rule.sensor_name) for rule in loaded] == [
        (rule.id, rule.name, rule.sensor_name) for rule in meant
    ]
    assert loaded == meant


async def test_names_become_ids(applied: asyncpg.Connection) -> None:
    ids = {row["name"]: row["id"] for row in await applied.fetch("SELECT id, name FROM sensor")}
    found = {(rule.name, rule.sensor_name): rule for rule in await load_rules(applied)}
    assert found["limit", "P-1.temp"].gate == Gate(sensor_id=ids["L-1.state"], low=1, high=1)
    assert found["off", "L-1.power"].gate == Gate(sensor_id=ids["L-1.power"], high=5, settle_s=9)
    silent, off = found["silent", "P-1"], found["off", "L-1.power"]
    assert silent.sensor_id is None
    assert silent.signal == NoData(sensor_ids=tuple(sorted(ids[f"P-1.{point}"] for point in ("vib", "temp", "other"))))
    assert silent.suppressed_by == {off.id}
    assert found["zones", "P-2.vib"].suppressed_by == {off.id}
    assert off.suppressed_by == frozenset()
    formula = found["formula", "P-1"].signal
    assert isinstance(formula, Expression)
    assert formula.inputs == (("other", ids["P-1.other"]), ("temp", ids["P-1.temp"]))
    assert isinstance(found["sensor-quality", "P-1.vib"].signal, Quality)


async def test_the_same_file_a_line_further_down_changes_nothing(dsn: str, applied: object, file: Path) -> None:
    assert apply_text(dsn, file, f"# moved\n\n{PLANT}") == "nothing to change"


async def test_a_change_of_what_a_rule_watches_is_told_by_its_parts(dsn: str, applied: object, file: Path) -> None:
    text = PLANT.replace("at_least: 3", "at_least: 4").replace("while: running", "while: stopped")
    text = apply_text(dsn, file, text)
    assert "~ rule count on P-1.temp: at_least 3 -> 4" in text
    assert "~ rule limit on P-1.temp: low 1 -> 0, high 1 -> 0" in text
    assert text.endswith("2 changed")


async def test_a_rule_that_comes_back_watches_anew(dsn: str, applied: asyncpg.Connection, file: Path) -> None:
    async def since(name: str) -> int | None:
        found: dict[str, Rule] = {rule.name: rule for rule in await load_rules(applied)}
        return found[name].watched_since_us if name in found else None

    before = await since("flat")
    without = "\n".join(line for line in PLANT.splitlines() if "name: flat" not in line)
    assert "- rule flat on P-1.temp (retired; its alarms stay)" in apply_text(dsn, file, without)
    assert await since("flat") is None
    rate = await since("rate")
    apply_text(dsn, file, PLANT.replace("high: 2 degC/min", "high: 3 degC/min"))
    after = await since("flat")
    assert before is not None
    assert after is not None
    assert after > before
    assert await since("rate") == rate


async def test_a_wrong_rule_leaves_everything_as_it_was(dsn: str, applied: asyncpg.Connection, file: Path) -> None:
    before = await load_rules(applied)
    text = PLANT.replace("temp - other > 15", "temp - othr > 15").replace("every: 500 h", "every: 100 h")
    with pytest.raises(PlantFileError, match=r"plant\.yaml:\d+: rules\[10\]\.expression: .*did you mean 'other'"):
        apply_text(dsn, file, text)
    assert await load_rules(applied) == before


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "UPDATE sensor SET retired_at = now() WHERE name = 'P-1.other'",
            "rule 'reference' on P-1.temp looks at the sensor P-1.other, which is not in the plant: apply",
        ),
        ("UPDATE rule SET kind = 'oracle' WHERE name = 'rate'", "rule 'rate' on P-1.temp of kind oracle can't be read"),
        ("UPDATE rule SET options = '{}' WHERE name = 'window'", "rule 'window' on P-1.temp of kind window can't be"),
        ("UPDATE rule SET high = 5 WHERE name = 'setpoint'; UPDATE rule SET low = 7 WHERE name = 'setpoint'",
         "rule 'setpoint' on P-1.temp: low 7 is not below high 5"),
    ],
)  # fmt: skip
async def test_a_row_that_means_nothing_names_its_rule_and_the_mend(
    dsn: str, applied: asyncpg.Connection, statement: str, words: str
) -> None:
    run(dsn, statement)
    with pytest.raises(ConfigurationError, match=r"apply|exchange") as caught:
        await load_rules(applied)
    assert str(caught.value).startswith(words)


async def test_rules_of_what_is_retired_are_not_in_force(dsn: str, applied: asyncpg.Connection) -> None:
    run(dsn, "UPDATE asset SET retired_at = now() WHERE name = 'P-2'")
    assert {rule.name for rule in await load_rules(applied) if rule.sensor_name.startswith("P-2")} == set()
    run(dsn, "UPDATE rule SET retired_at = now() WHERE name = 'formula'")
    assert "formula" not in {rule.name for rule in await load_rules(applied)}
