"""The analysis process: features of waveforms, remaining life and its outcome, from a real database."""

import asyncio
import json
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from cbm import state_rollup
from precursor.analysis import process
from precursor.analysis.lives import End, Life, lives
from precursor.analysis.process import AnalysisOptions, analyse_once, run_analysis, run_analysis_process
from precursor.analysis.task import hand_over
from precursor.analysis.waveforms import WaveformTask
from precursor.apply import apply
from precursor.cli import analyse as commands
from precursor.computed import find_computed
from precursor.settings import LogSettings
from telemetry import rollups
from telemetry.batch import ReadingBatch, to_datetime, to_micros
from telemetry.editions import detect_async
from telemetry.errors import DatabaseUnavailableError
from telemetry.plant import AssetState
from telemetry.store import ReadingStore
from telemetry.waveform_store import WaveformStore
from telemetry.waveforms import Waveform

T0 = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PLANT = """
version: 1
sites:
  - name: works
    gateways: [{name: g, topic: works/g}]
    areas:
      - name: hall
        assets:
          - name: P-1
            class: pump
            machine: {group: 2, foundation: rigid, speed: 1500, speed_sensor: speed, bearings: [UER204 LDK]}
            sensors:
              - {name: state, kind: state}
              - {name: speed, unit: rpm}
              - {name: wave, unit: g_0, vibration: on}
              - {name: vib, unit: mm/s, remaining_life: on}
          - {name: P-2, class: pump, sensors: [{name: state, kind: state}]}
          - {name: P-3, class: pump, sensors: [{name: state, kind: state}]}
rules:
  - {name: high, sensors: [P-1.vib], high: 7.1, priority: high, failure_mode: bearing_wear}
"""
RATE_HZ = 10_000.0


@pytest.fixture
def plant(dsn: str, tmp_path: Path) -> str:
    """The address of a database with the plant in it."""
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT)
    apply(dsn, file)
    return dsn


async def names(connection: asyncpg.Connection) -> Mapping[str, int]:
    return {row["name"]: row["id"] for row in await connection.fetch("SELECT id, name FROM sensor")}


async def store(
    connection: asyncpg.Connection, sensor: str, times: Sequence[datetime], values: Sequence[float]
) -> None:
    ids = await names(connection)
    batch = ReadingBatch.of([to_micros(at) for at in times], [ids[sensor]] * len(times), values).sorted()
    edition = await detect_async(connection)
    readings = ReadingStore(edition)
    await readings.make_room(connection, batch)
    async with connection.transaction():
        written = await readings.write(connection, batch)
        if sensor.endswith(".state"):
            await state_rollup.touch(connection, batch.take(written.stored))
        await rollups.touch(connection, batch.take(written.stored))
    if sensor.endswith(".state"):
        await state_rollup.refresh(connection, edition)


async def block(connection: asyncpg.Connection, at: datetime, *, mm_s: float = 3.0, hz: float = 25.0) -> None:
    """A second of a sine whose velocity has this RMS, as acceleration in g."""
    seconds = np.arange(int(RATE_HZ)) / RATE_HZ
    acceleration = mm_s / 1000 * math.sqrt(2) * 2 * math.pi * hz * np.sin(2 * math.pi * hz * seconds)
    noise = np.random.default_rng(7).normal(0, 0.01, seconds.size)
    waveform = Waveform.of(
        sensor_id=(await names(connection))["P-1.wave"],
        time=at,
        sample_rate_hz=RATE_HZ,
        unit="g_0",
        samples=(acceleration + noise) / 9.80665,
    )
    blocks = WaveformStore(await detect_async(connection))
    await blocks.make_room(connection, [waveform])
    async with connection.transaction():
        await blocks.write(connection, [waveform])


async def computed(connection: asyncpg.Connection) -> dict[tuple[str, datetime], float]:
    """What waits for the engine: name and time, value. Each once."""
    found = await find_computed(connection)
    if found is None:
        return {}
    of_id = {number: name for name, number in (await names(connection)).items()}
    keys = [
        (of_id[sensor], to_datetime(at))
        for sensor, at in zip(found.batch.sensor_id.tolist(), found.batch.time.tolist(), strict=True)
    ]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, found.batch.value.tolist(), strict=True))


