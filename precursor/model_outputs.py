"""The sensors that models write to: made when a model has something to say, and kept by `precursor apply`."""

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass

import asyncpg

from models.life.prognosis import RemainingLife
from telemetry.batch import ReadingBatch
from telemetry.plant import Plant
from telemetry.sql import load_queries

__all__ = ["LifeSensors", "Output", "life_outputs", "life_readings", "life_sensors", "make_outputs", "score_output"]

_SQL = load_queries("precursor", "registry.sql")
_DAY_S = 86_400.0
_QUANTILES = {
    "remaining_life": ("", "remaining life, median"),
    "remaining_life_p10": ("_p10", "remaining life, one in ten is shorter"),
    "remaining_life_p90": ("_p90", "remaining life, nine in ten are shorter"),
}
"""by what they are computed as, as for trends: what comes after the name, and the quantity"""

LifeSensors = tuple[int, int, int]
"""of P10, P50 and P90"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A derived sensor of an asset."""

    name: str
    """after that of the asset"""
    title: str
    quantity: str
    unit: str
    computed: str


def score_output(name: str) -> Output:
    """Where a model of what is usual writes to."""
    title = f"Anomaly score of the model {name}"
    return Output(name=name, title=title, quantity="anomaly score", unit="", computed="model")


def life_outputs(name: str) -> Sequence[Output]:
    """Where a model of remaining life, or a method, writes to: median, P10 and P90, in days."""
    return [
        Output(name=f"{name}{ending}", title=f"{name}: {quantity}", quantity=quantity, unit="d", computed=computed)
        for computed, (ending, quantity) in _QUANTILES.items()
    ]


async def make_outputs(connection: asyncpg.Connection, outputs: Sequence[Output], assets: Collection[str]) -> bool:
    """Make these sensors of assets, by name; whether one is new.

    A running engine takes them over with the plant's revision, and drops what it is given for them before.
    """
    columns = zip(*(astuple(output) for output in outputs), strict=True)
    new = bool(await connection.fetch(_SQL["add_outputs"], list(assets), *map(list, columns)))
    if new:
        await connection.execute(_SQL["count_revision"])
    return new


def life_sensors(plant: Plant, asset: str, name: str) -> LifeSensors | None:
    """Those of `life_outputs` of an asset; None: they are not made, or the names are taken."""
    found = []
    for computed in ("remaining_life_p10", "remaining_life", "remaining_life_p90"):
        sensor = plant.sensor_by_name.get(f"{asset}.{name}{_QUANTILES[computed][0]}")
        if sensor is None or sensor.computed != computed or sensor.source_id is not None:
            return None
        found.append(sensor.id)
    return found[0], found[1], found[2]


def life_readings(sensors: LifeSensors, at: int, life: RemainingLife) -> ReadingBatch:
    """A prognosis as readings in days, at µs since 1970; none without an answer."""
    quantiles = zip(sensors, (life.p10_s, life.p50_s, life.p90_s), strict=True)
    told = [(sensor, seconds / _DAY_S) for sensor, seconds in quantiles if seconds is not None]
    return ReadingBatch.of([at] * len(told), [sensor for sensor, _ in told], [days for _, days in told]).sorted()
