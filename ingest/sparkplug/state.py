"""The host's own STATE: how it tells edge nodes whether it is there, and what its connection must be like."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from ingest.sparkplug.topics import state_topic
from telemetry.errors import ConfigurationError

__all__ = ["HostIdentity", "HostMode", "HostSession", "StateMessage", "read_state"]

_LONGEST_ID: Final = 200
_RESERVED: Final = re.compile(r"[+#/\x00-\x1f\x7f-\x9f\ud800-\udfff]")


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
class HostIdentity:
    """Who the host application is. Its id must be no other host's.

    Raises:
        ConfigurationError: the id cannot stand in a topic.
    """

    host_id: str
    mode: HostMode = HostMode.SECONDARY_PASSIVE

    def __post_init__(self) -> None:
        if not 0 < len(self.host_id) <= _LONGEST_ID or _RESERVED.search(self.host_id):
            raise ConfigurationError(
                f"the Sparkplug host id {self.host_id[:40]!r} cannot stand in a topic: 1 to {_LONGEST_ID} characters"
                " without +, #, / and control characters are needed"
            )

    @property
    def state_topic(self) -> str:
        """Where it says whether it is there."""
        return state_topic(self.host_id)

    def session(self, now_us: int) -> "HostSession":
        """A connection that is about to be made, at the wall-clock time `now_us` (µs since 1970-01-01 UTC)."""
        return HostSession(identity=self, timestamp_ms=now_us // 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSession:
    """One connection to one broker: make a new one for each CONNECT, for each broker its own.

    It must be a clean one (MQTT 5: Clean Start, and a Session Expiry Interval of 0). The order is: CONNECT with `will`,
    CONNACK, subscribe, `birth`; and `death` before it goes.
    """

    identity: HostIdentity
    timestamp_ms: int
    """of the CONNECT; the birth has the same, so that a late Will of an older connection can be told"""

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
