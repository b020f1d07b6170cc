"""Bringing a database to the schema this program needs, and looking at how it stands."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.pool import NullPool

from telemetry.editions import detect
from telemetry.errors import DatabaseUnavailableError

__all__ = ["SchemaState", "downgrade", "inspect", "migrate"]

_MIGRATIONS = Path(__file__).parent / "migrations"
# Two engines started at once must not both migrate; any constant will do, it only has to be ours.
_LOCK = 0x5052_4543


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaState:
    """How a database stands."""

    server: str
    """PostgreSQL's version as it says it"""
    edition: str
    """`plain`, `timescaledb-apache` or `timescaledb-community`"""
    edition_version: str
    revision: str | None
    """None: never migrated"""
    newest: str
    """the revision this program needs"""

    @property
    def current(self) -> bool:
        """Whether the schema is the one this program needs."""
        return self.revision == self.newest


def _engine(dsn: str) -> sqlalchemy.Engine:
    def connect() -> psycopg.Connection[Any]:
        try:
            return psycopg.connect(dsn)
        except psycopg.OperationalError as error:
            raise DatabaseUnavailableError(f"the database does not answer: {error}") from error

    return sqlalchemy.create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def _run(dsn: str, to: str) -> None:
    config = _config()
    engine = _engine(dsn)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK})")
        connection.commit()
        config.attributes["connection"] = connection
        try:
            if to == "head":
                command.upgrade(config, to)
            else:
                command.downgrade(config, to)
            connection.commit()
        finally:
            connection.rollback()
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LOCK})")
            connection.commit()


def migrate(dsn: str) -> None:
    """Bring the database at `dsn` to the newest schema; nothing happens where it is there already.

    Raises:
        DatabaseUnavailableError: nothing answers at `dsn`.
    """
    _run(dsn, "head")


def downgrade(dsn: str, to: str = "base") -> None:
    """Take migrations back to revision `to`. Data of dropped tables is gone."""
    _run(dsn, to)


def inspect(dsn: str) -> SchemaState:
    """How the database at `dsn` stands.

    Raises:
        DatabaseUnavailableError: nothing answers at `dsn`.
    """
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None
    with _engine(dsn).connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
        driver = cast("psycopg.Connection[Any]", connection.connection.dbapi_connection)
        edition = detect(driver)
        row = driver.execute(
            "SELECT current_setting('server_version'),"
            " (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb')"
        ).fetchone()
        assert row is not None
        return SchemaState(
            server=row[0],
            edition=edition.name,
            edition_version=row[1] or "",
            revision=revision,
            newest=newest,
        )
