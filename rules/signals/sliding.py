"""`Sliding`: summaries of the readings of the last so many seconds, at each reading, at a cost that does not grow.

Time is cut into blocks as long as the window, so that a window is always the end of one block and the beginning of
the next: a summary from the end of the last block, computed once when it is complete, merged with a running one of
this block (van Herk, A fast algorithm for local minimum and maximum filters, 1992).

A block has 32 cells, and readings of one cell are kept as one summary, which leaves the window when its newest
reading does. Windows with readings further apart than 1/32 of their length are exact; denser ones reach back further
than they should by at most that much. So a rule takes at most some 5 kB, whatever the window and the rate.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.definition import Rule
from rules.signals.block import Block, measured
from rules.signals.plain import own_sensor
from rules.signals.stretches import Index, ranges
from rules.signals.summary import Counts, Numbers, Summary
from telemetry.batch import ReadingBatch

__all__ = ["CELLS", "Sliding", "Windows"]

CELLS = 32
"""of a block: how finely the old end of a window is told"""
_AT_ONCE = 1024
"""blocks of several turns taken together: few enough to stay in the cache"""
_TABLE = ("head", "cells", "past")
_COUNTED = (("count", np.int64), ("oldest", np.int64))
_Seen = tuple[Counts, npt.NDArray[np.int64], Numbers]
_GOLDEN = 0x9E3779B97F4A7C15
"""spreads the beginnings of blocks, so that not all rules complete one in the same batch (Knuth, TAOCP 3, 6.4)"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windows:
    """What is in the window at each reading."""

    place: Index
    """of the rule"""
    time: npt.NDArray[np.int64]
    count: Counts
    """readings in the window, this one included"""
    oldest: npt.NDArray[np.int64]
    """time of the first of them"""
    summary: Numbers


