"""`MqttSource` against a real Mosquitto."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import paho.mqtt.client as paho
import pytest
import structlog
from paho.mqtt.enums import CallbackAPIVersion

from ingest.message import Message
from ingest.mqtt import MqttOptions, MqttSource
from telemetry.errors import ConfigurationError

SHIPPED = Path(__file__).parents[2] / "docker" / "mosquitto" / "mosquitto.conf"
PATIENCE_S = 20.0


def find_mosquitto() -> str | None:
    """Debian keeps it in sbin, which a user's PATH often lacks."""
    return shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Broker:
    """A Mosquitto of our own, which keeps its port and its data when it is restarted."""

    def __init__(self, program: str, folder: Path, settings: str) -> None:
        self.port = free_port()
        self.folder = folder
        self._config = folder / "mosquitto.conf"
        self._command = [program, "-c", str(self._config)]
        self._process: subprocess.Popen[bytes] | None = None
        self._config.write_text(settings.replace("{port}", str(self.port)).replace("{folder}", str(folder)))

    def start(self) -> None:
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"mosquitto did not start:\n{(self.folder / 'broker.log').read_text()}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None

    def publish(self, payloads: list[bytes], topic: str = "plant/P-101/vib") -> None:
        """At QoS 1; returns when the broker has all of them."""
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.max_inflight_messages = 1000
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        for info in [client.publish(topic, payload, qos=1) for payload in payloads]:
            info.wait_for_publish(PATIENCE_S)
            assert info.is_published()
        client.disconnect()
        client.loop_stop()


OPEN = """
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
"""
UNLIMITED = OPEN + "max_inflight_messages 0\nmax_queued_messages 0\n"


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[Callable[[str], Broker]]:
    program = find_mosquitto()
    if program is None:
        pytest.skip("no mosquitto on PATH: the MQTT source is NOT tested here (apt install mosquitto)")
    brokers: list[Broker] = []

    def start(settings: str) -> Broker:
        folder = tmp_path / f"broker{len(brokers)}"
        folder.mkdir()
        broker = Broker(program, folder, settings)
        if os.getuid() == 0:  # else it would become user mosquitto, who may not write here
            broker._config.write_text(broker._config.read_text() + "user root\n")
        brokers.append(broker)
        broker.start()
        return broker

    yield start
    for broker in brokers:
        broker.stop()


@pytest.fixture
def broker(start_broker: Callable[[str], Broker]) -> Broker:
    return start_broker(UNLIMITED)


