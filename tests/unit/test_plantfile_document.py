"""The plant file's documentation, example, YAML and units."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from precursor.plantfile import entries, read_plant_file, read_plant_text, rule_entries
from precursor.plantfile.document import Document, parse
from precursor.plantfile.topics import covers
from telemetry.plant import SensorKind
from telemetry.units import conversion, same_unit

ROOT = Path(__file__).parents[2]
SECTIONS: dict[str, type[BaseModel]] = {
    "The file": entries.PlantEntry,
    "A site": entries.SiteEntry,
    "A gateway": entries.GatewayEntry,
    "Field names": entries.FieldsEntry,
    "A provision rule": entries.ProvisionEntry,
    "An area": entries.AreaEntry,
    "An asset": entries.AssetEntry,
    "A sensor": entries.SensorEntry,
    "A machine": rule_entries.MachineEntry,
    "A rule": rule_entries.RuleEntry,
    "While": rule_entries.WhileEntry,
    "A template": rule_entries.TemplateEntry,
    "A schedule": rule_entries.ScheduleEntry,
    "A span": rule_entries.SpanEntry,
    "Sensor quality": rule_entries.SensorQualityEntry,
    "A job plan": entries.JobPlanEntry,
    "A part": entries.PartEntry,
}


def document(text: str) -> Document:
    parsed = parse(text)
    assert isinstance(parsed, Document)
    return parsed


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_documented_and_every_documented_key_exists(section: str) -> None:
    text = (ROOT / "docs" / "plant-file.md").read_text()
    body = re.split(r"^#{2,3} ", text.split(f"# {section}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    table = body.split("The detector mapping:")[0]
    fields = SECTIONS[section].model_fields
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {
        info.alias or name for name, info in fields.items()
    }
    assert all(info.description for info in fields.values())


def test_the_example_plant_is_valid_and_what_the_simulator_sends() -> None:
    plant = read_plant_file(ROOT / "examples" / "plant.yaml")
    assert {asset.name: asset.criticality for asset in plant.assets} == {"P-101": 4, "P-102": 3, "F-201": 2}
    measured = [sensor for sensor in plant.sensors if sensor.kind is not SensorKind.DERIVED]
    assert len(measured) == 17
    assert {sensor.topic is None for sensor in measured if sensor.asset == "P-101"} == {False}
    assert {sensor.topic is None for sensor in measured if sensor.asset != "P-101"} == {True}
    assert sorted(rule.subject for rule in plant.rules if rule.name == "vibration-unusual") == [
        "F-201.vib_de.score", "P-101.vib_de.score", "P-102.vib_de.score",
    ]  # fmt: skip


def test_values_keep_their_lines_and_words_like_on_stay_text() -> None:
    found = document("a: 1\nb:\n  - on\n  - {c: 1.5,\n     d: ~}\n'e': '2'\n")
    assert found.value == {"a": 1, "b": ["on", {"c": 1.5, "d": None}], "e": "2"}
    assert [found.line(path) for path in (("a",), ("b", 0), ("b", 1, "d"), ("e",), ("b", 1, "none"))] == [1, 3, 5, 6, 4]


def test_a_merge_key_brings_in_what_the_mapping_does_not_say() -> None:
    found = document("x: &x {n: 1, m: 2}\ny: {<<: *x, m: 3}\n")
    assert found.value == {"x": {"n": 1, "m": 2}, "y": {"m": 3, "n": 1}}
    assert found.problems == []


@pytest.mark.parametrize(
    ("sent", "stored", "value", "expected"),
    [
        ("degF", "degC", 212, 100),
        ("degC", "degF", 100, 212),
        ("K", "degC", 273.15, 0),
        ("in/s", "mm/s", 1, 25.4),
        ("g_0", "m/s^2", 1, 9.80665),
        ("percent", "", 50, 0.5),
        ("mm/s", "mm/s", 7.1, 7.1),
        ("Hz", "rpm", 50, 3000),
        ("1/min", "rpm", 1500, 1500),
        ("rpm", "rad/s", 60, 6.283185307179586),
    ],
)
def test_numbers_are_converted_with_factor_and_offset(sent: str, stored: str, value: float, expected: float) -> None:
    factor, offset = conversion(sent, stored)
    assert value * factor + offset == pytest.approx(expected, rel=1e-12, abs=1e-9)


def test_spellings_of_one_unit_are_the_same_unit() -> None:
    assert same_unit("mm/s", "millimeter/second")
    assert not same_unit("mm/s", "in/s")
    assert same_unit("no unit", "no unit")


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/#", "a/b/c", True), ("a/#", "a", True), ("#", "a/b", True), ("a/+", "a/b", True), ("a/+", "a/b/c", False),
        ("a/+/c", "a/b/c", True), ("a/b", "a/b", True), ("a/b", "a", False), ("a/b", "A/b", False),
        ("a/#", "ab", False),
    ],
)  # fmt: skip
def test_a_filter_covers_what_mqtt_says_it_covers(topic_filter: str, topic: str, expected: bool) -> None:
    assert covers(topic_filter, topic) is expected


def test_limits_and_deadbands_are_kept_in_the_unit_of_the_sensor() -> None:
    plant = read_plant_text(
        "version: 1\n"
        "sites: [{name: w, areas: [{name: a, assets: [{name: P, sensors: [{name: t, unit: degC, topic: w/t}]}]}]}]\n"
        "rules: [{name: r, sensors: ['*'], high: 194 degF, deadband: 9 degF, on_delay: 5 min, priority: low}]\n"
        "sensor_quality: off\n",
        file="plant.yaml",
    )
    (rule,) = plant.rules
    assert (rule.high, rule.deadband, rule.on_delay_s, rule.off_delay_s) == (90, 5, 300, 0)
    assert plant.sites[0].subscribe == ("w/#",)


def test_codes_say_what_the_texts_of_a_measured_sensor_stand_for() -> None:
    plant = read_plant_text(
        "version: 1\n"
        "sites: [{name: w, areas: [{name: a, assets: [{name: P, sensors:"
        " [{name: valve, unit: '', topic: w/v, codes: {open: 1, off: 0, half: .5}}]}]}]}]\n",
        file="plant.yaml",
    )
    (valve,) = plant.sensors
    assert (valve.kind, dict(valve.codes)) == (SensorKind.MEASURED, {"open": 1.0, "off": 0.0, "half": 0.5})


def test_a_plant_of_ten_thousand_sensors_is_read() -> None:
    lines = ["version: 1", "sites:", "  - name: w", "    areas:", "      - name: a", "        assets:"]
    for asset in range(1000):
        lines += [f"          - name: P-{asset}", "            sensors:"]
        lines += [f"              - {{name: s{point}, unit: mm/s, topic: w/P-{asset}/s{point}}}" for point in range(10)]
    assert len(read_plant_text("\n".join(lines), file="plant.yaml").sensors) == 10_000
