"""`MqttSource`: messages from a broker, acknowledged only when the caller says that they are safe.

A thread of its own serves the network (paho-mqtt), so that a busy event loop never costs the session. QoS 1
and a persistent session: what is not acknowledged is delivered again, to this process or to the next one with
the same client id. Whoever reads must take duplicates for granted and never drop on the DUP flag.
"""

import asyncio
import contextlib
import itertools
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence

import structlog
from paho.mqtt.reasoncodes import ReasonCode

from ingest.intake import Intake
from ingest.message import Message
from ingest.mqtt_connection import Connection, Desk
from ingest.mqtt_options import MqttOptions, Publication, check_filter

__all__ = ["MqttOptions", "MqttSource"]

_STEADY_S = 10.0
"""a connection that lasted so long was a good one: the next attempt comes soon"""
_SHORT_S = 5.0
_SHORT_IN_A_ROW = 3
"""so many connections lost within `_SHORT_S` look like two engines on one client id"""

_ADVICE = {
    "Bad user name or password": "set the user name and password that the broker knows",
    "Not authorized": "allow this user and client id at the broker, or set a user name and password",
    "Client identifier not valid": "choose a client id that the broker takes",
    "Unsupported protocol version": "set the other MQTT version (3.1.1 or 5)",
    "Server unavailable": "nothing here; the broker says that it is not ready",
}

_TLS_ADVICE = {
    "certificate has expired": "renew the broker's certificate",
    "Hostname mismatch": "set PRECURSOR_MQTT__HOST to a name in the broker's certificate, or issue one for this name",
    "IP address mismatch": "set PRECURSOR_MQTT__HOST to a name in the broker's certificate, or issue one for this one",
    "certificate verify failed": "name the authority that issued the broker's certificate: PRECURSOR_MQTT__CA_FILE",
    "certificate required": "the broker wants a client certificate: PRECURSOR_MQTT__CERT_FILE and __KEY_FILE",
    "unknown ca": "the broker does not know the authority of our certificate; see its cafile",
}
"""what the TLS library says, in the order of looking"""

# Of all sources together: a message belongs to one connection, whichever source it came through.
_GENERATIONS = itertools.count(1)

_log = structlog.get_logger(__name__)


