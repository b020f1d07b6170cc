"""One kind of work that the analysis process does, and how it hands its results over exactly once."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import asyncpg

from precursor.computed import put_computed
from telemetry.batch import ReadingBatch
from telemetry.sql import load_queries

__all__ = ["Task", "hand_over", "read_progress"]

_SQL = load_queries("precursor.analysis")


class Task(Protocol):
    """Work that comes up again and again. Made anew for each plant; what it remembers is in the database."""

    @property
    def name(self) -> str:
        """In the log, as the worker of what it computes, and of its rows in `analysis_progress`."""
        ...

    @property
    def every_s(self) -> float:
        """How often to look whether there is something to do, s."""
        ...

    async def work(self, connection: asyncpg.Connection) -> int:
        """Do a part of what there is to do, of a few seconds at most; how much of it was done, 0: nothing was left.

        The connection is outside a transaction. Computing that takes long goes to a thread.
        """
        ...


async def read_progress(connection: asyncpg.Connection, task: str, subjects: Sequence[int]) -> Mapping[int, datetime]:
    """Up to when, exclusive, each sensor or asset is done; without those that were never looked at."""
    rows = await connection.fetch(_SQL["read_progress"], task, list(subjects))
    return {row["subject"]: row["done_until"] for row in rows}


async def hand_over(
    connection: asyncpg.Connection, task: str, subject: int, done_until: datetime, batch: ReadingBatch
) -> None:
    """Put readings of derived sensors where the engine takes them from, and note how far this is.

    Call it in a transaction: both happen, or neither.
    """
    await put_computed(connection, task, batch)
    await connection.execute(_SQL["advance"], task, subject, done_until)
