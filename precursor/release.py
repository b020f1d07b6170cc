"""Release of readings that were kept aside: into history, stored and counted like an import, and not evaluated.

One transaction a piece takes readings out of quarantine, stores them, marks rollups, and counts them in the ledger, so
that a release that was killed goes on where it was. What cannot be stored stays where it is, and is told: a text may
have a meaning, and a unit a conversion, after the next `precursor apply`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg
import numpy as np
import numpy.typing as npt

from cbm import state_rollup
from ingest.limits import DoorLimits
from ingest.quarantine import HeldName, NotHeldError, list_held
from ingest.reasons import RejectReason
from telemetry import rollups
from telemetry.batch import ReadingBatch, to_datetime, to_micros
from telemetry.catalogue import name_list
from telemetry.editions import detect_async
from telemetry.errors import ConfigurationError
from telemetry.ledger import LedgerLine, RejectedRow, add_rejected, add_to_ledger
from telemetry.plant import AssetState, Sensor, SensorKind
from telemetry.plant_store import load_plant
from telemetry.retention import horizons
from telemetry.series import SeriesClass
from telemetry.sql import load_queries
from telemetry.store import ReadingStore
from telemetry.units import UnitError, conversion

if TYPE_CHECKING:
    # Not at run time: a command that releases needs no web framework.
    from api.quarantine import Releaser

__all__ = ["Released", "obstacle", "release", "releaser"]

_SQL = load_queries("ingest", "quarantine.sql")
_PIECE_ROWS = 20_000
_MICROS_PER_SECOND = 1_000_000
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)

Progress = Callable[[str, int, int], None]
"""told a name, how many of its readings were looked at, and of how many"""


@dataclass(slots=True, kw_only=True)
class Released:
    """What became of a held name's readings: those taken out are received = stored + duplicate + rejected."""

    name: str
    source: str
    """that sent them"""
    unit: str
    sensor: str
    """into whose history they go"""
    obstacle: str | None = None
    """why none of them can go there; None: nothing is in the way"""
    received: int = 0
    stored: int = 0
    duplicate: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """by reason; kept in `rejected`"""
    staying: Counter[str] = field(default_factory=Counter)
    """still kept aside, by the reason for which they cannot be stored"""
    details: dict[str, str] = field(default_factory=dict)
    """for each reason of `staying` what is wrong with the first of them, as a sentence for a person"""

    def document(self) -> dict[str, object]:
        """For JSON."""
        return {
            "name": self.name,
            "source": self.source,
            "unit": self.unit,
            "sensor": self.sensor,
            "obstacle": self.obstacle,
            "received": self.received,
            "stored": self.stored,
            "duplicate": self.duplicate,
            "rejected": self.rejected.total(),
            "rejected_by_reason": dict(sorted(self.rejected.items())),
            "staying": self.staying.total(),
            "staying_by_reason": dict(sorted(self.staying.items())),
            "details": dict(sorted(self.details.items())),
        }


async def release(
    connection: asyncpg.Connection,
    *,
    limits: DoorLimits,
    now: datetime,
    name: str | None = None,
    source: str | None = None,
    sensor: str | None = None,
    unit: str | None = None,
    rows: int = _PIECE_ROWS,
    on_progress: Progress = lambda name, done, total: None,
) -> list[Released]:
    """Move readings that are kept aside into history; the ledger counts them as `release:<source>`.

    `name`: those of this name, as `sensor` or as the sensor the plant has for it; without a name all for which the
    plant has a sensor by now. `source`: only what it sent. `unit`: what the values are in, whatever the device said.
    Outside a transaction.

    Raises:
        NotHeldError: nothing of this name is kept aside.
        ConfigurationError: the plant has no such sensor.
    """
    held = await list_held(connection, name=name, source=source)
    if name is not None and not held:
        raise NotHeldError(name, source)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        plant = await load_plant(connection)
        gone_before = (await horizons(connection)).get(SeriesClass.READINGS)
    if gone_before is not None:
        limits = replace(limits, earliest=max(limits.earliest, gone_before))
    sensors = {each.name: each for each in plant.sensors if each.kind is not SensorKind.DERIVED}
    if sensor is not None:
        if sensor not in sensors:
            raise ConfigurationError(f"the plant has no sensor {name_list([sensor], sensors)} that devices send")
        held = [replace(each, sensor=sensor) for each in held]
    elif name is not None and all(each.sensor is None for each in held):
        raise ConfigurationError(
            f"the plant has no sensor {name_list([name], sensors)}; add it to the plant file and apply it, or say which"
            " sensor it is with --as"
        )
    store = ReadingStore(await detect_async(connection))
    outcomes = []
    for each in held:
        target = sensors.get(each.sensor or "")
        if target is not None:
            given = each if unit is None else replace(each, unit=unit)
            work = _Release(connection, store, given, target, _Door(given, target, limits, now))
            outcomes.append(await work.run(rows, on_progress))
    return outcomes


