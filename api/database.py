"""A database connection for one request."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, TypeAlias

import asyncpg
from fastapi import Depends, Request

from telemetry.errors import DatabaseUnavailableError

__all__ = ["Connection", "PoolSource", "open_connection"]

PoolSource: TypeAlias = asyncpg.Pool | Callable[[], asyncpg.Pool]
"""a pool, or what gives it once it is there: an app can be made before its database"""

_ACQUIRE_WITHIN_S = 5.0
_GONE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)


def _pool(request: Request) -> asyncpg.Pool:
    source: PoolSource = request.app.state.pool
    return source() if callable(source) else source


async def open_connection(request: Request) -> AsyncIterator[asyncpg.Connection]:
    """A connection from the app's pool for the time of the request.

    Raises:
        DatabaseUnavailableError: there is none within 5 s, or it broke during the request.
    """
    try:
        pool = _pool(request)
        connection = await pool.acquire(timeout=_ACQUIRE_WITHIN_S)
    # InterfaceError: the pool is closing or was never opened.
    except (*_GONE, asyncpg.InterfaceError) as error:
        raise DatabaseUnavailableError(f"no database connection: {error!r}") from error
    try:
        yield connection
    except asyncpg.QueryCanceledError:
        raise
    except _GONE as error:
        raise DatabaseUnavailableError(f"the database went away: {error!r}") from error
    except asyncpg.InterfaceError as error:
        # On a living connection this is a mistake of ours.
        if not connection.is_closed():
            raise
        raise DatabaseUnavailableError(f"the database went away: {error!r}") from error
    finally:
        await pool.release(connection)


Connection: TypeAlias = Annotated[asyncpg.Connection, Depends(open_connection)]
