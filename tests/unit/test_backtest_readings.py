"""Readings out of files: which columns and rows count, in which order they come, and pictures of them."""

import gzip
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from precursor.backtest.csv_files import CsvReadings
from precursor.backtest.drawing import day_bars, timeline
from precursor.backtest.envelope import BINS, Envelopes
from precursor.backtest.quiet import BACK, BETWEEN, MIXED, Bands, Calm, Judged, plain_sensors, quiet
from precursor.backtest.readings import DisorderError, FileReadings, Seen, bounds
from rules.definition import Gate, Rule
from rules.signal import Quality, Statistic, Window
from simulators.topic_map import load_topic_map
from telemetry.batch import ReadingBatch, to_micros
from telemetry.errors import ConfigurationError
from telemetry.reading_files import ReadingSource, ReadingTable

T0 = datetime(2026, 9, 1, tzinfo=UTC)
IDS = {"P-1.temp": 1, "P-1.flow": 2}
SECOND = 1_000_000


def nothing(readings: int, part: float | None) -> None:
    """No bar."""


def table(rows: Sequence[tuple[float, str, float | None]]) -> ReadingTable:
    time = pa.array([to_micros(T0) + int(at * SECOND) for at, _, _ in rows], pa.int64())
    columns = {
        "time": time.view(pa.timestamp("us", "UTC")),
        "sensor": pa.array([name for _, name, _ in rows]),
        "value": pa.array([value for _, _, value in rows], pa.float64()),
    }
    return ReadingTable(pa.table(columns), "rows")


def read(source: ReadingSource, *, side_by_side: bool = False) -> tuple[list[tuple[float, int, float]], Seen]:
    seen = Seen()
    readings = FileReadings(source, IDS, None, None)
    batches = list(readings.batches(seen, side_by_side=side_by_side, on_progress=nothing))
    return listed(ReadingBatch.concat(batches)), seen


def listed(batch: ReadingBatch) -> list[tuple[float, int, float]]:
    at = (batch.time - to_micros(T0)) / SECOND
    return list(zip(at.tolist(), batch.sensor_id.tolist(), batch.value.tolist(), strict=True))


def test_rows_that_are_no_readings_of_wanted_sensors_are_counted() -> None:
    source = table([(0, "P-1.temp", 20), (1, "P-1.temp", None), (2, "P-9.temp", 5), (3, "P-1.temp", float("inf"))])

    found, seen = read(source)

    assert found == [(0, 1, 20)]
    assert (seen.rows, seen.readings, seen.flawed, seen.other) == (4, 1, 2, 1)
    assert seen.names == {"P-1.temp", "P-9.temp"}


def test_only_the_range_is_read() -> None:
    source = table([(at, "P-1.temp", at) for at in range(5)])
    seen = Seen()
    readings = FileReadings(source, IDS, T0 + timedelta(seconds=1), T0 + timedelta(seconds=3))

    (batch,) = readings.batches(seen, side_by_side=False, on_progress=nothing)

    assert [value for _, _, value in listed(batch)] == [1, 2]
    assert seen.outside == 3


class Pieces:
    """A table in pieces as given."""

    def __init__(self, *pieces: ReadingTable) -> None:
        self.name, self.schema, self._pieces = "pieces", pieces[0].schema, pieces

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for piece in self._pieces:
            yield from piece.batches(columns)


def test_a_file_by_sensor_is_in_order_for_rules_that_stand_alone_and_not_for_others() -> None:
    by_sensor = Pieces(table([(0, "P-1.temp", 1), (9, "P-1.temp", 2)]), table([(0, "P-1.flow", 3)]))
    readings = FileReadings(by_sensor, IDS, None, None)

    batches = list(readings.batches(Seen(), side_by_side=False, on_progress=nothing))
    with pytest.raises(DisorderError):
        list(readings.batches(Seen(), side_by_side=True, on_progress=nothing))

    assert [listed(batch) for batch in batches] == [[(0, 1, 1), (9, 1, 2)], [(0, 2, 3)]]


def test_a_sensor_that_goes_back_in_time_is_out_of_order() -> None:
    back = Pieces(table([(5, "P-1.temp", 1)]), table([(5, "P-1.temp", 2)]))

    with pytest.raises(DisorderError):
        list(FileReadings(back, IDS, None, None).batches(Seen(), side_by_side=False, on_progress=nothing))


