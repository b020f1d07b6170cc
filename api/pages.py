"""Lists in pages: limit, opaque cursor, and the window of time they look at."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

import asyncpg
from fastapi import Path, Query
from pydantic import AwareDatetime, BaseModel, Field

from api.problems import InvalidParameterError
from telemetry.batch import EPOCH, to_datetime, to_micros

__all__ = ["Begin", "Cursor", "End", "Limit", "Number", "Page", "check_window", "paginate", "read_cursor"]

Item = TypeVar("Item")
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)

Limit = Annotated[int, Query(ge=1, le=1_000, description="most items in one page")]
Cursor = Annotated[
    str | None,
    Query(description="`next_cursor` of the page before; the other parameters stay as they were", max_length=500),
]
Begin = Annotated[
    AwareDatetime | None,
    Query(
        alias="from",
        description="begin of the window, inclusive; ISO 8601 with a time zone",
        examples=["2026-03-02T00:00:00Z"],
    ),
]
End = Annotated[
    AwareDatetime | None,
    Query(
        alias="to",
        description="end of the window, exclusive; ISO 8601 with a time zone",
        examples=["2026-03-03T00:00:00Z"],
    ),
]

Number = Annotated[int, Path(ge=1, lt=2**63, description="its `id`")]


class Page(BaseModel, Generic[Item]):
    """Some items of a list, and how to get more."""

    items: list[Item]
    next_cursor: str | None = Field(description="give it as `cursor` for the next page; null: this is the last one")


def check_window(begin: datetime | None, end: datetime | None) -> None:
    """A window must lie in the time this program can store, and hold something.

    Raises:
        InvalidParameterError: it does not.
    """
    for location, moment in (("query.from", begin), ("query.to", end)):
        if moment is not None and not EPOCH <= moment < _LATEST:
            raise InvalidParameterError(location, "expected a time between 1970 and 2200")
    if begin is not None and end is not None and begin >= end:
        raise InvalidParameterError("query.to", "the window is empty: `to` must be after `from`")


def read_cursor(cursor: str | None) -> tuple[datetime | None, int | None]:
    """The (time, id) after which a page begins; (None, None) without a cursor.

    Raises:
        InvalidParameterError: it is none of ours.
    """
    if cursor is None:
        return None, None
    try:
        micros, number = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
        if type(micros) is not int or type(number) is not int or not 0 <= number < 2**63:
            raise ValueError(cursor)
        moment = to_datetime(micros)
        if not EPOCH <= moment < _LATEST:
            raise ValueError(cursor)
        return moment, number
    except (ValueError, TypeError, OverflowError, binascii.Error, RecursionError) as error:
        raise InvalidParameterError("query.cursor", "this is not a cursor of an earlier page") from error


def _write_cursor(moment: datetime, number: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([to_micros(moment), number]).encode()).decode()


def paginate(
    rows: Sequence[asyncpg.Record], limit: int, key: Callable[[asyncpg.Record], tuple[datetime, int]]
) -> tuple[Sequence[asyncpg.Record], str | None]:
    """The page and its `next_cursor` from rows asked for with `limit + 1`."""
    if len(rows) <= limit:
        return rows, None
    page = rows[:limit]
    return page, _write_cursor(*key(page[-1]))
