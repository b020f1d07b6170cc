"""Waveforms; the rollup by minute in pieces; how far back series go.

Revision ID: 0003
Revises: 0002
"""

from pathlib import Path
from typing import Any, cast

import psycopg
from alembic import op

from telemetry.editions import detect
from telemetry.series import MINUTES, WAVEFORM

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def _driver() -> psycopg.Connection[Any]:
    # SQL files hold many statements and percent signs: both only pass the driver's plain `execute`.
    return cast("psycopg.Connection[Any]", op.get_bind().connection.dbapi_connection)


def upgrade() -> None:
    """Continuous aggregates are in pieces already."""
    driver = _driver()
    edition = detect(driver)
    driver.execute((_HERE / "0003_series.up.sql").read_bytes())
    edition.divide(driver, WAVEFORM)
    if edition.rollups.manner == "kept":
        driver.execute("DROP VIEW reading_1m")
        edition.divide(driver, MINUTES)
        driver.execute((_HERE / "0003_series.reading_1m.sql").read_bytes())


def downgrade() -> None:
    """Waveforms go, rollups stay."""
    driver = _driver()
    if detect(driver).rollups.manner == "kept":
        driver.execute("DROP VIEW reading_1m")
        driver.execute((_HERE / "0003_series.whole.sql").read_bytes())
        driver.execute((_HERE / "0003_series.reading_1m.sql").read_bytes())
    driver.execute((_HERE / "0003_series.down.sql").read_bytes())
