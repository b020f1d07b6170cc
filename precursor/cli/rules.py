"""`precursor rules list | explain | reset`: what is watched, where each limit comes from, what counts anew."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from precursor.cli.connection import with_connection
from precursor.cli.table import print_table

if TYPE_CHECKING:
    import asyncpg

    from precursor.rule_explanation import PlantRules, Row

__all__ = ["rules"]

_JSON = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")


@click.group()
def rules() -> None:
    """The rules in force. They are written in the plant file; see docs/rules.md."""


@rules.command("list")
@click.option("--asset", metavar="ASSET", help="On this asset and its sensors alone.")
@_JSON
def list_(asset: str | None, as_json: bool) -> None:
    """All rules, and what each is on."""
    found = _read()
    chosen = found.rules if asset is None else tuple(found.of_asset(asset))
    if as_json:
        click.echo(json.dumps([found.document(rule) for rule in chosen], ensure_ascii=False))
    elif chosen:
        print_table(
            ("rule", "on", "limits", "priority", "about"),
            [
                (
                    rule.name,
                    rule.sensor_name,
                    _limits([(str(limit.side), limit.value) for limit in rule.limits], rule.unit),
                    rule.priority.name.lower(),
                    str(rule.category),
                )
                for rule in chosen
            ],
        )
    else:
        click.echo(f"no rule watches {asset or 'anything'}; `rules` in the plant file asks for some (docs/rules.md)")


@rules.command()
@click.argument("asset")
@_JSON
def explain(asset: str, as_json: bool) -> None:
    """Each rule on ASSET and on its sensors: what it watches, its limits and where they come from."""
    found = _read()
    chosen = found.of_asset(asset)
    if as_json:
        click.echo(json.dumps([found.document(rule) for rule in chosen], ensure_ascii=False))
        return
    if not chosen:
        click.echo(f"no rule watches {asset}; `rules` in the plant file asks for some (docs/rules.md)")
    for rule in chosen:
        title = f": {rule.title}" if rule.title else ""
        click.echo(f"{rule.name} on {rule.sensor_name}{title}")
        _print_rows(list(found.explanation(rule)))
        click.echo("")


@rules.command()
@click.argument("rule")
@click.argument("subject")
@click.option("--by", "actor", required=True, metavar="WHO", help="Who does it; kept with the rule.")
@click.option("--note", default="", help="Why; kept with the rule.")
def reset(rule: str, subject: str, actor: str, note: str) -> None:
    """Let RULE, of kind usage, count from the beginning on SUBJECT, a sensor: its oil was changed.

    A running engine does it within a second; else the next one does, when it starts.
    """

    async def work(connection: "asyncpg.Connection") -> None:
        from precursor.rule_explanation import reset_rule

        await reset_rule(connection, rule, subject, at=datetime.now(UTC), actor=actor, note=note)

    with_connection(work)
    click.echo(f"{rule} on {subject} is to count from the beginning")


def _read() -> "PlantRules":
    from precursor.rule_explanation import read_rules

    return with_connection(read_rules)


def _limits(limits: list[tuple[str, float]], unit: str) -> str:
    texts = [f"{side.replace('_', '-')} {value:.6g}" for side, value in limits if side != "condition"]
    return f"{', '.join(texts)} {unit}".strip() if texts else "-"


def _print_rows(rows: "list[Row]") -> None:
    widths = (
        max(len(what) for what, _, _ in rows),
        max((len(value) for _, value, source in rows if source), default=0),
    )
    for what, value, source in rows:
        click.echo(f"  {what.ljust(widths[0])}  {value.ljust(widths[1]) if source else value}  {source}".rstrip())
