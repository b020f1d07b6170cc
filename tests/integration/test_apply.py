"""`precursor apply` against a real PostgreSQL: equal afterwards, idempotent, whole or not at all."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import psycopg
import pytest

from cbm.job_plan import Part
from cbm.plans_store import load_job_plans
from precursor.apply import apply
from precursor.plantfile import PlantDefinition, PlantFileError, read_plant_file
from precursor.plantfile.plan import Action
from rules.store import load_rules
from telemetry.batch import to_micros
from telemetry.editions import detect_async
from telemetry.errors import ConfigurationError, DatabaseUnavailableError
from telemetry.plant import DetectorSpec, DoorChecks, Plant, SensorKind
from telemetry.plant_store import load_plant, plant_revision

EXAMPLE = Path(__file__).parents[2] / "examples" / "plant.yaml"
TABLES = ("plant_revision", "site", "area", "gateway", "asset", "sensor", "job_plan", "rule")


@pytest.fixture
def plant_file(tmp_path: Path) -> Path:
    file = tmp_path / "plant.yaml"
    file.write_text(EXAMPLE.read_text())
    return file


def edit(file: Path, *pairs: tuple[str, str]) -> None:
    text = file.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


def everything(dsn: str) -> dict[str, list[Any]]:
    with psycopg.connect(dsn) as connection:
        return {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in TABLES}


def ids(dsn: str) -> dict[str, int]:
    with psycopg.connect(dsn) as connection:
        return dict(connection.execute("SELECT name, id FROM sensor UNION ALL SELECT name, id FROM asset").fetchall())


async def add_reading(dsn: str, sensor: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        now = datetime.now(UTC)
        await (await detect_async(connection)).make_room(connection, np.array([to_micros(now)]))
        await connection.execute(
            "INSERT INTO reading (time, sensor_id, value) SELECT $1, id, 1 FROM sensor WHERE name = $2", now, sensor
        )
    finally:
        await connection.close()


BORN = """
    WITH new_area AS (
        INSERT INTO area (site_id, name, origin) SELECT id, 'edge', 'birth' FROM site RETURNING id
    ), new_asset AS (
        INSERT INTO asset (name, area_id, origin) SELECT 'edge-1', id, 'birth' FROM new_area RETURNING id
    )
    INSERT INTO sensor (name, asset_id, unit, origin)
    SELECT 'edge-1.speed', id, 'rpm', 'birth' FROM new_asset
    UNION ALL SELECT 'P-102.oil', id, 'degC', 'provision' FROM asset WHERE name = 'P-102'
