"""`precursor backtest`: what would these rules have done."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from precursor.cli.connection import with_connection
from precursor.settings import read_settings
from telemetry.errors import ConfigurationError, DatabaseUnavailableError

if TYPE_CHECKING:
    import asyncpg

    from precursor.backtest.building import Building
    from precursor.backtest.readings import Progress
    from precursor.backtest.report import Report
    from precursor.plantfile.definition import PlantDefinition
    from precursor.plantfile.reader import PlantFile
    from telemetry.reading_files import ReadingSource

__all__ = ["backtest"]

_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("rules", type=_FILE)
@click.option(
    "--from", "begin", type=_MOMENT, metavar="TIME", help="First moment, UTC: 2026-10-01 or 2026-10-01T06:00."
)
@click.option("--to", "end", type=_MOMENT, metavar="TIME", help="Moment before which it ends, UTC.")
@click.option(
    "--assets",
    multiple=True,
    metavar="PATTERN",
    help="Only rules on these assets and their parts; * and ? are patterns.",
)
@click.option("--data", type=_FILE, help="Readings of this Parquet, Arrow or CSV file, not of the database.")
@click.option("--topic-map", type=_FILE, help="Which column of a CSV file is which sensor, as for `precursor replay`.")
@click.option("--timezone", metavar="ZONE", help="Of times in the file that have none: UTC, or e.g. Europe/Berlin.")
@click.option("--against", type=_FILE, help="Compare with the rules of this file  [default: those in the database].")
@click.option("--labels", type=_FILE, help="CSV file of known failures: asset, failure_at and perhaps began_at.")
@click.option("--horizon", type=float, default=30.0, show_default=True, help="Days before a failure in which to warn.")
@click.option("--operators", type=click.IntRange(1), default=1, show_default=True, help="Who share the alarms.")
@click.option("--suggest", is_flag=True, help="Propose limits and deadbands, and say what each would have done.")
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with pictures to this file."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def backtest(
    rules: Path,
    begin: datetime | None,
    end: datetime | None,
    assets: tuple[str, ...],
    data: Path | None,
    topic_map: Path | None,
    timezone: str | None,
    against: Path | None,
    labels: Path | None,
    horizon: float,
    operators: int,
    suggest: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """Try the rules of the file RULES on readings that are there already: what alarms would they have given?

    RULES is a whole plant file, or has no sites: then its rules are for the plant in the database.

    The evaluator is that of the engine. Nothing is written to the database, and nobody is told anything.

    See docs/backtest.md.
    """
    from precursor.backtest.building import Building
    from precursor.backtest.labels import read_failures
    from precursor.backtest.page import write_page
    from precursor.backtest.text import print_report
    from precursor.plantfile.reader import open_plant_file

    since, until = _utc(begin), _utc(end)
    if data is None and until is not None:
        # Nothing is heard of the future: every machine would be silent there.
        now = datetime.now(UTC)
        if since is not None and now <= since < until:
            raise click.BadParameter(f"--from {since:%Y-%m-%d %H:%M:%S} lies in the future: no readings are stored yet")
        until = min(until, now)
    if since is not None and until is not None and since >= until:
        raise click.BadParameter(f"--from {since:%Y-%m-%d %H:%M:%S} is not before --to {until:%Y-%m-%d %H:%M:%S}")
    if data is None and (topic_map is not None or timezone is not None):
        raise click.BadParameter("--topic-map and --timezone say how to read a file: name it with --data")
    if html is not None and not html.absolute().parent.is_dir():
        raise ConfigurationError(f"there is no folder {str(html.absolute().parent)!r} to write {html.name!r} to")
    if data is None and (since is None or until is None):
        raise click.BadParameter("stored readings of which time? give --from and --to, or a file with --data")
    definition, *others = _definitions([open_plant_file(path) for path in (rules, against) if path is not None])
    build = Building(
        definition=definition,
        name=rules.name,
        old_definition=next(iter(others), None),
        old_name="" if against is None else against.name,
        assets=assets,
        failures=None if labels is None else read_failures(labels, {asset.name for asset in definition.assets}),
        horizon=timedelta(days=horizon),
        operators=operators,
        suggest=suggest,
        draw=html is not None,
        align_s=read_settings().evaluation.align_s,
    )
    with _bar("reading" if data is None else f"reading {data.name}") as show:
        if data is None:
            assert since is not None
            assert until is not None
            report = _on_stored(build, since, until, show)
        else:
            zone = timezone or ("UTC" if topic_map is not None else None)
            table = _table(data, topic_map, definition, since, until)
            report = asyncio.run(build.on_file(table, since, until, zone, show))
    if html is not None:
        write_page(report, html)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
        return
    print_report(report)
    if html is not None:
        click.echo(f"\nthe page is in {html}")


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _definitions(files: Sequence["PlantFile"]) -> "list[PlantDefinition]":
    """What files say; the plant in the database is fetched if one of them has rules alone."""
    alone = next((file.name for file in files if file.has_rules_alone), None)
    plant = None if alone is None else _stored_plant(alone)
    return [file.rules_on(plant) if plant is not None and file.has_rules_alone else file.definition() for file in files]


def _stored_plant(file: str) -> "PlantDefinition":
    from precursor.plantfile.stored_plant import load_stored_plant

    try:
        return with_connection(load_stored_plant)
    except (ConfigurationError, DatabaseUnavailableError) as error:
        raise type(error)(
            f"{file} has no sites, so its names are those of the plant in the database, and there is none to be had:"
            f" {error}; or give a whole plant file"
        ) from error


def _on_stored(build: "Building", begin: datetime, end: datetime, on_progress: "Progress") -> "Report":
    async def work(connection: "asyncpg.Connection") -> "Report":
        return await build.on_stored(connection, begin, end, on_progress)

    return with_connection(work)


def _table(
    path: Path, topic_map: Path | None, definition: "PlantDefinition", begin: datetime | None, end: datetime | None
) -> "ReadingSource":
    from precursor.backtest.csv_files import CsvReadings
    from simulators.topic_map import load_topic_map
    from telemetry.reading_files import ReadingFile

    if topic_map is not None:
        return CsvReadings(path, (), load_topic_map(topic_map))
    if path.name.lower().removesuffix(".gz").endswith((".csv", ".txt")):
        return CsvReadings(path, [sensor.name for sensor in definition.sensors])
    return ReadingFile(path, begin=begin, end=end)


@contextlib.contextmanager
def _bar(doing: str) -> Iterator[Callable[[int, float | None], None]]:
    """A bar on a terminal, nothing elsewhere; on standard error either way."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} readings"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with bar:
        task = bar.add_task(doing, total=None, rows=0)
        yield lambda rows, part: bar.update(task, rows=rows, completed=part or 0, total=None if part is None else 1)
