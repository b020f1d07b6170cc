"""Machines, detectors, waveforms and remaining life of a plant file in the database: as written, and once."""

from pathlib import Path

import asyncpg
import pytest

from precursor.apply import apply
from precursor.plantfile import read_plant_file
from precursor.plantfile.plan import Action
from precursor.plantfile.stored_plant import load_stored_plant
from rules.store import load_rules
from telemetry.plant_store import load_plant

OLD = """
version: 1
sites:
  - name: works
    gateways: [{name: g, topic: works/g}]
    areas:
      - name: hall
        assets:
          - name: P-1
            class: pump
            machine: {group: 2, foundation: rigid}
            sensors:
              - {name: state, kind: state}
              - {name: vib, unit: mm/s, detector: {kind: ewma, warmup: 300}}
              - {name: temp, unit: degC}
              - {name: wave, unit: g_0}
rules:
  - {name: unusual, sensors: ["*.score"], high: 1, priority: low}
"""
NEW = """
version: 1
detectors: {budget: 0.2, alarm: {failure_mode: unknown}}
sites:
  - name: works
    gateways: [{name: g, topic: works/g}]
    areas:
      - name: hall
        assets:
          - name: P-1
            class: pump
            machine:
              group: 2
              foundation: rigid
              speed: 24.5 Hz
              speed_sensor: speed
              bearings: [UER204 LDK, {rollers: 9, roller_diameter: 7.94, pitch_diameter: 39.04}]
              teeth: 21
              blades: 6
            detector: {sensors: [vib, temp], warmup: 2000}
            sensors:
              - {name: state, kind: state}
              - {name: vib, unit: mm/s, detector: {kind: conditioned, on: speed}, remaining_life: {high: 7.1}}
              - {name: temp, unit: degC}
              - {name: speed, unit: rpm}
              - {name: wave, unit: g_0, vibration: {bearings: [PRONOSTIA]}}
rules:
  - {name: unusual, sensors: [P-1.vib.score], high: 1, priority: low}
"""


@pytest.fixture
def plant_file(tmp_path: Path) -> Path:
    file = tmp_path / "plant.yaml"
    file.write_text(OLD)
    return file


@pytest.fixture
def new_file(tmp_path: Path) -> Path:
    file = tmp_path / "new.yaml"
    file.write_text(NEW)
    return file


async def test_what_was_applied_loads_as_it_was_written(
    dsn: str, connection: asyncpg.Connection, new_file: Path
) -> None:
    apply(dsn, new_file)
    written, stored = read_plant_file(new_file), await load_stored_plant(connection)
    assert stored.assets == written.assets
    assert {sensor.name: (sensor.detector, sensor.vibration, sensor.computed, sensor.source, sensor.unit, sensor.kind)
            for sensor in stored.sensors} == {
        sensor.name: (sensor.detector, sensor.vibration, sensor.computed, sensor.source, sensor.unit, sensor.kind)
        for sensor in written.sensors
    }  # fmt: skip
    rules = await load_rules(connection)
    assert {(rule.name, rule.sensor_name, rule.high) for rule in rules} == {
        (rule.name, rule.subject, rule.high) for rule in written.rules
    }
    assert len(rules) > 5
    assert apply(dsn, new_file).as_text() == "nothing to change"


async def test_an_older_file_means_what_it_meant(dsn: str, connection: asyncpg.Connection, plant_file: Path) -> None:
    apply(dsn, plant_file)
    plant = await load_plant(connection)
    assert [(sensor.name, sensor.computed) for sensor in plant.sensors] == [
        ("P-1.state", ""), ("P-1.vib", ""), ("P-1.vib.score", "score"), ("P-1.temp", ""), ("P-1.wave", ""),
    ]  # fmt: skip
    assert {rule.name for rule in await load_rules(connection)} == {"unusual", "sensor-quality"}
    assert plant.assets[0].detector is None


def test_a_dry_run_shows_what_is_added_and_taking_it_back_retires_it(
    dsn: str, plant_file: Path, new_file: Path
) -> None:
    apply(dsn, plant_file)
    plan = apply(dsn, new_file, dry_run=True)
    text = plan.as_text()
    assert "+ sensor P-1.vib.remaining_life (d)" in text
    assert "+ sensor P-1.wave.velocity_rms (mm/s)" in text
    assert "+ rule anomaly on P-1.temp.score" in text
    assert "speed_rpm none -> 1470" in text
    apply(dsn, new_file)
    back = apply(dsn, plant_file)
    assert {change.action for change in back.changes} == {Action.RETIRE, Action.CHANGE}
    assert {change.name for change in back.changes if change.action is Action.CHANGE} == {
        "P-1", "P-1.vib", "P-1.temp", "P-1.wave"
    }  # fmt: skip
