"""`precursor devices command`: a value that a metric of a Sparkplug device is to take."""

import asyncio
import getpass
import json
import math
import time
from typing import TYPE_CHECKING

import click

from precursor.cli.connection import with_connection

if TYPE_CHECKING:
    import asyncpg

    from ingest.device_commands import DeviceCommand

__all__ = ["command"]

_LOOK_S = 0.1


@click.command()
@click.argument("name")
@click.argument("metric")
@click.argument("value")
@click.option("--wait", "wait_s", type=float, default=5.0, show_default=True, help="For the engine to send it, s.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(name: str, metric: str, value: str, wait_s: float, as_json: bool) -> None:
    """Ask the device NAME (GROUP/NODE or GROUP/NODE/DEVICE) to set METRIC to VALUE.

    The running engine sends it, if its host is not passive (PRECURSOR_SPARKPLUG__MODE). VALUE is a number, true, false
    or a text; quote a text that looks like a number twice: '"7"'.
    """

    async def work(connection: "asyncpg.Connection") -> "DeviceCommand":
        from ingest.device_commands import find_command, request_command

        asked = await request_command(connection, name, metric, _value(value), requested_by=getpass.getuser())
        deadline = time.monotonic() + wait_s
        while asked.outcome == "pending" and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_S)
            asked = await find_command(connection, asked.id) or asked
        return asked

    found = with_connection(work)
    if as_json:
        click.echo(json.dumps({"id": found.id, "outcome": found.outcome, "refused": found.refused}))
    elif found.outcome == "sent":
        click.echo(f"sent: {name} is asked to set {metric} to {value}")
    elif found.outcome == "pending":
        click.echo(f"not sent yet after {wait_s:g} s; does the engine run? It sends command {found.id} when it does")
    if found.outcome == "refused":
        if not as_json:
            click.echo(f"not sent: {found.refused}", err=True)
        raise SystemExit(1)


def _value(text: str) -> bool | float | str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, (bool, str)) or (isinstance(value, (int, float)) and math.isfinite(value)):
        return value
    return text