def releaser(limits: DoorLimits) -> "Releaser":
    """The same for the HTTP interface, with these limits of the door."""

    async def release_name(
        connection: asyncpg.Connection, *, name: str, source: str | None, sensor: str | None, unit: str | None
    ) -> Sequence[Released]:
        now = datetime.now(UTC)
        return await release(connection, limits=limits, now=now, name=name, source=source, sensor=sensor, unit=unit)

    return release_name


def obstacle(unit: str, sensor: Sensor) -> str | None:
    """Why values in a unit, as sent, cannot become values of a sensor; None: they can."""
    try:
        _line(unit, sensor)
    except UnitError as error:
        return f"{sensor.name} is in {sensor.unit!r}: {error}; say what unit the values are in with --unit"
    return None


def _line(unit: str, sensor: Sensor) -> tuple[float, float]:
    """Factor and offset from values as sent to values as stored.

    Raises:
        UnitError: there are none.
    """
    if not unit or sensor.kind is SensorKind.STATE:
        return sensor.factor, sensor.offset
    return conversion(unit, sensor.unit)


class _Door:
    """Judges readings of a name as the door would, had they been the sensor's when they came."""

    def __init__(self, held: HeldName, sensor: Sensor, limits: DoorLimits, now: datetime) -> None:
        self._sensor = sensor
        self._limits = limits
        self._earliest_us = limits.oldest_us(to_micros(now))
        self._latest_us = to_micros(now) + round(limits.max_future_s * _MICROS_PER_SECOND)
        self.obstacle = obstacle(held.unit, sensor)
        self._factor, self._offset = (1.0, 0.0) if self.obstacle else _line(held.unit, sensor)

    def judge(self, rows: Sequence[asyncpg.Record]) -> tuple[ReadingBatch, dict[int, RejectReason]]:
        """All rows as readings, and why some of them are none, by position."""
        faults: dict[int, RejectReason] = {}
        unknown = RejectReason.UNKNOWN_STATE if self._sensor.codes else RejectReason.WRONG_TYPE
        values: npt.NDArray[np.float64] = np.array(
            [self._sensor.codes.get(row["text"], np.nan) if row["value"] is None else row["value"] for row in rows],
            np.float64,
        )
        for position in np.flatnonzero(np.isnan(values)).tolist():
            if rows[position]["value"] is None:
                faults[position] = unknown
        with np.errstate(over="ignore", invalid="ignore"):
            values = values * self._factor + self._offset
        batch = ReadingBatch.of(
            [to_micros(row["time"]) for row in rows],
            np.full(len(rows), self._sensor.id, np.int32),
            values,
            [row["quality"] for row in rows],
        )
        no_state = self._sensor.kind is SensorKind.STATE and ~np.isin(values, [float(state) for state in AssetState])
        for reason, mask in (
            (RejectReason.NOT_FINITE, ~np.isfinite(values)),
            (RejectReason.TOO_OLD_TIMESTAMP, batch.time < self._earliest_us),
            (RejectReason.FUTURE_TIMESTAMP, batch.time > self._latest_us),
            (RejectReason.UNKNOWN_STATE, np.broadcast_to(no_state, values.shape)),
        ):
            for position in np.flatnonzero(mask).tolist():
                faults.setdefault(position, reason)
        return batch, faults

    def detail(self, row: asyncpg.Record, reason: RejectReason) -> str:
        """What is wrong with a row, as a sentence for a person."""
        moment, sensor = row["time"].isoformat(), self._sensor
        if reason in {RejectReason.UNKNOWN_STATE, RejectReason.WRONG_TYPE}:
            sent = f"{row['value']:g}" if row["text"] is None else repr(row["text"])
            if not sensor.codes:
                return f"{sensor.name} takes numbers, not the text {sent}."
            known = ", ".join(map(repr, sensor.codes))[:200]
            return f"{sent} is no state of {sensor.name}; it has {known}. Add it to `states` in the plant file."
        if reason is RejectReason.NOT_FINITE:
            return f"The value at {moment}, converted to {sensor.unit!r}, is not a finite number."
        if reason is RejectReason.FUTURE_TIMESTAMP:
            return f"{moment} lies in the future; it can be released then."
        return f"{moment} lies before {to_datetime(self._earliest_us).isoformat()}, from when on readings are kept."