async def prognoses(connection: asyncpg.Connection, method: str = "trend") -> list[asyncpg.Record]:
    return list(await connection.fetch("SELECT * FROM prognosis WHERE method = $1 ORDER BY made_at", method))


# Waveforms


async def test_new_waveforms_become_features_once(plant: str, connection: asyncpg.Connection) -> None:
    await block(connection, T0, mm_s=3.0)
    await block(connection, T0 + HOUR, mm_s=6.0)
    assert (await analyse_once(plant))["waveforms"] == 2
    found = await computed(connection)
    assert found["P-1.wave.velocity_rms", T0] == pytest.approx(3.0, rel=0.01)
    assert found["P-1.wave.velocity_rms", T0 + HOUR] == pytest.approx(6.0, rel=0.01)
    assert found["P-1.wave.one_x", T0] == pytest.approx(3.0, rel=0.05)

    assert (await analyse_once(plant))["waveforms"] == 0
    assert await computed(connection) == found
    await block(connection, T0 + 2 * HOUR, mm_s=4.0)
    await analyse_once(plant)
    later = await computed(connection)
    assert set(found) < set(later)
    assert later["P-1.wave.velocity_rms", T0 + 2 * HOUR] == pytest.approx(4.0, rel=0.01)


async def test_the_speed_is_what_was_measured_before_the_waveform_ended(
    plant: str, connection: asyncpg.Connection
) -> None:
    # The name plate says 25 Hz: at 20 Hz the line of the shaft is seen only by whoever asks the speed sensor.
    at = [T0 - timedelta(seconds=2), T0 + 2 * HOUR, T0 + 3 * HOUR]
    await store(connection, "P-1.speed", at, [1200.0, 1500.0, 0.0])
    await block(connection, T0, hz=20.0)
    await block(connection, T0 + HOUR, hz=20.0)
    await block(connection, T0 + 3 * HOUR, hz=20.0)
    await analyse_once(plant)
    found = await computed(connection)
    assert found["P-1.wave.shaft_speed", T0] == 20.0
    assert found["P-1.wave.one_x", T0] == pytest.approx(3.0, rel=0.05)
    # An hour later nobody knows the speed of then.
    assert found.get(("P-1.wave.one_x", T0 + HOUR), 0.0) < 1.0
    # A shaft that stands says nothing.
    assert not [name for name, moment in found if moment == T0 + 3 * HOUR]


