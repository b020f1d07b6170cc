"""The HTTP interface as a part of this process: uvicorn, stopped by the runtime."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import asyncpg
import structlog
import uvicorn

from api.app import create_app
from precursor import parts
from precursor.engine import Engine
from precursor.release import releaser
from precursor.settings import Settings
from telemetry import database

__all__ = ["serve"]

_log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers of its own: stopping is the runtime's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    settings: Settings, listener: socket.socket, dsn: str, engine: Engine | None, stop: asyncio.Event
) -> None:
    """Answer on a listening socket until `stop` is set; `engine` is the one of this process."""
    status = None if engine is None else engine.status
    # No connection is needed to start: a database that is away is the readiness check's to tell.
    async with asyncpg.create_pool(dsn, min_size=0, max_size=8, server_settings=database.SESSION) as pool:
        config = uvicorn.Config(
            create_app(pool, engine_status=status, release=releaser(parts.door_limits(settings))),
            log_level="warning",
            lifespan="off",
            access_log=False,
            # A client that reads slowly, or never ends its request, does not keep the engine from stopping.
            timeout_graceful_shutdown=5,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="uvicorn")
        host, port = listener.getsockname()[:2]
        _log.info("api_listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}/docs")
        stopped = asyncio.create_task(stop.wait(), name="api stop")
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        stopped.cancel()
        await serving
