"""Publishes a workload at QoS 1 as cheaply as Python can, so that the sender takes little from what is measured.

Made for a process of its own. Packets are built before the clock starts and written many at a time; MQTT 3.1.1
whatever the receiver speaks. Source of the packets: MQTT 3.1.1, chapter 3.
"""

import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.mqtt_options import MqttOptions
from precursor.bench.workload import Workload
from telemetry.errors import TransientError

__all__ = ["Published", "forget_session", "publish"]

_PER_CONNECTION = 60_000
"""packet ids end at 65,535; below that none is used twice on a connection"""
_WINDOW = 1_000
"""messages sent and not yet acknowledged by the broker"""
_CHUNK = 100
"""messages in one write"""
_TICK_S = 0.001
"""how finely messages are spread over time when they are paced"""
_PATIENCE_S = 60.0
_DISCONNECT = b"\xe0\x00"
_PUBACK = 0x40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Published:
    """What came of it; every message was acknowledged by the broker."""

    sent_s: npt.NDArray[np.float64]
    """when each message was handed to the kernel, in the order of sending, on the machine's monotonic clock"""


def publish(
    options: MqttOptions,
    workload: Workload,
    *,
    first: int,
    count: int,
    rate: float | None = None,
    linger_s: float = 0.0,
) -> Published:
    """Send messages `first` to `first + count` and wait until the broker has acknowledged each. Blocks.

    Args:
        options: the broker, and who may talk to it; its client id is that of the receiver.
        workload, first, count: what to send.
        rate: messages a second; None: as fast as the broker takes them.
        linger_s: stay connected for so long afterwards. amqtt acknowledges before it passes on, and forgets what it
            has not passed on when the sender leaves.

    Raises:
        TransientError: the broker refused, went away, or did not answer for a minute.
    """
    sent_s: list[npt.NDArray[np.float64]] = []
    for begin in range(first, first + count, _PER_CONNECTION):
        part = range(begin, min(begin + _PER_CONNECTION, first + count))
        packets = [_publish_packet(*workload.message(number), mid) for mid, number in enumerate(part, start=1)]
        sent_s.append(_send(options, packets, rate, linger_s))
    return Published(sent_s=np.concatenate(sent_s))


def forget_session(options: MqttOptions) -> None:
    """Make the broker drop the session of this client id and what it holds. Blocks.

    Raises:
        TransientError: as `publish`.
    """
    try:
        with _connected(options, options.client_id) as link:
            link.sendall(_DISCONNECT)
    except OSError as error:
        raise _lost(error) from error


def _send(
    options: MqttOptions, packets: Sequence[bytes], rate: float | None, linger_s: float
) -> npt.NDArray[np.float64]:
    sent_s = np.empty(len(packets))
    sent = acknowledged = 0
    try:
        with _connected(options, f"{options.client_id}-publisher") as link:
            begun_s = time.monotonic()
            while acknowledged < len(packets):
                due = len(packets) if rate is None else int((time.monotonic() - begun_s) * rate) + 1
                end = min(due, sent + _CHUNK, acknowledged + _WINDOW, len(packets))
                if end > sent:
                    sent_s[sent:end] = time.monotonic()
                    link.sendall(b"".join(packets[sent:end]))
                    sent = end
                elif due <= sent < len(packets):
                    time.sleep(_TICK_S)
                waiting = sent == len(packets) or sent - acknowledged >= _WINDOW
                acknowledged += _take_acknowledgements(link, wait=waiting)
            time.sleep(linger_s)
            link.sendall(_DISCONNECT)
    except OSError as error:
        raise _lost(error) from error
    return sent_s


def _take_acknowledgements(link: socket.socket, *, wait: bool) -> int:
    """How many PUBACKs have come; `wait`: at least one."""
    link.settimeout(_PATIENCE_S if wait else 0)
    try:
        answers = link.recv(4 * _WINDOW)
    except (BlockingIOError, ssl.SSLWantReadError):
        return 0
    finally:
        link.settimeout(_PATIENCE_S)
    if not answers:
        raise ConnectionError("the broker closed the connection")
    while len(answers) % 4:
        answers += _exactly(link, 4 - len(answers) % 4)
    if any(kind != _PUBACK for kind in answers[::4]):
        raise ConnectionError(f"the broker answered a PUBLISH with {answers[:8].hex()}")
    return len(answers) // 4


def _connected(options: MqttOptions, client_id: str) -> socket.socket:
    """A clean session at the broker."""
    link = socket.create_connection((options.host, options.port), timeout=_PATIENCE_S)
    try:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls = options.tls_context()
        if tls is not None:
            link = tls.wrap_socket(link, server_hostname=options.host)
        flags, fields = 0x02, [client_id]
        if options.username is not None:
            flags |= 0x80
            fields.append(options.username)
        if options.password is not None:
            flags |= 0x40
            fields.append(options.password)
        head = _text("MQTT") + bytes([4, flags, 0, 0])
        link.sendall(_packet(0x10, head + b"".join(map(_text, fields))))
        answer = _exactly(link, 4)
        if answer[:2] != b"\x20\x02" or answer[3] != 0:
            raise ConnectionError(f"the broker refused the publisher: {answer.hex()}")
    except BaseException:
        link.close()
        raise
    return link


def _exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = link.recv(size - len(data))
        if not more:
            raise ConnectionError("the broker closed the connection")
        data += more
    return data


def _publish_packet(topic: str, payload: bytes, mid: int) -> bytes:
    return _packet(0x32, _text(topic) + mid.to_bytes(2, "big") + payload)


def _packet(kind: int, body: bytes) -> bytes:
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (128 if length else 0))
        if not length:
            return bytes([kind]) + bytes(digits) + body


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _lost(error: OSError) -> TransientError:
    return TransientError(f"the bench's publisher and the broker: {error}")
