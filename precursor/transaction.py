"""One batch, one transaction: readings, scores, alarms, work orders, rejections, ledger, journal. Then COMMIT."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg
import numpy as np

from cbm import state_rollup
from cbm.decision import decide
from cbm.job_plan import JobPlan
from ingest.decoded import Decoded, Rejection, RejectReason
from precursor.evaluation import Evaluation, Folded
from rules import alarm_store
from rules.events import AlarmChange
from telemetry import rollups
from telemetry.batch import ReadingBatch, to_datetime
from telemetry.journal import Journal, Tick
from telemetry.ledger import LedgerLine, RejectedRow, add_rejected, add_to_ledger
from telemetry.plant import Plant, SensorKind
from telemetry.store import ReadingStore, Written
from workorder_bridge import store as work_orders

__all__ = ["BatchTransaction", "Committed"]

_DERIVED = "derived"
"""the ledger's source of what we compute ourselves"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What one transaction brought."""

    received: int = 0
    stored: int = 0
    duplicates: int = 0
    rejected: int = 0
    derived: int = 0
    late: int = 0
    alarms_raised: int = 0
    work_orders: tuple[int, ...] = ()
    """ids of orders opened"""
    newest_us: int | None = None
    """latest event time stored"""


class BatchTransaction:
    """Writes decoded batches and ticks for one plant, evaluation and journal."""

    def __init__(
        self,
        *,
        plant: Plant,
        job_plans: Mapping[str, JobPlan],
        evaluation: Evaluation,
        journal: Journal,
        store: ReadingStore,
    ) -> None:
        self._plant = plant
        self._job_plans = job_plans
        self._evaluation = evaluation
        self._journal = journal
        self._store = store
        self._names = {sensor.id: sensor.name for sensor in plant.sensors}
        self._states = np.array([s.id for s in plant.sensors if s.kind is SensorKind.STATE], np.int32)

    async def commit(self, connection: asyncpg.Connection, decoded: Decoded) -> Committed:
        """Store, evaluate and account for one batch; all of it or nothing.

        After any exception the evaluation no longer matches the database: resume a new one from the journal.
        """
        await self._store.make_room(connection, decoded.batch)
        async with connection.transaction():
            written = await self._store.write(connection, decoded.batch)
            new = decoded.batch.take(written.stored)
            if self._states.size:
                await state_rollup.touch(connection, new.take(np.isin(new.sensor_id, self._states)))

            watched = self._evaluation.select(new)
            folded = Folded(derived=ReadingBatch.empty(), changes=())
            if len(watched):
                await self._journal.append(connection, watched, revision=self._plant.revision)
                folded = self._evaluation.fold(watched)
            lines = [*_account(decoded, written)]
            stored = [new]
            if len(folded.derived):
                scores = await self._store.write(connection, folded.derived)
                lines += _account_derived(scores)
                stored.append(folded.derived.take(scores.stored))
            raised, opened = await self._record(connection, folded.changes)

            rejections = [*decoded.rejections, *self._conflicts(decoded, written)]
            await add_rejected(connection, [_row(rejection) for rejection in rejections])
            await add_to_ledger(connection, lines)
            await rollups.touch(connection, ReadingBatch.concat(stored))
            if self._journal.checkpoint_due(0):
                await self._checkpoint_if_outweighed(connection)
        return Committed(
            received=sum(decoded.received.values()),
            stored=int(written.stored.sum()),
            duplicates=int(written.duplicate.sum()),
            rejected=len(rejections),
            derived=len(folded.derived),
            late=folded.late,
            alarms_raised=raised,
            work_orders=opened,
            newest_us=int(new.time.max()) if len(new) else None,
        )

    async def commit_tick(self, connection: asyncpg.Connection, tick: Tick) -> Committed:
        """Let time pass; nothing is written where nothing comes of it."""
        folded = self._evaluation.tick(tick)
        if not folded.changes:
            return Committed()
        async with connection.transaction():
            await self._journal.append(connection, tick, revision=self._plant.revision)
            raised, opened = await self._record(connection, folded.changes)
        return Committed(alarms_raised=raised, work_orders=opened)

    async def record_again(self, connection: asyncpg.Connection, changes: Sequence[AlarmChange]) -> None:
        """Alarm changes of a resumed fold; those already stored change nothing.

        They matter where the plant file changed between the last batch and now: the rules in force then are not
        those that folded the journal's readings the first time.
        """
        async with connection.transaction():
            await self._record(connection, changes)
            orphans = await alarm_store.end_orphans(connection)
            await work_orders.refresh_evidence(connection, orphans)

    async def checkpoint(self, connection: asyncpg.Connection) -> None:
        """Write the evaluation's state now: at an orderly stop, or when the plant changes."""
        async with connection.transaction():
            await self._journal.checkpoint(connection, self._evaluation.snapshot())

    async def _checkpoint_if_outweighed(self, connection: asyncpg.Connection) -> None:
        parts = self._evaluation.snapshot()
        if self._journal.checkpoint_due(sum(len(body) for body in parts.values())):
            await self._journal.checkpoint(connection, parts)

    async def _record(
        self, connection: asyncpg.Connection, changes: Sequence[AlarmChange]
    ) -> tuple[int, tuple[int, ...]]:
        if not changes:
            return 0, ()
        recorded = await alarm_store.record(connection, changes)
        requests = []
        for alarm_id, change in recorded.raised:
            plan = self._job_plans.get(change.rule.job_plan or "")
            request = decide(change, self._plant.asset_by_id[change.rule.asset_id], plan)
            if request is not None:
                requests.append((alarm_id, request))
        orders = await work_orders.record(connection, requests)
        if recorded.updated:
            await work_orders.refresh_evidence(connection, recorded.updated)
        return len(recorded.raised), tuple(order.work_order_id for order in orders if order.created)

    def _conflicts(self, decoded: Decoded, written: Written) -> list[Rejection]:
        batch = decoded.batch
        rejections = []
        for position in np.flatnonzero(written.conflicting).tolist():
            name = self._names.get(int(batch.sensor_id[position]), "?")
            moment = to_datetime(int(batch.time[position])).isoformat()
            payload = json.dumps(
                {
                    "sensor": name,
                    "ts": moment,
                    "value": float(batch.value[position]),
                    "quality": int(batch.quality[position]),
                }
            ).encode()
            rejections.append(
                Rejection(
                    source=decoded.sources[int(decoded.source[position])],
                    topic=name,
                    reason=RejectReason.CONFLICTING_VALUE,
                    payload=payload,
                    payload_bytes=len(payload),
                    detail=f"{name!r} has another value stored for {moment}; the first one stays.",
                )
            )
        return rejections


