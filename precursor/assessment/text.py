"""An assessment on the terminal."""

import math

import click

from precursor.assessment.report import Assessment, Figure
from precursor.cli.table import print_table

__all__ = ["figure_cells", "figure_head", "number", "print_assessment", "words"]


def print_assessment(assessment: Assessment) -> None:
    """Print it to standard output."""
    click.echo(f"{assessment.dataset}: {assessment.title}")
    for note in assessment.notes:
        click.echo(f"note: {note}")
    click.echo()
    print_table(figure_head(assessment), figure_cells(assessment))
    if assessment.missed:
        click.echo(f"\nmissed: {', '.join(assessment.missed)}")


def figure_head(assessment: Assessment) -> tuple[str, ...]:
    """Headings of `figure_cells`."""
    return ("figure", "value", "unit", "aim", "", *map(words, _baselines(assessment)))


def figure_cells(assessment: Assessment) -> list[tuple[str, ...]]:
    """A row a figure: what it is, and beside it what each baseline has."""
    return [
        (
            words(each.name),
            number(each.value),
            each.unit,
            each.aim or "",
            _verdict(each),
            *(number(each.baselines[name]) if name in each.baselines else "" for name in _baselines(assessment)),
        )
        for each in assessment.figures
    ]


def words(name: str) -> str:
    """A name as it is read: without underscores."""
    return name.replace("_", " ")


def number(value: float) -> str:
    """For people, to three digits; `-` for what does not exist."""
    if not math.isfinite(value):
        return "-" if math.isnan(value) else str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def _verdict(figure: Figure) -> str:
    return "" if figure.met is None else "met" if figure.met else "MISSED"


def _baselines(assessment: Assessment) -> list[str]:
    """Names of all baselines, in the order they are met with."""
    return list(dict.fromkeys(name for each in assessment.figures for name in each.baselines))
