"""Settings of the MQTT source that make no sense are named before anything connects."""

import socket
from pathlib import Path
from typing import Any

import pytest

from ingest.message import Message
from ingest.mqtt_connection import Connection, Desk
from ingest.mqtt_options import MqttOptions, check_filter
from telemetry.errors import ConfigurationError


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"host": ""}, "host is empty"),
        ({"port": 0}, "port 0"),
        ({"port": 65_536}, "port 65536"),
        ({"client_id": ""}, "client id is empty"),
        ({"protocol": "3.1"}, "MQTT 3.1 is unknown"),
        ({"password": "x"}, "needs a user name"),
        ({"key_file": Path("k")}, "needs a certificate"),
        ({"keepalive_s": 0}, "keepalive of 0 s"),
        ({"max_unacknowledged": 0}, "at least one message"),
        ({"max_unacknowledged_bytes": 0}, "at least one message"),
        ({"retry_min_s": 0.0}, "must be positive"),
        ({"retry_min_s": 2.0, "retry_max_s": 1.0}, "in order"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], problem: str) -> None:
    settings: dict[str, Any] = {"client_id": "engine"}
    with pytest.raises(ConfigurationError, match=problem):
        MqttOptions(**(settings | changes))


def test_the_password_is_not_shown() -> None:
    options = MqttOptions(client_id="engine", username="u", password="geheim")
    assert "geheim" not in repr(options)


def test_without_tls_settings_there_is_no_tls() -> None:
    assert MqttOptions(client_id="engine").tls_context() is None
    assert MqttOptions(client_id="engine", tls=True).tls_context() is not None


def test_a_missing_authority_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "authority.pem"
    with pytest.raises(ConfigurationError, match=r"authority\.pem"):
        MqttOptions(client_id="engine", ca_file=missing).tls_context()


@pytest.mark.parametrize("topic_filter", ["a", "#", "+", "a/#", "+/b/+", "/", "a//b", "$SYS/#", "$share/g/a/#"])
def test_topic_filters_that_a_broker_takes(topic_filter: str) -> None:
    check_filter(topic_filter)


@pytest.mark.parametrize("topic_filter", ["", "a#", "a/#/b", "#/a", "a+/b", "a/+b", "a\0b", "ä" * 40_000])
def test_topic_filters_that_a_broker_refuses(topic_filter: str) -> None:
    with pytest.raises(ConfigurationError, match="topic filter"):
        check_filter(topic_filter)


@pytest.mark.parametrize("limit", [{"max_unacknowledged": 3}, {"max_unacknowledged_bytes": 30}])
def test_what_earlier_connections_brought_counts_against_the_limit_until_it_is_taken(limit: dict[str, Any]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        desk = Desk(woken=ours)
        desk.inbox.extend(Message(topic="t", payload=b"x" * 10, generation=1) for _ in range(3))
        connection = Connection(
            MqttOptions(client_id="engine", **limit),
            desk,
            generation=2,
            tls=None,
            established=lambda _: None,
            arrived=lambda: None,
            granted=lambda *_: None,
        )
        assert connection.is_full()
        desk.inbox.clear()
        assert not connection.is_full()
