"""`Session`: a connection to the database with everything loaded over it: plant, rules, evaluation, decoder."""

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import asyncpg
import numpy as np
import structlog

from cbm.plans_store import load_job_plans
from ingest.decoded import Decoded, Rejection
from ingest.decoder import UNKNOWN_SOURCE, Decoder
from ingest.device_commands import pending_commands, settle_command
from ingest.limits import DoorLimits
from ingest.message import Message
from ingest.mqtt_options import Publication
from ingest.reasons import RejectReason
from ingest.registry import Device, DeviceStatus, blocked
from ingest.registry_store import Recorded, load_devices, mark_silent, sync_gateways
from ingest.sessions import SparkplugRows, load_sparkplug
from ingest.sparkplug.host import SparkplugHost
from models.operating import SETTLE_S
from precursor.edge_link import HostOptions
from precursor.evaluation import Evaluation
from precursor.provision import provision
from precursor.silence import Silence
from precursor.transaction import BatchTransaction, Committed
from rules.definition import Rule
from rules.signal import NoData
from rules.store import load_rules
from telemetry import database
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import Edition, detect_async
from telemetry.errors import ConfigurationError, DatabaseUnavailableError
from telemetry.journal import Journal
from telemetry.latest import read_last_values
from telemetry.plant import Plant
from telemetry.plant_store import load_plant
from telemetry.retention import horizons
from telemetry.series import SeriesClass

__all__ = ["AnotherEngineError", "Session", "SessionOptions", "Work"]

_log = structlog.get_logger(__name__)

_PLAIN = (bool, int, float, str)
_LOOK_S = 1.0
"""how often devices, alarms held back and requests are looked after"""
_BACKLOG_S = 2.0
"""so long after the last old reading a backlog is taken to be over"""
_TICK_S = 0.2
"""how often time is let pass for silent sensors"""
# Session lock: one engine evaluates for a database; a second one would fold the same readings into its own state.
_ONE_ENGINE = "SELECT pg_try_advisory_lock(hashtext('precursor engine'))"
_LAST_TIMES = """
SELECT s.id, r.time FROM unnest($1::int[]) AS s (id)
CROSS JOIN LATERAL (SELECT time FROM reading WHERE sensor_id = s.id ORDER BY time DESC LIMIT 1) r"""


class AnotherEngineError(DatabaseUnavailableError):
    """The database answers, and is not ours to write to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """What is turned away at the door, and what evaluation waits for."""

    limits: DoorLimits = field(default_factory=DoorLimits)
    lateness_s: float = 0.0
    align_s: float = 10.0
    report_s: float = 300.0
    settle_s: float = SETTLE_S
    silence_s: float = 5.0
    tell_within_s: float | None = None
    host: HostOptions = field(default_factory=HostOptions)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """Messages, decoded or not yet."""

    messages: Sequence[Message]
    decoded: Decoded | None = None
    decoder: Decoder | None = None
    """by which: what another one has decoded since is not in this one's state"""


