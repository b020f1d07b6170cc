"""`precursor train --remaining-life`: a model of how long assets of a class last, out of those that failed."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from precursor.cli.connection import with_connection
from precursor.cli.table import print_table
from precursor.cli.trained import described, left_out, print_next_step
from telemetry.errors import ConfigurationError

if TYPE_CHECKING:
    import asyncpg

    from models.artefacts.artefact import Artefact
    from precursor.training.life_training import LifeData

__all__ = ["train_remaining_life"]


def train_remaining_life(
    asset_class: str,
    begin: datetime,
    end: datetime,
    name: str,
    *,
    seed: int,
    effort: float,
    actor: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train, put into the registry, and print the report; the options are those of the command."""

    async def work(connection: "asyncpg.Connection") -> "tuple[LifeData, Artefact, int | None]":
        from models.life.class_life import TooFewLivesError, train_life
        from precursor.registry import add_model
        from precursor.training.life_training import read_lives
        from telemetry.plant_store import load_plant

        plant = await load_plant(connection)
        data = await read_lives(connection, plant, asset_class, begin, end)
        try:
            artefact = train_life(
                data.table,
                asset_class=asset_class,
                seed=seed,
                effort=effort,
                watch=lambda said: click.echo(said, err=True),
            )
        except TooFewLivesError as error:
            lost = "; ".join(f"{share.asset}: {left_out(share.left_out)}" for share in data.shares)
            raise ConfigurationError(f"{error} (left out: {lost})") from error
        version = None if dry_run else await add_model(connection, name, artefact, actor=actor)
        return data, artefact, version

    data, artefact, version = with_connection(work)
    if as_json:
        click.echo(json.dumps(_document(name, version, data, artefact), indent=2))
    else:
        _print(name, version, data, artefact)


def _print(name: str, version: int | None, data: "LifeData", artefact: "Artefact") -> None:
    print_table(
        ("asset", "lives used", "left out"),
        [(share.asset, share.used, left_out(share.left_out)) for share in data.shares],
    )
    metadata, metrics = artefact.metadata, artefact.metadata.metrics
    parameters = metadata.parameters
    judged = "of assets held out in turn" if metrics["validation_by_asset"] else "that ended last"
    click.echo(f"\npoints: {', '.join(metadata.features)}; a row every {parameters['step_s'] / 3600:g} h at work")
    click.echo(
        f"on {metrics['validation_lives']:.0f} lives {judged}, by models that were not shown them; remaining life"
        f" counts up to {parameters['cap_d']:.3g} d:"
    )
    click.echo(f"  error (RMSE): {metrics['rmse_d']:.3g} d, mean life {metrics['rmse_of_mean_life_d']:.3g} d")
    click.echo(f"  within P10 to P90: {metrics['coverage_p10_p90']:.0%} (honest: 80%)")
    if metrics["rmse_d"] >= metrics["rmse_of_mean_life_d"]:
        click.echo("  it is no better than taking each life for as long as the mean: do not promote it")
    print_next_step(name, version)


def _document(name: str, version: int | None, data: "LifeData", artefact: "Artefact") -> dict[str, Any]:
    return {
        **described(name, version, artefact),
        "settings": list(data.table.settings),
        "rows": artefact.metadata.rows,
        "assets": [
            {"asset": share.asset, "lives": share.used, "left_out": dict(share.left_out)} for share in data.shares
        ],
    }
