"""`GroupOrder`: the readings of sensors that rules look at together, in event-time order across the sensors."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rules.definition import Rule
from rules.instances import NEVER
from rules.signal import Deviation, Expression, NoData
from telemetry.batch import ReadingBatch
from telemetry.errors import ConfigurationError
from telemetry.snapshot import pack, unpack

__all__ = ["GroupOrder", "Released", "groups_of", "inputs_of", "relations_of"]

_LABEL = "group-order/1"
_MAX_ALIGN_S = 3600.0
_MAX_HELD = 65_536

Times = npt.NDArray[np.int64]
SensorIds = npt.NDArray[np.int32]
Index = npt.NDArray[np.intp]


def inputs_of(rule: Rule) -> frozenset[int]:
    """All sensors whose readings can change something about a rule: watched, references, names, gate."""
    inputs = set() if rule.sensor_id is None else {rule.sensor_id}
    if rule.gate is not None:
        inputs.add(rule.gate.sensor_id)
    match rule.signal:
        case Deviation(reference_id=int(reference)):
            inputs.add(reference)
        case NoData(sensor_ids=ids):
            inputs.update(ids)
        case Expression(inputs=named):
            inputs.update(sensor for _, sensor in named)
    return frozenset(inputs)


def relations_of(rules: Sequence[Rule]) -> Iterator[tuple[Rule, Rule]]:
    """Pairs of rules whose alarms bear on each other: one suppresses the other, or both are of one first-out group."""
    by_id = {rule.id: rule for rule in rules}
    first: dict[tuple[int, str], Rule] = {}
    for rule in rules:
        for other in sorted(rule.suppressed_by & by_id.keys() - {rule.id}):
            yield by_id[other], rule
        if rule.first_out is not None:
            neighbour = first.setdefault((rule.asset_id, rule.first_out), rule)
            if neighbour is not rule:
                yield neighbour, rule


def groups_of(rules: Sequence[Rule]) -> list[frozenset[int]]:
    """Sensors that must be seen in one order, because a rule looks at them together or their alarms bear on each other.

    Each sensor is in one group; groups are in order of their lowest sensor.
    """
    joined = [inputs_of(rule) for rule in rules]
    joined += [inputs_of(one) | inputs_of(other) for one, other in relations_of(rules)]
    sensors = sorted(frozenset().union(*joined))
    if not sensors:
        return []
    from scipy.sparse import coo_array  # noqa: PLC0415 - 0.2 s, and many plants have no sensors looked at together
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 - the same

    place = {sensor: position for position, sensor in enumerate(sensors)}
    edges = [(place[min(ids)], place[sensor]) for ids in joined for sensor in ids]
    rows, columns = np.array(edges, np.intp).T
    graph = coo_array((np.ones(rows.size, np.int8), (rows, columns)), shape=(len(sensors), len(sensors)))
    _, labels = connected_components(graph, directed=False)
    members: dict[int, set[int]] = {}
    for sensor, label in zip(sensors, labels.tolist(), strict=True):
        members.setdefault(label, set()).add(sensor)
    return sorted((frozenset(ids) for ids in members.values()), key=min)


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What one call of `GroupOrder` lets through."""

    ready: ReadingBatch
    """sorted by (sensor_id, time); later than every frontier before, at or before the new one of its group"""
    moved: npt.NDArray[np.bool_]
    """of each group, whether its frontier is another now"""
    late: int
    """readings that came at or before the frontier of their group and will never be let through"""