class Session:
    """Decodes and commits, one batch after the other; its state is that of the last COMMIT, or it is to be reloaded."""

    def __init__(self, connection: asyncpg.Connection, edition: Edition, options: SessionOptions) -> None:
        self.connection = connection
        self.plant: Plant
        self.transaction: BatchTransaction
        self._edition = edition
        self._options = options
        self._decoder: Decoder
        self._evaluation: Evaluation
        self._silence = Silence(options.silence_s)
        self._not_made: set[str] = set()
        """sensors that were asked for and cannot be made"""
        self._looked_at = 0.0
        self._ticked_at = 0.0
        self._backlog_at = -math.inf
        """when a batch was last committed that had nothing but old readings"""

    @classmethod
    async def open(cls, dsn: str, options: SessionOptions) -> "Session":
        """Connect, and load what the last COMMIT left.

        Raises:
            DatabaseUnavailableError: the database does not answer, or another engine works on it.
        """
        connection = await database.connect(dsn, name="precursor engine")
        try:
            with database.translated():
                if not await connection.fetchval(_ONE_ENGINE):
                    raise AnotherEngineError(
                        "another engine works on this database; stop it, or give this one a database of its own"
                    )
                await sync_gateways(connection)
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
            devices = await load_devices(self.connection)
            sparkplug = await load_sparkplug(self.connection)
            gone_before = (await horizons(self.connection)).get(SeriesClass.READINGS)
        evaluation = Evaluation(
            plant,
            rules,
            lateness_s=self._options.lateness_s,
            align_s=self._options.align_s,
            report_s=self._options.report_s,
            settle_s=self._options.settle_s,
        )
        changes = evaluation.resume(recovered)
        transaction = BatchTransaction(
            plant=plant,
            rules=rules,
            job_plans=job_plans,
            evaluation=evaluation,
            journal=journal,
            edition=self._edition,
            tell_within_s=self._options.tell_within_s,
        )
        await transaction.record_again(self.connection, changes)
        self.plant, self.transaction, self._evaluation = plant, transaction, evaluation
        limits = self._options.limits
        if gone_before is not None:
            # Of the time that was thrown away nothing is taken in any more, also if readings are kept longer now.
            limits = replace(limits, earliest=max(limits.earliest, gone_before))
        self._decoder = Decoder(plant, limits, blocked=blocked(devices), host=self._host(sparkplug, devices))
        await self._recall_values()
        await self._recall_times(rules)

    async def _recall_times(self, rules: Sequence[Rule]) -> None:
        """When those sensors were last heard of that can be silent for too long."""
        now = time.monotonic()
        waiting = self._silence.unknown(self._evaluation.waiting())
        if waiting.size:
            rows = await self.connection.fetch(_LAST_TIMES, waiting.tolist())
            times = [to_micros(row["time"]) for row in rows]
            self._silence.observe(ReadingBatch.of(times, [row["id"] for row in rows], np.zeros(len(rows))), now)
        self._silence.assume(
            [
                (np.array(rule.signal.sensor_ids, np.int32), rule.watched_since_us)
                for rule in rules
                if isinstance(rule.signal, NoData) and rule.watched_since_us is not None
            ],
            now,
        )

    def decode(self, messages: Sequence[Message]) -> Work:
        """Decode ahead of `commit`; in the order in which batches will be committed."""
        return Work(messages=messages, decoded=self._decode(messages), decoder=self._decoder)

    def _decode(self, messages: Sequence[Message]) -> Decoded:
        return self._decoder.decode(messages, time.time_ns() // 1000)

    async def take_over_plant(self) -> None:
        """The plant that was applied meanwhile; the old one's state is completed, the new one resumes from it."""
        await self.transaction.checkpoint(self.connection)
        await sync_gateways(self.connection)
        self._not_made.clear()
        await self.reload()
        _log.info("plant_taken_over", revision=self.plant.revision, sensors=len(self.plant.sensors))

    async def commit(self, work: Work) -> Committed:
        """Store what was decoded; decodes again what was decoded for a plant, or a state, that is no more."""
        decoded = work.decoded
        if decoded is None or work.decoder is not self._decoder:
            decoded = self._decode(work.messages)
        if await self._provision(decoded):
            decoded = self._decode(work.messages)
        committed = await self.transaction.commit(self.connection, decoded, datetime.now(UTC))
        self._silence.observe(decoded.batch, time.monotonic())
        oldest_told_us = (time.time() - (self._options.tell_within_s or math.inf)) * 1e6
        if committed.newest_us is not None and committed.newest_us < oldest_told_us:
            self._backlog_at = time.monotonic()
        self._say_devices(committed.devices)
        return committed

    async def _provision(self, decoded: Decoded) -> bool:
        """Make the sensors that a batch asks for; whether there are any new ones."""
        wanted = [sensor for sensor in decoded.wanted if sensor.name not in self._not_made]
        if not wanted:
            return False
        made = await provision(self.connection, wanted)
        self._not_made.update({sensor.name for sensor in wanted} - set(made))
        if not made:
            return False
        _log.info("sensors_provisioned", sensors=len(made), first=made[0])
        await self.transaction.checkpoint(self.connection)
        await self.reload()
        return True

    async def look_around(self) -> list[Committed]:
        """What does not wait for readings, at most once a second.

        Devices that fell silent are stale; alarms that were held back are told; people's requests are done.
        """
        if time.monotonic() - self._looked_at < _LOOK_S:
            return []
        self._looked_at = time.monotonic()
        now = datetime.now(UTC)
        for name in await mark_silent(self.connection, now):
            _log.warning("device_silent", device=name)
        done = [await self.transaction.commit_requests(self.connection), await self._take_computed()]
        # What stands in the middle of a backlog may be over at its end.
        if time.monotonic() - self._backlog_at > _BACKLOG_S:
            done.append(await self.transaction.annunciate(self.connection, now))
        return [committed for committed in done if committed is not None]

    async def _take_computed(self) -> Committed | None:
        taken = await self.transaction.commit_computed(self.connection)
        if taken is None:
            return None
        committed, batch = taken
        self._silence.observe(batch, time.monotonic())
        return committed

    @staticmethod
    def _say_devices(changed: Recorded) -> None:
        for event, names in (
            ("device_online", changed.online),
            ("device_offline", changed.offline),
            ("device_quarantined", changed.quarantined),
        ):
            for name in names:
                _log.info(event, device=name)

    def _host(self, rows: SparkplugRows, devices: Sequence[Device]) -> SparkplugHost:
        """The Sparkplug host as of the last COMMIT."""
        options = self._options.host
        host = SparkplugHost.restore(
            rows.nodes,
            rows.metrics,
            offline=[device.name for device in devices if device.status is DeviceStatus.OFFLINE],
            mode=options.mode,
            limits=options.limits,
        )
        for device in devices:
            born = host.device(device.name)
            if born is not None:
                born.about = {key: value for key, value in device.properties.items() if isinstance(value, _PLAIN)}
        return host

    async def _recall_values(self) -> None:
        """The host knows what each metric was worth last: a death makes that STALE."""
        wanted = self._decoder.edge.live_sensors()
        if wanted:
            values = await read_last_values(self.connection, list(wanted))
            self._decoder.edge.recall(
                {
                    value.sensor_id: (to_micros(value.usable.time), value.usable.value)
                    for value in values
                    if value.usable is not None and value.usable == value.newest
                }
            )

    async def lose_edge_nodes(self) -> Committed:
        """The host's connection is lost: what edge nodes said last is STALE from now on."""
        decoded = self._decoder.cut_off(time.time_ns() // 1000)
        return await self.transaction.commit(self.connection, decoded, datetime.now(UTC))

    def ask_edge_nodes(self) -> list[Publication]:
        """Requests for the births of all edge nodes, where the host's mode allows them: after it was away."""
        return self._decoder.edge.ask_all(time.time_ns() // 1000)

    def edge_commands(self) -> list[Publication]:
        """Requests for births that are due because time went by."""
        return self._decoder.edge.tick(time.time_ns() // 1000)

    async def requested_commands(self) -> list[Publication]:
        """Commands that people have asked for since; those that cannot be sent are said to be refused."""
        publications = []
        for command in await pending_commands(self.connection):
            refused = None
            try:
                publications.append(
                    self._decoder.edge.write(
                        command.device,
                        command.metric,
                        command.value,
                        time.time_ns() // 1000,
                        mode=self._options.host.mode,
                    )
                )
            except ConfigurationError as error:
                refused = str(error)
            await settle_command(self.connection, command.id, refused)
            _log.info("device_command", device=command.device, metric=command.metric, refused=refused)
        return publications

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
        return await self.transaction.commit(self.connection, decoded, datetime.now(UTC))

    async def tick(self) -> Committed | None:
        """Let time pass where a sensor is silent and an alarm depends on it. At most some times a second."""
        if time.monotonic() - self._ticked_at < _TICK_S:
            return None
        self._ticked_at = time.monotonic()
        waiting = self._evaluation.waiting()
        if not waiting.size:
            return None
        tick = self._silence.tick(waiting, time.monotonic())
        return None if tick is None else await self.transaction.commit_tick(self.connection, tick)

    async def close(self) -> None:
        """Part from the database."""
        await _close(self.connection)


async def _close(connection: asyncpg.Connection) -> None:
    # A server that is away cannot say goodbye.
    with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
        await connection.close(timeout=2)
