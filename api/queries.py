"""The statements of `queries.sql`, read once."""

from telemetry.sql import load_queries

__all__ = ["SQL"]

SQL = load_queries("api")
