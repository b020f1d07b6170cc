"""The Sparkplug host on a real broker and a real database, against an edge node that we did not write (pysparkplug)."""

import asyncio
import json
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import asyncpg
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ingest.device_commands import find_command, request_command
from ingest.mqtt import MqttOptions, MqttSource
from ingest.sparkplug.host import HostLimits
from ingest.sparkplug.state import HostMode
from precursor.apply import apply
from precursor.edge_link import HostOptions
from precursor.engine import Engine, EngineOptions
from precursor.session import SessionOptions

PLANT = """version: 1
sites:
  - name: north
    gateways:
      - name: edge
        format: sparkplug_b
"""
STATE = "spBv1.0/STATE/plant-host"

# What a maker of gateways writes with pysparkplug. It reads lines: what to do next.
EDGE_NODE = textwrap.dedent(
    """
    import sys, time
    import paho.mqtt.client
    paho.mqtt.client.Client.message_retry_set = lambda self, retry: None  # pysparkplug calls it; paho 2 has dropped it
    import pysparkplug as psp

    port = int(sys.argv[1])
    F, T = psp.DataType.DOUBLE, lambda: int(time.time() * 1000)
    def metric(name, value, datatype=F):
        return psp.Metric(timestamp=T(), name=name, datatype=datatype, value=value)
    def on_command(node, message):
        for each in message.payload.metrics:
            print("command", each.name, each.value, flush=True)
    device = psp.Device("pump-7", [metric("vib/de", 1.0), metric("running", True, psp.DataType.BOOLEAN),
                                   metric("revolutions", 2**63 + 5, psp.DataType.UINT64)], cmd_callback=on_command)
    client = psp.Client()
    node = psp.EdgeNode("hall-2", "edge-1", [metric("cpu load", 0.5)], client, cmd_callback=on_command)
    # EdgeNode.update_device of pysparkplug 0.3.0 leaves the device out of the topic.
    topic = psp.Topic(message_type=psp.MessageType.DDATA, group_id="hall-2", edge_node_id="edge-1", device_id="pump-7")
    node.register(device)
    node.connect("127.0.0.1", port=port)
    time.sleep(1)
    print("born", flush=True)
    for line in sys.stdin:
        what, *rest = line.split()
        if what == "send":
            for value in rest:
                data = psp.DData(timestamp=T(), seq=node._seq, metrics=[metric("vib/de", float(value))])
                client.publish(psp.Message(topic=topic, payload=data, qos=psp.QoS.AT_MOST_ONCE, retain=False))
                node.update([metric("cpu load", float(value) / 10)])
                time.sleep(0.005)
        elif what == "deregister":
            node.deregister("pump-7")
        elif what == "quit":
            node.disconnect()
            break
        print("done", flush=True)
    """
)


