"""The engine: drains the broker, commits a batch, acknowledges it; waits out a database that is away."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import asyncpg
import numpy as np
import structlog

from cbm.plans_store import load_job_plans
from ingest.decoded import Decoded, Rejection, RejectReason
from ingest.decoder import UNKNOWN_SOURCE, Decoder, DoorLimits
from ingest.message import Message
from ingest.mqtt import MqttSource
from precursor.evaluation import Evaluation
from precursor.silence import Silence
from precursor.transaction import BatchTransaction, Committed
from rules.store import load_rules
from telemetry import database
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import Edition, detect_async
from telemetry.errors import DatabaseUnavailableError, TransientError
from telemetry.journal import Journal
from telemetry.plant import Plant
from telemetry.plant_store import load_plant, plant_revision
from telemetry.retention import horizons
from telemetry.series import SeriesClass
from telemetry.store import ReadingStore

__all__ = ["Engine", "EngineOptions", "Totals"]

_log = structlog.get_logger(__name__)

_IDLE_S = 0.5
"""how long to wait for messages before looking after other things, s"""
_RETRY_S = (0.2, 5.0)
"""first and longest pause between attempts to reach the database, s"""
# Session lock: one engine evaluates for a database; a second one would fold the same readings into its own state.
_ONE_ENGINE = "SELECT pg_try_advisory_lock(hashtext('precursor engine'))"
_LAST_TIMES = """
SELECT s.id, r.time FROM unnest($1::int[]) AS s (id)
CROSS JOIN LATERAL (SELECT time FROM reading WHERE sensor_id = s.id ORDER BY time DESC LIMIT 1) r"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How the engine batches and what it waits for."""

    batch_messages: int = 10_000
    batch_bytes: int = 1 << 20
    """of payload; bounds the readings of a transaction where messages carry many"""
    batch_wait_s: float = 0.03
    limits: DoorLimits = field(default_factory=DoorLimits)
    lateness_s: float = 0.0
    silence_s: float = 5.0


@dataclass(slots=True, kw_only=True)
class Totals:
    """What this engine did since it started, for the live view; the database's ledger is the truth."""

    batches: int = 0
    received: int = 0
    stored: int = 0
    duplicates: int = 0
    rejected: int = 0
    derived: int = 0
    late: int = 0
    alarms_raised: int = 0
    work_orders: list[int] = field(default_factory=list)
    newest_us: int | None = None
    database_up: bool | None = None
    """None: not tried yet"""

    def add(self, committed: Committed) -> None:
        """Count one transaction."""
        for name in ("received", "stored", "duplicates", "rejected", "derived", "late", "alarms_raised"):
            setattr(self, name, getattr(self, name) + getattr(committed, name))
        self.work_orders.extend(committed.work_orders)
        if committed.newest_us is not None:
            self.newest_us = max(self.newest_us or committed.newest_us, committed.newest_us)


