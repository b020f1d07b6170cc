"""`precursor up | ingest | scheduler | api`."""

import asyncio
from functools import partial
from pathlib import Path

import click
import structlog

from precursor import logs, parts, preflight
from precursor.settings import Settings, read_settings

__all__ = ["api", "ingest", "scheduler", "up"]

_log = structlog.get_logger(__name__)


def _prepare() -> Settings:
    settings = read_settings()
    logs.configure(settings.log)
    return settings


@click.command()
@click.option("--plant", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Apply this file first.")
def up(plant: Path | None) -> None:
    """Run everything: ingest, scheduler and API in this process, analysis in one of its own. Ctrl-C ends it in order.

    Database and broker are embedded, with their data in the data folder, unless settings name real ones. The
    database is brought to the schema this program needs.
    """
    from precursor.runtime import run

    settings = _prepare()
    if plant is not None:
        from precursor.plantfile.reader import read_plant_file

        read_plant_file(plant)  # a mistake in it is said before anything is started

    def prepare(dsn: str) -> None:
        _, state = preflight.migrate(dsn)
        _log.info("schema", revision=state.revision, edition=state.edition)
        if plant is not None:
            from precursor.apply import apply

            click.echo(apply(dsn, plant).as_text())

    with parts.database(settings) as dsn, parts.broker(settings) as mqtt:
        _log.info("up", broker=f"{mqtt.host}:{mqtt.port}", data=str(settings.data_dir.absolute()))
        check = partial(prepare, dsn)
        asyncio.run(run(settings, dsn=dsn, mqtt=mqtt, scheduler=True, api=True, analysis=True, prepare=check))


@click.command()
def ingest() -> None:
    """Run the part between broker and database: store, evaluate, open work orders.

    Needs a database that `precursor migrate` has prepared; one that is away is waited for.
    """
    from precursor.runtime import run

    settings = _prepare()
    with parts.database(settings) as dsn, parts.broker(settings) as mqtt:
        check = partial(preflight.require_schema, dsn)
        asyncio.run(run(settings, dsn=dsn, mqtt=mqtt, scheduler=False, api=False, prepare=check))


@click.command()
def scheduler() -> None:
    """Run the periodic jobs: KPI rollup, work-order delivery.

    Needs a database that `precursor migrate` has prepared; one that is away is waited for.
    """
    from precursor.runtime import run

    settings = _prepare()
    with parts.database(settings) as dsn:
        check = partial(preflight.require_schema, dsn)
        asyncio.run(run(settings, dsn=dsn, mqtt=None, scheduler=True, api=False, prepare=check))


@click.command()
def api() -> None:
    """Run the HTTP interface; /docs lists what there is.

    Needs a database that `precursor migrate` has prepared; one that is away is waited for.
    """
    from precursor.runtime import run

    settings = _prepare()
    with parts.database(settings) as dsn:
        check = partial(preflight.require_schema, dsn)
        asyncio.run(run(settings, dsn=dsn, mqtt=None, scheduler=False, api=True, prepare=check))