class Sliding(Block, ABC):
    """Windows of all rules of a kind.

    Args:
        window_s: for each rule
        summary: what the readings are summed up to
        identity: for each rule what its state was made with, besides sensor and window
    """

    def __init__(
        self, rules: Sequence[Rule], window_s: Sequence[float], summary: Summary, identity: Sequence[object]
    ) -> None:
        totals, summaries = (
            (name, np.float64, (size,))
            for name, size in (("totals", summary.running_size), ("summary", summary.summary_size))
        )
        super().__init__(
            rules,
            [own_sensor(rule) for rule in rules],
            state={
                "head": np.zeros((), [*_COUNTED, ("block", np.int64), totals]),
                "cells": np.zeros(CELLS, [*_COUNTED, ("newest", np.int64), totals]),
                # One more than cells: the end of the block, from where nothing is left.
                "past": np.zeros(CELLS + 1, [*_COUNTED, ("newest", np.int64), summaries]),
            },
            identity=[(window, more) for window, more in zip(window_s, identity, strict=True)],
        )
        self._summary = summary
        self._window = np.array([max(round(window * 1e6), 1) for window in window_s], np.int64)
        self._shift = np.array(
            [rule.id * _GOLDEN % int(window) for rule, window in zip(rules, self._window, strict=True)], np.int64
        )

    @abstractmethod
    def features(self, value: npt.NDArray[np.float64], into_block: npt.NDArray[np.int64], place: Index) -> Numbers:
        """What a reading is to the summary, one row each; `into_block`: us since the beginning of its block."""

    def earlier(self, summary: Numbers, place: Index) -> Numbers:
        """A summary of the block before as seen from this one."""
        return summary

    def windows(self, batch: ReadingBatch) -> Windows:
        """Take readings in; the window at each usable one."""
        found = self._inputs.stretches(batch, measured(batch))
        place = found.spread(found.rule)
        window = self._window[place]
        block, into_block = np.divmod(found.time - self._shift[place], window)
        cell = _cell(into_block, window)
        windows = Windows(
            place=place,
            time=found.time,
            count=np.empty(place.size, np.int64),
            oldest=np.empty(place.size, np.int64),
            summary=np.empty((place.size, self._summary.summary_size)),
        )
        if not place.size:
            return windows
        with np.errstate(over="ignore", invalid="ignore"):
            features = self.features(found.value, into_block, place)
            begin = np.flatnonzero(np.append(True, (place[1:] != place[:-1]) | (block[1:] != block[:-1])))
            length = np.diff(begin, append=place.size)
            for chosen, many in _passes(place[begin]):
                index = ranges(begin[chosen], length[chosen])
                whole = index.size == place.size
                part = _Part(
                    length=length[chosen],
                    time=found.time if whole else found.time[index],
                    cell=cell if whole else cell[index],
                    features=features if whole else features[index],
                )
                took = self._take_many if many else self._take_one
                count, oldest, summary = took(place[begin[chosen]], block[begin[chosen]], part)
                windows.count[index], windows.oldest[index], windows.summary[index] = count, oldest, summary
        return windows

    def _take_one(self, rule: Index, block: npt.NDArray[np.int64], part: "_Part") -> "_Seen":
        """Readings of one block for each of some rules."""
        self._enter(rule, block)
        totals, count = self._add(self._state, rule, part)
        self._state["moved"][rule] = True
        return self._look(self._state, rule, rule, part, totals, count)

    def _take_many(self, rule: Index, block: npt.NDArray[np.int64], part: "_Part") -> "_Seen":
        """Readings of blocks of which several are of one rule, in order: in a table with one row for each."""
        first = np.append(True, rule[1:] != rule[:-1])
        self._enter(rule[first], block[first])
        table = {name: np.zeros((rule.size, *self._fresh[name].shape), self._fresh[name].dtype) for name in _TABLE}
        for name, column in table.items():
            column[first] = self._state[name][rule[first]]
        table["head"]["block"] = block
        totals, count = self._add(table, np.arange(rule.size), part)
        follows = np.flatnonzero(~first & (block == np.roll(block, 1) + 1))
        table["past"][follows] = self._past(table["cells"].take(follows - 1, axis=0))
        last = np.append(first[1:], True)
        for name, column in table.items():
            self._state[name][rule[last]] = column[last]
        self._state["moved"][rule] = True
        return self._look(table, np.arange(rule.size), rule, part, totals, count)

    def _enter(self, rule: Index, block: npt.NDArray[np.int64]) -> None:
        """Complete the block that each of these rules was in, if it is another than the one given."""
        head, cells, past = (self._state[name] for name in _TABLE)
        before = head["block"][rule]
        leaving = np.flatnonzero(before != block)
        if not leaving.size:
            return
        next_one = before[leaving] == block[leaving] - 1
        follows, others = rule[leaving[next_one]], rule[leaving[~next_one]]
        past["count"][others] = 0
        past[follows] = self._past(cells.take(follows, axis=0))
        cells["count"][rule[leaving]] = 0
        head["count"][rule[leaving]] = 0
        head["block"][rule[leaving]] = block[leaving]

    def _past(self, cells: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
        """Of complete blocks: what is from each cell to the end."""
        count = cells["count"]
        past = np.zeros((cells.shape[0], CELLS + 1), self._fresh["past"].dtype)
        summaries = self._summary.summary(cells["totals"], np.maximum(count, 1))
        past["summary"][:, :CELLS] = self._summary.from_the_end(summaries, count)
        past["count"][:, :CELLS] = np.cumsum(count[:, ::-1], axis=1)[:, ::-1]
        past["newest"][:, :CELLS] = cells["newest"]
        oldest = np.where(count > 0, cells["oldest"], np.iinfo(np.int64).max)
        past["oldest"][:, :CELLS] = np.minimum.accumulate(oldest[:, ::-1], axis=1)[:, ::-1]
        return past

    def _add(self, table: Mapping[str, npt.NDArray[Any]], row: Index, part: "_Part") -> tuple[Numbers, Counts]:
        """Add readings to the rows of a table; the running totals and numbers of each block after each."""
        heads, cells = table["head"], table["cells"]
        start = np.cumsum(part.length) - part.length
        totals, count = self._run(heads, row, start, part.length, part)

        each, cell = np.repeat(row, part.length), part.cell
        start = np.flatnonzero(np.append(True, (each[1:] != each[:-1]) | (cell[1:] != cell[:-1])))
        length = np.diff(start, append=each.size)
        self._run(cells.reshape(-1), each[start] * CELLS + cell[start], start, length, part)
        cells["newest"][each[start], cell[start]] = part.time[start + length - 1]
        return totals, count

    def _run(
        self, table: npt.NDArray[Any], row: Index, start: Index, length: Index, part: "_Part"
    ) -> tuple[Numbers, Counts]:
        """Let the rows of a table take in stretches of readings; totals and numbers after each reading."""
        rows, last = table.take(row), start + length - 1
        fresh = rows["count"] == 0
        totals = self._summary.running(rows["totals"], fresh, start, length, part.features)
        count = ranges(rows["count"] + 1, length)
        rows["oldest"] = np.where(fresh, part.time[start], rows["oldest"])
        rows["count"], rows["totals"] = count[last], totals[last]
        _put(table, row, rows)
        return totals, count

    def _look(
        self,
        table: Mapping[str, npt.NDArray[Any]],
        row: Index,
        rule: Index,
        part: "_Part",
        totals: Numbers,
        count: Counts,
    ) -> "_Seen":
        """Number, oldest time and summary of the window at each reading."""
        summary, oldest = self._summary.summary(totals, count), np.repeat(table["head"]["oldest"][row], part.length)
        row, rule = np.repeat(row, part.length), np.repeat(rule, part.length)
        # The same cell of the block before is the one that leaves the window.
        earlier, place = table["past"].reshape(-1), row * (CELLS + 1) + part.cell
        leaves = earlier.take(place)["newest"] <= part.time - self._window[rule]
        past = earlier.take(place + leaves)
        older = np.flatnonzero(past["count"])
        if older.size:
            past_summary = self.earlier(past["summary"][older], rule[older])
            summary[older] = self._summary.merged(summary[older], count[older], past_summary, past["count"][older])
            oldest[older] = past["oldest"][older]
        return count + past["count"], oldest, summary

    def _stored(self, places: Index) -> dict[str, npt.NDArray[Any]]:
        """Of cells only those with readings."""
        state = super()._stored(places)
        number = state["past"]["count"]
        for name, there in (
            ("cells", state["cells"]["count"] > 0),
            ("past", number > np.append(number[:, 1:], np.zeros_like(number[:, :1]), axis=1)),
        ):
            state[f"{name}_there"], state[name] = there, state[name][there]
        return state

    def _recover(self, arrays: dict[str, npt.NDArray[Any]], here: Index, there: Index) -> None:
        for name in ("cells", "past"):
            filled = arrays.pop(f"{name}_there")
            column = np.zeros(filled.shape, arrays[name].dtype)
            column[filled] = arrays[name]
            arrays[name] = column
        # From an empty cell to the end is as from the next one that is not.
        following = np.where(filled, np.arange(CELLS + 1), CELLS)
        following = np.minimum.accumulate(following[:, ::-1], axis=1)[:, ::-1]
        arrays["past"] = np.take_along_axis(arrays["past"], following, axis=1)
        super()._recover(arrays, here, there)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Part:
    """Readings of some blocks, one block after the other."""

    length: Index
    """of each block"""
    time: npt.NDArray[np.int64]
    cell: Index
    features: Numbers


def _passes(rule: Index) -> Iterator[tuple[Index, bool]]:
    """Which blocks to take at once, given the rule of each: blocks of one rule in order.

    Either one of each rule, or several of some: a few hundred at least, where there are so many.
    """
    first = np.flatnonzero(np.append(True, rule[1:] != rule[:-1]))
    turn = ranges(np.zeros_like(first), np.diff(first, append=rule.size))
    order = np.argsort(turn, kind="stable")
    begin = 0
    ends = np.cumsum(np.bincount(turn)).tolist()
    for number, (end, following) in enumerate(pairwise([*ends, ends[-1] + _AT_ONCE])):
        if following - begin > _AT_ONCE:
            chosen = order[begin:end]
            several = number > 0 and int(turn[chosen[0]]) != number
            yield (np.sort(chosen) if several else chosen), several
            begin = end


def _put(table: npt.NDArray[np.void], row: Index, rows: npt.NDArray[np.void]) -> None:
    """`table[row] = rows`; records that are moved as they are move six times as fast as field by field."""
    whole = np.dtype((np.void, table.dtype.itemsize))
    table.view(whole)[row] = rows.view(whole)


def _cell(into_block: npt.NDArray[np.int64], window: npt.NDArray[np.int64]) -> Index:
    """Which cell of its block a reading is in."""
    return into_block * CELLS // window