def _account(decoded: Decoded, written: Written) -> list[LedgerLine]:
    """Ledger lines of a batch: what was received counts from the messages, the rest from what became of it."""
    lines = [
        LedgerLine(source=source, outcome="received", readings=count)
        for source, count in decoded.received.items()
        if count
    ]
    lines += [
        LedgerLine(source=rejection.source, outcome="rejected", reason=rejection.reason.value, readings=1)
        for rejection in decoded.rejections
    ]
    for outcome, reason, mask in (
        ("stored", "", written.stored),
        ("duplicate", "", written.duplicate),
        ("rejected", RejectReason.CONFLICTING_VALUE.value, written.conflicting),
    ):
        counts = np.bincount(decoded.source[mask], minlength=len(decoded.sources))
        lines += [
            LedgerLine(
                source=decoded.sources[position],
                outcome=outcome,
                reason=reason,
                readings=int(counts[position]),
            )
            for position in np.flatnonzero(counts).tolist()
        ]
    return lines


def _account_derived(written: Written) -> list[LedgerLine]:
    counts = (
        ("received", "", written.stored.size),
        ("stored", "", int(written.stored.sum())),
        ("duplicate", "", int(written.duplicate.sum())),
        ("rejected", RejectReason.CONFLICTING_VALUE.value, int(written.conflicting.sum())),
    )
    return [
        LedgerLine(source=_DERIVED, outcome=outcome, reason=reason, readings=count)
        for outcome, reason, count in counts
        if count
    ]


def _row(rejection: Rejection) -> RejectedRow:
    digest = hashlib.sha256()
    for part in (rejection.source, rejection.topic, rejection.reason.value, str(rejection.payload_bytes)):
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    digest.update(rejection.payload)
    return RejectedRow(
        digest=digest.digest(),
        source=rejection.source,
        topic=rejection.topic,
        reason=rejection.reason.value,
        detail=rejection.detail,
        payload=rejection.payload,
        payload_bytes=rejection.payload_bytes,
    )
