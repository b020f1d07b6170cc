"""`precursor demo`."""

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from precursor import logs, parts
from precursor.settings import LogSettings, read_settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from precursor.demo import Demo, DemoSummary

    Watch = Callable[[Demo], None]

__all__ = ["demo"]


@click.command()
@click.option("--duration", default=60.0, show_default=True, help="Wall-clock time to simulate for, s.")
@click.option(
    "--speed",
    default=600.0,
    show_default=True,
    help="Event seconds a second: 600 shows ten hours in a minute.",
)
@click.option("--seed", default=7, show_default=True, help="Same seed, same readings.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-out"),
    show_default=True,
    help="Folder for the picture of what happened.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, nothing else.")
def demo(duration: float, speed: float, seed: int, out: Path, as_json: bool) -> None:
    """Broker, database, simulated plant and engine together; ends by itself with a work order.

    A bearing of pump P-101 goes bad; the anomaly score of its vibration rises long before the limit; a work order
    comes out. Uses a fresh embedded database that is thrown away afterwards. Exit status 1 if the fault led to no
    work order, a healthy asset got one, or the ledger does not add up.
    """
    settings = read_settings()
    logs.configure(LogSettings(level="warning", format=settings.log.format))
    if duration <= 0 or speed <= 0:
        raise click.BadParameter("duration and speed are more than 0")
    if duration * speed < 3600:
        raise click.BadParameter(
            "duration x speed gives less than an hour of event time: too short for a fault to show"
        )
    with tempfile.TemporaryDirectory(prefix="precursor-demo-") as folder:
        private = settings.model_copy(update={"data_dir": Path(folder)})
        with parts.database(private) as dsn, parts.broker(private) as mqtt:
            from precursor.demo import Demo, draw

            run = Demo(
                dsn=dsn, mqtt=mqtt, duration_s=duration, speed=speed, seed=seed, echo_topic=parts.echo_topic(private)
            )
            with _live(quiet=as_json) as watch:
                summary = asyncio.run(_run(run, watch))
            picture = None
            if summary.work_orders:
                out.mkdir(parents=True, exist_ok=True)
                picture = asyncio.run(draw(run, out))
    if as_json:
        click.echo(summary.as_json())
    else:
        _tell(summary, picture)
    if summary.problems:
        sys.exit(1)


async def _run(run: "Demo", watch: "Watch") -> "DemoSummary":
    from precursor.runtime import stop_on_signals

    with stop_on_signals() as stop:
        return await run.run(stop, watch=watch)


@contextlib.contextmanager
def _live(*, quiet: bool) -> "Iterator[Watch]":
    """What is shown while it runs: a live table on a terminal, a line now and then elsewhere, nothing if quiet."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    if quiet:
        yield lambda run: None
    elif console.is_terminal:
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            yield lambda run: live.update(_table(run))
    else:
        yield _Lines()


class _Lines:
    """A line every few seconds, for logs and CI."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def __call__(self, run: "Demo") -> None:
        now = time.monotonic()
        if run.begun_s == 0.0 or now < self._next_s:
            return
        self._next_s = now + _LINE_EVERY_S
        totals = run.engine.totals
        click.echo(
            f"{now - run.begun_s:5.0f} s  {_event_time(run)}  {totals.stored:7,} readings stored"
            f"  {totals.alarms_raised} alarms  {len(totals.work_orders)} work orders",
            err=True,
        )


def _event_time(run: "Demo") -> str:
    from telemetry.batch import to_datetime

    newest = run.engine.totals.newest_us
    return "-" if newest is None else f"{to_datetime(newest):%Y-%m-%d %H:%M} UTC"


def _table(run: "Demo") -> "RenderableType":
    from rich.table import Table

    totals = run.engine.totals
    elapsed_s = max(time.monotonic() - run.begun_s, 1e-9)
    table = Table(title="Precursor demo: two pumps and a fan, one bearing going bad", show_header=False)
    table.add_row("event time", _event_time(run))
    table.add_row("readings stored", f"{totals.stored:,}  ({totals.stored / elapsed_s:,.0f}/s)")
    table.add_row("anomaly scores", f"{totals.derived:,}")
    table.add_row("duplicates, rejected", f"{totals.duplicates:,}, {totals.rejected:,}")
    table.add_row("alarms", f"{totals.alarms_raised}")
    orders = f"{len(totals.work_orders)}"
    if run.first_work_order_s is not None:
        orders += f"  (first after {run.first_work_order_s:.0f} s)"
    table.add_row("work orders", orders, style="bold" if totals.work_orders else None)
    table.add_row("to go", f"{max(0.0, run.duration_s - elapsed_s):.0f} s")
    return table


def _tell(summary: "DemoSummary", picture: Path | None) -> None:
    click.echo(
        f"\n{summary.readings_published:,} readings published, {summary.readings_stored:,} stored,"
        f" {summary.duplicates:,} duplicates, {summary.rejected:,} rejected: the ledger"
        f" {'adds up' if not any('ledger' in problem for problem in summary.problems) else 'does NOT add up'}."
    )
    click.echo(f"{summary.alarms} alarms, {len(summary.work_orders)} work order(s), {summary.wall_s:.0f} s.")
    for order in summary.work_orders:
        click.echo(f"\nWork order {order['id']}: {order['title']}")
        click.echo(
            f"  opened {order['opened_at'][:16]} UTC, due {order['due_at'][:16]} UTC, priority {order['priority']}"
        )
        for item in order["evidence"]:
            click.echo(
                f"  evidence: {item['sensor'] or item['asset']} {item['side']} alarm {item['limit']:g} {item['unit']}"
                f" from {item['began_at'][:16]}, peak {item['peak_value']:.4g} {item['unit']}"
            )
        if order["job_plan"]:
            click.echo(f"  job plan: {order['job_plan']['title']} ({order['job_plan']['labour_hours']:g} h)")
            for task in order["job_plan"]["tasks"]:
                click.echo(f"    - {task}")
    if summary.fault is not None and summary.lead_h is not None:
        click.echo(
            f"\nThe fault began {summary.fault['onset_at'][:16]} UTC, the pump failed"
            f" {summary.fault['functional_failure_at'][:16]} UTC: the order came {summary.lead_h:.1f} h before."
        )
    if picture is not None:
        click.echo(f"Picture: {picture}")
    for problem in summary.problems:
        click.echo(f"PROBLEM: {problem}", err=True)


_LINE_EVERY_S = 5.0
