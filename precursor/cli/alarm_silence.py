"""`precursor alarms shelve | unshelve | out-of-service | in-service | silent | windows`: what people keep silent."""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from precursor.cli.connection import with_connection
from precursor.cli.table import print_table
from rules.definition import Side

if TYPE_CHECKING:
    import asyncpg

    from rules.alarm_silence import Silence, Window

__all__ = ["SILENCE_COMMANDS", "label"]

_JSON = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
_BY = click.option("--by", "actor", required=True, metavar="WHO", help="Who does it; kept for good.")
_NOTE = click.option("--note", default="", help="Why; kept for good.")
_SIDE = click.option("--side", type=click.Choice([side.value for side in Side]), help="One side alone.")
_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


_UNITS = {"s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}


class _Span(click.ParamType[timedelta]):
    """A length of time as people write it."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)\s*(s|min|h|d)", str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no length of time; expected e.g. '8 h', with s, min, h or d", param, ctx)
        return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


@click.command()
@click.argument("rule")
@click.argument("subject")
@_SIDE
@click.option("--for", "span", type=_Span(), metavar="SPAN", help="For so long, e.g. '8 h'; at most 7 d.")
@click.option("--once", is_flag=True, help="Until the alarm that stands is normal.")
@_BY
@_NOTE
@_JSON
def shelve(
    rule: str, subject: str, side: str | None, span: timedelta | None, once: bool, actor: str, note: str, as_json: bool
) -> None:
    """Tell nobody of alarms of RULE on SUBJECT, a sensor or an asset, for some time."""

    async def work(connection: "asyncpg.Connection") -> "Silence":
        from rules import alarm_silence

        now = datetime.now(UTC)
        return await alarm_silence.shelve(
            connection, rule, subject, actor=actor, at=now, side=_side(side),
            until=None if span is None else now + span, one_shot=once, note=note,
        )  # fmt: skip

    _show_silences([with_connection(work)], as_json)


@click.command()
@click.argument("rule")
@click.argument("subject")
@_SIDE
@_BY
@_NOTE
def unshelve(rule: str, subject: str, side: str | None, actor: str, note: str) -> None:
    """Tell people of alarms of RULE on SUBJECT again."""
    _end("shelved", rule, subject, side, actor, note)


@click.command("out-of-service")
@click.argument("rule")
@click.argument("subject")
@_SIDE
@_BY
@_NOTE
@_JSON
def out_of_service(rule: str, subject: str, side: str | None, actor: str, note: str, as_json: bool) -> None:
    """Tell nobody of alarms of RULE on SUBJECT until it is taken into service again."""

    async def work(connection: "asyncpg.Connection") -> "Silence":
        from rules import alarm_silence

        return await alarm_silence.take_out_of_service(
            connection, rule, subject, actor=actor, at=datetime.now(UTC), side=_side(side), note=note
        )

    _show_silences([with_connection(work)], as_json)


@click.command("in-service")
@click.argument("rule")
@click.argument("subject")
@_SIDE
@_BY
@_NOTE
def in_service(rule: str, subject: str, side: str | None, actor: str, note: str) -> None:
    """Take RULE on SUBJECT into service again."""
    _end("out_of_service", rule, subject, side, actor, note)


@click.command()
@_JSON
def silent(as_json: bool) -> None:
    """What is shelved and what is out of service."""

    async def work(connection: "asyncpg.Connection") -> "list[Silence]":
        from rules.alarm_silence import SilenceKind, list_silences

        now = datetime.now(UTC)
        found = [each for kind in SilenceKind for each in await list_silences(connection, kind)]
        return [each for each in found if each.end_at is None or each.end_at > now]

    _show_silences(with_connection(work), as_json)


@click.group()
def windows() -> None:
    """Maintenance windows: times in which an asset, and all below it, is worked on."""


@windows.command("list")
@click.option("--asset", help="Of one asset alone.")
@click.option("--all", "everything", is_flag=True, help="Those that are over or cancelled, too.")
@_JSON
def list_(asset: str | None, everything: bool, as_json: bool) -> None:
    """Windows that are under way or to come."""

    async def work(connection: "asyncpg.Connection") -> "tuple[Window, ...]":
        from rules.alarm_silence import list_windows

        return await list_windows(connection, asset=asset, not_over_at=None if everything else datetime.now(UTC))

    _show_windows(with_connection(work), as_json)


@windows.command()
@click.argument("asset")
@click.option("--from", "begin", type=_MOMENT, metavar="TIME", help="UTC  [default: now].")
@click.option("--to", "end", type=_MOMENT, metavar="TIME", help="UTC, exclusive.")
@click.option("--for", "span", type=_Span(), metavar="SPAN", help="For so long, e.g. '8 h', instead of --to.")
@_BY
@_NOTE
@_JSON
def add(
    asset: str,
    begin: datetime | None,
    end: datetime | None,
    span: timedelta | None,
    actor: str,
    note: str,
    as_json: bool,
) -> None:
    """Tell nobody of alarms of ASSET, and of all below it, in this time."""
    if (end is None) == (span is None):
        raise click.UsageError("give either --to or --for")
    since = datetime.now(UTC) if begin is None else begin.replace(tzinfo=UTC)
    until = end.replace(tzinfo=UTC) if end is not None else since + (span or timedelta(0))

    async def work(connection: "asyncpg.Connection") -> "Window":
        from rules.alarm_silence import add_window

        return await add_window(connection, asset, since, until, actor=actor, note=note)

    _show_windows((with_connection(work),), as_json)


@windows.command()
@click.argument("number", type=click.IntRange(1))
@_BY
@_NOTE
@_JSON
def cancel(number: int, actor: str, note: str, as_json: bool) -> None:
    """End window NUMBER now, or before it begins."""

    async def work(connection: "asyncpg.Connection") -> "Window":
        from rules.alarm_silence import cancel_window

        return await cancel_window(connection, number, actor=actor, at=datetime.now(UTC), note=note)

    _show_windows((with_connection(work),), as_json)


SILENCE_COMMANDS = (shelve, unshelve, out_of_service, in_service, silent, windows)
"""commands of `precursor alarms`"""


def label(moment: datetime | None) -> str:
    """A moment in a table."""
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def _side(name: str | None) -> Side | None:
    return None if name is None else Side(name)


def _end(kind: str, rule: str, subject: str, side: str | None, actor: str, note: str) -> None:
    async def work(connection: "asyncpg.Connection") -> None:
        from rules.alarm_silence import SilenceKind, end_silence, find_silence

        found = await find_silence(connection, SilenceKind(kind), rule, subject, _side(side))
        await end_silence(connection, found.kind, found.id, actor=actor, at=datetime.now(UTC), note=note)

    run: Callable[[asyncpg.Connection], Awaitable[None]] = work
    with_connection(run)
    click.echo(f"people are told of {rule} on {subject} again")


def _show_silences(found: "list[Silence]", as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], default=lambda moment: moment.isoformat()))
    elif found:
        print_table(
            ("rule", "on", "side", "how", "since (UTC)", "until (UTC)", "by", "note"),
            [
                (
                    each.rule,
                    each.subject,
                    each.side or "all",
                    each.kind.words,
                    label(each.begin_at),
                    "normal" if each.one_shot and each.end_at is None else label(each.end_at),
                    each.actor,
                    each.note or "-",
                )
                for each in found
            ],
        )
    else:
        click.echo("nothing is shelved or out of service")


def _show_windows(found: "tuple[Window, ...]", as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], default=lambda moment: moment.isoformat()))
    elif found:
        print_table(
            ("window", "asset", "begin (UTC)", "end (UTC)", "by", "note", "cancelled (UTC)"),
            [
                (
                    str(each.id),
                    each.asset,
                    label(each.begin_at),
                    label(each.end_at),
                    each.actor,
                    each.note or "-",
                    label(each.cancelled_at),
                )
                for each in found
            ],
        )
    else:
        click.echo("no maintenance window")
