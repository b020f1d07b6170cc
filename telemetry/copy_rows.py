"""Rows as NumPy columns: `COPY ... TO STDOUT BINARY` decoded in one go instead of a Python object for each value."""

import asyncpg
import numpy as np
import numpy.typing as npt

from telemetry.errors import StateError

__all__ = ["POSTGRES_EPOCH_US", "fetch_rows", "row_type"]

POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01 UTC, from which PostgreSQL counts, in µs since 1970"""

_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"


def row_type(**columns: str) -> np.dtype[np.void]:
    """What a row of these columns looks like in a binary COPY; for `fetch_rows`.

    Columns in the order of the SELECT list, each with a NumPy type that has the size of PostgreSQL's: `i8` for
    `timestamptz` and `bigint`, `i4` for `int`, `f8` for `float8`, `i2` for `smallint`.

    Source: PostgreSQL documentation, "COPY", section "Binary Format".
    """
    fields = [("fields", ">i2")]
    for name, kind in columns.items():
        fields += [(f"{name}_length", ">i4"), (name, f">{kind}")]
    return np.dtype(fields)


async def fetch_rows(
    connection: asyncpg.Connection, query: str, *arguments: object, row: np.dtype[np.void]
) -> npt.NDArray[np.void]:
    """The rows of a query whose columns are never null, as a structured array of type `row` (big-endian fields).

    A `timestamptz` comes as PostgreSQL counts it: add `POSTGRES_EPOCH_US`.

    Raises:
        StateError: the rows are not what `row` says.
    """
    body = bytearray()

    async def take(data: bytes) -> None:
        body.extend(data)

    await connection.copy_from_query(query, *arguments, output=take, format="binary")
    count, rest = divmod(len(body) - len(_HEADER) - len(_TRAILER), row.itemsize)
    if rest or not body.startswith(_HEADER) or not body.endswith(_TRAILER):
        raise StateError(f"COPY gave {len(body)} bytes, which are not whole rows of {row.itemsize}")
    rows = np.frombuffer(body, row, count, len(_HEADER))
    lengths = {name: row[name.removesuffix("_length")].itemsize for name in row.names or () if name.endswith("_length")}
    # A null has no bytes: every row after it would be read at the wrong place.
    for name, length in lengths.items():
        if (rows[name] != length).any():
            raise StateError(f"COPY gave a null, or another type, for {name.removesuffix('_length')}")
    return rows
