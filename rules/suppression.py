"""Suppression by design: which alarms others stand for, so that nobody need be told of them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby, pairwise
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from rules.alignment import relations_of
from rules.definition import Rule
from rules.events import ActiveAlarm, AlarmChange, ChangeKind, Side
from rules.instances import NEVER
from telemetry.batch import to_datetime, to_micros
from telemetry.snapshot import pack, unpack

__all__ = ["SuppressionByDesign", "change_order"]

_LABEL = "suppression/1"
_ORDER = MappingProxyType({kind: place for place, kind in enumerate(ChangeKind)})

Group = tuple[int, str]
"""asset id and the name of a first-out group"""
Rank = tuple[int, str]
"""when an alarm was raised, us, and its key: the lower came first"""


@dataclass(slots=True, kw_only=True)
class _Standing:
    """An alarm that stands."""

    told: AlarmChange
    """what was last said of it, by the rules of now"""
    since_us: int
    """when it was raised"""
    after: str = ""
    """key of the alarm that was first in its group"""
    by: str = ""
    """key of the alarm that stands for it now"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _First:
    """The alarm that a first-out group began with."""

    rule_id: int
    rank: Rank


class SuppressionByDesign:
    """Adds `suppressed` and `unsuppressed` to the changes of alarms.

    - *Parent and children* (`Rule.suppressed_by`): while an alarm of one of those rules stands, the alarms of this
      rule are suppressed, also one that stood already when the parent came. With several parents it ends with the
      last. A parent that is suppressed itself suppresses all the same. Of rules that suppress each other in a circle,
      the alarm that came first stands (of two of one instant: that with the lower key).
    - *First-out* (`Rule.first_out`, of one asset): the first alarm of the group is told, and so are the other
      alarms of its rule, such as a worse limit. Those of other rules that come while any alarm of the group stands
      are what followed from it: each stays suppressed until it clears, also if the first one is gone before. When all
      of the group are gone, the next one is a first again.

    What counts is how things stand at the end of an instant: a child that is raised in the instant in which its
    parent clears is told. A cleared alarm needs no `unsuppressed`.

    Args:
        rules: alarms of other rules, and of those that stand in no relation to another one, pass unchanged.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        related = {rule.id: rule for pair in relations_of(rules) for rule in pair}
        self._rules: Mapping[int, Rule] = related
        self._parents = {rule.id: rule.suppressed_by & related.keys() - {rule.id} for rule in related.values()}
        self._children: dict[int, set[int]] = {id_: set() for id_ in related}
        for child, parents in self._parents.items():
            for parent in parents:
                self._children[parent].add(child)
        self._group: dict[int, Group] = {
            rule.id: (rule.asset_id, rule.first_out) for rule in related.values() if rule.first_out is not None
        }
        self._members: dict[Group, set[int]] = {}
        for id_, group in self._group.items():
            self._members.setdefault(group, set()).add(id_)
        self._circle = _circles(self._parents, self._members.values())
        self._standing: dict[int, dict[Side, _Standing]] = {id_: {} for id_ in related}
        self._first: dict[Group, _First] = {}

    def fold(self, changes: Sequence[AlarmChange]) -> list[AlarmChange]:
        """Take changes in order of event time.

        Returns:
            The same changes and those that follow from them, by (at, kind, key).
        """
        if not self._rules:
            return list(changes)
        result = []
        for at, together in groupby(changes, key=lambda change: change.at):
            result += self._instant(to_micros(at), list(together))
        return result

    def settle(self, active: Sequence[ActiveAlarm], known_us: Callable[[int], int]) -> list[AlarmChange]:
        """After a restore: agree with the alarms that really stand, and with rules that are others now.

        Args:
            active: what stands, also of rules that are in no relation.
            known_us: for the id of a rule, up to when everything of it is known.

        Returns:
            What is suppressed now and was not before, or the other way round; nothing if the rules are the same.
        """
        standing = {(alarm.rule.id, alarm.side): alarm for alarm in active if alarm.rule.id in self._rules}
        for id_, sides in self._standing.items():
            for side in [side for side in sides if (id_, side) not in standing]:
                del sides[side]
        newest = NEVER
        for (id_, side), alarm in standing.items():
            began_us = to_micros(alarm.began_at)
            newest = max(newest, began_us)
            if side not in self._standing[id_]:
                self._standing[id_][side] = _Standing(told=_as_raised(alarm), since_us=began_us)
        for group in self._members:
            self._see_to(group, set())
        changes = [change for id_ in self._rules for change in self._review([id_], max(newest, known_us(id_)))]
        return sorted(changes, key=change_order)

    def snapshot(self) -> bytes:
        """The whole state; `restore` continues from it exactly."""
        all_standing = [
            (id_, side, each) for id_, sides in self._standing.items() for side, each in sorted(sides.items())
        ]
        told = [each.told for _, _, each in all_standing]
        firsts = sorted(self._first.items())
        return pack(
            _LABEL,
            {
                "rule_id": np.array([id_ for id_, _, _ in all_standing], np.int64),
                "side": _texts([str(side) for _, side, _ in all_standing]),
                "key": _texts([change.key for change in told]),
                "limit": np.array([change.limit for change in told], np.float64),
                "began": np.array([to_micros(change.began_at) for change in told], np.int64),
                "value": np.array([change.value for change in told], np.float64),
                "peak": np.array([change.peak_value for change in told], np.float64),
                "peak_at": np.array([to_micros(change.peak_at) for change in told], np.int64),
                "since": np.array([each.since_us for _, _, each in all_standing], np.int64),
                "after": _texts([each.after for _, _, each in all_standing]),
                "by": _texts([each.by for _, _, each in all_standing]),
                "first_asset": np.array([asset for (asset, _), _ in firsts], np.int64),
                "first_group": _texts([name for (_, name), _ in firsts]),
                "first_rule": np.array([first.rule_id for _, first in firsts], np.int64),
                "first_at": np.array([first.rank[0] for _, first in firsts], np.int64),
                "first_key": _texts([first.rank[1] for _, first in firsts]),
            },
        )

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot, also one taken with other rules; then `settle`.

        Raises:
            StateError: the bytes are damaged or of another kind.
        """
        arrays = {name: column.tolist() for name, column in unpack(_LABEL, body).items()}
        self._standing = {id_: {} for id_ in self._rules}
        names = ("rule_id", "side", "key", "limit", "began", "value", "peak", "peak_at", "since", "after", "by")
        for id_, side, key, limit, began, value, peak, peak_at, since, after, by in zip(
            *(arrays[name] for name in names), strict=True
        ):
            if id_ not in self._rules:
                continue
            told = AlarmChange(
                kind=ChangeKind.RAISED,
                key=key,
                rule=self._rules[id_],
                side=Side(side),
                limit=limit,
                at=to_datetime(began),
                began_at=to_datetime(began),
                value=value,
                peak_value=peak,
                peak_at=to_datetime(peak_at),
            )
            standing = _Standing(told=told, since_us=since, after=after if id_ in self._group else "", by=by)
            self._standing[id_][Side(side)] = standing
        self._first = {
            (asset, name): _First(rule_id=rule_id, rank=(at, key))
            for asset, name, rule_id, at, key in zip(
                *(arrays[f"first_{name}"] for name in ("asset", "group", "rule", "at", "key")), strict=True
            )
            if (asset, name) in self._members
        }

    def _instant(self, at: int, changes: list[AlarmChange]) -> list[AlarmChange]:
        raised: dict[Group, set[tuple[int, Side]]] = {}
        touched: set[int] = set()
        for change in sorted(changes, key=change_order):
            id_ = change.rule.id
            if id_ not in self._rules:
                continue
            sides = self._standing[id_]
            if change.kind is ChangeKind.CLEARED:
                # Not one that was raised anew in this instant.
                if change.side in sides and sides[change.side].told.began_at == change.began_at:
                    del sides[change.side]
            elif change.kind is ChangeKind.RAISED:
                sides[change.side] = _Standing(told=change, since_us=at)
            else:
                if change.side in sides:
                    sides[change.side].told = change
                continue
            touched.add(id_)
            if (group := self._group.get(id_)) is not None:
                new = raised.setdefault(group, set())
                if change.kind is ChangeKind.RAISED:
                    new.add((id_, change.side))
        for group, new in raised.items():
            self._see_to(group, new)
        return sorted(changes + self._review(self._reach(touched), at), key=change_order)

    def _see_to(self, group: Group, raised: Collection[tuple[int, Side]]) -> None:
        """Which alarm a group has begun with, and who of those raised just now came after it."""
        standing = {(id_, side): each for id_ in self._members[group] for side, each in self._standing[id_].items()}
        if standing.keys() <= set(raised):
            self._first.pop(group, None)
        if not standing:
            return
        if group not in self._first:
            # Those that stood already, before a rule joined its group, are asked first.
            old = {place: each for place, each in standing.items() if place not in raised} or standing
            rank, id_ = min((_rank(each), id_) for (id_, _), each in old.items())
            self._first[group] = _First(rule_id=id_, rank=rank)
        first = self._first[group]
        for place in raised:
            if place in standing and place[0] != first.rule_id:
                standing[place].after = first.rank[1]

    def _reach(self, touched: set[int]) -> set[int]:
        """The rules whose alarms may be suppressed or not because of changes of these."""
        reached = set(touched)
        for id_ in touched:
            if (group := self._group.get(id_)) is not None:
                reached |= self._members[group]
        return reached.union(*(self._children[id_] for id_ in reached))

    def _review(self, ids: Collection[int], at: int) -> list[AlarmChange]:
        changes = []
        for id_ in ids:
            for standing in self._standing[id_].values():
                by = standing.after or self._parent_of(standing)
                if bool(by) != bool(standing.by):
                    kind = ChangeKind.SUPPRESSED if by else ChangeKind.UNSUPPRESSED
                    changes.append(replace(standing.told, kind=kind, at=to_datetime(at), by=by))
                standing.by = by
        return changes

    def _parent_of(self, child: _Standing) -> str:
        """The key of the alarm that was there first of those which suppress this one; empty: none does."""
        id_, rank = child.told.rule.id, self._seniority(child)
        found = [
            (seniority, parent.told.key)
            for parent_id in self._parents[id_]
            for parent in self._standing[parent_id].values()
            # In a circle only the older one counts, so that they never hide each other.
            if (seniority := self._seniority(parent)) < rank or self._circle[parent_id] != self._circle[id_]
        ]
        return min(found)[1] if found else ""

    def _seniority(self, standing: _Standing) -> Rank:
        """Alarms of the rule that a first-out group began with are as old as the beginning."""
        id_ = standing.told.rule.id
        first = self._first.get(self._group[id_]) if id_ in self._group else None
        return first.rank if first is not None and first.rule_id == id_ else _rank(standing)


