"""The ledger that adds up, and what could not be stored: received = stored + duplicate + rejected, a source each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from telemetry.sql import load_queries

__all__ = ["LedgerLine", "RejectedRow", "add_rejected", "add_to_ledger", "read_ledger", "read_totals"]

_SQL = load_queries("telemetry", "store.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedRow:
    """Something that could not be stored, kept with its reason."""

    digest: bytes
    """what makes it the same as an earlier one: 32 bytes over source, topic, reason and the whole payload"""
    source: str
    topic: str
    reason: str
    detail: str
    payload: bytes
    """the beginning of the payload, bounded"""
    payload_bytes: int
    """its whole length"""
    readings: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """How many readings of a source came to one outcome."""

    source: str
    outcome: str
    """received, stored, duplicate or rejected"""
    reason: str = ""
    """of a rejection"""
    readings: int


async def add_rejected(connection: asyncpg.Connection, rows: Sequence[RejectedRow]) -> None:
    """Keep rejected payloads; equal ones count up in one row."""
    merged: dict[bytes, tuple[RejectedRow, int]] = {}
    for row in rows:
        _, count = merged.get(row.digest, (row, 0))
        merged[row.digest] = (row, count + row.readings)
    if not merged:
        return
    kept = [row for row, _ in merged.values()]
    await connection.execute(
        _SQL["add_rejected"],
        [row.digest for row in kept],
        [_text(row.source) for row in kept],
        [_text(row.topic) for row in kept],
        [row.reason for row in kept],
        [_text(row.detail) for row in kept],
        [row.payload for row in kept],
        [row.payload_bytes for row in kept],
        [count for _, count in merged.values()],
    )


async def add_to_ledger(connection: asyncpg.Connection, lines: Sequence[LedgerLine]) -> None:
    """Add counts to the ledger; one line for each source, outcome and reason."""
    counts: dict[tuple[str, str, str], int] = {}
    for line in lines:
        key = (_text(line.source), line.outcome, line.reason)
        counts[key] = counts.get(key, 0) + line.readings
    if counts:
        await connection.execute(
            _SQL["add_to_ledger"],
            [source for source, _, _ in counts],
            [outcome for _, outcome, _ in counts],
            [reason for _, _, reason in counts],
            list(counts.values()),
        )


async def read_ledger(connection: asyncpg.Connection) -> list[Mapping[str, object]]:
    """The ledger, a row a source."""
    return [dict(row) for row in await connection.fetch(_SQL["read_ledger"])]


async def read_totals(connection: asyncpg.Connection) -> dict[str, int]:
    """received, stored, duplicate and rejected readings of all sources; what we compute ourselves left out."""
    return dict(await connection.fetchrow(_SQL["read_totals"]))


def _text(value: str) -> str:
    """Text PostgreSQL takes: no NUL, no lone surrogates."""
    return value.replace("\0", "�").encode("utf-8", "replace").decode("utf-8")
