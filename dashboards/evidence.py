"""The picture that goes with a work order: what was measured, what the detector made of it, when it was told.

Drawn with Matplotlib's objects alone: no pyplot, no global state, so a thread of the engine may draw as well.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from telemetry.batch import EPOCH, to_micros
from telemetry.errors import ConfigurationError

__all__ = ["AlarmSpan", "Mark", "Trend", "draw_evidence"]

_WIDTH_IN, _HEIGHT_IN, _DPI = 9.0, 5.4, 200
_MOST_POINTS = 4000
_MOST_TICKS = 9
_DAY_S = 86_400
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)

_INK = "#1f2933"
_FAINT = "#7b8794"
_GRID = "#e4e7eb"
_MEASURED = "#0b6e99"
_SCORE = "#6d4aa2"
_LIMIT = "#c0392b"
_ALARM = "#fbddd6"
_READABLE = {"degC": "°C", "degF": "°F", "g_0": "g", "um": "µm", "dimensionless": ""}
_HALO = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.5}
# Width of a letter of a mark's label as a share of the plot; errs on the wide side.
_LETTER = 0.0098
_MARKS = {"fault": "#b7791f", "order": "#1b7f4b", "failure": "#1f2933"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trend:
    """One series of a sensor and the limit a rule holds against it."""

    label: str
    """what the axis says, e.g. `P-101.vibration`"""
    unit: str
    """of the values, as the plant file writes it; empty for numbers without one"""
    time: npt.NDArray[np.int64]
    """microseconds since 1970-01-01 UTC, ascending"""
    value: npt.NDArray[np.float64]
    """same length; NaN leaves a gap"""
    limit: float | None = None
    """None: no rule watches it"""

    def __post_init__(self) -> None:
        if self.time.shape != self.value.shape or self.time.ndim != 1:
            raise ValueError(f"time is {self.time.shape} and value {self.value.shape}; expected equal lengths")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSpan:
    """While an alarm stood."""

    began: datetime
    """aware"""
    ended: datetime | None
    """aware; None: it still stands"""
    on: Literal["measured", "score"]
    """the panel whose limit was passed"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A moment worth a line across both panels."""

    at: datetime
    """aware"""
    label: str
    """short, e.g. `work order 1`"""


def draw_evidence(
    out: Path,
    *,
    title: str,
    measured: Trend,
    score: Trend,
    alarms: Sequence[AlarmSpan] = (),
    work_orders: Sequence[Mark] = (),
    fault_onset: datetime | None = None,
    functional_failure: datetime | None = None,
) -> None:
    """Draw the measured values above the score and write the picture to `out` (.png or .svg).

    Alarms shade the panel whose limit they passed; work orders, the onset of the fault (known only in
    simulations and recorded tests) and the functional failure are lines across both. Times are UTC.
    A PNG has 1800 by 1080 pixels and is made to be read at half that size.

    Raises:
        ConfigurationError: the suffix is neither .png nor .svg, or the file cannot be written.
        ValueError: there is nothing to draw.
    """
    if out.suffix not in {".png", ".svg"}:
        raise ConfigurationError(f"{out}: evidence is drawn as .png or .svg")
    if not measured.time.size:
        raise ValueError(f"{measured.label} has no readings to draw")
    figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), layout="constrained", facecolor="white")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    figure.suptitle(title, x=0.012, ha="left", color=_INK, fontsize=13, fontweight="bold")
    end = _end(measured, score)
    for axes, trend, colour in ((upper, measured, _MEASURED), (lower, score, _SCORE)):
        _draw_trend(axes, trend, colour)
    _draw_alarms(upper, [alarm for alarm in alarms if alarm.on == "measured"], end)
    _draw_alarms(lower, [alarm for alarm in alarms if alarm.on == "score"], end)
    _draw_marks(upper, lower, _marks(work_orders, fault_onset, functional_failure))
    _draw_time_axis(upper, lower)
    begin = EPOCH + timedelta(microseconds=int(measured.time[0]))
    lower.set_xlabel(f"UTC, from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}", color=_INK, fontsize=9.5)
    try:
        # Without the date of drawing: a picture changes only when its data does.
        figure.savefig(out, dpi=_DPI, metadata={"Date": None} if out.suffix == ".svg" else {})
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written: {error.strerror}") from error


