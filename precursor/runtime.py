"""Composition: which parts run in this process, started together and stopped together."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator

import asyncpg
import structlog
import uvicorn
from api.app import create_app

from ingest.mqtt import MqttOptions, MqttSource
from precursor import parts
from precursor.engine import Engine
from precursor.scheduler import Scheduler, connectors
from precursor.settings import Settings

__all__ = ["run", "stop_on_signals"]

_log = structlog.get_logger(__name__)


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


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers of its own: stopping is the runtime's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(settings: Settings, *, dsn: str, mqtt: MqttOptions | None, scheduler: bool, api: bool) -> None:
    """Run parts until a signal: the engine where `mqtt` names a broker, periodic jobs, the HTTP interface.

    The first part that fails stops the others, and its error is raised.
    """
    engine = None
    if mqtt is not None:
        engine = Engine(dsn=dsn, source=MqttSource(mqtt), options=parts.engine_options(settings))
    with stop_on_signals() as stop:
        async with asyncio.TaskGroup() as group:
            if engine is not None:
                group.create_task(engine.run(stop), name="engine")
            if scheduler:
                group.create_task(_schedule(settings, dsn, stop), name="scheduler")
            if api:
                group.create_task(_serve(settings, dsn, engine, stop), name="api")


async def _schedule(settings: Settings, dsn: str, stop: asyncio.Event) -> None:
    async with connectors(settings) as told:
        await Scheduler(dsn, told).run(stop)


async def _serve(settings: Settings, dsn: str, engine: Engine | None, stop: asyncio.Event) -> None:
    status = None if engine is None else engine.status
    # No connection is needed to start: a database that is away is the readiness check's to tell.
    async with asyncpg.create_pool(dsn, min_size=0, max_size=8, server_settings={"TimeZone": "UTC"}) as pool:
        app = create_app(pool, engine_status=status)
        config = uvicorn.Config(
            app,
            host=settings.api.host,
            port=settings.api.port,
            log_level="warning",
            lifespan="off",
            access_log=False,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(), name="uvicorn")
        _log.info("api_listening", url=f"http://{settings.api.host}:{settings.api.port}")
        stopped = asyncio.create_task(stop.wait(), name="api stop")
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        stopped.cancel()
        await serving
