"""`precursor replay`: a recorded file through MQTT, as a gateway would send it."""

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

import click

from precursor import parts, preflight
from precursor.cli.publishing import publish_messages
from precursor.settings import read_settings

__all__ = ["replay"]

_SOME = click.FloatRange(min=0)
_PATIENCE = 50
"""looks at the ledger, 0.2 s apart, without anything new before giving up"""


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--topic-map",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML: which column goes to which topic, and which one is the time (see examples/replay-*.yaml).",
)
@click.option("--speed", type=_SOME, default=0.0, help="Event seconds a second  [default: 0, as fast as possible].")
@click.option("--rate", type=_SOME, default=0.0, help="Messages a second at most  [default: no limit].")
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S"]),
    metavar="TIME",
    help="Event time of the first row, UTC, as 2026-11-20T06:00:00  [default: as recorded].",
)
@click.option("--gateway-topic", help="Send arrays with sensor names on this topic, instead of single readings.")
@click.option("--batch", type=click.IntRange(min=1), default=100, show_default=True, help="Readings in such an array.")
@click.option(
    "--wait/--no-wait",
    default=True,
    show_default=True,
    help="Wait until the engine has taken all of it, and say what became of it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def replay(
    file: Path,
    topic_map: Path,
    speed: float,
    rate: float,
    start: datetime | None,
    gateway_topic: str | None,
    batch: int,
    wait: bool,
    as_json: bool,
) -> None:
    """Send a recorded CSV FILE through MQTT, a reading for each row and mapped column; a missing value is none.

    Needs a broker: that of a running `precursor up`, or the one settings name.
    """
    from simulators.replay import Recording
    from simulators.topic_map import load_topic_map

    settings = read_settings()
    recording = Recording(
        path=file,
        topic_map=load_topic_map(topic_map),
        start=None if start is None else start.replace(tzinfo=UTC),
    )
    summary = recording.summary()
    parts.reachable_broker(settings)
    messages = recording.messages(gateway_topic=gateway_topic, batch=batch)
    with contextlib.ExitStack() as held:
        dsn = held.enter_context(preflight.existing_database(settings)) if wait else ""
        before = asyncio.run(_ledger(dsn)) if wait else {}
        outcome = publish_messages(settings, messages, speed=speed or None, rate=rate or None)
        taken = asyncio.run(_taken(dsn, before, outcome.readings)) if wait else {}
    result: dict[str, object] = {
        "rows": summary.rows,
        "missing": summary.missing,
        "messages_published": outcome.messages,
        "readings_published": outcome.readings,
        "wall_s": round(outcome.wall_s, 3),
        **{f"readings_{name}": count for name, count in taken.items()},
    }
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(
        f"{summary.rows} rows, {outcome.readings} readings ({summary.missing} missing values) in"
        f" {outcome.messages} messages, {outcome.wall_s:.1f} s"
    )
    if taken:
        click.echo(
            f"the engine stored {taken['stored']}, duplicates {taken['duplicate']}, rejected {taken['rejected']}"
        )


async def _ledger(dsn: str) -> dict[str, int]:
    from telemetry import database
    from telemetry.ledger import read_totals

    connection = await database.connect(dsn)
    try:
        with database.translated():
            return await read_totals(connection)
    finally:
        await connection.close()


async def _taken(dsn: str, before: dict[str, int], expected: int) -> dict[str, int]:
    """What became of the readings since `before`, once as many were received or nothing more comes for a while."""
    last, idle = -1, 0
    while True:
        now = await _ledger(dsn)
        taken = {name: now[name] - before[name] for name in now}
        received = taken["received"]
        idle = idle + 1 if received == last else 0
        if received >= expected or idle > _PATIENCE:
            if received < expected:
                click.echo(
                    f"only {received} of {expected} readings reached the database; does an engine run"
                    " (`precursor up`), and does its plant file listen on these topics?",
                    err=True,
                )
            return taken
        last = received
        await asyncio.sleep(0.2)
