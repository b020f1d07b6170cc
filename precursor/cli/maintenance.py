"""`precursor kpi | work-orders`: what reliability engineers and planners look at."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import click

from precursor.cli.connection import with_connection
from precursor.cli.table import print_table
from telemetry.errors import ConfigurationError

if TYPE_CHECKING:
    import asyncpg

__all__ = ["kpi", "work_orders"]

_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


@click.command()
@click.option("--asset", help="One asset alone.")
@click.option(
    "--from", "begin", type=_MOMENT, metavar="TIME", help="Begin of the window, UTC  [default: 30 days before its end]."
)
@click.option(
    "--to",
    "end",
    type=_MOMENT,
    metavar="TIME",
    help="End of the window, UTC: 2026-11-20 or 2026-11-20T06:00  [default: now].",
)
@click.option(
    "--by",
    type=click.Choice(["total", "day"]),
    default="total",
    show_default=True,
    help="One row, or one a UTC day.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def kpi(
    asset: str | None,
    begin: datetime | None,
    end: datetime | None,
    by: Literal["total", "day"],
    as_json: bool,
) -> None:
    """Downtime, failures, availability and MTBF by asset, from its state sensor.

    Availability counts required time alone (EN 15341): a planned stop is neither up nor down. Without a failure MTBF
    has a lower bound only. See docs/kpi.md.
    """
    until = datetime.now(UTC) if end is None else end.replace(tzinfo=UTC)
    since = until - timedelta(days=30) if begin is None else begin.replace(tzinfo=UTC)
    if since >= until:
        raise click.BadParameter(f"--from {since:%Y-%m-%d %H:%M} is not before --to {until:%Y-%m-%d %H:%M}")

    async def work(connection: "asyncpg.Connection") -> list[Any]:
        from cbm import state_rollup
        from telemetry.editions import detect_async

        if asset is not None and not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM asset WHERE name = $1)", asset
        ):
            raise ConfigurationError(
                f"there is no asset {asset!r}; `precursor kpi` without --asset lists those there are"
            )
        await state_rollup.refresh(connection, await detect_async(connection))
        return list(await state_rollup.kpis(connection, begin=since, end=until, asset=asset, by=by))

    rows = with_connection(work)
    if as_json:
        click.echo(json.dumps([row.document() for row in rows]))
    elif rows:
        print_table(rows[0].HEADINGS, [row.cells() for row in rows])
    else:
        click.echo("no asset with a state sensor reported in this window")


@click.command("work-orders")
@click.option("--all", "everything", is_flag=True, help="Closed and cancelled ones too.")
@click.option("--move", nargs=2, metavar="ID STATUS", help="Move an order on: assigned, in_progress, completed ...")
@click.option("--by", "actor", help="Who moves it (with --move).")
@click.option("--note", default="", help="Why (with --move; a cancellation needs it).")
@click.option("--assignee", help="Who does the work (with --move ID assigned).")
@click.option("--json", "as_json", is_flag=True, help="Print the orders as JSON.")
def work_orders(
    everything: bool,
    move: tuple[str, str] | None,
    actor: str | None,
    note: str,
    assignee: str | None,
    as_json: bool,
) -> None:
    """List work orders, or move one on. See docs/work-orders.md."""

    async def work(connection: "asyncpg.Connection") -> list[Any]:
        from telemetry.sql import load_queries
        from workorder_bridge.lifecycle import WorkOrderStatus, change_status

        if move is not None:
            number, status = move
            if not number.isdigit():
                raise click.BadParameter(f"{number!r} is not the number of a work order")
            if status not in set(WorkOrderStatus):
                raise click.BadParameter(f"{status!r} is no status; there is {', '.join(WorkOrderStatus)}")
            if actor is None:
                raise click.BadParameter("--move needs --by: every change is kept with who made it")
            await change_status(
                connection,
                int(number),
                WorkOrderStatus(status),
                actor=actor,
                note=note,
                at=datetime.now(UTC),
                assignee=assignee,
            )
        return list(await connection.fetch(load_queries("workorder_bridge")["list_orders"], everything))

    rows = with_connection(work)
    if as_json:
        documents = [
            {
                **row,
                "evidence": json.loads(row["evidence"]),
                "job_plan": json.loads(row["job_plan"] or "null"),
            }
            for row in rows
        ]
        click.echo(json.dumps(documents, default=lambda moment: moment.isoformat()))
        return
    print_table(
        ("order", "asset", "failure mode", "status", "priority", "opened (UTC)", "due (UTC)", "seen"),
        [
            (
                str(row["id"]),
                row["asset"],
                row["failure_mode"],
                row["status"],
                row["priority"],
                f"{row['opened_at']:%Y-%m-%d %H:%M}",
                f"{row['due_at']:%Y-%m-%d %H:%M}",
                row["occurrences"],
            )
            for row in rows
        ],
    )
