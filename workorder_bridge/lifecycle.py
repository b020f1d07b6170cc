"""The life of a work order: which status may follow which, and writing the step down.

new ──► assigned ──► in_progress ──► completed ──► verified ──► closed
 │         │  ▲ ◄────────┘ │  ▲           │
 │         │  └ reassigned │  └───────────┘ verification failed
 └─────────┴───────────────┴──► cancelled
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType

import asyncpg

from telemetry.sql import load_queries
from workorder_bridge.errors import MissingDetailError, TransitionError, UnknownWorkOrderError

__all__ = ["OPEN", "TRANSITIONS", "StatusChange", "WorkOrderStatus", "change_status", "check"]

_SQL = load_queries("workorder_bridge")


class WorkOrderStatus(StrEnum):
    """Where a work order stands."""

    NEW = "new"
    ASSIGNED = "assigned"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    """the work is done; nobody has looked yet whether it helped"""
    VERIFIED = "verified"
    """the readings say it helped"""
    CLOSED = "closed"
    CANCELLED = "cancelled"


_S = WorkOrderStatus

OPEN = frozenset({_S.NEW, _S.ASSIGNED, _S.IN_PROGRESS})
"""an order here takes in further alarms of its asset and failure mode; elsewhere they open a new one"""

TRANSITIONS: Mapping[WorkOrderStatus, tuple[WorkOrderStatus, ...]] = MappingProxyType(
    {
        _S.NEW: (_S.ASSIGNED, _S.CANCELLED),
        _S.ASSIGNED: (_S.ASSIGNED, _S.IN_PROGRESS, _S.CANCELLED),
        _S.IN_PROGRESS: (_S.ASSIGNED, _S.COMPLETED, _S.CANCELLED),
        _S.COMPLETED: (_S.VERIFIED, _S.IN_PROGRESS),
        _S.VERIFIED: (_S.CLOSED,),
        _S.CLOSED: (),
        _S.CANCELLED: (),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange:
    """A step that was taken."""

    work_order_id: int
    from_status: WorkOrderStatus
    to_status: WorkOrderStatus
    at: datetime
    actor: str
    note: str
    assignee: str | None
    """who has the order after the step"""


def check(
    from_status: WorkOrderStatus, to_status: WorkOrderStatus, *, note: str = "", assignee: str | None = None
) -> None:
    """Whether a step may be taken with what came with it.

    Raises:
        TransitionError: the life of an order does not go that way.
        MissingDetailError: assigning names nobody; cancelling or reopening gives no reason.
    """
    allowed = TRANSITIONS[from_status]
    if to_status not in allowed:
        raise TransitionError(from_status, to_status, allowed)
    if to_status is _S.ASSIGNED and not (assignee or "").strip():
        raise MissingDetailError(to_status, "assignee", "an order is assigned to somebody")
    if to_status is _S.CANCELLED and not note.strip():
        raise MissingDetailError(to_status, "note", "the next alarm of this failure mode is judged by the reason")
    if (from_status, to_status) == (_S.COMPLETED, _S.IN_PROGRESS) and not note.strip():
        raise MissingDetailError(to_status, "note", "who takes it up again must know what the verification found")


async def change_status(
    connection: asyncpg.Connection,
    work_order_id: int,
    to_status: WorkOrderStatus,
    *,
    actor: str,
    at: datetime,
    note: str = "",
    assignee: str | None = None,
) -> StatusChange:
    """Take one step in an order's life, in one transaction: status, event and outbox row.

    Completed work asks for its usage rules to count from zero again.

    `assignee` is for assigning; other steps keep whoever has the order.

    Raises:
        UnknownWorkOrderError: there is no such order.
        TransitionError: its life does not go that way, or reopening would make two open orders of a kind.
        MissingDetailError: the step needs a reason or a person.
        ValueError: `at` has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone; the engine knows aware datetimes only")
    # A savepoint where the caller has a transaction already, so that a refusal leaves that one usable.
    async with connection.transaction():
        row = await connection.fetchrow(_SQL["lock_order"], work_order_id)
        if row is None:
            raise UnknownWorkOrderError(work_order_id)
        from_status = WorkOrderStatus(row["status"])
        check(from_status, to_status, note=note, assignee=assignee)
        allowed = tuple(status for status in TRANSITIONS[from_status] if status is not to_status)
        if from_status not in OPEN and to_status in OPEN and row["other_open"] is not None:
            reason = f"order {row['other_open']} is open for the same asset and failure mode"
            raise TransitionError(from_status, to_status, allowed, reason)
        holder = assignee if to_status is _S.ASSIGNED else row["assignee"]
        closed_at = at if to_status in (_S.CLOSED, _S.CANCELLED) else None
        try:
            await connection.execute(_SQL["set_status"], work_order_id, to_status.value, holder, closed_at)
        except asyncpg.UniqueViolationError as error:  # by an engine, between our look and our write
            reason = "another order was just opened for the same asset and failure mode"
            raise TransitionError(from_status, to_status, allowed, reason) from error
        if to_status is _S.COMPLETED:
            await connection.execute(_SQL["request_resets"], work_order_id, at, actor)
        if to_status is _S.VERIFIED:
            await connection.execute(_SQL["request_rebaseline"], work_order_id, at, actor)
        change = {
            "from_status": from_status.value,
            "to_status": to_status.value,
            "at": at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "actor": actor,
            "note": note,
        }
        await connection.execute(_SQL["add_event"], work_order_id, from_status.value, to_status.value, at, actor, note)
        await connection.execute(_SQL["add_outbox"], [work_order_id], f"work_order.{to_status}", json.dumps(change))
    return StatusChange(
        work_order_id=work_order_id,
        from_status=from_status,
        to_status=to_status,
        at=at,
        actor=actor,
        note=note,
        assignee=holder,
    )
