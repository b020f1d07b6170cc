"""`EventOrder`: each sensor's readings in event-time order behind a small watermark."""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch
from telemetry.errors import ConfigurationError
from telemetry.snapshot import pack, unpack

__all__ = ["EventOrder", "Ordered"]

_LABEL = "event-order/1"
_NEVER = -(2**62)
"""before any event time, with room to subtract a lateness"""
_MAX_LATENESS_S = 30 * 86_400.0

Times = npt.NDArray[np.int64]
SensorIds = npt.NDArray[np.int32]
Positions = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What one call of `EventOrder.release` lets through."""

    ready: ReadingBatch
    """sorted by (sensor_id, time); per sensor strictly later than everything released before"""
    late: int
    """readings of this batch that will never be released: too old, or of an instant already taken"""


class EventOrder:
    """Lets readings through to evaluation in strict event-time order, sensor by sensor.

    The watermark of a sensor is the highest event time seen of it, in arrival order, minus `lateness_s`.
    A reading at or before the watermark at its arrival is late: it is stored elsewhere, but not evaluated.
    Others wait until the watermark reaches them, so with a lateness of 0 they go through at once. A second
    reading for the same sensor and instant counts as late too: the first one wins, as in the store.

    All this is decided reading by reading in arrival order, so how the stream is cut into batches does not
    matter.

    Args:
        lateness_s: how far (in seconds of event time) a reading may be behind the newest of its sensor.
        max_buffered: readings held back per sensor at most; beyond it the oldest goes through early, and the
            watermark with it.
    """

    def __init__(self, lateness_s: float = 0.0, *, max_buffered: int = 4096) -> None:
        if not 0 <= lateness_s <= _MAX_LATENESS_S:
            raise ConfigurationError(f"lateness is {lateness_s} s; set it between 0 and {_MAX_LATENESS_S:.0f} s")
        if max_buffered < 1:
            raise ConfigurationError(f"max_buffered is {max_buffered}; set it to 1 or more")
        self._lateness = round(lateness_s * 1e6)
        self._max_buffered = max_buffered
        self._clear()

    def _clear(self) -> None:
        self._sensor_ids: SensorIds = np.empty(0, np.int32)
        self._highest: Times = np.empty(0, np.int64)
        """highest event time seen, per sensor of `_sensor_ids`"""
        self._frontier: Times = np.empty(0, np.int64)
        """the watermark, or what went through beyond it (buffer full, flush)"""
        self._buffer = ReadingBatch.empty()

    @property
    def buffered(self) -> int:
        """Readings held back at the moment."""
        return len(self._buffer)

    def release(self, batch: ReadingBatch) -> Ordered:
        """Take a batch in arrival order; return what may be evaluated now, and how many came too late."""
        if not len(batch):
            return Ordered(ready=ReadingBatch.empty(), late=0)
        arrival = np.argsort(batch.sensor_id, kind="stable")
        sensor_id, time = batch.sensor_id[arrival], batch.time[arrival]
        begins = np.concatenate(([True], sensor_id[1:] != sensor_id[:-1]))
        starts = np.flatnonzero(begins)
        self._admit(sensor_id[starts])
        sensors = np.searchsorted(self._sensor_ids, sensor_id[starts])
        length = np.diff(starts, append=time.size)
        known = self._highest[sensors]

        before = _highest_before(time, begins, known)
        accepted = time > np.maximum(before - self._lateness, np.repeat(self._frontier[sensors], length))
        self._highest[sensors] = np.maximum(known, np.maximum.reduceat(time, starts))
        for run in np.flatnonzero(self._crowded(sensors, length)).tolist():
            its = slice(starts[run], starts[run] + length[run])
            accepted[its] = self._squeeze(int(sensors[run]), time[its])
        self._frontier[sensors] = np.maximum(self._frontier[sensors], self._highest[sensors] - self._lateness)

        if not accepted.all():
            arrival, sensor_id, time = arrival[accepted], sensor_id[accepted], time[accepted]
        taken = ReadingBatch(time=time, sensor_id=sensor_id, value=batch.value[arrival], quality=batch.quality[arrival])
        if self._lateness == 0 and not len(self._buffer):
            # Each one accepted is later than all before it of its sensor: in order, none twice, and due at once.
            return Ordered(ready=taken, late=len(batch) - len(taken))
        joined = ReadingBatch.concat((self._buffer, taken))
        order = joined.order()
        taken = joined.take(order)
        first = np.ones(len(taken), np.bool_)
        first[1:] = (taken.sensor_id[1:] != taken.sensor_id[:-1]) | (taken.time[1:] != taken.time[:-1])
        if not first.all():
            taken = taken.take(first)
        late = len(batch) + len(self._buffer) - len(taken)
        through = taken.time <= self._frontier[np.searchsorted(self._sensor_ids, taken.sensor_id)]
        if through.all():
            self._buffer = ReadingBatch.empty()
            return Ordered(ready=taken, late=late)
        self._buffer = taken.take(~through)
        return Ordered(ready=taken.take(through), late=late)

    def flush(self) -> ReadingBatch:
        """Let through everything held back, sorted by (sensor_id, time), as at the end of a replay."""
        ready, self._buffer = self._buffer, ReadingBatch.empty()
        index = np.searchsorted(self._sensor_ids, ready.sensor_id)
        np.maximum.at(self._frontier, index, ready.time)
        return ready

    def snapshot(self) -> bytes:
        """The whole state; `restore` continues from it exactly."""
        return pack(
            _LABEL,
            {
                "sensor_id": self._sensor_ids,
                "highest": self._highest,
                "frontier": self._frontier,
                "buffer": np.frombuffer(self._buffer.to_bytes(), np.uint8),
            },
        )

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot.

        Raises:
            StateError: the bytes are damaged or of another kind.
        """
        arrays = unpack(_LABEL, body)
        self._sensor_ids = arrays["sensor_id"]
        self._highest = arrays["highest"]
        self._frontier = arrays["frontier"]
        self._buffer = ReadingBatch.from_bytes(arrays["buffer"].tobytes())

    def _admit(self, seen: SensorIds) -> None:
        """Make room for sensors seen for the first time; `seen`: ascending, each once."""
        if self._sensor_ids.size:
            place = np.minimum(np.searchsorted(self._sensor_ids, seen), self._sensor_ids.size - 1)
            seen = seen[self._sensor_ids[place] != seen]
        if not seen.size:
            return
        ids = np.concatenate((self._sensor_ids, seen))
        order = np.argsort(ids)
        never = np.full(seen.size, _NEVER, np.int64)
        self._sensor_ids = ids[order]
        self._highest = np.concatenate((self._highest, never))[order]
        self._frontier = np.concatenate((self._frontier, never))[order]

    def _crowded(self, sensors: Positions, length: Positions) -> npt.NDArray[np.bool_]:
        """Which of these sensors' buffers might overflow, with so many more readings of each."""
        if self._lateness == 0:
            return np.zeros(sensors.size, np.bool_)
        held = np.bincount(np.searchsorted(self._sensor_ids, self._buffer.sensor_id), minlength=self._sensor_ids.size)
        crowded: npt.NDArray[np.bool_] = length + held[sensors] > self._max_buffered
        return crowded

    def _squeeze(self, sensor: int, times: Times) -> npt.NDArray[np.bool_]:
        """Which readings of a crowded sensor are accepted; moves its frontier past what overflows."""
        held: list[int] = self._buffer.time[self._buffer.sensor_id == self._sensor_ids[sensor]].tolist()
        frontier = int(self._frontier[sensor])
        accepted = np.zeros(times.size, np.bool_)
        for position, time in enumerate(times.tolist()):
            if time <= frontier:
                continue
            place = bisect_left(held, time)
            if place < len(held) and held[place] == time:
                continue
            accepted[position] = True
            held.insert(place, time)
            frontier = max(frontier, time - self._lateness)
            if len(held) > self._max_buffered:
                frontier = max(frontier, held[len(held) - self._max_buffered - 1])
            if held[0] <= frontier:
                del held[: bisect_left(held, frontier + 1)]
        self._frontier[sensor] = frontier
        return accepted


def _highest_before(time: Times, begins: npt.NDArray[np.bool_], known: Times) -> Times:
    """Highest event time of the same sensor before each reading arrived.

    Args:
        time: readings grouped by sensor, in arrival order within each.
        begins: true at the first reading of each sensor.
        known: highest time of each of these sensors before this batch.
    """
    before = np.empty_like(time)
    before[1:] = time[:-1]
    before[begins] = known
    if (time > before).all():
        return before  # in order already, the usual case: the one before is the highest
    # A running maximum that starts afresh with each sensor: ranks leave room for the sensor on top.
    levels, rank = np.unique(before, return_inverse=True)
    group = np.cumsum(begins) * levels.size
    highest: Times = levels[np.maximum.accumulate(group + rank) - group]
    return highest
