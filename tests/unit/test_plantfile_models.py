"""Machines, detectors, waveforms and remaining life in a plant file: what they make, and what is refused."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from models.contract import ALARM
from precursor.plantfile import PlantFileError, machine_entries, model_entries, read_plant_text
from precursor.plantfile.defined_rules import defined_rules
from precursor.plantfile.definition import PlantDefinition, RuleDefinition, SensorDefinition
from precursor.plantfile.reader import parse_plant_text
from rules.definition import Category, Priority
from telemetry.batch import to_datetime
from telemetry.plant import BearingSpec, DetectorSpec, Machine, SensorKind

ROOT = Path(__file__).parents[2]
SECTIONS: dict[str, type[BaseModel]] = {
    "Vibration": model_entries.VibrationEntry,
    "Remaining life": model_entries.RemainingLifeEntry,
    "A bearing": machine_entries.BearingEntry,
    "An asset detector": model_entries.AssetDetectorEntry,
    "Detectors": model_entries.DetectorsEntry,
    "The anomaly rules": model_entries.AnomalyAlarmEntry,
}
PLANT = """\
version: 1
sites:
  - name: works
    gateways: [{name: g, topic: works/g}]
    areas:
      - name: hall
        assets:
          - name: P-1
            class: pump
            machine: {group: 2, foundation: rigid, speed: 24.5 Hz, bearings: [UER204 LDK], blades: 6}
            sensors:
              - {name: state, kind: state}
              - {name: vib, unit: mm/s}
              - {name: temp, unit: degC}
              - {name: speed, unit: Hz}
              - {name: hours, unit: h}
              - {name: energy, unit: kWh}
              - {name: valve, unit: "", codes: {open: 1, closed: 0}}
              - {name: wave, unit: g_0, detector: off}
            assets:
              - name: M-1
                class: motor
                sensors: [{name: temp, unit: degC}]