class EdgeNode:
    """A process with an edge node in it."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", EDGE_NODE, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.commands: list[str] = []

    async def says(self, word: str) -> None:
        assert self._process.stdout is not None
        while True:
            line = (await asyncio.wait_for(asyncio.to_thread(self._process.stdout.readline), 20)).strip()
            if line == word:
                return
            assert line.startswith("command"), line or "the edge node ended"
            self.commands.append(line)

    async def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        await self.says("done")

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


async def until(condition: Callable[[], Awaitable[Any]], what: str, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


class Running:
    """An engine in this process, whose host has an id and a mode."""

    def __init__(self, dsn: str, port: int, mode: HostMode, protocol: Literal["3.1.1", "5"] = "3.1.1") -> None:
        host = HostOptions(host_id="plant-host", mode=mode, limits=HostLimits(reorder_s=0.5, rebirth_interval_s=0.2))
        source = MqttSource(MqttOptions(host="127.0.0.1", port=port, client_id="engine", protocol=protocol))
        options = EngineOptions(session=SessionOptions(host=host))
        self.engine = Engine(dsn=dsn, source=source, options=options)
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Running":
        self._task = asyncio.create_task(self.engine.run(self._stop))
        assert await self.engine.listening(20)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        assert self._task is not None
        await self._task


class Witness:
    """Whoever listens at the broker."""

    def __init__(self, port: int, topic_filter: str) -> None:
        self.seen: list[paho.MQTTMessage] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _client, _userdata, message: self.seen.append(message)
        self._client.on_connect = lambda client, *_: client.subscribe(topic_filter, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, 1, retain=True).wait_for_publish(5)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def plant(dsn: str, tmp_path: Path) -> str:
    (tmp_path / "plant.yaml").write_text(PLANT)
    apply(dsn, tmp_path / "plant.yaml")
    return dsn


async def vibrations(connection: asyncpg.Connection) -> list[tuple[float, int]]:
    return [
        (row["value"], row["quality"])
        for row in await connection.fetch(
            "SELECT value, quality FROM reading WHERE sensor_id = (SELECT id FROM sensor WHERE name = 'pump-7.vib_de')"
            " ORDER BY time"
        )
    ]


async def statuses(connection: asyncpg.Connection) -> dict[str, str]:
    return {row["name"]: row["status"] for row in await connection.fetch("SELECT name, status FROM device")}


async def test_an_edge_node_is_born_sends_dies_returns_and_is_right_in_the_database(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    async with Running(plant, mosquitto.port, HostMode.SECONDARY_ACTIVE):
        node = EdgeNode(mosquitto.port)
        try:
            await node.says("born")
            await node.tell("send 2 3 4")

            async def three() -> bool:
                return len(await vibrations(connection)) == 4

            await until(three, "the birth's value and three more are stored")
            assert await vibrations(connection) == [(1, 0), (2, 0), (3, 0), (4, 0)]
            sensors = {row["name"]: row["origin"] for row in await connection.fetch("SELECT name, origin FROM sensor")}
            assert sensors == dict.fromkeys(
                ("edge-1.cpu_load", "pump-7.vib_de", "pump-7.running", "pump-7.revolutions"), "birth"
            )
            assert await connection.fetchval(
                "SELECT value FROM reading WHERE sensor_id = (SELECT id FROM sensor WHERE name = 'pump-7.revolutions')"
            ) == float(2**63 + 5)
            assert await statuses(connection) == {
                "edge": "online",
                "hall-2/edge-1": "online",
                "hall-2/edge-1/pump-7": "online",
            }
        finally:
            node.kill()

        async def gone() -> bool:
            return (await statuses(connection))["hall-2/edge-1"] == "offline"

        await until(gone, "the broker has told of the death")
        assert (await statuses(connection))["hall-2/edge-1/pump-7"] == "offline"
        assert (await vibrations(connection))[-1] == (4, 3), "the last value is stale"

        node = EdgeNode(mosquitto.port)
        try:
            await node.says("born")
            await node.tell("send 5 6")

            async def back() -> bool:
                return (await vibrations(connection))[-2:] == [(5, 0), (6, 0)]

            await until(back, "readings of the new session are stored")
            assert (await statuses(connection))["hall-2/edge-1/pump-7"] == "online"
        finally:
            node.kill()
    assert await connection.fetchval("SELECT bool_and(balanced) FROM ledger")
    assert await connection.fetchval("SELECT count(*) FROM quarantined_reading") == 0


async def test_a_host_that_loses_the_broker_says_that_nothing_is_known_until_devices_are_heard_again(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    async with Running(plant, mosquitto.port, HostMode.SECONDARY_ACTIVE):
        node = EdgeNode(mosquitto.port)
        try:
            await node.says("born")
            await node.tell("send 2")

            async def two() -> bool:
                return len(await vibrations(connection)) == 2

            await until(two, "readings are stored")
            mosquitto.stop(signal.SIGKILL)  # politely it would speak the node's Will first

            async def stale() -> bool:
                return (await statuses(connection))["hall-2/edge-1/pump-7"] == "stale"

            await until(stale, "the device is stale")
            assert (await vibrations(connection))[-1] == (2, 3)
            mosquitto.start()
        finally:
            node.kill()
        node = EdgeNode(mosquitto.port)
        try:
            await node.says("born")
            await node.tell("send 3")

            async def back() -> bool:
                return (3, 0) in await vibrations(connection)

            await until(back, "readings are stored again", 60)
            assert (await statuses(connection))["hall-2/edge-1/pump-7"] == "online"
        finally:
            node.kill()


async def test_a_restarted_passive_host_understands_what_was_born_before_it(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    """tck-id-host-topic-phid-birth-sub-required is about births; a passive host has no way to ask for them again."""
    node = None
    try:
        async with Running(plant, mosquitto.port, HostMode.SECONDARY_PASSIVE):
            node = EdgeNode(mosquitto.port)
            await node.says("born")
            await node.tell("send 2")

            async def two() -> bool:
                return len(await vibrations(connection)) == 2

            await until(two, "readings are stored")
        async with Running(plant, mosquitto.port, HostMode.SECONDARY_PASSIVE):
            await node.tell("send 3")

            async def three() -> bool:
                return (3, 0) in await vibrations(connection)

            await until(three, "a reading after the restart is stored")
    finally:
        if node is not None:
            node.kill()


async def test_commands_reach_the_device_and_what_cannot_be_sent_is_refused_with_the_reason(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    """tck-id-topics-ncmd-mqtt, tck-id-topics-dcmd-mqtt, tck-id-payloads-ncmd-qos, tck-id-payloads-ncmd-retain,
    tck-id-payloads-dcmd-qos, tck-id-payloads-dcmd-retain
    """
    witness = Witness(mosquitto.port, "spBv1.0/+/+/#")
    async with Running(plant, mosquitto.port, HostMode.SECONDARY_ACTIVE):
        node = EdgeNode(mosquitto.port)
        try:
            await node.says("born")

            async def known() -> bool:
                return "hall-2/edge-1/pump-7" in await statuses(connection)

            await until(known, "the device is in the registry")
            asked = await request_command(connection, "hall-2/edge-1/pump-7", "running", False, requested_by="test")
            wrong = await request_command(connection, "hall-2/edge-1/pump-7", "runing", False, requested_by="test")

            async def settled() -> bool:
                found = await find_command(connection, wrong.id)
                return found is not None and found.outcome != "pending"

            await until(settled, "the engine has looked at both")
            sent, refused = await find_command(connection, asked.id), await find_command(connection, wrong.id)
            assert sent is not None
            assert sent.outcome == "sent"
            assert refused is not None
            assert "did you mean 'running'" in (refused.refused or "")
            await asyncio.sleep(0.5)
            await node.tell("send 9")
            assert "command running False" in node.commands
            # The will of this node's session never came: a later birth asks nothing. So ask for the node's own metric.
            await request_command(connection, "hall-2/edge-1", "cpu load", 0.25, requested_by="test")

            async def both() -> bool:
                return {kind for each in witness.seen if (kind := each.topic.split("/")[2]).endswith("CMD")} == {
                    "NCMD",
                    "DCMD",
                }

            await until(both, "a command to the node, too")
            commands = [each for each in witness.seen if each.topic.split("/")[2].endswith("CMD")]
            assert {(each.qos, each.retain) for each in commands} == {(0, False)}
        finally:
            node.kill()
            witness.close()


async def test_the_state_of_a_primary_host_is_born_dies_and_contradicts_who_says_otherwise(
    plant: str, mosquitto: Any
) -> None:
    """tck-id-principles-birth-certificates-order, tck-id-host-topic-phid-birth-message,
    tck-id-host-topic-phid-birth-required, tck-id-message-flow-phid-sparkplug-state-publish,
    tck-id-message-flow-phid-sparkplug-subscription, tck-id-host-topic-phid-birth-sub-required,
    tck-id-payloads-state-subscribe, tck-id-operational-behavior-host-application-connect-birth,
    tck-id-message-flow-hid-sparkplug-state-message-delivered, tck-id-operational-behavior-host-application-termination,
    tck-id-host-topic-phid-death-retain, tck-id-host-topic-phid-death-payload-timestamp-disconnect-clean
    """
    mosquitto.stop()
    mosquitto.extra = "max_inflight_messages 0\nlog_type all"
    mosquitto.start()
    witness = Witness(mosquitto.port, "spBv1.0/STATE/#")
    try:
        async with Running(plant, mosquitto.port, HostMode.PRIMARY):

            async def born() -> bool:
                return bool(witness.seen)

            await until(born, "STATE is published")
            first = json.loads(witness.seen[0].payload)
            assert witness.seen[0].topic == STATE
            assert witness.seen[0].qos == 1
            assert first["online"] is True
            assert isinstance(first["timestamp"], int)

            denial = json.dumps({"online": False, "timestamp": first["timestamp"] - 5}).encode()
            await asyncio.to_thread(witness.publish, STATE, denial)

            async def contradicted() -> bool:
                return len(witness.seen) >= 3

            await until(contradicted, "it says again that it is there")
            assert json.loads(witness.seen[-1].payload) == first

        async def died() -> bool:
            return json.loads(witness.seen[-1].payload)["online"] is False

        await until(died, "its death is published")
        last = json.loads(witness.seen[-1].payload)
        assert last["timestamp"] > first["timestamp"], "a death on purpose has the time of the disconnect"
        log = (mosquitto.folder / "mosquitto.log").read_text()
        subscribed = log.index("Sending SUBACK to engine-sparkplug")
        assert log.index(STATE) < subscribed < log.index("Received PUBLISH from engine-sparkplug")
        late = Witness(mosquitto.port, STATE)
        try:

            async def retained() -> bool:
                return bool(late.seen)

            await until(retained, "the death is retained")
            assert late.seen[0].retain
            assert json.loads(late.seen[0].payload)["online"] is False
        finally:
            late.close()
    finally:
        witness.close()


async def test_the_will_of_a_lost_primary_host_has_the_timestamp_of_its_birth(plant: str, mosquitto: Any) -> None:
    """tck-id-host-topic-phid-death-required, tck-id-operational-behavior-host-application-connect-will,
    tck-id-payloads-state-will-message, tck-id-payloads-state-will-message-payload,
    tck-id-host-topic-phid-birth-payload-timestamp
    """
    witness = Witness(mosquitto.port, STATE)
    try:
        running = Running(plant, mosquitto.port, HostMode.PRIMARY)
        async with running:

            async def born() -> bool:
                return bool(witness.seen)

            await until(born, "STATE is published")
            birth = json.loads(witness.seen[0].payload)
            edge = running.engine._edge
            assert edge is not None
            assert edge._connection is not None
            line = edge._connection._socket()
            assert line is not None
            line._sock.shutdown(2)  # as when the cable is pulled: the broker speaks our Will

            async def will() -> bool:
                return any(not json.loads(each.payload)["online"] for each in witness.seen)

            await until(will, "the broker has spoken the Will")
            spoken = next(json.loads(e.payload) for e in witness.seen if not json.loads(e.payload)["online"])
            assert spoken == {"online": False, "timestamp": birth["timestamp"]}

            async def again() -> bool:
                return json.loads(witness.seen[-1].payload)["online"] is True

            await until(again, "it is born again")
            assert json.loads(witness.seen[-1].payload)["timestamp"] > birth["timestamp"]
    finally:
        witness.close()


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_the_hosts_session_is_forgotten_and_the_gateways_is_kept(
    plant: str, mosquitto: Any, protocol: Literal["3.1.1", "5"]
) -> None:
    """tck-id-message-flow-phid-sparkplug-clean-session-311, tck-id-message-flow-phid-sparkplug-clean-session-50"""
    async with Running(plant, mosquitto.port, HostMode.SECONDARY_PASSIVE, protocol):
        pass
    kept = {}
    for client_id in ("engine", "engine-sparkplug"):
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
        client.on_connect = lambda _c, name, flags, *_: kept.update({name: flags.session_present})
        client.user_data_set(client_id)
        client.connect("127.0.0.1", mosquitto.port)
        client.loop_start()

        async def answered(name: str = client_id) -> bool:
            return name in kept

        await until(answered, "the broker answers")
        client.disconnect()
        client.loop_stop()
    assert kept == {"engine": True, "engine-sparkplug": False}
    log = (mosquitto.folder / "mosquitto.log").read_text()
    [line] = [line for line in log.splitlines() if "as engine-sparkplug (" in line and ", c1," in line]
    assert f"(p{5 if protocol == '5' else 2}, c1," in line, "Clean Start, or Clean Session"


@pytest.mark.parametrize("mode", [HostMode.SECONDARY_PASSIVE, HostMode.SECONDARY_ACTIVE])
async def test_a_secondary_host_has_no_state(plant: str, mosquitto: Any, mode: HostMode) -> None:
    witness = Witness(mosquitto.port, "spBv1.0/STATE/#")
    try:
        async with Running(plant, mosquitto.port, mode):
            await asyncio.sleep(1)
        assert not witness.seen
    finally:
        witness.close()
