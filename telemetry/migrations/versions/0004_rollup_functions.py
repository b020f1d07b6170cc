"""Rollups of our own are counted in less time.

Revision ID: 0004
Revises: 0003
"""

from pathlib import Path
from typing import Any, cast

import psycopg
from alembic import op

from telemetry.editions import detect

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def _run(*names: str) -> None:
    # SQL files hold many statements and percent signs: both only pass the driver's plain `execute`.
    driver = cast("psycopg.Connection[Any]", op.get_bind().connection.dbapi_connection)
    if detect(driver).rollups.manner == "kept":
        for name in names:
            driver.execute((_HERE / f"{name}.sql").read_bytes())


def upgrade() -> None:
    """Other functions behind the same views; what is kept stays."""
    _run("0004_rollup_functions.up")


def downgrade() -> None:
    """The functions as they were, and the views that call them."""
    _run("0004_rollup_functions.down", "0003_series.kept.views")
