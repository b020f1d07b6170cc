"""`Connection`: one connection to a broker, from CONNECT until it is lost. Runs in the network thread."""

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any, cast

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingest.message import Message
from ingest.mqtt_options import MqttOptions, Publication
from ingest.mqtt_packets import message_from_paho, packet_end, puback, read_publish
from ingest.mqtt_socket import BufferedSocket

__all__ = ["Connection", "Desk"]

_QOS = 1
_PINGREQ = b"\xc0\x00"
_FILTERS_PER_SUBSCRIBE = 100
_CONNACK_TIMEOUT_S = 10.0
_SESSION_TAKEN_OVER = 142
_LONGEST_WAIT_S = 1.0


@dataclass(slots=True, kw_only=True)
class Desk:
    """What the network thread and the event loop share. Deques and single assignments: no lock is needed."""

    inbox: deque[Message] = field(default_factory=deque)
    acknowledged: deque[Sequence[Message]] = field(default_factory=deque)
    """batches to acknowledge to the broker"""
    outgoing: deque[Publication] = field(default_factory=deque)
    """messages of ours"""
    subscriptions: tuple[str, ...] = ()
    retired: frozenset[str] = frozenset()
    """filters no longer wanted, which the session at the broker may still hold"""
    stopping: bool = False
    woken: socket.socket
    """readable when the network thread should look at the desk"""
    received_count: int = 0
    acknowledged_count: int = 0


class _Client(Client):
    """paho's client on sockets that we open: its one private method that we replace."""

    dial: Callable[[], BufferedSocket]

    def _create_socket(self) -> BufferedSocket:
        return self.dial()


