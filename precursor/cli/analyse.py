"""`precursor analyse | prognoses`: what takes windows of stored readings to compute, and what it foretells."""

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING

import click

from precursor.cli.connection import with_connection
from precursor.cli.table import print_table
from telemetry.errors import ConfigurationError

if TYPE_CHECKING:
    import asyncpg

    from models.life.scoring import PrognosisFigures
    from precursor.analysis.prognoses import StoredPrognosis

__all__ = ["analyse", "prognoses"]

_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


@click.command()
@click.option("--once", is_flag=True, help="Do what there is to do now, and end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print what was done as JSON.")
def analyse(once: bool, as_json: bool) -> None:
    """Compute features of waveforms and remaining life from what is stored, beside the engine.

    `precursor up` does it by itself. Where the engine runs alone (`precursor ingest`), run this beside it: what it
    computes, the engine takes up. Ctrl-C ends it in order.
    """
    from precursor import logs, parts, preflight
    from precursor.analysis.process import AnalysisOptions, analyse_once, run_analysis
    from precursor.runtime import stop_on_signals
    from precursor.settings import read_settings

    if as_json and not once:
        raise click.UsageError("--json needs --once: a process that goes on has no result")
    settings = read_settings()
    logs.configure(settings.log)

    async def work(dsn: str) -> None:
        with stop_on_signals() as stop:
            await run_analysis(dsn, AnalysisOptions(), stop, prepare=partial(preflight.require_schema, dsn))

    if not once:
        with parts.database(settings) as dsn:
            asyncio.run(work(dsn))
        return
    with preflight.existing_database(settings) as dsn:
        done = asyncio.run(analyse_once(dsn))
    if as_json:
        click.echo(json.dumps(dict(done)))
    else:
        print_table(("task", "done"), list(done.items()))


@click.command()
@click.option("--asset", help="One asset alone.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, the newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print prognoses and figures as JSON.")
def prognoses(asset: str | None, limit: int, as_json: bool) -> None:
    """What was foretold of remaining life, what came of it, and how good that was."""

    async def work(
        connection: "asyncpg.Connection",
    ) -> "tuple[list[StoredPrognosis], dict[str, PrognosisFigures]]":
        from precursor.analysis.prognoses import figures, list_prognoses

        if asset is not None and not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM asset WHERE name = $1)", asset
        ):
            raise ConfigurationError(f"there is no asset {asset!r}; `precursor kpi` lists those there are")
        found = await list_prognoses(connection, asset=asset, limit=limit)
        return list(found), dict(figures(await list_prognoses(connection, asset=asset, settled=True, limit=None)))

    found, scored = with_connection(work)
    if as_json:
        from dataclasses import asdict

        document = {
            "prognoses": [each.as_json() for each in found],
            "figures": {method: asdict(each) for method, each in scored.items()},
        }
        click.echo(json.dumps(document))
        return
    if not found:
        click.echo("no prognosis yet; a sensor with `remaining_life` in the plant file has one an hour")
        return
    print_table(
        ("of", "failure mode", "method", "made at (UTC)", "P10", "P50", "P90", "came", "after"),
        [_cells(each) for each in found],
    )
    for each in found:
        if each.reason:
            of = " ".join(filter(None, (each.sensor or each.asset, each.failure_mode)))
            click.echo(f"{of}, {each.made_at:%Y-%m-%d %H:%M}: {each.reason}")
    for method, figure in scored.items():
        inside = "none yet" if figure.coverage is None else f"{figure.coverage:.0%}"
        click.echo(
            f"{method}: {figure.answered} answers whose end is known, over {figure.lives} lives;"
            f" within P10 to P90: {inside} (honest: 80%), mean error {_lasting(figure.mean_error_s)}"
        )


def _cells(each: "StoredPrognosis") -> tuple[object, ...]:
    after = None if each.outcome_at is None else (each.outcome_at - each.made_at).total_seconds()
    return (
        each.sensor or each.asset,
        each.failure_mode or "any",
        each.method,
        f"{each.made_at:%Y-%m-%d %H:%M}",
        _lasting(each.p10_s),
        _lasting(each.p50_s),
        _lasting(each.p90_s),
        each.outcome or "",
        _lasting(after),
    )


def _lasting(seconds: float | None) -> str:
    """A duration as a person says it, signed where it may be; empty where there is none."""
    if seconds is None:
        return ""
    size, unit = next(((size, unit) for size, unit in _UNITS if abs(seconds) >= 2 * size), (1.0, "s"))
    return f"{seconds / size:.1f} {unit}"
