"""Topics of the Sparkplug B namespace, taken apart."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from telemetry.errors import PrecursorError

__all__ = ["NAMESPACE", "MessageType", "Topic", "TopicError", "parse_topic", "state_topic"]

NAMESPACE: Final = "spBv1.0"
_LONGEST: Final = 700
"""bytes of a topic; its path is a key in the database, which keys of any length do not fit"""


class MessageType(StrEnum):
    """What a message is, as its topic says."""

    NBIRTH = "NBIRTH"
    NDEATH = "NDEATH"
    NDATA = "NDATA"
    NCMD = "NCMD"
    DBIRTH = "DBIRTH"
    DDEATH = "DDEATH"
    DDATA = "DDATA"
    DCMD = "DCMD"
    STATE = "STATE"

    @property
    def of_device(self) -> bool:
        """Whether it speaks of a device of an edge node."""
        return self.value[0] == "D"


class TopicError(PrecursorError, ValueError):
    """A topic is not one of the Sparkplug B namespace; the message says why."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic, taken apart."""

    type: MessageType
    group: str = ""
    """empty for STATE"""
    node: str = ""
    device: str | None = None
    host: str | None = None
    """STATE: whose"""

    @property
    def node_path(self) -> str:
        """`group/node`, the edge node's unique name."""
        return f"{self.group}/{self.node}"

    @property
    def path(self) -> str:
        """`group/node` or `group/node/device`."""
        return self.node_path if self.device is None else f"{self.node_path}/{self.device}"

    def __str__(self) -> str:
        if self.type is MessageType.STATE:
            return f"{NAMESPACE}/STATE/{self.host}"
        tail = "" if self.device is None else f"/{self.device}"
        return f"{NAMESPACE}/{self.group}/{self.type}/{self.node}{tail}"


def parse_topic(topic: str) -> Topic:
    """Take a topic apart.

    >>> parse_topic("spBv1.0/plant/DDATA/line-1/pump-7").path
    'plant/line-1/pump-7'

    Raises:
        TopicError: another namespace, an unknown kind of message, a level that is missing, empty or too much.
    """
    levels = topic.split("/")
    if levels[0] != NAMESPACE:
        raise TopicError(f"{topic[:200]!r} is not in the namespace {NAMESPACE}")
    if not all(levels) or any(sign in topic for sign in "+#\0"):
        raise TopicError(f"{topic[:200]!r} has an empty level or a reserved character")
    size = len(topic.encode(errors="surrogatepass"))
    if size > _LONGEST:
        raise TopicError(f"the topic has {size} bytes, at most {_LONGEST} are taken")
    if len(levels) == 3 and levels[1] == MessageType.STATE:
        return Topic(MessageType.STATE, host=levels[2])
    try:
        kind = MessageType(levels[2])
    except (IndexError, ValueError):
        raise TopicError(f"{topic[:200]!r} names no kind of message") from None
    if kind is MessageType.STATE or len(levels) != (5 if kind.of_device else 4):
        raise TopicError(f"{topic[:200]!r} does not have the levels of a topic for {kind}")
    return Topic(kind, levels[1], levels[3], levels[4] if kind.of_device else None)


def state_topic(host_id: str) -> str:
    """Where a host application says whether it is online."""
    return f"{NAMESPACE}/STATE/{host_id}"
