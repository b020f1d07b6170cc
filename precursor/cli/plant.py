"""`precursor migrate | doctor | apply | ledger`: the database and what it knows of the plant."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from precursor import parts, preflight
from precursor.cli.connection import with_connection
from precursor.cli.table import print_table
from precursor.settings import read_settings

if TYPE_CHECKING:
    import asyncpg

__all__ = ["apply", "doctor", "ledger", "migrate"]


@click.command()
def migrate() -> None:
    """Bring the database to the schema this program needs; nothing happens where it is there already."""
    with parts.database(read_settings()) as dsn:
        before, after = preflight.migrate(dsn)
    if before.revision == after.revision:
        click.echo(f"the schema is at {after.revision} already ({after.edition})")
    else:
        click.echo(f"the schema went from {before.revision or 'nothing'} to {after.revision} ({after.edition})")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show what would change, change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the changes as JSON.")
def apply(file: Path, dry_run: bool, as_json: bool) -> None:
    """Make the database equal to the plant file FILE; all of it or nothing.

    What is no longer in the file is retired; its readings stay. A running engine takes the new plant over within a
    second. See docs/plant-file.md and examples/plant.yaml.
    """
    from precursor.apply import apply as apply_file
    from precursor.plantfile.reader import read_plant_file

    settings = read_settings()
    read_plant_file(file)  # a mistake in it is said before a database is made
    with parts.database(settings) as dsn:
        preflight.migrate(dsn)
        plan = apply_file(dsn, file, dry_run=dry_run)
    click.echo(json.dumps(plan.as_json()) if as_json else plan.as_text())


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the ledger as JSON.")
def ledger(as_json: bool) -> None:
    """Received = stored + duplicate + rejected, for each source. Exit status 1 where it does not add up."""
    rows = with_connection(_ledger)
    if as_json:
        click.echo(json.dumps(rows))
    else:
        head = ("source", "received", "stored", "duplicate", "rejected", "adds up")
        lines = [
            (
                r["source"],
                r["received"],
                r["stored"],
                r["duplicate"],
                r["rejected"],
                "yes" if r["balanced"] else "NO",
            )
            for r in rows
        ]
        print_table(head, lines)
        for row in rows:
            for reason, count in sorted(row["rejected_by_reason"].items()):
                click.echo(f"  {row['source']}: {count} rejected as {reason}")
    if not all(row["balanced"] for row in rows):
        sys.exit(1)


async def _ledger(connection: "asyncpg.Connection") -> list[dict[str, Any]]:
    from telemetry.ledger import read_ledger

    rows = await read_ledger(connection)
    return [{**row, "rejected_by_reason": json.loads(str(row["rejected_by_reason"]))} for row in rows]


@click.command()
@click.option("--sensors", is_flag=True, help="Look at the sensors instead: what the checks at the door found.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(sensors: bool, as_json: bool) -> None:
    """Look at settings, database and broker, and say what is wrong. Exit status 1 where something is.

    With --sensors: sensors whose readings are in doubt, the worst first. See docs/data-quality.md.
    """
    if sensors:
        _sensors(as_json)
        return
    from precursor.doctor import examine

    findings = examine(read_settings())
    if as_json:
        click.echo(json.dumps([finding.as_json() for finding in findings]))
    else:
        for finding in findings:
            click.echo(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.subject}: {finding.text}")
    if not all(finding.ok for finding in findings):
        sys.exit(1)


def _sensors(as_json: bool) -> None:
    from precursor.sensor_findings import SensorFindings, read_sensor_findings

    found = with_connection(read_sensor_findings)
    now = datetime.now(UTC)
    if as_json:
        click.echo(json.dumps([sensor.as_json(now) for sensor in found]))
    elif found:
        print_table(SensorFindings.HEADINGS, [row for sensor in found for row in sensor.cells(now)])
    else:
        click.echo("the checks at the door found nothing; docs/data-quality.md says how to set them")
