"""One batch, one transaction: readings, scores, alarms, work orders, rejections, ledger, journal. Then COMMIT."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import numpy as np

from cbm import state_rollup
from cbm.decision import decide
from cbm.job_plan import JobPlan
from ingest.decoded import Decoded
from ingest.door_checks import record_findings
from ingest.mqtt_options import Publication
from ingest.quarantine import hold
from ingest.registry_store import Recorded, lose_sight, record_changes, record_sightings
from ingest.sessions import save_metrics, save_nodes
from precursor.accounting import (
    account,
    account_derived,
    conflicting_blocks,
    conflicts,
    findings_of,
    not_held,
    rejected_row,
)
from precursor.computed import drop_computed, find_computed
from precursor.evaluation import Evaluation, Folded
from precursor.requests import open_requests, settle_requests
from rules import alarm_store
from rules.definition import Rule
from rules.events import AlarmChange
from telemetry import rollups
from telemetry.batch import ReadingBatch
from telemetry.edition import Edition
from telemetry.journal import Journal, Tick
from telemetry.ledger import add_rejected, add_to_ledger
from telemetry.plant import Plant, SensorKind
from telemetry.store import ReadingStore
from telemetry.waveform_store import WaveformStore
from workorder_bridge import store as work_orders

__all__ = ["BatchTransaction", "Committed"]


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
        self._derived = np.array([s.id for s in plant.sensors if s.kind is SensorKind.DERIVED], np.int32)

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
            folded = await self._fold(connection, news)
            blocks = await self._waveforms.write(connection, waveforms)
            scores = await self._store.write(connection, folded.derived)
            lines = account(decoded, written, blocks, held) + account_derived(scores)
            stored = [new, folded.derived.take(scores.stored)]
            raised, opened = await self._record(connection, folded.changes)

            rejections = [
                *decoded.rejections,
                *conflicts(decoded, batch, written, self._names),
                *conflicting_blocks(decoded, blocks, self._names),
                *not_held(decoded, held),
            ]
            await add_rejected(connection, [rejected_row(rejection) for rejection in rejections])
            await add_to_ledger(connection, lines)
            await rollups.touch(connection, ReadingBatch.concat(stored))
            await record_findings(connection, findings_of(decoded, judged, written), now)
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

    async def commit_computed(self, connection: asyncpg.Connection) -> tuple[Committed, ReadingBatch] | None:
        """Take in what another process computed, like readings that arrived; None: nothing waits.

        Returns:
            What it brought, and the readings that came.
        """
        found = await find_computed(connection)
        if found is None:
            return None
        # What was computed for a sensor that is retired by now has no place any more.
        batch = found.batch.take(np.isin(found.batch.sensor_id, self._derived))
        await self._store.make_room(connection, batch)
        async with connection.transaction():
            await drop_computed(connection, found)
            written = await self._store.write(connection, batch)
            new = batch.take(written.stored)
            folded = await self._fold(connection, new)
            scores = await self._store.write(connection, folded.derived)
            raised, opened = await self._record(connection, folded.changes)
            await add_to_ledger(connection, account_derived(written) + account_derived(scores))
            await rollups.touch(connection, ReadingBatch.concat([new, folded.derived.take(scores.stored)]))
        committed = Committed(
            derived=len(new) + len(folded.derived), late=folded.late, alarms_raised=raised, work_orders=opened
        )
        return committed, new

    async def _fold(self, connection: asyncpg.Connection, news: ReadingBatch) -> Folded:
        watched = self._evaluation.select(news)
        if not len(watched):
            return Folded(derived=ReadingBatch.empty(), changes=())
        await self._journal.append(connection, watched, revision=self._plant.revision)
        return self._evaluation.fold(watched)

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
            changes: list[AlarmChange] = []
            if requests.reset.rule_id.size:
                await self._journal.append(connection, requests.reset, revision=self._plant.revision)
                changes += self._evaluation.reset(requests.reset).changes
            if requests.rebaseline.asset_id.size:
                await self._journal.append(connection, requests.rebaseline, revision=self._plant.revision)
                changes += self._evaluation.rebaseline(requests.rebaseline).changes
            raised, opened = await self._record(connection, changes)
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
