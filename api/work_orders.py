"""Work orders: what maintenance is asked to do, on what evidence, and how it goes."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.database import Connection
from api.pages import Cursor, Limit, Number, Page, paginate, read_cursor
from api.problems import NotFoundError, Problem
from api.queries import SQL
from workorder_bridge.lifecycle import TRANSITIONS, WorkOrderStatus, change_status

__all__ = ["StatusRequest", "WorkOrder", "WorkOrderDetail", "WorkOrderEvent", "router"]

router = APIRouter(prefix="/work-orders", tags=["work orders"])


class WorkOrder(BaseModel):
    """A job for maintenance. An asset and failure mode have one open order at a time."""

    id: int
    asset: str = Field(examples=["pump-1"])
    failure_mode: str = Field(description="what is suspected", examples=["bearing_wear"])
    status: WorkOrderStatus
    priority: int = Field(description="1 (most urgent) to 5", examples=[2])
    title: str
    opened_at: datetime = Field(description="event time at which its first alarm began")
    due_at: datetime
    first_seen_at: datetime = Field(description="event time of the first sign")
    last_seen_at: datetime = Field(description="event time of the last sign")
    occurrences: int = Field(description="alarms it took in")
    assignee: str | None
    external_reference: str | None = Field(description="its number in the plant's own maintenance system")
    closed_at: datetime | None


class WorkOrderEvent(BaseModel):
    """One step in the life of a work order."""

    from_status: str | None = Field(description="null: its opening")
    to_status: str
    at: datetime
    actor: str
    note: str


class WorkOrderDetail(WorkOrder):
    """A work order with its evidence, job plan and history."""

    next_statuses: list[WorkOrderStatus] = Field(description="where it may go from here")
    evidence: list[dict[str, Any]] = Field(
        description="the alarms behind it: rule, sensor, value, limit and unit, began_at, ended_at, peak"
    )
    job_plan: dict[str, Any] | None = Field(
        description="what to do, as the plan stood when the order was opened: tasks, parts, skills, labour_hours"
    )
    events: list[WorkOrderEvent] = Field(description="oldest first")


class StatusRequest(BaseModel):
    """A step to take."""

    status: WorkOrderStatus = Field(description="where the order goes", examples=["assigned"])
    actor: str = Field(description="who takes the step", min_length=1, max_length=200, examples=["jo.planner"])
    note: str = Field(
        default="", description="why; needed to cancel and to reopen a completed order", max_length=10_000
    )
    assignee: str | None = Field(
        default=None, description="needed for `assigned`: who gets the order", max_length=200, examples=["sam.fitter"]
    )


@router.get("", summary="List work orders", responses={422: {"model": Problem}, 503: {"model": Problem}})
async def list_work_orders(
    connection: Connection,
    status: Annotated[list[WorkOrderStatus] | None, Query(description="only these; give it once for each")] = None,
    asset: Annotated[str | None, Query(description="only those of this asset")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[WorkOrder]:
    """Work orders, the latest opened first."""
    after = read_cursor(cursor)
    statuses = None if status is None else [each.value for each in status]
    rows = await connection.fetch(SQL["work_orders"], statuses, asset, *after, limit + 1)
    page, next_cursor = paginate(rows, limit, lambda row: (row["opened_at"], row["id"]))
    return Page(items=[WorkOrder(**row) for row in page], next_cursor=next_cursor)


@router.get(
    "/{id}",
    summary="One work order",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def get_work_order(connection: Connection, id: Number) -> WorkOrderDetail:  # noqa: A002 - as in the path
    """A work order with its evidence, its job plan and the steps it took."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await _detail(connection, id)


@router.post(
    "/{id}/status",
    summary="Take a step",
    responses={
        404: {"model": Problem},
        409: {"model": Problem, "description": "its life does not go that way; `allowed` says which ways it goes"},
        422: {"model": Problem},
        503: {"model": Problem},
    },
)
async def post_status(connection: Connection, id: Number, step: StatusRequest) -> WorkOrderDetail:  # noqa: A002 - as in the path
    """Move a work order to another status; the answer is the order after the step."""
    async with connection.transaction():
        await change_status(
            connection,
            id,
            step.status,
            actor=step.actor,
            at=datetime.now(UTC),
            note=step.note,
            assignee=step.assignee,
        )
        return await _detail(connection, id)


async def _detail(connection: asyncpg.Connection, number: int) -> WorkOrderDetail:
    row = await connection.fetchrow(SQL["work_order"], number)
    if row is None:
        raise NotFoundError(f"there is no work order {number}")
    events = await connection.fetch(SQL["work_order_events"], number)
    return WorkOrderDetail(
        **{
            **row,
            "next_statuses": TRANSITIONS[WorkOrderStatus(row["status"])],
            "evidence": json.loads(row["evidence"]),
            "job_plan": None if row["job_plan"] is None else json.loads(row["job_plan"]),
            "events": [WorkOrderEvent(**event) for event in events],
        }
    )
