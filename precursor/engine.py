"""The engine: drains the broker, commits a batch, acknowledges it; waits out a database that is away."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from ingest.intake import Intake
from ingest.message import Message
from ingest.mqtt import MqttSource
from ingest.mqtt_options import Publication
from precursor.edge_link import edge_filters, edge_source
from precursor.session import AnotherEngineError, Session, SessionOptions, Work
from precursor.transaction import Committed
from telemetry import database
from telemetry.errors import DatabaseUnavailableError, TransientError
from telemetry.plant import Plant
from telemetry.plant_store import plant_revision

__all__ = ["Engine", "EngineOptions", "Totals"]

_log = structlog.get_logger(__name__)

_IDLE_S = 0.5
"""how long to wait for messages before looking after other things, s"""
_RETRY_S = (0.2, 5.0)
"""first and longest pause between attempts to reach the database, s"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How the engine batches and what it waits for."""

    batch_messages: int = 10_000
    batch_bytes: int = 1 << 20
    """of payload; bounds the readings of a transaction where messages carry many"""
    batch_wait_s: float = 0.03
    session: SessionOptions = field(default_factory=SessionOptions)


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
        self._intake = Intake((source,))
        self._edge: MqttSource | None = None
        """the Sparkplug host's session, once the plant needs one"""
        self._edge_connections = 0
        """of that session, as far as the host was told of them"""
        self._edge_lost = False
        self._batches: deque[Sequence[Message]] = deque()
        """received and not acknowledged, oldest first: at most the one that is committed, and the one after it"""
        self._pause_s = _RETRY_S[0]
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
        ready = await self._source.ready(timeout_s)
        return ready and (self._edge is None or await self._edge.ready(timeout_s))

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set.

        Raises:
            PrecursorError: the database's state is not one this program can carry on from.
        """
        announcing = asyncio.create_task(self._announce(), name="announce")
        try:
            while not stop.is_set():
                session: Session | None = None
                try:
                    session = await Session.open(self._dsn, self._options.session)
                    if not self._batches:
                        self._all_is_well()
                    await self._listen(session.plant)
                    await self._work(session, stop)
                    with database.translated():
                        await session.transaction.checkpoint(session.connection)
                except DatabaseUnavailableError as error:
                    # Batches at hand are kept and tried again; what the broker sends meanwhile waits in the source,
                    # and behind its limit in the broker.
                    self._database(up=False, error=error)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), self._pause_s)
                    self._pause_s = min(2 * self._pause_s, _RETRY_S[1])
                finally:
                    if session is not None:
                        await session.close()
        finally:
            announcing.cancel()
            if self._source_started.is_set():
                await self._source.stop()
            if self._edge is not None:
                await self._edge.stop()

    async def _work(self, session: Session, stop: asyncio.Event) -> None:
        """Commit batch after batch; while the database writes one, the next one is received and decoded."""
        committing: asyncio.Task[None] | None = None
        try:
            while not stop.is_set():
                under_way = 0 if committing is None else 1
                if len(self._batches) == under_way:
                    messages = await self._intake.receive(
                        max_messages=self._options.batch_messages,
                        max_bytes=self._options.batch_bytes,
                        max_wait_s=self._options.batch_wait_s,
                        timeout_s=_IDLE_S,
                    )
                    if messages:
                        self._batches.append(messages)
                work = None
                if len(self._batches) > under_way:
                    work = _decoded(session, self._batches[under_way])
                if committing is not None:
                    task, committing = committing, None
                    await task
                await self._housekeep(session)
                if work is not None:
                    committing = asyncio.create_task(self._settle(session, work), name="commit")
        finally:
            if committing is not None:
                await committing

    async def _settle(self, session: Session, work: Work) -> None:
        """Commit the oldest batch at hand, and acknowledge it."""
        await self._commit(session, work)
        self._intake.ack(self._batches.popleft())
        # A full disk lets us in and takes nothing: all is well once the batch that failed is in.
        self._all_is_well()

    def _all_is_well(self) -> None:
        self._pause_s = _RETRY_S[0]
        self._database(up=True)

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
            event = "another_engine_works" if isinstance(error, AnotherEngineError) else "database_unavailable"
            _log.warning(event, error=str(error), then="waiting with backoff until that is over")
        self.totals.database_up = up

    async def _listen(self, plant: Plant) -> None:
        if self._source_started.is_set():
            await self._source.resubscribe(plant.subscriptions)
        else:
            await self._source.start(plant.subscriptions)
            self._source_started.set()
        filters = edge_filters(plant, self._options.session.host)
        if self._edge is not None:
            await self._edge.resubscribe(filters)
        elif filters:
            self._edge = edge_source(self._source.options, self._options.session.host, self._source.arrived)
            await self._edge.start(filters)
            self._intake.add(self._edge)

    async def _housekeep(self, session: Session) -> None:
        """Take over a plant that was applied meanwhile; let silent sensors' time pass; see to devices and alarms."""
        with database.translated():
            if await plant_revision(session.connection) != session.plant.revision:
                await session.take_over_plant()
                await self._listen(session.plant)
            ticked = await session.tick()
            done = await session.look_around()
            if self._edge is not None:
                await self._attend(session, self._edge)
        for committed in [*done, *([ticked] if ticked is not None else [])]:
            self._count(committed)

    async def _attend(self, session: Session, edge: MqttSource) -> None:
        """What the Sparkplug host does of itself: it says what it lost sight of, asks for births, sends commands."""
        connections = edge.connections
        lost = connections > 0 and (not edge.connected or connections != self._edge_connections)
        if lost and not self._edge_lost and self._edge_connections:
            self._count(await session.lose_edge_nodes())
            self._edge_lost = True
        if edge.connected:
            if connections != self._edge_connections:
                self._send(session.ask_edge_nodes())
                self._edge_connections, self._edge_lost = connections, False
            self._send(session.edge_commands())
            self._send(await session.requested_commands())

    def _send(self, commands: Sequence[Publication]) -> None:
        if self._edge is not None:
            for command in commands:
                self._edge.publish(command)

    async def _commit(self, session: Session, work: Work) -> None:
        try:
            with database.translated():
                self._count(await session.commit(work))
        except TransientError:
            raise
        except Exception as error:
            # A bug, or data nobody thought of. One such message must not stop the others: halve until it is alone.
            messages = work.messages
            with database.translated():
                await session.reload()
                if len(messages) == 1:
                    _log.exception("message_not_processed", topic=messages[0].topic[:200])
                    self._count(await session.reject(messages[0], error))
                    return
            middle = len(messages) // 2
            await self._commit(session, Work(messages=messages[:middle]))
            await self._commit(session, Work(messages=messages[middle:]))

    def _count(self, committed: Committed) -> None:
        self.totals.batches += 1
        self.totals.add(committed)
        self._send(committed.commands)
        for order in committed.work_orders:
            _log.info("work_order_opened", work_order=order)
        if self._on_commit is not None:
            self._on_commit(committed)


def _decoded(session: Session, messages: Sequence[Message]) -> Work:
    """Messages, decoded ahead; or as they are, where that fails: `_commit` finds out which one it is."""
    try:
        return session.decode(messages)
    except Exception:
        _log.debug("decoding_failed", exc_info=True)
        return Work(messages=messages)
