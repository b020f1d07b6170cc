"""What the bench sends decodes to what it says, without a repeated instant."""

import asyncio

import numpy as np
import pytest

from ingest.decoder import Decoder
from precursor.bench.rounds import take_turns
from precursor.bench.scratch import database_named
from precursor.bench.workload import BEGIN, Form, Workload, bench_plant, history
from telemetry.batch import ReadingBatch, to_micros
from telemetry.errors import ConfigurationError

SENSORS = 20
NOW_US = to_micros(BEGIN) + 10**12


def instants(batch: ReadingBatch) -> set[tuple[int, int]]:
    return set(zip(batch.sensor_id.tolist(), batch.time.tolist(), strict=True))


@pytest.mark.parametrize(("form", "readings"), [("single", 1), ("array", 100), ("columnar", 100)])
def test_every_message_holds_the_readings_it_says_and_none_comes_twice(form: Form, readings: int) -> None:
    workload = Workload(form=form, sensors=SENSORS, prefix="p/q")
    decoder = Decoder(bench_plant(sensors=SENSORS, prefix="p/q"))
    decoded = decoder.decode(list(workload.messages(0, 50)), NOW_US)
    assert workload.readings == readings
    assert decoded.rejections == []
    assert len(decoded.batch) == len(instants(decoded.batch)) == 50 * readings


def test_array_and_columns_of_one_number_hold_the_same_instants() -> None:
    decoder = Decoder(bench_plant(sensors=SENSORS, prefix="p"))
    array, columnar = (
        decoder.decode(list(Workload(form=form, sensors=SENSORS, prefix="p").messages(0, 3)), NOW_US).batch
        for form in ("array", "columnar")
    )
    assert instants(array) == instants(columnar)


def test_batches_of_history_have_no_instant_in_common() -> None:
    ids = list(range(1, SENSORS + 1))
    batches = [history(number, rows=5 * SENSORS, sensor_ids=ids) for number in range(4)]
    assert len(instants(ReadingBatch.concat(batches))) == 4 * 5 * SENSORS
    assert np.array_equal(history(2, rows=5 * SENSORS, sensor_ids=ids).value, batches[2].value)


def test_in_every_round_each_contender_has_one_turn_and_the_first_round_is_not_timed() -> None:
    turns: list[tuple[str, int]] = []

    async def a(number: int) -> None:
        turns.append(("a", number))

    async def b(number: int) -> None:
        turns.append(("b", number))

    took_s = asyncio.run(take_turns({"a": a, "b": b}, 6))
    assert set(took_s) == {"a", "b"}
    assert [{name for name, number in turns if number == n} for n in range(7)] == [{"a", "b"}] * 7
    assert len(turns) == 14
    assert {name for name, _ in turns[::2]} == {"a", "b"}, "not always the same one first"


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://me:secret@db:5433/plant", "postgresql://me:secret@db:5433/bench"),
        ("postgres://db", "postgres://db/bench"),
        ("postgresql://me:@/plant?host=/run/pg", "postgresql://me:@/bench?host=/run/pg"),
        ("postgresql:///plant?host=/run/pg&user=me", "postgresql:///bench?host=/run/pg&user=me"),
        ("postgresql://db?sslmode=require", "postgresql://db/bench?sslmode=require"),
    ],
)
def test_another_database_on_the_same_server_keeps_the_rest_of_the_address(dsn: str, expected: str) -> None:
    assert database_named(dsn, "bench") == expected


def test_an_address_that_is_no_url_is_refused_with_what_is_expected() -> None:
    with pytest.raises(ConfigurationError, match="postgresql://"):
        database_named("host=db dbname=plant", "bench")
