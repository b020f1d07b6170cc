"""Sensor faults of many assets at once, while their readings stream by."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from models.runs import Runs
from models.sensor_faults.arrivals import take_in
from models.sensor_faults.coupling import Coupling
from models.sensor_faults.findings import SensorFault, SensorFindings
from models.sensor_faults.layout import Layout
from models.sensor_faults.readings import SPIKE_SIGMAS, ReadingState, spike_sigmas
from models.sensor_faults.state import NEVER, WINDOW_US, Column, Habits, Hour, Index, Looked, Mask, Window
from telemetry.batch import ReadingBatch
from telemetry.quality import usable
from telemetry.snapshot import pack, unpack

__all__ = ["SensorFaults"]

_LABEL = "sensor-faults/1"
_WINDOWS_AN_HOUR = 6
_DAY_WINDOWS = 144
_FORGET = float(np.exp(-1 / _DAY_WINDOWS))
"""of what happened a day ago, 1/e is left"""
_NOISE_MEMORY = 1 / 36
"""weight of a window in the noise there is now: six hours are looked at"""
_SPIKES_A_DAY = 3.0
"""a single one is no fault"""
_MISSING_A_DAY = 0.05
"""part of a day without readings that is one"""
_CLEARS = 0.5
"""a finding ends when its score is below this"""


class SensorFaults:
    """Tells what is wrong with sensors themselves, by limits each sets for itself.

    - **stuck**: a value that repeats more often than that sensor ever does, while the machine runs and most other
      sensors of the asset move;
    - **spikes**: readings far off between two that agree, three or more a day;
    - **dropout**: more than a twentieth of a day is missing, or bad, while other sensors of the asset go on;
    - **drift**: hourly means leave what the other sensors of the asset say (`Coupling`), and they agree among each
      other without it. What the others say nothing about cannot be told.

    A deterministic fold over event time. What is found does not depend on how the stream is cut into batches as long
    as the sensors of an asset are no more than ten minutes apart; what comes later than that counts as missing. Sensors
    of one asset alone cannot drift here, and nothing is common to others.

    Args:
        assets: the sensors of each asset, by ids; each sensor once. State sensors are no sensors here.
        machine_side: by sensor, the side to which it leaves the others if it is the machine, and not the sensor: 1, a
            rise, for vibration, which faults raise where they are; -1, a fall, for flow and pressure, which leaks and
            clogged filters lower, and nothing near shows it. A departure to that side is never a drift, one to the
            other side is. Not given: neither; heat spreads, so that a temperature that rises alone is its sensor's.
        warmup: readings of the machine at work a sensor is learned from.
        hours: full hours at work in a row with the one before that an asset is learned from, for drift.
    """

    def __init__(
        self,
        assets: Mapping[int, Sequence[int]],
        *,
        machine_side: Mapping[int, int] = MappingProxyType({}),
        warmup: int = 500,
        hours: int = 168,
    ) -> None:
        self._layout = Layout(assets)
        self._warmup = warmup
        table = self._layout.table
        side = np.array([machine_side.get(sensor, 0) for sensor in table.ravel().tolist()], np.int8)
        self._coupling = Coupling(table >= 0, side.reshape(table.shape), hours=hours)
        self._fresh()

    def _fresh(self) -> None:
        assets, positions = self._layout.asset_ids.size, self._layout.sensor_at.size
        self._readings = ReadingState.fresh(positions)
        self._windows = (Window.fresh(assets, positions), Window.fresh(assets, positions))
        self._habits = Habits.fresh(positions)
        self._hour = Hour.fresh(assets, positions)
        self._coupling.forget(np.arange(assets))

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        """The sensors looked at, sorted, each once."""
        return self._layout.sensor_ids

    @property
    def standing(self) -> dict[int, SensorFault]:
        """What is wrong with which sensor, by what is known so far."""
        found = self._habits.found.astype(np.int64)
        return {int(self._layout.sensor_at[p]): SensorFault(int(found[p])) for p in np.flatnonzero(found).tolist()}

    def fold(self, batch: ReadingBatch, running: Mask | None = None) -> SensorFindings:
        """Findings that began, changed or ended with these readings.

        Args:
            batch: readings of `sensor_ids` only, sorted by (sensor_id, time). Bad and stale ones are missing ones.
            running: where the machine was at work (`models.operating.RunningGate`); None: always. Readings at rest
                show that the sensor is alive, nothing else.

        Raises:
            ValueError: the batch has a reading of another sensor.
        """
        runs = Runs.of(batch, self._layout.sensor_ids, self._layout.position)
        works = np.ones(len(batch), np.bool_) if running is None else running
        says = usable(batch.quality) & np.isfinite(batch.value)
        if not says.all():
            runs, works = runs.take(says), works[says]
        if (np.diff(runs.place) < 0).any():
            # By position, not by id: those of an asset need not be numbered in a row.
            runs, order = runs.by_place()
            works = works[order]
        newer = np.empty(runs.time.size, np.bool_)
        newer[1:] = runs.time[1:] > runs.time[:-1]
        newer[runs.first()] = runs.time[runs.first()] > self._habits.heard[runs.place]
        if not newer.all():
            runs, works = runs.take(newer), works[newer]
        return self._gather(take_in(runs, works, self._habits, self._readings, self._warmup))

    def _gather(self, readings: Looked) -> SensorFindings:
        """Put readings into their windows, closing those that are over."""
        number = readings.time // WINDOW_US
        if number.size and (number != number[0]).any():
            # Window by window side by side in memory: nothing is looked for twice.
            order = np.argsort(number, kind="stable")
            readings, number = readings.take(order), number[order]
        changes: list[SensorFindings] = []
        for begin, end in pairwise([*_begins(number).tolist(), number.size]):
            window = int(number[begin])
            part = readings.take(slice(begin, end))
            first = _begins(part.position)
            asset = part.position[first] // self._layout.most
            changes.extend(self._close_before(window - 1, asset[_begins(asset)]))
            self._windows[window % 2].add(window, part, first, self._layout.most)
        return _joined(changes)

    def _close_before(self, number: int, assets: Index) -> Iterator[SensorFindings]:
        """Close the windows of some assets that are older than this one, in their order."""
        due = {int(at): slot for slot in self._windows for at in np.unique(slot.at[assets]) if NEVER < at < number}
        for at, slot in sorted(due.items(), key=lambda item: item[0]):
            yield self._close(slot, assets[slot.at[assets] == at], at)

    def _close(self, slot: Window, assets: Index, at: int) -> SensorFindings:
        """Take a window of some assets as it is: nothing that comes later counts."""
        habits = self._habits
        begin, end = at * WINDOW_US, (at + 1) * WINDOW_US
        positions = self._layout.of(assets)
        heard = slot.last[positions] != NEVER
        alive = habits.alive[positions]
        limit = habits.gap_limit(self._warmup)[positions]
        until = np.where(heard, slot.first[positions], end)
        ever = (alive != NEVER) & (begin >= habits.learned[positions])
        silent = np.where(ever, np.maximum(until - alive - limit, 0.0) - np.maximum(begin - alive - limit, 0.0), 0.0)
        missing = np.clip(silent, 0.0, WINDOW_US) + slot.gaps[positions]
        missing[self._layout.common(positions, missing > WINDOW_US / 2)] = 0.0
        spikes = self._spikes(slot, positions)
        spikes[self._layout.common(positions, spikes > 0)] = 0.0
        habits.missing_us[positions] = _FORGET * habits.missing_us[positions] + missing
        habits.spikes[positions] = _FORGET * habits.spikes[positions] + spikes
        run = slot.run[positions]
        stuck = np.where(np.isnan(run), habits.stuck[positions], run)
        stuck[self._layout.common(positions, stuck >= 1)] = 0.0
        habits.stuck[positions] = stuck
        habits.alive[positions] = np.where(heard, slot.last[positions], alive)
        self._hourly(slot, assets, at // _WINDOWS_AN_HOUR)
        slot.clear(assets, positions)
        return self._found(positions, end)

    def _spikes(self, slot: Window, positions: Index) -> Column:
        """Spikes of a window, if they stand out of the noise there is now: with a fault it grows."""
        spikes, stepped = slot.spikes[positions], slot.stepped[positions]
        # There and back: a spike is two steps.
        steps = np.maximum(slot.steps[positions] - 2 * slot.off[positions], 0.0)
        others = stepped - 2 * spikes
        noise = self._habits.noise[positions]
        now = np.where(others > 0, steps / np.maximum(others, 1), noise)
        noise = np.where(noise == 0, now, noise + _NOISE_MEMORY * (now - noise))
        self._habits.noise[positions] = noise
        off = slot.off[positions] / np.maximum(spikes, 1)
        return np.where(spike_sigmas(off, noise) >= SPIKE_SIGMAS, spikes, 0.0)

    def _hourly(self, slot: Window, assets: Index, number: int) -> None:
        hour = self._hour
        over = assets[hour.at[assets] != number]
        if over.size:
            full = over[(hour.at[over] != NEVER) & ~hour.rested[over]]
            # After a start, heat needs an hour; the mean of the first says nothing.
            ready = full[hour.before[full] == hour.at[full] - 1]
            if ready.size:
                self._compare(ready)
            hour.before[full] = hour.at[full]
            gone = self._layout.every(over).ravel()
            hour.total[gone] = hour.count[gone] = 0.0
            hour.odd[gone] = False
            hour.rested[over] = False
            hour.at[over] = number
        positions = self._layout.of(assets)
        hour.total[positions] += slot.total[positions]
        hour.count[positions] += slot.count[positions]
        found = self._habits.found[positions]
        hour.odd[positions] |= (found == SensorFault.STUCK) | (found == SensorFault.SPIKES)
        hour.rested[assets] |= slot.rested[assets]

    def _compare(self, assets: Index) -> None:
        every = self._layout.every(assets)
        count = self._hour.count[every]
        # What a sensor says that is known to be wrong, the others are not compared with.
        told = (count > 0) & ~self._hour.odd[every]
        mean = np.where(told, self._hour.total[every] / np.maximum(count, 1), np.nan)
        self._habits.drift[every] = self._coupling.fold(assets, mean)

    def _found(self, positions: Index, end: int) -> SensorFindings:
        habits = self._habits
        scores = {
            SensorFault.DRIFT: habits.drift[positions],
            SensorFault.SPIKES: habits.spikes[positions] / _SPIKES_A_DAY,
            SensorFault.STUCK: habits.stuck[positions],
            SensorFault.DROPOUT: habits.missing_us[positions] / (_MISSING_A_DAY * _DAY_WINDOWS * WINDOW_US),
        }
        before = habits.found[positions]
        now, score = np.zeros(positions.size), np.zeros(positions.size)
        for kind, measured in scores.items():
            holds = (measured >= 1) | ((before == kind) & (measured >= _CLEARS))
            now[holds] = kind
            score = np.where(holds, measured, score)
        habits.found[positions] = now
        changed = np.flatnonzero(now != before)
        return SensorFindings(
            sensor_id=self._layout.sensor_at[positions[changed]],
            time=np.full(changed.size, end, np.int64),
            kind=now[changed].astype(np.int8),
            score=score[changed],
        )

    def rebaseline(self, sensor_ids: npt.NDArray[np.int32]) -> None:
        """Forget these sensors, and what they say of the others of their assets; they are learned anew."""
        positions = self._layout.position[np.isin(self._layout.sensor_ids, sensor_ids)]
        self._readings.forget(positions)
        fresh = Habits.fresh(self._layout.sensor_at.size)
        for field in fields(Habits):
            getattr(self._habits, field.name)[positions] = getattr(fresh, field.name)[positions]
        assets = np.unique(positions // self._layout.most)
        for slot in self._windows:
            slot.clear(assets, self._layout.of(assets))
        self._hour.forget(assets, self._layout.of(assets))
        self._coupling.forget(assets)
        self._habits.drift[self._layout.of(assets)] = 0.0

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All state by name, as it is."""
        parts: dict[str, Any] = {
            "window0": self._windows[0],
            "window1": self._windows[1],
            "habits": self._habits,
            "hour": self._hour,
            "reading": self._readings,
            "coupling": self._coupling.state,
        }
        return {
            f"{name}.{field.name}": getattr(part, field.name) for name, part in parts.items() for field in fields(part)
        }

    def snapshot(self) -> bytes:
        """The whole state; its size depends on the sensors alone."""
        return pack(_LABEL, {"asset_id": self._layout.asset_ids, "layout": self._layout.table, **self._arrays()})

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot, matched by asset with the same sensors in the same order; others start fresh.

        Raises:
            StateError: the bytes are damaged or of another kind.
        """
        stored = unpack(_LABEL, body)
        self._fresh()
        theirs = stored.pop("layout")
        here, there = self._layout.same(stored.pop("asset_id"), theirs)
        shape = self._layout.table.shape
        for name, array in self._arrays().items():
            new, old = _by_asset(array, shape), _by_asset(stored[name], theirs.shape)
            inner: tuple[slice, ...] = tuple(slice(min(shape[1], theirs.shape[1])) for _ in range(new.ndim - 1))
            mine_at: tuple[Any, ...] = (here, *inner)
            theirs_at: tuple[Any, ...] = (there, *inner)
            new[mine_at] = old[theirs_at]
        self._coupling.refresh()


def _by_asset(array: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """A view with a row an asset, of an array with one a sensor."""
    return array.reshape(shape) if array.ndim == 1 and array.size == shape[0] * shape[1] != shape[0] else array


def _begins(column: npt.NDArray[np.int64]) -> Index:
    """Where stretches of equal numbers begin."""
    return np.concatenate((np.zeros(min(1, column.size), np.intp), np.flatnonzero(column[1:] != column[:-1]) + 1))


def _joined(findings: list[SensorFindings]) -> SensorFindings:
    parts = [each for each in findings if len(each)]
    if not parts:
        return SensorFindings(
            sensor_id=np.empty(0, np.int32),
            time=np.empty(0, np.int64),
            kind=np.empty(0, np.int8),
            score=np.empty(0, np.float64),
        )
    columns = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(SensorFindings)
    }
    order = np.lexsort((columns["sensor_id"], columns["time"]))
    return SensorFindings(**{name: column[order] for name, column in columns.items()})
