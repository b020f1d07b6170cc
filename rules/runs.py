"""Many samples of many alarm instances at once: only where samples cross a limit does anything happen.

A sample is beyond the limit, or back beyond the deadband, or in between. Neighbours of one kind make up a *run*. A run
beyond the limit that lasts as long as the on-delay can raise, one that is back for as long as the off-delay can clear;
of those that can, each that follows one of the other kind does.
"""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from rules.events import ChangeKind
from rules.instances import NEVER, Columns, Flags, Index, Limits, Log, Times, Values, elapse

__all__ = ["Segments", "fold_segments"]

Labels = npt.NDArray[np.int8]

_BEYOND, _BETWEEN, _BACK = 1, 0, -1
_LONG = 512
"""of segments longer than this on average, one at a time costs less than all their samples in one array"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """The samples of each instance: a stretch of common columns, never empty."""

    begin: Index
    end: Index
    time: Times
    """never goes back within a segment; of samples of one instant the earlier ones come first"""
    value: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runs:
    """Runs, by segment and time."""

    segment: Index
    label: Labels
    """beyond the limit: 1, back beyond the deadband: -1, in between: 0"""
    begin: Index
    end: Index
    since: Times
    """since when it is so"""
    carried: Flags
    """whether that was before the segment, and a delay is running"""
    due: Times
    """when the delay would be over"""

    def take(self, index: Index | Flags) -> "_Runs":
        return _Runs(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Peaks:
    """The worst sample of something, oriented; -inf: none."""

    value: Values
    at: Times

    def take(self, index: Index | slice) -> "_Peaks":
        return _Peaks(value=self.value[index], at=self.at[index])

    def where(self, chosen: Flags, other: "_Peaks") -> "_Peaks":
        """These where chosen, else the others."""
        return _Peaks(value=np.where(chosen, self.value, other.value), at=np.where(chosen, self.at, other.at))

    def grown(self, later: "_Peaks", limit: Values) -> "_Peaks":
        """With later samples; those that are not beyond the limit, or no worse, change nothing."""
        return later.where((later.value > limit) & (later.value > self.value), self)


_NO_PEAK = _Peaks(value=np.array(-np.inf), at=np.array(NEVER))


def fold_segments(columns: Columns, limits: Limits, segments: Segments, log: Log) -> None:
    """Fold the samples of each segment into the instance at the same position.

    Args:
        columns: state, changed in place.
        limits: of the same instances.
        segments: at least one.
        log: takes what happened.
    """
    elapse(columns, limits, segments.time[segments.begin], log)
    runs, last = _runs(columns, limits, segments)
    switches = _switches(runs, columns, limits, segments)
    at, value, through = _moments(switches, columns, limits, segments)

    segment, raises = switches.segment, switches.label == _BEYOND
    number = np.arange(segment.size)
    opens = np.ones(number.size, np.bool_)
    opens[1:] = segment[1:] != segment[:-1]
    previous = np.maximum(number - 1, 0)
    final = np.full(columns.active.size, -1)
    final[segment] = number
    moved = np.flatnonzero(final >= 0)
    final = final[moved]

    active, looked = columns.active.copy(), segments.begin.copy()
    active[moved], looked[moved] = raises[final], through[final]
    waiting = runs.label[last] == np.where(active, _BACK, _BEYOND)

    # The worst between the first violating sample and the raise, from there to the begin of what clears, and, where an
    # alarm stands or is pending at the end, up to there.
    worst = _worst(
        np.concatenate((
            np.where(raises, switches.begin, np.where(opens, segments.begin[segment], through[previous])),
            np.where(active, looked, np.where(waiting, runs.begin[last], segments.end)),
        )),
        np.concatenate((np.where(raises, through, switches.begin), segments.end)),
        np.concatenate((limits.sign[segment], limits.sign)),
        segments,
    )  # fmt: skip
    known = _Peaks(value=columns.peak, at=columns.peak_at)
    early, late = worst.take(slice(number.size)), worst.take(slice(number.size, None))
    limit = limits.limit[segment]
    raised = known.take(segment).where(switches.carried, _NO_PEAK).grown(early, limit)
    cleared = known.take(segment).where(opens, raised.take(previous)).grown(early, limit)
    began = np.where(raises, at, np.where(opens, columns.began[segment], at[previous]))
    for kind, which, peaks in (
        (ChangeKind.RAISED, np.flatnonzero(raises), raised),
        (ChangeKind.CLEARED, np.flatnonzero(~raises), cleared),
    ):
        log.add(
            kind,
            segment[which],
            at=at[which],
            began=began[which],
            value=value[which],
            peak=peaks.value[which],
            peak_at=peaks.at[which],
        )

    told = known.where(columns.active | runs.carried[last], _NO_PEAK)
    newly = raised.take(final).where(raises[final], _NO_PEAK)
    told.value[moved], told.at[moved] = newly.value, newly.at
    peaks = told.grown(late, limits.limit)

    columns.active[:] = active
    columns.since[:] = np.where(waiting, runs.since[last], NEVER)
    columns.held[:] = segments.value[segments.end - 1] * limits.sign
    columns.peak[:], columns.peak_at[:] = peaks.value, peaks.at
    columns.began[moved], columns.settled[moved] = at[final], at[final]
    worse = np.flatnonzero(active & limits.has_peak & (peaks.value > told.value))
    moment = np.maximum(columns.peak_at[worse], columns.began[worse])
    log.add_states(ChangeKind.PEAK, worse, columns, at=moment, value=columns.peak[worse])


def _runs(columns: Columns, limits: Limits, segments: Segments) -> tuple[_Runs, Index]:
    """All runs, and which is the last one of each segment."""
    length = segments.end - segments.begin
    first = np.cumsum(length) - length
    labels = _labels(limits, segments, length, first)
    edge = np.ones(labels.size, np.bool_)
    np.not_equal(labels[1:], labels[:-1], out=edge[1:])
    edge[first] = True
    places = np.flatnonzero(edge)
    count = np.add.reduceat(edge, first, dtype=np.intp)
    last = np.cumsum(count) - 1
    opening = last - count + 1
    segment = np.repeat(np.arange(length.size), count)

    label = labels[places]
    begin = places + (segments.begin - first)[segment]
    end = np.append(begin[1:], 0)
    end[last] = segments.end
    since = np.maximum(segments.time[begin], columns.settled[segment])
    carried = np.zeros(places.size, np.bool_)
    carried[opening] = columns.waiting & (label[opening] == np.where(columns.active, _BACK, _BEYOND))
    since[carried] = columns.since[segment[carried]]
    due = since + np.where(label == _BEYOND, limits.on_delay[segment], limits.off_delay[segment])
    return _Runs(segment=segment, label=label, begin=begin, end=end, since=since, carried=carried, due=due), last


def _labels(limits: Limits, segments: Segments, length: Index, first: Index) -> Labels:
    """Of every sample of every segment, one segment after the other; NaN is back."""
    total = int(length.sum())
    beyond, ahead = np.empty(total, np.bool_), np.empty(total, np.bool_)
    if total > _LONG * length.size:
        for place, (begin, end, start) in enumerate(
            zip(segments.begin.tolist(), segments.end.tolist(), first.tolist(), strict=True)
        ):
            values = segments.value[begin:end]
            compare = np.greater if limits.sign[place] > 0 else np.less
            stretch = slice(start, start + end - begin)
            compare(values, limits.limit[place] * limits.sign[place], out=beyond[stretch])
            compare(values, limits.clear[place] * limits.sign[place], out=ahead[stretch])
    else:
        values = segments.value[_places(segments.begin, length, first)] * _spread(limits.sign, length)
        np.greater(values, _spread(limits.limit, length), out=beyond)
        np.greater(values, _spread(limits.clear, length), out=ahead)
    # beyond: 1 + 1, between: 0 + 1, back: 0 + 0
    labels: Labels = beyond.view(np.int8) + ahead.view(np.int8) - np.int8(1)
    return labels


def _switches(runs: _Runs, columns: Columns, limits: Limits, segments: Segments) -> _Runs:
    """The runs that raise or clear."""
    end, segment = runs.end, runs.segment
    newest = np.maximum(segments.time[end - 1], columns.settled[segment])
    followed = end < segments.end[segment]
    # What the next sample says does not matter: until it came, this run lasted.
    following = np.where(followed, segments.time[np.minimum(end, segments.time.size - 1)], NEVER)
    lasting = (runs.due <= newest) | (limits.by_time[segment] & (runs.due < following))
    able = runs.take(np.flatnonzero(lasting & (runs.label != _BETWEEN)))
    before = np.where(columns.active, _BEYOND, _BACK)[able.segment]
    same = able.segment[1:] == able.segment[:-1]
    before[1:][same] = able.label[:-1][same]
    return able.take(able.label != before)


def _moments(switches: _Runs, columns: Columns, limits: Limits, segments: Segments) -> tuple[Times, Values, Index]:
    """When each switch comes, the value held then, and the end of the samples that have counted by then."""
    time, segment = segments.time, switches.segment
    settled = columns.settled[segment]
    reached = switches.begin.copy()
    later = np.flatnonzero(np.maximum(time[switches.begin], settled) < switches.due)
    reached[later] = _first_since(time, switches.begin[later], switches.end[later], switches.due[later])
    inside = reached < switches.end
    now = np.maximum(time[np.where(inside, reached, 0)], settled)
    by_sample = inside & (~limits.by_time[segment] | (now == switches.due))
    through = reached + by_sample
    return (
        np.where(limits.by_time[segment], switches.due, now),
        segments.value[through - 1] * limits.sign[segment],
        through,
    )


def _first_since(time: Times, begin: Index, end: Index, moment: Times) -> Index:
    """The first place in each stretch of ascending times that is not before a moment; its end if there is none."""
    low, high = begin.copy(), end.copy()
    while (rest := np.flatnonzero(low < high)).size:
        middle = (low[rest] + high[rest]) // 2
        before = time[middle] < moment[rest]
        low[rest[before]] = middle[before] + 1
        high[rest[~before]] = middle[~before]
    return low


def _worst(begin: Index, end: Index, sign: Values, segments: Segments) -> _Peaks:
    """The highest oriented value of each stretch, the first one of equals; NaN counts for nothing."""
    peaks = _Peaks(value=np.full(begin.size, -np.inf), at=np.full(begin.size, NEVER))
    length = end - begin
    filled = np.flatnonzero(length > 0)
    if not filled.size:
        return peaks
    length = length[filled]
    first = np.cumsum(length) - length
    places = _places(begin[filled], length, first)
    values = segments.value[places] * _spread(sign[filled], length)
    np.fmax(values, -np.inf, out=values)
    worst = np.maximum.reduceat(values, first)
    found = np.flatnonzero(values == _spread(worst, length))
    peaks.value[filled] = worst
    peaks.at[filled] = segments.time[places[found[np.searchsorted(found, first)]]]
    return peaks


def _places(begin: Index, length: Index, first: Index) -> Index:
    """Stretches of a column, one after the other."""
    total = int(first[-1] + length[-1])
    return begin if total == length.size else np.arange(total) + np.repeat(begin - first, length)


def _spread(numbers: Values, length: Index) -> Values:
    """Each as often as its stretch is long."""
    return numbers if (length == 1).all() else np.repeat(numbers, length)