"""
"""an area, an asset and its sensor that a birth made, and a sensor that was made on an asset of the file"""


def run(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement)


async def loaded(dsn: str) -> Plant:
    connection = await asyncpg.connect(dsn)
    try:
        return await load_plant(connection)
    finally:
        await connection.close()


def as_defined(plant: Plant) -> tuple[object, ...]:
    """What a plant has in common with the definition it came from."""
    names = {asset.id: asset.name for asset in plant.assets}
    sensors = {sensor.id: sensor.name for sensor in plant.sensors}
    return (
        {
            (asset.name, asset.title, asset.site, asset.area, names.get(asset.parent_id or 0), asset.asset_class,
             asset.criticality)
            for asset in plant.assets
        },
        {
            (sensor.name, names[sensor.asset_id], sensor.kind, sensor.quantity, sensor.unit, sensor.topic,
             sensor.factor, sensor.offset, tuple(sorted(sensor.codes.items())), sensors.get(sensor.source_id or 0),
             str(sensor.detector), sensor.checks)
            for sensor in plant.sensors
        },
        {gateway.name: gateway for gateway in plant.gateways},
        set(plant.subscriptions),
    )  # fmt: skip


def as_written(definition: PlantDefinition) -> tuple[object, ...]:
    return (
        {
            (asset.name, asset.title, asset.site, asset.area, asset.parent, asset.asset_class, asset.criticality)
            for asset in definition.assets
        },
        {
            (sensor.name, sensor.asset, sensor.kind, sensor.quantity, sensor.unit, sensor.topic, sensor.factor,
             sensor.offset, tuple(sorted(sensor.codes.items())), sensor.source, str(sensor.detector), sensor.checks)
            for sensor in definition.sensors
        },
        {gateway.name: gateway for gateway in definition.gateways},
        {text for site in definition.sites for text in site.subscribe},
    )  # fmt: skip


async def test_what_was_applied_loads_as_it_was_written(dsn: str, plant_file: Path) -> None:
    edit(
        plant_file,
        ("unit: A\n", "unit: A\n                sent_in: mA\n"),
        (
            "            class: fan\n",
            "            class: fan\n            assets: [{name: F-201-motor, class: motor}]\n",
        ),
        ("detector: half_space_trees", "detector: {kind: ewma, warmup: 300}"),
    )
    plan = apply(dsn, plant_file)
    plant = await loaded(dsn)
    assert plan.applied
    assert plant.revision == 1
    assert as_defined(plant) == as_written(read_plant_file(plant_file))
    score = plant.sensor_by_name["P-101.vib_de.score"]
    assert score.kind is SensorKind.DERIVED
    assert score.source_id == plant.sensor_by_name["P-101.vib_de"].id
    assert plant.sensor_by_name["F-201.current"].factor == 0.001
    assert plant.sensor_by_name["F-201.vib_nde"].detector == DetectorSpec(kind="ewma", parameters={"warmup": 300})


async def test_rules_and_job_plans_load_as_they_were_written(dsn: str, plant_file: Path) -> None:
    apply(dsn, plant_file)
    connection = await asyncpg.connect(dsn)
    try:
        rules, plans = await load_rules(connection), await load_job_plans(connection)
    finally:
        await connection.close()
    written = read_plant_file(plant_file)
    assert {(rule.name, rule.sensor_name, rule.high, rule.deadband, rule.on_delay_s, rule.priority, rule.job_plan)
            for rule in rules} == {
        (rule.name, rule.subject, rule.high, rule.deadband, rule.on_delay_s, rule.priority, rule.job_plan)
        for rule in written.rules
    }  # fmt: skip
    assert len(rules) == len(written.rules)
    assert plans["check-lubrication"].parts == (Part(name="Bearing grease NLGI 2 (kg)", quantity=0.2),)
    assert plans["check-lubrication"].due_within_s == 2 * 86_400


async def test_gateways_and_checks_load_as_they_were_written(dsn: str, plant_file: Path) -> None:
    gateways = """\
      - name: old-plc
        topic: factory/{line}/{machine}/data
        fields: {ts: time}
        names: {V1: P-102.vib_de}
        asset: "{line}-{machine}"
        unknown: provision
        provision: [{match: '*.temp', area: hall, class: pump, unit: degC}]
      - {name: edge, format: sparkplug_b, unknown: reject}
