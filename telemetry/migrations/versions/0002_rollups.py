"""Rollups of readings by minute, hour and day.

Revision ID: 0002
Revises: 0001
"""

from pathlib import Path
from typing import Any, cast

import psycopg
from alembic import op

from telemetry.editions import detect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def _driver() -> psycopg.Connection[Any]:
    # SQL files hold many statements and percent signs: both only pass the driver's plain `execute`.
    return cast("psycopg.Connection[Any]", op.get_bind().connection.dbapi_connection)


def upgrade() -> None:
    """Rollups in the manner of the database's edition; readings stored before are in them at once."""
    driver = _driver()
    driver.execute((_HERE / "0002_rollups.up.sql").read_bytes())
    driver.execute((_HERE / f"0002_rollups.{detect(driver).rollups.manner}.up.sql").read_bytes())


def downgrade() -> None:
    """Readings stay."""
    driver = _driver()
    driver.execute((_HERE / f"0002_rollups.{detect(driver).rollups.manner}.down.sql").read_bytes())
    driver.execute((_HERE / "0002_rollups.down.sql").read_bytes())
