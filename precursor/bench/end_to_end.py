"""`EndToEnd`: messages wait in the engine's session at a real broker, then the engine starts and takes them.

The publisher and the stock loop run in a process of their own; the engine runs in this one, as in `precursor up`.
"""

import asyncio
import contextlib
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

import asyncpg
import numpy as np
import numpy.typing as npt

from ingest.mqtt import MqttOptions, MqttSource
from precursor.bench.publisher import Published, forget_session, publish
from precursor.bench.report import Account
from precursor.bench.scratch import count, empty
from precursor.bench.stock import acknowledge
from precursor.bench.workload import Workload
from precursor.engine import Engine, EngineOptions
from precursor.transaction import Committed
from telemetry.errors import TransientError

__all__ = ["Drained", "EndToEnd", "Live"]

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE_S = 300.0
_LINGER_PER_MESSAGE_S = 0.002
"""how long amqtt may need to pass a message on"""
_LEFT_OUT = 5
"""of a live run one part in so many, at its begin: first batches make plans and partitions"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """A queue emptied by the engine."""

    wall_s: float
    """from the first message's arrival to the last acknowledgement, which follows the last COMMIT"""
    account: Account


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Live:
    """Messages sent while the engine was running."""

    rate: float
    """messages a second, from the first one sent to the last COMMIT"""
    p50_ms: float
    """from publish to COMMIT"""
    p99_ms: float
    sent_s: npt.NDArray[np.float64]
    """when each message was sent, on the machine's monotonic clock"""
    raised_s: npt.NDArray[np.float64]
    """when each alarm was committed, in the order of event time"""
    account: Account


@dataclass(slots=True, kw_only=True)
class _Commits:
    """When how many readings were committed."""

    at_s: list[float] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    raised: list[int] = field(default_factory=list)
    """alarms"""
    total: int = 0

    def add(self, committed: Committed) -> None:
        self.at_s.append(time.monotonic())
        self.received.append(committed.received)
        self.raised.append(committed.alarms_raised)
        self.total += committed.received


class _Until(Protocol):
    """Wait for a condition, looking every `look_s` seconds."""

    async def __call__(self, condition: Callable[[], bool], *, look_s: float = 0.005) -> None: ...


