"""`Admission`: which samples of a rule count, when the rule applies only at times."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.definition import Limit, Rule, Side
from rules.samples import Samples

__all__ = ["Admission", "Edges"]

Times = npt.NDArray[np.int64]
Index = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """When rules begin to apply, and when they cease to, in turn."""

    time: Times
    """us, ascending; a sample at the very instant is after the edge"""
    open_before: bool
    """whether they applied before the first edge"""

    def after(self, count: Index) -> Flags:
        """Whether they apply when this many edges have passed."""
        applies: Flags = (count + self.open_before) % 2 == 1
        return applies

    def passed(self, time: Times) -> Index:
        """How many edges lie at or before these instants."""
        return np.searchsorted(self.time, time, side="right")


class Admission:
    """Lets samples through while their rule applies, rule by rule.

    When a rule ceases to apply, a NaN sample at that instant ends what stands or runs. When a rule whose value is
    *carried* begins to apply, the last sample from before holds from that instant on, if there is one and none of
    the same instant.

    Args:
        rules: those that are let through here, each once.
        carried: for each, whether the last sample from before counts once it applies.
    """

    def __init__(self, rules: Sequence[Rule], carried: Sequence[bool]) -> None:
        order = np.argsort([-rule.id for rule in rules]) if rules else np.empty(0, np.intp)
        self.rules = [rules[position] for position in order.tolist()]
        """in order of `signal`"""
        self.signal = np.array([-rule.id for rule in self.rules], np.int32)
        self._carried = np.array(carried, np.bool_)[order]
        self.held = np.full(len(rules), np.nan)
        """the last sample, let through or not"""
        self._known = np.zeros(len(rules), np.bool_)
        """whether anything came out of it; before, the first sample that does not count becomes a NaN: an alarm may
        stand from when the rule applied always"""

    def find(self, samples: Samples) -> tuple[Flags, Index]:
        """Which samples are of rules let through here, and of those the positions of the rules."""
        if not self.signal.size or not len(samples):
            return np.zeros(len(samples), np.bool_), np.empty(0, np.intp)
        row = np.minimum(np.searchsorted(self.signal, samples.signal), self.signal.size - 1)
        mine = self.signal[row] == samples.signal
        return mine, row[mine]

    def admit(self, edges: Edges, rows: Index, samples: Samples, *, begin: Index, end: Index) -> Samples:
        """Let the samples of some rules pass.

        Args:
            edges: when these rules apply.
            rows: positions of the rules in `signal`, ascending.
            samples: of these rules.
            begin: for each of `rows` how many of the edges have been told before.
            end: for each of `rows` how many of the edges to have told now.
        """
        place = np.searchsorted(self.signal[rows], samples.signal)
        count = np.maximum(end - begin, 0)
        passed = np.maximum(edges.passed(samples.time), begin[place])
        if not count.any():
            return self._mark(rows, place, np.zeros(place.size, np.bool_), edges.after(passed), samples)

        edge_place = np.repeat(np.arange(rows.size), count)
        edge = np.arange(edge_place.size) - np.repeat(np.cumsum(count) - count, count) + begin[edge_place]
        time = np.concatenate((edges.time[edge], samples.time))
        place = np.concatenate((edge_place, place))
        is_edge = np.arange(time.size) < edge.size
        order = np.lexsort((~is_edge, time, place))
        applies = edges.after(np.concatenate((edge + 1, passed)))[order]
        time, place, is_edge = time[order], place[order], is_edge[order]
        value = np.concatenate((np.full(edge.size, np.nan), samples.value))[order]

        before = np.maximum.accumulate(np.where(is_edge, -1, np.arange(time.size)))
        same = (before >= 0) & (place[before] == place)
        carried = np.where(same, value[before], self.held[rows[place]])
        value = np.where(is_edge & applies, carried, value)
        superseded = np.append((place[1:] == place[:-1]) & (time[1:] == time[:-1]), False)
        counts = np.where(is_edge, ~applies | (self._carried[rows[place]] & ~np.isnan(value) & ~superseded), applies)
        every = Samples(signal=self.signal[rows[place]], time=time, value=value)
        return self._mark(rows, place, is_edge, counts, every)

    def _mark(self, rows: Index, place: Index, is_edge: Flags, counts: Flags, every: Samples) -> Samples:
        """Remember the last samples, and take those that count."""
        if not place.size:
            return every
        value = every.value
        if not self._known[rows].all():
            first = np.flatnonzero(np.append(True, place[1:] != place[:-1]))
            last_word = first[~self._known[rows[place[first]]] & ~counts[first] & ~is_edge[first]]
            self._known[rows[place]] = True
            value, counts = value.copy(), counts.copy()
        else:
            last_word = np.empty(0, np.intp)
        of_sensor = np.flatnonzero(~is_edge)
        # In order of time, so the last one of a rule stays.
        self.held[rows[place[of_sensor]]] = value[of_sensor]
        value[last_word] = np.nan
        counts[last_word] = True
        return Samples(signal=every.signal[counts], time=every.time[counts], value=value[counts])

    def is_carried(self, rows: Index) -> Flags:
        """Of some rules, whether there is a sample that holds once they apply."""
        carried: Flags = self._carried[rows] & ~np.isnan(self.held[rows])
        return carried

    def violates(self) -> Flags:
        """Of each rule, whether its last sample is beyond a limit."""
        return np.array(
            [
                any(_is_beyond(limit, held) for limit in rule.limits)
                for rule, held in zip(self.rules, self.held.tolist(), strict=True)
            ],
            np.bool_,
        )

    def begun(self) -> npt.NDArray[np.int32]:
        """The signals out of which anything came."""
        return self.signal[self._known]

    def reset(self, rule_ids: npt.NDArray[np.int32]) -> None:
        """What was measured of these rules does not hold any more."""
        self.held[np.isin(-self.signal, rule_ids)] = np.nan

    def forget(self, rows: Index) -> None:
        """Of these rules an alarm may stand although they do not apply: the next sample ends it."""
        self._known[rows] = False

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """For a snapshot."""
        return {"rule_id": -self.signal.astype(np.int64), "held": self.held, "known": self._known}

    def restore(self, arrays: dict[str, npt.NDArray[Any]], unchanged: Flags) -> tuple[Index, Index]:
        """Take over state of the same rules.

        Args:
            arrays: with what `state` gave.
            unchanged: for each rule there, whether it applies at the same times as then.

        Returns:
            Positions here, and there, of rules in both.
        """
        self.held = np.full(self.signal.size, np.nan)
        self._known = np.zeros(self.signal.size, np.bool_)
        _, here, there = np.intersect1d(-self.signal.astype(np.int64), arrays["rule_id"], return_indices=True)
        self.held[here] = arrays["held"][there]
        self._known[here] = arrays["known"][there] & unchanged[there]
        return here, there


def _is_beyond(limit: Limit, value: float) -> bool:
    if limit.side is Side.CONDITION:
        return value >= limit.value
    return value < limit.value if limit.side.is_low else value > limit.value
