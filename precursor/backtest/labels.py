"""Failures that are known of, out of a CSV file: asset, failure_at and, where it is known, began_at."""

import csv
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from rules.lead_time import Failure
from telemetry.catalogue import name_list
from telemetry.errors import ConfigurationError

__all__ = ["read_failures"]

_EXPECTED = "expected a header asset,failure_at[,began_at] and times such as 2026-11-02T14:20:00Z"


def read_failures(path: Path, assets: Collection[str]) -> tuple[Failure, ...]:
    """The failures of a file, by time.

    Raises:
        ConfigurationError: a column is missing, an asset unknown, or a time is none or has no zone; with file and line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            missing = [name for name in ("asset", "failure_at") if name not in (rows.fieldnames or ())]
            if missing:
                raise ConfigurationError(f"{path}:1: no column {' and no column '.join(missing)}; {_EXPECTED}")
            found = [_failure(row, f"{path}:{rows.line_num}", assets) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}; {_EXPECTED}") from error
    return tuple(sorted(found, key=lambda each: (each.failure_at, each.asset)))


def _failure(row: dict[str, str | None], where: str, assets: Collection[str]) -> Failure:
    asset = (row["asset"] or "").strip()
    if asset not in assets:
        raise ConfigurationError(f"{where}: there is no asset {name_list([asset], assets)} in the plant")
    failed = _moment(row["failure_at"], where, "failure_at")
    began_text = row.get("began_at")
    began = _moment(began_text, where, "began_at") if began_text and began_text.strip() else None
    if began is not None and began >= failed:
        raise ConfigurationError(f"{where}: began_at {began.isoformat()} is not before failure_at {failed.isoformat()}")
    return Failure(asset=asset, failure_at=failed, began_at=began)


def _moment(text: str | None, where: str, column: str) -> datetime:
    try:
        moment = datetime.fromisoformat((text or "").strip())
    except ValueError as error:
        raise ConfigurationError(f"{where}: {column} is {text!r}; {_EXPECTED}") from error
    if moment.tzinfo is None:
        raise ConfigurationError(f"{where}: {column} {text!r} has no time zone; write it with Z or an offset")
    return moment.astimezone(UTC)
