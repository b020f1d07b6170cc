"""What each class of series takes on disk, and what settings do about it; for `precursor doctor`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from telemetry import database
from telemetry.edition import Usage
from telemetry.editions import detect_async
from telemetry.retention import Policy, horizons, stored_series, thrown_away_before
from telemetry.series import SeriesClass
from telemetry.sql import load_queries

__all__ = ["ClassUsage", "DiskUsage", "disk_usage", "size"]

_SQL = load_queries("telemetry", "retention.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassUsage:
    """One class of series on disk."""

    kind: SeriesClass
    tables: Sequence[Usage]
    horizon: datetime | None
    """rows before it were thrown away; None: none were"""
    keep_days: int | None
    """None: for ever"""
    due_before: datetime | None
    """rows before it are to go, as settings are; None: none are"""
    compress_days: int | None
    """None: never, or the database cannot"""
    due_pieces: int
    """old enough to be compressed, and not compressed yet"""

    @property
    def bytes(self) -> int:
        """Heap, indexes and TOAST."""
        return sum(usage.bytes for usage in self.tables)

    @property
    def rows(self) -> int:
        """About as many."""
        return sum(usage.rows for usage in self.tables)

    def as_json(self) -> dict[str, object]:
        """For JSON."""
        pieces = [piece for usage in self.tables for piece in usage.pieces or ()]
        return {
            "class": self.kind.value,
            "bytes": self.bytes,
            "compressed_bytes": sum(usage.compressed_bytes for usage in self.tables),
            "rows": self.rows,
            "pieces": len(pieces),
            "oldest": min(piece.begin for piece in pieces).isoformat() if pieces else None,
            "newest": max(piece.end for piece in pieces).isoformat() if pieces else None,
            "thrown_away_before": None if self.horizon is None else self.horizon.isoformat(),
            "keep_days": self.keep_days,
            "compress_after_days": self.compress_days,
        }

    def text(self) -> str:
        """In a line."""
        pieces = [piece for usage in self.tables for piece in usage.pieces or ()]
        if not self.rows and not pieces:
            return f"nothing yet; {self._settings()}"
        said = size(self.bytes)
        if pieces:
            begin, end = min(piece.begin for piece in pieces), max(piece.end for piece in pieces)
            said += f" in {len(pieces)} piece{'s' if len(pieces) > 1 else ''}, {begin:%Y-%m-%d} to {end:%Y-%m-%d}"
        compressed = sum(usage.compressed_bytes for usage in self.tables)
        if compressed:
            said += f", {compressed / self.bytes:.0%} of it compressed"
        if self.rows:
            each = self.bytes / self.rows
            said += f"; about {self.rows:,} rows, {each:,.{0 if each >= 10 else 1}f} bytes each"
        return f"{said}; {self._settings()}"

    def _settings(self) -> str:
        said = "kept for ever" if self.keep_days is None else f"kept {self.keep_days} days"
        if self.horizon is not None:
            said += f", gone before {self.horizon:%Y-%m-%d}"
        if self.due_before is not None and (self.horizon is None or self.horizon < self.due_before):
            said += f" (the scheduler's next run: {self.due_before:%Y-%m-%d})"
        if self.compress_days is not None:
            said += f", compressed after {self.compress_days} days"
            if self.due_pieces:
                said += f" ({self.due_pieces} to do)"
        return said


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUsage:
    """All of a database."""

    classes: Sequence[ClassUsage]
    compresses: bool
    rejected_bytes: int
    journal_bytes: int
    total_bytes: int

    def as_json(self) -> dict[str, object]:
        """For JSON."""
        return {
            "compresses": self.compresses,
            "rejected_bytes": self.rejected_bytes,
            "journal_bytes": self.journal_bytes,
            "other_bytes": self.other_bytes,
            "total_bytes": self.total_bytes,
        }

    @property
    def other_bytes(self) -> int:
        """Plant, alarms, work orders, marks, catalog."""
        series = sum(usage.bytes for usage in self.classes)
        return max(0, self.total_bytes - series - self.rejected_bytes - self.journal_bytes)


async def disk_usage(dsn: str, policy: Policy, now: datetime) -> DiskUsage:
    """Look at a database that has the schema we need; from its catalog, so that its size does not matter.

    Raises:
        DatabaseUnavailableError: it does not answer.
    """
    connection = await database.connect(dsn, name="precursor doctor")
    try:
        with database.translated():
            return await _look(connection, policy, now)
    finally:
        await connection.close(timeout=5)


async def _look(connection: asyncpg.Connection, policy: Policy, now: datetime) -> DiskUsage:
    edition = await detect_async(connection)
    standing = await horizons(connection)
    classes = []
    for kind in SeriesClass:
        keep = policy.keep.get(kind)
        after = policy.compress_after.get(kind) if edition.compresses else None
        usages = [await edition.usage(connection, series) for series in stored_series(edition, kind)]
        classes.append(
            ClassUsage(
                kind=kind,
                tables=usages,
                horizon=standing.get(kind),
                keep_days=None if keep is None else keep.days,
                due_before=None if keep is None else thrown_away_before(keep, now),
                compress_days=None if after is None else after.days,
                due_pieces=0
                if after is None
                else sum(
                    piece.end <= now - after and not piece.compressed
                    for usage in usages
                    for piece in usage.pieces or ()
                ),
            )
        )
    rest = await connection.fetchrow(_SQL["other_bytes"])
    return DiskUsage(classes=classes, compresses=edition.compresses, **rest)


def size(count: int) -> str:
    """Bytes as people read them.

    >>> size(1_234_567_890)
    '1.23 GB'
    """
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"
