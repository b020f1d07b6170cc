"""Periodic work beside the engine: count states, advance rollups, deliver work orders, let old data go."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from cbm import state_rollup
from precursor.settings import ModelSettings, Settings
from precursor.training.retraining import retrain_models
from precursor.training.watching import watch_models
from telemetry import database, rollups
from telemetry.batch import to_micros
from telemetry.editions import detect_async
from telemetry.errors import ConfigurationError, TransientError
from telemetry.plant_store import load_plant
from telemetry.retention import Policy, retain
from workorder_bridge.connector import Connector
from workorder_bridge.file import FileConnector
from workorder_bridge.outbox import deliver_due
from workorder_bridge.webhook import WebhookConnector

__all__ = ["Scheduler", "connectors"]

_log = structlog.get_logger(__name__)

_STATES_EVERY_S = 5
_ROLLUPS_EVERY_S = 10
_OUTBOX_EVERY_S = 2
_RETENTION_EVERY_S = 3600
_RETENTION_FIRST_S = 30.0
"""after the start, when the engine has caught up with what was waiting for it"""
_PATIENCE_S = 10.0
"""how long running jobs may take at a stop before they are cancelled, s"""


@contextlib.asynccontextmanager
async def connectors(settings: Settings) -> AsyncIterator[list[Connector]]:
    """Where work orders are told, as the settings say; with nothing set and everything embedded, a file."""
    told = settings.work_orders
    file = told.file
    if file is None and told.webhook_url is None and settings.database.dsn is None:
        file = settings.data_dir / "work-orders.jsonl"
    async with contextlib.AsyncExitStack() as stack:
        chosen: list[Connector] = []
        if told.webhook_url is not None:
            if told.webhook_secret is None:
                raise ConfigurationError(
                    "work_orders.webhook_url is set without work_orders.webhook_secret: receivers could not tell"
                    " our events from anybody's; set PRECURSOR_WORK_ORDERS__WEBHOOK_SECRET"
                )
            webhook = WebhookConnector(told.webhook_url, secret=told.webhook_secret.get_secret_value())
            chosen.append(await stack.enter_async_context(webhook))
        if file is not None:
            chosen.append(FileConnector(file))
        yield chosen


class Scheduler:
    """Runs the periodic jobs until told to stop. A job that fails is said once, and once more when it works again."""

    def __init__(
        self,
        dsn: str,
        told: Sequence[Connector],
        policy: Policy | None = None,
        models: ModelSettings | None = None,
    ) -> None:
        self._dsn = dsn
        self._told = told
        self._policy = policy or Policy()
        self._models = models or ModelSettings()
        self._failing: set[str] = set()
        self._running: set[asyncio.Task[object]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        scheduler = AsyncIOScheduler(timezone=UTC)
        options = {
            "trigger": "interval",
            "coalesce": True,
            "max_instances": 1,
            # However late: by itself APScheduler lets a run go that is a second late, of an hourly job for an hour.
            "misfire_grace_time": None,
            "next_run_time": datetime.now(UTC),
        }
        scheduler.add_job(self._guarded, args=["state_rollup", self._count_states], seconds=_STATES_EVERY_S, **options)
        scheduler.add_job(self._guarded, args=["rollups", self._advance], seconds=_ROLLUPS_EVERY_S, **options)
        retention = options | {"next_run_time": datetime.now(UTC) + timedelta(seconds=_RETENTION_FIRST_S)}
        scheduler.add_job(self._guarded, args=["retention", self._retain], seconds=_RETENTION_EVERY_S, **retention)
        if self._told:
            scheduler.add_job(self._guarded, args=["outbox", self._deliver], seconds=_OUTBOX_EVERY_S, **options)
        watch = options | {"next_run_time": datetime.now(UTC) + timedelta(seconds=_RETENTION_FIRST_S)}
        scheduler.add_job(
            self._guarded, args=["models_watch", self._watch_models], hours=self._models.watch_every_h, **watch
        )
        retrain = CronTrigger.from_crontab(self._models.retrain_at, timezone=UTC)
        scheduler.add_job(
            self._guarded,
            trigger=retrain,
            args=["models_retrain", self._retrain_models],
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
        scheduler.start()
        try:
            await stop.wait()
        finally:
            # APScheduler's own shutdown cancels what runs; a job in the middle of its work is let end.
            scheduler.pause()
            await self._finish()
            scheduler.shutdown(wait=False)

    async def _finish(self) -> None:
        await asyncio.sleep(0)  # a job handed out just now begins
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=_PATIENCE_S)
            for task in late:
                task.cancel()
            if late:
                # They close their connections, and say that they were cut short.
                await asyncio.wait(late, timeout=_PATIENCE_S)

    async def _guarded(self, name: str, job: Callable[[asyncpg.Connection], Awaitable[None]]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self._once(job)
        except asyncio.CancelledError:
            # Only `_finish` cancels; its transaction is rolled back and the job done again after the next start.
            _log.warning("job_cut_short", job=name)
        except TransientError as error:
            if name not in self._failing:
                self._failing.add(name)
                _log.warning("job_failing", job=name, error=str(error), then="trying on")
        except Exception:
            # A bug in one job must not take the others, and the engine in the same process, with it.
            if name not in self._failing:
                self._failing.add(name)
                _log.exception("job_failing", job=name, then="trying on")
        else:
            if name in self._failing:
                self._failing.remove(name)
                _log.info("job_works_again", job=name)
        finally:
            self._running.discard(task)

    async def _once(self, job: Callable[[asyncpg.Connection], Awaitable[None]]) -> None:
        connection = await database.connect(self._dsn, name="precursor scheduler")
        try:
            with database.translated():
                await job(connection)
        finally:
            # A server that is away cannot say goodbye.
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await connection.close(timeout=5)

    @staticmethod
    async def _count_states(connection: asyncpg.Connection) -> None:
        edition = await detect_async(connection)
        await state_rollup.refresh(connection, edition)
        # Also where nothing was touched: a process that died between the two left days of the aggregate stale.
        await edition.refresh_state_rollup(connection, to_micros(datetime.now(UTC)))

    @staticmethod
    async def _advance(connection: asyncpg.Connection) -> None:
        await rollups.advance(connection, await detect_async(connection), datetime.now(UTC))

    async def _retain(self, connection: asyncpg.Connection) -> None:
        edition = await detect_async(connection)
        # What is to go may be about to be counted.
        await state_rollup.refresh(connection, edition)
        done = await retain(connection, edition, self._policy, datetime.now(UTC))
        if done.dropped or done.compressed:
            _log.info("old_data", dropped=done.dropped, compressed=done.compressed)
        if done.waiting:
            _log.info("old_data_left", waiting=done.waiting, then="the next run tries again")

    async def _deliver(self, connection: asyncpg.Connection) -> None:
        await deliver_due(connection, self._told, now=datetime.now(UTC))

    @staticmethod
    async def _watch_models(connection: asyncpg.Connection) -> None:
        for seen in await watch_models(connection, await load_plant(connection), datetime.now(UTC)):
            about = {"model": seen.model.name, "version": seen.model.version}
            if seen.refused:
                _log.warning("model_refused", **about, error=seen.refused)
            if seen.drifted:
                _log.warning("model_drifted", **about, points=seen.drifted, then="train it anew (docs/models.md)")

    async def _retrain_models(self, connection: asyncpg.Connection) -> None:
        span = timedelta(days=self._models.retrain_days)
        for done in await retrain_models(connection, await load_plant(connection), datetime.now(UTC), span=span):
            _log.info("model_retrained", model=done.model.name, version=done.version, said=done.said)
