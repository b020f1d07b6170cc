"""One batch, one transaction: readings, scores, alarms, work orders, rejections, ledger, journal. Then COMMIT."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import numpy as np
import numpy.typing as npt

from cbm import state_rollup
from cbm.decision import decide
from cbm.job_plan import JobPlan
from ingest.decoded import Decoded, Rejection
from ingest.door_checks import Finding, Findings, Judged, record_findings
from ingest.mqtt_options import Publication
from ingest.quarantine import Held, hold
from ingest.reasons import RejectReason
from ingest.registry_store import Recorded, lose_sight, record_changes, record_sightings
from ingest.sessions import save_metrics, save_nodes
from ingest.texts import storable
from precursor.evaluation import Evaluation, Folded
from precursor.requests import open_requests, settle_requests
from rules import alarm_store
from rules.definition import Rule
from rules.events import AlarmChange
from telemetry import rollups
from telemetry.batch import ReadingBatch, to_datetime
from telemetry.edition import Edition
from telemetry.journal import Journal, Tick
from telemetry.ledger import LedgerLine, RejectedRow, add_rejected, add_to_ledger
from telemetry.plant import Plant, SensorKind
from telemetry.store import ReadingStore, Written
from telemetry.waveform_store import WaveformStore
from workorder_bridge import store as work_orders

__all__ = ["BatchTransaction", "Committed"]

_TIMES = {
    RejectReason.FUTURE_TIMESTAMP: Finding.FUTURE,
    RejectReason.TOO_OLD_TIMESTAMP: Finding.TOO_OLD,
}
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
    devices: Recorded = field(default_factory=Recorded)
    """whose status changed"""
    commands: tuple[Publication, ...] = ()
    """to be sent to edge nodes now"""


class BatchTransaction:
    """Writes decoded batches and ticks for one plant, evaluation and journal."""

    def __init__(
        self,
        *,
        plant: Plant,
        rules: Sequence[Rule],
        job_plans: Mapping[str, JobPlan],
        evaluation: Evaluation,
        journal: Journal,
        edition: Edition,
        tell_within_s: float | None = None,
    ) -> None:
        self._plant = plant
        self._rules = {rule.id: rule for rule in rules}
        self._job_plans = job_plans
        self._evaluation = evaluation
        self._journal = journal
        self._tell_within = None if tell_within_s is None else timedelta(seconds=tell_within_s)
        self._state_bytes = 0
        """of the state when it was last looked at"""
        self._store = ReadingStore(edition)
        self._waveforms = WaveformStore(edition)
        self._names = {sensor.id: sensor.name for sensor in plant.sensors}
        self._states = np.array([s.id for s in plant.sensors if s.kind is SensorKind.STATE], np.int32)

    async def commit(self, connection: asyncpg.Connection, decoded: Decoded, now: datetime) -> Committed:
        """Store, evaluate and account for one batch; all of it or nothing. `now`: the wall clock.

        After any exception the evaluation no longer matches the database: resume a new one from the journal.
        """
        waveforms = [block.waveform for block in decoded.blocks]
        await self._store.make_room(connection, decoded.batch)
        await self._waveforms.make_room(connection, waveforms)
        async with connection.transaction():
            # Before anything else is written: whoever releases what is kept aside locks it first, too.
            held = await hold(connection, decoded.held)
            judged = self._evaluation.checks.judge(decoded.batch, decoded.historical)
            batch = judged.batch
            written = await self._store.write(connection, batch)
            new = batch.take(written.stored)
            if self._states.size:
                await state_rollup.touch(connection, new.take(np.isin(new.sensor_id, self._states)))

            news = new if decoded.historical is None else batch.take(written.stored & ~decoded.historical)
            watched = self._evaluation.select(news)
            folded = Folded(derived=ReadingBatch.empty(), changes=())
            if len(watched):
                await self._journal.append(connection, watched, revision=self._plant.revision)
                folded = self._evaluation.fold(watched)
            blocks = await self._waveforms.write(connection, waveforms)
            lines = [*_account(decoded, written, blocks, held)]
            stored = [new]
            if len(folded.derived):
                scores = await self._store.write(connection, folded.derived)
                lines += _account_derived(scores)
                stored.append(folded.derived.take(scores.stored))
            raised, opened = await self._record(connection, folded.changes)

            rejections = [
                *decoded.rejections,
                *self._conflicts(decoded, batch, written),
                *self._conflicting_blocks(decoded, blocks),
                *_not_held(decoded, held),
            ]
            await add_rejected(connection, [_row(rejection) for rejection in rejections])
            await add_to_ledger(connection, lines)
            await rollups.touch(connection, ReadingBatch.concat(stored))
            await record_findings(connection, _findings(decoded, judged, written), now)
            devices = await self._note_devices(connection, decoded, now)
            if self._journal.checkpoint_due(self._state_bytes):
                await self._checkpoint_if_outweighed(connection)
        return Committed(
            received=sum(decoded.received.values()),
            stored=int(written.stored.sum() + blocks.stored.sum()),
            duplicates=int(written.duplicate.sum() + blocks.duplicate.sum() + held.duplicate.sum()),
            rejected=len(rejections) + int(held.kept.sum()),
            derived=len(folded.derived),
            late=folded.late,
            alarms_raised=raised,
            work_orders=opened,
            newest_us=int(new.time.max()) if len(new) else None,
            devices=devices,
            commands=tuple(decoded.commands),
        )

    async def commit_tick(self, connection: asyncpg.Connection, tick: Tick) -> Committed:
        """Let time pass; nothing is written where nothing comes of it."""
        folded = self._evaluation.tick(tick)
        if not folded.moved:
            return Committed()
        async with connection.transaction():
            await self._journal.append(connection, tick, revision=self._plant.revision)
            raised, opened = await self._record(connection, folded.changes)
        return Committed(alarms_raised=raised, work_orders=opened)

    async def commit_requests(self, connection: asyncpg.Connection) -> Committed | None:
        """Do what people ask of the evaluation; None: nothing is asked."""
        async with connection.transaction():
            requests = await open_requests(connection)
            if requests is None:
                return None
            await self._journal.append(connection, requests.reset, revision=self._plant.revision)
            folded = self._evaluation.reset(requests.reset)
            raised, opened = await self._record(connection, folded.changes)
            await settle_requests(connection, requests)
        return Committed(alarms_raised=raised, work_orders=opened)

    async def annunciate(self, connection: asyncpg.Connection, now: datetime) -> Committed | None:
        """Tell people of alarms that still stand and were held back until now; None: of none. `now`: the wall clock."""
        async with connection.transaction():
            due = await alarm_store.annunciate_due(connection, now)
            if not due:
                return None
            known = [(alarm, self._rules[alarm.rule_id]) for alarm in due if alarm.rule_id in self._rules]
            opened = await self._open_orders(
                connection, [(alarm.alarm_id, alarm.change(rule)) for alarm, rule in known]
            )
        return Committed(work_orders=opened)

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
        # Writing the state takes longest where it is large: not with every batch to see whether it is due.
        self._state_bytes = sum(len(body) for body in parts.values())
        if self._journal.checkpoint_due(self._state_bytes):
            await self._journal.checkpoint(connection, parts)

    async def _record(
        self, connection: asyncpg.Connection, changes: Sequence[AlarmChange]
    ) -> tuple[int, tuple[int, ...]]:
        if not changes:
            return 0, ()
        tell_from = None if self._tell_within is None else datetime.now(UTC) - self._tell_within
        recorded = await alarm_store.record(connection, changes, tell_from=tell_from)
        opened = await self._open_orders(connection, recorded.annunciated)
        if recorded.updated:
            await work_orders.refresh_evidence(connection, recorded.updated)
        return len(recorded.raised), opened

    async def _open_orders(
        self, connection: asyncpg.Connection, told: Sequence[tuple[int, AlarmChange]]
    ) -> tuple[int, ...]:
        """What alarms ask of maintenance once people are told of them; ids of orders opened."""
        requests = []
        for alarm_id, change in told:
            plan = self._job_plans.get(change.rule.job_plan or "")
            request = decide(change, self._plant.asset_by_id[change.rule.asset_id], plan)
            if request is not None:
                requests.append((alarm_id, request))
        orders = await work_orders.record(connection, requests)
        return tuple(order.work_order_id for order in orders if order.created)

    async def _note_devices(self, connection: asyncpg.Connection, decoded: Decoded, now: datetime) -> Recorded:
        """What the batch says about devices, sessions and sensors themselves."""
        # Births and deaths have the last word on who is there.
        heard = await record_sightings(connection, decoded.sightings, now)
        await lose_sight(connection, decoded.out_of_sight, now)
        changed = await record_changes(connection, decoded.changes, now)
        await save_nodes(connection, decoded.nodes)
        for device, metrics in decoded.metrics.items():
            await save_metrics(connection, device, metrics)
        return Recorded(
            online=changed.online + heard.online,
            quarantined=changed.quarantined + heard.quarantined,
            offline=changed.offline,
        )

    def _conflicting_blocks(self, decoded: Decoded, written: Written) -> list[Rejection]:
        rejections = []
        for position in np.flatnonzero(written.conflicting).tolist():
            block = decoded.blocks[position]
            name = self._names.get(block.waveform.sensor_id, "?")
            moment = block.waveform.time.isoformat()
            payload = json.dumps({"sensor": name, "ts": moment, "samples": block.waveform.samples.size}).encode()
            rejections.append(
                Rejection(
                    source=block.source,
                    topic=name,
                    reason=RejectReason.CONFLICTING_VALUE,
                    payload=payload,
                    payload_bytes=len(payload),
                    detail=f"{name!r} has another waveform stored for {moment}; the first one stays.",
                )
            )
        return rejections

    def _conflicts(self, decoded: Decoded, batch: ReadingBatch, written: Written) -> list[Rejection]:
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


def _account(decoded: Decoded, written: Written, blocks: Written, held: Held) -> list[LedgerLine]:
    """Ledger lines of a batch: what was received counts from the messages, the rest from what became of it."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for source, count in decoded.received.items():
        counts[source, "received", ""] += count
    for rejection in decoded.rejections:
        counts[rejection.source, "rejected", rejection.reason.value] += 1
    for outcome, reason, mask in _outcomes(written):
        found = np.bincount(decoded.source[mask], minlength=len(decoded.sources))
        for position in np.flatnonzero(found).tolist():
            counts[decoded.sources[position], outcome, reason] += int(found[position])
    for outcome, reason, mask in _outcomes(blocks):
        for position in np.flatnonzero(mask).tolist():
            counts[decoded.blocks[position].source, outcome, reason] += 1
    for position, reading in enumerate(decoded.held):
        if held.kept[position]:
            counts[reading.source, "rejected", RejectReason.QUARANTINED.value] += 1
        elif held.duplicate[position]:
            counts[reading.source, "duplicate", ""] += 1
        else:
            counts[reading.source, "rejected", held.faults[position].reason.value] += 1
    return [
        LedgerLine(source=source, outcome=outcome, reason=reason, readings=count)
        for (source, outcome, reason), count in counts.items()
        if count
    ]


def _outcomes(written: Written) -> tuple[tuple[str, str, npt.NDArray[np.bool_]], ...]:
    return (
        ("stored", "", written.stored),
        ("duplicate", "", written.duplicate),
        ("rejected", RejectReason.CONFLICTING_VALUE.value, written.conflicting),
    )


def _findings(decoded: Decoded, judged: Judged, written: Written) -> Findings:
    """What is to be counted against the sensors of a batch."""
    findings = judged.findings(written)
    for (sensor_id, reason), count in decoded.turned_away.items():
        finding = _TIMES.get(reason)
        if finding is not None:
            findings[sensor_id, finding] += count
    return findings


def _not_held(decoded: Decoded, held: Held) -> list[Rejection]:
    """Readings of unknown names for which there is no room."""
    rejections = []
    for position, fault in held.faults.items():
        reading = decoded.held[position]
        payload = json.dumps(
            {"sensor": reading.name, "ts": to_datetime(reading.time_us).isoformat(), "value": reading.value}
        ).encode()
        rejections.append(
            Rejection(
                source=reading.source,
                topic=storable(reading.name),
                reason=fault.reason,
                payload=payload,
                payload_bytes=len(payload),
                detail=fault.detail,
            )
        )
    return rejections


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