class Connection:
    """One connection with its own paho client: nothing of an earlier one can leak into it."""

    def __init__(
        self,
        options: MqttOptions,
        desk: Desk,
        *,
        generation: int,
        tls: SSLContext | None,
        established: Callable[["Connection"], None],
        arrived: Callable[[], None],
        granted: Callable[[list[tuple[str, ReasonCode]], bool], None],
    ) -> None:
        self.generation = generation
        self.established_at: float | None = None
        """monotonic seconds of the CONNACK; None while there was none"""
        self.session_present = False
        self.refusal: ReasonCode | None = None
        """why the broker did not accept us"""
        self.taken_over = False
        """the broker says that another client uses our client id (MQTT 5)"""
        self.trouble = ""
        """why it ended"""
        self.held = 0
        """messages received here and not acknowledged yet"""
        self._held_bytes = 0
        # What earlier connections brought and nobody has taken yet is in memory as well: however often the broker comes
        # and goes while the database is away, and delivers all of it again, there is no more than the limit.
        self._leftover = [len(message.payload) for message in tuple(desk.inbox)]
        self._leftover_bytes = sum(self._leftover)
        self._options = options
        self._desk = desk
        self._established = established
        self._arrived = arrived
        self._granted = granted
        self._asked: dict[int, list[str]] = {}
        self._subscribed: tuple[str, ...] | None = None
        """None: not asked on this connection; whatever the session may hold is not trusted"""
        self._reading_since = time.monotonic()
        self._presence = None if options.presence is None else options.presence()
        self._announced = False
        self._client = self._new_client(tls)

    def run(self) -> None:
        """Connect and serve until the connection is lost or the desk says stop."""
        started = time.monotonic()
        try:
            self._connect()
        except (OSError, UnicodeError) as error:  # no such name, nobody there, a bad certificate
            self.trouble = str(error)
            return
        line = self._socket()
        if line is not None:
            try:
                self._serve(started)
            finally:
                line.close()  # paho has done so, unless a bug got us here
            self.trouble = self.trouble or line.trouble
        self.trouble = self.trouble or "the broker closed the connection"

    def is_full(self) -> bool:
        """Whether so much waits for its acknowledgement that nothing more is read."""
        if self._leftover:
            self._look_at_leftover()
        return (
            self.held + len(self._leftover) >= self._options.max_unacknowledged
            or self._held_bytes + self._leftover_bytes >= self._options.max_unacknowledged_bytes
        )

    def _look_at_leftover(self) -> None:
        """Once the oldest message that waits is ours, or none does, nothing of earlier connections is left."""
        try:
            gone = self._desk.inbox[0].generation == self.generation
        except IndexError:
            gone = True
        if gone:
            self._leftover, self._leftover_bytes = [], 0

    def _serve(self, started: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._desk.woken, selectors.EVENT_READ)
            while (sock := self._socket()) is not None:
                if self._desk.stopping:
                    self._part(sock)
                    break
                self._acknowledge(sock)
                self._read(sock)
                if self._socket() is None:
                    break
                if self.established_at is None:
                    if time.monotonic() - started > _CONNACK_TIMEOUT_S:
                        sock.kill("the broker did not answer the CONNECT")
                else:
                    self._renew_subscriptions()
                    self._publish()
                    self._keep_alive(sock)
                self._client.loop_write()
                sock.flush()
                if not sock.dead:
                    self._wait(selector, sock)

    def _new_client(self, tls: SSLContext | None) -> Client:
        options = self._options
        session: dict[str, Any] = {} if options.protocol == "5" else {"clean_session": not options.persistent}
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if options.protocol == "5" else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,  # else a refusal makes paho try older protocols by itself
            manual_ack=True,
            **session,
        )
        client.dial = lambda: _dial(options, tls)
        if options.username is not None:
            client.username_pw_set(options.username, options.password)
        if self._presence is not None:
            will = self._presence.will()
            if will is not None:
                client.will_set(will.topic, will.payload, will.qos, will.retain)
        # With this set paho queues its packets instead of writing each at once; `run` writes them together.
        client.on_socket_register_write = lambda _client, _userdata, _sock: None
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        return client

    def _connect(self) -> None:
        options = self._options
        if options.protocol != "5":
            self._client.connect(options.host, options.port, options.keepalive_s)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.SessionExpiryInterval = options.session_expiry_s if options.persistent else 0
        properties.ReceiveMaximum = min(options.max_unacknowledged, 65_535)
        self._client.connect(
            options.host,
            options.port,
            options.keepalive_s,
            clean_start=not options.persistent,
            properties=properties,
        )

    def _socket(self) -> BufferedSocket | None:
        return cast("BufferedSocket | None", self._client.socket())

    def _acknowledge(self, sock: BufferedSocket) -> None:
        batches = self._desk.acknowledged
        while batches:
            for message in batches.popleft():
                # An older connection's packet ids mean other messages now; the broker delivers those again.
                if message.generation == self.generation:
                    if message.qos == _QOS:
                        sock.send(puback(message.mid))
                    else:
                        self._client.ack(message.mid, message.qos)
                    self.held -= 1
                    self._held_bytes -= len(message.payload)
                    self._desk.acknowledged_count += 1

    def _read(self, sock: BufferedSocket) -> None:
        """Take the packets that have arrived: readings straight from the buffer, all else through paho."""
        before = self._desk.received_count
        version_5, clean = self._options.protocol == "5", not self._options.persistent
        while not self.is_full():
            end = packet_end(sock.received, sock.at)
            if end is None:
                break
            message = read_publish(
                sock.received, sock.at, end, version_5=version_5, generation=self.generation, clean=clean
            )
            if message is None:
                sock.grant(end)
                self._client.loop_read()
                if self._client.socket() is None:
                    break
            else:
                sock.at = end
                self._take(message)
        if sock.dead and self._client.socket() is not None:
            sock.forget()  # half a packet, or more than may wait: the broker will deliver it again
            self._client.loop_read()
        if self._desk.received_count != before:
            self._arrived()

    def _wait(self, selector: selectors.BaseSelector, sock: BufferedSocket) -> None:
        """Until there is something to do; takes in what has arrived."""
        reading = not self.is_full()
        interest = (selectors.EVENT_READ if reading else 0) | (selectors.EVENT_WRITE if sock.unsent else 0)
        if interest:
            selector.register(sock, interest)
        try:
            ready = selector.select(0 if reading and sock.more else _LONGEST_WAIT_S)
        finally:
            if interest:
                selector.unregister(sock)
        if any(key.fileobj is self._desk.woken for key, _ in ready):
            self._desk.woken.recv(4096)
        if reading and (sock.more or any(key.fileobj is sock for key, _ in ready)):
            sock.fill()
        if not reading:
            self._reading_since = time.monotonic()

    def _keep_alive(self, sock: BufferedSocket) -> None:
        # paho's own keep-alive would give up while reading is paused, since it does not see the answers then.
        interval_s = self._client.keepalive
        if interval_s == 0:
            return
        now = time.monotonic()
        if now - sock.last_sent >= interval_s / 2:
            sock.send(_PINGREQ)
        if now - max(sock.last_received, self._reading_since) > 1.5 * interval_s and not self.is_full():
            sock.kill(f"nothing heard from the broker for {1.5 * interval_s:.0f} s")

    def _renew_subscriptions(self) -> None:
        wanted = self._desk.subscriptions
        if wanted == self._subscribed:
            return
        new = [topic for topic in wanted if topic not in (self._subscribed or ())]
        gone = sorted(self._desk.retired)
        for begin in range(0, len(gone), _FILTERS_PER_SUBSCRIBE):
            self._client.unsubscribe(gone[begin : begin + _FILTERS_PER_SUBSCRIBE])
        for begin in range(0, len(new), _FILTERS_PER_SUBSCRIBE):
            part = new[begin : begin + _FILTERS_PER_SUBSCRIBE]
            error, mid = self._client.subscribe([(topic, _QOS) for topic in part])
            if error is MQTTErrorCode.MQTT_ERR_SUCCESS and mid is not None:
                self._asked[mid] = part
        self._subscribed = wanted
        if not self._asked:
            self._granted([], True)

    def _publish(self) -> None:
        while self._desk.outgoing:
            self._say(self._desk.outgoing.popleft())

    def _say(self, publication: Publication | None) -> None:
        if publication is not None:
            self._client.publish(publication.topic, publication.payload, publication.qos, publication.retain)

    def _part(self, sock: BufferedSocket) -> None:
        self._acknowledge(sock)
        if self._presence is not None and self.established_at is not None:
            self._say(self._presence.death())
            self._client.loop_write()
        self.trouble = "stopped"
        sock.part()
        self._client.disconnect()
        self._client.loop_write()

    def _on_connect(
        self, _client: Client, _userdata: Any, flags: ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            self.refusal = reason
            return
        self.established_at = time.monotonic()
        self.session_present = flags.session_present
        self._established(self)

    def _on_disconnect(
        self, _client: Client, _userdata: Any, flags: DisconnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if self.refusal is not None:
            self.trouble = f"refused: {self.refusal}"
        elif flags.is_disconnect_packet_from_server:
            self.trouble = str(reason)
            self.taken_over = reason.value == _SESSION_TAKEN_OVER

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        self._take(message_from_paho(message, self.generation, clean=not self._options.persistent))

    def _take(self, message: Message) -> None:
        self.held += 1
        self._held_bytes += len(message.payload)
        self._desk.received_count += 1
        self._desk.inbox.append(message)
        if self._presence is not None and self._announced:
            self._say(self._presence.answer(message))

    def _on_subscribe(
        self, _client: Client, _userdata: Any, mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        asked = self._asked.pop(mid, [])
        if self._presence is not None and not self._asked and not self._announced:
            # Not before: whoever hears that we are there may count on being heard.
            self._say(self._presence.birth())
            self._announced = True
        self._granted(list(zip(asked, reasons, strict=False)), not self._asked)


def _dial(options: MqttOptions, tls: SSLContext | None) -> BufferedSocket:
    sock = socket.create_connection((options.host, options.port), timeout=options.connect_timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return BufferedSocket(sock if tls is None else tls.wrap_socket(sock, server_hostname=options.host))
