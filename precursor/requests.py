"""What people ask of the evaluation: taken out of the database in the transaction that does it."""

from dataclasses import dataclass

import asyncpg
import numpy as np

from telemetry.batch import to_micros
from telemetry.journal import Reset
from telemetry.sql import load_queries

__all__ = ["Requests", "open_requests", "settle_requests"]

_SQL = load_queries("precursor", "requests.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Requests that nobody has done yet, locked."""

    ids: tuple[int, ...]
    reset: Reset


async def open_requests(connection: asyncpg.Connection) -> Requests | None:
    """What is asked for, oldest first; None: nothing."""
    rows = await connection.fetch(_SQL["open_requests"])
    if not rows:
        return None
    return Requests(
        ids=tuple(row["id"] for row in rows),
        reset=Reset(
            rule_id=np.array([row["rule_id"] for row in rows], np.int32),
            at=np.array([to_micros(row["at"]) for row in rows], np.int64),
        ),
    )


async def settle_requests(connection: asyncpg.Connection, requests: Requests) -> None:
    """They are done, and written down in the history of their rules."""
    await connection.execute(_SQL["settle_requests"], list(requests.ids))