"""
VIB, TEMP, WAVE = "{name: vib, unit: mm/s}", "{name: temp, unit: degC}", "{name: wave, unit: g_0, detector: off}"
MACHINE = "machine: {group: 2, foundation: rigid, speed: 24.5 Hz, bearings: [UER204 LDK], blades: 6}"
RULE = "rules: [{name: zones, kind: iso_20816, sensors: [P-1.vib], priority: low}]\n"


def read(*changes: tuple[str, str], more: str = "sensor_quality: off\n") -> PlantDefinition:
    text = PLANT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return read_plant_text(text + more, file="plant.yaml")


def sensors(plant: PlantDefinition) -> dict[str, SensorDefinition]:
    return {sensor.name: sensor for sensor in plant.sensors}


def computed(plant: PlantDefinition) -> dict[str, str]:
    return {sensor.name: sensor.computed for sensor in plant.sensors if sensor.kind is SensorKind.DERIVED}


def machine(plant: PlantDefinition, name: str) -> Machine:
    return next(asset.machine for asset in plant.assets if asset.name == name)


def on(plant: PlantDefinition, rule: str) -> dict[str, RuleDefinition]:
    return {found.subject: found for found in plant.rules if found.name == rule}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_documented_and_every_documented_key_exists(section: str) -> None:
    text = (ROOT / "docs" / "plant-file.md").read_text()
    body = re.split(r"^#{2,3} ", text.split(f"# {section}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    fields = SECTIONS[section].model_fields
    assert set(re.findall(r"^\| `(\w+)` \|", body, re.MULTILINE)) == {
        info.alias or name for name, info in fields.items()
    }
    assert all(info.description for info in fields.values())


# A machine


def test_a_machine_is_stored_in_the_units_of_analysis_and_its_parts_have_its_speed() -> None:
    plant = read()
    pump = machine(plant, "P-1")
    assert pump.speed_rpm == pytest.approx(1470)
    assert (pump.group, pump.foundation, pump.blades) == (2, "rigid", 6)
    assert pump.bearings == (BearingSpec(designation="UER204 LDK"),)
    assert machine(plant, "M-1") == Machine(group=2, foundation="rigid", speed_rpm=pump.speed_rpm)


def test_what_measures_the_speed_is_a_full_name_also_for_the_parts() -> None:
    plant = read((MACHINE, "machine: {speed_sensor: speed}"))
    assert machine(plant, "P-1").speed_sensor == machine(plant, "M-1").speed_sensor == "P-1.speed"
    other = read((MACHINE, "machine: {speed_sensor: speed}"), ("class: motor", "machine: {speed: 2950}"))
    assert (machine(other, "M-1").speed_rpm, machine(other, "M-1").speed_sensor) == (2950, None)


def test_a_bearing_may_be_given_by_its_geometry() -> None:
    given = "{rollers: 9, roller_diameter: 0.3126 inch, pitch_diameter: 39.04, contact_angle: 15}"
    (bearing,) = machine(read(("UER204 LDK", given)), "P-1").bearings
    assert (bearing.rollers, bearing.pitch_diameter_mm, bearing.contact_angle_deg) == (9, 39.04, 15)
    assert bearing.roller_diameter_mm == pytest.approx(7.94, abs=1e-3)


# What is computed


def test_a_file_that_asks_for_nothing_gets_nothing() -> None:
    assert computed(read()) == {}


def test_a_detector_has_its_score_and_may_depend_on_other_sensors() -> None:
    plant = read((VIB, "{name: vib, unit: mm/s, detector: {kind: conditioned, warmup: 300, on: speed}}"))
    assert computed(plant) == {"P-1.vib.score": "score"}
    assert sensors(plant)["P-1.vib"].detector == DetectorSpec(
        kind="conditioned", parameters={"warmup": 300}, sensors=("P-1.speed",)
    )


def test_an_asset_is_scored_by_the_sensors_that_are_named() -> None:
    plant = read(("class: pump", "detector: {sensors: [temp, P-1.vib, M-1.temp]}"))
    assert next(asset.detector for asset in plant.assets) == DetectorSpec(
        kind="joint", sensors=("P-1.temp", "P-1.vib", "M-1.temp")
    )
    assert computed(plant) == {
        "P-1.vib.contribution": "contribution",
        "P-1.temp.contribution": "contribution",
        "M-1.temp.contribution": "contribution",
        "P-1.anomaly": "anomaly",
    }
    assert sensors(plant)["P-1.anomaly"].source is None
    assert sensors(plant)["M-1.temp.contribution"].source == "M-1.temp"


def test_waveforms_become_features_with_units_of_their_own() -> None:
    plant = read((WAVE, "{name: wave, unit: g_0, vibration: on}"))
    found = sensors(plant)
    assert found["P-1.wave"].vibration is not None
    assert found["P-1.wave.velocity_rms"].unit == "mm/s"
    assert found["P-1.wave.velocity_rms"].source == "P-1.wave"
    assert any(name.startswith("P-1.wave.bpfo") for name in found)
    bare = read((MACHINE, "title: Pump"), (WAVE, "{name: wave, unit: g_0, vibration: on}"))
    assert not any(name.startswith("P-1.wave.bpfo") for name in sensors(bare))
    near = "{name: wave, unit: g_0, vibration: {bearings: [UER204 LDK]}}"
    assert any(
        name.startswith("P-1.wave.bpfo") for name in sensors(read((MACHINE, "machine: {speed: 1470}"), (WAVE, near)))
    )


def test_remaining_life_is_counted_to_the_first_limit_of_the_rules() -> None:
    plant = read((VIB, "{name: vib, unit: mm/s, remaining_life: on}"), more=RULE)
    found = sensors(plant)
    assert found["P-1.vib.remaining_life"].detector == DetectorSpec(kind="trend", parameters={"high": 2.8})
    assert found["P-1.vib.remaining_life"].unit == "d"
    assert {"P-1.vib.remaining_life_p10", "P-1.vib.remaining_life_p90"} < set(found)
    assert found["P-1.vib.remaining_life_p10"].detector is None


def test_remaining_life_may_have_a_limit_of_its_own_also_below() -> None:
    plant = read((TEMP, "{name: temp, unit: degC, remaining_life: {high: 194 degF}}"), (VIB, VIB))
    assert sensors(plant)["P-1.temp.remaining_life"].detector == DetectorSpec(kind="trend", parameters={"high": 90})
    plant = read((VIB, "{name: vib, unit: bar, remaining_life: {low: 2}}"))
    assert sensors(plant)["P-1.vib.remaining_life"].detector == DetectorSpec(kind="trend", parameters={"low": 2})


def test_the_remaining_life_of_waveforms_is_that_of_their_velocity() -> None:
    plant = read((WAVE, "{name: wave, unit: g_0, vibration: on, remaining_life: {high: 7.1 mm/s}}"))
    assert sensors(plant)["P-1.wave.velocity_rms.remaining_life"].source == "P-1.wave.velocity_rms"


# Detectors without being asked for one by one


def test_automatic_detectors_look_at_measurements_alone() -> None:
    plant = read((WAVE, "{name: wave, unit: g_0, vibration: on}"), more="detectors: auto\n")
    found = computed(plant)
    scored = {name.removesuffix(".score") for name, what in found.items() if what == "score"}
    assert {name for name in scored if name.count(".") == 1} == {"P-1.vib", "P-1.temp", "P-1.speed", "M-1.temp"}
    assert "P-1.wave.velocity_rms" in scored
    assert [name for name, what in found.items() if what == "anomaly"] == ["P-1.anomaly"]
    assert {name for name, what in found.items() if what == "sensor_fault"} == {
        f"{name}.sensor_fault" for name in ("P-1.vib", "P-1.temp", "P-1.speed", "M-1.temp")
    }
    assert sensors(plant)["P-1.vib"].detector == DetectorSpec(kind="auto")
    assert sensors(plant)["P-1.wave"].detector is None


def test_what_is_off_is_left_alone_and_what_has_its_own_keeps_it() -> None:
    plant = read(
        (VIB, "{name: vib, unit: mm/s, detector: {kind: ewma, warmup: 50}}"),
        (TEMP, "{name: temp, unit: degC, detector: off}"),
        more="detectors: {assets: off, sensor_faults: off, budget: 0.2}\n",
    )
    found = sensors(plant)
    assert found["P-1.vib"].detector == DetectorSpec(kind="ewma", parameters={"warmup": 50})
    assert found["P-1.temp"].detector is None
    assert found["P-1.speed"].detector == DetectorSpec(kind="auto", parameters={"budget": 0.2})
    assert set(computed(plant).values()) == {"score"}
    # Whoever asks for a detector of their own has a rule of their own in mind.
    assert set(on(plant, "anomaly")) == {"P-1.speed.score", "M-1.temp.score"}


def test_a_machine_and_a_sensor_alone_get_one_rule_each_at_the_limit_that_detectors_set_themselves() -> None:
    plan = "job_plans: [{name: look, due_within: 7 d}]\n"
    alarm = "{on_delay: 2 min, priority: medium, failure_mode: unknown, job_plan: look}"
    plant = read(more=f"detectors: {{alarm: {alarm}}}\n{plan}")
    rules = on(plant, "anomaly")
    assert set(rules) == {"M-1.temp.score", "P-1.anomaly"}, (
        "what goes into the score of a machine has no alarm of its own"
    )
    apart = on(read(more="detectors: {assets: off}\n"), "anomaly")
    assert set(apart) == {"P-1.vib.score", "P-1.temp.score", "P-1.speed.score", "M-1.temp.score"}
    rule = rules["P-1.anomaly"]
    assert (rule.high, rule.on_delay_s, rule.off_delay_s, rule.priority) == (ALARM, 120, 120, Priority.MEDIUM)
    assert (rule.failure_mode, rule.job_plan, rule.kind) == ("unknown", "look", "limit")
    assert on(read(more="detectors: {alarm: off}\n"), "anomaly") == {}


def test_a_sensor_fault_is_an_alarm_about_the_measurement() -> None:
    plant = read(more="detectors: auto\n")
    ids = {sensor.name: number for number, sensor in enumerate(plant.sensors, 1)}
    rules = defined_rules(plant, sensor_ids=ids, asset_ids={"P-1": 1, "M-1": 2}, watched_since=to_datetime(0))
    categories = {(rule.name, rule.category) for rule in rules}
    assert ("sensor-fault", Category.SENSOR) in categories
    assert ("anomaly", Category.MACHINE) in categories


def test_a_rule_of_the_file_takes_the_place_of_the_automatic_one_and_an_asset_may_say_otherwise() -> None:
    plant = read(
        ("class: motor", "rules: {anomaly: {off: true}}"),
        more="detectors: {assets: off}\nrules: [{name: mine, sensors: [P-1.vib.score], high: 1.5, priority: high}]\n",
    )
    assert set(on(plant, "anomaly")) == {"P-1.temp.score", "P-1.speed.score"}


def test_the_sensors_behind_a_score_are_watched_for_their_quality() -> None:
    plant = read(("class: pump", "detector: {sensors: [temp, vib]}"), more="")
    assert on(plant, "sensor-quality") == {}
    rule = "rules: [{name: mine, sensors: [P-1.anomaly], high: 1, priority: high}]\n"
    plant = read(("class: pump", "detector: {sensors: [temp, vib]}"), more=rule)
    assert set(on(plant, "sensor-quality")) == {"P-1.temp", "P-1.vib"}


def test_rules_alone_know_the_machines_of_the_plant() -> None:
    file = parse_plant_text("version: 1\n" + RULE, file="rules.yaml")
    assert on(file.rules_on(read()), "zones")["P-1.vib"].high == 2.8


# Refusals

CASES = {
    "unknown bearing": (MACHINE, "machine: {bearings: [UER205 LDK]}", 10, "bearings[0]", "did you mean 'UER204 LDK'"),
    "number of a bearing": (MACHINE, "machine: {bearings: [6205]}", 10, "bearings[0]", "did you mean '6205-2RS"),
    "half a geometry": (MACHINE, "machine: {bearings: [{rollers: 9}]}", 10, "bearings[0]", "not the whole geometry"),
    "impossible bearing": (
        MACHINE, "machine: {bearings: [{rollers: 9, roller_diameter: 9, pitch_diameter: 8}]}", 10, "bearings[0]",
        "smaller than",
    ),
    "key of a bearing": (MACHINE, "machine: {bearings: [{rolers: 9}]}", 10, "bearings[0].rolers", "'rollers'"),
    "speed in another dimension": ("24.5 Hz", "24.5 bar", 10, "machine.speed", "convert"),
    "no speed": ("24.5 Hz", "0", 10, "machine.speed", "more than 0"),
    "speed sensor": (MACHINE, "machine: {speed_sensor: sped}", 10, "machine.speed_sensor", "did you mean 'speed'"),
    "speed sensor in degrees": (MACHINE, "machine: {speed_sensor: temp}", 10, "speed_sensor", "sensor in rpm"),
    "teeth": (MACHINE, "machine: {teeth: 1}", 10, "machine.teeth", "2 or more"),
    "vibration of a temperature": (
        TEMP, "{name: temp, unit: degC, vibration: on}", 14, "sensors[2].vibration", "acceleration",
    ),
    "vibration": (WAVE, "{name: wave, unit: g_0, vibration: of}", 19, "sensors[7].vibration", "expected on"),
    "vibration of a state": (
        "{name: state, kind: state}", "{name: state, kind: state, vibration: on}", 12, "vibration", "leave it out",
    ),
    "bearing near a sensor": (
        WAVE, "{name: wave, unit: g_0, vibration: {bearings: [x]}}", 19, "vibration.bearings[0]", "no bearing 'x'",
    ),
    "condition": (VIB, "{name: vib, unit: mm/s, detector: {kind: conditioned, on: [sped]}}", 13, "on[0]", "'speed'"),
    "no condition": (VIB, "{name: vib, unit: mm/s, detector: conditioned}", 13, "detector.on", "expected on: speed"),
    "two conditions": (
        VIB, "{name: vib, unit: mm/s, detector: {kind: conditioned, on: [speed, temp]}}", 13, "detector.on", "one",
    ),
    "condition of none": (VIB, "{name: vib, unit: mm/s, detector: {kind: ewma, on: speed}}", 13, "on", "has no on"),
    "condition on itself": (
        VIB, "{name: vib, unit: mm/s, detector: {kind: conditioned, on: [vib]}}", 13, "on[0]", "the sensor itself",
    ),
    "condition on a state": (
        VIB, "{name: vib, unit: mm/s, detector: {kind: conditioned, on: [state]}}", 13, "on[0]", "sends a state",
    ),
    "asset of one sensor": ("class: motor", "detector: auto", 22, "detector", "has 1 sensors"),
    "asset by an unknown sensor": (
        "class: pump", "detector: {sensors: [vib, tmp]}", 9, "detector.sensors[1]", "did you mean 'temp'",
    ),
    "asset by one sensor twice": ("class: pump", "detector: {sensors: [vib, P-1.vib]}", 9, "sensors[1]", "twice"),
    "asset parameter": ("class: pump", "detector: {budgt: 1}", 9, "detector", "budget"),
    "asset parameter text": ("class: pump", "detector: {budget: x}", 9, "detector.budget", "a number"),
    "point called anomaly": (
        "class: pump\n", "class: pump\n            detector: auto\n", 10, "detector", "give the point another name",
    ),
    "remaining life without a limit": (
        VIB, "{name: vib, unit: mm/s, remaining_life: on}", 13, "remaining_life", "no rule has a limit for P-1.vib",
    ),
    "remaining life up and down": (
        VIB, "{name: vib, unit: mm/s, remaining_life: {high: 7, low: 1}}", 13, "remaining_life", "one of them",
    ),
    "remaining life in another unit": (
        VIB, "{name: vib, unit: mm/s, remaining_life: {high: 7 bar}}", 13, "remaining_life.high", "convert",
    ),
    "detectors": ("version: 1", "version: 1\ndetectors: atuo", 2, "detectors", "expected auto, off"),
    "automatic sensors": ("version: 1", "version: 1\ndetectors: {sensors: on}", 2, "detectors.sensors", "auto or off"),
    "budget": ("version: 1", "version: 1\ndetectors: {budget: 0}", 2, "detectors.budget", "0.001 to 10000"),
    "plan of the anomaly rules": (
        "version: 1", "version: 1\ndetectors: {alarm: {job_plan: look}}", 2, "detectors.alarm.job_plan", "failure_mode",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_is_refused_once_with_line_place_and_what_would_do(case: str) -> None:
    old, new, line, where, words = CASES[case]
    changes = [(old, new)]
    if case == "point called anomaly":
        changes.append((TEMP, "{name: anomaly, unit: degC}"))
    if case == "plan of the anomaly rules":
        changes.append(("version: 1", "version: 1\njob_plans: [{name: look, due_within: 1 d}]"))
        line += 1
    with pytest.raises(PlantFileError) as caught:
        read(*changes)
    (problem,) = caught.value.problems
    assert (problem.line, where in problem.where, words in problem.message) == (line, True, True), problem


def test_a_sensor_goes_into_the_score_of_one_asset_alone() -> None:
    with pytest.raises(PlantFileError, match="goes into the score of P-1 already"):
        read(
            ("class: pump", "detector: {sensors: [vib, M-1.temp]}"),
            ("class: motor", "detector: {sensors: [temp, P-1.temp]}"),
        )
    plant = read(("class: pump", "detector: {sensors: [vib, M-1.temp]}"), more="detectors: auto\n")
    assert [asset.name for asset in plant.assets if asset.detector is not None] == ["P-1"]
