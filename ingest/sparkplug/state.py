"""The host's own STATE: how it tells edge nodes whether it is there, and what its connection must be like."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from ingest.sparkplug.topics import NAMESPACE, state_topic
from telemetry.errors import ConfigurationError

__all__ = ["HostIdentity", "HostMode", "HostSession", "StateMessage", "Subscription", "read_state"]

_LONGEST_ID: Final = 200


class HostMode(StrEnum):
    """What a host application takes upon itself."""

    SECONDARY_PASSIVE = "secondary_passive"
    """listens, and sends nothing at all"""
    SECONDARY_ACTIVE = "secondary_active"
    """sends commands and asks for births; edge nodes do not wait for it"""
    PRIMARY = "primary"
    """says on STATE that it is there; edge nodes that wait for it hold their data back while it is not"""

    @property
    def sends_commands(self) -> bool:
        """Whether anything may be sent to edge nodes."""
        return self is not HostMode.SECONDARY_PASSIVE

    @property
    def sends_state(self) -> bool:
        """Whether it has a STATE."""
        return self is HostMode.PRIMARY


@dataclass(frozen=True, slots=True, kw_only=True)
class StateMessage:
    """A STATE to publish, or to register as the connection's Will."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A topic filter to listen on."""

    filter: str
    qos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostIdentity:
    """Who the host application is. Its id must be no other host's.

    Raises:
        ConfigurationError: the id cannot stand in a topic.
    """

    host_id: str
    mode: HostMode = HostMode.SECONDARY_PASSIVE
    groups: tuple[str, ...] = ()
    """groups to listen to; empty: all"""

    def __post_init__(self) -> None:
        for what, name in (("host id", self.host_id), *(("group", group) for group in self.groups)):
            if not 0 < len(name) <= _LONGEST_ID or re.search(r"[+#/\x00-\x1f\x7f-\x9f\ud800-\udfff]", name):
                raise ConfigurationError(
                    f"the Sparkplug {what} {name[:40]!r} cannot stand in a topic: 1 to {_LONGEST_ID} characters without"
                    " +, #, / and control characters are needed"
                )

    @property
    def state_topic(self) -> str:
        """Where it says whether it is there."""
        return state_topic(self.host_id)

    def subscriptions(self) -> tuple[Subscription, ...]:
        """What to listen on, at once after CONNACK and before anything is published.

        At QoS 1, so that the Will of an edge node, which is sent at QoS 1, arrives as it was sent.
        """
        spaces = tuple(Subscription(filter=f"{NAMESPACE}/{group}/#", qos=1) for group in self.groups or ("+",))
        return (Subscription(filter=self.state_topic, qos=1), *spaces) if self.mode.sends_state else spaces

    def session(self, now_us: int) -> "HostSession":
        """A connection that is about to be made, at the wall-clock time `now_us` (µs since 1970-01-01 UTC)."""
        return HostSession(identity=self, timestamp_ms=now_us // 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSession:
    """One connection to one broker: make a new one for each CONNECT, for each broker its own.

    The order is: CONNECT with `will`, CONNACK, subscribe, `birth`; and `death` before it goes.
    """

    identity: HostIdentity
    timestamp_ms: int
    """of the CONNECT; the birth has the same, so that a late Will of an older connection can be told"""
    clean_start: bool = True
    """MQTT 5: Clean Start; MQTT 3.1.1: Clean Session"""
    session_expiry_s: int = 0
    """MQTT 5"""

    def will(self) -> StateMessage | None:
        """What the broker says for us when the connection is lost. None: this mode has no STATE."""
        return self._state(online=False, timestamp_ms=self.timestamp_ms)

    def birth(self) -> StateMessage | None:
        """To publish as the first message, once the subscriptions are acknowledged."""
        return self._state(online=True, timestamp_ms=self.timestamp_ms)

    def death(self, now_us: int) -> StateMessage | None:
        """To publish before the connection is ended on purpose, with a DISCONNECT packet or without."""
        return self._state(online=False, timestamp_ms=now_us // 1000)

    def answer(self, topic: str, payload: bytes) -> StateMessage | None:
        """What to publish at once when a message arrives: the birth again, where it says that we are not there.

        An older connection's Will, or another process under the same id. None: nothing has to be said.
        """
        if topic != self.identity.state_topic or read_state(payload) is not False:
            return None
        return self.birth()

    def _state(self, *, online: bool, timestamp_ms: int) -> StateMessage | None:
        if not self.identity.mode.sends_state:
            return None
        payload = msgspec.json.encode({"online": online, "timestamp": timestamp_ms})
        return StateMessage(topic=self.identity.state_topic, payload=payload)


class _State(msgspec.Struct):
    online: bool


def read_state(payload: bytes) -> bool | None:
    """Whether a STATE says online; None: it is no STATE of Sparkplug 3."""
    try:
        return msgspec.json.decode(payload, type=_State).online
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
