"""What `precursor train` says of any model it made."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from models.artefacts.artefact import Artefact

__all__ = ["described", "left_out", "print_next_step"]


def described(name: str, version: int | None, artefact: "Artefact") -> dict[str, Any]:
    """For programs; `version` is None where nothing was kept."""
    metadata = artefact.metadata
    return {
        "name": name,
        "version": version,
        "asset_class": metadata.asset_class,
        "data_from": metadata.data_from.isoformat(),
        "data_until": metadata.data_until.isoformat(),
        "features": list(metadata.features),
        "metrics": dict(metadata.metrics),
        "parameters": dict(metadata.parameters),
        "versions": dict(metadata.versions),
    }


def print_next_step(name: str, version: int | None) -> None:
    """What became of it, and what is to be done with it."""
    if version is None:
        click.echo("\nnothing is kept (--dry-run)")
    else:
        click.echo(f"\n{name} version {version} is a candidate; `precursor models promote {name} {version} --by WHO`"
                   " puts it into shadow")  # fmt: skip


def left_out(reasons: Mapping[str, int]) -> str:
    """How much of an asset's history was not used, by reason."""
    return ", ".join(f"{count:,} {why}" for why, count in reasons.items())