async def test_what_fails_between_the_features_and_the_progress_is_done_again(
    plant: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await block(connection, T0)
    await block(connection, T0 + HOUR)
    calls = 0

    async def killed(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        await hand_over(*arguments)
        if calls == 2:
            await arguments[0].execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr("precursor.analysis.waveforms.hand_over", killed)
    with pytest.raises(DatabaseUnavailableError):
        await analyse_once(plant)
    assert {at for _, at in await computed(connection)} == {T0}
    await analyse_once(plant)
    assert {at for _, at in await computed(connection)} == {T0, T0 + HOUR}


async def test_a_waveform_that_cannot_be_read_is_said_and_left(plant: str, connection: asyncpg.Connection) -> None:
    await block(connection, T0)
    await connection.execute("UPDATE waveform SET body = 'x'")
    await block(connection, T0 + HOUR)
    with capture_logs() as said:
        await analyse_once(plant)
        await analyse_once(plant)
    assert [line["event"] for line in said] == ["waveform_not_analysed"]
    assert {at for _, at in await computed(connection)} == {T0 + HOUR}


# Remaining life


async def rising(connection: asyncpg.Connection, *, days: int = 20, until: float = 5.0) -> datetime:
    """A level that turns into a rise after half the time; the time of the last reading."""
    times = [T0 + step * HOUR for step in range(days * 24 + 1)]
    share = np.clip(np.linspace(-1, 1, len(times)), 0, None)
    noise = np.random.default_rng(3).normal(0, 0.05, len(times))
    await store(connection, "P-1.vib", times, (2.0 + (until - 2.0) * share + noise).tolist())
    return times[-1]


async def test_a_trend_is_followed_to_the_limit_of_the_rule(plant: str, connection: asyncpg.Connection) -> None:
    last = await rising(connection)
    assert (await analyse_once(plant))["remaining_life"] == 1
    (made,) = await prognoses(connection)
    # 3 mm/s in ten days: the other 2.1 take seven.
    assert made["p50_s"] == pytest.approx(7 * 86_400, rel=0.15)
    assert made["p10_s"] < made["p50_s"] < made["p90_s"]
    assert (made["limit_value"], made["failure_mode"], made["outcome"]) == (7.1, "bearing_wear", None)
    assert last - HOUR <= made["made_at"] <= last
    found = await computed(connection)
    assert found["P-1.vib.remaining_life", made["made_at"]] == pytest.approx(made["p50_s"] / 86_400)
    assert found["P-1.vib.remaining_life_p10", made["made_at"]] == pytest.approx(made["p10_s"] / 86_400)

    assert (await analyse_once(plant))["remaining_life"] == 0
    await store(connection, "P-1.vib", [last + HOUR], [5.02])
    assert (await analyse_once(plant))["remaining_life"] == 1
    assert len(await prognoses(connection)) == 2


async def test_no_trend_is_an_answer_that_is_written_down_once(plant: str, connection: asyncpg.Connection) -> None:
    last = await rising(connection, until=2.0)
    await analyse_once(plant)
    await store(connection, "P-1.vib", [last + HOUR], [2.01])
    await analyse_once(plant)
    (made,) = await prognoses(connection)
    assert made["p50_s"] is None
    assert "no significant trend" in made["reason"]
    assert await computed(connection) == {}


async def test_only_the_machine_at_work_since_it_was_renewed_counts(plant: str, connection: asyncpg.Connection) -> None:
    states = [AssetState.RUNNING, AssetState.FAILED, AssetState.RUNNING, AssetState.STOPPED, AssetState.RUNNING]
    at = [T0 - 30 * DAY, T0 - DAY, T0, T0 + 12 * DAY, T0 + 13 * DAY]
    await store(connection, "P-1.state", at, [float(state) for state in states])
    # Before the repair it was worse than ever; at rest it is still.
    await store(connection, "P-1.vib", [T0 - 20 * DAY + step * HOUR for step in range(456)], [9.0] * 456)
    await rising(connection)
    at_rest = (
        "UPDATE reading SET value = 0 FROM sensor WHERE sensor_id = id AND name = 'P-1.vib' AND time BETWEEN $1 AND $2"
    )
    await connection.execute(at_rest, T0 + 12 * DAY, T0 + 13 * DAY - HOUR)
    await analyse_once(plant)
    (made,) = await prognoses(connection)
    assert made["p50_s"] == pytest.approx(7 * 86_400, rel=0.15)


async def test_what_came_of_a_prognosis_is_written_down(plant: str, connection: asyncpg.Connection) -> None:
    await rising(connection)
    await analyse_once(plant)
    (made,) = await prognoses(connection)
    failed_at = made["made_at"] + timedelta(seconds=round(made["p50_s"]))
    running = [T0, failed_at, failed_at + DAY]
    states = [AssetState.RUNNING, AssetState.FAILED, AssetState.RUNNING]
    await store(connection, "P-1.state", running, [float(state) for state in states])
    assert (await analyse_once(plant))["outcome"] == 1
    (made,) = await prognoses(connection)
    assert (made["outcome"], made["outcome_at"]) == ("failed", failed_at)
    assert (await analyse_once(plant))["outcome"] == 0

    listed = await asyncio.to_thread(CliRunner().invoke, commands.prognoses, ["--json"], env=settings_of(plant))
    document = json.loads(listed.output)
    assert document["prognoses"][0]["outcome"] == "failed"
    assert document["figures"]["trend"]["coverage"] == 1.0
    assert document["figures"]["trend"]["mean_error_s"] == pytest.approx(0, abs=1)


@pytest.mark.parametrize(("mode", "settled"), [("bearing_wear", 1), ("seal_leak", 0)])
async def test_a_verified_repair_settles_the_prognoses_of_its_failure_mode(
    plant: str, connection: asyncpg.Connection, mode: str, settled: int
) -> None:
    last = await rising(connection)
    await analyse_once(plant)
    done = last + 2 * DAY
    await repair(connection, "P-1", mode, done)
    assert (await analyse_once(plant))["outcome"] == settled
    (made,) = await prognoses(connection)
    assert (made["outcome"], made["outcome_at"]) == (("repaired", done) if settled else (None, None))


async def repair(connection: asyncpg.Connection, asset: str, mode: str, done: datetime) -> None:
    order = await connection.fetchval(
        "INSERT INTO work_order (asset_id, failure_mode, status, priority, title, opened_at, due_at, first_seen_at,"
        " last_seen_at) SELECT id, $2, 'verified', 1, '', $3, $3, $3, $3 FROM asset WHERE name = $1 RETURNING id",
        asset, mode, done - DAY,
    )  # fmt: skip
    for status, at in (("completed", done), ("verified", done + DAY)):
        await connection.execute(
            "INSERT INTO work_order_event (work_order_id, to_status, at, actor) VALUES ($1, $2, $3, 'kim')",
            order, status, at,
        )  # fmt: skip


async def test_lives_of_a_class_tell_how_long_one_of_its_age_lives(plant: str, connection: asyncpg.Connection) -> None:
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    for asset, ages in (("P-2", (90, 110, 100)), ("P-3", (95, 105, 60))):
        at, states = [begin], [AssetState.FAILED]
        for place, age in enumerate(ages):
            at += [at[-1] + DAY, at[-1] + (1 + age) * DAY]
            # The last one of P-3 goes on.
            goes_on = asset == "P-3" and place == len(ages) - 1
            states += [AssetState.RUNNING, AssetState.RUNNING if goes_on else AssetState.FAILED]
        await store(connection, f"{asset}.state", at, [float(state) for state in states])
    await analyse_once(plant)
    (made,) = await prognoses(connection, "age")
    assert made["asset_id"] == await connection.fetchval("SELECT id FROM asset WHERE name = 'P-3'")
    assert made["p50_s"] == pytest.approx(40 * 86_400, rel=0.2)
    # The third failure of P-2 came later than the newest reading of P-3.
    details = json.loads(made["details"])
    assert (details["failures"], details["survivors"]) == (4, 2)
    assert (await analyse_once(plant))["age"] == 0


async def failed_by(connection: asyncpg.Connection, begin: datetime) -> datetime:
    """P-2 failed of three bearings, P-3 of three seals, and both go on; the last they were heard of."""
    for asset, mode, ages in (("P-2", "bearing_wear", (90, 110, 100)), ("P-3", "seal_leak", (95, 105, 102))):
        at, states = [begin], [AssetState.FAILED]
        for age in ages:
            at += [at[-1] + DAY, at[-1] + (1 + age) * DAY]
            states += [AssetState.RUNNING, AssetState.FAILED]
            await order(connection, asset, mode, at[-1] - DAY, verified=at[-1] + 3 * DAY)
        at += [at[-1] + DAY, begin + 326 * DAY]
        states += [AssetState.RUNNING, AssetState.RUNNING]
        await store(connection, f"{asset}.state", at, [float(state) for state in states])
    return begin + 326 * DAY


async def order(
    connection: asyncpg.Connection, asset: str, mode: str, opened: datetime, *, verified: datetime | None = None
) -> None:
    number = await connection.fetchval(
        "INSERT INTO work_order (asset_id, failure_mode, status, priority, title, opened_at, due_at, first_seen_at,"
        " last_seen_at) SELECT id, $2, $4, 1, '', $3, $3, $3, $3 FROM asset WHERE name = $1 RETURNING id",
        asset, mode, opened, "new" if verified is None else "verified",
    )  # fmt: skip
    if verified is not None:
        for status, at in (("completed", verified - DAY), ("verified", verified)):
            await connection.execute(
                "INSERT INTO work_order_event (work_order_id, to_status, at, actor) VALUES ($1, $2, $3, 'kim')",
                number, status, at,
            )  # fmt: skip


async def test_failure_modes_compete_for_the_life_of_an_asset(plant: str, connection: asyncpg.Connection) -> None:
    last = await failed_by(connection, datetime(2020, 1, 1, tzinfo=UTC))
    await analyse_once(plant)
    made = await prognoses(connection, "age")
    assert len(made) == 4
    assert {row["failure_mode"] for row in made} == {"bearing_wear", "seal_leak"}
    # Failures of the other mode, and the two that live on; a repair that was put down late ended no life.
    assert {(json.loads(row["details"])["failures"], json.loads(row["details"])["survivors"]) for row in made} == {
        (3, 5)
    }

    await order(connection, "P-2", "seal_leak", last)
    await store(connection, "P-2.state", [last + DAY, last + 2 * DAY], [2.0, 1.0])
    await analyse_once(plant)
    asset = await connection.fetchval("SELECT id FROM asset WHERE name = 'P-2'")
    came = {
        row["failure_mode"]: row["outcome"]
        for row in await prognoses(connection, "age")
        if row["asset_id"] == asset and row["made_at"] <= last
    }
    assert came == {"seal_leak": "failed", "bearing_wear": "repaired"}
    listed = await asyncio.to_thread(CliRunner().invoke, commands.prognoses, env=settings_of(plant))
    assert "P-3 bearing_wear age" in " ".join(listed.output.split())


async def alarm(connection: asyncpg.Connection, asset: str, mode: str | None, began: datetime) -> None:
    await connection.execute(
        "INSERT INTO alarm (key, rule_id, rule_name, asset_id, side, limit_value, priority, failure_mode, began_at,"
        " value, peak_value, peak_at) SELECT $4, rule.id, 'high', asset.id, 'high', 1, 3, $2, $3, 2, 2, $3"
        " FROM asset, rule WHERE asset.name = $1 LIMIT 1",
        asset, mode, began, f"{asset}/{mode}/{began}",
    )  # fmt: skip


async def test_an_alarm_is_answered_by_how_long_others_lived_on_after_theirs(
    plant: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    last = await failed_by(connection, begin)
    # Of each bearing of P-2 at about four fifths of its life, and again; of its present one at an age of 20 days.
    renewed = begin + DAY
    for age, share in ((90, 0.78), (110, 0.8), (100, 0.82)):
        await alarm(connection, "P-2", "bearing_wear", renewed + share * age * DAY)
        await alarm(connection, "P-2", "bearing_wear", renewed + 0.9 * age * DAY)
        renewed += (1 + age) * DAY
    await alarm(connection, "P-2", "bearing_wear", renewed + 20 * DAY)
    await alarm(connection, "P-2", None, renewed + 21 * DAY)
    await alarm(connection, "P-1", "bearing_wear", last - DAY)
    await store(connection, "P-1.vib", [last + HOUR], [1.0])

    await analyse_once(plant)
    by_mode = {(row["asset_id"], row["failure_mode"]): row for row in await prognoses(connection, "pf_interval")}
    ids = {row["name"]: row["id"] for row in await connection.fetch("SELECT id, name FROM asset")}
    assert by_mode.keys() == {(ids["P-2"], "bearing_wear"), (ids["P-2"], ""), (ids["P-1"], "bearing_wear")}
    made = by_mode[ids["P-2"], "bearing_wear"]
    # A quarter of the age at the alarm, of which two days have passed.
    assert made["p50_s"] / 86_400 == pytest.approx(20 / 4 - 2, rel=0.2)
    assert made["made_at"] == last
    # Its own life; that of P-1, whose begin nobody knows, teaches nothing.
    assert (json.loads(made["details"])["failures"], json.loads(made["details"])["survivors"]) == (3, 1)
    assert "fewer than 3 failures" in by_mode[ids["P-2"], ""]["reason"]
    assert "age is not known" in by_mode[ids["P-1"], "bearing_wear"]["reason"]
    assert await computed(connection) == {}

    async def killed(*arguments: Any) -> None:
        await hand_over(*arguments)
        await arguments[0].execute("SELECT pg_terminate_backend(pg_backend_pid())")

    await store(connection, "P-2.state", [last + HOUR], [1.0])
    with monkeypatch.context() as patched:
        patched.setattr("precursor.analysis.pf_intervals.hand_over", killed)
        with pytest.raises(DatabaseUnavailableError):
            await analyse_once(plant)
    assert await computed(connection) == {}
    await analyse_once(plant)
    assert (await analyse_once(plant))["pf_interval"] == 0
    (*_, later) = await prognoses(connection, "pf_interval")
    assert (later["made_at"], len(await prognoses(connection, "pf_interval"))) == (last + HOUR, 4)
    found = await computed(connection)
    assert found == {
        (f"P-2.pf_interval{ending}", last + HOUR): later[f"{quantile}_s"] / 86_400
        for ending, quantile in (("", "p50"), ("_p10", "p10"), ("_p90", "p90"))
    }


def test_the_first_life_has_no_known_begin_and_the_last_goes_on() -> None:
    ends = [
        End(at=T0, failed=True, renewed_at=T0 + DAY),
        End(at=T0 + 5 * DAY, failed=False, renewed_at=T0 + 5 * DAY),
    ]
    assert lives(ends, T0 + 9 * DAY) == (
        Life(begin=T0 + DAY, end=T0 + 5 * DAY, failed=False),
        Life(begin=T0 + 5 * DAY, end=T0 + 9 * DAY, failed=False),
    )
    assert lives(ends[:1], T0) == ()


# The process


def settings_of(dsn: str) -> dict[str, str]:
    return {"PRECURSOR_DATABASE__DSN": dsn}


async def until(condition: Callable[[], Awaitable[Any]], what: str, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


async def test_the_command_does_what_there_is_to_do_and_ends(plant: str, connection: asyncpg.Connection) -> None:
    await block(connection, T0)
    run = await asyncio.to_thread(CliRunner().invoke, commands.analyse, ["--once", "--json"], env=settings_of(plant))
    assert run.exit_code == 0, run.output
    assert json.loads(run.output)["waveforms"] == 1


async def test_it_goes_on_after_the_database_was_away_and_takes_over_a_new_plant(
    plant: str, connection: asyncpg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WaveformTask, "every_s", 0.05)
    stop = asyncio.Event()

    async def analysed(count: int) -> bool:
        return len({at for _, at in await computed(connection)}) == count

    with capture_logs() as said:
        task = asyncio.create_task(run_analysis(plant, AnalysisOptions(idle_s=0.05), stop))
        await block(connection, T0)
        await until(lambda: analysed(1), "the first waveform is analysed")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'precursor analysis'"
        )
        await block(connection, T0 + HOUR)
        await until(lambda: analysed(2), "it connects again")
        file = tmp_path / "plant.yaml"
        file.write_text(PLANT.replace("bearings: [UER204 LDK]", "bearings: [UER204 LDK, PRONOSTIA]"))
        await asyncio.to_thread(apply, plant, file)
        await block(connection, T0 + 2 * HOUR)
        await until(lambda: analysed(3), "the new plant is analysed")
        stop.set()
        await asyncio.wait_for(task, 20)
    # A sine has no blows of bearings to tell amplitudes from, but a second bearing has a place for what is found.
    found = {name for name, at in await computed(connection) if at == T0 + 2 * HOUR}
    assert "P-1.wave.bpfo_2" in found
    assert [line["event"] for line in said] == ["database_unavailable", "analysis_connected"]


async def test_a_second_one_waits_for_the_first(plant: str) -> None:
    desk = await process._Desk.open(plant)
    try:
        with pytest.raises(DatabaseUnavailableError, match="another"):
            await analyse_once(plant)
    finally:
        await desk.connection.close()
    await analyse_once(plant)


@pytest.mark.slow
async def test_in_a_process_of_its_own_it_is_started_again_when_it_dies(
    plant: str, connection: asyncpg.Connection
) -> None:
    stop = asyncio.Event()
    work = run_analysis_process(plant, AnalysisOptions(idle_s=0.05), stop, log=LogSettings())

    async def analysed(count: int) -> bool:
        return len({at for _, at in await computed(connection)}) == count

    async def is_alone() -> bool:
        asked = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'precursor analysis')"
        return not await connection.fetchval(asked)

    with capture_logs() as said:
        task = asyncio.create_task(work)
        await block(connection, T0)
        await until(lambda: analysed(1), "the first waveform is analysed")
        (child,) = [each for each in multiprocessing.active_children() if each.name == "precursor analysis"]
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        await block(connection, T0 + HOUR)
        await until(lambda: analysed(2), "the second one is analysed by another process")
        stop.set()
        await asyncio.wait_for(task, 30)
    assert [line["event"] for line in said] == ["analysis_process_ended"]
    await until(is_alone, "nobody is left")
