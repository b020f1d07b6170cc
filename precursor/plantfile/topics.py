"""MQTT topics and topic filters (MQTT 5.0 §4.7; MQTT 3.1.1 says the same), and topics with names for their levels."""

import re
from collections import Counter

from ingest.routes import topic_filter

__all__ = ["covers", "filter_fault", "is_pattern", "level_names", "overlap", "pattern_fault", "topic_fault"]

_LONGEST_BYTES = 65_535
_NAMED_LEVEL = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _fault(text: str) -> str | None:
    if not text:
        return "is empty"
    if text.startswith("$"):
        return "begins with '$', which the broker keeps for itself"
    if "\0" in text:
        return "contains the character NUL"
    if "" in text.split("/"):
        return "has an empty level (a '/' at an end, or two in a row)"
    if len(text.encode()) > _LONGEST_BYTES:
        return f"is longer than {_LONGEST_BYTES} bytes"
    return None


def topic_fault(topic: str) -> str | None:
    """What is wrong with a topic that a device publishes on; None: nothing."""
    if "#" in topic or "+" in topic:
        return "contains a wildcard ('#' or '+'), which only a subscribe filter or a gateway's topic may"
    return _fault(topic)


def filter_fault(text: str) -> str | None:
    """What is wrong with a filter to subscribe to; None: nothing."""
    levels = text.split("/")
    if any("#" in level for level in levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
        return "has a '#' that is not the whole last level"
    if any("+" in level and level != "+" for level in levels):
        return "has a '+' that is not a whole level"
    return _fault(text)


def pattern_fault(topic: str) -> str | None:
    """What is wrong with the topic of a gateway, which may hold +, # and {names} of levels; None: nothing."""
    for level in topic.split("/"):
        if ("{" in level or "}" in level) and not _NAMED_LEVEL.fullmatch(level):
            return f"has a level {level!r}: braces go around a whole level, with a name of letters, digits and '_'"
    twice = [name for name, count in Counter(level_names(topic)).items() if count > 1]
    if twice:
        return f"names two levels {{{twice[0]}}}"
    return filter_fault(topic_filter(topic))


def level_names(topic: str) -> tuple[str, ...]:
    """The names of the levels of a gateway's topic.

    >>> level_names("works/{line}/+/{machine}/data")
    ('line', 'machine')
    """
    return tuple(match[1] for level in topic.split("/") if (match := _NAMED_LEVEL.fullmatch(level)))


def is_pattern(topic: str) -> bool:
    """Whether a gateway's topic stands for more than one."""
    return any(level in {"+", "#"} for level in topic_filter(topic).split("/"))


def covers(text: str, topic: str) -> bool:
    """Whether a subscriber to the filter gets all that is published on the topic, or on the topics of a filter.

    >>> covers("works/+/vib", "works/P-101/vib"), covers("works/#", "works"), covers("works/+", "works/#")
    (True, True, False)
    """
    # Every topic has a first level: `#` on its own is `+/#`.
    asked, given = text.split("/"), ("+/#" if topic == "#" else topic).split("/")
    if asked[-1] == "#":
        asked = asked[:-1]
        if given[-1] == "#" and len(given) <= len(asked):
            return False
        given = given[: len(asked)]
    return len(asked) == len(given) and all(
        a == g or (a == "+" and g != "#") for a, g in zip(asked, given, strict=True)
    )


def overlap(one: str, other: str) -> bool:
    """Whether there is a topic that two filters match.

    >>> overlap("works/+/data", "works/L1/#"), overlap("works/+/data", "works/+/events")
    (True, False)
    """
    left, right = one.split("/"), other.split("/")
    for mine, yours in zip(left, right, strict=False):
        if "#" in {mine, yours}:
            return True
        if mine != yours and "+" not in {mine, yours}:
            return False
    return (left[len(right) :] or right[len(left) :]) in ([], ["#"])
