"""What a machine did when a reading was taken: the context that a conditioned baseline asks for.

A detector scores readings of one sensor. Its context comes along as a *twin*: for every reading of a sensor with a
context, a reading of the same instant with the context's value, under the sensor's id with all bits turned over
(`~id`, below 0, so no sensor of a plant has it). Twins are made in order of arrival, and then go the way of the
readings they belong to: held back, released and cut into batches alike, they are always there when those are scored.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch
from telemetry.quality import Quality, usable
from telemetry.snapshot import pack, unpack

__all__ = ["ContextTwins", "split"]

_LABEL = "context-twins/1"


class ContextTwins:
    """Gives every reading of some sensors a twin with the value that another sensor had last.

    Last is what arrived last before the reading with usable quality, whatever its time stamp, so that the answer does
    not depend on how the stream is cut into batches. As long as there is none, readings get no twin.

    Args:
        context_of: for each sensor with a context the sensor that is its context, by id.
    """

    def __init__(self, context_of: Mapping[int, int]) -> None:
        ordered = sorted(context_of)
        self._sensors = np.array(ordered, np.int32)
        self._contexts = np.array(sorted(set(context_of.values())), np.int32)
        self._which = np.searchsorted(self._contexts, [context_of[sensor] for sensor in ordered])
        self._last = np.full(self._contexts.size, np.nan)

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        """The sensors that are listened to for their values, ascending."""
        return self._contexts

    def attach(self, batch: ReadingBatch) -> ReadingBatch:
        """A batch in order of arrival, and the twins of its readings after it."""
        if not self._sensors.size or not len(batch):
            return batch
        twins = [self._of(group, batch) for group in range(self._contexts.size)]
        return ReadingBatch.concat([batch, *twins])

    def _of(self, group: int, batch: ReadingBatch) -> ReadingBatch:
        told = np.flatnonzero((batch.sensor_id == self._contexts[group]) & usable(batch.quality))
        known = np.concatenate([self._last[group : group + 1], batch.value[told]])
        asking = np.flatnonzero(np.isin(batch.sensor_id, self._sensors[self._which == group]))
        value = known[np.searchsorted(told, asking)]
        self._last[group] = known[-1]
        asking, value = asking[~np.isnan(value)], value[~np.isnan(value)]
        return ReadingBatch(
            time=batch.time[asking],
            sensor_id=~batch.sensor_id[asking],
            value=value,
            quality=np.full(asking.size, Quality.GOOD, np.int16),
        )

    def snapshot(self) -> bytes:
        """The last values as bytes."""
        return pack(_LABEL, {"contexts": self._contexts, "last": self._last})

    def restore(self, body: bytes) -> None:
        """Take over what `snapshot` gave, for the sensors that are still listened to.

        Raises:
            StateError: the bytes are damaged or of another version.
        """
        arrays = unpack(_LABEL, body)
        _, here, there = np.intersect1d(self._contexts, arrays["contexts"], return_indices=True)
        self._last = np.full(self._contexts.size, np.nan)
        self._last[here] = arrays["last"][there]


def split(batch: ReadingBatch) -> tuple[npt.NDArray[np.intp], ReadingBatch, npt.NDArray[np.float64]]:
    """Readings and their contexts apart.

    Args:
        batch: sorted by (sensor_id, time), twins among it.

    Returns:
        positions of the readings that are no twins; they, those without a context made bad; their contexts, 0 there.
    """
    is_twin = batch.sensor_id < 0
    sensor_id = np.where(is_twin, ~batch.sensor_id, batch.sensor_id)
    # Each reading behind the twins of its instant, of which the last counts.
    order = np.lexsort((~is_twin, batch.time, sensor_id))
    twin = np.maximum.accumulate(np.where(is_twin[order], np.arange(order.size), -1))
    found = order[np.maximum(twin, 0)]
    has = (twin >= 0) & (sensor_id[found] == sensor_id[order]) & (batch.time[found] == batch.time[order])
    context = np.zeros(order.size)
    context[order] = np.where(has, batch.value[found], 0.0)
    known = np.zeros(order.size, np.bool_)
    known[order] = has
    own = np.flatnonzero(~is_twin)
    readings = ReadingBatch(
        time=batch.time[own],
        sensor_id=batch.sensor_id[own],
        value=batch.value[own],
        quality=np.where(known[own], batch.quality[own], Quality.BAD).astype(np.int16),
    )
    return own, readings, context[own]
