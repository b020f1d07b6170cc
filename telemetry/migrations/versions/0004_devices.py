"""Devices, quarantine, quality checks at the door; means out of the index alone.

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


def _driver() -> psycopg.Connection[Any]:
    # SQL files hold many statements and percent signs: both only pass the driver's plain `execute`.
    return cast("psycopg.Connection[Any]", op.get_bind().connection.dbapi_connection)


def _run(driver: psycopg.Connection[Any], *names: str) -> None:
    for name in names:
        driver.execute((_HERE / f"{name}.sql").read_bytes())


def upgrade() -> None:
    """New tables, and columns with defaults; where rollups are kept tables, their indexes are made anew."""
    driver = _driver()
    _run(driver, "0004_devices.up")
    if detect(driver).rollups.manner == "kept":
        _run(driver, "0004_devices.kept.up")


def downgrade() -> None:
    """Devices, quarantine and what provisioning noted go; sensors that were provisioned stay."""
    driver = _driver()
    if detect(driver).rollups.manner == "kept":
        _run(driver, "0004_devices.kept.down")
    _run(driver, "0004_devices.down")