def test_what_is_laid_out_comes_back_side_by_side_the_first_of_an_instant() -> None:
    mixed = Pieces(
        table([(7300, "P-1.temp", 1), (10, "P-1.temp", 2)]),
        table([(20, "P-1.flow", 3), (10, "P-1.temp", 4), (0, "P-1.temp", 5)]),
    )
    seen = Seen()

    with FileReadings(mixed, IDS, None, None).laid_out(seen, nothing) as batches:
        found = [listed(batch) for batch in batches]

    assert found == [[(0, 1, 5), (10, 1, 2), (7300, 1, 1), (20, 2, 3)]]
    assert (seen.readings, seen.repeated) == (4, 1)


def test_a_reader_that_fails_tells_whoever_waits() -> None:
    class Broken(Pieces):
        def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
            yield from super().batches(columns)
            raise ConfigurationError("damaged")

    with pytest.raises(ConfigurationError, match="damaged"):
        read(Broken(table([(0, "P-1.temp", 1)])))


def test_bounds_are_those_of_all_rows_with_a_time() -> None:
    assert bounds(table([(5, "a", 1), (2, "b", 1)]), timezone=None, on_progress=nothing) == (
        T0 + timedelta(seconds=2),
        T0 + timedelta(seconds=5, microseconds=1),
    )


def written(folder: Path, text: str, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("time,P-1.temp,P-1.flow,note\n2026-09-01T00:00:00Z,20,3,x\n2026-09-01T00:00:01Z,,4,y\n", "d.csv",
                     id="wide"),
        pytest.param("\ufefftime;P-1.temp;P-1.flow\n2026-09-01T02:00:00+02:00;20;3\n2026-09-01T02:00:01+02:00;;4\n",
                     "d.csv", id="a spreadsheet's"),
        pytest.param("time,sensor,value\n2026-09-01T00:00:00Z,P-1.temp,20\n2026-09-01T00:00:00Z,P-1.flow,3\n"
                     "2026-09-01T00:00:01Z,P-1.flow,4\n", "d.csv", id="long"),
        pytest.param("time,sensor,value,quality\n2026-09-01T00:00:00Z,P-1.temp,20,\n2026-09-01T00:00:00Z,P-1.flow,3,good"
                     "\n2026-09-01T00:00:01Z,P-1.flow,4,uncertain\n", "d.csv.gz", id="long, with quality, compressed"),
    ],
)  # fmt: skip
def test_a_csv_file_is_read_whichever_way_it_is_laid_out(tmp_path: Path, text: str, name: str) -> None:
    found, seen = read(CsvReadings(written(tmp_path, text, name), list(IDS)))

    assert sorted(found) == [(0, 1, 20), (0, 2, 3), (1, 2, 4)]
    assert seen.flawed == 0


