"""`precursor bench`."""

import contextlib
import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from precursor import logs
from precursor.cli.table import print_table
from precursor.settings import LogSettings, read_settings

if TYPE_CHECKING:
    from precursor.bench.report import Report

__all__ = ["bench"]


_QUICK = click.option("--quick", is_flag=True, help="Little work: shows in some seconds that it works; poor figures.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
_WRITE = click.option(
    "--write",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Put the report into this page, docs/performance.md as a rule.",
)


@click.group()
def bench() -> None:
    """Measure this machine, limits beside each figure."""


@bench.command()
@click.option(
    "--stage",
    type=click.Choice(["all", "store", "decode", "mqtt"]),
    default="all",
    show_default=True,
    help="Measure this part only.",
)
@_QUICK
@_JSON
@_WRITE
def ingest(stage: str, quick: bool, as_json: bool, write: Path | None) -> None:
    """From the broker to the acknowledgement, and its parts: decode, store.

    Works on embedded parts in a folder of its own, thrown away afterwards, or on those that settings name, in a
    database and with topics of its own. Exit status 1 if a reading was lost or doubled.
    """
    from precursor.bench.ingest import STAGES, bench_ingest, ingest_steps
    from precursor.bench.sizes import FULL, QUICK

    # Ended by a supervisor: the embedded parts must not outlive us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    settings = read_settings()
    logs.configure(LogSettings(level="warning", format=settings.log.format))
    stages = STAGES if stage == "all" else (stage,)
    sizes = QUICK if quick else FULL
    with _progress(ingest_steps(stages, sizes)) as watch:
        report = bench_ingest(settings, stages=stages, sizes=sizes, watch=watch)
    _hand_over(report, "precursor bench ingest", as_json=as_json, write=write)


@bench.command()
@_QUICK
@_JSON
@_WRITE
def query(quick: bool, as_json: bool, write: Path | None) -> None:
    """What users ask of a year of readings: rollups of a sensor, last values of all.

    Fills a database of its own with 50 million readings, on the embedded PostgreSQL or the server that settings name;
    this takes some minutes and 6 GB, and all of it is thrown away.
    """
    from precursor.bench.query import QUERY_FULL, QUERY_QUICK, bench_query, query_steps

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sizes = QUERY_QUICK if quick else QUERY_FULL
    with _progress(query_steps(sizes)) as watch:
        report = bench_query(read_settings(), sizes=sizes, watch=watch)
    _hand_over(report, "precursor bench query", as_json=as_json, write=write)


@bench.command()
@click.option(
    "--rules",
    "part",
    flag_value="rules",
    help="Limits and alarms only: evaluations a second, their share in ingest, reading to alarm.",
)
@click.option(
    "--models",
    "part",
    flag_value="models",
    help="Detectors and vibration only: readings, samples of assets and waveforms a second, their share in ingest.",
)
@_QUICK
@_JSON
@_WRITE
def detect(part: str | None, quick: bool, as_json: bool, write: Path | None) -> None:
    """What it costs to watch every reading.

    Works on embedded parts in a folder of its own, thrown away afterwards, or on those that settings name, in a
    database and with topics of its own. Exit status 1 if a reading or an alarm was lost or doubled.
    """
    from precursor.bench.detect import DETECT_FULL, DETECT_PARTS, DETECT_QUICK, bench_detect, detect_steps

    # Ended by a supervisor: the embedded parts must not outlive us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    settings = read_settings()
    logs.configure(LogSettings(level="warning", format=settings.log.format))
    sizes = DETECT_QUICK if quick else DETECT_FULL
    parts = DETECT_PARTS if part is None else (part,)
    with _progress(detect_steps(parts, sizes)) as watch:
        report = bench_detect(settings, parts=parts, sizes=sizes, watch=watch)
    command = "precursor bench detect" if part is None else f"precursor bench detect --{part}"
    _hand_over(report, command, as_json=as_json, write=write)


def _hand_over(report: "Report", command: str, *, as_json: bool, write: Path | None) -> None:
    from precursor.bench.page import with_section

    document = report.as_json()
    if write is not None:
        page = write.read_text(encoding="utf-8") if write.exists() else ""
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(with_section(page, command, document), encoding="utf-8")
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _tell(report)


@contextlib.contextmanager
def _progress(steps: int) -> "Iterator[Callable[[str], None]]":
    """A bar on a terminal, nothing elsewhere; on standard error either way."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, refresh_per_second=2) as progress:
        task = progress.add_task("starting", total=steps)
        begun = 0

        def watch(text: str) -> None:
            nonlocal begun
            progress.update(task, completed=begun, description=text)
            begun += 1

        yield watch


def _tell(report: "Report") -> None:
    from precursor.bench.measures import MEASURES

    for name, fact in report.machine.items():
        if fact is not None:
            click.echo(f"{name}: {fact}")
    click.echo()
    print_table(
        ("", "value", "unit", "limit", "ratio", "aim"),
        [
            (
                result.name,
                f"{result.value:,.0f}" if result.value >= 100 else f"{result.value:.1f}",
                MEASURES[result.name].unit,
                "" if result.limit is None else f"{result.limit:,.0f}",
                "" if result.ratio is None else f"{result.ratio:.2f}",
                MEASURES[result.name].aim,
            )
            for result in report.results
        ],
    )
