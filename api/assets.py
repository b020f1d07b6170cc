"""Assets: the machines of the plant."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.database import Connection
from api.pages import Cursor, Limit, Page, paginate, read_cursor
from api.problems import NotFoundError, Problem
from api.queries import SQL
from telemetry.batch import EPOCH

__all__ = ["Asset", "AssetDetail", "router"]

router = APIRouter(prefix="/assets", tags=["assets"])


class Asset(BaseModel):
    """A machine or a part of one."""

    name: str = Field(description="unique", examples=["pump-1"])
    title: str = Field(description="what people call it", examples=["Feed water pump 1"])
    site: str = Field(examples=["north"])
    area: str = Field(examples=["boiler-house"])
    parent: str | None = Field(description="the asset it is part of")
    asset_class: str = Field(description="free text of the plant file", examples=["pump"])
    criticality: int = Field(description="1 (a failure hardly matters) to 5 (it stops the plant)", examples=[4])


class AssetDetail(Asset):
    """An asset with what hangs on it."""

    retired_at: datetime | None = Field(description="when it left the plant file; null: in use")
    children: list[str] = Field(description="names of the assets that are part of it")
    sensors: list[str] = Field(description="names of its sensors", examples=[["pump-1.state", "pump-1.temperature"]])
    active_alarms: int = Field(description="alarms that have not ended")
    open_work_orders: int = Field(description="work orders that are new, assigned or in progress")


@router.get("", summary="List assets", responses={422: {"model": Problem}, 503: {"model": Problem}})
async def list_assets(connection: Connection, limit: Limit = 100, cursor: Cursor = None) -> Page[Asset]:
    """Assets in use, in the order in which they were added."""
    _, after = read_cursor(cursor)
    rows = await connection.fetch(SQL["assets"], _int4(after), limit + 1)
    page, next_cursor = paginate(rows, limit, lambda row: (EPOCH, row["id"]))
    return Page(items=[Asset(**row) for row in page], next_cursor=next_cursor)


@router.get(
    "/{name}",
    summary="One asset",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def get_asset(connection: Connection, name: str) -> AssetDetail:
    """An asset, in use or retired, with its sensors and how many alarms and work orders are open."""
    row = await connection.fetchrow(SQL["asset"], name)
    if row is None:
        raise NotFoundError(f"there is no asset {name!r}; /assets lists them")
    return AssetDetail(**row)


def _int4(after: int | None) -> int:
    # A forged cursor must not overflow the column's type.
    return min(after or 0, 2**31 - 1)