@pytest.fixture(params=["3.1.1", "5"])
def protocol(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


class Connect(Protocol):
    """Make and start a source, which is stopped when the test ends."""

    async def __call__(self, broker: "Broker | OddBroker", *subscriptions: str, **changes: Any) -> MqttSource: ...


@pytest.fixture
async def connect(protocol: str) -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        async def make(broker: "Broker | OddBroker", *subscriptions: str, **changes: Any) -> MqttSource:
            settings: dict[str, Any] = {
                "port": broker.port,
                "client_id": "engine",
                "protocol": protocol,
                "retry_max_s": 0.5,
            }
            source = MqttSource(MqttOptions(**(settings | changes)))
            stack.push_async_callback(source.stop)
            await source.start(subscriptions or ("plant/#",))
            return source

        yield make


async def collect(source: MqttSource, count: int, *, ack: bool = True) -> list[Message]:
    """Receive until there are so many messages, acknowledging each list like the engine after its commit."""
    messages: list[Message] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(messages) < count:
            received = await source.receive()
            messages += received
            if ack:
                source.ack(received)
    return messages


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # the network thread has no event for each of these
            await asyncio.sleep(0.01)


async def test_messages_arrive_in_order_with_topic_and_payload(broker: Broker, connect: Connect) -> None:
    source = await connect(broker)
    assert await source.ready(PATIENCE_S)
    await asyncio.to_thread(broker.publish, numbered(3000))
    messages = await collect(source, 3000)
    assert [message.payload for message in messages] == numbered(3000)
    assert {message.topic for message in messages} == {"plant/P-101/vib"}
    assert {message.qos for message in messages} == {1}
    await until(lambda: source.acknowledged == 3000)
    assert source.received == 3000
    assert source.unacknowledged == 0


async def test_what_was_not_acknowledged_comes_again_to_the_next_source(broker: Broker, connect: Connect) -> None:
    first = await connect(broker)
    assert await first.ready(PATIENCE_S)
    await asyncio.to_thread(broker.publish, numbered(50))
    messages = await collect(first, 50, ack=False)
    first.ack(messages[:30])
    await first.stop()
    second = await connect(broker)
    again = await collect(second, 20)
    assert [message.payload for message in again] == numbered(50)[30:]
    assert all(message.dup for message in again)
    assert await second.receive(timeout_s=0.3) == []


async def test_what_was_acknowledged_does_not_come_again(broker: Broker, connect: Connect) -> None:
    first = await connect(broker)
    assert await first.ready(PATIENCE_S)
    await asyncio.to_thread(broker.publish, numbered(500))
    await collect(first, 500)
    await first.stop()
    second = await connect(broker)
    assert await second.ready(PATIENCE_S)
    assert await second.receive(timeout_s=0.3) == []


async def test_acknowledgements_given_just_before_stop_reach_a_broker_that_is_still_sending(
    broker: Broker, connect: Connect
) -> None:
    first = await connect(broker, max_unacknowledged=100)
    assert await first.ready(PATIENCE_S)
    await asyncio.to_thread(broker.publish, [b"%d" % number + b" " * 2000 for number in range(3000)])
    messages = await collect(first, 100, ack=False)
    first.ack(messages)
    await first.stop()
    second = await connect(broker)
    rest = await collect(second, 3000 - len(messages))
    assert [int(message.payload) for message in rest] == list(range(len(messages), 3000))


async def test_what_was_published_while_away_arrives_on_return(broker: Broker, connect: Connect) -> None:
    first = await connect(broker)
    assert await first.ready(PATIENCE_S)
    await first.stop()
    await asyncio.to_thread(broker.publish, numbered(2000))
    with structlog.testing.capture_logs() as logs:
        second = await connect(broker)
        messages = await collect(second, 2000)
    assert [message.payload for message in messages] == numbered(2000)
    assert [entry["session_present"] for entry in logs if entry["event"] == "mqtt_connected"] == [True]


async def test_source_hears_again_after_the_broker_was_restarted(broker: Broker, connect: Connect) -> None:
    with structlog.testing.capture_logs() as logs:
        source = await connect(broker)
        assert await source.ready(PATIENCE_S)
        await asyncio.to_thread(broker.publish, numbered(10))
        before = await collect(source, 10, ack=False)
        await asyncio.to_thread(broker.stop)
        await until(lambda: not source.connected)
        await asyncio.sleep(0.7)  # several attempts fail
        await asyncio.to_thread(broker.start)
        await until(lambda: source.connected)
        source.ack(before)
        await asyncio.to_thread(broker.publish, [b"after"])
        messages = await collect(source, 11)
    # The ids of the old connection were not acknowledged on the new one: all come again.
    assert [message.payload for message in messages] == [*numbered(10), b"after"]
    assert source.reconnects == 1
    await until(lambda: source.acknowledged == 11)
    events = [entry["event"] for entry in logs]
    assert events == ["mqtt_connected", "mqtt_connection_lost", "mqtt_connected"]


async def test_subscriptions_are_made_again_when_the_broker_has_forgotten_the_session(
    broker: Broker, connect: Connect
) -> None:
    source = await connect(broker)
    assert await source.ready(PATIENCE_S)
    await asyncio.to_thread(broker.stop)
    (broker.folder / "mosquitto.db").unlink()
    await asyncio.to_thread(broker.start)
    await until(lambda: source.connected)
    await until(lambda: source.reconnects == 1)
    await asyncio.sleep(0.3)  # the broker answers the subscription
    await asyncio.to_thread(broker.publish, [b"heard"])
    assert [message.payload for message in await collect(source, 1)] == [b"heard"]


@pytest.mark.parametrize("protocol", ["3.1.1"], indirect=True)
async def test_source_waits_for_a_broker_that_is_not_there_yet_and_says_so_once(
    broker: Broker, connect: Connect
) -> None:
    broker.stop()
    with structlog.testing.capture_logs() as logs:
        source = await connect(broker)
        assert not await source.ready(1.0)
        await asyncio.to_thread(broker.start)
        assert await source.ready(PATIENCE_S)
    assert [entry["event"] for entry in logs] == ["mqtt_broker_unreachable", "mqtt_connected"]
    assert logs[0]["port"] == broker.port
    assert logs[1]["down_s"] > 0


async def test_window_of_twenty_is_flushed_and_does_not_stall(
    start_broker: Callable[[str], Broker], connect: Connect
) -> None:
    broker = start_broker(OPEN + "max_inflight_messages 20\nmax_queued_messages 0\n")
    source = await connect(broker)
    assert await source.ready(PATIENCE_S)
    await asyncio.to_thread(broker.publish, numbered(500))
    messages = await collect(source, 500)
    assert [message.payload for message in messages] == numbered(500)


async def test_no_more_than_the_allowed_messages_wait_in_memory(broker: Broker, connect: Connect) -> None:
    source = await connect(broker, max_unacknowledged=100)
    assert await source.ready(PATIENCE_S)
    await asyncio.to_thread(broker.publish, numbered(1000))
    held: list[Message] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(held) < 100:
            held += await source.receive()
    await asyncio.sleep(0.3)
    assert source.received == source.unacknowledged == 100
    source.ack(held)
    messages = held + await collect(source, 900)
    assert [message.payload for message in messages] == numbered(1000)


@pytest.mark.parametrize("protocol", ["3.1.1"], indirect=True)
async def test_one_call_gives_no_more_than_the_message_that_reaches_its_bytes(broker: Broker, connect: Connect) -> None:
    source = await connect(broker)
    assert await source.ready(PATIENCE_S)
    await asyncio.to_thread(broker.publish, [b"x" * 1_000] * 50)
    sizes: list[int] = []
    async with asyncio.timeout(PATIENCE_S):
        while sum(sizes) < 50:
            messages = await source.receive(max_bytes=9_500, max_wait_s=1.0, idle_s=0.1)
            sizes.append(len(messages))
            source.ack(messages)
    assert max(sizes) == 10


@pytest.mark.parametrize("protocol", ["3.1.1"], indirect=True)
async def test_no_more_than_the_allowed_bytes_wait_in_memory(broker: Broker, connect: Connect) -> None:
    source = await connect(broker, max_unacknowledged_bytes=100_000)
    assert await source.ready(PATIENCE_S)
    await asyncio.to_thread(broker.publish, [b"x" * 10_000] * 50)
    await until(lambda: source.unacknowledged == 10)
    await asyncio.sleep(0.2)
    assert source.received == 10
    assert len(await collect(source, 50)) == 50


@pytest.mark.parametrize("protocol", ["3.1.1"], indirect=True)
async def test_a_pause_longer_than_the_keepalive_does_not_cost_the_connection(broker: Broker, connect: Connect) -> None:
    source = await connect(broker, max_unacknowledged=10, keepalive_s=1)
    assert await source.ready(PATIENCE_S)
    await asyncio.to_thread(broker.publish, numbered(50))
    held = await collect(source, 10, ack=False)
    await asyncio.sleep(3.5)
    assert source.connected
    source.ack(held)
    await collect(source, 40)
    assert source.reconnects == 0


@pytest.mark.parametrize("protocol", ["3.1.1"], indirect=True)
async def test_an_idle_connection_is_kept(broker: Broker, connect: Connect) -> None:
    source = await connect(broker, keepalive_s=1)
    assert await source.ready(PATIENCE_S)
    await asyncio.sleep(3.5)
    assert source.connected
    assert source.reconnects == 0


async def test_resubscribe_listens_elsewhere_and_no_longer_here(broker: Broker, connect: Connect) -> None:
    source = await connect(broker, "old/#", "both/#")
    assert await source.ready(PATIENCE_S)
    await source.resubscribe(["both/#", "new/#"])
    assert await source.ready(PATIENCE_S)
    for topic in ("old/a", "both/a", "new/a"):
        await asyncio.to_thread(broker.publish, [topic.encode()], topic)
    assert [message.payload for message in await collect(source, 2)] == [b"both/a", b"new/a"]
    assert await source.receive(timeout_s=0.2) == []


@pytest.mark.parametrize("protocol", ["3.1.1"], indirect=True)
async def test_a_retained_message_is_delivered_as_such(broker: Broker, connect: Connect) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.publish("plant/kept", b"1", qos=1, retain=True).wait_for_publish(PATIENCE_S)
    client.disconnect()
    client.loop_stop()
    source = await connect(broker)
    (message,) = await collect(source, 1)
    assert message.retain
    assert message.payload == b"1"


@pytest.mark.parametrize("protocol", ["3.1.1"], indirect=True)
async def test_stop_while_receiving_returns_what_there_is(broker: Broker, connect: Connect) -> None:
    source = await connect(broker)
    assert await source.ready(PATIENCE_S)
    waiting = asyncio.create_task(source.receive())
    await asyncio.sleep(0.05)
    await source.stop()
    assert await asyncio.wait_for(waiting, PATIENCE_S) == []
    assert not source.connected


async def test_a_refused_user_is_told_what_to_do_once(start_broker: Callable[[str], Broker], connect: Connect) -> None:
    broker = start_broker(OPEN.replace("allow_anonymous true", "allow_anonymous false"))
    with structlog.testing.capture_logs() as logs:
        source = await connect(broker)
        assert not await source.ready(1.5)
    assert [entry["event"] for entry in logs] == ["mqtt_connection_refused"]
    assert "user name" in logs[0]["advice"]


class OddBroker:
    """Does what Mosquitto never would: refuses a subscription, sends a topic not UTF-8, falls silent."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, length = await reader.readexactly(2)
                body = await reader.readexactly(length)
                if kind == 0x10:
                    writer.write(b"\x20\x02\x00\x00")
                elif kind == 0x82:
                    writer.write(b"\x90\x03" + body[:2] + b"\x80")
                    writer.write(b"\x32\x08\x00\x03a/\xff\x00\x07!")
        writer.close()


@pytest.fixture
async def odd_broker() -> AsyncIterator[OddBroker]:
    odd = OddBroker()
    server = await asyncio.start_server(odd.serve, "127.0.0.1", 0)
    odd.port = server.sockets[0].getsockname()[1]
    yield odd
    server.close()


@pytest.mark.parametrize("protocol", ["3.1.1"], indirect=True)
async def test_a_refused_subscription_is_told_with_advice(odd_broker: OddBroker, connect: Connect) -> None:
    with structlog.testing.capture_logs() as logs:
        source = await connect(odd_broker, "forbidden/#")
        assert await source.ready(PATIENCE_S)
    (entry,) = [entry for entry in logs if entry["event"] == "mqtt_subscription_refused"]
    assert entry["filter"] == "forbidden/#"
    assert "allow this user" in entry["advice"]


@pytest.mark.parametrize("protocol", ["3.1.1"], indirect=True)
async def test_a_topic_that_is_not_utf8_is_delivered_with_its_bytes_spelled_out(
    odd_broker: OddBroker, connect: Connect
) -> None:
    source = await connect(odd_broker, "a/#")
    (message,) = await collect(source, 1)
    assert message.topic == "a/\\xff"
    assert (message.payload, message.mid) == (b"!", 7)


@pytest.mark.parametrize("protocol", ["3.1.1"], indirect=True)
async def test_a_broker_that_falls_silent_is_left(odd_broker: OddBroker, connect: Connect) -> None:
    with structlog.testing.capture_logs() as logs:
        await connect(odd_broker, "a/#", keepalive_s=1)
        await until(lambda: odd_broker.connections >= 2)
    (entry,) = [entry for entry in logs if entry["event"] == "mqtt_connection_lost"]
    assert entry["reason"] == "nothing heard from the broker for 2 s"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1; its key lies beside it, ending in .key."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl on PATH: TLS is NOT tested here")
    path = tmp_path / "broker.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    keys = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(path.with_suffix(".key"))]
    command = [program, "req", "-x509", "-days", "2", *keys, "-out", str(path), *subject]
    subprocess.run(command, check=True, capture_output=True)
    return path


async def test_messages_arrive_encrypted_from_a_trusted_broker_only(
    start_broker: Callable[[str], Broker], connect: Connect, certificate: Path, protocol: str
) -> None:
    tls = f"certfile {certificate}\nkeyfile {certificate.with_suffix('.key')}\n"
    inside = free_port()
    broker = start_broker(UNLIMITED + tls + f"listener {inside} 127.0.0.1\n")
    with structlog.testing.capture_logs() as logs:
        stranger = await connect(broker, client_id="stranger", tls=True)
        source = await connect(broker, ca_file=certificate)
        assert await source.ready(PATIENCE_S)
        assert not await stranger.ready(0.5)
    assert "certificate" in next(e["reason"] for e in logs if e["event"] == "mqtt_broker_unreachable")
    large = [b"%d" % number + b" " * 3000 for number in range(1000)]  # more than one read of the socket
    broker.port = inside
    await asyncio.to_thread(broker.publish, large)
    assert [message.payload for message in await collect(source, 1000)] == large
    assert source.reconnects == 0


async def test_two_engines_on_one_client_id_are_told_apart(broker: Broker, connect: Connect) -> None:
    with structlog.testing.capture_logs() as logs:
        first = await connect(broker)
        assert await first.ready(PATIENCE_S)
        await connect(broker)
        await until(lambda: any(entry["event"] == "mqtt_session_taken_over" for entry in logs))


@pytest.mark.parametrize("protocol", ["3.1.1"], indirect=True)
async def test_wrong_topic_filter_is_named_before_connecting(broker: Broker, connect: Connect) -> None:
    with pytest.raises(ConfigurationError, match="'plant/#/x' has a # that is not its whole last level"):
        await connect(broker, "plant/#/x")


async def test_shipped_configuration_lets_a_large_message_and_a_large_backlog_through(
    start_broker: Callable[[str], Broker], connect: Connect
) -> None:
    shipped = SHIPPED.read_text()
    broker = start_broker(
        shipped.replace("/mosquitto/data/", "{folder}/").replace("listener 1883", "listener {port} 127.0.0.1")
    )
    source = await connect(broker)
    assert await source.ready(PATIENCE_S)
    await source.stop()
    await asyncio.to_thread(broker.publish, [*numbered(5000), b"x" * 1024 * 1024])
    again = await connect(broker)
    messages = await collect(again, 5001)
    assert [message.payload for message in messages[:-1]] == numbered(5000)
    assert len(messages[-1].payload) == 1024 * 1024


@pytest.mark.parametrize("protocol", ["3.1.1"], indirect=True)
async def test_a_failure_of_the_network_thread_reaches_who_waits(
    broker: Broker, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    source = await connect(broker)
    assert await source.ready(PATIENCE_S)
    monkeypatch.setattr("ingest.mqtt_connection.read_publish", fail)
    await asyncio.to_thread(broker.publish, [b"1"])
    with pytest.raises(RuntimeError, match="network thread failed") as caught:
        await asyncio.wait_for(source.receive(), PATIENCE_S)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
