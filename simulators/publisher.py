"""Publishes messages through MQTT at QoS 1 and counts what the broker has acknowledged.

PublishError
├── BrokerUnavailableError (transient)       nobody answers, for longer than our patience
└── BrokerRefusedError (configuration)       the broker answers, and does not want us
"""

import queue
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from simulators.gateway import Message
from simulators.pace import Pace
from telemetry.errors import ConfigurationError, PrecursorError, TransientError

__all__ = ["BrokerRefusedError", "BrokerUnavailableError", "Progress", "PublishError", "Published", "publish"]

_KEEPALIVE_S = 30
_POLL_S = 0.1
"""how soon a stop request is noticed while there is nothing else to do"""
_STOP_GRACE_S = 5.0
"""how long acknowledgements are waited for after a stop request"""
_PROGRESS_EVERY_S = 0.2
_ECHO_S = 10.0
"""how long the broker may take to pass on what it has acknowledged"""

_log = structlog.get_logger(__name__)


class PublishError(PrecursorError):
    """The messages did not all get through."""


class BrokerUnavailableError(PublishError, TransientError):
    """The broker does not answer, or no longer acknowledges."""


class BrokerRefusedError(PublishError, ConfigurationError):
    """The broker does not let us in: wrong user, password or client id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far publishing has come."""

    messages: int
    """acknowledged by the broker"""
    readings: int
    """in those messages"""
    at: datetime | None
    """event time of the message sent last"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What came of it."""

    messages: int
    """acknowledged by the broker"""
    readings: int
    """in those messages"""
    unacknowledged: int
    """messages sent whose fate is unknown; only after a stop request while the broker was away"""
    wall_s: float


def publish(
    messages: Iterable[Message],
    *,
    host: str = "127.0.0.1",
    port: int = 1883,
    client_id: str = "",
    username: str | None = None,
    password: str | None = None,
    tls: ssl.SSLContext | None = None,
    speed: float | None = None,
    rate: float | None = None,
    window: int = 200,
    patience_s: float = 60.0,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    echo_topic: str | None = None,
) -> Published:
    """Sends all messages and returns once the broker has acknowledged each. Blocks; made for a thread.

    A broker that goes away is waited for, and what it had not acknowledged is sent again, marked as a
    duplicate: at least once, as QoS 1 says.

    Args:
        messages: in the order to send; taken one by one, so an endless iterator is fine.
        host, port, username, password, tls: the broker.
        client_id: empty: the broker makes one up.
        speed: seconds of event time per second; None or 0: as fast as possible.
        rate: at most so many messages a second; None or 0: no limit.
        window: at most so many messages sent and not yet acknowledged, 1 to 65,000.
        patience_s: how long the broker may be away, or acknowledge nothing, before this gives up.
        progress: called in this thread, a few times a second and once at the end.
        stop: set it from another thread to end early; what was sent is waited for, some seconds at most.
        echo_topic: stay connected until a last message on this topic has come back to us, some seconds at most.
            For a broker (amqtt) that acknowledges before it passes on, and forgets the rest when we leave.

    Raises:
        BrokerUnavailableError: patience ran out.
        BrokerRefusedError: the broker refused the connection for a reason that will not pass.
        ConfigurationError: speed, rate or window make no sense.
    """
    if not 1 <= window <= 65_000:
        raise ConfigurationError(f"the window is 1 to 65000 messages (MQTT packet ids end at 65535), not {window}")
    begun_s = time.monotonic()
    pace = Pace(speed=speed, rate=rate)
    with _Connection(
        host,
        port,
        client_id=client_id,
        username=username,
        password=password,
        tls=tls,
        patience_s=patience_s,
        echo_topic=echo_topic,
    ) as link:
        outbox = _Outbox(link, window=window, stop=stop or threading.Event(), progress=progress)
        outbox.wait_for(lambda: link.up)
        for message in messages:
            due_s = pace.due(message.at, time.monotonic())
            if not (outbox.wait_until(due_s) and outbox.wait_for(outbox.has_room)):
                break
            outbox.send(message)
        outbox.drain()
        if echo_topic is not None and not outbox.wait_for_echo():
            _log.warning(
                "broker_did_not_echo", broker=link.address, advice="the last messages may not have got through"
            )
        return Published(
            messages=link.messages,
            readings=link.readings,
            unacknowledged=len(link.sent),
            wall_s=time.monotonic() - begun_s,
        )


class _News(Enum):
    """What the network thread tells the publishing thread."""

    UP = auto()
    DOWN = auto()
    REFUSED = auto()
    ACKNOWLEDGED = auto()
    ECHO = auto()


