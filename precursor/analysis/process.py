"""The analysis process: looks again and again for stored windows that are to be computed, until told to stop."""

import asyncio
import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import MappingProxyType

import asyncpg
import structlog

from precursor import logs
from precursor.analysis.task import Task
from precursor.settings import LogSettings
from rules.store import load_rules
from telemetry import database
from telemetry.errors import DatabaseUnavailableError
from telemetry.plant_store import load_plant, plant_revision
from telemetry.sql import load_queries

__all__ = ["AnalysisOptions", "analyse_once", "run_analysis", "run_analysis_process"]

_log = structlog.get_logger(__name__)
_SQL = load_queries("precursor.analysis")

_RETRY_S = (0.2, 5.0)
"""first and longest pause between attempts to reach the database, or after a failure, s"""
_PATIENCE_S = 15.0
"""how long the process may take to end by itself, s"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisOptions:
    """How often the process looks."""

    idle_s: float = 1.0
    """pause when there was nothing to do, s; each task has its own pace above that"""


class _AnotherAnalysisError(DatabaseUnavailableError):
    """The database answers, and somebody else analyses it."""


class _Desk:
    """A connection, and the tasks of the plant that is applied now."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self._revision = -1
        self._tasks: Sequence[Task] = ()
        self._looked_at: dict[str, float] = {}
        self._failing = set[str]()

    @classmethod
    async def open(cls, dsn: str) -> "_Desk":
        connection = await database.connect(dsn, name="precursor analysis")
        try:
            with database.translated():
                if not await connection.fetchval(_SQL["one_analysis"]):
                    raise _AnotherAnalysisError("another `precursor analyse` or `precursor up` works on this database")
        except BaseException:
            await _close(connection)
            raise
        return cls(connection)

    async def tasks(self) -> Sequence[Task]:
        """Those of the plant that is applied now."""
        from precursor.analysis.tasks import TASKS  # noqa: PLC0415 - `up` only starts the process

        if await plant_revision(self.connection) != self._revision:
            async with self.connection.transaction(isolation="repeatable_read", readonly=True):
                plant = await load_plant(self.connection)
                rules = await load_rules(self.connection)
            self._tasks = [make(plant, rules) for make in TASKS]
            self._revision = plant.revision
            self._looked_at.clear()
        return self._tasks

    async def round(self, *, everything: bool = False) -> Mapping[str, int]:
        """Let every task whose turn it is do a part of its work; how much each did.

        Args:
            everything: whoever's turn it is.

        Raises:
            DatabaseUnavailableError: the database went away.
        """
        done: dict[str, int] = {}
        for task in await self.tasks():
            now = time.monotonic()
            if not everything and now < self._looked_at.get(task.name, now - task.every_s) + task.every_s:
                continue
            try:
                with database.translated():
                    done[task.name] = await task.work(self.connection)
            except DatabaseUnavailableError:
                raise
            except Exception:
                if everything:
                    raise
                # A bug in one task must not take the others with it.
                if task.name not in self._failing:
                    self._failing.add(task.name)
                    _log.exception("analysis_failing", task=task.name, then="trying on")
                self._looked_at[task.name] = now
                continue
            if task.name in self._failing:
                self._failing.remove(task.name)
                _log.info("analysis_works_again", task=task.name)
            # Who did something may have more to do.
            if not done[task.name]:
                self._looked_at[task.name] = now
        return done


async def analyse_once(dsn: str) -> Mapping[str, int]:
    """Do all there is to do now; how much of it was done, by task.

    Raises:
        DatabaseUnavailableError: the database does not answer, or another process analyses it.
    """
    desk = await _Desk.open(dsn)
    try:
        total: dict[str, int] = {}
        while True:
            with database.translated():
                done = await desk.round(everything=True)
            for name, count in done.items():
                total[name] = total.get(name, 0) + count
            if not any(done.values()):
                return MappingProxyType(total)
    finally:
        await _close(desk.connection)


async def run_analysis(
    dsn: str, options: AnalysisOptions, stop: asyncio.Event, *, prepare: Callable[[], None] | None = None
) -> None:
    """Work until `stop` is set; a database that is away is waited for.

    `prepare` makes sure of the database; it blocks, runs in a thread, and is tried again while the database is away.

    Raises:
        ConfigurationError: the database refuses us, or the plant means nothing to this program.
    """
    pause_s, said = _RETRY_S[0], ""
    while not stop.is_set():
        desk = None
        try:
            if prepare is not None:
                await asyncio.to_thread(prepare)
                prepare = None
            desk = await _Desk.open(dsn)
            while not stop.is_set():
                with database.translated():
                    done = await desk.round()
                if said:
                    _log.info("analysis_connected")
                pause_s, said = _RETRY_S[0], ""
                if not any(done.values()):
                    await _wait(stop, options.idle_s)
        except DatabaseUnavailableError as error:
            event = "another_analysis_works" if isinstance(error, _AnotherAnalysisError) else "database_unavailable"
            if said != event:
                _log.warning(event, error=str(error), then="waiting with backoff until that is over")
                said = event
            await _wait(stop, pause_s)
            pause_s = min(2 * pause_s, _RETRY_S[1])
        finally:
            if desk is not None:
                await _close(desk.connection)


async def run_analysis_process(dsn: str, options: AnalysisOptions, stop: asyncio.Event, *, log: LogSettings) -> None:
    """`run_analysis` in a process of its own, so that it takes no time from the engine in this one.

    One that dies is started again. It ends with this process, whatever becomes of this one.
    """
    context = multiprocessing.get_context("spawn")
    pause_s = _RETRY_S[0]
    while not stop.is_set():
        held, given = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(dsn, options, log, held), name="precursor analysis", daemon=True)
        process.start()
        held.close()
        began = time.monotonic()
        try:
            ended = asyncio.create_task(asyncio.to_thread(process.join), name="analysis process")
            stopped = asyncio.create_task(stop.wait(), name="analysis stop")
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            given.close()  # it takes that for the word to stop
            if stop.is_set():
                _, late = await asyncio.wait({ended}, timeout=_PATIENCE_S)
                if late:
                    process.kill()
            await ended
        finally:
            if process.is_alive():
                process.kill()
        if not stop.is_set():
            if time.monotonic() - began > _RETRY_S[1] ** 2:
                pause_s = _RETRY_S[0]
            _log.error("analysis_process_ended", exit_code=process.exitcode, then="started again")
            await _wait(stop, pause_s)
            pause_s = min(2 * pause_s, _RETRY_S[1])


def _work(dsn: str, options: AnalysisOptions, log: LogSettings, held: Connection) -> None:
    """The whole of the process. It ends by its parent's word: a Ctrl-C goes to both."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logs.configure(log)
    asyncio.run(_until_let_go(dsn, options, held))


async def _until_let_go(dsn: str, options: AnalysisOptions, held: Connection) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def watch() -> None:
        # Ends when the other end is closed, by the parent or by its death.
        with contextlib.suppress(EOFError, OSError):
            held.recv_bytes()
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, name="parent", daemon=True).start()
    await run_analysis(dsn, options, stop)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def _close(connection: asyncpg.Connection) -> None:
    # A server that is away cannot say goodbye.
    with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
        await connection.close(timeout=5)
