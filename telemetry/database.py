"""Connections of the hot path: how they are made, and which failures are worth another try."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from telemetry.errors import ConfigurationError, DatabaseUnavailableError

__all__ = ["SESSION", "connect", "translated"]

# SQLSTATE classes: 08 connection, 53 out of resources (a full disk among them), 57P admin shutdown and crash,
# 40 serialization failure and deadlock, 55P03 a lock not to be had now (two refreshes of an aggregate at once).
# Everything else is a bug or a configuration and must be loud.
_TRANSIENT_CLASSES = ("08", "53", "57P", "40", "55P03")

SESSION = {
    "TimeZone": "UTC",
    # Our statements run for milliseconds; compiling them first, which some servers do by default, takes a second.
    "jit": "off",
    # Late readings are stored in compressed pieces too, however many: TimescaleDB would refuse a batch for which it
    # has to unpack more than 100,000 rows. Servers without it take this for somebody's own variable.
    "timescaledb.max_tuples_decompressed_per_dml_transaction": "0",
}
"""settings of every session of ours"""


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's passing failures into `DatabaseUnavailableError`; let all others through."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "").startswith(_TRANSIENT_CLASSES):
            raise DatabaseUnavailableError(str(error) or type(error).__name__) from error
        raise
    except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
        raise DatabaseUnavailableError(str(error) or type(error).__name__) from error
    except asyncpg.InternalClientError as error:
        # A server that goes away in the middle of an answer can leave the driver at odds with the connection; all there
        # is to do is to make another one.
        raise DatabaseUnavailableError(f"the connection is broken: {error}") from error
    except asyncpg.InterfaceError as error:
        # "connection is closed" and its kin carry no SQLSTATE; a misuse of the driver would come here too,
        # and would then be seen as a database that never comes back, with this very message.
        raise DatabaseUnavailableError(str(error)) from error


async def connect(dsn: str, *, timeout_s: float = 10.0, name: str = "precursor") -> asyncpg.Connection:
    """A connection for the hot path.

    Raises:
        DatabaseUnavailableError: nothing answers at `dsn` within `timeout_s` (seconds).
        ConfigurationError: the server refuses this user, password or database name.
    """
    try:
        with translated():
            return await asyncpg.connect(dsn, timeout=timeout_s, server_settings={"application_name": name, **SESSION})
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        raise ConfigurationError(
            f"the database refuses us: {error}; check user, password and name in PRECURSOR_DATABASE__DSN"
        ) from error
