"""Single values of a plant file as people write them: names, durations, amounts with a unit, days, hours."""

import math
import re
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from precursor.plantfile.amounts import Amount as AmountValue

__all__ = [
    "NAME_RULE", "PERIOD", "Amount", "Clock", "Day", "Duration", "Entry", "Limit", "Name", "Range", "Seconds",
    "Weekdays",
]  # fmt: skip

NAME_RULE = "1 to 64 letters (A-Z), digits, '_' or '-'"
PERIOD = 'seconds, or text such as "60 s", "5 min", "2 h", "7 d"'

_SECONDS = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0,
    "d": 86_400.0, "day": 86_400.0, "w": 604_800.0, "week": 604_800.0,
}  # fmt: skip
_DURATION = re.compile(r"\s*([-+]?[0-9]+(?:\.[0-9]+)?)\s*([a-z]+?)s?\s*")
_LONGEST_S = 10 * 366 * 86_400.0
_AMOUNT = re.compile(
    r"\s*([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)(?:\s+(\S.*?)|([^\W\d].*?|%|°.*?))?\s*"
)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})")


def _is_number(found: object) -> bool:
    return isinstance(found, (int, float)) and not isinstance(found, bool) and math.isfinite(found)


def _seconds(found: Any) -> float:
    if _is_number(found):
        seconds = float(found)
    else:
        match = _DURATION.fullmatch(found) if isinstance(found, str) else None
        unit = match and (_SECONDS.get(match[2]) or _SECONDS.get(match[2] + "s"))
        if not match or not unit:
            raise PydanticCustomError("duration", "is no duration")
        seconds = float(match[1]) * unit
    if seconds < 0:
        raise PydanticCustomError("duration", "is negative")
    if seconds > _LONGEST_S:
        raise PydanticCustomError("duration", "is longer than ten years")
    return seconds


def _amount(found: Any) -> AmountValue:
    """A number and its unit; None: the unit of the sensor."""
    if _is_number(found):
        return float(found), None
    match = _AMOUNT.fullmatch(found) if isinstance(found, str) else None
    if not match or not math.isfinite(float(match[1])):
        raise PydanticCustomError("amount", "is no number, with or without a unit")
    return float(match[1]), match[2] or match[3]


def _limit(found: Any) -> AmountValue | None:
    return None if found is None else _amount(found)


def _range(found: Any) -> tuple[AmountValue | None, ...]:
    """Both ends of a range, None where it has none."""
    if not isinstance(found, list) or len(found) != 2 or found == [None, None]:
        raise PydanticCustomError("range", "is no range")
    return tuple(_limit(end) for end in found)


def _name(found: Any) -> Any:
    if isinstance(found, str) and not _NAME.fullmatch(found):
        raise PydanticCustomError("name", "is no name")
    return found


def _weekdays(found: Any) -> frozenset[int]:
    """Monday is 0; `mon-fri, sun`, and `sat-mon` goes over the weekend."""
    days = set[int]()
    for part in found.lower().split(",") if isinstance(found, str) else [""]:
        ends = [end.strip() for end in part.split("-")]
        if len(ends) > 2 or any(end not in _DAYS for end in ends):
            raise PydanticCustomError("days", "are no weekdays")
        first, last = _DAYS.index(ends[0]), _DAYS.index(ends[-1])
        days.update((first + step) % 7 for step in range((last - first) % 7 + 1))
    return frozenset(days)


def _clock(found: Any) -> int:
    """Seconds after midnight."""
    match = _CLOCK.fullmatch(found) if isinstance(found, str) else None
    if not match or int(match[2]) > 59 or int(match[1]) * 60 + int(match[2]) > 1440:
        raise PydanticCustomError("clock", "is no time of day")
    return int(match[1]) * 3600 + int(match[2]) * 60


def _day(found: Any) -> date:
    try:
        return date.fromisoformat(found)
    except (TypeError, ValueError):
        raise PydanticCustomError("date", "is no date") from None


# Read by the validators before pydantic sees them, so that a file may say "60 s" or 60.
Name = Annotated[str, BeforeValidator(_name)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Amount = Annotated[AmountValue, BeforeValidator(_amount)]
Limit = Annotated[AmountValue | None, BeforeValidator(_limit)]
Range = Annotated[tuple[AmountValue | None, AmountValue | None] | None, BeforeValidator(_range)]
Duration = Annotated[float | None, BeforeValidator(_seconds)]
Weekdays = Annotated[frozenset[int], BeforeValidator(_weekdays)]
Clock = Annotated[int, BeforeValidator(_clock)]
Day = Annotated[date, BeforeValidator(_day)]


class Entry(BaseModel):
    """A mapping with fixed keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
