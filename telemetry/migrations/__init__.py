"""Schema versions, each written as SQL with its way back, run by Alembic."""
