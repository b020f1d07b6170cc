"""Charts of a backtest as SVG, to stand in a page as they are: no scripts, nothing fetched."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from precursor.backtest.report import duration
from rules.definition import Priority
from rules.occurrences import Occurrence, spans_of, union
from telemetry.batch import EPOCH, to_datetime, to_micros

__all__ = ["COLOURS", "TrendChart", "day_bars", "timeline", "trend"]

COLOURS = MappingProxyType({Priority.LOW: "#7fa7bd", Priority.MEDIUM: "#dd9a24", Priority.HIGH: "#c0392b"})
_WIDTH, _LEFT, _RIGHT = 960, 190, 12
_PLOT = _WIDTH - _LEFT - _RIGHT
_STEPS = tuple(
    [timedelta(seconds=n) for n in (10, 30)]
    + [timedelta(minutes=n) for n in (1, 2, 5, 10, 15, 30)]
    + [timedelta(hours=n) for n in (1, 2, 3, 6, 12)]
    + [timedelta(days=n) for n in (1, 2, 5, 10, 30, 60, 180, 365)]
)
_MOST_TICKS = 8
_ROW = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _TimeAxis:
    begin: datetime
    end: datetime

    def x(self, moment: datetime) -> float:
        return _LEFT + _PLOT * min(1.0, max(0.0, (moment - self.begin) / (self.end - self.begin)))

    def svg(self, top: float, bottom: float) -> str:
        """Lines, and times below."""
        parts = []
        for moment, text in self._ticks():
            x = self.x(moment)
            parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>')
            parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 14:.1f}" text-anchor="middle">{text}</text>')
        return "".join(parts)

    def _ticks(self) -> Iterator[tuple[datetime, str]]:
        length = self.end - self.begin
        step = next((step for step in _STEPS if length / step <= _MOST_TICKS), length / _MOST_TICKS)
        form = "%-d %b" if step >= timedelta(days=1) else "%-d %b %H:%M" if length > timedelta(days=1) else "%H:%M"
        form = "%H:%M:%S" if step < timedelta(minutes=1) else form
        moment = EPOCH + math.ceil((self.begin - EPOCH) / step) * step
        while moment <= self.end:
            if _LEFT + 15 <= self.x(moment) <= _LEFT + _PLOT - 15:
                yield moment, moment.strftime(form)
            moment += step


def timeline(rows: Sequence[tuple[str, Sequence[Occurrence]]], begin: datetime, end: datetime) -> str:
    """When alarms stood, a row an asset, the most urgent on top."""
    axis = _TimeAxis(begin=begin, end=end)
    height = _ROW * len(rows)
    parts = [axis.svg(0, height)]
    for place, (name, found) in enumerate(rows):
        y = place * _ROW
        parts.append(f'<text class="name" x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(_short(name))}</text>')
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _PLOT}" y1="{y + _ROW}" y2="{y + _ROW}"/>')
        for priority in Priority:
            own = [each for each in found if each.priority is priority]
            for left, right, begin_us, end_us in _blocks(own, axis):
                told = f"{to_datetime(begin_us):%Y-%m-%d %H:%M:%S}, {duration((end_us - begin_us) / 1e6)}"
                parts.append(
                    f'<rect x="{left:.1f}" y="{y + 4}" width="{right - left:.1f}" height="{_ROW - 8}"'
                    f' fill="{COLOURS[priority]}"><title>{escape(name)}, {priority.name.lower()}: {told}</title></rect>'
                )
    return _svg(height + 20, parts, f"Alarms of {len(rows)} assets over time")


def day_bars(found: Sequence[Occurrence], begin: datetime, end: datetime, *, good: float, tolerable: float) -> str:
    """Alarms told on each day (UTC), by priority, with the lines of what is good and what is tolerable."""
    first = begin.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = max(1, math.ceil((end - first) / timedelta(days=1)))
    counts = np.zeros((len(Priority), days), np.int64)
    for each in found:
        if each.told_at is not None:
            counts[each.priority - 1, min(days - 1, max(0, (each.told_at - first) // timedelta(days=1)))] += 1
    height, most = 150.0, max(float(counts.sum(axis=0).max()), 1.0)
    top = most * 1.1
    parts = [_TimeAxis(begin=first, end=first + timedelta(days=days)).svg(0, height)]
    parts += [_level(value, height, top, text) for value, text in _values(top)]
    width = _PLOT / days
    for day in range(days):
        y = height
        for priority in Priority:
            count = int(counts[priority - 1, day])
            if count:
                tall = count / top * height
                y -= tall
                parts.append(
                    f'<rect x="{_LEFT + day * width + min(1, width * 0.1):.1f}" y="{y:.1f}"'
                    f' width="{max(0.6, width * 0.9 - 1):.1f}" height="{tall:.1f}" fill="{COLOURS[priority]}">'
                    f"<title>{first + timedelta(days=day):%Y-%m-%d}: {count} {priority.name.lower()}</title></rect>"
                )
    for value, kind in ((good, "good"), (tolerable, "most")):
        if value < top:
            y = height - value / top * height
            parts.append(f'<line class="{kind}" x1="{_LEFT}" x2="{_LEFT + _PLOT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(
                f'<text class="tick" x="{_LEFT + _PLOT - 4}" y="{y - 4:.1f}" text-anchor="end">{value:g} a day</text>'
            )
    return _svg(height + 20, parts, "Alarms on each day")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrendChart:
    """A sensor's values, its limits, and when it was in alarm."""

    name: str
    unit: str
    low: npt.NDArray[np.float64]
    """of each of many equal stretches; NaN: no values there"""
    high: npt.NDArray[np.float64]
    limits: Sequence[tuple[str, float]]
    alarms: Sequence[Occurrence]


