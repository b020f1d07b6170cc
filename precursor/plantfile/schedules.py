"""Schedules of a plant file, as rules keep them."""

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from precursor.plantfile.notes import Notes
from precursor.plantfile.problems import Path
from precursor.plantfile.rule_entries import ScheduleEntry
from telemetry.names import closest

__all__ = ["schedules"]

_DAY_S = 86_400


def schedules(entries: Sequence[ScheduleEntry], notes: Notes) -> Mapping[str, Mapping[str, Any]]:
    """Name and content, in the layout of `rules.stored`."""
    names: dict[str, Path] = {}
    found: dict[str, Mapping[str, Any]] = {}
    for place, entry in enumerate(entries):
        path: Path = ("schedules", place)
        notes.once(names, entry.name, (*path, "name"), "schedule name")
        if notes.sound(path):
            _check_timezone(entry.timezone, (*path, "timezone"), notes)
        spans = []
        for number, span in enumerate(entry.spans):
            if span.from_ == _DAY_S:
                notes.add((*path, "spans", number, "from"), "24:00 is the end of a day; expected 00:00 of the next")
            # Until the same or an earlier time of day: until the next day.
            end_s = span.to if span.to > span.from_ else span.to + _DAY_S
            spans.append({"days": sorted(span.days), "begin_s": span.from_, "end_s": end_s})
        found[entry.name] = {
            "timezone": entry.timezone,
            "spans": spans,
            "closed": sorted({day.isoformat() for day in entry.closed}),
        }
    return found


def _check_timezone(name: str, path: Path, notes: Notes) -> None:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        hint = closest(name, available_timezones())
        notes.add(path, f"{name!r} is no time zone; expected e.g. Europe/Berlin or UTC{hint}")
