"""PUBLISH packets are read as the specification writes them, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import MQTTMessage

from ingest.message import Message
from ingest.mqtt_packets import message_from_paho, packet_end, puback, read_publish


def length_bytes(length: int) -> bytes:
    out = bytearray()
    while True:
        length, digit = divmod(length, 128)
        out.append(digit | (128 if length else 0))
        if not length:
            return bytes(out)


def publish(message: Message, topic: bytes, properties: bytes | None) -> bytes:
    """MQTT 5, section 3.3; without properties MQTT 3.1.1, section 3.3."""
    body = len(topic).to_bytes(2, "big") + topic
    body += message.mid.to_bytes(2, "big") if message.qos else b""
    body += b"" if properties is None else length_bytes(len(properties)) + properties
    body += message.payload
    flags = 0x30 | message.dup << 3 | message.qos << 1 | message.retain
    return bytes([flags]) + length_bytes(len(body)) + body


@given(
    topic=st.text(min_size=1, max_size=60).filter(lambda text: text.isprintable()),
    payload=st.binary(max_size=300),
    qos=st.integers(0, 1),
    mid=st.integers(1, 65_535),
    dup=st.booleans(),
    retain=st.booleans(),
    properties=st.one_of(st.none(), st.binary(max_size=200)),
    before=st.binary(max_size=5),
    after=st.binary(max_size=5),
)
def test_an_ordinary_message_is_read_from_the_middle_of_a_buffer(
    *,
    topic: str,
    payload: bytes,
    qos: int,
    mid: int,
    dup: bool,
    retain: bool,
    properties: bytes | None,
    before: bytes,
    after: bytes,
) -> None:
    sent = Message(topic=topic, payload=payload, mid=mid if qos else 0, qos=qos, dup=dup, retain=retain, generation=3)
    packet = publish(sent, topic.encode(), properties)
    buffer, at = bytearray(before + packet + after), len(before)
    end = packet_end(buffer, at)
    assert end == at + len(packet)
    read = read_publish(buffer, at, end, version_5=properties is not None, generation=3)
    assert read == (sent if properties is None or len(properties) < 128 else None)
    assert packet_end(bytearray(packet[:-1]), 0) is None


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_the_length_of_a_packet_is_read_at_its_limits(size: int) -> None:
    head = b"\x30" + length_bytes(size)
    assert packet_end(bytearray(head + bytes(size)), 0) == len(head) + size
    if size:
        assert packet_end(bytearray(head + bytes(size - 1)), 0) is None


@given(st.binary(max_size=30), st.booleans())
def test_any_bytes_are_a_packet_or_not_and_nothing_raises(noise: bytes, version_5: bool) -> None:
    buffer = bytearray(noise)
    end = packet_end(buffer, 0)
    if end is not None and end > 1:
        assert end <= len(buffer)
        read_publish(buffer, 0, end, version_5=version_5, generation=1)


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"\x34\x07\x00\x01a\x00\x01xx", id="QoS 2"),
        pytest.param(b"\x36\x07\x00\x01a\x00\x01xx", id="QoS 3 does not exist"),
        pytest.param(b"\x30\x02\x00\x00", id="no topic"),
        pytest.param(b"\x30\x01\x00", id="too short for a topic"),
        pytest.param(b"\x32\x04\x00\x01a\x00", id="half a packet id"),
        pytest.param(b"\x30\x03\x00\x09a", id="topic longer than the packet"),
        pytest.param(b"\x40\x02\x00\x01", id="PUBACK"),
        pytest.param(b"\xd0\x00", id="PINGRESP"),
        pytest.param(b"\x30\xff\xff\xff\xff\x01", id="a length of five bytes"),
        pytest.param(b"\x30\xff\xff\xff\xff\xff", id="a length without an end"),
    ],
)
@pytest.mark.parametrize("version_5", [False, True])
def test_what_is_not_ordinary_is_left_to_paho(packet: bytes, version_5: bool) -> None:
    buffer = bytearray(packet)
    end = packet_end(buffer, 0)
    assert end == len(packet)
    assert read_publish(buffer, 0, end, version_5=version_5, generation=1) is None


def test_a_topic_that_is_not_utf8_is_spelled_out() -> None:
    buffer = bytearray(b"\x30\x06\x00\x03a/\xff!")
    read = read_publish(buffer, 0, len(buffer), version_5=False, generation=1)
    assert read is not None
    assert read.topic == "a/\\xff"
    by_paho = MQTTMessage(mid=0, topic=b"a/\xff")
    by_paho.payload = b"!"
    assert message_from_paho(by_paho, 1) == read


def test_acknowledgement_carries_the_packet_id() -> None:
    assert puback(0x1234) == b"\x40\x02\x12\x34"
