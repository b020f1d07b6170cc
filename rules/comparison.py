"""Two sets of rules over the same readings: which alarms only one of them gives.

Alarms are matched by what they are on (a sensor, or an asset) and by time, not by the rule's name: a rule that was
renamed, or split in two, is the same to whoever is told. An alarm is in both if one of the other set stood on the same
subject at some moment of it, or touched it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from rules.occurrences import Occurrence, spans_of, union

__all__ = ["Difference", "compare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Occurrences by where they are."""

    only_new: tuple[Occurrence, ...]
    only_old: tuple[Occurrence, ...]
    new_in_both: tuple[Occurrence, ...]
    """those of the new rules that the old ones have too"""
    old_in_both: tuple[Occurrence, ...]


def compare(new: Sequence[Occurrence], old: Sequence[Occurrence], end: datetime) -> Difference:
    """Match alarms that people are told of; those that still stand last until `end`."""
    new_told = [each for each in new if each.told_at is not None]
    old_told = [each for each in old if each.told_at is not None]
    new_matched, old_matched = _matched(new_told, old_told, end), _matched(old_told, new_told, end)
    return Difference(
        only_new=tuple(each for each, matched in zip(new_told, new_matched, strict=True) if not matched),
        only_old=tuple(each for each, matched in zip(old_told, old_matched, strict=True) if not matched),
        new_in_both=tuple(each for each, matched in zip(new_told, new_matched, strict=True) if matched),
        old_in_both=tuple(each for each, matched in zip(old_told, old_matched, strict=True) if matched),
    )


def _matched(these: Sequence[Occurrence], others: Sequence[Occurrence], end: datetime) -> list[bool]:
    by_subject: dict[str, list[Occurrence]] = {}
    for each in others:
        by_subject.setdefault(each.rule.sensor_name, []).append(each)
    covered = {subject: union(spans_of(found, end)) for subject, found in by_subject.items()}
    matched = []
    for each, (begin, until) in zip(these, spans_of(these, end).tolist(), strict=True):
        spans = covered.get(each.rule.sensor_name)
        if spans is None:
            matched.append(False)
            continue
        place = int(np.searchsorted(spans[:, 1], begin))
        matched.append(place < len(spans) and int(spans[place, 0]) <= until)
    return matched
