"""Refreshing a stretch of a continuous aggregate of TimescaleDB's."""

from datetime import datetime

import asyncpg

from telemetry.sql import load_queries

__all__ = ["refresh"]

_SQL = load_queries("telemetry", "rollups.sql")


async def refresh(
    connection: asyncpg.Connection,
    aggregate: str,
    begin: datetime | None,
    end: datetime,
    *,
    force: bool = False,
) -> None:
    """Materialise the whole buckets in [begin, end). Outside a transaction.

    Args:
        connection: to the database.
        aggregate: its name, quoted where that is needed, with its schema where it is not on the search path.
        begin: None: the beginning of time.
        end: exclusive; TimescaleDB refuses a stretch without a whole bucket.
        force: count all of it, also what TimescaleDB has not noted as changed.
    """
    # From 2.28 on a refresh is a transaction for every ten buckets, were it not told to take all of them at once.
    options = ""
    if await connection.fetchval(_SQL["refreshes_in_batches"]):
        options = ", options => '{\"buckets_per_batch\": 0}'"
    from_here = "NULL" if begin is None else f"'{begin.isoformat()}'"
    name = aggregate.replace("'", "''")
    await connection.execute(
        f"CALL refresh_continuous_aggregate('{name}', {from_here}, '{end.isoformat()}', force => {force}{options})"
    )
