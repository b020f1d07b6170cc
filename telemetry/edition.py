"""What every edition of the database does for us, each in its own manner."""

from typing import Any, Protocol

import asyncpg
import psycopg

from telemetry.batch import Time
from telemetry.rollup_keeping import Rollups
from telemetry.series import READING, Series

__all__ = ["ASSET_STATE_1D", "ASSET_STATE_1H", "READING_TABLE", "Edition"]

READING_TABLE = """
CREATE TABLE reading (
    time timestamptz NOT NULL,
    sensor_id int NOT NULL,
    value float8 NOT NULL,
    quality smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (sensor_id, time)
)"""

ASSET_STATE_1H = """
CREATE TABLE asset_state_1h (
    time timestamptz NOT NULL,
    asset_id int NOT NULL REFERENCES asset,
    sensor_id int NOT NULL REFERENCES sensor,
    state smallint NOT NULL,
    seconds float8 NOT NULL,
    entries int NOT NULL,
    PRIMARY KEY (sensor_id, time, state)
)"""

ASSET_STATE_1D = """
SELECT {bucket} AS time, asset_id, sensor_id, state, sum(seconds) AS seconds, sum(entries) AS entries
FROM asset_state_1h
GROUP BY 1, asset_id, sensor_id, state"""


class Edition(Protocol):
    """One way of keeping series."""

    name: str

    @property
    def rollups(self) -> Rollups:
        """How rollups of readings are kept."""

    def create_series(self, connection: psycopg.Connection[Any]) -> None:
        """Create readings and states of assets, inside the caller's transaction."""

    def drop_series(self, connection: psycopg.Connection[Any]) -> None:
        """Drop them, inside the caller's transaction."""

    def divide(self, connection: psycopg.Connection[Any], series: Series) -> None:
        """Make a new, empty table into one of pieces, inside the caller's transaction; views of it come afterwards."""

    async def make_room(self, connection: asyncpg.Connection, time: Time, series: Series = READING) -> None:
        """Make sure that rows of these times (µs) can be stored; outside a transaction."""

    async def refresh_state_rollup(self, connection: asyncpg.Connection, end_us: int) -> None:
        """Bring `asset_state_1d` up to `asset_state_1h`, at least as far as a time (µs); outside a transaction."""
