"""The plant, what arrived, evaluation, maintenance, and the series.

Revision ID: 0001
Revises: -
"""

from pathlib import Path
from typing import Any, cast

import psycopg
from alembic import op

from telemetry.editions import detect, offer_timescaledb

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def _driver() -> psycopg.Connection[Any]:
    # SQL files hold many statements and percent signs: both only pass the driver's plain `execute`.
    return cast("psycopg.Connection[Any]", op.get_bind().connection.dbapi_connection)


def upgrade() -> None:
    """Everything from nothing; the series in the manner of the database's edition."""
    driver = _driver()
    driver.execute((_HERE / "0001_first.up.sql").read_bytes())
    offer_timescaledb(driver)
    detect(driver).create_series(driver)


def downgrade() -> None:
    """Back to nothing."""
    driver = _driver()
    detect(driver).drop_series(driver)
    driver.execute((_HERE / "0001_first.down.sql").read_bytes())
