"""Before any work: is there a database, does it let us in, and has it the schema this program needs?"""

import asyncio
import contextlib
from collections.abc import Iterator

import asyncpg
import psycopg

from precursor import parts
from precursor.embedded import has_embedded_database
from precursor.settings import Settings
from telemetry import database, schema
from telemetry.errors import ConfigurationError, DatabaseUnavailableError

__all__ = ["existing_database", "inspect", "migrate", "require_schema"]


@contextlib.contextmanager
def existing_database(settings: Settings) -> Iterator[str]:
    """The address of a database for those who only look: it is there, answers, and has the schema we need.

    Raises:
        ConfigurationError: there is none in the data folder, it refuses us, or it has another schema.
        DatabaseUnavailableError: it does not answer.
    """
    if settings.database.dsn is None and not has_embedded_database(settings.data_dir):
        raise ConfigurationError(
            f"there is no database in {settings.data_dir.absolute()} yet: start `precursor up` here, or name another"
            " folder with PRECURSOR_DATA_DIR or a database with PRECURSOR_DATABASE__DSN"
        )
    with parts.database(settings) as dsn:
        require_schema(dsn)
        yield dsn


def require_schema(dsn: str) -> None:
    """Make sure that the database at `dsn` has the schema this program needs.

    Raises:
        ConfigurationError: it refuses us, or has another schema.
        DatabaseUnavailableError: it does not answer.
    """
    state = inspect(dsn)
    if not state.current:
        raise ConfigurationError(
            f"the database has schema {state.revision or 'none yet'}, this program needs {state.newest}:"
            " run `precursor migrate`"
        )


def migrate(dsn: str) -> tuple[schema.SchemaState, schema.SchemaState]:
    """Bring the database at `dsn` to the schema this program needs; how it stood before and after.

    Raises:
        ConfigurationError: it refuses us, or has a newer schema.
        DatabaseUnavailableError: it does not answer.
    """
    before = inspect(dsn)
    if before.current:
        return before, before
    import sqlalchemy.exc  # noqa: PLC0415 - only who migrates pays for it, see `telemetry.schema`

    try:
        schema.migrate(dsn)
    except sqlalchemy.exc.ProgrammingError as error:
        raise ConfigurationError(
            f"the database does not let us make its tables: {_first_line(error.orig)};"
            " this needs a user who owns the database"
        ) from error
    except sqlalchemy.exc.OperationalError as error:
        raise DatabaseUnavailableError(f"the database went away: {_first_line(error.orig)}") from error
    return before, schema.inspect(dsn)


def inspect(dsn: str) -> schema.SchemaState:
    """How the database at `dsn` stands; not newer than this program.

    Raises:
        ConfigurationError: it refuses us, or has a newer schema.
        DatabaseUnavailableError: it does not answer.
    """
    asyncio.run(_knock(dsn))
    try:
        state = schema.inspect(dsn)
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(
            f"the database does not let us look: {_first_line(error)}; this needs a user with rights on its tables"
        ) from error
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"the database went away: {_first_line(error)}") from error
    # Revisions are numbered with leading zeros.
    if state.revision is not None and state.revision > state.newest:
        raise ConfigurationError(
            f"the database has schema {state.revision}, newer than the {state.newest} this program knows:"
            " use the version of precursor that made it, or a newer one"
        )
    return state


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().split("\n", 1)[0]


async def _knock(dsn: str) -> None:
    """Tell a database that is away, and may come back, from one that will never let us in as we are set."""
    try:
        connection = await database.connect(dsn, name="precursor check")
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        raise ConfigurationError(
            f"the database refuses us: {error}; check user, password and name in PRECURSOR_DATABASE__DSN"
        ) from error
    except DatabaseUnavailableError as error:
        if isinstance(error.__cause__, ValueError):
            raise ConfigurationError(f"PRECURSOR_DATABASE__DSN cannot be read: {error}") from error
        raise DatabaseUnavailableError(f"the database does not answer: {error}") from error
    await connection.close(timeout=5)
