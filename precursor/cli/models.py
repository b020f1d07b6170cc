"""`precursor models`: what has been trained, in which state it is, how it fares; and back to the one before."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from precursor.cli.connection import with_connection
from precursor.cli.table import print_table

if TYPE_CHECKING:
    import asyncpg

    from precursor.registry import ModelEvent, ModelRow

__all__ = ["models"]

_JSON = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
_BY = click.option("--by", "actor", required=True, metavar="WHO", help="Who does it; kept with the model.")
_NOTE = click.option("--note", default="", help="Why; kept with the model.")


@click.group()
def models() -> None:
    """Trained models: candidate, then in shadow, then active; see docs/models.md."""


@models.command("list")
@click.option("--all", "retired", is_flag=True, help="Retired ones too.")
@_JSON
def list_(retired: bool, as_json: bool) -> None:
    """The models there are, and how they fared when they were last looked at."""

    async def work(connection: "asyncpg.Connection") -> "list[ModelRow]":
        from precursor.registry import list_models

        return list(await list_models(connection, retired=retired))

    found = with_connection(work)
    if as_json:
        click.echo(json.dumps([_document(row) for row in found], indent=2))
    elif found:
        print_table(
            ("model", "version", "state", "class", "trained", "drift", "alarms per month"),
            [
                (
                    row.name,
                    row.version,
                    row.state,
                    row.asset_class,
                    f"{row.trained_at:%Y-%m-%d}",
                    _drift(row),
                    _figure(row.performance.get("alarms_per_asset_month")),
                )
                for row in found
            ],
        )
    else:
        click.echo("there are no models; `precursor train --class pump` makes one (docs/models.md)")


@models.command()
@click.argument("name")
@_JSON
def show(name: str, as_json: bool) -> None:
    """Everything about the models called NAME, and what was done with them."""

    async def work(connection: "asyncpg.Connection") -> "tuple[list[ModelRow], list[ModelEvent]]":
        from precursor.registry import list_events, list_models

        found = list(await list_models(connection, name, retired=True))
        return found, list(await list_events(connection, name))

    found, events = with_connection(work)
    if not found:
        raise click.UsageError(f"there is no model {name!r}; `precursor models list --all` shows what there is")
    if as_json:
        history = [{**_plain(event), "at": event.at.isoformat()} for event in events]
        click.echo(json.dumps({"versions": [_document(row) for row in found], "events": history}, indent=2))
        return
    for row in found:
        metadata = row.metadata
        click.echo(f"{row.name} version {row.version}: {row.state}, {row.task} of class {row.asset_class}")
        span = f"{metadata['data_from'][:10]} to {metadata['data_until'][:10]}"
        click.echo(f"  trained on {span}, {metadata['rows']:,} rows of {', '.join(metadata['assets'])}")
        click.echo(f"  points: {', '.join(metadata['features'])}")
        for key, value in sorted(metadata["metrics"].items()):
            click.echo(f"  {key.replace('_', ' ')}: {value:.4g}")
        for point, index in sorted(row.drift.items(), key=lambda item: -item[1]):
            click.echo(f"  drift of {point} until {row.watched_until:%Y-%m-%d}: {index:.3f}")
        click.echo(f"  {row.bytes:,} bytes, SHA-256 {row.sha256.hex()}")
        click.echo("")
    for event in events:
        note = f": {event.note}" if event.note else ""
        click.echo(f"{event.at:%Y-%m-%d %H:%M} version {event.version} {event.state_to} by {event.actor}{note}")


@models.command()
@click.argument("name")
@click.argument("version", type=int)
@_BY
@_NOTE
def promote(name: str, version: int, actor: str, note: str) -> None:
    """Take VERSION of NAME a step further: a candidate into shadow, a model in shadow into use."""

    async def work(connection: "asyncpg.Connection") -> "tuple[str, int | None]":
        from precursor.registry import promote as step

        state, retired = await step(connection, name, version, actor=actor, note=note)
        return state.value, retired

    state, retired = with_connection(work)
    click.echo(f"{name} version {version} is {'in shadow' if state == 'shadow' else state}"
               + (f"; version {retired} is retired" if retired is not None else ""))  # fmt: skip


@models.command()
@click.argument("name")
@click.argument("version", type=int)
@_BY
@_NOTE
def retire(name: str, version: int, actor: str, note: str) -> None:
    """Take VERSION of NAME out of use."""

    async def work(connection: "asyncpg.Connection") -> None:
        from precursor.registry import retire as end

        await end(connection, name, version, actor=actor, note=note)

    with_connection(work)
    click.echo(f"{name} version {version} is retired")


@models.command()
@click.argument("name")
@_BY
@_NOTE
def rollback(name: str, actor: str, note: str) -> None:
    """Let the version of NAME that was active before be active again."""

    async def work(connection: "asyncpg.Connection") -> "tuple[int | None, int]":
        from precursor.registry import roll_back

        return await roll_back(connection, name, actor=actor, note=note)

    retired, active = with_connection(work)
    click.echo(f"{name} version {active} is active again"
               + (f"; version {retired} is retired" if retired is not None else ""))  # fmt: skip


@models.command()
@click.argument("name")
@click.argument("version", type=int)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export(name: str, version: int, file: Path) -> None:
    """Write VERSION of NAME to FILE; says its SHA-256, by which alone another Precursor takes it in."""

    async def work(connection: "asyncpg.Connection") -> tuple[bytes, bytes]:
        from precursor.registry import find_model, read_body

        return await read_body(connection, (await find_model(connection, name, version)).id)

    body, sha256 = with_connection(work)
    try:
        with file.open("xb") as out:
            out.write(body)
    except FileExistsError as error:
        raise click.UsageError(f"{file} exists; name another file, or remove it first") from error
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {error.strerror}") from error
    click.echo(f"{len(body):,} bytes in {file}, SHA-256 {sha256.hex()}")


@models.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--sha256", "fingerprint", required=True, metavar="HEX", help="Of the file, as told by who exported it.")
@click.option("--name", required=True, metavar="NAME", help="The model's name here.")
@_BY
@_NOTE
def import_(file: Path, fingerprint: str, name: str, actor: str, note: str) -> None:
    """Put the model of FILE into the registry, as a candidate."""
    try:
        sha256 = bytes.fromhex(fingerprint)
    except ValueError as error:
        raise click.BadParameter(f"--sha256 {fingerprint!r} is no SHA-256; expected 64 hexadecimal digits") from error
    body = file.read_bytes()

    async def work(connection: "asyncpg.Connection") -> int:
        from models.artefacts.artefact import load
        from precursor.registry import add_model

        return await add_model(connection, name, load(body, sha256=sha256), actor=actor, note=note)

    click.echo(f"{name} version {with_connection(work)} is a candidate")


@models.command()
@click.argument("asset")
@_BY
@_NOTE
def rebaseline(asset: str, actor: str, note: str) -> None:
    """Let detectors learn anew what is usual for ASSET and its parts: it was changed on purpose.

    A running engine does it within a second; else the next one does, when it starts. After a repair this happens by
    itself, when its work order is verified.
    """

    async def work(connection: "asyncpg.Connection") -> None:
        from precursor.requests import request_rebaseline

        await request_rebaseline(connection, asset, at=datetime.now(UTC), actor=actor, note=note)

    with_connection(work)
    click.echo(f"what is usual for {asset} is to be learned anew")


def _document(row: "ModelRow") -> dict[str, Any]:
    return {
        **_plain(row),
        "sha256": row.sha256.hex(),
        "trained_at": row.trained_at.isoformat(),
        "watched_until": None if row.watched_until is None else row.watched_until.isoformat(),
    }


def _plain(row: "ModelRow | ModelEvent") -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def _drift(row: "ModelRow") -> str:
    from models.artefacts.drift import DRIFTED, SHIFTED

    if not row.drift:
        return "-"
    point, index = max(row.drift.items(), key=lambda item: item[1])
    word = "train anew" if index >= DRIFTED else "look" if index >= SHIFTED else "none"
    return f"{word} ({point} {index:.2f})"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