class Engine:
    """One per database. `run` returns after `stop` is set and the batch at hand is committed and acknowledged."""

    def __init__(
        self,
        *,
        dsn: str,
        source: MqttSource,
        options: EngineOptions | None = None,
        on_commit: Callable[[Committed], None] | None = None,
    ) -> None:
        self.totals = Totals()
        self._dsn = dsn
        self._source = source
        self._options = options or EngineOptions()
        self._on_commit = on_commit
        self._source_started = asyncio.Event()

    def status(self) -> dict[str, bool]:
        """Whether database and broker are reached, for the readiness check."""
        return {"engine_database": self.totals.database_up is True, "broker": self._source.connected}

    async def listening(self, timeout_s: float) -> bool:
        """Wait until the broker has granted the subscriptions; whether it did in that time (s)."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._source_started.wait()
        except TimeoutError:
            return False
        return await self._source.ready(timeout_s)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set.

        Raises:
            PrecursorError: the database's state is not one this program can carry on from.
        """
        pending: list[Message] = []
        pause_s = _RETRY_S[0]
        announcing = asyncio.create_task(self._announce(), name="announce")
        try:
            while not stop.is_set():
                session: _Session | None = None
                try:
                    session = await _Session.open(self._dsn, self._options)
                    if not pending:
                        pause_s = _RETRY_S[0]
                        self._database(up=True)
                    await self._listen(session.plant)
                    while not stop.is_set():
                        if not pending:
                            pending = await self._source.receive(
                                max_messages=self._options.batch_messages,
                                max_bytes=self._options.batch_bytes,
                                max_wait_s=self._options.batch_wait_s,
                                timeout_s=_IDLE_S,
                            )
                        session = await self._housekeep(session)
                        if pending:
                            await self._commit(session, pending)
                            self._source.ack(pending)
                            pending = []
                            # A full disk lets us in and takes nothing: all is well once the batch that failed is in.
                            pause_s = _RETRY_S[0]
                            self._database(up=True)
                    with database.translated():
                        await session.transaction.checkpoint(session.connection)
                except DatabaseUnavailableError as error:
                    # The batch at hand is kept and tried again; what the broker sends meanwhile waits in the source,
                    # and behind its limit in the broker.
                    self._database(up=False, error=error)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), pause_s)
                    pause_s = min(2 * pause_s, _RETRY_S[1])
                finally:
                    if session is not None:
                        await session.close()
        finally:
            announcing.cancel()
            if self._source_started.is_set():
                await self._source.stop()

    async def _announce(self) -> None:
        """Say when the first message can arrive: from then on the broker keeps what we miss."""
        await self._source_started.wait()
        if await self._source.ready():
            _log.info("engine_listening")

    def _database(self, *, up: bool, error: Exception | None = None) -> None:
        """Say once that the database went away, and once that it is back."""
        if up and self.totals.database_up is not True:
            _log.info("database_connected")
        elif not up and self.totals.database_up is not False:
            event = "another_engine_works" if isinstance(error, _AnotherEngineError) else "database_unavailable"
            _log.warning(event, error=str(error), then="waiting with backoff until that is over")
        self.totals.database_up = up

    async def _listen(self, plant: Plant) -> None:
        if not self._source_started.is_set():
            await self._source.start(plant.subscriptions)
            self._source_started.set()
        else:
            await self._source.resubscribe(plant.subscriptions)

    async def _housekeep(self, session: "_Session") -> "_Session":
        """Take over a plant that was applied meanwhile; let silent sensors' time pass."""
        with database.translated():
            if await plant_revision(session.connection) != session.plant.revision:
                # The old plant's state is complete in the database; the new plant resumes from it.
                await session.transaction.checkpoint(session.connection)
                await session.reload()
                await self._source.resubscribe(session.plant.subscriptions)
                _log.info("plant_taken_over", revision=session.plant.revision, sensors=len(session.plant.sensors))
            committed = await session.tick()
        if committed is not None:
            self._count(committed)
        return session

    async def _commit(self, session: "_Session", messages: Sequence[Message]) -> None:
        try:
            with database.translated():
                self._count(await session.commit(messages))
        except TransientError:
            raise
        except Exception as error:
            # A bug, or data nobody thought of. One such message must not stop the others: halve until it is alone.
            with database.translated():
                await session.reload()
                if len(messages) == 1:
                    _log.exception("message_not_processed", topic=messages[0].topic[:200])
                    self._count(await session.reject(messages[0], error))
                    return
            middle = len(messages) // 2
            await self._commit(session, messages[:middle])
            await self._commit(session, messages[middle:])

    def _count(self, committed: Committed) -> None:
        self.totals.batches += 1
        self.totals.add(committed)
        for order in committed.work_orders:
            _log.info("work_order_opened", work_order=order)
        if self._on_commit is not None:
            self._on_commit(committed)


class _AnotherEngineError(DatabaseUnavailableError):
    """The database answers, and is not ours to write to."""


