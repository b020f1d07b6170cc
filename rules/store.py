"""The rules out of the database."""

import asyncpg

from rules.definition import Priority, ThresholdRule
from telemetry.sql import load_queries

__all__ = ["load_rules"]

_SQL = load_queries("rules")


async def load_rules(connection: asyncpg.Connection) -> tuple[ThresholdRule, ...]:
    """Every rule in force, one for each sensor it watches, by id."""
    rows = await connection.fetch(_SQL["rules"])
    return tuple(ThresholdRule(**{**row, "priority": Priority(row["priority"])}) for row in rows)
