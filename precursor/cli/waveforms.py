"""`precursor waveforms list | export`: what blocks there are, and their samples as a NumPy file."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from precursor.cli.connection import with_connection
from precursor.cli.table import print_table
from telemetry.errors import ConfigurationError

if TYPE_CHECKING:
    import asyncpg

    from telemetry.waveforms import WaveformSummary

__all__ = ["waveforms"]

_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])
_BEGIN = click.option("--from", "begin", type=_MOMENT, metavar="TIME", help="Begin of the range, UTC.")
_END = click.option("--to", "end", type=_MOMENT, metavar="TIME", help="End of the range, UTC, exclusive.")
_SENSOR = click.option("--sensor", "sensors", multiple=True, metavar="NAME", help="This sensor; may be given again.")


@click.group()
def waveforms() -> None:
    """Blocks of samples: list them, or write them to a file. See docs/waveforms.md."""


@waveforms.command("list")
@_SENSOR
@_BEGIN
@_END
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Most blocks listed.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def list_(sensors: tuple[str, ...], begin: datetime | None, end: datetime | None, limit: int, as_json: bool) -> None:
    """Blocks that overlap the range, the newest first; without --sensor those of all sensors."""
    since, until = _range(begin, end)

    async def work(connection: "asyncpg.Connection") -> "list[tuple[str, WaveformSummary]]":
        from telemetry.catalogue import load_catalogue
        from telemetry.waveform_store import list_waveforms

        names = {sensor.id: sensor.name for sensor in (await load_catalogue(connection)).select(sensors=sensors)}
        found = await list_waveforms(connection, list(names), since, until, limit=limit)
        return [(names[block.sensor_id], block) for block in found]

    rows = with_connection(work)
    if as_json:
        documents = [
            {
                "sensor": name,
                "time": block.time.isoformat(),
                "sample_rate_hz": block.sample_rate_hz,
                "unit": block.unit,
                "count": block.count,
                "duration_s": block.count / block.sample_rate_hz,
                "stored_bytes": block.body_bytes,
            }
            for name, block in rows
        ]
        click.echo(json.dumps(documents))
    elif rows:
        print_table(
            ("sensor", "time (UTC)", "rate (Hz)", "unit", "samples", "seconds", "bytes"),
            [
                (
                    name,
                    f"{block.time:%Y-%m-%d %H:%M:%S.%f}",
                    f"{block.sample_rate_hz:,g}",
                    block.unit,
                    block.count,
                    f"{block.count / block.sample_rate_hz:g}",
                    block.body_bytes,
                )
                for name, block in rows
            ],
        )
    else:
        click.echo("no waveform overlaps this range")


@waveforms.command()
@click.argument("sensor")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@_BEGIN
@_END
@click.option("--force", is_flag=True, help="Replace OUT if it is there.")
def export(sensor: str, out: Path, begin: datetime | None, end: datetime | None, force: bool) -> None:
    """Write the blocks of SENSOR that overlap the range to OUT, a NumPy file (.npz).

    `numpy.load(OUT)` has for each block an array by the time of its first sample, such as
    2026-03-02T00:00:10.000000Z, and equally long arrays `time`, `sample_rate_hz` and `unit`.
    """
    from telemetry.waveform_files import export_waveforms

    since, until = _range(begin, end)
    if out.suffix.lower() != ".npz":
        raise click.BadParameter(f"{out.name!r} does not say its format: end it in .npz")
    if not out.parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(out.parent)!r} to write {out.name!r} to")
    if out.exists() and not force:
        raise ConfigurationError(f"{str(out)!r} is there already; name another file, or replace it with --force")

    async def work(connection: "asyncpg.Connection") -> int:
        from telemetry.catalogue import load_catalogue

        [found] = (await load_catalogue(connection)).select(sensors=[sensor])
        return await export_waveforms(connection, out, found.id, since, until)

    blocks = with_connection(work)
    click.echo(f"{blocks:,} blocks of {sensor} in {out}: {out.stat().st_size / 1e6:,.1f} MB")


def _range(begin: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    from telemetry.batch import EPOCH
    from telemetry.waveforms import LATEST

    since = EPOCH if begin is None else begin.replace(tzinfo=UTC)
    until = LATEST if end is None else end.replace(tzinfo=UTC)
    if since >= until:
        raise click.BadParameter(f"--from {since:%Y-%m-%d %H:%M:%S} is not before --to {until:%Y-%m-%d %H:%M:%S}")
    return since, until
