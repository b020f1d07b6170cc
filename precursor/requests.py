"""What people ask of the evaluation: taken out of the database in the transaction that does it."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg
import numpy as np

from telemetry.batch import to_micros
from telemetry.catalogue import name_list
from telemetry.errors import ConfigurationError
from telemetry.journal import Rebaseline, Reset
from telemetry.sql import load_queries

__all__ = ["Requests", "open_requests", "request_rebaseline", "settle_requests"]

_SQL = load_queries("precursor", "requests.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Requests that nobody has done yet, locked."""

    ids: tuple[int, ...]
    reset: Reset
    rebaseline: Rebaseline


async def request_rebaseline(
    connection: asyncpg.Connection, asset: str, *, at: datetime, actor: str, note: str = ""
) -> None:
    """Ask for what is usual for an asset and its parts to be learned anew.

    Raises:
        ConfigurationError: there is no such asset.
    """
    if await connection.fetchval(_SQL["request_rebaseline"], asset, at, actor, note) is None:
        known = [row["name"] for row in await connection.fetch(_SQL["asset_names"])]
        raise ConfigurationError(f"there is no asset {name_list([asset], known)}")


async def open_requests(connection: asyncpg.Connection) -> Requests | None:
    """What is asked for, oldest first; None: nothing."""
    rows = await connection.fetch(_SQL["open_requests"])
    if not rows:
        return None
    resets = [row for row in rows if row["rule_id"] is not None]
    # Asked for twice: once is enough, the last time counts.
    rebaselines = {row["asset_id"]: row for row in rows if row["asset_id"] is not None}
    return Requests(
        ids=tuple(row["id"] for row in rows),
        reset=Reset(
            rule_id=np.array([row["rule_id"] for row in resets], np.int32),
            at=np.array([to_micros(row["at"]) for row in resets], np.int64),
        ),
        rebaseline=Rebaseline(
            asset_id=np.array(list(rebaselines), np.int32),
            at=np.array([to_micros(row["at"]) for row in rebaselines.values()], np.int64),
        ),
    )


async def settle_requests(connection: asyncpg.Connection, requests: Requests) -> None:
    """They are done, and written down in the history of their rules."""
    await connection.execute(_SQL["settle_requests"], list(requests.ids))