class _Session:
    """A connection with everything loaded over it: plant, rules, evaluation resumed from the journal."""

    def __init__(self, connection: asyncpg.Connection, edition: Edition, options: EngineOptions) -> None:
        self.connection = connection
        self.plant: Plant
        self.transaction: BatchTransaction
        self._edition = edition
        self._options = options
        self._decoder: Decoder
        self._evaluation: Evaluation
        self._silence = Silence(options.silence_s)

    @classmethod
    async def open(cls, dsn: str, options: EngineOptions) -> "_Session":
        connection = await database.connect(dsn, name="precursor engine")
        try:
            with database.translated():
                if not await connection.fetchval(_ONE_ENGINE):
                    raise _AnotherEngineError(
                        "another engine works on this database; stop it, or give this one a database of its own"
                    )
                session = cls(connection, await detect_async(connection), options)
                await session.reload()
        except BaseException:
            await _close(connection)
            raise
        return session

    async def reload(self) -> None:
        """Everything anew from the database, as after a start."""
        async with self.connection.transaction(isolation="repeatable_read", readonly=True):
            plant = await load_plant(self.connection)
            rules = await load_rules(self.connection)
            job_plans = await load_job_plans(self.connection)
            journal = Journal()
            recovered = await journal.recover(self.connection)
            gone_before = (await horizons(self.connection)).get(SeriesClass.READINGS)
        evaluation = Evaluation(plant, rules, lateness_s=self._options.lateness_s)
        changes = evaluation.resume(recovered)
        transaction = BatchTransaction(
            plant=plant,
            job_plans=job_plans,
            evaluation=evaluation,
            journal=journal,
            store=ReadingStore(self._edition),
        )
        await transaction.record_again(self.connection, changes)
        self.plant, self.transaction, self._evaluation = plant, transaction, evaluation
        limits = self._options.limits
        if gone_before is not None:
            # Of the time that was thrown away nothing is taken in any more, also if readings are kept longer now.
            limits = replace(limits, earliest=max(limits.earliest, gone_before))
        self._decoder = Decoder(plant, limits)
        waiting = self._silence.unknown(evaluation.waiting())
        if waiting:
            rows = await self.connection.fetch(_LAST_TIMES, waiting)
            known = ReadingBatch.of(
                [to_micros(row["time"]) for row in rows], [row["id"] for row in rows], np.zeros(len(rows))
            )
            self._silence.observe(known, time.monotonic())

    async def commit(self, messages: Sequence[Message]) -> Committed:
        """Decode and store."""
        decoded = self._decoder.decode(messages, time.time_ns() // 1000)
        committed = await self.transaction.commit(self.connection, decoded)
        self._silence.observe(decoded.batch, time.monotonic())
        return committed

    async def reject(self, message: Message, error: Exception) -> Committed:
        """Keep a message that nothing here could process."""
        rejection = Rejection(
            source=UNKNOWN_SOURCE,
            topic=message.topic,
            reason=RejectReason.INTERNAL_ERROR,
            payload=message.payload[: self._options.limits.max_rejected_payload_bytes],
            payload_bytes=len(message.payload),
            detail=f"The engine failed on it: {type(error).__name__}: {error}"[:300],
        )
        decoded = Decoded(
            batch=ReadingBatch.empty(),
            source=np.empty(0, np.int16),
            sources=(UNKNOWN_SOURCE,),
            rejections=[rejection],
            received={UNKNOWN_SOURCE: 1},
        )
        return await self.transaction.commit(self.connection, decoded)

    async def tick(self) -> Committed | None:
        """Let time pass where a sensor is silent and an alarm depends on it."""
        waiting = self._evaluation.waiting()
        if not waiting.size:
            return None
        tick = self._silence.tick(waiting, time.monotonic())
        return None if tick is None else await self.transaction.commit_tick(self.connection, tick)

    async def close(self) -> None:
        await _close(self.connection)


async def _close(connection: asyncpg.Connection) -> None:
    # A server that is away cannot say goodbye.
    with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
        await connection.close(timeout=2)
