"""The rules out of the database; `rules.stored` says what their rows mean."""

import asyncpg

from rules.definition import Rule
from rules.stored import build_rules
from telemetry.sql import load_queries

__all__ = ["load_rules"]

_SQL = load_queries("rules")


async def load_rules(connection: asyncpg.Connection) -> tuple[Rule, ...]:
    """Every rule in force, one for each sensor or asset it is on, by id.

    Raises:
        ConfigurationError: a row that means nothing; the message names the rule and the mend.
    """
    sensors = await connection.fetch(_SQL["sensor_ids"])
    assets = await connection.fetch(_SQL["asset_parents"])
    rows = await connection.fetch(_SQL["rules"])
    return build_rules(
        rows,
        {row["name"]: row["id"] for row in sensors},
        {row["id"]: row["parent_id"] for row in assets},
    )