def _days(micros: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Days since 1970-01-01 UTC: exact to some µs, which is far below a pixel."""
    return micros / (_DAY_S * 1e6)


def _day(moment: datetime) -> float:
    return to_micros(moment) / (_DAY_S * 1e6)


def _thinned(trend: Trend) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Lowest and highest value of each of many equal pieces: no peak is lost and an SVG stays small."""
    if trend.time.size <= _MOST_POINTS:
        return _days(trend.time), trend.value
    pieces = np.array_split(np.arange(trend.time.size), _MOST_POINTS // 2)
    keep = []
    for piece in pieces:
        known = piece[~np.isnan(trend.value[piece])]
        if known.size:
            keep += sorted({int(known[trend.value[known].argmin()]), int(known[trend.value[known].argmax()])})
        else:
            keep.append(int(piece[0]))
    return _days(trend.time[keep]), trend.value[keep]


def _end(*trends: Trend) -> datetime:
    last = max(int(trend.time[-1]) for trend in trends if trend.time.size)
    return EPOCH + timedelta(microseconds=last)


def _draw_trend(axes: Axes, trend: Trend, colour: str) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_FAINT)
    axes.tick_params(colors=_INK, labelsize=9, color=_FAINT)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    axes.plot(*_thinned(trend), color=colour, linewidth=1.1, zorder=3)
    unit = _READABLE.get(trend.unit, trend.unit)
    axes.text(
        0.006, 0.965, f"{trend.label}, {unit}" if unit else trend.label, transform=axes.transAxes,
        ha="left", va="top", color=colour, fontsize=10.5, fontweight="bold", zorder=6, bbox=_HALO,
    )  # fmt: skip
    axes.set_ylabel(unit or "score", color=_INK, fontsize=9.5)
    if trend.limit is not None:
        axes.axhline(trend.limit, color=_LIMIT, linewidth=1.3, linestyle=(0, (6, 4)), zorder=4)
        axes.text(
            0.006, trend.limit, f"limit {trend.limit:g} {unit}".rstrip(),
            transform=blended_transform_factory(axes.transAxes, axes.transData),
            ha="left", va="bottom", color=_LIMIT, fontsize=9.5, zorder=6,
        )  # fmt: skip
    known = trend.value[~np.isnan(trend.value)]
    low, high = axes.get_ylim()
    if known.size and 0 <= known.min() < 0.4 * known.max():
        low = 0.0
    # Room for the name above the curve, and above the limit with its label.
    top = high + 0.16 * (high - low)
    if trend.limit is not None:
        top = max(top, low + (trend.limit - low) / 0.76)
    axes.set_ylim(low, top)


def _draw_alarms(axes: Axes, alarms: Sequence[AlarmSpan], end: datetime) -> None:
    spans = [(_day(alarm.began), _day(alarm.ended or end)) for alarm in alarms]
    for left, right in spans:
        axes.axvspan(left, right, color=_ALARM, linewidth=0, zorder=1)
    if not spans:
        return
    # The longest has the most room for the word; on the left there stands the name of the series.
    left, right = max(spans, key=lambda span: span[1] - span[0])
    first, last = axes.get_xlim()
    flipped = (left - first) < 0.35 * (last - first)
    axes.annotate(
        "alarm", (right if flipped else left, 0.965), xycoords=("data", "axes fraction"),
        xytext=(-4 if flipped else 4, 0), textcoords="offset points",
        ha="right" if flipped else "left", va="top", color=_LIMIT, fontsize=9.5, zorder=6,
    )  # fmt: skip


def _marks(
    work_orders: Sequence[Mark], fault_onset: datetime | None, functional_failure: datetime | None
) -> list[tuple[Mark, str]]:
    marks = [(order, _MARKS["order"]) for order in work_orders]
    if fault_onset is not None:
        marks.append((Mark(at=fault_onset, label="fault begins"), _MARKS["fault"]))
    if functional_failure is not None:
        marks.append((Mark(at=functional_failure, label="functional failure"), _MARKS["failure"]))
    return sorted(marks, key=lambda mark: mark[0].at)


def _draw_marks(upper: Axes, lower: Axes, marks: Sequence[tuple[Mark, str]]) -> None:
    """Lines across both panels with their labels above the upper one, in as many rows as keep them apart."""
    left, right = upper.get_xlim()
    row_ends: list[float] = []
    for mark, colour in marks:
        at = _day(mark.at)
        for axes in (upper, lower):
            axes.axvline(at, color=colour, linewidth=1.4, zorder=5)
        width = len(mark.label) * _LETTER * (right - left)
        flipped = at + width > right
        begin = at - width if flipped else at
        row = next((number for number, row_end in enumerate(row_ends) if begin > row_end), len(row_ends))
        if row == len(row_ends):
            row_ends.append(begin)
        row_ends[row] = begin + width
        upper.annotate(
            mark.label, (at, 1), xycoords=("data", "axes fraction"), xytext=(0, 3 + 13 * row),
            textcoords="offset points", ha="right" if flipped else "left", va="bottom",
            color=colour, fontsize=10, fontweight="bold", annotation_clip=False,
        )  # fmt: skip
    upper.set_xlim(left, right)


def _draw_time_axis(upper: Axes, lower: Axes) -> None:
    left, right = (edge * _DAY_S for edge in lower.get_xlim())
    days = max(1, math.ceil((right - left) / _DAY_S / _MOST_TICKS))
    step = next((step for step in _STEPS_S if (right - left) / step <= _MOST_TICKS), days * _DAY_S)
    ticks = np.arange(math.ceil(left / step) * step, right, step)
    lower.set_xticks(ticks / _DAY_S, [_clock(float(tick), step) for tick in ticks])
    upper.tick_params(axis="x", length=0)


def _clock(seconds: float, step: float) -> str:
    moment = EPOCH + timedelta(seconds=seconds)
    if seconds % _DAY_S == 0:
        return f"{moment:%Y-%m-%d}"
    return f"{moment:%H:%M:%S}" if step < 60 else f"{moment:%H:%M}"