class GroupOrder:
    """Holds readings back until the other sensors of their group have come as far.

    The frontier of a group is the instant up to which, itself included, everything of its members is known: that up
    to which all members have spoken, but not further behind the newest reading of the group than `align_s`. It never
    goes back. Of a group of one sensor nothing is ever held back.

    How the stream is cut into batches does not matter as long as each reading is less than `align_s` behind the
    newest of its group.

    Args:
        groups: sets of sensor ids that have no sensor in common.
        align_s: how long (seconds of event time) a group waits for its slowest member.
        max_held: readings held back for a group at most; beyond it the oldest go through, and the frontier with them.
    """

    def __init__(self, groups: Sequence[Collection[int]], align_s: float, *, max_held: int = _MAX_HELD) -> None:
        if not 0 <= align_s <= _MAX_ALIGN_S:
            raise ConfigurationError(f"align_s is {align_s:g}; set it between 0 and {_MAX_ALIGN_S:.0f} s")
        self._align = round(align_s * 1e6)
        self._max_held = max_held
        sensors = np.array([sensor for group in groups for sensor in group], np.int32)
        group = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        order = np.argsort(sensors)
        self._sensor_ids: SensorIds = sensors[order]
        if (self._sensor_ids[1:] == self._sensor_ids[:-1]).any():
            raise ValueError("a sensor is in two groups")
        self._group: Index = group[order]
        self._by_group = np.argsort(self._group, kind="stable")
        self._starts = np.searchsorted(self._group[self._by_group], np.arange(len(groups)))
        self._highest: Times = np.full(sensors.size, NEVER, np.int64)
        """per sensor, up to when everything of it is known"""
        self._frontier: Times = np.full(len(groups), NEVER, np.int64)
        self._held = ReadingBatch.empty()

    @property
    def sensor_ids(self) -> SensorIds:
        """The members of all groups, sorted."""
        return self._sensor_ids

    @property
    def frontier(self) -> Times:
        """Per group; `NEVER` as long as nothing was heard of it."""
        return self._frontier.copy()

    def group_of(self, sensor_ids: Iterable[int]) -> Index:
        """The groups (by position) of members."""
        return self._group[self._places(np.array(list(sensor_ids), np.int32))]

    def members_of(self, group: npt.NDArray[np.bool_]) -> SensorIds:
        """The members of the groups marked, sorted."""
        return self._sensor_ids[group[self._group]]

    def holding(self) -> npt.NDArray[np.bool_]:
        """Of each group, whether readings of it are held back."""
        holding = np.zeros(self._frontier.size, np.bool_)
        holding[self._group[self._places(self._held.sensor_id)]] = True
        return holding

    def release(self, batch: ReadingBatch) -> Released:
        """Take readings of members, sorted by (sensor_id, time), strictly ascending per sensor over all calls."""
        if not len(batch):
            return self._let_through(0)
        place = self._places(batch.sensor_id)
        in_time = batch.time > self._frontier[self._group[place]]
        last = np.append(batch.sensor_id[1:] != batch.sensor_id[:-1], True)
        self._highest[place[last]] = np.maximum(self._highest[place[last]], batch.time[last])
        late = len(batch) - int(np.count_nonzero(in_time))
        accepted = batch.take(in_time) if late else batch
        self._held = ReadingBatch.concat((self._held, accepted)).sorted() if len(self._held) else accepted
        return self._let_through(late)

    def advance(self, sensor_ids: SensorIds, now_us: Times) -> Released:
        """Time passed without readings of these members: nothing of them is to come from before `now_us`.

        Where that moves no frontier it is forgotten again, so that a call without effect leaves no trace in the state.
        """
        before = self._highest.copy()
        np.maximum.at(self._highest, self._places(sensor_ids), now_us - 1)
        released = self._let_through(0)
        stayed = ~released.moved[self._group]
        self._highest[stayed] = before[stayed]
        return released

    def flush(self) -> Released:
        """Let through everything held back, as at the end of a replay; the frontiers go to the newest reading."""
        return self._let_through(0, wait=0)

    def snapshot(self) -> bytes:
        """The whole state; `restore` continues from it exactly."""
        return pack(
            _LABEL,
            {
                "sensor_id": self._sensor_ids,
                "highest": self._highest,
                "frontier": self._frontier[self._group],
                "held": np.frombuffer(self._held.to_bytes(), np.uint8),
            },
        )

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot, also one taken with other groups.

        A group begins at the furthest frontier that a member of it had. Readings held back which lie before that, or
        are of sensors that are in no group any more, are dropped.

        Raises:
            StateError: the bytes are damaged or of another kind.
        """
        arrays = unpack(_LABEL, body)
        _, here, there = np.intersect1d(self._sensor_ids, arrays["sensor_id"], return_indices=True)
        self._highest = np.full(self._sensor_ids.size, NEVER, np.int64)
        self._highest[here] = arrays["highest"][there]
        self._frontier = np.full(self._frontier.size, NEVER, np.int64)
        np.maximum.at(self._frontier, self._group[here], arrays["frontier"][there])
        held = ReadingBatch.from_bytes(arrays["held"].tobytes())
        held = held.take(np.isin(held.sensor_id, self._sensor_ids))
        self._held = held.take(held.time > self._frontier[self._group[self._places(held.sensor_id)]])

    def _places(self, sensor_ids: SensorIds) -> Index:
        return np.searchsorted(self._sensor_ids, sensor_ids)

    def _let_through(self, late: int, *, wait: int | None = None) -> Released:
        """Move the frontiers to where the members have come, and release what they pass."""
        if not self._sensor_ids.size:
            return Released(ready=ReadingBatch.empty(), moved=np.zeros(0, np.bool_), late=late)
        highest = self._highest[self._by_group]
        newest = np.maximum.reduceat(highest, self._starts) - (self._align if wait is None else wait)
        frontier = np.maximum(np.maximum(np.minimum.reduceat(highest, self._starts), newest), self._frontier)
        # Of a group that never spoke, the subtraction went below NEVER.
        frontier = np.maximum(frontier, NEVER)
        held, group = self._held, self._group[self._places(self._held.sensor_id)]
        through = held.time <= frontier[group]
        if not through.all():
            crowded = np.bincount(group[~through], minlength=frontier.size) > self._max_held
            for each in np.flatnonzero(crowded).tolist():
                times = np.sort(held.time[~through & (group == each)])
                frontier[each] = times[-self._max_held - 1]
            through = held.time <= frontier[group]
        moved = frontier != self._frontier
        self._frontier = frontier
        if through.all():
            self._held = ReadingBatch.empty()
            return Released(ready=held, moved=moved, late=late)
        self._held = held.take(~through)
        return Released(ready=held.take(through), moved=moved, late=late)