class _Connection:
    """A paho client whose callbacks only put news into a queue.

    All counting happens in the publishing thread, after `publish` has returned the packet id: no locks of
    ours, which could deadlock with paho's (it holds its own while it calls back).
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        client_id: str,
        username: str | None,
        password: str | None,
        tls: ssl.SSLContext | None,
        patience_s: float,
        echo_topic: str | None = None,
    ) -> None:
        self.address = f"{host}:{port}"
        self.echoed = False
        self._echo_topic = echo_topic
        self.up = False
        self.sent: dict[int, int] = {}
        """readings by packet id of the messages not yet acknowledged"""
        self.messages = 0
        self.readings = 0
        self._patience_s = patience_s
        self._alive_s = time.monotonic()
        self._ever_up = False
        self._news: queue.SimpleQueue[tuple[_News, Any]] = queue.SimpleQueue()
        # 3.1.1: a v5 broker may announce a Receive Maximum, which paho does not keep to when it publishes.
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTv311, reconnect_on_failure=True
        )
        self._client.max_inflight_messages_set(0)  # the window is ours
        self._client.reconnect_delay_set(min_delay=1, max_delay=5)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        if username is not None:
            self._client.username_pw_set(username, password)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.connect_async(host, port, keepalive=_KEEPALIVE_S)

    def __enter__(self) -> "_Connection":
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, message: Message) -> None:
        """Hands a message to paho, which keeps it until the broker has acknowledged it."""
        info = self._client.publish(message.topic, message.payload, qos=1)
        # NO_CONN is fine: paho sends it after the reconnect. Anything else means that paho did not take it.
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            raise PublishError(f"the MQTT client did not take a message for {message.topic}: {info.rc!r}")
        if not self.sent:
            self._alive_s = time.monotonic()
        self.sent[info.mid] = message.readings

    def ask_for_echo(self) -> None:
        """Sends a message to ourselves: once it is back, the broker has passed on all that we sent before it."""
        if self._echo_topic is not None:
            self._client.publish(self._echo_topic, b"echo", qos=0)

    def listen(self, timeout_s: float) -> None:
        """Takes in all news there are; waits for the first at most `timeout_s` seconds.

        Raises:
            BrokerUnavailableError, BrokerRefusedError: see `publish`.
        """
        try:
            news, detail = self._news.get(block=timeout_s > 0, timeout=timeout_s if timeout_s > 0 else None)
            while True:
                self._take(news, detail)
                news, detail = self._news.get_nowait()
        except queue.Empty:
            pass
        waited_s = time.monotonic() - self._alive_s
        if (self.sent or not self.up) and waited_s > self._patience_s:
            what = f"{len(self.sent)} messages not acknowledged" if self.up else "no connection"
            raise BrokerUnavailableError(f"MQTT broker {self.address}: {what} for {waited_s:.0f} s; is it running?")

    def _take(self, news: _News, detail: Any) -> None:
        if news is _News.ACKNOWLEDGED:
            self._alive_s = time.monotonic()
            if detail in self.sent:  # and not the echo
                self.messages += 1
                self.readings += self.sent.pop(detail)
        elif news is _News.ECHO:
            self.echoed = True
        elif news is _News.UP:
            if self._ever_up:
                _log.info("broker_back", broker=self.address, to_send_again=len(self.sent))
            self.up = self._ever_up = True
            self._alive_s = time.monotonic()
        elif news is _News.REFUSED:
            raise BrokerRefusedError(f"MQTT broker {self.address} refused the connection: {detail}")
        elif self.up:
            _log.warning("broker_lost", broker=self.address, reason=detail, not_acknowledged=len(self.sent))
            self.up = False
            self._alive_s = time.monotonic()

    def _on_connect(
        self,
        client: Client,
        _userdata: Any,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if not reason.is_failure:
            if self._echo_topic is not None:
                client.subscribe(self._echo_topic, qos=0)
            self._news.put((_News.UP, None))
        elif str(reason) != "Server unavailable":  # that one may pass: paho tries again
            self._news.put((_News.REFUSED, str(reason)))

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: Any,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._news.put((_News.DOWN, str(reason)))

    def _on_publish(
        self, _client: Client, _userdata: Any, mid: int, _reason: ReasonCode, _properties: Properties
    ) -> None:
        self._news.put((_News.ACKNOWLEDGED, mid))

    def _on_message(self, _client: Client, _userdata: Any, _message: MQTTMessage) -> None:
        self._news.put((_News.ECHO, None))


class _Outbox:
    """The publishing thread's side: waits for time, room and acknowledgements, and reports progress."""

    def __init__(
        self,
        link: _Connection,
        *,
        window: int,
        stop: threading.Event,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._link = link
        self._window = window
        self._stop = stop
        self._progress = progress
        self._at: datetime | None = None
        self._reported_s = time.monotonic()

    def has_room(self) -> bool:
        """Whether another message may be sent now."""
        return self._link.up and len(self._link.sent) < self._window

    def send(self, message: Message) -> None:
        """Sends, and remembers how far in event time we are."""
        self._link.send(message)
        self._at = message.at

    def wait_until(self, due_s: float) -> bool:
        """Waits for a moment of the monotonic clock. False: stop was asked for."""
        self._listen(0)
        while not self._stop.is_set():
            left_s = due_s - time.monotonic()
            if left_s <= 0:
                return True
            self._listen(min(left_s, _POLL_S))
        return False

    def wait_for(self, condition: Callable[[], bool]) -> bool:
        """Waits until it is true. False: stop was asked for."""
        while not self._stop.is_set():
            if condition():
                return True
            self._listen(_POLL_S)
        return False

    def drain(self) -> None:
        """Waits for all acknowledgements; after a stop request for a few seconds only."""
        self.wait_for(lambda: not self._link.sent)
        give_up_s = time.monotonic() + _STOP_GRACE_S
        while self._link.sent and time.monotonic() < give_up_s:
            self._listen(_POLL_S)
        self._report()

    def wait_for_echo(self) -> bool:
        """Waits until our message to ourselves is back, some seconds at most. False: it is not."""
        give_up_s = time.monotonic() + _ECHO_S
        self._link.ask_for_echo()
        while not self._link.echoed and time.monotonic() < give_up_s:
            self._listen(_POLL_S)
        return self._link.echoed

    def _listen(self, timeout_s: float) -> None:
        self._link.listen(timeout_s)
        if time.monotonic() - self._reported_s >= _PROGRESS_EVERY_S:
            self._report()

    def _report(self) -> None:
        self._reported_s = time.monotonic()
        if self._progress is not None:
            self._progress(Progress(messages=self._link.messages, readings=self._link.readings, at=self._at))
