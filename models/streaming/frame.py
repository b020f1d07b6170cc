"""The frame of our own detectors: control charts on what a baseline leaves over, with limits they set themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from models.streaming.learning import SIGMA_PER_DEVIATION, SMOOTHING, SPREAD_SMOOTHING, Uses, begin, learn
from models.streaming.limits import BlockMaxima
from models.streaming.segments import Segments
from models.streaming.state import NAMES, Column, Rows, Setting, Settings, Table
from telemetry.batch import ReadingBatch
from telemetry.snapshot import pack, unpack

__all__ = ["Baseline", "ChartDetector"]

Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
_T = TypeVar("_T", np.float64, np.int64)

_LEFT, _PREVIOUS, _CHART = NAMES.index("left"), NAMES.index("previous"), NAMES.index("chart")
_CHARTS = slice(_CHART, _CHART + 3)
_CEILINGS = slice(_CHART + 3, _CHART + 6)
_AT_ONCE = 4096
"""readings looked at together: they and what is worked out from them stay in the processor's cache"""
_BACK = 0.5
"""of its slack: a CUSUM counts as long as the chart is further away than this, and is silent once the sensor is back"""
_ALL = Uses()
_STATISTICS = 3
"""of which maxima are kept: chart, CUSUM, spread"""
_KEPT = ("maxima", "means", "filled", "readings", "largest", "pending")


class Baseline(Protocol):
    """What is usual of a sensor beside its level: by the time of day, or by what the machine does."""

    @property
    def rows(self) -> int:
        """Numbers of state a sensor; all 0 at first."""
        ...

    def expected(self, state: Table, time: npt.NDArray[np.int64], context: Column) -> Column:
        """How far from its level each reading (rounds, sensors) usually is; NaN where that is not known yet."""
        ...

    def note(
        self, state: Table, time: npt.NDArray[np.int64], context: Column, deviation: Column, valid: Mask | None
    ) -> None:
        """Keep how far these readings, where valid (None: all), were from the level, until the block is over."""
        ...

    def fold(self, state: Table, learned: Mask, risen: Column, rows: Rows, settings: Settings) -> None:
        """A block is over: what was noted is learned where true, and forgotten elsewhere.

        The level has `risen` since it was noted, by what has to come off everything known.
        """
        ...


