"""A database of the bench's own on whatever server there is, with the bench's plant in it; dropped at the end."""

import contextlib
import json
import re
import secrets
from collections.abc import Iterator

import asyncpg
import psycopg
from psycopg import sql

from precursor.bench.report import Account
from precursor.bench.workload import bench_plant
from telemetry import schema
from telemetry.editions import detect_async
from telemetry.errors import ConfigurationError, DatabaseUnavailableError
from telemetry.ledger import read_totals
from telemetry.plant import Gateway, PayloadFormat
from telemetry.sql import load_queries

__all__ = ["count", "database_named", "empty", "insert_plant", "scratch_database"]

_SQL = load_queries("precursor.bench", "plant.sql")
_ADDRESS = re.compile(r"(?P<server>postgres(?:ql)?://[^/?]*)(?:/[^?]*)?(?P<rest>\?.*)?")


def database_named(dsn: str, name: str) -> str:
    """The address of another database on the same server.

    Raises:
        ConfigurationError: the address is no `postgresql://...`.

    >>> database_named("postgresql://me@db:5433/plant?sslmode=require", "bench")
    'postgresql://me@db:5433/bench?sslmode=require'
    """
    match = _ADDRESS.fullmatch(dsn)
    if match is None:
        raise ConfigurationError("the database's address must be written postgresql://user:password@host/name")
    return f"{match['server']}/{name}{match['rest'] or ''}"


@contextlib.contextmanager
def scratch_database(server_dsn: str) -> Iterator[str]:
    """An empty, migrated database beside the one at `server_dsn`, which is not touched.

    Raises:
        DatabaseUnavailableError: nothing answers there.
        ConfigurationError: the role may not create databases.
    """
    name = f"precursor_bench_{secrets.token_hex(4)}"
    dsn = database_named(server_dsn, name)
    try:
        with psycopg.connect(server_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"the database does not answer: {error}") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            "the bench makes a database of its own beside yours; give the role CREATEDB, or unset"
            " PRECURSOR_DATABASE__DSN to measure on the embedded PostgreSQL"
        ) from error
    try:
        schema.migrate(dsn)
        yield dsn
    finally:
        with psycopg.connect(server_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


async def insert_plant(connection: asyncpg.Connection, *, sensors: int, prefix: str) -> list[int]:
    """Put the bench's plant into an empty database; the sensors' ids, in the order of their names."""
    plant = bench_plant(sensors=sensors, prefix=prefix)
    async with connection.transaction():
        await connection.execute(
            _SQL["insert_plant"],
            list(plant.subscriptions),
            [gateway.name for gateway in plant.gateways],
            [sensor.name for sensor in plant.sensors],
            [sensor.topic for sensor in plant.sensors],
            [gateway.topic for gateway in plant.gateways],
            [_options(gateway) for gateway in plant.gateways],
        )
        await connection.execute(_SQL["next_revision"])
    return [row["id"] for row in await connection.fetch(_SQL["sensor_ids"])]


async def empty(connection: asyncpg.Connection) -> None:
    """Forget all readings, their rollups and the ledger; partitions and plant stay."""
    async with connection.transaction():
        await connection.execute(_SQL["empty"])
        if (await detect_async(connection)).rollups.manner == "kept":
            await connection.execute(_SQL["empty_kept_rollups"])
        for standing in ("forget_marks", "forget_watermark", "forget_fence"):
            await connection.execute(_SQL[standing])


async def count(connection: asyncpg.Connection, *, name: str, published: int) -> Account:
    """What is in the database after a run that published so many readings.

    Raises:
        LossError: not exactly those.
    """
    account = Account(
        name=name,
        published=published,
        rows=await connection.fetchval(_SQL["count_readings"]),
        **await read_totals(connection),
    )
    account.check()
    return account


def _options(gateway: Gateway) -> str:
    if gateway.format is PayloadFormat.JSON:
        return "{}"
    return json.dumps({"format": gateway.format, "names": dict(gateway.names), "unknown": gateway.unknown})
