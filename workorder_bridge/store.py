"""Work orders out of alarms, inside the caller's transaction: alarm and order stand or fall together.

The fields of an order are a function of the set of its alarms, not of the batches these came in.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import asyncpg

from cbm.decision import WorkOrderRequest
from cbm.job_plan import JobPlan
from telemetry.sql import load_queries

__all__ = ["EVIDENCE_SHOWN", "Recorded", "record", "refresh_evidence"]

EVIDENCE_SHOWN = 50
"""alarms an order shows in its evidence; all of them are counted in `occurrences`"""

_SQL = load_queries("workorder_bridge")
_URGENCY_CHANGED = "more alarms made the order more urgent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A work order that requests opened, or were added to."""

    work_order_id: int
    asset_id: int
    failure_mode: str
    created: bool
    """whether this call opened it"""
    priority: int
    """1 (most urgent) to 5"""
    title: str
    due_at: datetime


async def record(connection: asyncpg.Connection, requests: Sequence[tuple[int, WorkOrderRequest]]) -> list[Recorded]:
    """Open or extend the order of each request; pairs of alarm id and what that alarm asks for.

    An open order (new, assigned, in progress) of the same asset and failure mode takes the alarm in; else a
    new one is opened, with its event and outbox row. An alarm that has an order already is passed over, so
    that a call can be repeated. Two engines may ask at once: one opens, the other waits for its COMMIT and
    extends.

    Returns:
        The orders touched, by asset and failure mode.
    """
    if not requests:
        return []
    ids = [alarm_id for alarm_id, _ in requests]
    wanted = [request for _, request in requests]
    rows = await connection.fetch(
        _SQL["open_orders"],
        ids,
        [request.alarm_key for request in wanted],
        [request.asset_id for request in wanted],
        [request.failure_mode for request in wanted],
        [request.title for request in wanted],
        [request.priority for request in wanted],
        [request.opened_at for request in wanted],
        [request.due_at for request in wanted],
    )
    orders = {(row["asset_id"], row["failure_mode"]): row for row in rows}
    # A key without an order had only alarms that were linked before.
    linked = [
        (alarm_id, request, orders[request.asset_id, request.failure_mode]["id"])
        for alarm_id, request in requests
        if (request.asset_id, request.failure_mode) in orders
    ]
    rows = await connection.fetch(
        _SQL["link_alarms"], [alarm_id for alarm_id, _, _ in linked], [order for _, _, order in linked]
    )
    now_linked = {row["id"] for row in rows}
    linked = [entry for entry in linked if entry[0] in now_linked]
    merged = {
        row["id"]: row
        for row in await connection.fetch(
            _SQL["merge_requests"],
            [order for _, _, order in linked],
            [alarm_id for alarm_id, _, _ in linked],
            [request.title for _, request, _ in linked],
            [request.priority for _, request, _ in linked],
            [request.due_at for _, request, _ in linked],
            [_snapshot(request.job_plan) for _, request, _ in linked],
        )
    }
    await connection.execute(_SQL["merge_alarms"], list(merged), EVIDENCE_SHOWN)
    recorded = [
        Recorded(
            work_order_id=order["id"],
            asset_id=asset_id,
            failure_mode=failure_mode,
            created=order["created"],
            priority=merged[order["id"]]["priority"],
            title=merged[order["id"]]["title"],
            due_at=merged[order["id"]]["due_at"],
        )
        for (asset_id, failure_mode), order in sorted(orders.items())
    ]
    await _announce(connection, recorded, {row["id"] for row in merged.values() if row["urgency_changed"]})
    return recorded


async def _announce(connection: asyncpg.Connection, recorded: list[Recorded], changed: set[int]) -> None:
    created = [order.work_order_id for order in recorded if order.created]
    if created:
        await connection.execute(_SQL["note_openings"], created)
        await connection.execute(_SQL["add_outbox"], created, "work_order.opened", None)
    extended = [order.work_order_id for order in recorded if not order.created]
    if extended:
        await connection.execute(_SQL["move_openings"], extended)
    # A planner's system must not go on showing an urgency that no longer holds. Other additions can wait for
    # the next change of status: a flapping alarm is one order and must not become a hundred messages either.
    for order in recorded:
        if not order.created and order.work_order_id in changed:
            change = {"actor": "engine", "note": _URGENCY_CHANGED}
            await connection.execute(
                _SQL["add_outbox"], [order.work_order_id], "work_order.updated", json.dumps(change)
            )


def _snapshot(plan: JobPlan | None) -> str | None:
    return None if plan is None else json.dumps(asdict(plan))


async def refresh_evidence(connection: asyncpg.Connection, alarm_ids: Sequence[int]) -> None:
    """Bring the evidence of orders up to alarms that peaked or cleared.

    Alarms without an order are passed over; verified, closed and cancelled orders stay as they were signed.
    """
    if not alarm_ids:
        return
    # Lock first, read after: in one statement the alarms would be seen as they stood before the wait.
    rows = await connection.fetch(_SQL["lock_orders_of_alarms"], list(alarm_ids))
    if rows:
        await connection.execute(_SQL["merge_alarms"], [row["id"] for row in rows], EVIDENCE_SHOWN)