def trend(chart: TrendChart, begin: datetime, end: datetime) -> str:
    """The band of a sensor's values over time."""
    axis, height = _TimeAxis(begin=begin, end=end), 150.0
    bottom, top = _value_range(chart)
    parts = [axis.svg(0, height)]
    for left, right, _, _ in _blocks(chart.alarms, axis):
        parts.append(f'<rect class="alarm" x="{left:.1f}" y="0" width="{right - left:.1f}" height="{height}"/>')
    parts += [_level(value - bottom, height, top - bottom, text) for value, text in _values(top, bottom)]

    def y(value: float) -> float:
        return height - (min(top, max(bottom, value)) - bottom) / (top - bottom) * height

    known = np.isfinite(chart.low)
    width = _PLOT / known.size
    edges = np.flatnonzero(np.diff(np.concatenate(([False], known, [False])).astype(np.int8)))
    for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        xs = [_LEFT + (place + 0.5) * width for place in range(first, last)]
        upper = [f"{x:.1f},{y(v) - 0.6:.1f}" for x, v in zip(xs, chart.high[first:last].tolist(), strict=True)]
        lower = [f"{x:.1f},{y(v) + 0.6:.1f}" for x, v in zip(xs, chart.low[first:last].tolist(), strict=True)]
        parts.append(f'<polygon class="band" points="{" ".join(upper + lower[::-1])}"/>')
    for text, value in chart.limits:
        # The two of a side may be close to each other: the inner one's name is on its other side.
        beside = 11 if text in ("high", "low low") else -3
        parts.append(
            f'<line class="limit" x1="{_LEFT}" x2="{_LEFT + _PLOT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
            f'<text class="limit-text" x="{_LEFT + 4}" y="{y(value) + beside:.1f}">{escape(text)} {value:.4g}</text>'
        )
    unit = f", {chart.unit}" if chart.unit else ""
    parts.append(f'<text class="name" x="0" y="12">{escape(_short(chart.name))}</text>')
    parts.append(f'<text class="tick" x="0" y="28">{len(chart.alarms):,} alarms{escape(unit)}</text>')
    return _svg(height + 20, parts, f"Values of {chart.name}")


def _value_range(chart: TrendChart) -> tuple[float, float]:
    known = np.concatenate((chart.low[np.isfinite(chart.low)], chart.high[np.isfinite(chart.high)]))
    values = [value for _, value in chart.limits]
    if known.size:
        # A few wild values must not flatten all the others; they are drawn at the edge.
        values += np.percentile(known, (0.5, 99.5)).tolist()
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low == high:
        low, high = low - 1, high + 1
    margin = 0.12 * (high - low)
    return low - margin, high + margin


def _blocks(found: Sequence[Occurrence], axis: _TimeAxis) -> Iterator[tuple[float, float, int, int]]:
    """Left and right edge of what can be told apart on paper, and the time in it, us."""
    if not found:
        return
    begin, end = to_micros(axis.begin), to_micros(axis.end)
    scale = _PLOT / (end - begin)
    # Half a pixel's time between two spans joins them: a flapping alarm is one block, not ten thousand.
    slack = int(0.5 / scale)
    spans = spans_of(found, axis.end)
    merged = union(np.column_stack((spans[:, 0], spans[:, 1] + slack)))
    for first, last in merged.tolist():
        left = _LEFT + (first - begin) * scale
        right = _LEFT + (last - slack - begin) * scale
        yield left, max(right, left + 1.2), first, last - slack


def _values(top: float, bottom: float = 0.0) -> Iterator[tuple[float, str]]:
    """Round values for a scale, at most six."""
    step = 10.0 ** math.floor(math.log10((top - bottom) / 2))
    step *= next(factor for factor in (0.5, 1, 2, 5, 10) if (top - bottom) / (step * factor) <= 6)
    for number in range(math.ceil(bottom / step), math.floor(top / step) + 1):
        yield number * step, f"{number * step:.6g}"


def _level(value: float, height: float, top: float, text: str) -> str:
    y = height - value / top * height
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _PLOT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    )


def _short(name: str) -> str:
    return name if len(name) <= 26 else f"{name[:12]}…{name[-12:]}"


def _svg(height: float, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 -8 {_WIDTH} {height + 8:.0f}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )
