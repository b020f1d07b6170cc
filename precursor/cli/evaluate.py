"""`precursor evaluate`: how good the detectors and prognoses are."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from precursor.cli.connection import with_connection
from telemetry.errors import ConfigurationError

if TYPE_CHECKING:
    import asyncpg

    from precursor.assessment.report import Assessment, Watch
    from precursor.assessment.stored import Asked

__all__ = ["evaluate"]

_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])
_DATA = "../shared/data"
_OF_STORED = ("begin", "end", "replay", "plant", "assets", "classes", "sensors", "labels")


@click.command()
@click.argument("dataset", required=False)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Folder that the folders of datasets lie in  [default: PRECURSOR_DATA, else {_DATA}].",
)
@click.option("--from", "begin", type=_MOMENT, metavar="TIME", help="First moment of stored scores, UTC.")
@click.option("--to", "end", type=_MOMENT, metavar="TIME", help="Moment before which they end, UTC.")
@click.option("--replay", is_flag=True, help="Not stored scores: run the detectors over stored readings of that time.")
@click.option(
    "--plant",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --replay: the detectors of this plant file  [default: those in the database].",
)
@click.option("--asset", "assets", multiple=True, metavar="PATTERN", help="Only these assets and their parts; * and ?.")
@click.option("--class", "classes", multiple=True, metavar="PATTERN", help="Only assets of these classes.")
@click.option("--sensor", "sensors", multiple=True, metavar="PATTERN", help="Only scores of these names.")
@click.option(
    "--labels",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV file of known failures: asset, failure_at and perhaps began_at  [default: asset states `failed`].",
)
@click.option("--horizon", type=float, default=30.0, show_default=True, help="Days before a failure in which to warn.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")
@click.option(
    "--card",
    "cards",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a model card with pictures for each into this folder.",
)
@click.option("--strict", is_flag=True, help="Exit status 1 if an aim is missed.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def evaluate(
    context: click.Context,
    dataset: str | None,
    data: Path | None,
    begin: datetime | None,
    end: datetime | None,
    replay: bool,
    plant: Path | None,
    assets: tuple[str, ...],
    classes: tuple[str, ...],
    sensors: tuple[str, ...],
    labels: Path | None,
    horizon: float,
    seed: int,
    cards: Path | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Judge detectors and prognoses, every figure beside what is had for nothing.

    DATASET is skab, femto, waveforms, cmapss, azure, simulator or detectors, or `all`: labelled data. Everything runs
    with its defaults and sets its own limits.

    Without DATASET the scores that are stored in the database, --from --to, are held against known failures; with
    --replay those that the detectors would have given, had they been switched on at --from. Nothing is written.

    See docs/evaluation.md.
    """
    from precursor.assessment.card import write_card
    from precursor.assessment.text import print_assessment

    given = [name for name in _OF_STORED if context.params[name] not in (None, (), False)]
    if dataset is not None and given:
        raise click.UsageError(f"{dataset} is recorded data; --from, --to and what narrows them are for stored scores")
    if plant is not None and not replay:
        raise click.UsageError("--plant says which detectors to replay: give --replay too")
    started = time.monotonic()
    left_out: dict[str, str] = {}
    with _status() as watch:
        if dataset is not None:
            found = list(_recorded(dataset, data, seed, watch, left_out))
        else:
            asked = _asked(begin, end, assets, classes, sensors, labels, horizon)
            found = [_replayed(_past(asked), plant, watch) if replay else _stored(asked, watch)]
        if cards is not None:
            for each in (part for assessment, _ in found for part in (assessment, *assessment.parts)):
                watch(f"drawing {each.dataset}")
                write_card(each, cards, command=_command(context))
    if as_json:
        document = {
            "assessments": [assessment.as_json() | {"seconds": round(took, 1)} for assessment, took in found],
            "left_out": left_out,
            **_surroundings(),
            "seed": seed,
            "seconds": round(time.monotonic() - started, 1),
        }
        click.echo(json.dumps(document, indent=2, allow_nan=False))
    else:
        for place, (assessment, took) in enumerate(found):
            click.echo("\n" * bool(place), nl=False)
            print_assessment(assessment)
            click.echo(f"\n{took:.1f} s")
        for name, why in left_out.items():
            click.echo(f"\n{name} is left out: {why}")
        if cards is not None:
            click.echo(f"\nthe cards are in {cards}")
    if strict and not all(assessment.met for assessment, _ in found):
        sys.exit(1)


