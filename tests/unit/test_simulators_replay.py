"""Recordings as messages: every reading of the file once, missing values not at all."""

import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulators.replay import Recording, RecordingError
from simulators.topic_map import TopicMapError, load_topic_map
from telemetry.errors import ConfigurationError

REPO = Path(__file__).parents[2]
DATA = Path(os.environ.get("PRECURSOR_DATA", REPO.parent / "shared" / "data"))
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"NO RECORDED DATA at {DATA}: set PRECURSOR_DATA to the folder that holds skab/"
)

TEXT_MAP = "time: when\ncolumns: {a: rig/M-1/a, b: rig/M-1/b}\n"
COUNT_MAP = "time: {column: t, unit: s, start: 2020-01-01T00:00:00Z}\ncolumns: {a: rig/M-1/a, b: rig/M-1/b}\n"
RUN = "when,a,other,b\n2020-01-01 00:00:00,1.5,x,-2\n2020-01-01 00:00:01,,x,3e-2\n2020-01-01 00:00:02,NaN,x,4\n"


def recording(tmp_path: Path, body: str, topic_map: str = TEXT_MAP, start: datetime | None = None) -> Recording:
    (tmp_path / "map.yaml").write_text(topic_map)
    path = tmp_path / "run.csv"
    path.write_text(body, newline="")
    return Recording(path=path, topic_map=load_topic_map(tmp_path / "map.yaml"), start=start)


def moment(second: float, year: int = 2020) -> datetime:
    return datetime(year, 1, 1, 0, 0, int(second), round(second % 1 * 1e6), tzinfo=UTC)


def test_each_value_is_a_message_and_a_missing_one_is_none(tmp_path: Path) -> None:
    messages = list(recording(tmp_path, RUN).messages())
    assert [(m.at, m.topic, json.loads(m.payload)["value"]) for m in messages] == [
        (moment(0), "rig/M-1/a", 1.5),
        (moment(0), "rig/M-1/b", -2),
        (moment(1), "rig/M-1/b", 0.03),
        (moment(2), "rig/M-1/b", 4),
    ]
    assert json.loads(messages[2].payload)["ts"] == "2020-01-01T00:00:01Z"
    assert {m.readings for m in messages} == {1}


def test_a_gateway_sends_arrays_of_n_readings_across_rows(tmp_path: Path) -> None:
    messages = list(recording(tmp_path, RUN).messages(gateway_topic="rig/gw", batch=3))
    assert [(m.topic, m.readings, m.at) for m in messages] == [
        ("rig/gw", 3, moment(1)),
        ("rig/gw", 1, moment(2)),
    ]
    assert json.loads(messages[0].payload) == [
        {"sensor": "M-1.a", "ts": "2020-01-01T00:00:00Z", "value": 1.5},
        {"sensor": "M-1.b", "ts": "2020-01-01T00:00:00Z", "value": -2},
        {"sensor": "M-1.b", "ts": "2020-01-01T00:00:01Z", "value": 0.03},
    ]


def test_the_summary_counts_rows_readings_and_missing_values(tmp_path: Path) -> None:
    summary = recording(tmp_path, RUN).summary()
    assert (summary.rows, summary.readings, summary.missing) == (3, 4, 2)
    assert (summary.first_at, summary.last_at) == (moment(0), moment(2))


def test_an_empty_recording_holds_nothing(tmp_path: Path) -> None:
    empty = recording(tmp_path, "when,a,b\n")
    assert empty.summary().rows == 0
    assert list(empty.messages(gateway_topic="rig/gw")) == []


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_the_delimiter_is_taken_from_the_header(tmp_path: Path, delimiter: str) -> None:
    assert recording(tmp_path, RUN.replace(",", delimiter)).summary().readings == 4


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_byte_order_mark_and_blank_lines_do_not_matter(tmp_path: Path, end: str) -> None:
    body = "\ufeff" + RUN.replace("\n", end) + end
    assert recording(tmp_path, body).summary().readings == 4


def test_a_compressed_recording_is_read_as_it_is(tmp_path: Path) -> None:
    plain = recording(tmp_path, RUN)
    packed = tmp_path / "run.csv.gz"
    packed.write_bytes(gzip.compress(RUN.encode()))
    assert list(Recording(path=packed, topic_map=plain.topic_map).messages()) == list(plain.messages())


def test_a_counting_time_column_is_added_to_its_start(tmp_path: Path) -> None:
    messages = recording(tmp_path, "t,a,b\n5,1,2\n15.25,3,4\n", COUNT_MAP).messages()
    assert [m.at for m in messages] == [moment(5), moment(5), moment(15.25), moment(15.25)]


