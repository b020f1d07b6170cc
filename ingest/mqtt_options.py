"""`MqttOptions`: which broker, as whom, and how much may wait."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import structlog

from ingest.message import Message
from telemetry.errors import ConfigurationError

__all__ = ["MqttOptions", "Presence", "Publication", "check_filter"]

_log = structlog.get_logger(__name__)

_LONGEST_STRING = 65_535
"""bytes, of any text in MQTT"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A message of ours."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


class Presence(Protocol):
    """What a connection says about itself; one for each connection."""

    def will(self) -> Publication | None:
        """What the broker says when the connection is lost."""
        ...

    def birth(self) -> Publication | None:
        """What is said once the subscriptions are granted."""
        ...

    def death(self) -> Publication | None:
        """What is said before an orderly end."""
        ...

    def answer(self, message: Message) -> Publication | None:
        """What is said at once when a message arrives."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttOptions:
    """How to reach a broker and keep a session there.

    Raises:
        ConfigurationError: a value makes no sense.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    client_id: str
    """names the session that the broker keeps; two engines must not share it"""
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    """encrypt, and trust the system's authorities; implied by any of the files below"""
    ca_file: Path | None = None
    """PEM: trust these authorities instead"""
    cert_file: Path | None = None
    """PEM: our own certificate, where the broker asks for one"""
    key_file: Path | None = None
    keepalive_s: int = 60
    max_unacknowledged: int = 20_000
    """messages; with more waiting for their acknowledgement the socket is not read, so the broker queues"""
    max_unacknowledged_bytes: int = 64 * 1024 * 1024
    """the same for their payloads together"""
    persistent: bool = True
    """whether the broker keeps the session, and what arrives for it, while we are away"""
    session_expiry_s: int = 0xFFFFFFFF
    """MQTT 5: how long it keeps a persistent session; the default is for ever"""
    presence: Callable[[], Presence] | None = None
    """makes what each connection says about itself"""
    connect_timeout_s: float = 5.0
    retry_min_s: float = 0.2
    """pause before the first attempt to reconnect; doubles from one to the next"""
    retry_max_s: float = 30.0

    def __post_init__(self) -> None:
        problems = {
            "the broker's host is empty": not self.host,
            f"the broker's port {self.port} is not in 1..65535": not 0 < self.port <= 65_535,
            "the client id is empty: a session that outlives the connection needs a name": not self.client_id,
            f"MQTT {self.protocol} is unknown: choose 3.1.1 or 5": self.protocol not in ("3.1.1", "5"),
            "a password needs a user name": self.password is not None and self.username is None,
            "a key file needs a certificate file": self.key_file is not None and self.cert_file is None,
            f"keepalive of {self.keepalive_s} s is not in 1..65535": not 0 < self.keepalive_s <= 65_535,
            "at least one message must be allowed to wait": min(self.max_unacknowledged, self.max_unacknowledged_bytes)
            < 1,
            "the pauses between attempts to reconnect must be positive and in order": not (
                0 < self.retry_min_s <= self.retry_max_s
            ),
        }
        for problem, present in problems.items():
            if present:
                raise ConfigurationError(problem)

    def tls_context(self) -> ssl.SSLContext | None:
        """What to encrypt with, or None for plain TCP.

        Raises:
            ConfigurationError: a file is missing or is not PEM.
        """
        if not (self.tls or self.ca_file or self.cert_file):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except OSError as error:
            files = [str(path) for path in (self.ca_file, self.cert_file, self.key_file) if path]
            raise ConfigurationError(f"cannot load the TLS files {', '.join(files)}: {error}") from error
        key = self.key_file or self.cert_file
        if key is not None and key.stat().st_mode & 0o077:
            _log.warning("key_file_open_to_others", file=str(key), advice=f"chmod 600 {key}")
        return context


def check_filter(topic_filter: str) -> None:
    """Whether a broker may be asked to subscribe to this (MQTT 5, section 4.7).

    Raises:
        ConfigurationError: it is empty or too long, or a wildcard stands where it may not.
    """
    levels = topic_filter.split("/")
    problems = {
        "is empty": not topic_filter,
        "is longer than 65535 bytes": len(topic_filter.encode("utf-8", "replace")) > _LONGEST_STRING,
        "holds a NUL character": "\0" in topic_filter,
        "has a # that is not its whole last level": any("#" in level for level in levels[:-1])
        or ("#" in levels[-1] and levels[-1] != "#"),
        "has a + that is not a whole level": any("+" in level and level != "+" for level in levels),
    }
    for problem, present in problems.items():
        if present:
            raise ConfigurationError(f"the MQTT topic filter {topic_filter[:200]!r} {problem}")
