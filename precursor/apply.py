"""`precursor apply`: make the database equal to a plant file, whole or not at all."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from precursor.plantfile.definition import PlantDefinition
from precursor.plantfile.plan import Action, Change, Plan
from precursor.plantfile.reader import read_plant_file
from precursor.plantfile.rows import TABLES, Row, rows
from telemetry.errors import ConfigurationError, DatabaseUnavailableError
from telemetry.sql import load_queries
from telemetry.units import same_unit

__all__ = ["apply", "apply_plan", "plan_changes"]

_SQL = load_queries("precursor.plantfile")
_KEYED_BY_TOPIC = ("gateway", "sensor")
_JSON = frozenset({"codes", "detector", "machine", "vibration", "checks", "options", "tasks", "parts", "skills"})

Connection = psycopg.Connection[Any]


def apply(dsn: str, path: str | Path, dry_run: bool = False) -> Plan:
    """Make the plant in the database at `dsn` equal to the file; `dry_run`: only say what would change.

    Raises:
        PlantFileError: something in the file is wrong.
        ConfigurationError: a change that stored readings forbid.
        DatabaseUnavailableError: the database does not answer, or went away.
    """
    definition = read_plant_file(path)
    try:
        with psycopg.connect(dsn) as connection:
            # The second of two applies waits here, and then compares with what the first one left.
            connection.execute(_SQL["read_revision" if dry_run else "lock"])
            plan = plan_changes(connection, definition)
            return plan if dry_run else apply_plan(connection, plan)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"the database does not answer: {error}") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(f"the database user may not write the plant: {error}") from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise ConfigurationError("the database has not the tables for it yet; run `precursor migrate` first") from error


def plan_changes(connection: Connection, definition: PlantDefinition) -> Plan:
    """What would make the database equal to the definition; writes nothing.

    Raises:
        ConfigurationError: a sensor with readings would change its unit or kind.
    """
    wanted = rows(definition)
    stored = {table: _stored(connection, table) for table in TABLES}
    changes = [
        *_retirements(wanted, stored),
        *(change for table in TABLES for change in _puts(table, wanted[table], stored[table])),
    ]
    _refuse_lies(connection, changes)
    revision = connection.execute(_SQL["read_revision"]).fetchone()
    return Plan(changes=tuple(changes), revision=revision[0] if revision else 0)


def apply_plan(connection: Connection, plan: Plan) -> Plan:
    """Write a plan made on this connection, in its open transaction; the caller commits.

    Returns the plan, marked as applied. A plan without changes writes nothing and leaves the revision alone.
    """
    if not plan.changes:
        return replace(plan, applied=True)
    for table in TABLES:
        gone = [change.name for change in plan.changes if change.table == table and change.action is Action.RETIRE]
        moved = [
            change.name
            for change in plan.changes
            if table in _KEYED_BY_TOPIC and change.table == table and "topic" in change.fields
        ]
        _retire(connection, table, [*gone, *moved])
    with connection.cursor() as cursor:
        for table in TABLES:
            written = [_bound(change.row) for change in plan.changes if change.table == table and change.row]
            if written:
                cursor.executemany(_SQL[f"put_{table}"], written)
        cursor.execute(_SQL["count"])
        cursor.execute(_SQL["notify"])
    return replace(plan, applied=True)


def _stored(connection: Connection, table: str) -> dict[str, dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return {row["key"]: row for row in cursor.execute(_SQL[f"read_{table}"])}


def _retirements(wanted: Mapping[str, Mapping[str, Row]], stored: Mapping[str, Mapping[str, Row]]) -> Iterable[Change]:
    """What left the file. What births and provisioning made stays, and so does what it belongs to."""
    living = {
        (table, key): row
        for table in TABLES
        for key, row in stored[table].items()
        if key not in wanted[table] and not row["retired"]
    }
    kept = set[tuple[str, str]]()
    found = {place for place, row in living.items() if row.get("origin", "plant") not in {"plant", "model"}}
    while found:
        kept |= found
        found = {owner for place in found for owner in _owners(place[0], living[place])} & living.keys() - kept
    # What a model in use writes to stays as long as its asset does.
    going = living.keys() - kept
    kept |= {
        place
        for place in going
        if living[place].get("origin") == "model" and ("asset", living[place]["asset"]) not in going
    }
    for table in reversed(TABLES):
        for key in sorted(key for kind, key in living.keys() - kept if kind == table):
            yield Change(action=Action.RETIRE, table=table, name=key)


def _owners(table: str, row: Row) -> Iterable[tuple[str, str]]:
    """The rows that a row points to."""
    match table:
        case "sensor":
            yield "asset", row["asset"]
            if row["source"] is not None:
                yield "sensor", row["source"]
        case "asset":
            yield "area", f"{row['site']}/{row['area']}"
            if row["parent"] is not None:
                yield "asset", row["parent"]
        case "area":
            yield "site", row["site"]


def _puts(table: str, wanted: Mapping[str, Row], stored: Mapping[str, Row]) -> Iterable[Change]:
    for key, row in wanted.items():
        before = stored.get(key)
        if before is None:
            yield Change(action=Action.CREATE, table=table, name=key, row=row)
            continue
        fields = {name: (before[name], value) for name, value in row.items() if before[name] != value}
        if before["retired"] or fields:
            action = Action.REVIVE if before["retired"] else Action.CHANGE
            yield Change(action=action, table=table, name=key, row=row, fields=fields)


def _refuse_lies(connection: Connection, changes: Iterable[Change]) -> None:
    """A stored reading is a number in the unit its sensor had; another unit would make history wrong."""
    doubtful = {
        change.name: change
        for change in changes
        if change.table == "sensor"
        and ("kind" in change.fields or ("unit" in change.fields and not same_unit(*change.fields["unit"])))
    }
    if not doubtful:
        return
    found = connection.execute(_SQL["sensors_with_readings"], {"names": list(doubtful)})
    refusals = []
    for (name,) in sorted(found):
        for what in ("unit", "kind"):
            if what in doubtful[name].fields:
                old, new = (text or "none" for text in doubtful[name].fields[what])
                mend = " or keep the unit and say sent_in" if what == "unit" else ""
                refusals.append(
                    f"sensor {name} has readings and its {what} can't change from {old} to {new}: "
                    f"give the new sensor a new name,{mend or ' and leave this one as it is'}"
                )
    if refusals:
        raise ConfigurationError("\n".join(refusals))


def _retire(connection: Connection, table: str, keys: list[str]) -> None:
    if keys:
        ids = [row["id"] for key, row in _stored(connection, table).items() if key in set(keys)]
        connection.execute(
            sql.SQL("UPDATE {} SET retired_at = now() WHERE id = ANY(%s)").format(sql.Identifier(table)), [ids]
        )


def _bound(row: Row) -> dict[str, Any]:
    return {name: Jsonb(value) if name in _JSON and value is not None else value for name, value in row.items()}
