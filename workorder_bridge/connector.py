"""What the outbox needs of a place that work orders are sent to."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

__all__ = ["Connector", "Delivery", "OutboxEvent", "Outcome"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEvent:
    """One thing that happened to a work order, to be told outside."""

    id: int
    work_order_id: int
    event: str
    """`work_order.opened`, `work_order.updated` or `work_order.<status>`"""
    body: str
    """JSON: `work_order`, `asset` and `change`"""
    created_at: datetime

    @property
    def key(self) -> str:
        """The same at each attempt, and never given twice, even by a database that was made anew."""
        micros = int(self.created_at.timestamp()) * 1_000_000 + self.created_at.microsecond
        return f"outbox-{self.id}-{micros}"

    def cloud_event(self, source: str) -> bytes:
        """As CloudEvents 1.0 in JSON, structured mode; the same bytes at each attempt."""
        data: dict[str, Any] = json.loads(self.body)
        # An update has no event time of its own; then it is the time of its recording.
        recorded = self.created_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        envelope = {
            "specversion": "1.0",
            "id": self.key,
            "source": source,
            "type": f"precursor.{self.event}",
            "time": data["change"].get("at", recorded),
            "subject": f"work-orders/{self.work_order_id}",
            "datacontenttype": "application/json",
            "data": data,
        }
        return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()


class Outcome(StrEnum):
    """How an attempt ended."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """it may work next time"""
    REFUSED = "refused"
    """the receiver understood and said no; it takes a person to change that"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a connector says of one attempt."""

    outcome: Outcome
    detail: str = ""
    """why not, for a person"""
    retry_after_s: float | None = None
    """the receiver's own wish, in seconds"""
    unavailable: bool = False
    """the receiver as a whole does not answer: other events would fare no better now"""


class Connector(Protocol):
    """A place that work orders are sent to: a CMMS, a webhook, a file."""

    @property
    def name(self) -> str:
        """For messages and logs."""

    async def deliver(self, event: OutboxEvent, now: datetime) -> Delivery:
        """Send one event, once. Failures that belong to the outside are a `Delivery`, not an exception.

        The same event may be sent again with the same `key`: after a crash, or when another connector failed.
        """
