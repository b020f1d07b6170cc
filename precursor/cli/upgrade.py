"""`precursor upgrade`: a database moved to another edition, or to another server, with everything in it."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import click

from precursor import parts, preflight
from precursor.cli.table import print_table
from precursor.embedded import embedded_database, has_embedded_database
from precursor.settings import Settings, read_settings
from telemetry.errors import ConfigurationError

if TYPE_CHECKING:
    from telemetry.copying import Copied

__all__ = ["upgrade"]


@click.command()
@click.option(
    "--from",
    "source",
    metavar="DSN|FOLDER",
    help="Copy this database, or the embedded one of this data folder, into the one that settings name.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done and how much it is, change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def upgrade(source: str | None, dry_run: bool, as_json: bool) -> None:
    """Move to TimescaleDB's community edition, or to another server, and lose nothing.

    With --from, everything is copied into the database that settings name, which has to be empty: plant, readings,
    rollups, alarms, work orders, evaluation. What is copied is compared on both sides; the source is only read. Killed
    half-way, the same command begins anew. Any edition into any other. Without --from, a database under TimescaleDB's
    Apache licence takes the community edition in place, once the server has it.

    Stop `precursor up` first, in both places. See docs/upgrade.md.
    """
    settings = read_settings()
    try:
        if source is None:
            _in_place(settings, dry_run=dry_run, as_json=as_json)
        else:
            with _address(source) as address, parts.database(settings) as dsn:
                _copy(address, dsn, dry_run=dry_run, as_json=as_json)
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigurationError(
            f"the database user may not do this: {error}; it takes the owner of the tables, on both sides"
        ) from error


@contextlib.contextmanager
def _address(source: str) -> Iterator[str]:
    if source.startswith(("postgres://", "postgresql://")):
        yield source
        return
    folder = Path(source)
    if not has_embedded_database(folder):
        raise ConfigurationError(
            f"--from {source}: neither an address, as postgresql://user@host/name, nor a data folder with a database"
        )
    with embedded_database(folder) as dsn:
        yield dsn


def _copy(source: str, target: str, *, dry_run: bool, as_json: bool) -> None:
    from telemetry.upgrade import copy_database, plan_copy

    try:
        state = preflight.inspect(source)
    except ConfigurationError as error:
        raise ConfigurationError(f"--from: {error}") from error
    if not state.current:
        raise ConfigurationError(
            f"--from: that database has schema {state.revision or 'none yet'}, this program copies {state.newest}:"
            " run `precursor migrate` with PRECURSOR_DATABASE__DSN set to it (or PRECURSOR_DATA_DIR to its folder)"
        )
    if dry_run:
        there = preflight.inspect(target)
        if not there.current:
            text = (
                f"the database that settings name has schema {there.revision or 'none yet'}; it would be migrated first"
            )
            click.echo(json.dumps({"from": state.edition, "migrate": there.newest}) if as_json else text)
            return
        plan = asyncio.run(plan_copy(source, target))
        if as_json:
            names = [table.name for table in plan.tables]
            click.echo(json.dumps({"from": plan.source, "to": plan.target, "bytes": plan.bytes, "tables": names}))
        else:
            click.echo(
                f"{len(plan.tables)} tables would be copied, {plan.bytes / 1e6:,.1f} MB without their indexes,"
                f" from {plan.source} to {plan.target}; have twice as much free there"
            )
        return
    preflight.migrate(target)
    begun = time.monotonic()
    with _bar() as (progress, total):
        done = asyncio.run(copy_database(source, target, progress, total))
    wall_s = time.monotonic() - begun
    if as_json:
        click.echo(json.dumps({**done.as_json(), "wall_s": round(wall_s, 3)}))
        return
    _print(done.tables)
    if done.before:
        click.echo(f"all of it was there already: {done.source} and {done.target} hold the same, {wall_s:.1f} s")
    else:
        click.echo(
            f"copied from {done.source} to {done.target} in {wall_s:.1f} s; every table has the same number of rows and"
            " the same checksum on both sides. The old database is as it was"
        )


def _in_place(settings: Settings, *, dry_run: bool, as_json: bool) -> None:
    from telemetry.in_place import aggregate

    begun = time.monotonic()
    say: Callable[[str], None] = (lambda _: None) if as_json else (lambda text: click.echo(f"{text} ...", err=True))
    with preflight.existing_database(settings) as dsn:
        done = asyncio.run(aggregate(dsn, dry_run=dry_run, tell=say))
    if as_json:
        document = {
            "already_there": done.before,
            "dry_run": dry_run,
            "bytes": done.bytes,
            "tables": [table.as_json() for table in done.tables],
            "wall_s": round(time.monotonic() - begun, 3),
        }
        click.echo(json.dumps(document))
    elif done.before:
        click.echo("this database is of TimescaleDB's community edition already; nothing to do")
    elif dry_run:
        click.echo(
            f"rollups would become continuous aggregates, readings stay where they are; {done.bytes / 1e6:,.1f} MB more"
            " are needed on the server's disk until it is done"
        )
    else:
        _print(done.tables)
        click.echo(
            "rollups are continuous aggregates now, with the same rows and checksums; readings stayed as they were"
        )


def _print(tables: "tuple[Copied, ...]") -> None:
    print_table(("table", "rows", "checksum"), [(each.name, each.rows, each.checksum) for each in tables])


@contextlib.contextmanager
def _bar() -> Iterator[tuple[Callable[[str, int], None], Callable[[int], None]]]:
    """A bar of bytes on a terminal, nothing elsewhere; on standard error either way."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with bar:
        task = bar.add_task("looking", total=None)
        yield (
            lambda name, step: bar.update(task, description=name, advance=step),
            lambda total: bar.update(task, total=total),
        )
