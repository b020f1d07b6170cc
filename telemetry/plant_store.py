"""The plant out of the database. What was retired stays behind: its readings are history, not plant."""

import json
from typing import Any

import asyncpg

from telemetry.plant import (
    Asset,
    BearingSpec,
    DetectorSpec,
    DoorChecks,
    Gateway,
    Machine,
    PayloadFormat,
    Plant,
    ProvisionRule,
    Sensor,
    SensorKind,
    UnknownNames,
    Vibration,
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
        assets=tuple(_asset(row) for row in await connection.fetch(_SQL["plant_assets"])),
        sensors=tuple(_sensor(row) for row in await connection.fetch(_SQL["plant_sensors"])),
        gateways=tuple(_gateway(row) for row in await connection.fetch(_SQL["plant_gateways"])),
        subscriptions=tuple(row["topic_filter"] for row in await connection.fetch(_SQL["plant_subscriptions"])),
    )


# jsonb comes as text, so that this reads the same whether or not the connection has a JSON codec.
def _asset(row: asyncpg.Record) -> Asset:
    machine = json.loads(row["machine"])
    bearings = _bearings(machine.pop("bearings", []))
    return Asset(**{**row, "machine": Machine(**machine, bearings=bearings), "detector": _detector(row["detector"])})


def _detector(text: str | None) -> DetectorSpec | None:
    if text is None:
        return None
    found = json.loads(text)
    return DetectorSpec(
        kind=found["kind"], parameters=found.get("parameters", {}), sensors=tuple(found.get("sensors", ()))
    )


def _bearings(found: list[dict[str, Any]]) -> tuple[BearingSpec, ...]:
    return tuple(BearingSpec(**each) for each in found)


def _sensor(row: asyncpg.Record) -> Sensor:
    vibration = None if row["vibration"] is None else json.loads(row["vibration"])
    return Sensor(
        **{
            **row,
            "kind": SensorKind(row["kind"]),
            "codes": {text: float(code) for text, code in json.loads(row["codes"]).items()},
            "detector": _detector(row["detector"]),
            "vibration": None if vibration is None else Vibration(bearings=_bearings(vibration.get("bearings", []))),
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
