"""Rules of every kind; the life of alarms.

Revision ID: 0005
Revises: 0004
"""

from pathlib import Path
from typing import Any, cast

import psycopg
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def _run(name: str) -> None:
    # SQL files hold many statements and percent signs: both only pass the driver's plain `execute`.
    driver = cast("psycopg.Connection[Any]", op.get_bind().connection.dbapi_connection)
    driver.execute((_HERE / f"{name}.sql").read_bytes())


def upgrade() -> None:
    """Rules on assets, kinds with options, states of alarms; what stands already is told and unacknowledged."""
    _run("0005_alarms.up")
    _run("0005_alarms.views")


def downgrade() -> None:
    """Rules that are no limits on a sensor go, with their alarms."""
    _run("0005_alarms.down")
