"""Devices, quarantine, quality checks at the door.

Revision ID: 0004
Revises: 0003
"""

from pathlib import Path
from typing import Any, cast

import psycopg
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def _run(name: str) -> None:
    # SQL files hold many statements and percent signs: both only pass the driver's plain `execute`.
    driver = cast("psycopg.Connection[Any]", op.get_bind().connection.dbapi_connection)
    driver.execute((_HERE / f"{name}.sql").read_bytes())


def upgrade() -> None:
    """New tables, and columns with defaults."""
    _run("0004_devices.up")


def downgrade() -> None:
    """Devices, quarantine and what provisioning noted go; sensors that were provisioned stay."""
    _run("0004_devices.down")
