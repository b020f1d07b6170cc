"""`precursor train`: a model out of what the store has of a class of assets."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from precursor.cli.connection import with_connection
from precursor.cli.table import print_table
from precursor.cli.trained import described, left_out, print_next_step
from telemetry.errors import ConfigurationError

if TYPE_CHECKING:
    import asyncpg

    from models.artefacts.artefact import Artefact
    from precursor.training.class_training import TrainingData

__all__ = ["train"]

_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])
_USUAL_SPAN = timedelta(days=90)


@click.command()
@click.option("--class", "asset_class", required=True, metavar="CLASS", help="The class of the assets, e.g. pump.")
@click.option(
    "--remaining-life",
    "of_life",
    is_flag=True,
    help="A model of how long they last, out of those that failed, instead of what is usual for them.",
)
@click.option(
    "--from",
    "begin",
    type=_MOMENT,
    metavar="TIME",
    help="First moment, UTC  [default: 90 days before; of remaining life: the first there is].",
)
@click.option("--to", "end", type=_MOMENT, metavar="TIME", help="Moment before which it ends, UTC  [default: now].")
@click.option("--name", metavar="NAME", help="Of the model  [default: CLASS-anomaly, CLASS-life].")
@click.option(
    "--budget",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="False alarms an asset and year that are put up with; not of remaining life.",
)
@click.option("--effort", type=click.FloatRange(0.01, 1.0), default=1.0, show_default=True,
              help="Of remaining life: less is quicker and worse, for a first look.")  # fmt: skip
@click.option("--seed", type=int, default=7, show_default=True, help="Of the random parts: the same gives the same.")
@click.option("--by", "actor", default="precursor train", metavar="WHO", help="Who does it; kept with the model.")
@click.option("--dry-run", is_flag=True, help="Train and report, and keep nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def train(
    context: click.Context,
    asset_class: str,
    of_life: bool,
    begin: datetime | None,
    end: datetime | None,
    name: str | None,
    budget: float,
    effort: float,
    seed: int,
    actor: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train a model of what is usual for a class of assets, on their good time alone.

    Good is the time in which an asset ran and had settled, no alarm about it stood, no work order was open and no
    failure came within seven days.

    With --remaining-life: a model of how long they last, from lives that began with a renewal and ended in failure, at
    least five. What it says is held against lives it was not shown, beside the mean life.

    The model is a candidate in the registry: `precursor models promote` takes it further, into shadow first. See
    docs/models.md.
    """
    from precursor.cli.train_life import train_remaining_life
    from telemetry.batch import EPOCH

    given = click.core.ParameterSource.COMMANDLINE
    other = "budget" if of_life else "effort"
    if context.get_parameter_source(other) is given:
        raise click.UsageError(f"--{other} is not for {'remaining life' if of_life else 'what is usual'}; leave it out")
    until = _utc(end) or datetime.now(UTC)
    since = _utc(begin) or (EPOCH if of_life else until - _USUAL_SPAN)
    if since >= until:
        raise click.BadParameter(f"--from {since:%Y-%m-%d %H:%M} is not before --to {until:%Y-%m-%d %H:%M}")
    chosen = name or f"{asset_class}-{'life' if of_life else 'anomaly'}"
    if of_life:
        train_remaining_life(
            asset_class, since, until, chosen,
            seed=seed, effort=effort, actor=actor, dry_run=dry_run, as_json=as_json,
        )  # fmt: skip
        return

    async def work(connection: "asyncpg.Connection") -> "tuple[TrainingData, Artefact, int | None]":
        from models.class_model import train as fit
        from precursor.registry import add_model
        from precursor.training.class_training import read_table
        from telemetry.plant_store import load_plant

        plant = await load_plant(connection)
        data = await read_table(connection, plant, asset_class, _whole_minute(since), _whole_minute(until))
        try:
            artefact = fit(data.table, asset_class=asset_class, budget=budget, seed=seed)
        except ConfigurationError as error:
            lost = "; ".join(f"{share.asset}: {left_out(share.left_out)}" for share in data.shares if share.left_out)
            raise ConfigurationError(f"{error}{f' (left out: {lost})' if lost else ''}") from error
        version = None if dry_run else await add_model(connection, chosen, artefact, actor=actor)
        return data, artefact, version

    data, artefact, version = with_connection(work)
    if as_json:
        click.echo(json.dumps(_document(chosen, version, data, artefact), indent=2))
        return
    _print(chosen, version, data, artefact)


def _print(name: str, version: int | None, data: "TrainingData", artefact: "Artefact") -> None:
    print_table(
        ("asset", "minutes used", "left out"),
        [(share.asset, share.rows, left_out(share.left_out) or "-") for share in data.shares],
    )
    metrics = artefact.metadata.metrics
    tried = sorted(
        (
            (found, kind.removeprefix("noticed_by_"))
            for kind, found in metrics.items()
            if kind.startswith("noticed_by_")
        ),
        reverse=True,
    )
    click.echo(f"\npoints: {', '.join(artefact.metadata.features)}")
    click.echo(
        f"on the last fifth of the good time, which nothing was set by ({metrics['validation_rows']:,.0f} minutes):"
    )
    click.echo(f"  false alarms: {metrics['validation_alarms']:.0f}"
               f" ({metrics['validation_alarms_per_asset_month']:.2f} an asset and month)")  # fmt: skip
    click.echo("  shifts of 2, 3 and 5 sigmas of one point that are noticed:")
    for found, kind in tried:
        click.echo(f"    {kind.replace('_', ' ')}: {found:.0%}{'   <- taken' if kind in artefact.estimators else ''}")
    print_next_step(name, version)


def _document(name: str, version: int | None, data: "TrainingData", artefact: "Artefact") -> dict[str, Any]:
    return {
        **described(name, version, artefact),
        "taken": next(iter(artefact.estimators)),
        "assets": [
            {"asset": share.asset, "minutes": share.rows, "left_out": dict(share.left_out)} for share in data.shares
        ],
    }


def _whole_minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
