"""What `precursor doctor` says of the disk, to whoever asks."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from precursor.disk import disk_usage, size
from precursor.doctor import Finding, examine
from precursor.settings import Settings, read_settings
from telemetry.batch import ReadingBatch, to_micros
from telemetry.database import connect
from telemetry.editions import detect_async
from telemetry.retention import Policy, retain
from telemetry.series import SeriesClass
from telemetry.store import ReadingStore

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def told(settings: Settings) -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine(settings)}


def given(dsn: str, folder: Path, **more: object) -> Settings:
    return read_settings(data_dir=folder, database={"dsn": dsn}, **more)


async def fill(dsn: str) -> int:
    """Three weeks of readings, a minute apart."""
    connection = await connect(dsn)
    try:
        await connection.execute(
            "INSERT INTO site (name) VALUES ('north'); INSERT INTO area (site_id, name) VALUES (1, 'hall');"
            "INSERT INTO asset (name, area_id) VALUES ('p', 1); INSERT INTO sensor (name, asset_id) VALUES ('a', 1)"
        )
        edition = await detect_async(connection)
        count = 21 * 1440
        begin_us = to_micros(NOW - 60 * DAY)
        batch = ReadingBatch.of([begin_us + minute * 60_000_000 for minute in range(count)], [1] * count, [1.0] * count)
        await edition.make_room(connection, batch.time)
        async with connection.transaction():
            await ReadingStore(edition).write(connection, batch)
        await connection.execute("ANALYZE reading")
        return count
    finally:
        await connection.close()


@pytest.fixture
def ordinary(dsn: str) -> Iterator[str]:
    """The address with a user who may read, and nothing else."""
    name = f"reader_{uuid.uuid4().hex[:8]}"
    role = sql.Identifier(name)
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'check'").format(role))
        owner.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(role))
        parts = urlsplit(dsn)
        _, _, rest = parts.netloc.rpartition("@")
        yield parts._replace(netloc=f"{name}:check@{rest}").geturl()
        owner.execute(sql.SQL("DROP OWNED BY {}").format(role))
        owner.execute(sql.SQL("DROP ROLE {}").format(role))


async def test_rows_and_pieces_are_told_and_what_settings_do_about_them(dsn: str) -> None:
    count = await fill(dsn)
    policy = Policy(keep={SeriesClass.READINGS: 30 * DAY}, compress_after={SeriesClass.READINGS: 14 * DAY})
    found = await disk_usage(dsn, policy, NOW)
    usage = found.classes[0]
    assert (usage.kind, usage.keep_days, usage.horizon) == (SeriesClass.READINGS, 30, None)
    assert count * 0.8 < usage.rows < count * 1.2
    assert usage.bytes > count * 50
    assert "kept 30 days (the scheduler's next run:" in usage.text()
    assert ("compressed after 14 days (" in usage.text()) == found.compresses
    assert found.total_bytes > usage.bytes + found.rejected_bytes + found.journal_bytes
    assert found.other_bytes > 0
    connection = await connect(dsn)
    try:
        await retain(connection, await detect_async(connection), policy, NOW)
    finally:
        await connection.close()
    usage = (await disk_usage(dsn, policy, NOW)).classes[0]
    assert usage.horizon == usage.due_before
    assert usage.due_pieces == 0
    assert "gone before" in usage.text()
    assert "next run" not in usage.text()


def test_an_empty_database_says_so_in_a_line_a_class(dsn: str, tmp_path: Path) -> None:
    said = told(given(dsn, tmp_path))
    for kind in SeriesClass:
        assert said[f"disk, {kind.value}"].text.startswith("nothing yet; kept for ever")
        assert said[f"disk, {kind.value}"].ok
    figures = said["disk, readings"].as_json()
    assert (figures["class"], figures["rows"], figures["pieces"]) == ("readings", 0, 0)
    assert ("only TimescaleDB's community edition can" in said["disk, all"].text) is not said["disk, all"].details[
        "compresses"
    ]


def test_an_ordinary_user_may_ask(ordinary: str, tmp_path: Path) -> None:
    said = told(given(ordinary, tmp_path))
    assert said["database"].ok
    assert said["disk, readings"].text.startswith("nothing yet")


def test_without_a_database_nothing_is_said_of_the_disk(tmp_path: Path) -> None:
    said = told(read_settings(data_dir=tmp_path))
    assert "yet; `precursor up` would make it" in said["database"].text
    assert not [subject for subject in said if subject.startswith("disk")]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1_000_000, "1 MB"), (5_250_000_000_000, "5.25 TB")]
)
def test_sizes_are_told_as_people_read_them(count: int, text: str) -> None:
    assert size(count) == text
