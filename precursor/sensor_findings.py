"""What the checks at the door found, sensor by sensor, for `precursor doctor --sensors`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

import asyncpg

from telemetry.latest import Reading, read_last_values
from telemetry.sql import load_queries

__all__ = ["FindingCount", "SensorFindings", "read_sensor_findings"]

_SQL = load_queries("precursor", "sensor_findings.sql")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingCount:
    """How often one check found something."""

    finding: str
    readings: int
    first_at: datetime
    last_at: datetime

    def as_json(self) -> dict[str, object]:
        """For machines: plain values only."""
        return {
            "finding": self.finding,
            "readings": self.readings,
            "first_at": self.first_at.isoformat(),
            "last_at": self.last_at.isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorFindings:
    """All that was found of one sensor."""

    HEADINGS = ("sensor", "finding", "readings", "last found (UTC)", "last reading", "quality")

    sensor: str
    counts: tuple[FindingCount, ...]
    """most readings first; at least one"""
    newest: Reading | None
    """of any quality; None: it never sent any"""

    @property
    def readings(self) -> int:
        """Readings found fault with; one in which two checks found something counts twice."""
        return sum(count.readings for count in self.counts)

    def cells(self, now: datetime) -> list[tuple[object, ...]]:
        """Table rows, one for each finding; the sensor and its last reading stand in the first one."""
        age = "never" if self.newest is None else f"{_lasting(now - self.newest.time)} ago"
        quality = "" if self.newest is None else self.newest.quality.name.lower()
        return [
            (
                "" if place else self.sensor,
                count.finding.replace("_", " "),
                count.readings,
                f"{count.last_at:%Y-%m-%d %H:%M}",
                "" if place else age,
                "" if place else quality,
            )
            for place, count in enumerate(self.counts)
        ]

    def as_json(self, now: datetime) -> dict[str, object]:
        """For machines: plain values only."""
        newest = None
        if self.newest is not None:
            newest = {
                "time": self.newest.time.isoformat(),
                "age_s": (now - self.newest.time).total_seconds(),
                "value": self.newest.value,
                "quality": self.newest.quality.name.lower(),
            }
        return {
            "sensor": self.sensor,
            "readings": self.readings,
            "findings": [count.as_json() for count in self.counts],
            "newest": newest,
        }


async def read_sensor_findings(connection: asyncpg.Connection) -> Sequence[SensorFindings]:
    """Sensors in use of which anything was found, most readings first."""
    rows = await connection.fetch(_SQL["read_findings"])
    ids = list(dict.fromkeys(row["id"] for row in rows))
    newest = {last.sensor_id: last.newest for last in await read_last_values(connection, ids)} if ids else {}
    found = []
    for (sensor_id, name), group in groupby(rows, key=lambda row: (row["id"], row["name"])):
        counts = [
            FindingCount(
                finding=row["finding"], readings=row["readings"], first_at=row["first_at"], last_at=row["last_at"]
            )
            for row in group
        ]
        counts.sort(key=lambda count: -count.readings)
        found.append(SensorFindings(sensor=name, counts=tuple(counts), newest=newest[sensor_id]))
    return sorted(found, key=lambda sensor: -sensor.readings)


def _lasting(span: timedelta) -> str:
    """A duration as a person says it: one unit, whole."""
    seconds = max(0, int(span.total_seconds()))
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), (1, "s"))
    return f"{seconds // size} {unit}"
