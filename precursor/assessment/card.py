"""Model cards: what a model is good for, as one page of Markdown with its pictures.

The form is that of Mitchell et al. 2019, "Model cards for model reporting", FAT*, cut down to what an engineer asks.
"""

from collections.abc import Sequence
from pathlib import Path

from precursor import __version__
from precursor.assessment.plots import draw
from precursor.assessment.report import Assessment
from precursor.assessment.text import figure_cells, figure_head
from telemetry.errors import ConfigurationError

__all__ = ["write_card"]


def write_card(assessment: Assessment, folder: Path, *, command: str) -> Path:
    """Write the card of an assessment, and its pictures beside it; the folder is made.

    Args:
        command: how to do it again.

    Returns:
        The card.

    Raises:
        ConfigurationError: something cannot be written.
    """
    page = folder / f"{assessment.dataset}.md"
    pictures = [(f"{assessment.dataset}_{drawing.name}.png", drawing) for drawing in assessment.drawings]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, drawing in pictures:
            draw(drawing, folder / name)
        shown = [(name, drawing.title) for name, drawing in pictures]
        page.write_text(_page(assessment, shown, command), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"the card {str(page)!r} cannot be written: {error.strerror}") from error
    return page


def _page(assessment: Assessment, pictures: Sequence[tuple[str, str]], command: str) -> str:
    parts = [f"# {assessment.title}"]
    if assessment.about:
        parts += ["## What is judged", assessment.about]
    if assessment.data:
        parts += ["## Data", assessment.data]
    parts += [
        "## Figures",
        "Beside each figure is what is had for nothing. What each figure means: [evaluation](../evaluation.md).",
        _table(figure_head(assessment), figure_cells(assessment)),
    ]
    if assessment.notes:
        parts.append(_list(assessment.notes))
    if assessment.parts:
        parts += ["## Each by itself", _list([f"[{each.title}]({each.dataset}.md)" for each in assessment.parts])]
    else:
        parts += ["## Known failures", _list(assessment.missed) if assessment.missed else "None on these data."]
    if assessment.weaknesses:
        parts += ["## Limits", _list(assessment.weaknesses)]
    if pictures:
        parts.append("## Pictures")
        parts += [f"![{title}]({name})" for name, title in pictures]
    parts += ["## Again", f"Precursor {__version__}:", f"```\n{command}\n```"]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
