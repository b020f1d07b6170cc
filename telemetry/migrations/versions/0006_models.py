"""Machines as analysis knows them; what is computed elsewhere; models, prognoses.

Revision ID: 0006
Revises: 0005
"""

from pathlib import Path
from typing import Any, cast

import psycopg
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def _run(name: str) -> None:
    # SQL files hold many statements and percent signs: both only pass the driver's plain `execute`.
    driver = cast("psycopg.Connection[Any]", op.get_bind().connection.dbapi_connection)
    driver.execute((_HERE / f"{name}.sql").read_bytes())


def upgrade() -> None:
    """Derived sensors say what they are; those there are so far are scores."""
    _run("0006_models.up")


def downgrade() -> None:
    """Models and prognoses go; derived sensors that are no scores are retired."""
    _run("0006_models.down")