class _Release:
    """One name into one sensor's history."""

    def __init__(
        self, connection: asyncpg.Connection, store: ReadingStore, held: HeldName, sensor: Sensor, door: _Door
    ) -> None:
        self._connection = connection
        self._store = store
        self._held = held
        self._sensor = sensor
        self._door = door
        self._ledger = f"release:{held.source}"

    async def run(self, rows: int, on_progress: Progress) -> Released:
        """All readings that are kept aside now, in pieces of so many rows."""
        held, outcome = self._held, self._outcome()
        after, done = _BEFORE_ALL, 0
        while outcome.obstacle is None:
            page = await self._connection.fetch(_SQL["held_readings"], held.id, after, rows)
            if not page:
                await self._connection.execute(_SQL["drop_empty"], held.id)
                break
            await self._move(page, outcome)
            after, done = page[-1]["time"], done + len(page)
            on_progress(held.name, done, max(done, held.readings))
        return outcome

    def _outcome(self) -> Released:
        return Released(
            name=self._held.name,
            source=self._held.source,
            unit=self._held.unit,
            sensor=self._sensor.name,
            obstacle=self._door.obstacle,
        )

    async def _move(self, page: Sequence[asyncpg.Record], outcome: Released) -> None:
        """Take a piece out of quarantine, whole or not at all, and add it to the outcome once it is committed."""
        connection = self._connection
        judged, faults = self._door.judge(page)
        for position, reason in faults.items():
            outcome.staying[reason.value] += 1
            outcome.details.setdefault(reason.value, self._door.detail(page[position], reason))
        sound = np.ones(len(page), np.bool_)
        sound[list(faults)] = False
        batch = judged.take(sound)
        if not len(batch):
            return
        await self._store.make_room(connection, batch)
        # In the order of the engine's own transaction, so that the two never wait for each other in a circle.
        async with connection.transaction():
            await connection.fetch(_SQL["lock_name"], self._held.id)
            times = [to_datetime(time) for time in batch.time.tolist()]
            taken = await connection.fetch(_SQL["take_readings"], self._held.id, times)
            if len(taken) < len(batch):
                # Somebody else releases them, or threw them away.
                batch = batch.take(np.isin(batch.time, [to_micros(row["time"]) for row in taken]))
            written = await self._store.write(connection, batch)
            new = batch.take(written.stored)
            if self._sensor.kind is SensorKind.STATE:
                await state_rollup.touch(connection, new)
            conflicts = batch.take(written.conflicting)
            await add_rejected(connection, self._rejected_rows(conflicts))
            counts = (
                ("received", "", len(batch)),
                ("stored", "", len(new)),
                ("duplicate", "", int(written.duplicate.sum())),
                ("rejected", RejectReason.CONFLICTING_VALUE.value, len(conflicts)),
            )
            await add_to_ledger(
                connection,
                [
                    LedgerLine(source=self._ledger, outcome=result, reason=reason, readings=count)
                    for result, reason, count in counts
                    if count
                ],
            )
            await connection.execute(_SQL["count_down"], self._held.id, len(batch))
            await rollups.touch(connection, new)
        outcome.received += len(batch)
        outcome.stored += len(new)
        outcome.duplicate += int(written.duplicate.sum())
        if len(conflicts):
            outcome.rejected[RejectReason.CONFLICTING_VALUE.value] += len(conflicts)

    def _rejected_rows(self, conflicts: ReadingBatch) -> list[RejectedRow]:
        """Each of them: nothing else has them from now on."""
        return [
            self._rejected_row(
                {
                    "sensor": self._sensor.name,
                    "ts": to_datetime(time).isoformat(),
                    "value": value,
                    "quality": quality,
                }
            )
            for time, value, quality in zip(
                conflicts.time.tolist(), conflicts.value.tolist(), conflicts.quality.tolist(), strict=True
            )
        ]

    def _rejected_row(self, reading: Mapping[str, object]) -> RejectedRow:
        payload = json.dumps(reading).encode()
        reason = RejectReason.CONFLICTING_VALUE.value
        digest = hashlib.sha256("\0".join((self._ledger, self._held.name, reason)).encode() + b"\0" + payload)
        return RejectedRow(
            digest=digest.digest(),
            source=self._ledger,
            topic=self._held.name,
            reason=reason,
            detail=f"{self._sensor.name} has another value stored for {reading['ts']}; the first one stays.",
            payload=payload,
            payload_bytes=len(payload),
        )
