"""Grafana's macros and variables expanded as Grafana does it, so that a test can run a panel's SQL by itself.

Follows the PostgreSQL data source of Grafana 12: first `$__interval` and dashboard variables, then macros,
whose arguments end at the first `)`. What is not known here is an error, because Grafana would send it to the
database as it stands.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

__all__ = ["Question", "expand"]

_MACRO = re.compile(r"\$(__\w+)\(([^)]*)\)")
_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}")
_LEFT_OVER = re.compile(r"\$(?:\{|__)\w*")
_INTERVAL = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_UNITS_MS = (("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person looking at a board asks for."""

    begin: datetime
    """aware"""
    end: datetime
    """aware"""
    interval_ms: int = 60_000
    """width of a bucket, `$__interval`"""
    variables: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """chosen values by variable; "All" is every value there is"""
    timescaledb: bool = False
    """whether the data source's TimescaleDB switch is on"""


def expand(sql: str, question: Question) -> str:
    """The statement Grafana would send.

    Raises:
        ValueError: a macro, a variable, its format or an interval is not known.
    """
    text = re.sub(r"\$__interval_ms\b", str(question.interval_ms), sql)
    text = re.sub(r"\$__interval\b", _as_interval(question.interval_ms), text)
    text = _VARIABLE.sub(lambda found: _variable(found, question), text)
    text = _MACRO.sub(lambda found: _macro(found, question), text)
    if left := _LEFT_OVER.search(text):
        raise ValueError(f"{left[0]!r} would reach the database as it stands")
    return text


def _as_interval(interval_ms: int) -> str:
    for unit, size in _UNITS_MS:
        if interval_ms % size == 0:
            return f"{interval_ms // size}{unit}"
    raise ValueError(f"{interval_ms} ms is not a bucket width")


def _variable(found: re.Match[str], question: Question) -> str:
    name, shape = found[1], found[2]
    if name not in question.variables:
        raise ValueError(f"the board has no variable {name!r}")
    chosen = question.variables[name]
    if shape == "sqlstring":
        return ",".join("'" + value.replace("'", "''") + "'" for value in chosen)
    if shape == "csv":
        return ",".join(chosen)
    raise ValueError(f"variable {name!r} has format {shape!r}; only sqlstring and csv are known here")


def _macro(found: re.Match[str], question: Question) -> str:
    name = found[1]
    arguments = [part.strip() for part in found[2].split(",")] if found[2].strip() else []
    if name not in _MACROS:
        raise ValueError(f"${name} is not a macro known here")
    return _MACROS[name](arguments, question)


def _literal(moment: datetime) -> str:
    return f"'{moment.astimezone(UTC).isoformat(timespec='microseconds').replace('+00:00', 'Z')}'"


def _column(arguments: Sequence[str], macro: str) -> str:
    if not arguments:
        raise ValueError(f"${macro} needs a column")
    return arguments[0]


def _time_filter(arguments: Sequence[str], question: Question) -> str:
    column = _column(arguments, "__timeFilter")
    return f"{column} BETWEEN {_literal(question.begin)} AND {_literal(question.end)}"


def _time_group(arguments: Sequence[str], question: Question) -> str:
    # A third argument (how to fill gaps) is Grafana's business after the answer.
    if len(arguments) not in {2, 3}:
        raise ValueError("$__timeGroup needs a column and an interval")
    interval = _INTERVAL.fullmatch(arguments[1].strip("'"))
    if interval is None:
        raise ValueError(f"{arguments[1]!r} is not an interval such as 5m")
    seconds = float(interval[1]) * _SECONDS[interval[2]]
    if question.timescaledb:
        return f"time_bucket('{seconds:.3f}s',{arguments[0]})"
    return f"floor(extract(epoch from {arguments[0]})/{seconds:g})*{seconds:g}"


_MACROS: Mapping[str, Callable[[Sequence[str], Question], str]] = {
    "__time": lambda arguments, _: f'{_column(arguments, "__time")} AS "time"',
    "__timeFilter": _time_filter,
    "__timeFrom": lambda _, question: _literal(question.begin),
    "__timeTo": lambda _, question: _literal(question.end),
    "__timeGroup": _time_group,
    "__timeGroupAlias": lambda arguments, question: f'{_time_group(arguments, question)} AS "time"',
}
