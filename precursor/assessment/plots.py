"""Draws the pictures of an assessment, small enough to lie beside a text in a repository.

With Matplotlib's objects alone: no pyplot, no global state.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from models.contract import ALARM
from precursor.assessment.drawings import Bars, Curves, Drawing, Scatter, Timeline, Track

__all__ = ["draw"]

_WIDTH_IN, _DPI = 7.6, 110
_PALETTE = 64
"""colours: enough for lines and their edges"""
_COLOURS = ("#0b6e99", "#6d4aa2", "#dd9a24", "#1b7f4b", "#c0392b", "#7b8794", "#8c5a2b", "#2f4b7c")
_INK, _FAINT, _GRID = "#1f2933", "#7b8794", "#e4e7eb"
_LIMIT, _TRUE, _MISSED, _UNJUDGED = "#c0392b", "#f6dca6", "#fbddd6", "#edf0f3"
_MOST_POINTS = 1200
_TOP_SCORE = 6.0
"""of a timeline: beyond six limits it does not matter how far"""


def draw(drawing: Drawing, path: Path) -> None:
    """Draw into a PNG file.

    Raises:
        OSError: it cannot be written.
    """
    figure = Figure(figsize=(_WIDTH_IN, _height(drawing)), layout="constrained", facecolor="white")
    figure.suptitle(drawing.title, x=0.012, ha="left", color=_INK, fontsize=11, fontweight="bold")
    match drawing:
        case Curves():
            _draw_curves(figure.subplots(), drawing)
        case Timeline():
            _draw_timeline(figure, drawing)
        case Scatter():
            _draw_scatter(figure.subplots(), drawing)
        case Bars():
            _draw_bars(figure.subplots(), drawing)
    whole = BytesIO()
    figure.savefig(whole, dpi=_DPI, format="png")
    # By what Matplotlib itself writes PNGs with: a palette takes a third of the bytes.
    with Image.open(whole) as image:
        image.convert("RGB").quantize(_PALETTE, dither=Image.Dither.NONE).save(path, format="PNG", optimize=True)


def _height(drawing: Drawing) -> float:
    match drawing:
        case Timeline():
            return 0.9 + 0.95 * max(len(drawing.tracks), 1)
        case Bars():
            return 1.0 + 0.21 * max(len(drawing.names), 3)
        case Scatter():
            return 5.0
        case Curves():
            return 3.6


def _draw_curves(axes: Axes, drawing: Curves) -> None:
    _frame(axes, drawing.x, drawing.y)
    for number, line in enumerate(drawing.lines):
        axes.plot(
            line.x, line.y, label=line.name, drawstyle="steps-post" if drawing.steps else "default",
            color=_FAINT if line.plain else _COLOURS[number % len(_COLOURS)],
            linewidth=1.0 if line.plain else 1.6, linestyle=(0, (5, 4)) if line.plain else "solid",
        )  # fmt: skip
    if drawing.log_y:
        axes.set_yscale("log")
    _legend(axes)


def _draw_timeline(figure: Figure, drawing: Timeline) -> None:
    panels = figure.subplots(max(len(drawing.tracks), 1), 1, squeeze=False)[:, 0]
    for axes, track in zip(panels, drawing.tracks, strict=False):
        _draw_track(axes, track)
    panels[-1].set_xlabel(drawing.x, color=_INK, fontsize=9)


def _draw_track(axes: Axes, track: Track) -> None:
    _frame(axes, "", "")
    edges = np.flatnonzero(np.diff(np.concatenate(([False], track.label, [False])).astype(np.int8)))
    for first, end in edges.reshape(-1, 2).tolist():
        axes.axvspan(track.time[first], track.time[min(end, track.time.size - 1)], color=_TRUE, linewidth=0, zorder=1)
    keep = _peaks(track.score)
    axes.plot(track.time[keep], np.minimum(track.score[keep], _TOP_SCORE), color=_COLOURS[0], linewidth=0.9, zorder=3)
    axes.axhline(ALARM, color=_LIMIT, linewidth=1.0, linestyle=(0, (6, 4)), zorder=4)
    if track.judged_from is not None:
        axes.axvspan(track.time[0], track.judged_from, color=_UNJUDGED, linewidth=0, zorder=0)
    known = track.score[np.isfinite(track.score)]
    top = min(max(float(known.max(initial=0.0)) * 1.1, 1.5), _TOP_SCORE * 1.02)
    axes.set_ylim(min(0.0, float(known.min(initial=0.0))), top)
    axes.margins(x=0)
    axes.set_title(track.name, loc="left", fontsize=8.5, color=_INK, pad=2)


def _draw_scatter(axes: Axes, drawing: Scatter) -> None:
    _frame(axes, drawing.x, drawing.y)
    for number, cloud in enumerate(drawing.points):
        axes.plot(
            cloud.x, cloud.y, linestyle="none", marker="o", markersize=4, alpha=0.75, markeredgewidth=0,
            color=_COLOURS[number % len(_COLOURS)], label=cloud.name,
        )  # fmt: skip
    if drawing.diagonal and drawing.points:
        every = np.concatenate([np.concatenate((cloud.x, cloud.y)) for cloud in drawing.points])
        known = every[np.isfinite(every)]
        if known.size:
            ends = (float(known.min()), float(known.max()))
            axes.plot(ends, ends, color=_FAINT, linewidth=1.0, linestyle=(0, (5, 4)), label="equal")
    _legend(axes)


def _draw_bars(axes: Axes, drawing: Bars) -> None:
    _frame(axes, drawing.y, "")
    places = np.arange(len(drawing.names))
    known = np.isfinite(drawing.values)
    axes.barh(places[known], drawing.values[known], color=_COLOURS[0], height=0.7, zorder=3)
    for place in places[~known].tolist():
        axes.axhspan(place - 0.35, place + 0.35, color=_MISSED, linewidth=0, zorder=1)
    axes.set_yticks(places, drawing.names, fontsize=8)
    axes.set_ylim(len(drawing.names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=_GRID, linewidth=0.8)
    if drawing.limit is not None:
        axes.axvline(drawing.limit, color=_LIMIT, linewidth=1.0, linestyle=(0, (6, 4)), zorder=4)


def _frame(axes: Axes, x: str, y: str) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_FAINT)
    axes.tick_params(colors=_INK, labelsize=8, color=_FAINT)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(x, color=_INK, fontsize=9)
    axes.set_ylabel(y, color=_INK, fontsize=9)


def _legend(axes: Axes) -> None:
    _, names = axes.get_legend_handles_labels()
    if len(names) > 1:
        axes.legend(frameon=False, fontsize=8, labelcolor=_INK)


def _peaks(score: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Rows worth drawing: lowest and highest of many equal pieces, so that no alarm is lost."""
    if score.size <= _MOST_POINTS:
        return np.arange(score.size)
    keep = []
    for piece in np.array_split(np.arange(score.size), _MOST_POINTS // 2):
        known = piece[~np.isnan(score[piece])]
        if known.size:
            keep += sorted({int(known[score[known].argmin()]), int(known[score[known].argmax()])})
        else:
            keep.append(int(piece[0]))
    return np.array(keep, np.intp)
