"""Delivery of what happened to work orders. At least once, in order for each work order.

Nothing here shares a transaction with the engine: a receiver that is down only makes rows wait.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from telemetry.sql import load_queries
from workorder_bridge.connector import Connector, Delivery, OutboxEvent, Outcome

__all__ = ["Delivered", "backoff_s", "deliver_due"]

LEASE_S = 120.0
"""how long a courier has for one event, in seconds; then another may try"""
FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 900.0
REFUSED_RETRY_S = 6 * 3600.0
"""a refusal waits for a person to mend the receiver or the plant, so it is tried a few times a day"""
LONGEST_WISH_S = 24 * 3600.0
"""most that a Retry-After can put off"""

_DOUBLINGS = 30
_ERROR_LENGTH = 500
_SQL = load_queries("workorder_bridge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What one round did, in events."""

    delivered: int = 0
    retried: int = 0
    """failed; to be tried again soon"""
    refused: int = 0
    """kept with the receiver's answer, tried again slowly"""


def backoff_s(outbox_id: int, attempts: int) -> float:
    """Seconds to wait after the `attempts`-th failed attempt: doubling from 5 s to 15 min.

    Between half and the whole of it, by a hash of event and attempt: events that failed together do not come
    back together, and a test sees the same figures each time.
    """
    whole = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(attempts - 1, _DOUBLINGS))
    digest = hashlib.blake2b(f"{outbox_id}/{attempts}".encode(), digest_size=4).digest()
    return whole * (0.5 + 0.5 * int.from_bytes(digest) / 2**32)


async def deliver_due(
    database: asyncpg.Pool | asyncpg.Connection,
    connectors: Sequence[Connector],
    now: datetime,
    limit: int = 100,
) -> Delivered:
    """Send the events that are due at `now`, at most `limit`; never call it inside a transaction.

    An event counts as delivered when every connector took it. Where one did not, all are asked again next
    time, so a receiver may see an event twice, with the same key. A later event of a work order waits for the
    earlier ones. Several couriers may run at once. Without connectors the events stay. The round ends early
    when a receiver does not answer at all.
    """
    counts = dict.fromkeys(Outcome, 0)
    started = time.monotonic()
    for _ in range(limit if connectors else 0):
        # A round may take minutes: leases and signatures need the time of each event, not of the round.
        moment = now + timedelta(seconds=time.monotonic() - started)
        row = await database.fetchrow(_SQL["claim_event"], now, moment + timedelta(seconds=LEASE_S))
        if row is None:
            break
        event = OutboxEvent(
            id=row["id"],
            work_order_id=row["work_order_id"],
            event=row["event"],
            body=row["body"],
            created_at=row["created_at"],
        )
        result = await _offer(connectors, event, moment)
        counts[result.outcome] += 1
        if result.outcome is Outcome.DELIVERED:
            await database.execute(_SQL["settle_delivered"], event.id, moment)
            continue
        wait = timedelta(seconds=_wait_s(event.id, row["attempts"], result))
        await database.execute(
            _SQL["settle_failed"], event.id, row["attempts"], moment + wait, result.detail[:_ERROR_LENGTH]
        )
        if result.unavailable:
            break
    return Delivered(
        delivered=counts[Outcome.DELIVERED], retried=counts[Outcome.RETRY], refused=counts[Outcome.REFUSED]
    )


async def _offer(connectors: Sequence[Connector], event: OutboxEvent, now: datetime) -> Delivery:
    """The outcome over all connectors: delivered by all, or the first one's reason why not."""
    failures: list[Delivery] = []
    for connector in connectors:
        result = await connector.deliver(event, now)
        if result.outcome is not Outcome.DELIVERED:
            failures.append(
                Delivery(
                    outcome=result.outcome,
                    detail=f"{connector.name}: {result.detail}",
                    retry_after_s=result.retry_after_s,
                    unavailable=result.unavailable,
                )
            )
    # One that may work soon sets the pace; a refusal beside it is asked again at that pace.
    failures.sort(key=lambda failure: failure.outcome is Outcome.REFUSED)
    return failures[0] if failures else Delivery(outcome=Outcome.DELIVERED)


def _wait_s(outbox_id: int, attempts: int, result: Delivery) -> float:
    wait = REFUSED_RETRY_S if result.outcome is Outcome.REFUSED else backoff_s(outbox_id, attempts)
    return max(wait, min(result.retry_after_s or 0.0, LONGEST_WISH_S))
