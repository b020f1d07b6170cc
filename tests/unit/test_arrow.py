"""Readings as Arrow and as files: exact both ways, and other people's tables understood or refused with a reason."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.limits import DoorLimits
from ingest.reasons import RejectReason
from precursor.door import Door
from telemetry.arrow import METADATA_KEY, ReadingEncoder, sensors_of
from telemetry.arrow_columns import ArrowColumns, Flaw, RawReadings, from_table
from telemetry.batch import ReadingBatch, to_micros
from telemetry.catalogue import Catalogue, CatalogueSensor
from telemetry.errors import ConfigurationError
from telemetry.plant import SensorKind
from telemetry.quality import Quality
from telemetry.reading_files import ReadingFile, check_target

NOW = datetime(2026, 11, 21, tzinfo=UTC)
T0 = to_micros(datetime(2026, 10, 1, tzinfo=UTC))
UTC_US = pa.timestamp("us", "UTC")


def sensor(number: int, name: str, *, kind: SensorKind = SensorKind.MEASURED) -> CatalogueSensor:
    return CatalogueSensor(
        id=number, name=name, kind=kind, quantity="velocity", unit="mm/s", assets=("P-1", "M-1"), site="mill"
    )


# Ids neither in the order of the names nor without gaps.
SENSORS = (sensor(12, "a"), sensor(3, "b"), sensor(7, "ü"), sensor(9, "running", kind=SensorKind.STATE))
IDS = {each.name: each.id for each in SENSORS}


def table(**columns: Any) -> pa.Table:
    """A sound table of two rows, but for these columns; None leaves one out."""
    sound = {
        "time": pa.array([T0, T0 + 1]).view(UTC_US),
        "sensor": pa.array(["a", "b"]),
        "value": pa.array([1.0, 2.0]),
    }
    return pa.table({name: column for name, column in (sound | columns).items() if column is not None})


def raw(of: pa.Table, timezone: str | None = None) -> RawReadings:
    columns = ArrowColumns(of.schema, timezone=timezone)
    return RawReadings.concat([columns.read(rows) for rows in of.select(columns.names).to_batches()])


READING = st.tuples(
    st.integers(-(2**62), 2**62),
    st.sampled_from(sorted(IDS.values())),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([int(quality) for quality in Quality]),
)


def batch_of(rows: Sequence[tuple[int, int, float, int]]) -> ReadingBatch:
    return ReadingBatch.of(*(zip(*rows, strict=True) if rows else ([], [], [])))


@given(rows=st.lists(READING, max_size=30))
def test_a_batch_comes_back_from_arrow_with_every_bit(rows: list[tuple[int, int, float, int]]) -> None:
    batch = batch_of([*rows, (0, 3, -0.0, 0), (1, 3, 5e-324, 1), (2, 12, 1.7976931348623157e308, 3)])
    encoder = ReadingEncoder(SENSORS)
    assert from_table(pa.Table.from_batches([encoder.encode(batch)]), IDS).to_bytes() == batch.to_bytes()


def test_no_readings_are_a_table_without_rows() -> None:
    empty = pa.Table.from_batches([ReadingEncoder(SENSORS).encode(ReadingBatch.empty())])
    assert empty.num_rows == 0
    assert len(from_table(empty, IDS)) == 0


def test_a_table_has_names_and_words_and_says_what_its_sensors_are() -> None:
    rows = ReadingEncoder(SENSORS, made_by="precursor 1.2.3").encode(batch_of([(T0, 7, 1.5, 1)]))
    assert rows.to_pylist() == [
        {"time": datetime(2026, 10, 1, tzinfo=UTC), "sensor": "ü", "value": 1.5, "quality": "uncertain"}
    ]
    assert isinstance(rows.to_pandas()["quality"].dtype, pd.CategoricalDtype)
    assert sensors_of(rows.schema)["running"] == {
        "kind": "state", "quantity": "velocity", "unit": "mm/s", "asset": "M-1", "site": "mill",
    }  # fmt: skip
    assert b'"made_by": "precursor 1.2.3"' in rows.schema.metadata[METADATA_KEY]


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b'{"version": 1}', b'{"version": 1, "sensors": {"a": 3}}'])
def test_metadata_of_others_says_nothing(document: bytes) -> None:
    assert sensors_of(table().schema) == {}
    assert sensors_of(table().schema.with_metadata({METADATA_KEY: document})) == {}


def test_a_newer_form_is_refused() -> None:
    newer = table().schema.with_metadata({METADATA_KEY: b'{"version": 2, "made_by": "precursor 9", "sensors": {}}'})
    with pytest.raises(ConfigurationError, match="precursor 9"):
        sensors_of(newer)


@pytest.mark.parametrize(
    ("kind", "stamps", "expected"),
    [
        pytest.param(pa.timestamp("s", "UTC"), [1_700_000_000, -1], [1_700_000_000_000_000, -1_000_000], id="s"),
        pytest.param(pa.timestamp("ms", "+02:00"), [1_700_000_000_123], [1_700_000_000_123_000], id="ms-other-zone"),
        pytest.param(pa.timestamp("us", "Asia/Tokyo"), [1_700_000_000_123_456], [1_700_000_000_123_456], id="us"),
        pytest.param(pa.timestamp("ns", "UTC"), [1_999, -1], [1, -1], id="ns-cut-downwards"),
        pytest.param(pa.timestamp("s", "UTC"), [2**62, -(2**62)],
                     [9_223_372_036_854_000_000, -9_223_372_036_854_000_000], id="beyond-int64-stays-far-away"),
    ],
)  # fmt: skip
def test_times_of_any_unit_and_zone_are_microseconds_utc(
    kind: pa.DataType, stamps: list[int], expected: list[int]
) -> None:
    count = len(stamps)
    read = raw(table(time=pa.array(stamps).view(kind), sensor=pa.array(["a"] * count), value=pa.array([1.0] * count)))
    assert read.time.tolist() == expected
    assert not read.flaw.any()


def test_local_times_are_those_of_the_stated_zone_and_hours_that_come_twice_or_never_are_flaws() -> None:
    local = [
        datetime(2026, 7, 1, 12),  # noqa: DTZ001  # a time without a zone is what is tested
        datetime(2026, 10, 25, 2, 30),  # noqa: DTZ001
        datetime(2026, 3, 29, 2, 30),  # noqa: DTZ001
        datetime(2026, 12, 1, 12),  # noqa: DTZ001
    ]
    count = len(local)
    read = raw(
        table(time=pa.array(local, pa.timestamp("ms")), sensor=pa.array(["a"] * count), value=pa.array([1.0] * count)),
        "Europe/Berlin",
    )
    assert read.flaw.tolist() == [Flaw.NONE, Flaw.AMBIGUOUS_TIME, Flaw.AMBIGUOUS_TIME, Flaw.NONE]
    assert read.time[[0, 3]].tolist() == [
        to_micros(datetime(2026, 7, 1, 10, tzinfo=UTC)),
        to_micros(datetime(2026, 12, 1, 11, tzinfo=UTC)),
    ]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        pytest.param(pa.array([1.5, -2.0], pa.float32()), [1.5, -2.0], id="float32"),
        pytest.param(pa.array([1.5, -2.0], pa.float16()), [1.5, -2.0], id="float16"),
        pytest.param(pa.array([1, -2], pa.int8()), [1.0, -2.0], id="int8"),
        pytest.param(pa.array([2**63 - 1, 0], pa.int64()), [2.0**63, 0.0], id="int64-nearest"),
        pytest.param(pa.array([2**64 - 1, 0], pa.uint64()), [2.0**64, 0.0], id="uint64"),
        pytest.param(pa.array([True, False]), [1.0, 0.0], id="bool"),
        pytest.param(pa.array(["1.25", "-3.50"]).cast(pa.decimal128(5, 2)), [1.25, -3.5], id="decimal"),
    ],
)
def test_numbers_of_any_type_are_values(column: pa.Array, expected: list[float]) -> None:
    assert raw(table(value=column)).value.tolist() == expected


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.uint32(), pa.large_string()),
    ],
    ids=str,
)
def test_names_in_any_layout_are_sensors(kind: pa.DataType) -> None:
    read = raw(table(sensor=pa.array(["b", "a"]).cast(kind)))
    assert [read.names[position] for position in read.sensor] == ["b", "a"]


def test_a_dictionary_of_as_many_names_as_its_indices_can_count_has_room_for_a_missing_one() -> None:
    names = [f"s{number}" for number in range(128)]
    column = pa.DictionaryArray.from_arrays(pa.array([127, None], pa.int8()), pa.array(names))
    read = raw(table(sensor=column))
    assert [read.names[position] for position in read.sensor] == ["s127", None]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        pytest.param(["good", "stale"], [0, 3], id="words"),
        pytest.param(["Bad ", "UNCERTAIN"], [2, 1], id="any-case"),
        pytest.param([2, 3], [2, 3], id="numbers"),
        pytest.param([None, "bad"], [0, 2], id="none-is-good"),
        pytest.param([None, None], [0, 0], id="none-at-all"),
    ],
)
def test_qualities_are_words_or_numbers(column: list[object], expected: list[int]) -> None:
    read = raw(table(quality=pa.array(column)))
    assert read.quality.tolist() == expected
    assert not read.flaw.any()


def test_a_column_without_quality_means_good_and_an_unknown_one_is_a_flaw() -> None:
    assert raw(table()).quality.tolist() == [0, 0]
    assert raw(table(quality=pa.array(["fine", "good"]))).flaw.tolist() == [Flaw.UNKNOWN_QUALITY, Flaw.NONE]
    assert raw(table(quality=pa.array([4, -1]))).flaw.tolist() == [Flaw.UNKNOWN_QUALITY] * 2


def test_of_several_flaws_the_gravest_is_told() -> None:
    read = raw(table(time=pa.array([None, T0]).view(UTC_US), value=pa.array([None, None], pa.float64()),
                     quality=pa.array(["fine", "fine"])))  # fmt: skip
    assert read.flaw.tolist() == [Flaw.MISSING_TIME, Flaw.MISSING_VALUE]


def test_a_slice_of_a_table_reads_as_its_rows() -> None:
    whole = table(time=pa.array([None, T0, T0 + 1]).view(UTC_US), sensor=pa.array([None, "a", "b"]),
                  value=pa.array([None, 2, 3]), quality=pa.array([None, "bad", "good"]))  # fmt: skip
    columns = ArrowColumns(whole.schema)
    read = columns.read(whole.to_batches()[0].slice(1, 2))
    assert (read.time.tolist(), read.value.tolist(), read.quality.tolist(), read.flaw.tolist()) == (
        [T0, T0 + 1], [2.0, 3.0], [2, 0], [0, 0],
    )  # fmt: skip
    assert [read.names[position] for position in read.sensor] == ["a", "b"]


@pytest.mark.parametrize(
    ("columns", "timezone", "said"),
    [
        pytest.param({"value": None}, None, r"no column value among .*time, sensor.*expected", id="no-value"),
        pytest.param({"time": pa.array([1, 2])}, None, "time is int64, not a timestamp", id="epoch-numbers"),
        pytest.param({"time": pa.array([1, 2]).view(pa.timestamp("us"))}, None, "--timezone", id="no-zone"),
        pytest.param({"time": pa.array([1, 2]).view(pa.timestamp("us"))}, "Europe/Belin", "'Europe/Berlin'", id="typo"),
        pytest.param({"time": pa.array([1, 2]).view(pa.timestamp("us"))}, "", "no time zone ''", id="empty-zone"),
        pytest.param({}, "UTC", "carry their zone", id="zone-twice"),
        pytest.param({"sensor": pa.array([1, 2])}, None, "sensor is int64, not text", id="sensor-numbers"),
        pytest.param({"value": pa.array(["1", "2"])}, None, "value is string, not a number", id="value-text"),
        pytest.param({"quality": pa.array([0.5, 1.0])}, None, "quality is double", id="quality-fractions"),
    ],
)
def test_what_cannot_be_understood_is_refused_and_told(
    columns: dict[str, Any], timezone: str | None, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        ArrowColumns(table(**columns).schema, timezone=timezone)


def test_a_column_that_is_there_twice_is_refused() -> None:
    schema = pa.schema([*table().schema, pa.field("value", pa.int64())])
    with pytest.raises(ConfigurationError, match="value is there 2 times"):
        ArrowColumns(schema)


def test_a_table_that_is_not_sound_does_not_become_a_batch() -> None:
    with pytest.raises(ConfigurationError, match=r"'aa' \(did you mean 'a'\?\)"):
        from_table(table(sensor=pa.array(["aa", "b"])), IDS)
    for value in (None, float("nan")):
        with pytest.raises(ConfigurationError, match="1 rows are no readings"):
            from_table(table(value=pa.array([1.0, value])), IDS)


# The door ------------------------------------------------------------------------------------------------------------

CATALOGUE = Catalogue(sensors=SENSORS, assets=("M-1", "P-1"))
DOOR = Door(CATALOGUE, DoorLimits(earliest=datetime(2020, 1, 1, tzinfo=UTC), max_future_s=600), NOW)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param({}, None, id="a-reading"),
        pytest.param({"sensor": "c"}, RejectReason.UNKNOWN_SENSOR, id="unknown"),
        pytest.param({"sensor": None}, RejectReason.UNKNOWN_SENSOR, id="no-name"),
        pytest.param({"time": None}, RejectReason.MISSING_TIMESTAMP, id="no-time"),
        pytest.param({"value": None}, RejectReason.MISSING_VALUE, id="no-value"),
        pytest.param({"value": float("nan")}, RejectReason.NOT_FINITE, id="nan"),
        pytest.param({"value": float("-inf")}, RejectReason.NOT_FINITE, id="infinite"),
        pytest.param({"quality": "fine"}, RejectReason.UNKNOWN_QUALITY, id="quality"),
        pytest.param({"time": datetime(2020, 1, 1, tzinfo=UTC)}, None, id="just-new-enough"),
        pytest.param({"time": datetime(2019, 12, 31, 23, 59, 59, 999_999, UTC)}, RejectReason.TOO_OLD_TIMESTAMP,
                     id="old"),
        pytest.param({"time": datetime(2026, 11, 21, 0, 10, tzinfo=UTC)}, None, id="just-in-time"),
        pytest.param({"time": datetime(2026, 11, 21, 0, 10, 0, 1, UTC)}, RejectReason.FUTURE_TIMESTAMP,
                     id="future"),
        pytest.param({"sensor": "running", "value": 2.0}, None, id="a-state"),
        pytest.param({"sensor": "running", "value": 0.5}, RejectReason.UNKNOWN_STATE, id="no-state"),
        pytest.param({"sensor": "c", "value": None, "time": None}, RejectReason.UNKNOWN_SENSOR, id="the-first-is-told"),
    ],
)  # fmt: skip
def test_rows_are_judged_as_messages_are(row: dict[str, Any], reason: RejectReason | None) -> None:
    sound = {"time": datetime(2026, 10, 1, tzinfo=UTC), "sensor": "a", "value": 1.0, "quality": "good"}
    types = pa.schema({"time": UTC_US, "sensor": pa.string(), "value": pa.float64(), "quality": pa.string()})
    read = raw(pa.Table.from_pylist([sound | row, sound], types))
    reasons = DOOR.judge(read)
    assert dict(DOOR.counts(reasons)) == ({} if reason is None else {reason.value: 1})
    rejected = DOOR.rejected_rows(read, reasons, "import:x")
    assert [(each.reason, each.readings) for each in rejected] == ([] if reason is None else [(reason.value, 1)])
    assert all(each.detail and "{" not in each.detail for each in rejected)


def test_rejected_rows_are_one_of_each_sensor_and_reason_with_the_first_row_and_their_number() -> None:
    nan = float("nan")
    read = raw(pa.table({
        "time": pa.array([T0 + number for number in range(6)]).view(UTC_US),
        "sensor": pa.array(["a", "x", "b", "a", "x", "a"]),
        "value": pa.array([1.0, 1.0, nan, nan, 2.0, nan]),
    }))  # fmt: skip
    rejected = DOOR.rejected_rows(read, DOOR.judge(read), "import:x")
    assert {(each.topic, each.reason, each.readings) for each in rejected} == {
        ("a", "not_finite", 2), ("b", "not_finite", 1), ("x", "unknown_sensor", 2),
    }  # fmt: skip
    assert len({each.digest for each in rejected}) == 3
    [of_a] = [each for each in rejected if each.topic == "a"]
    assert b"2026-10-01T00:00:00.000003" in of_a.payload


# Files ---------------------------------------------------------------------------------------------------------------


def as_stream(rows: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(str(path), rows.schema) as writer:
        writer.write_table(rows, max_chunksize=3)


def as_arrow(rows: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(str(path), rows.schema) as writer:
        writer.write_table(rows, max_chunksize=3)


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(pq.write_table, id="parquet"),
        pytest.param(lambda rows, path: pq.write_table(rows, path, row_group_size=3, use_dictionary=False), id="plain"),
        pytest.param(pyarrow.feather.write_feather, id="feather"),
        pytest.param(as_arrow, id="arrow-file"),
        pytest.param(as_stream, id="arrow-stream"),
    ],
)
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())], ids=str)
def test_a_file_is_read_by_what_it_is_and_not_by_its_name(
    tmp_path: Path, write: Callable[[pa.Table, Path], None], kind: pa.DataType
) -> None:
    count = 10
    rows = pa.table({
        "ignored": pa.array(["x"] * count),
        "value": pa.array(np.arange(count)),
        "sensor": pa.array(["a", "b"] * (count // 2)).cast(kind),
        "time": pa.array(np.arange(count) + T0).view(UTC_US),
    })  # fmt: skip
    write(rows, tmp_path / "readings.bin")
    file = ReadingFile(tmp_path / "readings.bin")
    columns = ArrowColumns(file.schema)
    read = RawReadings.concat([columns.read(batch) for batch in file.batches(columns.names)])
    assert read.time.tolist() == [T0 + number for number in range(count)]
    assert read.value.tolist() == [float(number) for number in range(count)]
    assert [read.names[position] for position in read.sensor] == ["a", "b"] * (count // 2)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.csv", b"time,sensor,value\n", "no Parquet or Arrow file.*precursor replay"),
        ("x.parquet", b"", "is empty; expected a Parquet file"),
        ("x.parquet", b"PAR1" + bytes(100), "damaged or was cut off"),
        ("x.feather", b"FEA1" + bytes(100), "Feather file of the first version"),
        ("x.arrow", b"ARROW1\0\0" + bytes(100), "damaged or was cut off"),
        ("x.arrow", b"\xff\xff\xff\xff\xff\xff", "damaged or was cut off"),
    ],
)
def test_what_is_no_file_of_readings_is_refused_with_what_is_expected(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=said):
        ReadingFile(path)


def as_checked_parquet(rows: pa.Table, path: Path) -> None:
    pq.write_table(rows, path, write_page_checksum=True)


def as_compressed_arrow(rows: pa.Table, path: Path) -> None:
    pyarrow.feather.write_feather(rows, path, compression="zstd")


@pytest.mark.parametrize("write", [as_checked_parquet, as_stream, as_compressed_arrow])
def test_a_file_damaged_further_on_is_told(tmp_path: Path, write: Callable[[pa.Table, Path], None]) -> None:
    path, count = tmp_path / "x", 1000
    noise = np.random.default_rng(0).normal(size=count)
    times = pa.array(np.arange(count)).view(UTC_US)
    write(table(time=times, sensor=pa.array(["a"] * count), value=pa.array(noise)), path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    damaged = whole[:middle] if write is as_stream else whole[: middle - 500] + bytes(1000) + whole[middle + 500 :]
    path.write_bytes(damaged)
    file = ReadingFile(path)
    with pytest.raises(ConfigurationError, match=r"damaged or was cut off after [\d,]+ rows"):
        list(file.batches(["time", "sensor", "value"]))


def test_a_target_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "there.parquet").touch()
    (tmp_path / "folder.arrow").mkdir()
    for name, said in (
        ("readings.csv", "does not say its format"),
        ("readings", "does not say its format"),
        ("nowhere/readings.parquet", "no folder"),
        ("folder.arrow", "is a folder"),
        ("there.parquet", "--force"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            check_target(tmp_path / name)
    check_target(tmp_path / "there.parquet", force=True)
    check_target(tmp_path / "new.PARQUET")


def test_names_and_assets_are_selected_with_their_parts_and_unknown_ones_told() -> None:
    assert [each.name for each in CATALOGUE.select()] == ["a", "b", "ü", "running"]
    assert [each.name for each in CATALOGUE.select(sensors=["b"])] == ["b"]
    assert len(CATALOGUE.select(assets=["P-1"])) == len(CATALOGUE.select(assets=["M-1"])) == len(SENSORS)
    with pytest.raises(ConfigurationError, match=r"no asset 'P-2' \(did you mean 'P-1'\?\)"):
        CATALOGUE.select(assets=["P-2"])
    with pytest.raises(ConfigurationError, match=r"no sensor 'runing'.*'running'"):
        CATALOGUE.select(sensors=["a", "runing"])