class ChartDetector:
    """How far a sensor is from what it usually does, over the limit that its own normal time has set.

    Each reading's deviation from the baseline, in learned sigmas, goes into an EWMA chart (Roberts 1959), quick for
    shifts, and into a two-sided CUSUM (Page 1954), which adds up small ones and is silent once the sensor is back.
    The *spread* is an EWMA of magnitudes (MacGregor and Harris 1993): of how far readings are from where the chart
    was, or from the baseline if they are closer to it, clipped at 3 of its own sigmas. It sees noise that grows, and
    neither shifts nor slow wandering; sensors of which one side counts have none. Each has a limit of its own, and
    the score is the largest share of a limit.

    *Learning* goes by blocks of readings. Within one nothing changes but the charts, and one in which the score
    reached `ALARM` teaches nothing. Level and scale are means of deviations clipped at 3 sigmas, never of squares of
    readings: an offset of 1e8 costs no digits. The smallest step that a sensor makes is its resolution, and sigma
    is never smaller.

    *Limits* are set at the end of the warm-up from what the charts did in its last part, with the level and
    scale from before (`BlockMaxima`), and never below those of independent normal noise. They are refined as the
    normal record grows.

    *Anchors*: a limit may grow to 1.5 times that of the warm-up. Level and scale are learned freely for three
    warm-ups; then the scale stays, and the level may go half a limit away. So whatever creeps is an anomaly once it
    is two limits away, however slowly.

    Args:
        sensor_ids: int32, sorted, each once.
        settings: `models.streaming.state.COMMON` where they are not the defaults; one number each, or one a sensor.
        label: of snapshots.
        uses: which of the charts make the score.
        baseline: None: a level alone.
        probe: share of the warm-up in which the baseline is learned alone; in the rest the charts run.
    """

    def __init__(
        self,
        sensor_ids: npt.NDArray[np.int32],
        settings: Mapping[str, Setting],
        *,
        label: str,
        uses: Uses = _ALL,
        baseline: Baseline | None = None,
        probe: float = 0.25,
    ) -> None:
        self._sensor_ids = np.array(sensor_ids, np.int32)
        self._label = label
        self._uses, self._baseline = uses, baseline
        count = self._sensor_ids.size
        self._settings = Settings.of(count, settings, charts=sum(uses), probe=probe)
        self._table = np.empty((len(NAMES), count))
        self._profile = np.empty((baseline.rows if baseline else 0, count))
        self._maxima = BlockMaxima(count, (_STATISTICS,))
        # Of chart, rise and fall; as wide as the state, because NumPy is slow with columns of one.
        self._fading = np.repeat([[1 - SMOOTHING], [1.0], [1.0]], count, axis=1)
        self._floor = np.repeat([[-np.inf], [0.0], [0.0]], count, axis=1)
        self._both_sides = bool((self._settings[-2:] == 1).all())
        self._forget(np.arange(count))

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        """The sensors scored, sorted, each once."""
        return self._sensor_ids

    def score(self, batch: ReadingBatch) -> npt.NDArray[np.float64]:
        """Score readings (sorted by sensor and time), each before it is learned from; see `Detector`."""
        return self._score(Segments.of(batch, self._sensor_ids), batch, None)

    def rebaseline(self, sensor_ids: npt.NDArray[np.int32]) -> None:
        """Forget what is usual for these sensors, and warm up anew; see `Detector`."""
        self._forget(np.flatnonzero(np.isin(self._sensor_ids, sensor_ids)))

    def snapshot(self) -> bytes:
        """The whole state: about half a KiB a sensor, more with a baseline."""
        arrays: dict[str, npt.NDArray[Any]] = {"sensor_id": self._sensor_ids}
        arrays |= {"table": self._table, "profile": self._profile}
        return pack(self._label, arrays | {part: getattr(self._maxima, part) for part in _KEPT})

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot; see `Detector`."""
        arrays = unpack(self._label, body)
        _, here, there = np.intersect1d(self._sensor_ids, arrays["sensor_id"], assume_unique=True, return_indices=True)
        self._forget(np.arange(self._sensor_ids.size))
        self._table[:, here] = arrays["table"][:, there]
        self._profile[:, here] = arrays["profile"][:, there]
        for part in _KEPT:
            getattr(self._maxima, part)[..., here] = arrays[part][..., there]
        self._count_unseen()

    def _count_unseen(self) -> None:
        self._unseen = int(np.isnan(self._table[_PREVIOUS]).sum())

    def _forget(self, index: Index) -> None:
        table = np.zeros((len(NAMES), index.size))
        settings = Settings(*self._settings[:, index])
        begin(Rows(*table), settings)
        self._table[:, index] = table
        self._profile[:, index] = 0.0
        self._maxima.reset(index, settings.base.astype(np.int64))
        self._count_unseen()

    def _score(self, segments: Segments, batch: ReadingBatch, context: Column | None) -> Column:
        scores = np.full(len(batch), np.nan)
        sensor, start, remaining = segments.sensor, segments.begin, segments.length
        while sensor.size:
            # Any cut gives the same scores: take one that leaves little of the rectangle empty.
            most = max(1, int(2 * remaining.mean()))
            take = np.minimum(remaining, np.minimum(self._table[_LEFT, sensor], most).astype(np.intp))
            width = max(1, _AT_ONCE // int(take.max()))
            for first in range(0, sensor.size, width):
                part = slice(first, first + width)
                piece = _Piece.of_readings(sensor[part], start[part], take[part], segments.reading)
                self._take(piece, batch, context, scores)
            going = np.flatnonzero(remaining > take)
            sensor, start, remaining = sensor[going], (start + take)[going], (remaining - take)[going]
        return scores

    def _take(self, piece: "_Piece", batch: ReadingBatch, context: Column | None, scores: Column) -> None:
        table, profile = self._table[:, piece.of], self._profile[:, piece.of]
        rows, last = Rows(*table), piece.last
        value, time = piece.read(batch.value), piece.read(batch.time)
        if self._unseen:
            self._see(rows, value, time)

        deviation = value - rows.level
        if self._baseline is not None:
            given = np.zeros_like(value) if context is None else piece.read(context)
            away, usual = deviation.copy(), self._baseline.expected(profile, time, given)
            unknown = np.isnan(usual)
            deviation -= usual
            deviation[unknown] = 0.0
        _within(deviation, rows.bound)
        deviation *= rows.inverse
        found = self._chart(table, rows, piece, deviation)
        _within(deviation, rows.huber)
        if self._baseline is not None:
            found[unknown] = np.nan
            rows.unknown += (unknown if piece.valid is None else unknown & piece.valid).sum(axis=0)
            heeded = np.where(unknown, away, deviation / rows.inverse + usual)
            self._baseline.note(profile, time, given, heeded, piece.valid)
        piece.write(scores, found)
        if np.isnan(rows.level_anchor.sum()):
            # Of sensors that have settled, scale and resolution stay.
            _keep(rows.sum_abs, np.add, np.abs(deviation), last)
            _resolve(rows, value, last)
        _keep(rows.sum, np.add, deviation, last)

        rows.left -= piece.take
        if rows.left.min() == 0:
            ended = np.flatnonzero(rows.left == 0)
            now = time[piece.take[ended] - 1, ended].astype(np.float64)
            self._end_blocks(table, profile, ended, piece.sensor[ended], now)
        if not isinstance(piece.of, slice):
            self._table[:, piece.of] = table
            self._profile[:, piece.of] = profile

    def _see(self, rows: Rows, value: Column, time: npt.NDArray[np.int64]) -> None:
        """The first readings of sensors: their first guess of a level."""
        fresh = np.isnan(rows.previous)
        for row, first in ((rows.level, value), (rows.previous, value), (rows.begun, time), (rows.first_at, time)):
            row[fresh] = first[0, fresh]
        self._unseen -= int(fresh.sum())

    def _chart(self, table: Table, rows: Rows, piece: "_Piece", deviation: Column) -> Column:
        """Run the charts over deviations in sigmas; the score of each."""
        last = piece.last
        rounds, count = deviation.shape
        push = np.empty((rounds, 3, count))
        np.multiply(deviation, SMOOTHING, out=push[:, 0])
        np.subtract(deviation, rows.slack, out=push[:, 1])
        np.add(deviation, rows.slack, out=push[:, 2])
        np.negative(push[:, 2], out=push[:, 2])
        state, fading, floor = table[_CHARTS], self._fading[:, piece.of], self._floor[:, piece.of]
        kept, ceiling = np.empty((3, count)), table[_CEILINGS]
        for now in push:
            np.multiply(state, fading, out=kept)
            np.add(kept, now, out=now)
            np.minimum(now, ceiling, out=now)
            state = np.maximum(now, floor, out=now)
        chart, rise, fall = push[:, 0], push[:, 1], push[:, 2]
        spread = _spread(rows, deviation, chart, last)
        table[_CHARTS] = push[-1] if last is None else push[last, :, np.arange(count)].T
        if self._both_sides:
            np.abs(chart, out=chart)
        else:
            settings = Settings(*self._settings[:, piece.of])
            np.maximum(chart * settings.up, -chart * settings.down, out=chart)
            rise *= settings.up
            fall *= settings.down
        np.maximum(rise, fall, out=rise)
        rise *= chart > _BACK * rows.slack
        found = np.multiply(chart, rows.chart_share)
        np.maximum(found, np.multiply(rise, rows.cusum_share, out=fall), out=found)
        np.maximum(found, np.multiply(spread, rows.spread_share, out=fall), out=found)
        _keep(rows.chart_peak, np.maximum, chart, last)
        _keep(rows.cusum_peak, np.maximum, rise, last)
        _keep(rows.spread_peak, np.maximum, spread, last)
        return found

    def _end_blocks(self, table: Table, profile: Table, ended: Index, sensor: Index, now: Column) -> None:
        everyone = ended.size == table.shape[1]
        part = table if everyone else table[:, ended]
        before = Rows(*part).level.copy()
        learned = learn(
            Rows(*part),
            Settings(*self._settings[:, sensor]),
            sensor=sensor,
            now=now,
            maxima=self._maxima,
            uses=self._uses,
        )
        if not everyone:
            table[:, ended] = part
        if self._baseline is not None:
            folded = profile[:, ended]
            rows = Rows(*part)
            # Once the charts run, the level is what follows, as far as it may.
            risen = np.where(rows.charting == 0, rows.level - before, 0.0)
            self._baseline.fold(folded, learned, risen, rows, Settings(*self._settings[:, sensor]))
            profile[:, ended] = folded


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Piece:
    """Readings of some sensors that are worked on together: a rectangle (rounds, sensors), with void places."""

    sensor: Index
    """ascending"""
    take: Index
    """readings of each"""
    last: Index | None
    """round of the last one; None: the same of all"""
    of: slice | Index
    """`sensor`; a slice if they are next to each other, so that they are worked on in place"""
    at: slice | Index
    """positions in the batch: (rounds, sensors), or of one round only; void ones repeat the sensor's last"""
    valid: Mask | None
    """(rounds, sensors); None: all"""

    @classmethod
    def of_readings(cls, sensor: Index, start: Index, take: Index, reading: Index) -> "_Piece":
        """`take` readings of each sensor from `start` on, which is a place in `reading`."""
        rounds = int(take.max())
        last = None if int(take.min()) == rounds else take - 1
        if rounds == 1:
            return cls(sensor=sensor, take=take, last=None, of=_run(sensor), at=_run(reading[start]), valid=None)
        each = np.arange(rounds)[:, None]
        at = reading[start + (each if last is None else np.minimum(each, last))]
        valid = None if last is None else each <= last
        return cls(sensor=sensor, take=take, last=last, of=_run(sensor), at=at, valid=valid)

    def read(self, column: npt.NDArray[_T]) -> npt.NDArray[_T]:
        """The rectangle of a column of the batch."""
        found = column[self.at]
        return found if found.ndim == 2 else found[None]

    def write(self, column: Column, found: Column) -> None:
        """Put what was found where the readings are."""
        if self.valid is not None and not isinstance(self.at, slice):
            column[self.at[self.valid]] = found[self.valid]
        else:
            column[self.at] = found if not isinstance(self.at, slice) and self.at.ndim > 1 else found[0]