"""
    edit(
        plant_file,
        ("    gateways:\n", f"    gateways:\n{gateways}"),
        ('    subscribe: ["northfield/#"]\n', ""),
        ("unit: m^3/h\n", "unit: m^3/h\n                range: [0, 50 l/s]\n                flat_line: 10 min\n"),
    )
    apply(dsn, plant_file)
    plant, written = await loaded(dsn), read_plant_file(plant_file)
    assert as_defined(plant) == as_written(written)
    assert {gateway.name for gateway in plant.gateways} == {"gw-1", "old-plc", "edge"}
    assert plant.sensor_by_name["P-101.flow"].checks == DoorChecks(low=0, high=180, flat_line_s=600)
    assert plant.subscriptions == ("factory/+/+/data", "northfield/#")
    assert apply(dsn, plant_file).as_text() == "nothing to change"


def test_what_births_and_provisioning_made_is_left_alone(dsn: str, plant_file: Path) -> None:
    apply(dsn, plant_file)
    run(dsn, BORN)
    before = everything(dsn)
    assert apply(dsn, plant_file).as_text() == "nothing to change"
    assert everything(dsn) == before


async def test_an_asset_that_left_the_file_stays_while_others_sensors_hang_on_it(dsn: str, plant_file: Path) -> None:
    apply(dsn, plant_file)
    run(dsn, BORN)
    edit(plant_file, ("- name: P-102", "- name: P-103"))
    text = apply(dsn, plant_file).as_text()
    assert "- sensor P-102.vib_de (retired; its readings stay)" in text
    assert "asset P-102" not in text
    plant = await loaded(dsn)
    assert plant.sensor_by_name["P-102.oil"].asset_id in plant.asset_by_id
    assert "P-102.vib_de" not in plant.sensor_by_name
    run(dsn, "UPDATE sensor SET retired_at = now() WHERE name = 'P-102.oil'")
    assert apply(dsn, plant_file).as_text().startswith("- asset P-102 (retired; its readings stay)\n")


def test_an_area_and_a_site_that_left_the_file_stay_while_others_assets_are_in_them(dsn: str, plant_file: Path) -> None:
    apply(dsn, plant_file)
    run(dsn, "INSERT INTO asset (name, area_id, origin) SELECT 'edge-1', min(id), 'birth' FROM area")
    edit(plant_file, ("name: northfield", "name: southfield"), ("northfield/", "southfield/"))
    retired = {change.name for change in apply(dsn, plant_file).changes if change.action is Action.RETIRE}
    with psycopg.connect(dsn) as connection:
        areas = [f"northfield/{name}" for (name,) in connection.execute("SELECT name FROM area ORDER BY site_id, id")]
    assert areas[0] not in retired
    assert areas[1] in retired
    assert "northfield" not in retired


async def test_the_file_takes_over_what_it_names(dsn: str, plant_file: Path) -> None:
    apply(dsn, plant_file)
    run(dsn, BORN)
    before = ids(dsn)
    edit(
        plant_file,
        (
            "          - name: P-102\n",
            "          - {name: edge-1, sensors: [{name: speed, unit: rpm}]}\n          - name: P-102\n",
        ),
    )
    text = apply(dsn, plant_file).as_text()
    assert "~ sensor edge-1.speed: origin birth -> plant" in text
    assert "~ asset edge-1: " in text
    assert "origin birth -> plant" in text.split("~ asset edge-1: ")[1].splitlines()[0]
    assert ids(dsn) == before
    edit(plant_file, ("{name: edge-1,", "{name: edge-2,"))
    assert "- sensor edge-1.speed (retired; its readings stay)" in apply(dsn, plant_file).as_text()
    assert "edge-1.speed" not in (await loaded(dsn)).sensor_by_name


async def test_the_unit_of_what_is_taken_over_is_bound_by_its_readings(dsn: str, plant_file: Path) -> None:
    apply(dsn, plant_file)
    run(dsn, BORN)
    await add_reading(dsn, "P-102.oil")
    old = "          - name: P-102\n            title: Cooling water pump 2\n            class: pump\n"
    begin = EXAMPLE.read_text().index(old)
    old = EXAMPLE.read_text()[begin:].split("sensors:\n")[0] + "sensors:\n"
    edit(plant_file, (old, old + "              - {name: oil, unit: degF}\n"))
    with pytest.raises(ConfigurationError, match="its unit can't change from degC to degF"):
        apply(dsn, plant_file)


def test_a_second_apply_changes_nothing(dsn: str, plant_file: Path) -> None:
    apply(dsn, plant_file)
    before = everything(dsn)
    plan = apply(dsn, plant_file)
    assert plan.as_text() == "nothing to change"
    assert everything(dsn) == before


def test_a_dry_run_shows_the_changes_and_writes_nothing(dsn: str, plant_file: Path) -> None:
    before = everything(dsn)
    plan = apply(dsn, plant_file, dry_run=True)
    assert "+ sensor P-101.vib_de (mm/s)" in plan.as_text()
    assert not plan.applied
    assert everything(dsn) == before


def test_a_change_says_old_and_new(dsn: str, plant_file: Path) -> None:
    apply(dsn, plant_file)
    edit(plant_file, ("high: 4.5 mm/s", "high: 7.1 mm/s"))
    plan = apply(dsn, plant_file)
    assert "~ rule vibration-zone-d on P-101.vib_de: high 4.5 -> 7.1" in plan.as_text()
    assert plan.as_json()["revision"] == 2
    assert {change["action"] for change in plan.as_json()["changes"]} == {"change"}


async def test_what_left_the_file_is_retired_and_comes_back_with_its_id(dsn: str, plant_file: Path) -> None:
    apply(dsn, plant_file)
    before = ids(dsn)
    edit(plant_file, ("- name: P-102", "- name: P-103"))
    text = apply(dsn, plant_file).as_text()
    assert "- asset P-102 (retired; its readings stay)" in text
    names = (await loaded(dsn)).sensor_by_name
    assert "P-102.vib_de" not in names
    assert "P-103.vib_de" in names
    edit(plant_file, ("- name: P-103", "- name: P-102"))
    assert "^ asset P-102 (back from retirement)" in apply(dsn, plant_file).as_text()
    after = ids(dsn)
    assert {name: after[name] for name in before} == before
    assert as_defined(await loaded(dsn)) == as_written(read_plant_file(plant_file))


async def test_two_sensors_can_exchange_their_topics(dsn: str, plant_file: Path) -> None:
    apply(dsn, plant_file)
    edit(plant_file, ("P-101/flow", "P-101/x"), ("P-101/pressure", "P-101/flow"), ("P-101/x", "P-101/pressure"))
    apply(dsn, plant_file)
    assert (await loaded(dsn)).sensor_by_name["P-101.flow"].topic == "northfield/P-101/pressure"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("unit: m^3/h", "unit: l/min", "its unit can't change from m\\^3/h to l/min"),
        ("unit: m^3/h", "kind: state", "its kind can't change from measured to state"),
    ],
)
async def test_readings_forbid_another_unit_or_kind(dsn: str, plant_file: Path, old: str, new: str, words: str) -> None:
    apply(dsn, plant_file)
    await add_reading(dsn, "P-101.flow")
    before = everything(dsn)
    edit(plant_file, (old, new), ("title: Flow", "title: Volume flow"))
    with pytest.raises(ConfigurationError, match=words):
        apply(dsn, plant_file)
    assert everything(dsn) == before


async def test_a_unit_changes_freely_before_the_first_reading_and_in_spelling_always(
    dsn: str, plant_file: Path
) -> None:
    apply(dsn, plant_file)
    await add_reading(dsn, "P-101.vib_de")
    edit(plant_file, ("unit: m^3/h", "unit: l/min"), ("unit: mm/s", "unit: millimeter/second"))
    apply(dsn, plant_file)
    names = (await loaded(dsn)).sensor_by_name
    assert (names["P-101.flow"].unit, names["P-101.vib_de"].unit) == ("l/min", "millimeter/second")


def test_a_wrong_file_leaves_the_database_alone(dsn: str, plant_file: Path) -> None:
    apply(dsn, plant_file)
    before = everything(dsn)
    edit(plant_file, ("title: Flow", "titel: Flow"))
    with pytest.raises(PlantFileError, match="did you mean 'title'"):
        apply(dsn, plant_file)
    assert everything(dsn) == before


def test_an_apply_that_breaks_in_the_middle_leaves_nothing_behind(dsn: str, plant_file: Path) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("ALTER TABLE rule ADD CHECK (high <> 90)")
    before = everything(dsn)
    with pytest.raises(psycopg.errors.CheckViolation):
        apply(dsn, plant_file)
    assert everything(dsn) == before


def test_of_two_applies_at_once_the_second_finds_nothing_to_change(dsn: str, plant_file: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        plans = list(pool.map(lambda _: apply(dsn, plant_file), range(2)))
    assert sorted(bool(plan.changes) for plan in plans) == [False, True]
    assert everything(dsn)["plant_revision"][0][1] == 1


async def test_an_apply_with_changes_notifies_and_one_without_does_not(dsn: str, plant_file: Path) -> None:
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute("LISTEN plant_changed")
        apply(dsn, plant_file)
        apply(dsn, plant_file)
        assert [notice.channel for notice in listener.notifies(timeout=1)] == ["plant_changed"]
    connection = await asyncpg.connect(dsn)
    try:
        assert await plant_revision(connection) == 1
    finally:
        await connection.close()


def test_a_database_that_does_not_answer_is_a_transient_error(plant_file: Path) -> None:
    with pytest.raises(DatabaseUnavailableError):
        apply("postgresql://nobody@127.0.0.1:1/none", plant_file)


def test_a_database_without_tables_asks_for_migrate(unmigrated_dsn: str, plant_file: Path) -> None:
    with pytest.raises(ConfigurationError, match="precursor migrate"):
        apply(unmigrated_dsn, plant_file)
