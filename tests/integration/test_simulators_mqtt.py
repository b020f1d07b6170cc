"""Publishing through real brokers: what a subscriber counts is what was published."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from simulators.gateway import Message, plant_messages, single
from simulators.plant import SimulatedPlant
from simulators.publisher import BrokerRefusedError, BrokerUnavailableError, Progress, publish

START = datetime(2026, 11, 21, tzinfo=UTC)
PATIENCE_S = 60.0
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
needs_mosquitto = pytest.mark.skipif(
    MOSQUITTO is None, reason="NO MOSQUITTO on PATH or in /usr/sbin: install it to test against a real broker"
)

AMQTT = """
import asyncio, sys
from amqtt.broker import Broker

async def main() -> None:
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    listeners = {"default": {"type": "tcp", "bind": "127.0.0.1:" + sys.argv[1]}}
    broker = Broker({"listeners": listeners, "plugins": plugins})
    await broker.start()
    await asyncio.Event().wait()

asyncio.run(main())
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class BrokerProcess:
    """A broker of our own, which can be stopped and started again on the same port."""

    def __init__(self, command: list[str], port: int) -> None:
        self.port = port
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        give_up_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up_s:
            assert self._process.poll() is None, f"{self._command[0]} ended with {self._process.returncode}"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        raise AssertionError(f"{self._command[0]} does not listen on {self.port}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[BrokerProcess]:
    assert MOSQUITTO is not None
    port = free_port()
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    config = tmp_path / "mosquitto.conf"
    lines = [
        "per_listener_settings false",
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "max_inflight_messages 0",
        "max_queued_messages 0",
        "persistence true",
        f"persistence_location {tmp_path}/",
        f"password_file {passwords}",
        "user root" if os.geteuid() == 0 else "",
    ]
    config.write_text("\n".join(lines))
    broker = BrokerProcess([MOSQUITTO, "-c", str(config)], port)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def amqtt() -> Iterator[BrokerProcess]:
    port = free_port()
    broker = BrokerProcess([sys.executable, "-c", AMQTT, str(port)], port)
    broker.start()
    yield broker
    broker.stop()


class Counting:
    """A subscriber with a persistent session that counts each distinct (topic, payload)."""

    def __init__(self, port: int) -> None:
        self.received: Counter[tuple[str, bytes]] = Counter()
        self._changed = threading.Condition()
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="counting", clean_session=False)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait_for(self, distinct: int) -> Counter[tuple[str, bytes]]:
        """What has been received once so many different messages are there."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.received) >= distinct, PATIENCE_S)
            return Counter(self.received)

    def _on_connect(
        self,
        client: Client,
        _data: Any,
        _flags: ConnectFlags,
        _reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        client.subscribe("#", qos=1)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        with self._changed:
            self.received[message.topic, bytes(message.payload)] += 1
            self._changed.notify_all()


def numbered(count: int) -> list[Message]:
    return [single(START, "test/numbered", float(number)) for number in range(count)]


def expected(messages: Iterable[Message]) -> Counter[tuple[str, bytes]]:
    return Counter((message.topic, message.payload) for message in messages)


@needs_mosquitto
@pytest.mark.parametrize("window", [1, 20, 1000])
def test_a_subscriber_receives_exactly_what_the_plant_published(mosquitto: BrokerProcess, window: int) -> None:
    plant = SimulatedPlant(start=START, duration_s=600)
    messages = list(plant_messages(plant.ticks()))
    seen: list[Progress] = []
    with Counting(mosquitto.port) as counting:
        published = publish(messages, port=mosquitto.port, window=window, progress=seen.append)
        received = counting.wait_for(len(messages))
    assert received == expected(messages)
    assert published.messages == len(messages)
    assert published.readings == sum(len(tick.readings) for tick in plant.ticks())
    assert published.unacknowledged == 0
    assert (seen[-1].messages, seen[-1].readings) == (published.messages, published.readings)
    assert seen[-1].at == messages[-1].at


def test_amqtt_takes_everything_as_fast_as_it_can(amqtt: BrokerProcess) -> None:
    messages = numbered(3000)
    with Counting(amqtt.port) as counting:
        published = publish(messages, port=amqtt.port)
        received = counting.wait_for(len(messages))
    assert (published.messages, published.readings) == (3000, 3000)
    assert received == expected(messages)


@needs_mosquitto
def test_nothing_is_lost_when_the_broker_restarts_in_between(mosquitto: BrokerProcess) -> None:
    messages = numbered(3000)

    def with_restart() -> Iterator[Message]:
        for number, message in enumerate(messages):
            if number in {1000, 2000}:  # called in the publishing thread, with a full window under way
                mosquitto.stop()
                mosquitto.start()
            yield message

    with Counting(mosquitto.port) as counting:
        published = publish(with_restart(), port=mosquitto.port)
        received = counting.wait_for(len(messages))
    assert received.keys() == expected(messages).keys()
    assert (published.messages, published.readings, published.unacknowledged) == (3000, 3000, 0)


@needs_mosquitto
def test_publishing_waits_for_a_broker_that_comes_late(mosquitto: BrokerProcess) -> None:
    mosquitto.stop()
    starter = threading.Timer(1.0, mosquitto.start)
    starter.start()
    assert publish(numbered(10), port=mosquitto.port).messages == 10
    starter.join()


@needs_mosquitto
def test_a_stop_request_ends_an_endless_stream(mosquitto: BrokerProcess) -> None:
    stop = threading.Event()

    def endless() -> Iterator[Message]:
        number = 0
        while True:
            if number == 500:
                stop.set()
            yield single(START, "test/endless", float(number))
            number += 1

    with Counting(mosquitto.port) as counting:
        published = publish(endless(), port=mosquitto.port, stop=stop)
        received = counting.wait_for(500)
    assert published.messages == 500
    assert received == expected(single(START, "test/endless", float(number)) for number in range(500))


@needs_mosquitto
def test_a_stop_request_is_heard_while_waiting_for_the_next_message(mosquitto: BrokerProcess) -> None:
    stop = threading.Event()
    next_year = datetime(2027, 11, 21, tzinfo=UTC)

    def stop_after_the_first(progress: Progress) -> None:
        if progress.messages == 1:
            stop.set()

    messages = [single(START, "test/a", 1.0), single(next_year, "test/a", 2.0)]
    published = publish(messages, port=mosquitto.port, speed=1, stop=stop, progress=stop_after_the_first)
    assert published.messages == 1


def test_a_broker_that_is_not_there_is_named_after_patience() -> None:
    port = free_port()
    with pytest.raises(BrokerUnavailableError, match=f"127.0.0.1:{port}: no connection"):
        publish(numbered(1), port=port, patience_s=0.5)


@needs_mosquitto
def test_a_refused_user_is_told_so_at_once(mosquitto: BrokerProcess) -> None:
    with pytest.raises(BrokerRefusedError, match="Not authorized"):
        publish(numbered(1), port=mosquitto.port, username="nobody", password="wrong")


@needs_mosquitto
def test_a_failing_source_of_messages_is_not_hidden(mosquitto: BrokerProcess) -> None:
    def failing() -> Iterator[Message]:
        yield from numbered(5)
        raise RuntimeError("sensor cable cut")

    with pytest.raises(RuntimeError, match="sensor cable cut"):
        publish(failing(), port=mosquitto.port)