def _recorded(
    name: str, data: Path | None, seed: int, watch: "Watch", left_out: dict[str, str]
) -> "Iterator[tuple[Assessment, float]]":
    """Assessments of one dataset, or of all that are there, and what each took, s."""
    from precursor.assessment.datasets import DATASETS, folders_of

    root = data or Path(os.environ.get("PRECURSOR_DATA") or _DATA)
    folders: dict[str, tuple[Path, ...]] = {}
    for each in DATASETS if name == "all" else (name,):
        try:
            folders[each] = folders_of(each, root)
        except ConfigurationError as error:
            if name != "all":
                raise
            left_out[each] = str(error)
    for each, found in folders.items():
        for folder in found:
            watch(f"{each}: {DATASETS[each].title}")
            begun = time.monotonic()
            yield DATASETS[each].assess(folder, seed=seed, watch=watch), time.monotonic() - begun


def _asked(
    begin: datetime | None,
    end: datetime | None,
    assets: tuple[str, ...],
    classes: tuple[str, ...],
    sensors: tuple[str, ...],
    labels: Path | None,
    horizon: float,
) -> "Asked":
    from precursor.assessment.stored import Asked

    if begin is None or end is None:
        raise click.UsageError("evaluate what? name a DATASET, or a time of stored scores with --from and --to")
    since, until = _utc(begin), _utc(end)
    if since >= until:
        raise click.BadParameter(f"--from {since:%Y-%m-%d %H:%M:%S} is not before --to {until:%Y-%m-%d %H:%M:%S}")
    return Asked(
        begin=since,
        end=until,
        assets=assets,
        classes=classes,
        sensors=sensors,
        labels=labels,
        horizon=timedelta(days=horizon),
    )


def _stored(asked: "Asked", watch: "Watch") -> "tuple[Assessment, float]":
    from precursor.assessment.stored import assess_stored

    async def work(connection: "asyncpg.Connection") -> "Assessment":
        return await assess_stored(connection, asked, watch=watch)

    begun = time.monotonic()
    return with_connection(work), time.monotonic() - begun


def _past(asked: "Asked") -> "Asked":
    """As far as it is over: of the rest there are no readings, and no machine ran."""
    now = datetime.now(UTC)
    if asked.begin >= now:
        raise click.BadParameter(
            f"--from {asked.begin:%Y-%m-%d %H:%M:%S} lies in the future: no readings are stored yet"
        )
    return replace(asked, end=min(asked.end, now))


def _replayed(asked: "Asked", plant: Path | None, watch: "Watch") -> "tuple[Assessment, float]":
    from precursor.assessment.replayed import assess_replayed
    from precursor.plantfile.reader import open_plant_file
    from precursor.settings import read_settings

    definition = None
    if plant is not None:
        file = open_plant_file(plant)
        if file.has_rules_alone:
            raise ConfigurationError(f"{plant.name} has no sites, so no detectors: name a whole plant file")
        definition = file.definition()
    evaluation = read_settings().evaluation

    async def work(connection: "asyncpg.Connection") -> "Assessment":
        return await assess_replayed(connection, asked, definition, evaluation=evaluation, watch=watch)

    begun = time.monotonic()
    return with_connection(work), time.monotonic() - begun


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _command(context: click.Context) -> str:
    """How to do this again; without paths, which are this machine's own."""
    given = context.params
    moments = {"from": given["begin"], "to": given["end"]}
    patterns = {"asset": given["assets"], "class": given["classes"], "sensor": given["sensors"]}
    words = [
        *([given["dataset"]] if given["dataset"] is not None else []),
        *(f"--{name} {_utc(at):%Y-%m-%dT%H:%M:%S}" for name, at in moments.items() if at is not None),
        *(["--replay"] if given["replay"] else []),
        *([f"--plant {given['plant'].name}"] if given["plant"] is not None else []),
        *(f"--{name} '{each}'" for name, found in patterns.items() for each in found),
        *([f"--labels {given['labels'].name}"] if given["labels"] is not None else []),
    ]
    return " ".join(["precursor evaluate", *words, f"--seed {given['seed']}"])


def _surroundings() -> dict[str, object]:
    """What the figures were made with."""
    import platform
    from importlib.metadata import version

    from precursor import __version__

    return {
        "machine": {"cores": os.cpu_count(), "architecture": platform.machine(), "system": platform.system()},
        "versions": {
            "precursor": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "scipy", "scikit-learn", "river")},
        },
    }


@contextmanager
def _status() -> "Iterator[Watch]":
    """What is done at the moment, on a terminal; nothing elsewhere."""
    from rich.console import Console

    if not sys.stderr.isatty():
        yield lambda doing: None
        return
    with Console(stderr=True).status("") as status:
        yield status.update
