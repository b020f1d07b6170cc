"""Sensor faults of many assets at once, while their readings stream by."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from models.sensor_faults.coupling import Coupling
from models.sensor_faults.findings import SensorFault, SensorFindings
from models.sensor_faults.readings import SPIKE_SIGMAS, ReadingState, look, spike_sigmas
from models.sensor_faults.state import NEVER, Column, Habits, Hour, Index, Looked, Mask, Times, Window
from telemetry.batch import ReadingBatch
from telemetry.quality import usable
from telemetry.snapshot import pack, unpack

__all__ = ["SensorFaults"]

_LABEL = "sensor-faults/1"
_WINDOW_US = 600_000_000
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
_USUAL_GAPS = 3.0
"""a gap is longer than so many usual distances between readings"""
_LONGEST_GAP = 10.0
"""gaps beyond so many usual distances are no habit of the sensor, also while it is learned"""
_COMMON = 0.25
"""part of an asset's sensors that may have the same trouble at once; if more have it, it is none of the sensors:
the machine stands, a gateway is silent"""
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
        self._asset_ids = np.array(sorted(assets), np.int32)
        self._most = max((len(sensors) for sensors in assets.values()), default=0)
        count = self._asset_ids.size
        layout = np.full((count, self._most), -1, np.int32)
        for row, asset in enumerate(self._asset_ids.tolist()):
            layout[row, : len(assets[asset])] = assets[asset]
        self._present = layout >= 0
        self._layout = layout.ravel()
        positions = np.flatnonzero(self._layout >= 0)
        by_id = np.argsort(self._layout[positions], kind="stable")
        self._position = positions[by_id]
        self._sensor_ids = self._layout[self._position]
        if np.unique(self._sensor_ids).size != self._sensor_ids.size:
            raise ValueError("a sensor is given to two assets, or twice")
        self._warmup = warmup
        side = np.array([machine_side.get(sensor, 0) for sensor in self._layout.tolist()], np.int8)
        self._coupling = Coupling(self._present, side.reshape(layout.shape), hours=hours)
        self._fresh()

    def _fresh(self) -> None:
        assets, positions = self._asset_ids.size, self._layout.size
        self._readings = ReadingState.fresh(positions)
        self._windows = (Window.fresh(assets, positions), Window.fresh(assets, positions))
        self._habits = Habits.fresh(positions)
        self._hour = Hour.fresh(assets, positions)
        self._coupling.forget(np.arange(assets))

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        """The sensors looked at, sorted, each once."""
        return self._sensor_ids

    @property
    def standing(self) -> dict[int, SensorFault]:
        """What is wrong with which sensor, by what is known so far."""
        found = self._habits.found.astype(np.int64)
        return {int(self._layout[p]): SensorFault(int(found[p])) for p in np.flatnonzero(found).tolist()}

    def fold(self, batch: ReadingBatch, running: Mask | None = None) -> SensorFindings:
        """Findings that began, changed or ended with these readings.

        Args:
            batch: readings of `sensor_ids` only, sorted by (sensor_id, time). Bad and stale ones are missing ones.
            running: where the machine was at work (`models.operating.RunningGate`); None: always. Readings at rest
                show that the sensor is alive, nothing else.

        Raises:
            ValueError: the batch has a reading of another sensor.
        """
        row = np.searchsorted(self._sensor_ids, batch.sensor_id)
        known = row < self._sensor_ids.size
        known[known] = self._sensor_ids[row[known]] == batch.sensor_id[known]
        if not len(batch):
            return _joined([])
        if not known.all():
            raise ValueError(
                f"readings of sensors that are not looked at: {np.unique(batch.sensor_id[~known]).tolist()}"
            )
        says = np.flatnonzero(usable(batch.quality) & np.isfinite(batch.value))
        position, time, value = self._position[row[says]], batch.time[says], batch.value[says]
        # By position, not by id: those of an asset need not be numbered in a row.
        order = np.argsort(position, kind="stable")
        position, time, value = position[order], time[order], value[order]
        works = np.ones(says.size, np.bool_) if running is None else running[says][order]
        newer = time > np.where(np.diff(position, prepend=-1) != 0, self._habits.heard[position], _shifted(time))
        if not newer.all():
            position, time, value, works = position[newer], time[newer], value[newer], works[newer]
        gap = self._distances(position, time)
        run, spike, step = self._looked(position, time, value, works, gap)
        return self._gather(
            Looked(position=position, time=time, value=value, works=works, gap=gap, run=run, spike=spike, step=step)
        )

    def _distances(self, position: Index, time: Times) -> Column:
        """µs beyond a usual gap since the reading before, while learning how usual they are."""
        habits = self._habits
        before = _shifted(time)
        first = np.flatnonzero(np.diff(position, prepend=-1))
        owner = position[first]
        before[first] = habits.heard[owner]
        distance = np.where(before == NEVER, np.nan, (time - np.maximum(before, 0)).astype(np.float64))
        length = np.diff(first, append=position.size)
        # The very first reading has no distance to learn from.
        rank = np.arange(position.size) - np.repeat(first + np.isnan(distance[first]), length)
        learning = (habits.readings[position] + rank < self._warmup) & ~np.isnan(distance)
        learned = np.flatnonzero(learning)
        if learned.size:
            rows = position[learned]
            # The sum; `_gap_limit` divides.
            np.add.at(habits.readings, rows, 1.0)
            np.add.at(habits.usual_us, rows, distance[learned])
            np.maximum.at(habits.longest_us, rows, distance[learned])
            last = learned[habits.readings[rows] >= self._warmup]
            habits.learned[position[last]] = time[last]
        habits.heard[owner] = time[first + length - 1]
        return np.where(learning | np.isnan(distance), 0.0, np.maximum(distance - self._gap_limit()[position], 0.0))

    def _gap_limit(self) -> Column:
        """µs; infinite until it is learned."""
        habits = self._habits
        usual = habits.usual_us / np.maximum(habits.readings, 1)
        limit = np.maximum(_USUAL_GAPS * usual, np.minimum(1.5 * habits.longest_us, _LONGEST_GAP * usual))
        return np.where(habits.readings >= self._warmup, limit, np.inf)

    def _looked(
        self, position: Index, time: Times, value: Column, works: Mask, gap: Column
    ) -> tuple[Column, Column, Column]:
        """`Looked.run`, `Looked.spike`, `Looked.step`; at rest NaN, 0 and NaN."""
        run, spike, step = np.full(position.size, np.nan), np.zeros(position.size), np.full(position.size, np.nan)
        at = np.flatnonzero(works)
        if at.size:
            rows = position[at]
            before = _shifted(time[at])
            first = np.flatnonzero(np.diff(rows, prepend=-1))
            before[first] = self._habits.worked[rows[first]]
            # Nothing lies between two readings at work but the usual distance.
            close = (before != NEVER) & (gap[at] == 0) & (time[at] - before < _WINDOW_US)
            seen = look(self._readings, rows, value[at], close, self._warmup)
            run[at], spike[at], step[at] = seen.run, seen.spike, seen.step
            last = np.append(first[1:], rows.size) - 1
            self._habits.worked[rows[last]] = time[at][last]
        return run, spike, step

    def _gather(self, readings: Looked) -> SensorFindings:
        """Put readings into their windows, closing those that are over."""
        number = readings.time // _WINDOW_US
        # Window by window side by side in memory: nothing is looked for twice.
        order = np.argsort(number, kind="stable")
        sorted_ = Looked(**{field.name: getattr(readings, field.name)[order] for field in fields(Looked)})
        number = number[order]
        bounds = np.flatnonzero(np.diff(number, prepend=NEVER, append=-NEVER)).tolist()
        changes: list[SensorFindings] = []
        for begin, end in pairwise(bounds):
            window = int(number[begin])
            part = Looked(**{field.name: getattr(sorted_, field.name)[begin:end] for field in fields(Looked)})
            asset = part.position // self._most
            assets = np.flatnonzero(np.bincount(asset, minlength=self._asset_ids.size))
            changes.extend(self._close_before(window - 1, assets))
            self._add(self._windows[window % 2], window, part, asset)
        return _joined(changes)

    def _close_before(self, number: int, assets: Index) -> Iterator[SensorFindings]:
        """Close the windows of some assets that are older than this one, in their order."""
        due = {int(at): slot for slot in self._windows for at in np.unique(slot.at[assets]) if NEVER < at < number}
        for at, slot in sorted(due.items(), key=lambda item: item[0]):
            yield self._close(slot, assets[slot.at[assets] == at], at)

    def _add(self, slot: Window, window: int, readings: Looked, asset: Index) -> None:
        late = slot.at[asset] > window
        if late.any():
            readings = Looked(**{field.name: getattr(readings, field.name)[~late] for field in fields(Looked)})
            asset = asset[~late]
        position, time, works = readings.position, readings.time, readings.works
        slot.at[asset] = window
        slot.rested[asset[~works]] = True
        np.minimum.at(slot.first, position, time)
        np.maximum.at(slot.last, position, time)
        # What lies before the first reading of a window is counted when it closes.
        inside = np.flatnonzero((readings.gap > 0) & (time > slot.first[position]))
        np.add.at(slot.gaps, position[inside], readings.gap[inside])
        np.add.at(slot.total, position, np.where(works, readings.value, 0.0))
        np.add.at(slot.count, position, works.astype(np.float64))
        slot.run[position[works]] = readings.run[works]
        off = np.flatnonzero(readings.spike > 0)
        np.add.at(slot.spikes, position[off], 1.0)
        np.add.at(slot.off, position[off], readings.spike[off])
        stepped = ~np.isnan(readings.step)
        np.add.at(slot.steps, position, np.where(stepped, readings.step, 0.0))
        np.add.at(slot.stepped, position, stepped.astype(np.float64))

    def _close(self, slot: Window, assets: Index, at: int) -> SensorFindings:
        """Take a window of some assets as it is: nothing that comes later counts."""
        habits = self._habits
        begin, end = at * _WINDOW_US, (at + 1) * _WINDOW_US
        positions = self._of(assets)
        heard = slot.last[positions] != NEVER
        alive = habits.alive[positions]
        limit = self._gap_limit()[positions]
        until = np.where(heard, slot.first[positions], end)
        ever = (alive != NEVER) & (begin >= habits.learned[positions])
        silent = np.where(ever, np.maximum(until - alive - limit, 0.0) - np.maximum(begin - alive - limit, 0.0), 0.0)
        missing = np.clip(silent, 0.0, _WINDOW_US) + slot.gaps[positions]
        missing[self._common(positions, missing > _WINDOW_US / 2)] = 0.0
        spikes = self._spikes(slot, positions)
        spikes[self._common(positions, spikes > 0)] = 0.0
        habits.missing_us[positions] = _FORGET * habits.missing_us[positions] + missing
        habits.spikes[positions] = _FORGET * habits.spikes[positions] + spikes
        run = slot.run[positions]
        stuck = np.where(np.isnan(run), habits.stuck[positions], run)
        stuck[self._common(positions, stuck >= 1)] = 0.0
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

    def _of(self, assets: Index) -> Index:
        """Positions of the sensors of some assets."""
        positions = (assets[:, None] * self._most + np.arange(self._most)).ravel()
        return np.asarray(positions[self._layout[positions] >= 0], np.intp)

    def _common(self, positions: Index, has: Mask) -> Mask:
        """Where too many sensors of an asset have the same at once."""
        asset = positions // self._most
        having = np.bincount(asset, has)
        there = np.bincount(asset)
        return np.asarray(((having >= 2) & (having > _COMMON * there))[asset], np.bool_)

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
            gone = (over[:, None] * self._most + np.arange(self._most)).ravel()
            hour.total[gone] = hour.count[gone] = 0.0
            hour.odd[gone] = False
            hour.rested[over] = False
            hour.at[over] = number
        positions = self._of(assets)
        hour.total[positions] += slot.total[positions]
        hour.count[positions] += slot.count[positions]
        found = self._habits.found[positions]
        hour.odd[positions] |= (found == SensorFault.STUCK) | (found == SensorFault.SPIKES)
        hour.rested[assets] |= slot.rested[assets]

    def _compare(self, assets: Index) -> None:
        every = assets[:, None] * self._most + np.arange(self._most)
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
            SensorFault.DROPOUT: habits.missing_us[positions] / (_MISSING_A_DAY * _DAY_WINDOWS * _WINDOW_US),
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
            sensor_id=self._layout[positions[changed]],
            time=np.full(changed.size, end, np.int64),
            kind=now[changed].astype(np.int8),
            score=score[changed],
        )

    def rebaseline(self, sensor_ids: npt.NDArray[np.int32]) -> None:
        """Forget these sensors, and what they say of the others of their assets; they are learned anew."""
        row = np.flatnonzero(np.isin(self._sensor_ids, sensor_ids))
        positions = self._position[row]
        self._readings.forget(positions)
        fresh = Habits.fresh(self._layout.size)
        for field in fields(Habits):
            getattr(self._habits, field.name)[positions] = getattr(fresh, field.name)[positions]
        assets = np.unique(positions // self._most)
        for slot in self._windows:
            slot.clear(assets, self._of(assets))
        self._hour.forget(assets, self._of(assets))
        self._coupling.forget(assets)
        self._habits.drift[self._of(assets)] = 0.0

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
        layout = self._layout.reshape(self._present.shape)
        return pack(_LABEL, {"asset_id": self._asset_ids, "layout": layout, **self._arrays()})

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot, matched by asset with the same sensors in the same order; others start fresh.

        Raises:
            StateError: the bytes are damaged or of another kind.
        """
        stored = unpack(_LABEL, body)
        self._fresh()
        _, here, there = np.intersect1d(self._asset_ids, stored.pop("asset_id"), return_indices=True)
        mine: npt.NDArray[np.int32] = self._layout.reshape(self._present.shape)
        theirs = stored.pop("layout")
        width = min(mine.shape[1], theirs.shape[1])
        same = (mine[here, :width] == theirs[there, :width]).all(axis=1)
        same &= (mine[here, width:] < 0).all(axis=1) & (theirs[there, width:] < 0).all(axis=1)
        here, there = here[same], there[same]
        for name, array in self._arrays().items():
            new, old = _by_asset(array, mine.shape), _by_asset(stored[name], theirs.shape)
            inner: tuple[slice, ...] = tuple(slice(width) for _ in range(new.ndim - 1))
            mine_at: tuple[Any, ...] = (here, *inner)
            new[mine_at] = old[(there, *inner)]
        self._coupling.refresh()


def _by_asset(array: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """A view with a row an asset, of an array with one a sensor."""
    return array.reshape(shape) if array.ndim == 1 and array.size == shape[0] * shape[1] != shape[0] else array


def _shifted(time: Times) -> Times:
    """Each time's predecessor in the batch, of whichever sensor."""
    before = np.empty_like(time)
    before[1:] = time[:-1]
    before[:1] = NEVER
    return before


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
