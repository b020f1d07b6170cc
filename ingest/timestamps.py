"""Timestamps as devices write them, to whole microseconds since 1970-01-01 UTC."""

import math
import re
from datetime import UTC, datetime

import msgspec

from telemetry.batch import EPOCH
from telemetry.errors import PrecursorError

__all__ = ["TimestampError", "micros_of", "micros_of_datetime", "micros_of_epoch"]

_SECONDS_BELOW = 10**11
_MILLISECONDS_BELOW = 10**14
_MICROSECONDS_BELOW = 10**17
_INT64_MAX = 2**63 - 1
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{0,30})?([eE][+-]?[0-9]{1,3})?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")


class TimestampError(PrecursorError, ValueError):
    """What a device sent as its time is none."""


def micros_of(stamp: object) -> int:
    """Microseconds since 1970-01-01 UTC of a timestamp in any form that a device may send.

    Accepted: ISO 8601 text with any offset (none means UTC) and epoch numbers, also as text. The unit of a
    number follows from its size: below 1e11 seconds (until the year 5138), below 1e14 milliseconds, below
    1e17 microseconds, else nanoseconds. Integers stay exact (nanoseconds are cut to microseconds), floats are
    rounded to microseconds, as are fractions of a second in RFC 3339 text.

    >>> micros_of(1_700_000_000) == micros_of("1700000000000") == micros_of("2023-11-14T23:13:20+01:00")
    True

    Raises:
        TimestampError: anything else: a boolean, a list, NaN, a moment that int64 microseconds cannot hold.
    """
    if isinstance(stamp, datetime):
        return micros_of_datetime(stamp)
    if isinstance(stamp, bool):
        raise TimestampError("a timestamp is ISO 8601 text or an epoch number, not true or false")
    if isinstance(stamp, (int, float)):
        return micros_of_epoch(stamp)
    if isinstance(stamp, str):
        return _of_text(stamp.strip())
    raise TimestampError(f"a timestamp is ISO 8601 text or an epoch number, not {_kind(stamp)}")


def micros_of_datetime(moment: datetime) -> int:
    """The same of a datetime; a naive one is taken as UTC. Exact: no detour through float."""
    since = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - EPOCH
    return since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds


def micros_of_epoch(number: float) -> int:
    """The same of an epoch number in s, ms, us or ns, told apart by size.

    Raises:
        TimestampError: not finite, or outside int64 microseconds.
    """
    if not isinstance(number, int):
        if not math.isfinite(number):
            raise TimestampError(f"the timestamp {number} is not a finite number")
        size = abs(number)
        if size < _SECONDS_BELOW:
            micros = round(number * 1_000_000)
        elif size < _MILLISECONDS_BELOW:
            micros = round(number * 1_000)
        elif size < _MICROSECONDS_BELOW:
            micros = round(number)
        else:
            micros = round(number / 1_000)
    else:
        size = abs(number)
        if size < _SECONDS_BELOW:
            micros = number * 1_000_000
        elif size < _MILLISECONDS_BELOW:
            micros = number * 1_000
        elif size < _MICROSECONDS_BELOW:
            micros = number
        else:
            micros = number // 1_000
    if abs(micros) > _INT64_MAX:
        raise TimestampError("the timestamp lies outside what 64 bits of microseconds hold")
    return micros


def _of_text(text: str) -> int:
    if _INTEGER.fullmatch(text):
        return micros_of_epoch(int(text))
    if _NUMBER.fullmatch(text):
        return micros_of_epoch(float(text))
    try:
        # First as the hot path reads it, so that both round a seventh digit of the second alike.
        return micros_of_datetime(msgspec.convert(text, datetime))
    except ValueError:
        pass
    try:
        return micros_of_datetime(datetime.fromisoformat(text))
    except ValueError as error:
        raise TimestampError(f"{text[:40]!r} is neither ISO 8601 nor an epoch number") from error


def _kind(value: object) -> str:
    return {type(None): "null", list: "an array", dict: "an object"}.get(type(value), type(value).__name__)
