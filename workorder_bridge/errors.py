"""What can go wrong with a work order.

PrecursorError
└── WorkOrderError
    ├── UnknownWorkOrderError   there is no order of that number
    ├── TransitionError         the order's life does not go that way; says which ways it goes
    └── MissingDetailError      the change needs a reason or a person with it
"""

from collections.abc import Iterable

from telemetry.errors import PrecursorError

__all__ = ["MissingDetailError", "TransitionError", "UnknownWorkOrderError", "WorkOrderError"]


class WorkOrderError(PrecursorError):
    """A work order cannot do what was asked of it."""


class UnknownWorkOrderError(WorkOrderError):
    """There is no work order of that number."""

    def __init__(self, work_order_id: int) -> None:
        super().__init__(f"there is no work order {work_order_id}")
        self.work_order_id = work_order_id


class TransitionError(WorkOrderError):
    """The order's life does not go from where it is to where it was asked to go."""

    def __init__(self, from_status: str, to_status: str, allowed: Iterable[str], reason: str = "") -> None:
        self.from_status = from_status
        self.to_status = to_status
        self.allowed = tuple(allowed)
        """where it may go instead"""
        ways = ", ".join(self.allowed) or "nowhere: its life is over"
        because = f": {reason}" if reason else ""
        super().__init__(f"a work order cannot go from {from_status} to {to_status}{because}; it may go to {ways}")


class MissingDetailError(WorkOrderError):
    """The change needs something with it."""

    def __init__(self, to_status: str, field: str, why: str) -> None:
        super().__init__(f"to make a work order {to_status}, give a {field}: {why}")
        self.to_status = to_status
        self.field = field
        """`note` or `assignee`"""
