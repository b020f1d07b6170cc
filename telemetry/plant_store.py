"""The plant out of the database. What was retired stays behind: its readings are history, not plant."""

import json

import asyncpg

from telemetry.plant import (
    Asset,
    DetectorSpec,
    DoorChecks,
    Gateway,
    PayloadFormat,
    Plant,
    ProvisionRule,
    Sensor,
    SensorKind,
    UnknownNames,
)
from telemetry.sql import load_queries

__all__ = ["load_plant", "plant_revision"]

_SQL = load_queries("telemetry")


async def plant_revision(connection: asyncpg.Connection) -> int:
    """The number that goes up with every `precursor apply` that changed something; 0: nothing applied yet."""
    return int(await connection.fetchval(_SQL["plant_revision"]))


async def load_plant(connection: asyncpg.Connection) -> Plant:
    """Everything applied and not retired.

    Several statements: where an apply in between would hurt, the caller opens a REPEATABLE READ transaction.
    """
    return Plant(
        revision=await plant_revision(connection),
        assets=tuple(Asset(**row) for row in await connection.fetch(_SQL["plant_assets"])),
        sensors=tuple(_sensor(row) for row in await connection.fetch(_SQL["plant_sensors"])),
        gateways=tuple(_gateway(row) for row in await connection.fetch(_SQL["plant_gateways"])),
        subscriptions=tuple(row["topic_filter"] for row in await connection.fetch(_SQL["plant_subscriptions"])),
    )


def _sensor(row: asyncpg.Record) -> Sensor:
    # jsonb comes as text, so that this reads the same whether or not the connection has a JSON codec.
    detector = None if row["detector"] is None else DetectorSpec(**json.loads(row["detector"]))
    return Sensor(
        **{
            **row,
            "kind": SensorKind(row["kind"]),
            "codes": {text: float(code) for text, code in json.loads(row["codes"]).items()},
            "detector": detector,
            "checks": DoorChecks(**json.loads(row["checks"])),
        }
    )


def _gateway(row: asyncpg.Record) -> Gateway:
    options = json.loads(row["options"])
    return Gateway(
        name=row["name"],
        topic=row["topic"],
        site=row["site"],
        format=PayloadFormat(options.get("format", PayloadFormat.JSON)),
        fields=options.get("fields", {}),
        names=options.get("names", {}),
        asset=options.get("asset"),
        unknown=UnknownNames(options.get("unknown", UnknownNames.QUARANTINE)),
        provision=tuple(ProvisionRule(**rule) for rule in options.get("provision", [])),
    )