class MqttSource:
    """A persistent session at a broker. All methods belong to the event loop that called `start`.

    Connects and reconnects for ever, at growing intervals; says once when the connection is lost and once
    when it is back. Whoever makes a source stops it, started or not.
    """

    def __init__(self, options: MqttOptions, arrived: asyncio.Event | None = None) -> None:
        """`arrived`: shared with the other sessions of an `Intake`.

        Raises:
            ConfigurationError: the TLS files cannot be loaded.
        """
        self._options = options
        self._tls = options.tls_context()
        woken, self._waker = socket.socketpair()
        woken.setblocking(False)
        self._waker.setblocking(False)
        self._desk = Desk(woken=woken)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrived = arrived or asyncio.Event()
        self._intake = Intake((self,))
        self._ready = asyncio.Event()
        self._failure: BaseException | None = None
        self._connection: Connection | None = None
        self._connections = 0
        self._down_since: float | None = None
        self._said: set[str] = set()
        self._short_lived = 0
        self._said_taken_over = False

    @property
    def received(self) -> int:
        """Messages that have arrived, repeated deliveries included."""
        return self._desk.received_count

    @property
    def acknowledged(self) -> int:
        """Messages whose acknowledgement was handed to the network."""
        return self._desk.acknowledged_count

    @property
    def options(self) -> MqttOptions:
        """Which broker, as whom."""
        return self._options

    @property
    def connections(self) -> int:
        """How often the broker has accepted us."""
        return self._connections

    @property
    def reconnects(self) -> int:
        """How often the connection was made again."""
        return max(0, self._connections - 1)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and the connection stands."""
        connection = self._connection
        return connection is not None and connection.established_at is not None

    @property
    def unacknowledged(self) -> int:
        """Messages of the present connection in memory, received or not, that are not acknowledged yet."""
        connection = self._connection
        return 0 if connection is None else connection.held

    async def start(self, subscriptions: Iterable[str]) -> None:
        """Begin to connect; returns at once, also when there is no broker yet.

        Raises:
            ConfigurationError: a topic filter is none.
        """
        if self._thread is not None:
            raise RuntimeError("this source was started before; make a new one")
        self._desk.subscriptions = _checked(subscriptions)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve, name="mqtt-network", daemon=True)
        self._thread.start()

    async def ready(self, timeout_s: float | None = None) -> bool:
        """Wait until the broker has answered the subscriptions. False: not within `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), timeout_s)
        self.raise_failure()
        return self._ready.is_set()

    async def resubscribe(self, subscriptions: Iterable[str]) -> None:
        """Listen on these topic filters from now on, and no longer on the others.

        Raises:
            ConfigurationError: a topic filter is none.
        """
        wanted, before = _checked(subscriptions), self._desk.subscriptions
        self._desk.retired = (self._desk.retired | set(before)) - set(wanted)
        if wanted != before:
            self._ready.clear()
            self._desk.subscriptions = wanted
            self._wake()

    async def receive(
        self,
        max_messages: int = 10_000,
        max_wait_s: float = 0.1,
        idle_s: float = 0.005,
        timeout_s: float | None = None,
        max_bytes: int = 1 << 20,
    ) -> list[Message]:
        """The next messages of this session alone; see `Intake.receive`."""
        return await self._intake.receive(max_messages, max_wait_s, idle_s, timeout_s, max_bytes)

    def publish(self, publication: Publication) -> None:
        """Send a message; returns at once. Without a connection it is dropped: what a session says is said live."""
        self._desk.outgoing.append(publication)
        self._wake()

    def ack(self, messages: Sequence[Message]) -> None:
        """Tell the broker that these are safe, each message once. Returns at once.

        Those of another connection are passed over: the broker delivers them again, and their packet ids
        may mean other messages by now.
        """
        if messages:
            self._desk.acknowledged.append(messages)
            self._wake()

    async def stop(self) -> None:
        """Send the acknowledgements given so far and leave; the broker keeps the session. Once is enough."""
        if self._waker.fileno() < 0:
            return
        self._desk.stopping = True
        self._wake()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        self._arrived.set()
        self._waker.close()
        self._desk.woken.close()

    @property
    def inbox(self) -> deque[Message]:
        """What has arrived; filled by the network thread."""
        return self._desk.inbox

    @property
    def arrived(self) -> asyncio.Event:
        """Set when something has arrived, or nothing more will."""
        return self._arrived

    @property
    def stopping(self) -> bool:
        """Whether nothing more will come."""
        return self._desk.stopping

    def is_full(self) -> bool:
        """Whether nothing more is read until something is acknowledged."""
        connection = self._connection
        return connection is not None and connection.is_full()

    def raise_failure(self) -> None:
        """Raise what ended the network thread, if anything did.

        Raises:
            RuntimeError: the network thread failed, which is a bug.
        """
        if self._failure is not None:
            raise RuntimeError("the MQTT network thread failed") from self._failure

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full of wake-ups already, or stopped
            self._waker.send(b"\0")

    # From here on: the network thread.

    def _serve(self) -> None:
        try:
            delay_s = self._options.retry_min_s
            while not self._desk.stopping:
                if self._judge(self._connect_once()):
                    delay_s = self._options.retry_min_s
                self._pause(delay_s)
                delay_s = min(2 * delay_s, self._options.retry_max_s)
        except BaseException as error:  # a bug; it must reach the caller of `receive`, not die with this thread
            _log.exception("mqtt_network_thread_failed")
            self._failure = error
        finally:
            self._connection = None
            self._tell(self._arrived)
            self._tell(self._ready)

    def _connect_once(self) -> Connection:
        connection = Connection(
            self._options,
            self._desk,
            generation=next(_GENERATIONS),
            tls=self._tls,
            established=self._say_connected,
            arrived=lambda: self._tell(self._arrived),
            granted=self._say_granted,
        )
        self._connection = connection
        self._desk.outgoing.clear()
        connection.run()
        self._connection = None
        # What has arrived stays, though this connection can no longer acknowledge it: a broker that was killed may have
        # acknowledged it to its sender and forgotten it. If it has not, it delivers it again, as a duplicate.
        return connection

    def _judge(self, connection: Connection) -> bool:
        """Say what is to be said about a lost connection; whether it had been a steady one."""
        if self._desk.stopping:
            return True
        now = time.monotonic()
        lasted_s = None if connection.established_at is None else now - connection.established_at
        self._down_since = now if self._down_since is None else self._down_since
        facts = {"host": self._options.host, "port": self._options.port, "reason": connection.trouble}
        if connection.refusal is not None:
            event = "mqtt_connection_refused"
            advice = _ADVICE.get(connection.refusal.getName(), "see the broker's log")
        elif self._connections:
            event, advice = "mqtt_connection_lost", "reconnecting; the broker keeps the messages"
        else:
            event, advice = "mqtt_broker_unreachable", "start the broker or set its host, port and CA_FILE; trying on"
        advice = next((tls for said, tls in _TLS_ADVICE.items() if said in connection.trouble), advice)
        if event not in self._said:  # one line per outage and kind of trouble, however many attempts
            _log.warning(event, **facts, advice=advice)
            self._said.add(event)
        self._short_lived = self._short_lived + 1 if lasted_s is not None and lasted_s < _SHORT_S else 0
        if (connection.taken_over or self._short_lived >= _SHORT_IN_A_ROW) and not self._said_taken_over:
            _log.error(
                "mqtt_session_taken_over",
                client_id=self._options.client_id,
                certain=connection.taken_over,
                advice="another engine seems to use this client id; stop it or give each its own",
            )
            self._said_taken_over = True
        steady = lasted_s is not None and lasted_s >= _STEADY_S
        if steady:
            self._said_taken_over = False
        return steady

    def _say_connected(self, connection: Connection) -> None:
        self._connections += 1
        down_s = None if self._down_since is None else round(time.monotonic() - self._down_since, 1)
        _log.info(
            "mqtt_connected",
            host=self._options.host,
            port=self._options.port,
            protocol=self._options.protocol,
            client_id=self._options.client_id,
            session_present=connection.session_present,
            down_s=down_s,
        )
        self._down_since = None
        self._said.clear()

    def _say_granted(self, answers: list[tuple[str, ReasonCode]], complete: bool) -> None:
        for topic_filter, reason in answers:
            if reason.is_failure:
                _log.error(
                    "mqtt_subscription_refused",
                    filter=topic_filter,
                    reason=str(reason),
                    advice="nothing will arrive from there; allow this user to read it at the broker",
                )
            elif reason.value < 1:
                _log.warning(
                    "mqtt_subscription_downgraded",
                    filter=topic_filter,
                    reason=str(reason),
                    advice="the broker does not repeat lost messages there; allow QoS 1",
                )
        if complete:
            self._tell(self._ready)

    def _pause(self, delay_s: float) -> None:
        deadline = time.monotonic() + delay_s
        while not self._desk.stopping and (left_s := deadline - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.05))

    def _tell(self, event: asyncio.Event) -> None:
        if self._loop is not None and not event.is_set():
            with contextlib.suppress(RuntimeError):  # the loop was closed without `stop`
                self._loop.call_soon_threadsafe(event.set)


def _checked(subscriptions: Iterable[str]) -> tuple[str, ...]:
    filters = tuple(dict.fromkeys(subscriptions))
    for topic_filter in filters:
        check_filter(topic_filter)
    return filters
