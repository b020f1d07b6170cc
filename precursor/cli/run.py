"""`precursor up | ingest | scheduler | api`."""

import asyncio

import click
import structlog

from precursor import logs, parts
from precursor.settings import Settings, read_settings
from telemetry import schema

__all__ = ["api", "ingest", "scheduler", "up"]

_log = structlog.get_logger(__name__)


def _prepare() -> Settings:
    settings = read_settings()
    logs.configure(settings.log)
    return settings


@click.command()
@click.option("--plant", type=click.Path(exists=True, dir_okay=False), help="Apply this plant file first.")
def up(plant: str | None) -> None:
    """Run everything in one process: ingest, scheduler and API.

    Database and broker are embedded, with their data in the data folder, unless settings name real ones. The
    database is brought to the schema this program needs.
    """
    from pathlib import Path

    from precursor.apply import apply
    from precursor.runtime import run

    settings = _prepare()
    with parts.database(settings) as dsn, parts.broker(settings) as mqtt:
        schema.migrate(dsn)
        if plant is not None:
            click.echo(apply(dsn, Path(plant)).as_text())
        _log.info("up", broker=f"{mqtt.host}:{mqtt.port}", database=schema.inspect(dsn).edition)
        asyncio.run(run(settings, dsn=dsn, mqtt=mqtt, scheduler=True, api=True))


@click.command()
def ingest() -> None:
    """Run the part between broker and database: store, evaluate, open work orders."""
    from precursor.runtime import run

    settings = _prepare()
    with parts.database(settings) as dsn, parts.broker(settings) as mqtt:
        asyncio.run(run(settings, dsn=dsn, mqtt=mqtt, scheduler=False, api=False))


@click.command()
def scheduler() -> None:
    """Run the periodic jobs: KPI rollup, work-order delivery."""
    from precursor.runtime import run

    settings = _prepare()
    with parts.database(settings) as dsn:
        asyncio.run(run(settings, dsn=dsn, mqtt=None, scheduler=True, api=False))


@click.command()
def api() -> None:
    """Run the HTTP interface."""
    from precursor.runtime import run

    settings = _prepare()
    with parts.database(settings) as dsn:
        asyncio.run(run(settings, dsn=dsn, mqtt=None, scheduler=False, api=True))
