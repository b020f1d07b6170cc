"""Reliability figures of assets."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.database import Connection
from api.pages import Begin, End, check_window
from api.problems import InvalidParameterError, NotFoundError, Problem
from api.queries import SQL
from cbm.state_rollup import kpis, newest_report
from telemetry.batch import EPOCH

__all__ = ["KpiReport", "KpiRow", "router"]

router = APIRouter(prefix="/kpis", tags=["KPIs"])
_DEFAULT_WINDOW = timedelta(days=30)
_LONGEST = timedelta(days=3_700)
_LONGEST_BY_DAY = timedelta(days=400)

StateName = Literal["stopped", "running", "failed"]


class KpiRow(BaseModel):
    """One asset in one window. Null means not known; it never stands for 0 or for 100 %."""

    asset: str = Field(examples=["pump-1"])
    title: str
    sensor: str = Field(description="the state sensor it is read from", examples=["pump-1.state"])
    begin: datetime
    end: datetime
    as_of: datetime | None = Field(description="newest report of the asset; after it nothing is known")
    state_at_begin: StateName | None
    state_at_end: StateName | None = Field(description="the last one known before `end`")
    operating_s: float = Field(description="seconds running")
    downtime_s: float = Field(description="seconds failed, of failures that began before the window as well")
    stopped_s: float = Field(description="seconds not required to run: neither up nor down")
    unknown_s: float | None = Field(description="seconds of the window in which the state is not known")
    required_s: float = Field(description="seconds required to run: running or failed (EN 15341)")
    failures: int = Field(description="failures that began inside the window")
    availability: float | None = Field(description="running / (running + failed), 0 to 1")
    mtbf_h: float | None = Field(description="mean operating time between failures, hours; null: no failure yet")
    mtbf_lower_h: float | None = Field(description="lower end of its interval, hours; known without a failure, too")
    mtbf_upper_h: float | None = Field(description="upper end, hours; null: no failure, so no bound")
    mttr_h: float | None = Field(description="mean time to restore, hours: downtime per failure")
    confidence: float = Field(description="of the interval, 0 to 1", examples=[0.9])


class KpiReport(BaseModel):
    """The figures of a window."""

    begin: datetime | None = Field(description="null: there is no reading yet, and no window was given")
    end: datetime | None
    items: list[KpiRow] = Field(description="by asset, then time")


@router.get(
    "",
    summary="Availability, MTBF and MTTR",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def get_kpis(
    connection: Connection,
    asset: Annotated[str | None, Query(description="only this asset; default all")] = None,
    begin: Begin = None,
    end: End = None,
    by: Annotated[Literal["day", "total"], Query(description="a row a UTC day, or one for the window")] = "total",
    confidence: Annotated[float, Query(gt=0, lt=1, description="of the MTBF interval")] = 0.9,
) -> KpiReport:
    """Figures of assets that have a state sensor, exact at both ends of the window.

    Without `to` up to the newest reading; without `from` the 30 days before `to`. By day, at most 400 days.
    """
    check_window(begin, end)
    if asset is not None and await connection.fetchval(SQL["asset_id"], asset) is None:
        raise NotFoundError(f"there is no asset {asset!r}; /assets lists them")
    if end is None:
        end = await newest_report(connection, asset)
        if end is None:
            return KpiReport(begin=begin, end=None, items=[])
    if begin is None:
        begin = max(end - _DEFAULT_WINDOW, EPOCH)
    if begin >= end:
        raise InvalidParameterError("query.from", f"nothing is known after {end.isoformat()}, the newest reading")
    longest = _LONGEST if by == "total" else _LONGEST_BY_DAY
    if end - begin > longest:
        raise InvalidParameterError("query.from", f"the window is longer than {longest.days} days")
    rows = await kpis(connection, begin=begin, end=end, asset=asset, by=by, confidence=confidence)
    return KpiReport(begin=begin, end=end, items=[KpiRow.model_validate(row.document()) for row in rows])
