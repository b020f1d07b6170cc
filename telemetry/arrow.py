"""Readings as Arrow: tables that pandas, Polars and DuckDB read as they are, and back, every bit the same.

| column | type | |
|---|---|---|
| `time` | `timestamp[us, UTC]` | event time |
| `sensor` | `dictionary<int32, string>` | the sensor's name |
| `value` | `float64` | in the sensor's unit |
| `quality` | `dictionary<int8, string>` | `good`, `uncertain`, `bad` or `stale` |

Quality is words, not numbers: a categorical in pandas and Polars, text in DuckDB, so that `quality = 'good'` is what
one writes in each of them; as a dictionary it takes next to no room. No column has nulls.

The schema's metadata has, under `precursor`, a JSON document: the version of this form, what made it, and for each
sensor its kind, quantity, unit, asset and site.
"""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import numpy as np
import pyarrow as pa

from telemetry.batch import ReadingBatch
from telemetry.catalogue import CatalogueSensor, load_catalogue
from telemetry.errors import ConfigurationError
from telemetry.quality import Quality
from telemetry.ranges import read_readings

__all__ = [
    "EARLIEST",
    "LATEST",
    "METADATA_KEY",
    "VERSION",
    "ReadingEncoder",
    "read_table",
    "reading_schema",
    "sensors_of",
]

VERSION = 1
"""of this form; one that older programs would misread gets a higher number"""
METADATA_KEY = b"precursor"

EARLIEST, LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
"""a range that holds every reading"""

_QUALITIES = pa.array([quality.name.lower() for quality in Quality], pa.string())
_TIME = pa.timestamp("us", "UTC")


def reading_schema(sensors: Sequence[CatalogueSensor], *, made_by: str = "precursor") -> pa.Schema:
    """The schema of readings of these sensors, with its metadata."""
    document = {
        "version": VERSION,
        "made_by": made_by,
        "sensors": {
            sensor.name: {
                "kind": sensor.kind.value,
                "quantity": sensor.quantity,
                "unit": sensor.unit,
                "asset": sensor.asset,
                "site": sensor.site,
            }
            for sensor in sensors
        },
    }
    return pa.schema(
        [
            pa.field("time", _TIME, nullable=False),
            pa.field("sensor", pa.dictionary(pa.int32(), pa.string()), nullable=False),
            pa.field("value", pa.float64(), nullable=False),
            pa.field("quality", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        ],
        metadata={METADATA_KEY: json.dumps(document).encode()},
    )


def sensors_of(schema: pa.Schema) -> dict[str, dict[str, str]]:
    """What the metadata of a schema says of its sensors; nothing where another program made it.

    Raises:
        ConfigurationError: a newer version of this program made it.
    """
    try:
        document: Any = json.loads((schema.metadata or {}).get(METADATA_KEY, b"null"))
        version = document["version"]
        sensors = {str(name): dict(facts) for name, facts in document["sensors"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
    if version != VERSION:
        raise ConfigurationError(
            f"these readings are in version {version} of the form, this program reads {VERSION}:"
            f" use the version of precursor that made them ({document.get('made_by', 'unknown')}), or a newer one"
        )
    return sensors


class ReadingEncoder:
    """Turns batches of certain sensors into record batches of one schema and one dictionary."""

    def __init__(self, sensors: Sequence[CatalogueSensor], *, made_by: str = "precursor") -> None:
        self.schema = reading_schema(sensors, made_by=made_by)
        # Arrow's files may hold one dictionary a column only, and in Parquet it costs a few bytes a name.
        self._names = pa.array([sensor.name for sensor in sensors], pa.string())
        ids = np.array([sensor.id for sensor in sensors], np.int32)
        self._order = np.argsort(ids).astype(np.int32)
        self._ids = ids[self._order]

    def encode(self, batch: ReadingBatch) -> pa.RecordBatch:
        """The batch, in its order. Its sensors must be among those given."""
        position = self._order[np.searchsorted(self._ids, batch.sensor_id)] if len(batch) else np.empty(0, np.int32)
        return pa.RecordBatch.from_arrays(
            [
                pa.array(batch.time).view(_TIME),
                pa.DictionaryArray.from_arrays(pa.array(position), self._names),
                pa.array(batch.value),
                pa.DictionaryArray.from_arrays(pa.array(batch.quality.astype(np.int8)), _QUALITIES),
            ],
            schema=self.schema,
        )


async def read_table(
    connection: asyncpg.Connection,
    *,
    sensors: Collection[str] = (),
    assets: Collection[str] = (),
    begin: datetime = EARLIEST,
    end: datetime = LATEST,
) -> pa.Table:
    """The readings in [begin, end) of the sensors named, and of the assets named and their parts; no name: of all.

    By sensor in the order of the plant, then by time. All of it is in memory, and for a moment in about 60 bytes more
    a reading: `telemetry.parquet.export_readings` is for what is longer. The way back is `telemetry.arrow_columns`.

    Raises:
        ConfigurationError: a name is unknown; the message has the closest ones.
    """
    chosen = (await load_catalogue(connection)).select(sensors=sensors, assets=assets)
    encoder = ReadingEncoder(chosen)
    batch = await read_readings(connection, [sensor.id for sensor in chosen], begin, end)
    return pa.Table.from_batches([encoder.encode(batch)], encoder.schema)
