"""Data quality at the door: readings that are no measurements are said to be none, and counted by sensor.

Two kinds of checks. The range looks at a reading alone. The others compare it with what its sensor sent before:

- **flat line**: a value that has been the same for longer than `DoorChecks.flat_line_s` of event time is uncertain.
- **spike**: a value further than `DoorChecks.spike` from the last accepted one is suspicious. Whether it is a spike or
  a new level is known only later, and a reading is judged once: it is uncertain. The third one in a row that is within
  `spike` of the one before it is accepted, and with it the new level: a real step costs two uncertain readings.
- **wrong rate**: less than half, or more than twice `DoorChecks.rate_s` after the one before. Counted, not lowered.
- **clock jump back**: a time further behind the newest of its sensor than the usual distance of its readings (the rate,
  or else the last distance seen). Counted, not lowered. A gateway that sends what it kept is counted here as well.
- **repeated time**: another value for an instant that has one: two devices of one name, or a clock that stands still.

The comparing checks look at readings newer than all before of their sensor, in order of arrival. So what a restarted
broker delivers again is not judged twice, and how the stream is cut into batches does not matter. Bad and stale
readings are no values to compare with; stale ones are not of the sensor's clock either.

State is advanced by `DoorCheckState.fold` alone, with readings as they were stored: the evaluation's journal has those,
so that the state after a crash is the state before it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg
import numpy as np
import numpy.typing as npt

from ingest.door_history import NEVER, History, Mask, Positions, grouped, starts_of
from telemetry.batch import ReadingBatch
from telemetry.plant import DoorChecks, Sensor
from telemetry.quality import Quality, usable
from telemetry.snapshot import pack, unpack
from telemetry.sql import load_queries
from telemetry.store import Written

__all__ = ["DoorCheckState", "Finding", "Findings", "Judged", "counted", "record_findings"]

_SQL = load_queries("ingest", "door_checks.sql")
_LABEL = "door-checks/1"
_MICROS = 1_000_000
_EVER = 2**62
"""µs: longer than anything lasts"""


class Finding(StrEnum):
    """What a check found. Stored as written here."""

    OUT_OF_RANGE = "out_of_range"
    FLAT_LINE = "flat_line"
    SPIKE = "spike"
    WRONG_RATE = "wrong_rate"
    CLOCK_JUMP_BACK = "clock_jump_back"
    REPEATED_TIME = "repeated_time"
    FUTURE = "future"
    """turned away: the device's clock runs ahead of ours"""
    TOO_OLD = "too_old"
    """turned away: its clock was never set, or readings of that age are kept no more"""


Findings = Counter[tuple[int, Finding]]
"""readings by sensor id and finding; findings of several sources add up with `update`"""

_LOWERS = {Finding.OUT_OF_RANGE: Quality.BAD, Finding.FLAT_LINE: Quality.UNCERTAIN, Finding.SPIKE: Quality.UNCERTAIN}


