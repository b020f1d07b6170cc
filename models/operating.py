"""Whether an asset runs: a machine at rest has no vibration to judge, and nothing to learn from."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch
from telemetry.plant import AssetState
from telemetry.quality import usable
from telemetry.snapshot import pack, unpack

__all__ = ["SETTLE_S", "RunningGate"]

SETTLE_S = 10_800.0
"""s from the start of a machine until it is as usual: three thermal time constants of an hour, which bearings, oil and
windings of machines up to some hundred kW have at most"""

_LABEL = "running-gate/1"
_NEVER = np.iinfo(np.int64).min // 2


class RunningGate:
    """Tells for each reading whether the asset ran when it was taken.

    The state is the last one that arrived before the reading (arrival order, so that the answer does not depend on
    how the stream is cut into batches); states that arrive out of order, or of bad quality, do not count. As long as
    no state is known an asset is taken to run. After a start readings count from `settle_s` on.

    Args:
        state_sensor: for each gated sensor the state sensor of its asset, by id. Other sensors always pass.
        settle_s: s of event time from the start of a machine until its readings are normal again.
    """

    def __init__(self, state_sensor: Mapping[int, int], *, settle_s: float = SETTLE_S) -> None:
        self._settle_us = round(settle_s * 1e6)
        gated = sorted(state_sensor)
        self._gated = np.array(gated, np.int32)
        self._states = np.array(sorted(set(state_sensor.values())), np.int32)
        self._group_of_gated = np.searchsorted(self._states, [state_sensor[sensor] for sensor in gated])
        count = self._states.size
        self._at = np.full(count, _NEVER, np.int64)
        """event time of the last state"""
        self._runs = np.ones(count, np.bool_)
        self._since = np.full(count, _NEVER, np.int64)
        """event time since which it runs"""

    @property
    def state_sensors(self) -> npt.NDArray[np.int32]:
        """The state sensors that are listened to, ascending."""
        return self._states

    def running(self, batch: ReadingBatch) -> npt.NDArray[np.bool_]:
        """For each reading of a batch in arrival order whether its asset ran. Readings of state sensors: true."""
        passed = np.ones(len(batch), np.bool_)
        if not self._states.size or not len(batch):
            return passed
        group = self._groups(batch)
        involved = np.flatnonzero(group >= 0)
        order = involved[np.argsort(group[involved], kind="stable")]
        bounds = np.flatnonzero(np.diff(group[order], prepend=-1))
        for rows in np.split(order, bounds[1:]) if order.size else []:
            passed[rows] = self._run_of_group(int(group[rows[0]]), batch, rows)
        return passed

    def _groups(self, batch: ReadingBatch) -> npt.NDArray[np.int64]:
        group = np.full(len(batch), -1, np.int64)
        for ids, groups in (
            (self._gated, self._group_of_gated),
            (self._states, np.arange(self._states.size)),
        ):
            if ids.size:
                at = np.minimum(np.searchsorted(ids, batch.sensor_id), ids.size - 1)
                found = ids[at] == batch.sensor_id
                group[found] = groups[at[found]]
        return group

    def _run_of_group(self, group: int, batch: ReadingBatch, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        time = batch.time[rows]
        is_state = batch.sensor_id[rows] == self._states[group]
        says = np.flatnonzero(is_state & usable(batch.quality[rows]))
        # Index 0 stands for what was known before this batch.
        at, runs, since, starts = [self._at[group]], [self._runs[group]], [self._since[group]], [0]
        for row in says.tolist():
            if time[row] <= at[-1]:
                continue
            now_runs = bool(batch.value[rows[row]] == AssetState.RUNNING)
            known_before = at[-1] != _NEVER
            began = time[row] if now_runs and not runs[-1] and known_before else since[-1]
            at.append(time[row])
            runs.append(now_runs)
            since.append(began)
            starts.append(row)
        self._at[group], self._runs[group], self._since[group] = at[-1], runs[-1], since[-1]
        latest = np.searchsorted(np.array(starts[1:]), np.arange(rows.size), side="right")
        ready = time >= np.array(since, np.int64)[latest] + self._settle_us
        passed: npt.NDArray[np.bool_] = is_state | (np.array(runs, np.bool_)[latest] & ready)
        return passed

    def snapshot(self) -> bytes:
        """The state as bytes."""
        return pack(_LABEL, {"states": self._states, "at": self._at, "runs": self._runs, "since": self._since})

    def restore(self, body: bytes) -> None:
        """Take over what `snapshot` gave, for the state sensors that are still there.

        Raises:
            StateError: the bytes are damaged or of another version.
        """
        arrays = unpack(_LABEL, body)
        _, here, there = np.intersect1d(self._states, arrays["states"], return_indices=True)
        self._at[here] = arrays["at"][there]
        self._runs[here] = arrays["runs"][there]
        self._since[here] = arrays["since"][there]
