"""Sessions of Sparkplug edge nodes in the database: what a host that comes back has to know of their births."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from ingest.texts import storable
from telemetry.batch import EPOCH, to_datetime, to_micros
from telemetry.sql import load_queries

__all__ = ["MetricRow", "NodeRow", "SparkplugRows", "load_sparkplug", "save_metrics", "save_nodes"]

_SQL = load_queries("ingest", "sessions.sql")
_LATEST_US = to_micros(datetime(9000, 1, 1, tzinfo=UTC))
_UNSIGNED = 1 << 64
_SIGN = 1 << 63
_COUNTERS = range(256)
_METRIC_COLUMNS = ["device_id", "name", "alias", "datatype", "unit", "low", "high"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """The session of an edge node."""

    device: str
    """`group/node`"""
    bd_seq: int | None
    """of its birth, 0 to 255; None: not known"""
    seq: int | None
    """of its last message, 0 to 255; None: not known"""
    born_us: int | None
    """by its own clock, µs since 1970-01-01 UTC"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """A metric of a birth certificate."""

    name: str
    alias: int | None
    """the number it is sent under, 64 bits, unsigned"""
    datatype: int
    """of Sparkplug, 0 to 34"""
    unit: str = ""
    low: float | None = None
    """end of its engineering range"""
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkplugRows:
    """Everything births said."""

    nodes: tuple[NodeRow, ...]
    metrics: Mapping[str, tuple[MetricRow, ...]]
    """by node or device"""


async def save_nodes(connection: asyncpg.Connection, rows: Sequence[NodeRow]) -> None:
    """Sessions as they stand; a node the registry does not have is passed over, of several for one the last holds.

    Numbers no edge node may send, and times no calendar has, are kept as not known.
    """
    latest = {storable(row.device): row for row in rows}
    if latest:
        await connection.execute(
            _SQL["save_nodes"],
            list(latest),
            [_counter(row.bd_seq) for row in latest.values()],
            [_counter(row.seq) for row in latest.values()],
            [_moment(row.born_us) for row in latest.values()],
        )


async def save_metrics(connection: asyncpg.Connection, device: str, rows: Sequence[MetricRow]) -> None:
    """The metrics of a node or device are these and no others; of several with one name the last holds.

    Only what differs is written: a host that comes back asks every node for its birth again. A device the registry
    does not have is passed over.
    """
    number = await connection.fetchval(_SQL["find_device"], storable(device))
    if number is None:
        return
    wanted = {storable(row.name): _columns(row) for row in rows}
    kept = {row[0]: tuple(row)[1:] for row in await connection.fetch(_SQL["metrics_of"], number)}
    gone = [name for name, columns in kept.items() if wanted.get(name) != columns]
    if gone:
        await connection.execute(_SQL["drop_metrics"], number, gone)
    put = [(number, name, *columns) for name, columns in wanted.items() if kept.get(name) != columns]
    if put:
        await connection.copy_records_to_table("sparkplug_metric", records=put, columns=_METRIC_COLUMNS)


async def load_sparkplug(connection: asyncpg.Connection) -> SparkplugRows:
    """Every session and metric."""
    nodes = tuple(
        NodeRow(
            device=row["device"],
            bd_seq=row["bd_seq"],
            seq=row["seq"],
            born_us=None if row["born_at"] is None else to_micros(row["born_at"]),
        )
        for row in await connection.fetch(_SQL["load_nodes"])
    )
    metrics: dict[str, list[MetricRow]] = {}
    for row in await connection.fetch(_SQL["load_metrics"]):
        device, name, alias, datatype, unit, low, high = row
        metrics.setdefault(device, []).append(
            MetricRow(
                name=name,
                alias=None if alias is None else alias % _UNSIGNED,
                datatype=datatype,
                unit=unit,
                low=low,
                high=high,
            )
        )
    return SparkplugRows(nodes=nodes, metrics={device: tuple(rows) for device, rows in metrics.items()})


def _columns(row: MetricRow) -> tuple[int | None, int, str, float | None, float | None]:
    # The database's numbers have a sign: the upper half of the aliases is stored below zero.
    alias = None if row.alias is None else (row.alias + _SIGN) % _UNSIGNED - _SIGN
    return alias, row.datatype, storable(row.unit), _number(row.low), _number(row.high)


def _number(value: float | None) -> float | None:
    return value if value is None or value - value == 0 else None


def _counter(value: int | None) -> int | None:
    return value if value in _COUNTERS else None


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None or not to_micros(EPOCH) <= micros < _LATEST_US else to_datetime(micros)