def _run(ascending: Index) -> slice | Index:
    first, last = int(ascending[0]), int(ascending[-1])
    return slice(first, last + 1) if last - first + 1 == ascending.size else ascending


def _spread(rows: Rows, deviation: Column, chart: Column, last: Index | None) -> Column:
    """Run the spread: how large deviations from where the chart was before them are, above what is usual."""
    ripple = np.empty_like(deviation)
    np.subtract(deviation[0], rows.chart, out=ripple[0])
    np.subtract(deviation[1:], chart[:-1], out=ripple[1:])
    np.abs(ripple, out=ripple)
    np.minimum(ripple, np.abs(deviation), out=ripple)
    ripple *= rows.ripple_share
    np.minimum(ripple, rows.ripple_most, out=ripple)
    spread = ripple - SPREAD_SMOOTHING / SIGMA_PER_DEVIATION
    state = rows.spread
    for now in spread:
        state = np.add(now, state * (1 - SPREAD_SMOOTHING), out=now)
    _put(rows.spread, spread, last)
    _keep(rows.sum_ripple, np.add, ripple, last)
    return spread


def _within(values: Column, bound: Column) -> None:
    np.maximum(values, -bound, out=values)
    np.minimum(values, bound, out=values)


def _keep(row: Column, function: np.ufunc, history: Column, last: Index | None) -> None:
    """Fold a history (spoilt by this) into a row, one round after the other, so that no cut changes a digit."""
    if len(history) == 1:
        function(row, history[0], out=row)
        return
    function(row, history[0], out=history[0])
    function.accumulate(history, axis=0, out=history)
    _put(row, history, last)


def _put(row: Column, history: Column, last: Index | None) -> None:
    row[:] = history[-1] if last is None else history[last, np.arange(row.size)]


def _resolve(rows: Rows, value: Column, last: Index | None) -> None:
    step = np.empty_like(value)
    np.subtract(value[0], rows.previous, out=step[0])
    np.subtract(value[1:], value[:-1], out=step[1:])
    np.abs(step, out=step)
    none = step <= rows.tiny
    if none.any():
        step[none] = np.inf
    _keep(rows.step, np.minimum, step, last)
    _put(rows.previous, value, last)
