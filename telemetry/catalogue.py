"""The catalogue: every sensor that may have readings, by the names people know, retired ones included."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import asyncpg

from telemetry.errors import ConfigurationError
from telemetry.plant import SensorKind
from telemetry.sql import load_queries

__all__ = ["Catalogue", "CatalogueSensor", "load_catalogue", "name_list"]

_SQL = load_queries("telemetry", "catalogue.sql")
_NAMES_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueSensor:
    """A sensor, with what somebody who reads its values elsewhere has to know."""

    id: int
    name: str
    kind: SensorKind
    quantity: str
    unit: str
    """of the stored values"""
    assets: tuple[str, ...]
    """the asset it measures, last, and those that asset is a part of, outermost first"""
    site: str

    @property
    def asset(self) -> str:
        """The asset it measures."""
        return self.assets[-1]


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Sensors and assets, in use or retired, by name."""

    sensors: tuple[CatalogueSensor, ...]
    """by name, in the order of code points"""
    assets: tuple[str, ...]

    @cached_property
    def by_name(self) -> Mapping[str, CatalogueSensor]:
        """Sensors by their unique name."""
        return {sensor.name: sensor for sensor in self.sensors}

    def select(self, *, sensors: Collection[str] = (), assets: Collection[str] = ()) -> tuple[CatalogueSensor, ...]:
        """The sensors named, and those of the assets named and of their parts; without any name all of them.

        Raises:
            ConfigurationError: a name is unknown; the message has the closest ones.
        """
        if not sensors and not assets:
            return self.sensors
        for kind, wanted, known in (
            ("sensor", sensors, self.by_name.keys()),
            ("asset", assets, set(self.assets)),
        ):
            unknown = sorted(set(wanted) - known)
            if unknown:
                raise ConfigurationError(f"the plant has no {kind} {name_list(unknown, known)}")
        names, of_assets = set(sensors), set(assets)
        return tuple(
            sensor for sensor in self.sensors if sensor.name in names or not of_assets.isdisjoint(sensor.assets)
        )


async def load_catalogue(connection: asyncpg.Connection) -> Catalogue:
    """Every sensor and asset that was ever applied."""
    return Catalogue(
        sensors=tuple(
            CatalogueSensor(**{**row, "kind": SensorKind(row["kind"]), "assets": tuple(row["assets"])})
            for row in await connection.fetch(_SQL["catalogue_sensors"])
        ),
        assets=tuple(row["name"] for row in await connection.fetch(_SQL["catalogue_assets"])),
    )


def name_list(unknown: Collection[str], known: Iterable[str]) -> str:
    """Unknown names for a message, each with the known one that is most like it; not more than a person reads."""
    candidates = list(known)
    told = []
    for name in list(unknown)[:_NAMES_SHOWN]:
        close = difflib.get_close_matches(name, candidates, n=1)
        told.append(repr(name[:80]) + (f" (did you mean {close[0]!r}?)" if close else ""))
    more = len(unknown) - len(told)
    return ", ".join(told) + (f" and {more:,} more" if more > 0 else "")
