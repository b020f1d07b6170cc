"""The two packets that make up nearly all traffic, PUBLISH in and PUBACK out (MQTT 3.1.1 and 5, chapter 3).

paho spends 40 µs (3.1.1) or 90 µs (5) on a message and its acknowledgement, most of it on objects that nobody
asks for; this takes 6. What is not quite ordinary, QoS 2 or a malformed packet, is left to paho.
"""

from paho.mqtt.client import MQTTMessage

from ingest.message import Message

__all__ = ["message_from_paho", "packet_end", "puback", "read_publish"]

_PUBLISH = 0x30
_LENGTH_BYTES = 4


def packet_end(buffer: bytearray, at: int) -> int | None:
    """Where the packet that begins at this position ends; None: not all of it is there yet.

    A length that MQTT does not know runs to the end of the buffer, where paho will complain of it.
    """
    length = 0
    for position in range(_LENGTH_BYTES):
        here = at + 1 + position
        if here >= len(buffer):
            return None
        length |= (buffer[here] & 127) << (7 * position)
        if buffer[here] < 128:
            end = here + 1 + length
            return end if end <= len(buffer) else None
    return len(buffer)


def read_publish(
    buffer: bytearray, at: int, end: int, *, version_5: bool, generation: int, clean: bool = False
) -> Message | None:
    """The message of an ordinary PUBLISH at QoS 0 or 1 between these positions; None: it is not one."""
    flags = buffer[at]
    qos = (flags >> 1) & 3
    if flags & 0xF0 != _PUBLISH or qos > 1:
        return None
    at += 2
    while at < end and buffer[at - 1] >= 128:
        at += 1
    if end - at < 2:
        return None
    topic_begin = at + 2
    topic_end = topic_begin + (buffer[at] << 8 | buffer[at + 1])
    payload_begin = topic_end + 2 * qos
    if topic_end == topic_begin or payload_begin > end:
        return None
    mid = buffer[topic_end] << 8 | buffer[topic_end + 1] if qos else 0
    if version_5:
        # Content type, user properties and the like: of no use here. Their length has one byte below 128.
        if payload_begin == end or buffer[payload_begin] >= 128:
            return None
        payload_begin += 1 + buffer[payload_begin]
        if payload_begin > end:
            return None
    return Message(
        topic=_topic(bytes(buffer[topic_begin:topic_end])),
        payload=bytes(buffer[payload_begin:end]),
        mid=mid,
        qos=qos,
        dup=bool(flags & 8),
        retain=bool(flags & 1),
        generation=generation,
        clean=clean,
    )


def puback(mid: int) -> bytes:
    """The acknowledgement of a message at QoS 1."""
    return b"\x40\x02" + mid.to_bytes(2, "big")


def message_from_paho(message: MQTTMessage, generation: int, *, clean: bool = False) -> Message:
    """Our form of a message that paho has read."""
    try:
        topic = message.topic
    except UnicodeDecodeError as error:
        topic = _topic(error.object)
    return Message(
        topic=topic,
        payload=bytes(message.payload),
        mid=message.mid,
        qos=message.qos,
        dup=message.dup,
        retain=message.retain,
        generation=generation,
        clean=clean,
    )


def _topic(name: bytes) -> str:
    """A topic as text; bytes that are not UTF-8 become \\xNN instead of an error."""
    return name.decode("utf-8", "backslashreplace")
