"""`precursor alarms ...`: what stands, who knows of it, and how well operators can live with it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from precursor.cli.alarm_silence import SILENCE_COMMANDS, label
from precursor.cli.connection import with_connection
from precursor.cli.table import print_table
from rules.alarm_life import AlarmState
from rules.definition import Category, Priority

if TYPE_CHECKING:
    import asyncpg

__all__ = ["alarms"]

_JSON = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
_BY = click.option("--by", "actor", required=True, metavar="WHO", help="Who does it; kept with the alarm.")
_NOTE = click.option("--note", default="", help="Why; kept with the alarm.")
_SHOWN = 1_000


@click.group()
def alarms() -> None:
    """Alarms: what stands, who knows of it, what is kept silent. See docs/alarms.md."""


for command in SILENCE_COMMANDS:
    alarms.add_command(command)


@alarms.command("list")
@click.option(
    "--state", "states", multiple=True, type=click.Choice([state.value for state in AlarmState]),
    help="Only these; give it once for each  [default: all that are not normal].",
)  # fmt: skip
@click.option("--asset", help="Of one asset alone.")
@click.option("--category", type=click.Choice([each.value for each in Category]), help="What is at fault.")
@click.option("--priority", "priorities", multiple=True, type=click.Choice([each.name.lower() for each in Priority]))
@_JSON
def list_(
    states: tuple[str, ...], asset: str | None, category: str | None, priorities: tuple[str, ...], as_json: bool
) -> None:
    """Alarms that are not normal, or in the states asked for; the latest 1,000, the newest first."""
    wanted = list(states) or [state.value for state in AlarmState if state is not AlarmState.NORMAL]

    async def work(connection: "asyncpg.Connection") -> "list[asyncpg.Record]":
        from api.queries import SQL

        name = "alarms" if AlarmState.NORMAL.value in wanted else "alarms_awake"
        chosen = [Priority[each.upper()].value for each in priorities] or None
        return list(
            await connection.fetch(
                SQL[name], None, asset, None, None, None, None, _SHOWN, wanted, category, chosen
            )
        )  # fmt: skip

    rows = with_connection(work)
    if as_json:
        click.echo(json.dumps([_document(row) for row in rows], default=_text))
    elif rows:
        print_table(
            ("alarm", "priority", "state", "began (UTC)", "on", "rule", "side", "value", "limit", "unit", "known to"),
            [
                (
                    str(row["id"]),
                    Priority(row["priority"]).name.lower(),
                    row["state"].replace("_", " "),
                    label(row["began_at"]),
                    row["sensor"] or row["asset"],
                    row["rule"],
                    row["side"],
                    f"{row['value']:g}",
                    f"{row['limit_value']:g}",
                    row["unit"] or "-",
                    row["acknowledged_by"] or "-",
                )
                for row in rows
            ],
        )
    else:
        click.echo("no such alarm")


@alarms.command()
@click.argument("number", type=click.IntRange(1))
@_JSON
def show(number: int, as_json: bool) -> None:
    """Everything known about alarm NUMBER, and its history."""
    _show(number, as_json)


@alarms.command()
@click.argument("numbers", nargs=-1, type=click.IntRange(1), metavar="[NUMBER]...")
@click.option("--rule", help="All of a rule, instead.")
@click.option("--on", "subject", metavar="NAME", help="All of rules on a sensor or asset.")
@click.option("--asset", help="All of an asset, and of all below it.")
@_BY
@_NOTE
@_JSON
def acknowledge(
    numbers: tuple[int, ...],
    rule: str | None,
    subject: str | None,
    asset: str | None,
    actor: str,
    note: str,
    as_json: bool,
) -> None:
    """Say that somebody knows of alarms: of each NUMBER, or of all of a rule or an asset that wait for it."""
    if numbers and (rule or subject or asset):
        raise click.UsageError("give numbers, or say which alarms by --rule, --on and --asset")

    async def work(connection: "asyncpg.Connection") -> tuple[int, ...]:
        from rules import alarm_actions

        now = datetime.now(UTC)
        if not numbers:
            return await alarm_actions.acknowledge_all(
                connection, actor=actor, at=now, note=note, rule=rule, subject=subject, asset=asset
            )
        async with connection.transaction():
            for number in numbers:
                await alarm_actions.acknowledge(connection, number, actor=actor, at=now, note=note)
        return numbers

    found = with_connection(work)
    click.echo(json.dumps({"acknowledged": found}) if as_json else f"acknowledged: {', '.join(map(str, found))}")


@alarms.command()
@click.argument("number", type=click.IntRange(1))
@click.argument("text")
@_BY
@_JSON
def comment(number: int, text: str, actor: str, as_json: bool) -> None:
    """Add the remark TEXT to alarm NUMBER."""

    async def work(connection: "asyncpg.Connection") -> None:
        from rules import alarm_actions

        await alarm_actions.comment(connection, number, text, actor=actor, at=datetime.now(UTC))

    with_connection(work)
    _show(number, as_json)


@alarms.command()
@click.argument("number", type=click.IntRange(1))
@_BY
@_NOTE
@_JSON
def reset(number: int, actor: str, note: str, as_json: bool) -> None:
    """End the latched alarm NUMBER, whose value has come back; let a rule of usage count from zero again."""

    async def work(connection: "asyncpg.Connection") -> None:
        from rules import alarm_actions

        await alarm_actions.reset(connection, number, actor=actor, at=datetime.now(UTC), note=note)

    with_connection(work)
    _show(number, as_json)


@alarms.command()
@_JSON
def proposals(as_json: bool) -> None:
    """Alarms of the last 24 h that are a nuisance, and what could be done; accept one with `alarms shelve`."""

    async def work(connection: "asyncpg.Connection") -> Any:
        from rules import alarm_actions

        return await alarm_actions.proposals(connection, datetime.now(UTC))

    found = with_connection(work)
    if as_json:
        click.echo(json.dumps([each.document() for each in found]))
        return
    if not found:
        click.echo("no alarm of the last 24 h is a nuisance")
    for each in found:
        span = "--once" if each.shelve_s is None else f"--for '{each.shelve_s / 3600:g} h'"
        click.echo(f"{each.kind}: {each.rule} on {each.subject} ({each.side}): {each.why}")
        hints = [
            f"an on-delay of {each.on_delay_s:g} s" if each.on_delay_s is not None else "",
            f"a deadband of {each.deadband:.3g} {each.unit}".rstrip() if each.deadband else "",
        ]
        if any(hints):
            click.echo(f"  nine of ten would not come with {' or '.join(hint for hint in hints if hint)}")
        click.echo(f"  precursor alarms shelve {each.rule} {each.subject} --side {each.side} {span} --by WHO")


@alarms.command()
@click.option("--days", type=click.IntRange(1, 3_660), default=30, show_default=True, help="Up to now.")
@_JSON
def performance(days: int, as_json: bool) -> None:
    """Figures of ISA-18.2 beside their targets: rate, floods, chattering, stale, the ten worst, priorities."""
    now = datetime.now(UTC)

    async def work(connection: "asyncpg.Connection") -> "list[asyncpg.Record]":
        from api.queries import SQL

        return list(await connection.fetch(SQL["alarm_performance"], now - timedelta(days=days), now))

    rows = with_connection(work)
    if as_json:
        click.echo(json.dumps([dict(row) for row in rows]))
        return
    print_table(
        ("figure", "value", "target", "verdict"),
        [(row["figure"], f"{row['value']:,.4g}", row["target"], row["verdict"]) for row in rows],
    )


@alarms.command()
@click.argument("number", type=int, required=False)
@_JSON
def operators(number: int | None, as_json: bool) -> None:
    """How many people share the alarms; with NUMBER: so many from now on. Targets are for one of them."""

    async def work(connection: "asyncpg.Connection") -> int:
        from rules import alarm_actions

        if number is not None:
            await alarm_actions.set_operators(connection, number)
        return await alarm_actions.read_operators(connection)

    found = with_connection(work)
    click.echo(json.dumps({"operators": found}) if as_json else f"{found}")


def _show(number: int, as_json: bool) -> None:
    async def work(connection: "asyncpg.Connection") -> "tuple[asyncpg.Record, list[asyncpg.Record]]":
        from api.queries import SQL
        from rules.alarm_actions import UnknownAlarmError

        row = await connection.fetchrow(SQL["alarm"], number)
        if row is None:
            raise UnknownAlarmError(f"there is no alarm {number}")
        return row, list(await connection.fetch(SQL["alarm_events"], number))

    run: Callable[[asyncpg.Connection], Awaitable[Any]] = work
    row, events = with_connection(run)
    if as_json:
        document = {**_document(row), "events": [dict(event) for event in events]}
        click.echo(json.dumps(document, default=_text))
        return
    facts = _document(row)
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        if value is not None and value != "":
            shown = f"{label(value)} UTC" if isinstance(value, datetime) else str(value)
            click.echo(f"{key.replace('_', ' ').ljust(width)}  {shown}")
    click.echo()
    print_table(
        ("what", "when (UTC)", "who", "note"),
        [(each["kind"], label(each["at"]), each["actor"], each["note"] or "-") for each in events],
    )


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "priority": Priority(row["priority"]).name.lower()}


def _text(moment: datetime) -> str:
    return moment.isoformat()
