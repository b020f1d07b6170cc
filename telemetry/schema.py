"""Bringing a database to the schema this program needs, and looking at how it stands."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from telemetry.editions import detect
from telemetry.errors import DatabaseUnavailableError

__all__ = ["SchemaState", "downgrade", "inspect", "migrate", "newest_revision"]

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


def newest_revision() -> str:
    """The revision this program needs. Revisions are numbered with leading zeros, and their files begin with them."""
    return max(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def _connect(dsn: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(dsn)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"the database does not answer: {error}") from error


def _run(dsn: str, to: str) -> None:
    # Half a second of every start, for what is done once a release: whoever only looks goes without them.
    import sqlalchemy  # noqa: PLC0415 - see above
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: _connect(dsn), poolclass=sqlalchemy.pool.NullPool
    )
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
        psycopg.Error: this role may not look.
    """
    with _connect(dsn) as connection:
        edition = detect(connection)
        row = connection.execute(
            "SELECT current_setting('server_version'), to_regclass('alembic_version') IS NOT NULL,"
            " (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb')"
        ).fetchone()
        assert row is not None
        server, migrated, edition_version = row
        # Alembic keeps one row; none after the last migration was taken back.
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchone() if migrated else None
        return SchemaState(
            server=server,
            edition=edition.name,
            edition_version=edition_version or "",
            revision=None if revision is None else revision[0],
            newest=newest_revision(),
        )
