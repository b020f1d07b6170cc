"""What arrived, and what became of it."""

import base64
import json
from datetime import datetime
from typing import Annotated

import asyncpg
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.database import Connection
from api.pages import Cursor, Limit, Page, paginate, read_cursor
from api.problems import Problem
from api.queries import SQL

__all__ = ["Ledger", "LedgerRow", "Rejected", "router"]

router = APIRouter(tags=["ledger"])
_PREVIEW_CHARACTERS = 200


class LedgerRow(BaseModel):
    """One source's readings: received = stored + duplicate + rejected."""

    source: str = Field(examples=["mqtt"])
    received: int = Field(description="readings that arrived")
    stored: int = Field(description="readings written")
    duplicate: int = Field(description="readings stored before, dropped")
    rejected: int = Field(description="readings that could not be stored; /rejected shows them")
    rejected_by_reason: dict[str, int] = Field(examples=[{"unknown_sensor": 3}])
    balanced: bool = Field(description="whether it adds up; false is a mistake of ours")


class Ledger(BaseModel):
    """The ledger of all sources."""

    items: list[LedgerRow]
    balanced: bool = Field(description="whether every source adds up")


class Rejected(BaseModel):
    """A payload that could not be stored, kept once however often it came."""

    id: int
    source: str
    topic: str = Field(examples=["plant/north/pump-1/temperature"])
    reason: str = Field(examples=["unknown_sensor"])
    detail: str = Field(description="what exactly was wrong")
    payload_base64: str = Field(description="the bytes kept of it")
    payload_text: str = Field(description=f"its first {_PREVIEW_CHARACTERS} characters, as far as they are text")
    payload_bytes: int = Field(description="bytes it had when it arrived")
    readings: int = Field(description="readings lost with it, all repetitions together")
    first_at: datetime = Field(description="when it came first")
    last_at: datetime = Field(description="when it came last")


@router.get("/ledger", summary="Does every reading add up?", responses={503: {"model": Problem}})
async def get_ledger(connection: Connection) -> Ledger:
    """Per source: received = stored + duplicate + rejected. Always."""
    rows = await connection.fetch(SQL["ledger"])
    items = [LedgerRow(**{**row, "rejected_by_reason": json.loads(row["rejected_by_reason"])}) for row in rows]
    return Ledger(items=items, balanced=all(item.balanced for item in items))


@router.get(
    "/rejected",
    summary="Payloads that could not be stored",
    responses={422: {"model": Problem}, 503: {"model": Problem}},
)
async def list_rejected(
    connection: Connection,
    source: Annotated[str | None, Query(description="only of this source")] = None,
    reason: Annotated[str | None, Query(description="only for this reason")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Rejected]:
    """Rejected payloads, the latest first. One that comes again while you page moves to the front."""
    rows = await connection.fetch(SQL["rejected"], source, reason, *read_cursor(cursor), limit + 1)
    page, next_cursor = paginate(rows, limit, lambda row: (row["last_at"], row["id"]))
    return Page(items=[_rejected(row) for row in page], next_cursor=next_cursor)


def _rejected(row: asyncpg.Record) -> Rejected:
    payload: bytes = row["payload"]
    # Four bytes a character is the most UTF-8 takes.
    text = payload[: 4 * _PREVIEW_CHARACTERS].decode(errors="replace")[:_PREVIEW_CHARACTERS]
    return Rejected(**{**row, "payload_base64": base64.b64encode(payload).decode("ascii"), "payload_text": text})