class EndToEnd:
    """Runs of the engine against one broker and one database with the bench's plant, whose topics share a prefix."""

    def __init__(
        self,
        *,
        dsn: str,
        connection: asyncpg.Connection,
        mqtt: MqttOptions,
        options: EngineOptions,
        prefix: str,
        apart: Executor,
        keeps_sessions: bool = True,
    ) -> None:
        """
        Args:
            dsn, connection: the database; the connection is to it.
            mqtt, options: the broker, and how the engine batches.
            prefix: the topics' first levels.
            apart: runs what must not share this process.
            keeps_sessions: whether the broker keeps messages for who is away. If not (amqtt keeps none for a client
                without a user name), there are no queues: messages come while they are taken.
        """
        self._dsn = dsn
        self._connection = connection
        self._mqtt = mqtt
        self._options = options
        self._filter = f"{prefix}/#"
        self._apart = apart
        self._keeps_sessions = keeps_sessions

    async def drain(self, name: str, workload: Workload, *, messages: int) -> Drained:
        """Let the engine empty a queue. The readings stay in the table, which is emptied before.

        Raises:
            LossError: what is stored afterwards is not what was published.
            TransientError: broker or database went away, or nothing moved for minutes.
        """
        await empty(self._connection)
        readings = workload.total(messages)
        commits = _Commits()
        async with self._queued(workload, messages) as session, self._engine(session, commits) as (_, source, until):
            meanwhile = None
            if not self._keeps_sessions:
                await until(lambda: source.connected)
                await source.ready(_PATIENCE_S)
                meanwhile = asyncio.create_task(self._publish(workload, messages), name="bench publisher")
            await until(lambda: source.received > 0, look_s=0.001)
            first_s = time.monotonic()
            await until(lambda: commits.total >= readings and source.acknowledged >= messages)
            wall_s = time.monotonic() - first_s
            if meanwhile is not None:
                await meanwhile
        account = await count(self._connection, name=name, published=readings)
        return Drained(wall_s=wall_s, account=account)

    async def stream(self, name: str, workload: Workload, *, messages: int) -> Drained:
        """Publish to a running engine as fast as the broker takes it; from the first publish to the last COMMIT.

        Raises:
            LossError, TransientError: as `drain`.
        """
        await empty(self._connection)
        readings = workload.total(messages)
        commits = _Commits()
        session = self._new_session()
        try:
            async with self._engine(session, commits) as (engine, _, until):
                if not await engine.listening(_PATIENCE_S):
                    raise TransientError("the broker does not answer")
                published = await self._publish(workload, messages)
                await until(lambda: commits.total >= readings)
        finally:
            await self._elsewhere(forget_session, session)
        account = await count(self._connection, name=name, published=readings)
        return Drained(wall_s=commits.at_s[-1] - float(published.sent_s[0]), account=account)

    async def stock(self, workload: Workload, *, messages: int) -> float:
        """Seconds from the first to the last message of an equal queue in the stock loop.

        Raises:
            TransientError: the broker went away, or did not deliver all of it.
        """
        async with self._queued(workload, messages) as session:
            if self._keeps_sessions:
                return await self._elsewhere(acknowledge, session, count=messages)
            listening = threading.Event()
            loop = asyncio.to_thread(
                acknowledge, session, count=messages, topic_filter=self._filter, listening=listening
            )
            acknowledging = asyncio.create_task(loop, name="stock loop")
            await asyncio.to_thread(listening.wait, _PATIENCE_S)
            await self._publish(workload, messages)
            return await acknowledging

    async def live(self, name: str, workload: Workload, *, messages: int, rate: float | None = None) -> Live:
        """Publish messages of one reading to a running engine: so many a second, or as fast as the broker takes them.

        Raises:
            LossError, TransientError: as `drain`.
        """
        await empty(self._connection)
        session = self._new_session()
        commits = _Commits()
        try:
            async with self._engine(session, commits) as (_, source, until):
                await until(lambda: source.connected)
                await source.ready(_PATIENCE_S)
                published = await self._publish(workload, messages, rate)
                await until(lambda: commits.total >= messages)
        finally:
            await self._elsewhere(forget_session, session)
        account = await count(self._connection, name=name, published=messages)
        # One publisher, one session, nothing delivered twice: messages are committed in the order of sending.
        committed_s = np.repeat(commits.at_s, commits.received)
        latency_ms = 1000 * (committed_s - published.sent_s)[messages // _LEFT_OUT :]
        p50_ms, p99_ms = np.percentile(latency_ms, (50, 99)).tolist()
        return Live(
            rate=messages / float(committed_s[-1] - published.sent_s[0]),
            p50_ms=p50_ms,
            p99_ms=p99_ms,
            sent_s=published.sent_s,
            raised_s=np.repeat(commits.at_s, commits.raised),
            account=account,
        )

    @contextlib.asynccontextmanager
    async def _queued(self, workload: Workload, messages: int) -> AsyncIterator[MqttOptions]:
        """A session in which so many messages wait, if the broker keeps any; forgotten at the end."""
        session = self._new_session()
        if not self._keeps_sessions:
            yield session
            return
        opener = MqttSource(session)
        try:
            await opener.start([self._filter])
            if not await opener.ready(_PATIENCE_S):
                raise TransientError("the broker does not answer")
        finally:
            await opener.stop()
        try:
            await self._publish(workload, messages)
            yield session
        finally:
            await self._elsewhere(forget_session, session)

    async def _publish(self, workload: Workload, messages: int, rate: float | None = None) -> Published:
        return await self._elsewhere(
            publish,
            self._mqtt,
            workload,
            first=0,
            count=messages,
            rate=rate,
            linger_s=0.0 if self._keeps_sessions else 1 + messages * _LINGER_PER_MESSAGE_S,
        )

    def _new_session(self) -> MqttOptions:
        return replace(self._mqtt, client_id=f"{self._mqtt.client_id}-{secrets.token_hex(4)}")

    @contextlib.asynccontextmanager
    async def _engine(
        self, session: MqttOptions, commits: _Commits
    ) -> AsyncIterator[tuple[Engine, MqttSource, _Until]]:
        """An engine at work, its source, and how to wait for what it does."""
        source = MqttSource(session)
        stop = asyncio.Event()
        engine = Engine(dsn=self._dsn, source=source, options=self._options, on_commit=commits.add)
        running = asyncio.create_task(engine.run(stop), name="bench engine")

        async def until(condition: Callable[[], bool], *, look_s: float = 0.005) -> None:
            deadline_s = time.monotonic() + _PATIENCE_S
            while not condition():
                if running.done():
                    running.result()
                    raise TransientError("the engine ended by itself")
                if time.monotonic() > deadline_s:
                    raise TransientError(
                        f"after {_PATIENCE_S:.0f} s {source.received} messages had arrived and"
                        f" {commits.total} readings were committed; more were expected"
                    )
                await asyncio.sleep(look_s)

        try:
            yield engine, source, until
        finally:
            stop.set()
            await running
            await source.stop()

    async def _elsewhere(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._apart, partial(function, *arguments, **named))
