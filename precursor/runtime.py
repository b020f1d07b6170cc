"""Composition: which parts run in this process, started together and stopped together."""

import asyncio
import contextlib
import errno
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator

import structlog

from ingest.mqtt import MqttOptions, MqttSource
from precursor import parts
from precursor.analysis.process import AnalysisOptions, run_analysis_process
from precursor.engine import Engine
from precursor.engine_settings import engine_options
from precursor.settings import Settings
from telemetry import database
from telemetry.errors import ConfigurationError, DatabaseUnavailableError, TransientError
from telemetry.plant_store import plant_revision

__all__ = ["run", "stop_on_signals"]

_log = structlog.get_logger(__name__)

_ANALYSIS_AFTER_S = 10.0
"""after the start: what waited for the engine comes first, and a second process takes seconds of a core to begin, s"""
_RETRY_S = (0.2, 5.0)
"""first and longest pause between attempts to reach the database at the start, s"""


@contextlib.contextmanager
def stop_on_signals() -> Iterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set; a second one ends the process the hard way."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        _log.info("stopping")
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def run(
    settings: Settings,
    *,
    dsn: str,
    mqtt: MqttOptions | None,
    scheduler: bool,
    api: bool,
    analysis: bool = False,
    prepare: Callable[[], None],
) -> None:
    """Run parts until a signal: the engine where `mqtt` names a broker, periodic jobs, the HTTP interface, analysis.

    `prepare` makes sure of the database; it blocks, runs in a thread, and is tried again while the database is away.
    The HTTP interface serves meanwhile. The first part that fails stops the others in order, and its error is raised.

    Raises:
        TransientError: the HTTP interface's port is taken.
        ConfigurationError: a part or `prepare` cannot work as it is set.
    """
    engine = None
    if mqtt is not None:
        engine = Engine(dsn=dsn, source=MqttSource(mqtt), options=engine_options(settings))
    failures: list[Exception] = []

    async def watched(part: Coroutine[object, object, None]) -> None:
        try:
            await part
        except Exception as error:
            # Raised below, once the other parts have ended in order instead of being cancelled.
            failures.append(error)
            stop.set()

    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(_listen(settings.api.host, settings.api.port)) if api else None
        stop = opened.enter_context(stop_on_signals())
        async with asyncio.TaskGroup() as group:
            if listener is not None:
                from precursor.http_server import serve  # noqa: PLC0415 - an engine alone needs no web framework (0.5 s)

                group.create_task(watched(serve(settings, listener, dsn, engine, stop)), name="api")
            await watched(_prepared(prepare, stop))
            if not stop.is_set() and engine is not None:
                await watched(_say_without_plant(dsn))
                group.create_task(watched(engine.run(stop)), name="engine")
            if not stop.is_set() and scheduler:
                group.create_task(watched(_schedule(settings, dsn, stop)), name="scheduler")
            if not stop.is_set() and analysis:
                group.create_task(watched(_analyse(settings, dsn, stop)), name="analysis")
    if failures:
        raise failures[0]
    _log.info("stopped")


async def _prepared(prepare: Callable[[], None], stop: asyncio.Event) -> None:
    pause_s, waiting = _RETRY_S[0], False
    while not stop.is_set():
        try:
            await asyncio.to_thread(prepare)
        except DatabaseUnavailableError as error:
            if not waiting:
                _log.warning("database_unavailable", error=str(error), then="waiting with backoff until it is there")
                waiting = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)
            pause_s = min(2 * pause_s, _RETRY_S[1])
        else:
            return


async def _say_without_plant(dsn: str) -> None:
    """An engine without a plant listens to nothing, which looks like one that does not work."""
    with contextlib.suppress(DatabaseUnavailableError):  # the engine will say so
        connection = await database.connect(dsn)
        try:
            with database.translated():
                applied = await plant_revision(connection)
        finally:
            await connection.close(timeout=5)
        if not applied:
            _log.warning(
                "no_plant_applied",
                advice="nothing is listened to yet; run `precursor apply plant.yaml`, it is taken over within a second",
            )


async def _schedule(settings: Settings, dsn: str, stop: asyncio.Event) -> None:
    from precursor.scheduler import Scheduler, connectors  # noqa: PLC0415 - nor an HTTP client and what trains models

    async with connectors(settings) as told:
        await Scheduler(dsn, told, parts.retention_policy(settings), settings.models).run(stop)


async def _analyse(settings: Settings, dsn: str, stop: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), _ANALYSIS_AFTER_S)
    if not stop.is_set():
        await run_analysis_process(dsn, AnalysisOptions(), stop, log=settings.log)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, before anything else is started."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        said = f"the HTTP interface cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}"
        if error.errno == errno.EADDRINUSE:
            raise TransientError(
                f"{said}; does another `precursor up` run? Stop what listens there, or set PRECURSOR_API__PORT"
            ) from error
        if isinstance(error, socket.gaierror):
            said = f"the HTTP interface cannot listen on {host}:{port}: {error.strerror}"
        raise ConfigurationError(f"{said}; check PRECURSOR_API__HOST and PRECURSOR_API__PORT") from error