def _rank(standing: _Standing) -> Rank:
    return standing.since_us, standing.told.key


def change_order(change: AlarmChange) -> tuple[datetime, int, str]:
    """Sorts changes by event time; of one instant by kind, then by alarm."""
    return change.at, _ORDER[change.kind], change.key


def _as_raised(alarm: ActiveAlarm) -> AlarmChange:
    """What was said of an alarm when it began; the value then is not known any more: its worst is as near."""
    limit = next((limit.value for limit in alarm.rule.limits if limit.side is alarm.side), np.nan)
    return AlarmChange(
        kind=ChangeKind.RAISED,
        key=alarm.key,
        rule=alarm.rule,
        side=alarm.side,
        limit=limit,
        at=alarm.began_at,
        began_at=alarm.began_at,
        value=alarm.peak_value,
        peak_value=alarm.peak_value,
        peak_at=alarm.peak_at,
    )


def _circles(parents: Mapping[int, Collection[int]], groups: Iterable[Collection[int]]) -> dict[int, int]:
    """A number for each rule, the same for those that may suppress each other in a circle."""
    place = {id_: position for position, id_ in enumerate(parents)}
    edges = [(place[parent], place[child]) for child, ids in parents.items() for parent in ids]
    for group in groups:  # any of it may be the first
        edges += pairwise([place[id_] for id_ in (*group, next(iter(group)))])
    if not edges:
        return {}
    from scipy.sparse import coo_array  # noqa: PLC0415 - 0.2 s, and few plants have rules that suppress others
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 - the same

    rows, columns = np.array(edges, np.intp).T
    graph = coo_array((np.ones(rows.size, np.int8), (rows, columns)), shape=(len(place), len(place)))
    _, labels = connected_components(graph, directed=True, connection="strong")
    return dict(zip(place, labels.tolist(), strict=True))


def _texts(texts: Sequence[str]) -> npt.NDArray[np.str_]:
    return np.array(texts, np.str_) if texts else np.empty(0, "U1")