@pytest.mark.parametrize(
    ("topic_map", "body"),
    [
        (TEXT_MAP, "when,a,b\n2020-01-01T01:00:05+01:00,1,2\n2020-01-01T00:00:15Z,3,4\n"),
        (COUNT_MAP, "t,a,b\n5,1,2\n15,3,4\n"),
    ],
    ids=["text", "counting"],
)
def test_a_given_start_is_the_moment_of_the_first_row(tmp_path: Path, topic_map: str, body: str) -> None:
    messages = recording(tmp_path, body, topic_map, start=moment(0, year=2026)).messages()
    assert [m.at for m in messages][::2] == [moment(0, year=2026), moment(10, year=2026)]


def test_a_counting_time_column_needs_a_start_from_somebody(tmp_path: Path) -> None:
    without = COUNT_MAP.replace(", start: 2020-01-01T00:00:00Z", "")
    with pytest.raises(RecordingError, match=r"map.yaml:1: time.start: missing"):
        recording(tmp_path, "t,a,b\n5,1,2\n", without).summary()
    assert recording(tmp_path, "t,a,b\n5,1,2\n", without, start=moment(0)).summary().first_at == moment(0)


@pytest.mark.parametrize(
    ("body", "topic_map", "says"),
    [
        (
            "when,a,b\n2020-01-01,1,2\n2020-01-02,high,2\n",
            TEXT_MAP,
            "run.csv:3: column 'a' is 'high', expected a number",
        ),
        ("when,a,b\n2020-01-01,1,inf\n", TEXT_MAP, "run.csv:2: column 'b' is 'inf', expected a number"),
        ("when,a,b\n17.5,1,2\n", TEXT_MAP, "run.csv:2: column 'when' is '17.5', expected date and time"),
        ("t,a,b\n,1,2\n", COUNT_MAP, "run.csv:2: column 't' is empty, expected the time"),
        ("when,a,b\n2020-01-01,1\n", TEXT_MAP, "run.csv:2: 2 fields, expected 3"),
    ],
)
def test_a_field_that_cannot_be_read_is_named(tmp_path: Path, body: str, topic_map: str, says: str) -> None:
    with pytest.raises(RecordingError) as caught:
        recording(tmp_path, body, topic_map).summary()
    assert says in str(caught.value)


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(TopicMapError, match=r"columns.b: no column 'b' in .*Its columns: when, a, c"):
        recording(tmp_path, "when,a,c\n2020-01-01,1,2\n").summary()


def test_a_recording_that_is_not_there_is_named(tmp_path: Path) -> None:
    there = recording(tmp_path, RUN)
    with pytest.raises(RecordingError, match=r"gone.csv: cannot be read"):
        list(Recording(path=tmp_path / "gone.csv", topic_map=there.topic_map).messages())


@pytest.mark.parametrize("name", ["torn.csv.gz", "not-gzip.csv.gz"])
def test_a_damaged_compressed_recording_is_said_to_be_so(tmp_path: Path, name: str) -> None:
    there = recording(tmp_path, RUN)
    body = gzip.compress(RUN.encode())[:-12] if name.startswith("torn") else RUN.encode()
    (tmp_path / name).write_bytes(body)
    with pytest.raises(RecordingError, match="cannot be read"):
        Recording(path=tmp_path / name, topic_map=there.topic_map).summary()


def test_an_array_of_no_readings_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="1 reading or more"):
        recording(tmp_path, RUN).messages(gateway_topic="rig/gw", batch=0)


@needs_data
@pytest.mark.parametrize(
    ("topic_map", "run", "rows", "columns"),
    [
        ("replay-skab.yaml", "skab/valve1/0.csv", 1147, 8),
        ("replay-femto.yaml", "femto_learning/Bearing1_1.csv", 2803, 5),
    ],
    ids=["skab", "femto"],
)
def test_recorded_plant_data_gives_rows_times_sensors_less_missing(
    topic_map: str, run: str, rows: int, columns: int
) -> None:
    source = Recording(path=DATA / run, topic_map=load_topic_map(REPO / "examples" / topic_map))
    lines = [line for line in (DATA / run).read_text().splitlines() if line]
    summary = source.summary()
    assert summary.rows == len(lines) - 1 == rows
    assert summary.readings == rows * columns - summary.missing
    messages = list(source.messages())
    assert len(messages) == sum(m.readings for m in messages) == summary.readings
    assert len({(m.topic, m.at) for m in messages}) == summary.readings
    arrays = list(source.messages(gateway_topic="testrig/gw", batch=100))
    assert sum(m.readings for m in arrays) == summary.readings
    assert len(arrays) == -(-summary.readings // 100)


@needs_data
def test_a_bearing_recorded_without_temperature_is_told_so_before_anything_is_sent() -> None:
    path = DATA / "femto_learning" / "Bearing2_2.csv"
    source = Recording(path=path, topic_map=load_topic_map(REPO / "examples" / "replay-femto.yaml"))
    with pytest.raises(TopicMapError, match=r"columns\.temp_c: no column 'temp_c'"):
        next(source.messages())
