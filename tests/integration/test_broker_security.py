"""A real Mosquitto with the files that `precursor broker files` writes: who gets in, who may say and hear what."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import structlog
import trustme
from click.testing import CliRunner
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from ingest.mqtt import MqttOptions, MqttSource
from precursor.broker_files import Access, BrokerOptions, write_files
from precursor.broker_passwords import set_password
from precursor.cli.broker import broker as broker_command
from precursor.embedded import find_mosquitto
from precursor.plantfile import PlantDefinition
from precursor.plantfile.definition import SiteDefinition
from telemetry.plant import Gateway, PayloadFormat

PATIENCE_S = 20.0
SECRETS = {name: f"the password of {name}" for name in ("engine", "gw-1", "gw-2", "north")}
NOT_AUTHORIZED = 135

PLANT = PlantDefinition(
    sites=(SiteDefinition(name="works", title="", subscribe=("works/#",)),),
    gateways=(
        Gateway(name="gw-1", site="works", topic="works/gw-1/{line}"),
        Gateway(name="gw-2", site="works", topic="works/gw-2"),
        Gateway(name="edge", site="works", topic="spBv1.0/Plant/#", format=PayloadFormat.SPARKPLUG_B),
    ),
)


@dataclass
class Certificates:
    """An authority, the broker's certificate, and files of others as they are asked for."""

    folder: Path
    authority: trustme.CA

    @property
    def ca(self) -> Path:
        path = self.folder / "authority.pem"
        self.authority.cert_pem.write_to_path(str(path))
        return path

    def broker(self, name: str = "127.0.0.1", **options: Any) -> None:
        issued = self.authority.issue_cert(name, **options)
        issued.private_key_pem.write_to_path(str(self.folder / "server.key"))
        issued.cert_chain_pems[0].write_to_path(str(self.folder / "server.crt"))
        self.authority.cert_pem.write_to_path(str(self.folder / "ca.crt"))

    def client(self, user: str, authority: trustme.CA | None = None) -> dict[str, Path]:
        issued = (authority or self.authority).issue_cert(f"{user}@works", common_name=user)
        files = {"cert_file": self.folder / f"{user}.crt", "key_file": self.folder / f"{user}.key"}
        issued.cert_chain_pems[0].write_to_path(str(files["cert_file"]))
        issued.private_key_pem.write_to_path(str(files["key_file"]))
        files["key_file"].chmod(0o600)
        return files


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    folder = tmp_path / "broker"
    folder.mkdir()
    return Certificates(folder=folder, authority=trustme.CA())


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    """A broker that runs."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        return (self.folder / "broker.log").read_text()

    def reload(self) -> None:
        """Let it read its files again; takes log_type information."""
        self.process.send_signal(signal.SIGHUP)
        _until(lambda: "Reloading config" in self.log)


StartBroker = Callable[..., Running]


@pytest.fixture
def start_broker(certificates: Certificates, port: int) -> Iterator[StartBroker]:
    """Writes the files as the command does, and starts Mosquitto on them."""
    program = find_mosquitto()
    if program is None:
        pytest.skip("no mosquitto on this machine: access control is NOT tested here")
    started: list[subprocess.Popen[bytes]] = []

    def start(*, extra: str = "", **changes: Any) -> Running:
        folder = certificates.folder
        settings: dict[str, Any] = {"address": "127.0.0.1", "port": port, "folder": str(folder), "data": str(folder)}
        options = BrokerOptions(**(settings | changes))
        write_files(folder, PLANT, options)
        if options.access is Access.PASSWORD:
            for user, secret in SECRETS.items():
                set_password(folder / "passwd", user, secret)
        config = folder / "mosquitto.conf"
        as_root = "user root\n" if os.geteuid() == 0 else ""
        # Standard output would be held back in a buffer.
        config.write_text(
            config.read_text().replace("log_dest stdout", f"log_dest file {folder}/broker.log") + extra + as_root
        )
        process = subprocess.Popen([program, "-c", str(config)])
        started.append(process)
        running = Running(folder=folder, process=process)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert process.poll() is None, running.log
            assert time.monotonic() < deadline
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return running
            time.sleep(0.02)

    yield start
    for process in started:
        process.terminate()
        process.wait(PATIENCE_S)


class Connect:
    """Makes sources, which are stopped when the test ends."""

    def __init__(self, stack: AsyncExitStack, port: int) -> None:
        self._stack, self._port = stack, port

    async def __call__(self, *subscriptions: str, **changes: Any) -> MqttSource:
        settings: dict[str, Any] = {"port": self._port, "client_id": "engine", "retry_max_s": 0.5}
        source = MqttSource(MqttOptions(**(settings | changes)))
        self._stack.push_async_callback(source.stop)
        await source.start(subscriptions or ("#",))
        return source


@pytest.fixture
async def connect(port: int) -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:
        yield Connect(stack, port)


class Device:
    """A client as a gateway has one: says something and learns what the broker answers; keeps what it hears."""

    def __init__(
        self, user: str, port: int, *, version: str = "5", tls: ssl.SSLContext | None = None, client_id: str = ""
    ) -> None:
        protocol = MQTTProtocolVersion.MQTTv5 if version == "5" else MQTTProtocolVersion.MQTTv311
        self.heard: list[tuple[str, bytes]] = []
        self.answers: list[ReasonCode] = []
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id or f"{user}-client", protocol=protocol
        )
        self._client.username_pw_set(user, SECRETS[user])
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.on_message = lambda _client, _userdata, message: self.heard.append(
            (message.topic, bytes(message.payload))
        )
        self._client.on_publish = lambda _client, _userdata, _mid, reason, _properties: self.answers.append(reason)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def listen(self, *filters: str) -> None:
        granted: list[object] = []
        self._client.on_subscribe = lambda *_: granted.append(None)
        self._client.subscribe([(each, 1) for each in filters])
        _until(lambda: bool(granted))

    def say(self, topic: str, payload: bytes = b"1", *, qos: int = 1) -> ReasonCode:
        before = len(self.answers)
        self._client.publish(topic, payload, qos)
        _until(lambda: len(self.answers) > before)
        return self.answers[-1]

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def device(port: int) -> Iterator[Callable[..., Device]]:
    made: list[Device] = []

    def make(user: str, **options: Any) -> Device:
        made.append(Device(user, port, **options))
        return made[-1]

    yield make
    for each in made:
        each.leave()


async def heard_by(source: MqttSource, count: int) -> list[tuple[str, bytes]]:
    """So many messages, and that no more come."""
    messages: list[tuple[str, bytes]] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(messages) < count:
            received = await source.receive()
            source.ack(received)
            messages += [(message.topic, message.payload) for message in received]
    assert await source.receive(timeout_s=0.3) == []
    return messages


def engine_login(certificates: Certificates | None = None) -> dict[str, Any]:
    login: dict[str, Any] = {"username": "engine", "password": SECRETS["engine"]}
    return login if certificates is None else login | {"ca_file": certificates.ca}


async def refused(connect: Connect, **settings: Any) -> list[dict[str, Any]]:
    """What is logged while a source that cannot connect tries several times."""
    with structlog.testing.capture_logs() as logs:
        source = await connect(**settings)
        assert not await source.ready(1.2)
        await source.stop()
    return [dict(entry) for entry in logs]


PLAIN: dict[str, Any] = {"tls": False}


async def test_the_right_password_opens_and_the_wrong_one_is_refused_and_said_once(
    start_broker: StartBroker, connect: Connect
) -> None:
    start_broker(**PLAIN)
    source = await connect(**engine_login())
    assert await source.ready(PATIENCE_S)
    for wrong in ("not the password", SECRETS["gw-1"]):
        [entry] = await refused(connect, username="engine", password=wrong, client_id="stranger")
        assert entry["event"] == "mqtt_connection_refused"
        assert "user name and password" in entry["advice"]


async def test_nobody_gets_in_without_a_name_or_with_a_password_taken_away(
    start_broker: StartBroker, connect: Connect
) -> None:
    running = start_broker(**PLAIN, extra="log_type information\n")
    [entry] = await refused(connect, client_id="anonymous")
    assert entry["event"] == "mqtt_connection_refused"
    engine = await connect(**engine_login())
    assert await engine.ready(PATIENCE_S)
    passwords = str(running.folder / "passwd")
    assert CliRunner().invoke(broker_command, ["password", passwords, "engine", "--delete"]).exit_code == 0
    await asyncio.to_thread(running.reload)
    await engine.stop()
    [entry] = await refused(connect, **engine_login())
    assert entry["event"] == "mqtt_connection_refused"


async def test_a_gateway_is_heard_on_its_own_topics_and_on_no_other(
    start_broker: StartBroker, connect: Connect, device: Callable[..., Device]
) -> None:
    start_broker(**PLAIN)
    engine = await connect(**engine_login())
    assert await engine.ready(PATIENCE_S)
    gateway = device("gw-1")
    foreign = ["works/gw-2", "works/gw-1", "works/gw-1/a/b", "other", "spBv1.0/Plant/NDATA/north", "$SYS/x", "$x"]
    answers = [await asyncio.to_thread(gateway.say, topic, b"foreign") for topic in foreign]
    assert [answer.value for answer in answers] == [NOT_AUTHORIZED] * len(foreign)
    answer = await asyncio.to_thread(gateway.say, "works/gw-1/line-7", b"own")
    assert not answer.is_failure
    assert await heard_by(engine, 1) == [("works/gw-1/line-7", b"own")]


async def test_mqtt_3_tells_a_gateway_nothing_when_its_message_is_refused(
    start_broker: StartBroker, connect: Connect, device: Callable[..., Device]
) -> None:
    running = start_broker(**PLAIN, extra="log_type all\n")
    engine = await connect(**engine_login())
    assert await engine.ready(PATIENCE_S)
    gateway = device("gw-1", version="3.1.1")
    assert not (await asyncio.to_thread(gateway.say, "works/gw-2", b"foreign")).is_failure
    assert not (await asyncio.to_thread(gateway.say, "works/gw-1/x", b"own")).is_failure
    assert await heard_by(engine, 1) == [("works/gw-1/x", b"own")]
    # So says the access list; the broker's log is where it shows.
    assert "Denied PUBLISH from gw-1-client" in running.log


async def test_a_gateway_hears_nobody(
    start_broker: StartBroker, connect: Connect, device: Callable[..., Device]
) -> None:
    start_broker(**PLAIN)
    engine = await connect(**engine_login())
    assert await engine.ready(PATIENCE_S)
    listener, speaker = device("gw-1"), device("gw-2")
    listener.listen("#", "works/#", "spBv1.0/Plant/#", "$SYS/#")
    await asyncio.to_thread(speaker.say, "works/gw-2", b"secret")
    await asyncio.to_thread(listener.say, "works/gw-1/x", b"own")
    await heard_by(engine, 2)
    assert listener.heard == []


async def test_an_edge_node_says_and_hears_what_is_its_own(
    start_broker: StartBroker, connect: Connect, device: Callable[..., Device]
) -> None:
    start_broker(**PLAIN)
    source = await connect(**(engine_login() | {"client_id": "source"}))
    assert await source.ready(PATIENCE_S)
    node, engine = device("north"), device("engine")
    # Its own connection: Mosquitto 2.0.11 ends one on MQTT 5 whose message it refuses.
    listener = device("north", client_id="north-listener")
    listener.listen("spBv1.0/#")
    own = ["NBIRTH/north", "NDATA/north", "NDEATH/north", "DBIRTH/north/d", "DDATA/north/d", "DDEATH/north/d"]
    foreign = ["NDATA/south", "DDATA/south/d", "NCMD/north", "NCMD/south", "DCMD/south/d", "NDATA/north/d"]
    for each in own:
        assert not (await asyncio.to_thread(node.say, f"spBv1.0/Plant/{each}")).is_failure, each
    for topic in [f"spBv1.0/Plant/{each}" for each in foreign] + ["spBv1.0/Other/NDATA/north", "spBv1.0/STATE/host"]:
        assert (await asyncio.to_thread(node.say, topic)).value == NOT_AUTHORIZED, topic
    heard = await heard_by(source, len(own))
    assert [topic for topic, _ in heard] == [f"spBv1.0/Plant/{each}" for each in own]
    commands = ["Plant/NCMD/north", "Plant/DCMD/north/d", "STATE/host"]
    for each in [*commands, "Plant/NCMD/south", "Plant/DCMD/south/d"]:
        assert not (await asyncio.to_thread(engine.say, f"spBv1.0/{each}")).is_failure, each
    await heard_by(source, len(commands) + 2)
    assert (await asyncio.to_thread(engine.say, "spBv1.0/Plant/NDATA/north")).value == NOT_AUTHORIZED
    assert [topic for topic, _ in listener.heard] == [f"spBv1.0/{each}" for each in commands]


async def test_a_packet_beyond_the_limit_costs_the_connection_and_is_not_acknowledged(
    start_broker: StartBroker, connect: Connect, device: Callable[..., Device]
) -> None:
    start_broker(**PLAIN, max_payload_bytes=10_000)
    engine = await connect(**engine_login())
    assert await engine.ready(PATIENCE_S)
    gateway = device("gw-2", version="3.1.1")
    # What the engine does not take, it is still given: it keeps the reason, which the broker would not.
    assert not (await asyncio.to_thread(gateway.say, "works/gw-2", b"x" * 100_000)).is_failure
    lost: list[object] = []
    gateway._client.on_disconnect = lambda *_: lost.append(None)
    gateway._client.publish("works/gw-2", b"x" * 200_000, 1)
    await asyncio.to_thread(_until, lambda: bool(lost))
    assert len(gateway.answers) == 1
    assert [len(payload) for _, payload in await heard_by(engine, 1)] == [100_000]


async def test_passwords_travel_encrypted_to_a_broker_that_proves_who_it_is(
    start_broker: StartBroker, connect: Connect, device: Callable[..., Device], certificates: Certificates
) -> None:
    certificates.broker()
    start_broker()
    engine = await connect(**engine_login(certificates))
    assert await engine.ready(PATIENCE_S)
    gateway = device("gw-2", tls=ssl.create_default_context(cafile=str(certificates.ca)))
    await asyncio.to_thread(gateway.say, "works/gw-2", b"1")
    assert await heard_by(engine, 1) == [("works/gw-2", b"1")]


async def test_a_client_certificate_is_the_user(
    start_broker: StartBroker, connect: Connect, certificates: Certificates, port: int
) -> None:
    certificates.broker()
    start_broker(access=Access.CERTIFICATE)
    # No password, and a name that the certificate overrules.
    engine = await connect(ca_file=certificates.ca, **certificates.client("engine"))
    assert await engine.ready(PATIENCE_S)
    context = ssl.create_default_context(cafile=str(certificates.ca))
    files = certificates.client("gw-2")
    context.load_cert_chain(files["cert_file"], files["key_file"])
    gateway = Device("gw-1", port, tls=context)
    assert (await asyncio.to_thread(gateway.say, "works/gw-1/x", b"foreign")).value == NOT_AUTHORIZED
    assert not (await asyncio.to_thread(gateway.say, "works/gw-2", b"own")).is_failure
    gateway.leave()
    assert await heard_by(engine, 1) == [("works/gw-2", b"own")]


@pytest.mark.parametrize("version", ["3.1.1", "5"])
@pytest.mark.parametrize("case", ["none", "of another authority"])
async def test_without_a_certificate_the_broker_knows_nobody_gets_in_and_it_is_said_once(
    start_broker: StartBroker, connect: Connect, certificates: Certificates, case: str, version: str
) -> None:
    certificates.broker()
    start_broker(access=Access.CERTIFICATE)
    files = {} if case == "none" else certificates.client("engine", trustme.CA())
    entries = await refused(connect, ca_file=certificates.ca, protocol=version, **files)
    assert [entry["event"] for entry in entries] == ["mqtt_broker_unreachable"]
    # The broker's reason, where it arrives before our own attempt to write fails.
    said = "certificate required" if case == "none" else "unknown ca"
    assert any(each in entries[0]["reason"] for each in (said, "EOF occurred in violation of protocol"))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("authority", "unable to get local issuer certificate|self-signed certificate"),
        ("expired", "certificate has expired"),
        ("name", "IP address mismatch"),
    ],
)
async def test_a_broker_that_cannot_prove_who_it_is_gets_no_password_and_it_is_said_once(
    start_broker: StartBroker, connect: Connect, certificates: Certificates, case: str, reason: str
) -> None:
    if case == "expired":
        certificates.broker(not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=datetime(2021, 1, 1, tzinfo=UTC))
    else:
        certificates.broker("broker.works" if case == "name" else "127.0.0.1")
    running = start_broker()
    trusted = certificates.ca
    if case == "authority":
        trustme.CA().cert_pem.write_to_path(str(running.folder / "other.pem"))
        trusted = running.folder / "other.pem"
    entries = await refused(connect, **(engine_login() | {"ca_file": trusted}))
    assert [entry["event"] for entry in entries] == ["mqtt_broker_unreachable"]
    assert any(each in entries[0]["reason"] for each in reason.split("|")), entries[0]["reason"]
    assert "as engine" not in running.log
