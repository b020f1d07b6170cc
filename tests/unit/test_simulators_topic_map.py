"""Topic maps: what they may say, and what they are told when they say something else."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulators.topic_map import TopicMap, TopicMapError, load_topic_map

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(tmp_path: Path, text: str) -> TopicMap:
    path = tmp_path / "map.yaml"
    path.write_text(text)
    return load_topic_map(path)


def test_a_text_time_column_and_a_plain_topic(tmp_path: Path) -> None:
    topic_map = load(tmp_path, 'time: datetime\ndelimiter: ";"\ncolumns:\n  Current: rig/SKAB-1/current\n')
    assert (topic_map.time.column, topic_map.time.unit_s, topic_map.delimiter) == ("datetime", None, ";")
    (target,) = topic_map.columns
    assert (target.column, target.topic, target.sensor) == ("Current", "rig/SKAB-1/current", "SKAB-1.current")


def test_a_sensor_name_of_its_own(tmp_path: Path) -> None:
    topic_map = load(tmp_path, "time: t\ncolumns:\n  a: {topic: rig/a, sensor: M-1.amps}\n")
    assert topic_map.columns[0].sensor == "M-1.amps"


@pytest.mark.parametrize(
    "start",
    [
        "2010-12-01T09:39:39Z",
        '"2010-12-01T09:39:39Z"',
        "2010-12-01T09:39:39",
        "2010-12-01T10:39:39+01:00",
        '"2010-12-01 10:39:39+01:00"',
    ],
)
def test_a_counting_time_column_starts_in_utc(tmp_path: Path, start: str) -> None:
    topic_map = load(tmp_path, f"time: {{column: t_ms, unit: ms, start: {start}}}\ncolumns: {{a: rig/m/a}}\n")
    assert topic_map.time.unit_s == 1e-3
    assert topic_map.time.start == datetime(2010, 12, 1, 9, 39, 39, tzinfo=UTC)
    assert type(topic_map.time.start) is datetime


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "expected time: COLUMN"),
        ("- a\n", 1, "expected time: COLUMN"),
        ("columns: {a: rig/a}\n", 1, "time: missing"),
        ("time: t\n", 1, "columns: missing"),
        ("time: t\ncolumns:\n", 2, "columns: missing"),
        ("time: t\ncolumns: {}\n", 2, "columns: expected at least one"),
        ("time: t\ncolumns: rig/a\n", 2, "columns: expected {COLUMN: topic}"),
        ("time: t\n\ntopics: {a: rig/a}\n", 3, "topics: unknown key; expected columns, delimiter, time"),
        ('time: t\ndelimiter: ";;"\ncolumns: {a: rig/a}\n', 2, "delimiter: expected one character"),
        ("time: 5\ncolumns: {a: rig/a}\n", 1, "time: expected the name of the time column"),
        (
            "time: {column: t, unit: days}\ncolumns: {a: rig/a}\n",
            1,
            "time.unit: expected one of us, ms, s, min, h",
        ),
        ("time: {unit: s}\ncolumns: {a: rig/a}\n", 1, "time.column: missing"),
        (
            "time:\n  column: t\n  unit: s\n  start: soon\ncolumns: {a: rig/a}\n",
            4,
            "time.start: expected date",
        ),
        (
            "time:\n  column: t\n  start: 2010-12-01\ncolumns: {a: rig/a}\n",
            3,
            "time.start: counts only with a unit",
        ),
        ("time: t\ncolumns:\n  a: rig/#\n", 3, "columns.a: expected an MQTT topic without wildcards"),
        ("time: t\ncolumns:\n  a: rig/a\n  b:\n", 4, "columns.b: expected an MQTT topic"),
        ("time: t\ncolumns:\n  a: {topic: rig/a, unit: g}\n", 3, "columns.a.unit: unknown key"),
        ("time: t\ncolumns:\n  a: rig/x\n  b: rig/x\n", 4, "columns.b: topic 'rig/x' is taken by column 'a'"),
        (
            "time: t\ncolumns:\n  a: one/m/x\n  b: two/m/x\n",
            4,
            "columns.b: sensor 'm.x' is taken by column 'a'",
        ),
    ],
)
def test_a_wrong_map_names_file_line_key_and_what_is_expected(tmp_path: Path, text: str, line: int, says: str) -> None:
    with pytest.raises(TopicMapError) as caught:
        load(tmp_path, text)
    assert f"map.yaml:{line}: " in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["time: [", "time: t\ntime: u\n"], ids=["syntax", "key twice"])
def test_what_is_not_yaml_is_said_to_be_so(tmp_path: Path, text: str) -> None:
    with pytest.raises(TopicMapError, match=r"map\.yaml: is not YAML"):
        load(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TopicMapError, match=r"nowhere\.yaml: cannot be read"):
        load_topic_map(tmp_path / "nowhere.yaml")


def test_an_unknown_column_is_named_with_the_columns_there_are(tmp_path: Path) -> None:
    topic_map = load(tmp_path, "time: datetime\ncolumns:\n  Curent: rig/m/current\n")
    with pytest.raises(TopicMapError) as caught:
        topic_map.check_header(["datetime", "Current", "Pressure"], "run.csv")
    message = str(caught.value)
    assert "map.yaml:3: columns.Curent: no column 'Curent' in run.csv; did you mean 'Current'?" in message
    assert "Its columns: datetime, Current, Pressure" in message


@pytest.mark.parametrize(("name", "columns"), [("replay-skab.yaml", 8), ("replay-femto.yaml", 5)])
def test_the_example_maps_and_their_plant_file_agree(name: str, columns: int) -> None:
    topic_map = load_topic_map(EXAMPLES / name)
    plant = (EXAMPLES / "replay-plant.yaml").read_text()
    assert len(topic_map.columns) == columns
    assert all(f"topic: {target.topic}" in plant for target in topic_map.columns)
