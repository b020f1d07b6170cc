"""Waveforms; how far back series go; rollups count usable readings, and those by minute are in pieces.

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


def _run(driver: psycopg.Connection[Any], *names: str) -> None:
    for name in names:
        driver.execute((_HERE / f"{name}.sql").read_bytes())


def upgrade() -> None:
    """Nothing has been thrown away so far, so rollups can be counted anew: the scheduler does, in the background."""
    driver = _driver()
    edition = detect(driver)
    manner = edition.rollups.manner
    _run(driver, f"0002_rollups.{manner}.down", "0003_series.up")
    edition.divide(driver, WAVEFORM)
    if manner == "kept":
        _run(driver, "0003_series.kept.tables")
        edition.divide(driver, MINUTES)
        _run(driver, "0003_series.kept.views")
    else:
        # Downgrades leave the type: compressed readings could not be given another.
        if driver.execute("SELECT to_regtype('reading_value')").fetchone() == (None,):
            _run(driver, "0003_series.values")
        _run(driver, "0003_series.aggregates")


def downgrade() -> None:
    """Waveforms go; rollups are counted anew, except where readings were thrown away."""
    driver = _driver()
    manner = detect(driver).rollups.manner
    _run(driver, f"0002_rollups.{manner}.down", "0003_series.down", f"0002_rollups.{manner}.up")
