"""`precursor quarantine list | show | release | drop`: readings of names the plant does not have."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from precursor import parts
from precursor.cli.connection import with_connection
from precursor.cli.table import print_table
from precursor.settings import read_settings
from telemetry.errors import ConfigurationError

if TYPE_CHECKING:
    import asyncpg

    from ingest.quarantine import HeldName
    from precursor.release import Released

__all__ = ["quarantine"]

_JSON = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
_SOURCE = click.option("--source", metavar="GATEWAY", help="Only what this gateway sent.")
_SHOWN = 10


@click.group()
def quarantine() -> None:
    """Readings of names the plant does not have: kept aside until you say what they are. See docs/devices.md."""


@quarantine.command("list")
@_SOURCE
@_JSON
def list_(source: str | None, as_json: bool) -> None:
    """What is kept aside, by source and name. `ready`: the sensor the plant has for it by now."""

    async def work(connection: "asyncpg.Connection") -> "list[HeldName]":
        from ingest.quarantine import list_held

        return await list_held(connection, source=source)

    held = with_connection(work)
    if as_json:
        click.echo(json.dumps([_document(name) for name in held]))
    elif held:
        print_table(
            ("name", "source", "unit", "readings", "first (UTC)", "last (UTC)", "ready"),
            [
                (
                    name.name,
                    name.source,
                    name.unit or "-",
                    name.readings,
                    _moment(name.begin),
                    _moment(name.end),
                    "-" if name.sensor is None else f"as {name.sensor}",
                )
                for name in held
            ],
        )
        ready = sum(name.sensor is not None for name in held)
        if ready:
            click.echo(f"{ready:,} of {len(held):,} names are sensors by now: precursor quarantine release --all")
    else:
        click.echo("nothing is kept aside")


@quarantine.command()
@click.argument("name")
@_SOURCE
@_JSON
def show(name: str, source: str | None, as_json: bool) -> None:
    """The newest readings kept aside of NAME."""

    async def work(connection: "asyncpg.Connection") -> "list[tuple[HeldName, list[asyncpg.Record]]]":
        from ingest.quarantine import NotHeldError, list_held, newest_held

        held = await list_held(connection, name=name, source=source)
        if not held:
            raise NotHeldError(name, source)
        return [(each, await newest_held(connection, each, _SHOWN)) for each in held]

    found = with_connection(work)
    if as_json:
        documents = [
            {**_document(each), "newest": [{**row, "time": row["time"].isoformat()} for row in rows]}
            for each, rows in found
        ]
        click.echo(json.dumps(documents))
        return
    for each, rows in found:
        click.echo(
            f"{each.readings:,} readings of {each.name!r} from {each.source},"
            f" {'without a unit' if not each.unit else f'in {each.unit}'};"
            f" {'no sensor of the plant' if each.sensor is None else f'ready as {each.sensor}'}"
        )
        print_table(
            ("time (UTC)", "value", "quality"),
            [
                (
                    f"{row['time']:%Y-%m-%d %H:%M:%S.%f}",
                    row["text"] if row["value"] is None else f"{row['value']:g}",
                    row["quality"],
                )
                for row in rows
            ],
        )


@quarantine.command()
@click.argument("name", required=False)
@click.option("--as", "sensor", metavar="SENSOR", help="The sensor that NAME is  [default: the one the plant has].")
@click.option("--unit", help="What unit the values are in, where the device said another, or none pint knows.")
@click.option("--all", "everything", is_flag=True, help="Every name the plant has a sensor for by now.")
@_SOURCE
@_JSON
def release(
    name: str | None, sensor: str | None, unit: str | None, everything: bool, source: str | None, as_json: bool
) -> None:
    """Move readings that are kept aside of NAME into history.

    They are stored and counted like an import: in rollups and KPIs, without alarms. What cannot be stored yet stays,
    and is told; an interrupted release is run again. Exit status 1 where something stays.
    """
    if everything == (name is not None):
        raise click.UsageError("say which NAME to release, or --all")
    if everything and (sensor is not None or unit is not None):
        raise click.UsageError("--as and --unit are of one NAME")
    limits = parts.door_limits(read_settings())

    async def work(connection: "asyncpg.Connection") -> "list[Released]":
        from precursor.release import release as move

        now = datetime.now(UTC)
        return await move(connection, limits=limits, now=now, name=name, source=source, sensor=sensor, unit=unit)

    outcomes = with_connection(work)
    if as_json:
        click.echo(json.dumps([outcome.document() for outcome in outcomes]))
    else:
        _tell(outcomes)
    if any(outcome.obstacle or outcome.staying for outcome in outcomes):
        sys.exit(1)


@quarantine.command()
@click.argument("name")
@_SOURCE
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop(name: str, source: str | None, yes: bool) -> None:
    """Throw away what is kept aside of NAME, for good."""
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigurationError("what is dropped is gone for good: say --yes where nobody can be asked")
        click.confirm(f"Throw away all readings kept aside of {name!r}?", abort=True)

    async def work(connection: "asyncpg.Connection") -> int:
        from ingest.quarantine import drop as throw_away

        return await throw_away(connection, name, source=source)

    click.echo(f"{with_connection(work):,} readings of {name!r} thrown away")


def _tell(outcomes: "Sequence[Released]") -> None:
    if not outcomes:
        click.echo("no name that is kept aside is a sensor of the plant; `precursor quarantine list` shows them")
    for outcome in outcomes:
        if outcome.obstacle is not None:
            click.echo(f"{outcome.name} of {outcome.source}: not released: {outcome.obstacle}")
            continue
        click.echo(
            f"{outcome.name} of {outcome.source} as {outcome.sensor}: {outcome.received:,} readings released:"
            f" {outcome.stored:,} stored, {outcome.duplicate:,} duplicates, {outcome.rejected.total():,} rejected"
        )
        for reason, count in sorted(outcome.rejected.items()):
            click.echo(f"  {count:,} rejected as {reason}; the table `rejected` has them")
        for reason, count in sorted(outcome.staying.items()):
            click.echo(f"  {count:,} stay: {reason}: {outcome.details[reason]}")


def _document(name: "HeldName") -> dict[str, object]:
    return {
        "name": name.name,
        "source": name.source,
        "unit": name.unit,
        "readings": name.readings,
        "first_at": name.first_at.isoformat(),
        "last_at": name.last_at.isoformat(),
        "begin": None if name.begin is None else name.begin.isoformat(),
        "end": None if name.end is None else name.end.isoformat(),
        "sensor": name.sensor,
    }


def _moment(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
