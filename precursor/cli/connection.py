"""A database connection for commands that look and leave."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from precursor import preflight
from precursor.settings import read_settings
from telemetry import database
from telemetry.errors import ConfigurationError

__all__ = ["with_connection"]

_T = TypeVar("_T")


def with_connection(work: Callable[[asyncpg.Connection], Awaitable[_T]]) -> _T:
    """Do some work on a connection to the database that settings name.

    Raises:
        ConfigurationError: there is no database yet, it refuses us, or it has another schema.
        DatabaseUnavailableError: it does not answer, or goes away.
    """

    async def run(dsn: str) -> _T:
        connection = await database.connect(dsn, name="precursor command")
        try:
            with database.translated():
                return await work(connection)
        except asyncpg.InsufficientPrivilegeError as error:
            raise ConfigurationError(f"the database user may not do this: {error}") from error
        finally:
            await connection.close(timeout=5)

    with preflight.existing_database(read_settings()) as dsn:
        return asyncio.run(run(dsn))
