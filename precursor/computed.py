"""Readings that another process computed, on their way into the engine's transaction.

Whoever computes hands a batch over in the transaction that notes its progress; the engine stores it, evaluates it and
drops it in one of its own. So each batch counts once, whatever dies in between.
"""

from dataclasses import dataclass

import asyncpg

from telemetry.batch import ReadingBatch
from telemetry.sql import load_queries

__all__ = ["Computed", "drop_computed", "find_computed", "put_computed"]

_SQL = load_queries("precursor", "computed.sql")
_AT_ONCE = 64
"""batches; the next ones are taken a second later"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """Batches that wait."""

    ids: tuple[int, ...]
    batch: ReadingBatch


async def put_computed(connection: asyncpg.Connection, worker: str, batch: ReadingBatch) -> None:
    """Hand readings of derived sensors over, inside the caller's transaction; `worker`: who computed them."""
    if len(batch):
        await connection.execute(_SQL["put_computed"], worker, batch.to_bytes(), len(batch))


async def find_computed(connection: asyncpg.Connection) -> Computed | None:
    """The oldest batches that wait; None: there are none. Only the engine takes them, and there is one engine."""
    rows = await connection.fetch(_SQL["find_computed"], _AT_ONCE)
    if not rows:
        return None
    return Computed(
        ids=tuple(row["id"] for row in rows),
        batch=ReadingBatch.concat(ReadingBatch.from_bytes(row["body"]) for row in rows),
    )


async def drop_computed(connection: asyncpg.Connection, computed: Computed) -> None:
    """They are stored, or go with the transaction that does it."""
    await connection.execute(_SQL["drop_computed"], list(computed.ids))
