"""The host's own STATE, and what its connection must be like."""

import json
from typing import Any

import pysparkplug
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.sparkplug.state import HostIdentity, HostMode, StateMessage, read_state
from telemetry.errors import ConfigurationError

MS = 1_700_000_000_000
NOW = MS * 1000 + 999
PRIMARY = HostIdentity(host_id="works-1", mode=HostMode.PRIMARY)
TOPIC = "spBv1.0/STATE/works-1"


def message(state: StateMessage | None) -> tuple[str, Any, int, bool]:
    assert state is not None
    return state.topic, json.loads(state.payload.decode()), state.qos, state.retain


def test_the_will_says_offline_at_the_time_of_the_connect() -> None:
    """tck-id-host-topic-phid-death-topic, tck-id-host-topic-phid-death-qos,
    tck-id-host-topic-phid-death-retain, tck-id-host-topic-phid-death-payload,
    tck-id-host-topic-phid-death-payload-timestamp-connect, tck-id-host-topic-phid-death-required,
    tck-id-payloads-state-will-message, tck-id-payloads-state-will-message-qos,
    tck-id-payloads-state-will-message-retain, tck-id-payloads-state-will-message-payload,
    tck-id-operational-behavior-host-application-connect-will,
    tck-id-operational-behavior-host-application-connect-will-topic,
    tck-id-operational-behavior-host-application-connect-will-payload,
    tck-id-operational-behavior-host-application-connect-will-qos,
    tck-id-operational-behavior-host-application-connect-will-retained"""
    will = PRIMARY.session(NOW).will()
    assert message(will) == (TOPIC, {"online": False, "timestamp": MS}, 1, True)


def test_the_birth_says_online_with_the_timestamp_of_the_will() -> None:
    """tck-id-host-topic-phid-birth-topic, tck-id-host-topic-phid-birth-qos,
    tck-id-host-topic-phid-birth-retain, tck-id-host-topic-phid-birth-payload,
    tck-id-host-topic-phid-birth-payload-timestamp, tck-id-message-flow-phid-sparkplug-state-publish-payload,
    tck-id-message-flow-phid-sparkplug-state-publish-payload-timestamp, tck-id-payloads-state-birth,
    tck-id-payloads-state-birth-payload, tck-id-operational-behavior-host-application-connect-birth-topic,
    tck-id-operational-behavior-host-application-connect-birth-payload,
    tck-id-operational-behavior-host-application-connect-birth-qos,
    tck-id-operational-behavior-host-application-connect-birth-retained, tck-id-intro-sparkplug-host-state,
    tck-id-components-ph-state, tck-id-conformance-primary-host"""
    session = PRIMARY.session(NOW)
    assert message(session.birth()) == (TOPIC, {"online": True, "timestamp": MS}, 1, True)
    assert session.birth() == session.birth()


def test_the_death_before_a_disconnect_has_the_time_of_the_disconnect() -> None:
    """tck-id-operational-behavior-host-application-termination,
    tck-id-operational-behavior-host-application-death-topic,
    tck-id-operational-behavior-host-application-death-payload,
    tck-id-operational-behavior-host-application-death-qos,
    tck-id-operational-behavior-host-application-death-retained,
    tck-id-host-topic-phid-death-payload-timestamp-disconnect-clean,
    tck-id-host-topic-phid-death-payload-timestamp-disconnect-with-no-disconnect-packet"""
    later = NOW + 3_600_000_000
    assert message(PRIMARY.session(NOW).death(later)) == (
        TOPIC,
        {"online": False, "timestamp": later // 1000},
        1,
        True,
    )


def test_each_connection_has_its_own_timestamp() -> None:
    """tck-id-operational-behavior-host-application-multi-server-timestamp"""
    one, other = PRIMARY.session(NOW), PRIMARY.session(NOW + 5_000_000)
    assert (one.timestamp_ms, other.timestamp_ms) == (MS, MS + 5_000)


def test_an_own_offline_is_answered_with_the_birth() -> None:
    """tck-id-message-flow-hid-sparkplug-state-message-delivered"""
    session = PRIMARY.session(NOW)
    old = b'{"online": false, "timestamp": 5}'
    assert session.answer(TOPIC, old) == session.birth()


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (TOPIC, b'{"online": true, "timestamp": 5}'),
        (TOPIC, b'{"online": 0, "timestamp": 5}'),
        (TOPIC, b"OFFLINE"),
        (TOPIC, b""),
        (TOPIC, b"\xff"),
        ("spBv1.0/STATE/works-2", b'{"online": false, "timestamp": 5}'),
    ],
)
def test_nothing_else_is_answered(topic: str, payload: bytes) -> None:
    assert PRIMARY.session(NOW).answer(topic, payload) is None


@pytest.mark.parametrize("mode", [HostMode.SECONDARY_PASSIVE, HostMode.SECONDARY_ACTIVE])
def test_a_secondary_host_has_no_state(mode: HostMode) -> None:
    identity = HostIdentity(host_id="works-1", mode=mode)
    session = identity.session(NOW)
    offline = b'{"online": false, "timestamp": 5}'
    assert [session.will(), session.birth(), session.death(NOW), session.answer(TOPIC, offline)] == [None] * 4


@pytest.mark.parametrize("host_id", ["", "a/b", "a+", "#", "a\0", "a\n", "x" * 201, "\ud800"])
def test_an_id_that_cannot_stand_in_a_topic_is_an_error(host_id: str) -> None:
    """tck-id-operational-behavior-host-application-host-id"""
    with pytest.raises(ConfigurationError, match="cannot stand in a topic"):
        HostIdentity(host_id=host_id)


def test_pysparkplug_reads_our_state_and_we_read_theirs() -> None:
    """tck-id-host-topic-phid-birth-payload"""
    birth = PRIMARY.session(NOW).birth()
    assert birth is not None
    assert pysparkplug.State.decode(birth.payload) == pysparkplug.State(timestamp=MS, online=True)
    assert read_state(pysparkplug.State(timestamp=MS, online=False).encode()) is False


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_a_state_or_none(payload: bytes) -> None:
    assert read_state(payload) in {True, False, None}