def test_a_topic_map_names_columns_and_counts_time_from_its_start(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(
        "time: {column: t_s, unit: s, start: 2026-09-01T00:00:00Z}\ncolumns: {a: mill/P-1/temp, b: mill/P-1/flow}\n"
    )
    text = "t_s,a,b\n0,20,3\n0.5,21,\n"

    found, _ = read(CsvReadings(written(tmp_path, text), (), load_topic_map(tmp_path / "map.yaml")))

    assert sorted(found) == [(0, 1, 20), (0, 2, 3), (0.5, 1, 21)]


def test_a_topic_map_that_counts_from_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("time: {column: t_s, unit: s}\ncolumns: {a: mill/P-1/temp}\n")

    with pytest.raises(ConfigurationError, match=r"time\.start: missing"):
        CsvReadings(written(tmp_path, "t_s,a\n0,20\n"), (), load_topic_map(tmp_path / "map.yaml"))


def rule(number: int = 1, sensor_id: int = 1, **more: object) -> Rule:
    return Rule(
        id=number, name=f"r{number}", sensor_id=sensor_id, sensor_name=f"s{sensor_id}", asset_id=1, unit="",
        **more,  # type: ignore[arg-type]  # whatever the case is about
    )  # fmt: skip


def test_sensors_are_plain_where_no_rule_needs_every_reading() -> None:
    rules = [
        rule(1, 1, high=5.0),
        rule(2, 2, signal=Quality()),
        rule(3, 3, high=5.0),
        rule(4, 3, signal=Window(statistic=Statistic.MEAN, window_s=60), high=5.0),
        rule(5, 4, high=5.0, gate=Gate(sensor_id=5, low=1)),
        rule(6, 5, high=5.0),
        rule(7, 6, high=5.0, suppressed_by=frozenset({8})),
        rule(8, 7, high=5.0),
    ]

    assert plain_sensors(rules) == [1, 2]


@pytest.mark.parametrize(
    ("low", "high", "beyond", "bands"),
    [
        pytest.param(20, 70, (False, False), (BACK, BACK), id="back"),
        pytest.param(20, 71, (False, False), (MIXED, BACK), id="into the deadband of high"),
        pytest.param(70.1, 80, (False, False), (BETWEEN, BACK), id="in the deadband"),
        pytest.param(75, 80.1, (True, False), (MIXED, BACK), id="beyond"),
        pytest.param(10, 19.9, (False, False), (BACK, BETWEEN), id="in the deadband of low"),
        pytest.param(9.9, 15, (False, True), (BACK, MIXED), id="beyond low"),
        pytest.param(np.nan, np.nan, (True, True), (MIXED, MIXED), id="nothing usable"),
    ],
)
def test_lows_and_highs_say_in_which_band_all_values_are(
    low: float, high: float, beyond: tuple[bool, ...], bands: tuple[int, ...]
) -> None:
    found = judged(Bands([1], [rule(low=10.0, high=80.0, deadband=10.0)]), [(low, high)])

    assert tuple(found.beyond[0, :2].tolist()) == beyond
    assert tuple(found.band[0, :2].tolist()) == bands


def judged(
    bands: Bands, values: Sequence[tuple[float, float]], sensor_id: int = 1, *, unusable: bool = False
) -> Judged:
    count = len(values)
    low, high = np.array(values, np.float64).reshape(-1, 2).T
    return bands.judge(
        np.full(count, sensor_id, np.int32), low, high, np.full(count, unusable), np.zeros(count, np.bool_)
    )


def test_unusable_readings_matter_where_quality_is_looked_at() -> None:
    bands = Bands([1, 2], [rule(1, 1, high=80.0), rule(2, 2, high=80.0), rule(3, 2, signal=Quality())])

    assert not judged(bands, [(50, 50)], 1, unusable=True).beyond.any()
    assert judged(bands, [(50, 50)], 2, unusable=True).beyond.any()


def test_buckets_are_quiet_without_an_alarm_and_after_one_only_in_the_same_band() -> None:
    bands = Bands([1], [rule(high=80.0, deadband=10.0, off_delay_s=60.0)])
    values = [(60, 75), (60, 79), (75, 85), (72, 75), (73, 79), (60, 65), (60, 65), (60, 65), (60, 75)]
    before = Calm(resting=np.ones((2, bands.columns), np.bool_), band=np.full((2, bands.columns), -1, np.int8))
    begin = np.arange(len(values)) * 60 * SECOND

    calm, _ = quiet(
        np.ones(len(values), np.int32), begin, begin + 60 * SECOND, judged(bands, values), before,
        np.zeros((len(values), bands.columns), np.bool_),
    )  # fmt: skip

    # Beyond; between, for the first time and once more; back, until that is sure to be longer than the off-delay.
    assert calm.tolist() == [True, True, False, False, True, False, True, True, True]
    assert before.resting.all()


def test_envelopes_hold_lows_and_highs_of_usable_values() -> None:
    envelopes = Envelopes([1], T0, T0 + timedelta(seconds=BINS))
    batch = ReadingBatch.of(
        [to_micros(T0) + int(at * SECOND) for at in (0, 0.5, 0.7, 3, -5)], [1] * 5, [5, 1, 99, 7, 3], [0, 0, 2, 0, 0]
    )

    envelopes.note(batch.sorted())
    low, high = envelopes.of(1)

    assert (low[0], high[0], low[3], high[3]) == (1, 5, 7, 7)
    assert np.isnan(low[1])
    assert int(np.isfinite(low).sum()) == 2


def test_pictures_without_alarms_are_pictures() -> None:
    end = T0 + timedelta(minutes=3)

    assert "<svg" in timeline([("P-1", [])], T0, end)
    assert "<svg" in day_bars([], T0, end, good=150, tolerable=300)