def counted(sensor_id: npt.NDArray[np.int32], finding: Finding) -> Findings:
    """One finding for each reading of these sensors."""
    ids, counts = np.unique(sensor_id, return_counts=True)
    return Findings({(sensor, finding): count for sensor, count in zip(ids.tolist(), counts.tolist(), strict=True)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the checks make of a batch."""

    batch: ReadingBatch
    """the readings in the same order, quality lowered where something was found"""
    found: Mapping[Finding, Mask]
    """which readings of the batch each finding is of; findings without any are left out"""

    def findings(self, written: Written) -> Findings:
        """What is to be counted, once it is known which readings are new: what was there before, was counted then."""
        findings = Findings()
        for finding, mask in self.found.items():
            findings.update(counted(self.batch.sensor_id[mask & written.stored], finding))
        if written.conflicting.any():
            findings.update(counted(self.batch.sensor_id[written.conflicting], Finding.REPEATED_TIME))
        return findings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Passed:
    """What a pass over a batch came to."""

    told: ReadingBatch
    """the readings that were compared"""
    found: dict[Finding, Positions]
    """positions in the batch"""
    rows: Positions
    """of sensors whose state it changes"""
    history: History
    """what is remembered of them after it"""


class DoorCheckState:
    """The checks of a plant's sensors. Sensors without any cost nothing."""

    def __init__(self, sensors: Iterable[Sensor]) -> None:
        checked = sorted((sensor.id, sensor.checks) for sensor in sensors if sensor.checks)
        ranged = [(id_, checks) for id_, checks in checked if checks.low is not None or checks.high is not None]
        self._ranged = _Lookup([id_ for id_, _ in ranged])
        self._low = np.array([_or(checks.low, -np.inf) for _, checks in ranged], np.float64)
        self._high = np.array([_or(checks.high, np.inf) for _, checks in ranged], np.float64)
        compared = [(id_, checks) for id_, checks in checked if _compares(checks)]
        self._compared = _Lookup([id_ for id_, _ in compared])
        self._flat = np.array([_micros(checks.flat_line_s, _EVER) for _, checks in compared], np.int64)
        self._spike = np.array([_or(checks.spike, np.inf) for _, checks in compared], np.float64)
        self._rate = np.array([_micros(checks.rate_s, 0) for _, checks in compared], np.int64)
        self._soonest = (self._rate + 1) // 2
        self._latest = np.where(self._rate > 0, 2 * self._rate, _EVER)
        self._history = History.fresh(len(compared))
        self._ahead: _Passed | None = None
        """what the last batch judged comes to if all of it is new, as it nearly always is"""

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        """The sensors whose readings are compared with what came before, sorted: `fold` has to see them."""
        return self._compared.ids

    def judge(self, batch: ReadingBatch, historical: Mask | None = None) -> Judged:
        """What the checks make of readings in order of arrival; changes no state.

        `historical`: readings that are no news, such as Sparkplug's `is_historical`. They are not compared.
        """
        outside = self._outside(batch)
        found = {Finding.OUT_OF_RANGE: outside}
        self._ahead = self._pass(batch, self._told(batch, historical), outside)
        found.update(self._ahead.found)
        masks: dict[Finding, Mask] = {}
        quality = batch.quality
        for finding, positions in found.items():
            if not positions.size:
                continue
            masks[finding] = np.zeros(len(batch), np.bool_)
            masks[finding][positions] = True
            if finding in _LOWERS:
                quality = quality.copy() if quality is batch.quality else quality
                quality[positions] = np.maximum(quality[positions], _LOWERS[finding])
        if quality is not batch.quality:
            batch = ReadingBatch(time=batch.time, sensor_id=batch.sensor_id, value=batch.value, quality=quality)
        return Judged(batch=batch, found=masks)

    def fold(self, batch: ReadingBatch) -> None:
        """Take over readings that were stored, with the quality they were stored with, in order of arrival."""
        told = self._told(batch, None)
        passed, self._ahead = self._ahead, None
        if passed is None or not _same(passed.told, batch.take(told)):
            passed = self._pass(batch, told, self._outside(batch))
        self._history.put(passed.rows, passed.history)

    def snapshot(self) -> bytes:
        """The whole state; `restore` continues from it exactly. Sensors never heard take no room."""
        heard = np.flatnonzero(self._history.newest != NEVER)
        return pack(_LABEL, {"sensor_id": self._compared.ids[heard], **self._history.take(heard).arrays()})

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot, also one of other sensors: those it does not have start fresh.

        Raises:
            StateError: the bytes are damaged or of another kind.
        """
        arrays = unpack(_LABEL, body)
        rows, positions = self._compared.find(arrays.pop("sensor_id"))
        self._ahead = None
        self._history = History.fresh(self._compared.ids.size)
        self._history.put(rows, History(**arrays).take(positions))

    def _outside(self, batch: ReadingBatch) -> Positions:
        """Positions of readings that no sensor of this kind can measure."""
        rows, positions = self._ranged.find(batch.sensor_id)
        value = batch.value[positions]
        return positions[(value < self._low[rows]) | (value > self._high[rows])]

    def _told(self, batch: ReadingBatch, historical: Mask | None) -> Positions:
        """Positions of readings that are compared with what came before."""
        if not self._compared.ids.size:
            return np.empty(0, np.intp)
        told = self._compared.rows(batch.sensor_id) >= 0
        told &= batch.quality != Quality.STALE
        if historical is not None:
            told &= ~historical
        return np.flatnonzero(told)

    def _pass(self, batch: ReadingBatch, positions: Positions, outside: Positions) -> _Passed:
        """Compare the readings at these positions with what came before; `outside`: those that have no value."""
        told = batch.take(positions)
        rows = self._compared.rows(told.sensor_id)
        found = dict[Finding, Positions]()
        if not rows.size:
            return _Passed(told=told, found=found, rows=rows, history=self._history.take(rows))
        arrival = grouped(rows, self._compared.ids.size)
        rows, positions = rows[arrival], positions[arrival]
        starts = starts_of(rows)
        has_value = usable(batch.quality)
        has_value[outside] = False

        touched = rows[starts]
        after = self._history.take(touched)
        time = batch.time[positions]
        before = after.highest_before(time, starts)
        distance, newer = time - before, time > before
        measured = newer & (before != NEVER)
        found[Finding.WRONG_RATE] = positions[
            measured & ((distance < self._soonest[rows]) | (distance > self._latest[rows]))
        ]
        if not newer.all():
            rate = self._rate[rows]
            allowed = np.where(rate > 0, rate, after.usual_distance(distance, measured, starts))
            found[Finding.CLOCK_JUMP_BACK] = positions[~newer & (allowed > 0) & (-distance > allowed)]
        after.take_times(time, distance, measured, starts)

        judged = np.flatnonzero(newer & has_value[positions])
        if judged.size:
            if judged.size < rows.size:
                rows, positions, time = rows[judged], positions[judged], time[judged]
                starts = starts_of(rows)
            value, owner = batch.value[positions], np.searchsorted(touched, rows[starts])
            flat = time - after.take_held(owner, time, value, starts) > self._flat[rows]
            spiky = after.take_level(owner, value, self._spike[rows], starts)
            found[Finding.FLAT_LINE], found[Finding.SPIKE] = positions[flat], positions[spiky]
        return _Passed(told=told, found=found, rows=touched, history=after)


class _Lookup:
    """Finds the rows of some sensors among many readings."""

    def __init__(self, ids: list[int]) -> None:
        self.ids = np.array(ids, np.int32)
        """sorted"""
        # By id, with one more for all that are greater: sensors are numbered from 1 on.
        self._row = np.full(max(ids, default=0) + 2, -1, np.intp)
        self._row[self.ids] = np.arange(self.ids.size)

    def rows(self, sensor_id: npt.NDArray[np.int32]) -> Positions:
        """The row of each reading; -1: it is of another sensor."""
        return self._row[np.minimum(sensor_id, self._row.size - 1)]

    def find(self, sensor_id: npt.NDArray[np.int32]) -> tuple[Positions, Positions]:
        """Rows of the readings that are of these sensors, and the positions of those readings."""
        if not self.ids.size:
            return np.empty(0, np.intp), np.empty(0, np.intp)
        rows = self.rows(sensor_id)
        positions = np.flatnonzero(rows >= 0)
        return rows[positions], positions


def _same(one: ReadingBatch, other: ReadingBatch) -> bool:
    """Whether two batches have the same readings, be their quality lowered or not."""
    return (
        np.array_equal(one.time, other.time)
        and np.array_equal(one.sensor_id, other.sensor_id)
        and np.array_equal(one.value, other.value)
    )


def _compares(checks: DoorChecks) -> bool:
    return checks.flat_line_s is not None or checks.spike is not None or checks.rate_s is not None


def _micros(seconds: float | None, otherwise: int) -> int:
    return otherwise if seconds is None else round(seconds * _MICROS)


def _or(number: float | None, otherwise: float) -> float:
    return otherwise if number is None else number


async def record_findings(connection: asyncpg.Connection, findings: Findings, now: datetime) -> None:
    """Add up what was found. `now`: the wall clock."""
    if findings:
        await connection.execute(
            _SQL["record_findings"],
            [sensor for sensor, _ in findings],
            [str(finding) for _, finding in findings],
            list(findings.values()),
            now,
        )
