"""MQTT topics and topic filters (MQTT 5.0 §4.7; MQTT 3.1.1 says the same)."""

__all__ = ["covers", "filter_fault", "topic_fault"]

_LONGEST_BYTES = 65_535


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
        return "contains a wildcard ('#' or '+'), which only a subscribe filter may"
    return _fault(topic)


def filter_fault(topic_filter: str) -> str | None:
    """What is wrong with a filter to subscribe to; None: nothing."""
    levels = topic_filter.split("/")
    if any("#" in level for level in levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
        return "has a '#' that is not the whole last level"
    if any("+" in level and level != "+" for level in levels):
        return "has a '+' that is not a whole level"
    return _fault(topic_filter)


def covers(topic_filter: str, topic: str) -> bool:
    """Whether a subscriber to the filter gets what is published on the topic.

    >>> covers("works/+/vib", "works/P-101/vib"), covers("works/#", "works"), covers("works/+", "works")
    (True, True, False)
    """
    asked, given = topic_filter.split("/"), topic.split("/")
    if asked[-1] == "#":
        asked = asked[:-1]
        given = given[: len(asked)]
    return len(asked) == len(given) and all(a in {"+", g} for a, g in zip(asked, given, strict=True))
