"""Who else is at work in a database: those who rebuild it want to be alone."""

import asyncio

import asyncpg

from telemetry.errors import ConfigurationError
from telemetry.sql import load_queries

__all__ = ["keep_others_away", "require_nobody"]

_SQL = load_queries("telemetry", "upgrade.sql")

_TRIES = 20
_BETWEEN_TRIES_S = 0.5
"""the server notices within a second or two that a process was killed, and lets its locks go"""


async def keep_others_away(connection: asyncpg.Connection, where: str) -> None:
    """Hold, as long as the session lasts, the locks of an upgrade and of the job that advances rollups.

    Raises:
        ConfigurationError: somebody else has one of them, or a program of ours is connected.
    """
    for lock, who in (("hold_upgrade", "another upgrade"), ("hold_rollups", "a scheduler")):
        if not await _held(connection, lock):
            raise ConfigurationError(f"{who} is at work in {where}: stop it, or let it end, then try again")
    await require_nobody(connection, where)


async def require_nobody(connection: asyncpg.Connection, where: str) -> None:
    """Make sure that no program of ours is connected that may write.

    Raises:
        ConfigurationError: one is.
    """
    rows = await connection.fetch(_SQL["others_at_work"])
    if rows:
        names = ", ".join(f"{row['application_name']} ({row['sessions']})" for row in rows)
        raise ConfigurationError(
            f"connected to {where}: {names}; stop `precursor up` and its parts there, then try again"
        )


async def _held(connection: asyncpg.Connection, lock: str) -> bool:
    for _ in range(_TRIES):
        if await connection.fetchval(_SQL[lock]):
            return True
        await asyncio.sleep(_BETWEEN_TRIES_S)
    return False
