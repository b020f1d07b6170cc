"""Prognoses by the P-F interval.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_METHODS = "ALTER TABLE prognosis DROP CONSTRAINT prognosis_method_check, ADD CHECK (method IN ({}))"


def upgrade() -> None:
    """They have a method of their own."""
    op.execute(_METHODS.format("'trend', 'age', 'model', 'pf_interval'"))


def downgrade() -> None:
    """The older schema has no place for them."""
    op.execute("DELETE FROM prognosis WHERE method = 'pf_interval'")
    op.execute(_METHODS.format("'trend', 'age', 'model'"))
