"""`precursor export | import`: readings of a range to a file that other tools read, and from one."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from precursor import __version__, parts
from precursor.cli.connection import with_connection
from precursor.settings import read_settings
from telemetry.errors import ConfigurationError, TransientError

if TYPE_CHECKING:
    import asyncpg

    from precursor.exchange import Imported
    from telemetry.reading_files import Exported

__all__ = ["export", "import_"]

_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])
_STDOUT = "-"


@click.command()
@click.argument("out", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--from", "begin", type=_MOMENT, metavar="TIME", help="First moment, UTC  [default: the first reading].")
@click.option(
    "--to",
    "end",
    type=_MOMENT,
    metavar="TIME",
    help="Moment before which it ends, UTC: 2026-11-20 or 2026-11-20T06:00  [default: after the last reading].",
)
@click.option("--sensor", "sensors", multiple=True, metavar="NAME", help="This sensor; may be given several times.")
@click.option(
    "--asset", "assets", multiple=True, metavar="NAME", help="The sensors of this asset and of its parts; as above."
)
@click.option("--force", is_flag=True, help="Replace OUT if it is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def export(
    out: Path,
    begin: datetime | None,
    end: datetime | None,
    sensors: tuple[str, ...],
    assets: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Write the stored readings of a range to OUT, for pandas, Polars, DuckDB or another Precursor.

    OUT ends in .parquet or, for Arrow, in .arrow or .feather; - is an Arrow stream on standard output. Without
    --sensor and --asset: all sensors, scores and retired ones too.

    See docs/export-import.md.
    """
    from telemetry.arrow import EARLIEST, LATEST
    from telemetry.reading_files import check_target, export_readings

    since = EARLIEST if begin is None else begin.replace(tzinfo=UTC)
    until = LATEST if end is None else end.replace(tzinfo=UTC)
    if since >= until:
        raise click.BadParameter(f"--from {since:%Y-%m-%d %H:%M:%S} is not before --to {until:%Y-%m-%d %H:%M:%S}")
    to_stdout = str(out) == _STDOUT
    if to_stdout and as_json:
        raise click.BadParameter("- and --json both want standard output; leave one out")
    if to_stdout and sys.stdout.isatty():
        raise click.BadParameter("an Arrow stream on a terminal helps nobody; pipe it into a program, or name a file")
    if not to_stdout:
        check_target(out, force=force)
    begun = time.monotonic()
    with _bar("exporting") as show:

        async def work(connection: "asyncpg.Connection") -> "Exported":
            return await export_readings(
                connection,
                sys.stdout.buffer if to_stdout else out,
                sensors=sensors,
                assets=assets,
                begin=since,
                end=until,
                force=force,
                made_by=f"precursor {__version__}",
                on_progress=lambda readings, part: show("exporting", readings, part),
            )

        exported = with_connection(work)
    if to_stdout:
        return
    wall_s, size = time.monotonic() - begun, out.stat().st_size
    if as_json:
        click.echo(
            json.dumps(
                {
                    "file": str(out),
                    "bytes": size,
                    "readings": exported.readings,
                    "sensors": exported.sensors,
                    "first": None if exported.first is None else exported.first.isoformat(),
                    "last": None if exported.last is None else exported.last.isoformat(),
                    "wall_s": round(wall_s, 3),
                }
            )
        )
    elif exported.first is None or exported.last is None:
        click.echo(f"no readings in this range: {out} has columns and no rows")
    else:
        click.echo(
            f"{exported.readings:,} readings of {exported.sensors:,} sensors,"
            f" {exported.first:%Y-%m-%d %H:%M:%S} to {exported.last:%Y-%m-%d %H:%M:%S} UTC,"
            f" in {out}: {size / 1e6:,.1f} MB, {wall_s:.1f} s"
        )


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--source", metavar="NAME", help="Counted in the ledger as import:NAME  [default: the file's name].")
@click.option("--timezone", metavar="ZONE", help="Of times that have none: UTC, or a name such as Europe/Berlin.")
@click.option("--skip-unknown", is_flag=True, help="Reject the rows of unknown sensors and store the rest.")
@click.option("--dry-run", is_flag=True, help="Read all of it and say what would be taken, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def import_(
    file: Path, source: str | None, timezone: str | None, skip_unknown: bool, dry_run: bool, as_json: bool
) -> None:
    """Store the readings in FILE, Parquet or Arrow: one that `precursor export` wrote, or another.

    Another has columns time (timestamp), sensor (its name), value (in the sensor's unit) and perhaps quality (good,
    uncertain, bad, stale). What is stored already counts as duplicate: an import that was interrupted is run again.

    Imported history is in rollups and KPIs; no rule or detector looks at it, so it raises no alarm and no work order.
    See docs/export-import.md.
    """
    from precursor.exchange import import_readings
    from telemetry.reading_files import ReadingFile

    settings = read_settings()
    table = ReadingFile(file)
    begun = time.monotonic()
    taken = 0
    with _bar("looking") as show:

        def on_progress(doing: str, done: int, total: int | None) -> None:
            nonlocal taken
            taken = done if doing == "storing" else 0
            show(doing, done, None if not total else done / total)

        async def work(connection: "asyncpg.Connection") -> "Imported":
            return await import_readings(
                connection,
                table,
                limits=parts.door_limits(settings),
                now=datetime.now(UTC),
                source=source,
                timezone=timezone,
                skip_unknown=skip_unknown,
                dry_run=dry_run,
                on_progress=on_progress,
            )

        try:
            imported = with_connection(work)
        except TransientError as error:
            if not taken:
                raise
            raise TransientError(
                f"{error}; {taken:,} rows of {file.name} are in and stay: run the same command again,"
                " they will count as duplicates"
            ) from error
        except ConfigurationError as error:
            if not taken:
                raise
            raise ConfigurationError(f"{error}. {taken:,} rows of {file.name} are in and stay") from error
    if as_json:
        document = {"file": str(file), **imported.document(), "wall_s": round(time.monotonic() - begun, 3)}
        click.echo(json.dumps(document))
        return
    _tell(imported, time.monotonic() - begun)


def _tell(imported: "Imported", wall_s: float) -> None:
    rejected = imported.rejected.total()
    if imported.dry_run:
        click.echo(
            f"{imported.received:,} rows: {imported.stored:,} would be taken (those stored already count as"
            f" duplicates), {rejected:,} rejected; nothing was written"
        )
    else:
        click.echo(
            f"{imported.received:,} rows: {imported.stored:,} stored, {imported.duplicate:,} duplicates,"
            f" {rejected:,} rejected, {wall_s:.1f} s; in the ledger as {imported.source}"
        )
    for reason, count in sorted(imported.rejected.items()):
        click.echo(f"  {count:,} rejected as {reason}")
    if rejected and not imported.dry_run:
        click.echo("  the table `rejected` has the first row of each sensor and reason")


@contextlib.contextmanager
def _bar(doing: str) -> Iterator[Callable[[str, int, float | None], Any]]:
    """A bar on a terminal, nothing elsewhere; on standard error either way. Told what is done, rows, and the part."""
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
        yield lambda doing, rows, part: bar.update(
            task, description=doing, rows=rows, completed=part or 0, total=None if part is None else 1
        )
