"""Row groups of a Parquet file that lie outside a range are passed over; no reading of the range is."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from precursor.backtest.readings import FileReadings, Seen
from telemetry.batch import ReadingBatch, to_micros
from telemetry.reading_files import ReadingFile

T0 = datetime(2026, 9, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ROWS, A_GROUP = 100, 10
"""a reading a minute, ten a row group"""


def write(path: Path, kind: pa.DataType, **options: object) -> None:
    time = pa.array(to_micros(T0) + np.arange(ROWS) * 60_000_000).view(pa.timestamp("us", "UTC"))
    if kind.tz is None:
        time = time.cast(pa.timestamp("us", "Europe/Berlin"))
        time = pa.compute.local_timestamp(time)
    columns = {
        "note": pa.array([{"of": "none"}] * ROWS),
        "time": time.cast(kind),
        "sensor": pa.array(["P-1.temp"] * ROWS),
        "value": pa.array(np.arange(ROWS, dtype=np.float64)),
    }
    pq.write_table(pa.table(columns), path, row_group_size=A_GROUP, **options)


def values(file: ReadingFile, begin: datetime | None, end: datetime | None, timezone: str | None) -> list[float]:
    readings = FileReadings(file, {"P-1.temp": 1}, begin, end, timezone=timezone)
    batches = list(readings.batches(Seen(), side_by_side=False, on_progress=lambda rows, part: None))
    found: list[float] = ReadingBatch.concat(batches).value.tolist() if batches else []
    return found


def rows_of(file: ReadingFile) -> int:
    return sum(len(batch) for batch in file.batches(["time"]))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/Lima"])
def test_row_groups_outside_the_range_are_not_read(tmp_path: Path, unit: str, zone: str) -> None:
    write(tmp_path / "r.parquet", pa.timestamp(unit, zone))

    file = ReadingFile(tmp_path / "r.parquet", begin=T0 + 35 * MINUTE, end=T0 + 60 * MINUTE)

    assert rows_of(file) == 30
    assert values(file, T0 + 35 * MINUTE, T0 + 60 * MINUTE, None) == list(range(35, 60))
    assert rows_of(ReadingFile(tmp_path / "r.parquet", begin=T0 + 70 * MINUTE)) == 30
    assert rows_of(ReadingFile(tmp_path / "r.parquet", end=T0 + 70 * MINUTE)) == 70
    assert rows_of(ReadingFile(tmp_path / "r.parquet", end=T0 - MINUTE)) == 0
    assert rows_of(ReadingFile(tmp_path / "r.parquet")) == ROWS


def test_no_reading_of_the_range_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "r.parquet", pa.timestamp("us", "UTC"))
    edges = [-1, 0, 1, 9, 10, 11, 19, 20, 21, 99, 100, 101]

    for begin, end in itertools.combinations(edges, 2):
        first, last = T0 + begin * MINUTE, T0 + end * MINUTE
        found = values(ReadingFile(tmp_path / "r.parquet", begin=first, end=last), first, last, None)
        assert found == [float(row) for row in range(ROWS) if begin <= row < end]


def test_local_times_are_passed_over_only_where_they_are_in_no_zone_inside(tmp_path: Path) -> None:
    write(tmp_path / "r.parquet", pa.timestamp("us"))
    begin, end, far = T0 + 30 * MINUTE, T0 + 50 * MINUTE, T0 + timedelta(days=2)

    # In Berlin it is two hours later: by its figures all of the file is after the range.
    found = values(ReadingFile(tmp_path / "r.parquet", begin=begin, end=end), begin, end, "Europe/Berlin")

    assert found == list(range(30, 50))
    assert rows_of(ReadingFile(tmp_path / "r.parquet", begin=far)) == 0


@pytest.mark.parametrize(
    "options",
    [{"write_statistics": False}, {"use_deprecated_int96_timestamps": True}],
    ids=["no statistics", "an old kind of time"],
)
def test_what_the_file_says_nothing_of_is_read(tmp_path: Path, options: dict[str, bool]) -> None:
    write(tmp_path / "r.parquet", pa.timestamp("us", "UTC"), **options)

    assert rows_of(ReadingFile(tmp_path / "r.parquet", begin=T0 + 50 * MINUTE)) == ROWS
