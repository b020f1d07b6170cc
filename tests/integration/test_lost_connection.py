"""A server that goes away while it takes rows: the writer hears of it, and nothing of the batch is stored."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import asyncpg
import numpy as np
import pytest

from telemetry import database
from telemetry.batch import ReadingBatch
from telemetry.editions import detect_async
from telemetry.errors import DatabaseUnavailableError
from telemetry.store import ReadingStore

ROWS = 200_000
"""more than the buffers between two sockets hold"""
LET_THROUGH = 50_000
"""bytes of the batch that the proxy passes on"""


class Proxy:
    """Passes bytes between a client and the database, until it is told to stop reading and then to break off."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._passed = 0
        self._jammed = False
        self.full = asyncio.Event()
        """it no longer reads what the client writes"""
        self._over = asyncio.Event()
        self._client: asyncio.StreamWriter | None = None

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._client = writer
        place = urlsplit(self._dsn)
        folder = parse_qs(place.query).get("host", [""])[0]
        if folder.startswith("/"):
            server, back = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{place.port or 5432}")
        else:
            server, back = await asyncio.open_connection(place.hostname, place.port)
        answers = asyncio.create_task(self._answer(server, writer), name="proxy answers")
        try:
            while data := await reader.read(4096):
                back.write(data)
                if self._jammed:
                    self._passed += len(data)
                    if self._passed > LET_THROUGH:
                        self.full.set()
                        await self._over.wait()
                        return
        except (asyncio.CancelledError, ConnectionError):
            pass  # the test is over, or broke off
        finally:
            answers.cancel()
            back.close()
            writer.close()

    @staticmethod
    async def _answer(server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await server.read(4096):
            writer.write(data)

    def jam(self) -> None:
        """Stop reading after some more bytes."""
        self._jammed = True

    def break_off(self) -> None:
        assert self._client is not None
        self._client.transport.abort()
        self._over.set()


@asynccontextmanager
async def proxy_to(dsn: str) -> AsyncIterator[tuple[Proxy, str]]:
    proxy = Proxy(dsn)
    listening = await asyncio.start_server(proxy.accept, "127.0.0.1", 0, limit=4096)
    port = listening.sockets[0].getsockname()[1]
    place = urlsplit(dsn)
    credentials = place.netloc.rpartition("@")[0]
    try:
        yield proxy, f"postgresql://{credentials}@127.0.0.1:{port}{place.path}?sslmode=disable"
    finally:
        listening.close()


async def test_a_writer_that_waits_to_write_on_hears_that_the_server_went_away(
    dsn: str, connection: asyncpg.Connection
) -> None:
    edition = await detect_async(connection)
    batch = ReadingBatch.of(np.arange(ROWS) * 1_000_000 + 1_700_000_000_000_000, np.ones(ROWS), np.ones(ROWS))
    await edition.make_room(connection, batch.time)
    async with proxy_to(dsn) as (proxy, through_it):
        writing = await database.connect(through_it)
        store = ReadingStore(edition)
        await store.write(writing, batch.take(np.arange(1)))  # looks for collisions once, then no more
        proxy.jam()

        async def write() -> None:
            with database.translated():
                await store.write(writing, batch.take(np.arange(1, ROWS)))

        task = asyncio.create_task(write(), name="writer")
        await asyncio.wait_for(proxy.full.wait(), 30)
        await asyncio.sleep(0.2)  # the client's buffers fill
        assert not task.done()
        proxy.break_off()
        # Not wait_for: it would cancel the writer, who would then say what he should have said by himself.
        done, _ = await asyncio.wait({task}, timeout=20)
        assert done, "the writer waits for ever"
        with pytest.raises(DatabaseUnavailableError):
            await task
        writing.terminate()
    assert await connection.fetchval("SELECT count(*) FROM reading") == 1
