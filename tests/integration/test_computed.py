"""What another process computed comes in once, as readings; and what is usual is learned anew after a repair."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from precursor.apply import apply
from precursor.computed import put_computed
from precursor.requests import request_rebaseline
from precursor.session import Session, SessionOptions
from telemetry.batch import ReadingBatch, to_micros
from workorder_bridge.lifecycle import WorkOrderStatus, change_status

PLANT = """
version: 1
sensor_quality: off
sites:
  - name: works
    areas:
      - name: hall
        assets:
          - name: M-1
            assets:
              - name: M-1-bearing
                sensors: [{name: vib, unit: mm/s, topic: works/vib, detector: ewma}]
rules:
  - {name: unusual, sensors: [M-1-bearing.vib.score], high: 1, priority: low, failure_mode: wear}
"""
AUTOMATIC = """
version: 1
detectors: auto
sites:
  - name: works
    gateways: [{name: g, topic: works/g}]
    areas:
      - name: hall
        assets:
          - name: P-1
            class: pump
            machine: {group: 2, foundation: rigid, speed: 1480 rpm, bearings: ["6205-2RS JEM SKF"]}
            sensors:
              - {name: vib, quantity: vibration velocity RMS, unit: mm/s, remaining_life: {high: 7.1 mm/s}}
              - {name: temp, quantity: temperature, unit: degC}
              - {name: speed, unit: rpm}
              - {name: current, unit: A, detector: {kind: conditioned, on: speed}}
              - {name: wave, unit: m/s^2, vibration: on}
              - {name: state, kind: state}
"""
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
async def session(dsn: str, tmp_path: Path) -> AsyncIterator[Session]:
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT)
    apply(dsn, file)
    opened = await Session.open(dsn, SessionOptions())
    yield opened
    await opened.close()


def scores(session: Session, *values: float) -> ReadingBatch:
    """One a second."""
    score = session.plant.sensor_by_name["M-1-bearing.vib.score"].id
    return ReadingBatch.of(
        [to_micros(NOW) + 1_000_000 * each for each in range(len(values))], [score] * len(values), values
    )


async def test_what_was_computed_is_stored_and_judged_by_rules_and_gone_from_the_queue(
    session: Session, connection: asyncpg.Connection
) -> None:
    await put_computed(connection, "test", scores(session, 0.5))
    await put_computed(connection, "test", scores(session, 0.5, 2.0))
    taken = await session.transaction.commit_computed(session.connection)
    assert taken is not None
    committed, new = taken
    assert (committed.derived, committed.alarms_raised, len(committed.work_orders)) == (2, 1, 1)
    assert new.value.tolist() == [0.5, 2.0]
    assert await connection.fetchval("SELECT count(*) FROM reading") == 2
    assert await connection.fetchval("SELECT count(*) FROM computed_batch") == 0
    ledger = await connection.fetchrow(
        "SELECT received, stored, duplicate, balanced FROM ledger WHERE source = 'derived'"
    )
    assert tuple(ledger) == (3, 2, 1, True)
    assert await session.transaction.commit_computed(session.connection) is None


async def test_an_engine_that_dies_in_between_takes_it_again(
    session: Session, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put_computed(connection, "test", scores(session, 0.5, 2.0))

    async def dies(*_: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr("precursor.transaction.rollups.touch", dies)
        with pytest.raises(ConnectionResetError):
            await session.transaction.commit_computed(session.connection)
    assert await connection.fetchval("SELECT count(*) FROM reading") == 0
    await session.reload()
    await session.transaction.commit_computed(session.connection)
    assert await connection.fetchval("SELECT count(*) FROM alarm") == 1
    assert await connection.fetchval("SELECT count(*) FROM reading") == 2


async def test_what_was_computed_is_in_the_journal_for_a_restart(
    session: Session, connection: asyncpg.Connection
) -> None:
    await put_computed(connection, "test", scores(session, 0.5, 2.0))
    await session.transaction.commit_computed(session.connection)
    await session.reload()
    after = ReadingBatch.of(
        [to_micros(NOW) + 5_000_000], [session.plant.sensor_by_name["M-1-bearing.vib.score"].id], [0.1]
    )
    await put_computed(connection, "test", after)
    await session.transaction.commit_computed(session.connection)
    assert await connection.fetchval("SELECT ended_at FROM alarm") == NOW + timedelta(seconds=5)


async def test_a_verified_repair_ends_the_anomaly_and_lets_detectors_learn_anew(
    session: Session, connection: asyncpg.Connection
) -> None:
    await put_computed(connection, "test", scores(session, 0.5, 2.0))
    await session.transaction.commit_computed(session.connection)
    order = await connection.fetchval("SELECT id FROM work_order")
    done = NOW + timedelta(hours=3)
    steps = (WorkOrderStatus.ASSIGNED, WorkOrderStatus.IN_PROGRESS, WorkOrderStatus.COMPLETED, WorkOrderStatus.VERIFIED)
    for status in steps:
        await change_status(connection, order, status, actor="bob", at=done, assignee="bob", note="new bearing")
    assert await session.transaction.commit_requests(session.connection) is not None
    assert await connection.fetchval("SELECT ended_at FROM alarm") == done
    assert await connection.fetchval("SELECT count(*) FROM evaluation_request WHERE done_at IS NULL") == 0
    await session.reload()
    assert await connection.fetchval("SELECT ended_at FROM alarm") == done


async def test_a_machine_changed_on_purpose_is_learned_anew_with_its_parts(
    session: Session, connection: asyncpg.Connection
) -> None:
    await put_computed(connection, "test", scores(session, 2.0))
    await session.transaction.commit_computed(session.connection)
    await request_rebaseline(connection, "M-1", at=NOW + timedelta(seconds=9), actor="ann", note="new coupling")
    await session.transaction.commit_requests(session.connection)
    assert await connection.fetchval("SELECT ended_at FROM alarm") == NOW + timedelta(seconds=9)


async def test_a_plant_with_everything_that_can_be_computed_is_taken_over(dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "auto.yaml"
    file.write_text(AUTOMATIC)
    apply(dsn, file)
    opened = await Session.open(dsn, SessionOptions())
    try:
        scored = {sensor.name for sensor in opened.plant.sensors if sensor.computed in {"score", "anomaly"}}
        assert {"P-1.anomaly", "P-1.vib.score", "P-1.wave.velocity_rms.score", "P-1.wave.bpfo.score"} <= scored
    finally:
        await opened.close()
