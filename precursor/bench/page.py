"""The page of figures in the documentation: a section for each bench and edition, made from the bench's JSON."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from precursor.bench.measures import MEASURES

__all__ = ["section", "with_section"]

_HEAD = """\
# Performance

Written by the bench with `--write` from what it has measured; not by hand. Each figure stands beside its limit: the
same work by the barest means, on the same machine, in the same run and in turn with it. The ratio of the two carries
over to other machines, the figures do not.
"""
_MACHINE = {
    "cpu": "processor",
    "cores": "cores",
    "memory_gib": "memory, GiB",
    "load_1m": "load before the run",
    "os": "system",
    "python": "Python",
    "precursor": "Precursor",
    "postgres": "PostgreSQL",
    "edition": "edition",
    "database": "database",
    "server_settings": "database's settings",
    "broker": "broker",
}


def section(command: str, report: Mapping[str, Any]) -> str:
    """One run as a section of the page.

    Args:
        command: what was run, such as `precursor bench ingest`.
        report: its JSON object.
    """
    machine, results = report["machine"], report["results"]
    lines = [
        f"## {_title(command, machine)}",
        "",
        f"`{command}`, {machine['measured_at']}, sizes: {machine['sizes']}.",
        "",
        *_table(
            ("machine", ""),
            [(label, _cell(machine[key])) for key, label in _MACHINE.items() if machine.get(key) is not None],
            right=(),
        ),
        "",
        *_table(
            ("name", "value", "unit", "limit", "ratio", "aim", "what is done", "what the limit is"),
            [_row(result) for result in results],
            right=(1, 3, 4),
        ),
    ]
    return "\n".join(lines) + "\n"


def with_section(page: str, command: str, report: Mapping[str, Any]) -> str:
    """The page with this run's section in the place of an earlier one of the same bench and edition, or at the end."""
    sections = re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]
    title = f"## {_title(command, report['machine'])}\n"
    new = section(command, report)
    if any(text.startswith(title) for text in sections):
        sections = [new if text.startswith(title) else text for text in sections]
    else:
        sections.append(new)
    return "\n".join([_HEAD, *(text.rstrip("\n") + "\n" for text in sections)])


def _title(command: str, machine: Mapping[str, Any]) -> str:
    # Without the version: a newer TimescaleDB takes the older one's place.
    return f"{command.removeprefix('precursor ').capitalize()}, {str(machine['edition']).split()[0]}"


def _row(result: Mapping[str, Any]) -> tuple[str, ...]:
    measure = MEASURES[result["name"]]
    return (
        f"`{result['name']}`",
        _number(result["value"]),
        result["unit"],
        _number(result["limit"]),
        "" if result["ratio"] is None else f"{result['ratio']:.2f}",
        measure.aim,
        measure.work,
        measure.limit,
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int]) -> list[str]:
    rule = ["---:" if column in right else "---" for column in range(len(head))]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]
