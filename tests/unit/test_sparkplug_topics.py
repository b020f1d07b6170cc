"""Topics of the Sparkplug B namespace."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.sparkplug.topics import MessageType, Topic, TopicError, parse_topic, state_topic

_LEVEL = st.text(st.characters(exclude_characters="+#/\0", exclude_categories=["Cs"]), min_size=1, max_size=20)


@pytest.mark.parametrize("kind", [kind for kind in MessageType if kind is not MessageType.STATE])
@settings(deadline=None)
@given(group=_LEVEL, node=_LEVEL, device=_LEVEL)
def test_a_topic_is_taken_apart_and_put_together(kind: MessageType, group: str, node: str, device: str) -> None:
    """tck-id-topic-structure, tck-id-topic-structure-namespace-valid-group-id,
    tck-id-topic-structure-namespace-valid-edge-node-id, tck-id-topic-structure-namespace-valid-device-id,
    tck-id-intro-group-id-string, tck-id-intro-edge-node-id-string, tck-id-intro-device-id-string"""
    topic = Topic(kind, group, node, device if kind.of_device else None)
    assert parse_topic(str(topic)) == topic


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("spBv1.0/g/NBIRTH/n", "g/n"),
        ("spBv1.0/g/NDATA/n", "g/n"),
        ("spBv1.0/g/NDEATH/n", "g/n"),
        ("spBv1.0/g/NCMD/n", "g/n"),
        ("spBv1.0/g/DBIRTH/n/d", "g/n/d"),
        ("spBv1.0/g/DDATA/n/d", "g/n/d"),
        ("spBv1.0/g/DDEATH/n/d", "g/n/d"),
        ("spBv1.0/g/DCMD/n/d", "g/n/d"),
        ("spBv1.0/Sparkplug B Devices/NDATA/Raspberry Pi", "Sparkplug B Devices/Raspberry Pi"),
    ],
)
def test_a_topic_leads_to_the_path_of_its_node_or_device(text: str, path: str) -> None:
    """tck-id-topics-nbirth-topic, tck-id-topics-ndata-topic, tck-id-topics-ndeath-topic,
    tck-id-topics-dbirth-topic, tck-id-topics-ddata-topic, tck-id-topics-ddeath-topic"""
    topic = parse_topic(text)
    assert topic.path == path
    assert topic.node_path == "/".join(path.split("/")[:2])


def test_a_state_topic_names_its_host() -> None:
    """tck-id-host-topic-phid-birth-topic, tck-id-host-topic-phid-death-topic"""
    assert parse_topic("spBv1.0/STATE/plant") == Topic(MessageType.STATE, host="plant")
    assert str(parse_topic("spBv1.0/STATE/plant")) == state_topic("plant") == "spBv1.0/STATE/plant"


@pytest.mark.parametrize(
    "text",
    [
        "spAv1.0/g/NDATA/n",
        "g/NDATA/n",
        "spBv1.0",
        "spBv1.0/g",
        "spBv1.0/g/NDATA",
        "spBv1.0/g/NOISE/n",
        "spBv1.0/g/ndata/n",
        "spBv1.0/g/NDATA/n/d",
        "spBv1.0/g/NBIRTH/n/d",
        "spBv1.0/g/DDATA/n",
        "spBv1.0/g/DBIRTH/n",
        "spBv1.0/g/DCMD/n",
        "spBv1.0/g/DDATA/n/d/e",
        "spBv1.0/g/STATE/n",
        "spBv1.0/STATE",
        "spBv1.0/STATE/h/x/y",
        "spBv1.0//NDATA/n",
        "spBv1.0/g/NDATA/",
        "spBv1.0/+/NDATA/n",
        "spBv1.0/g/NDATA/#",
        "spBv1.0/g/NDATA/a\0",
        "spBv1.0/g/NDATA/" + "n" * 700,
        "",
    ],
    ids=lambda text: text[:40].replace("\0", "NUL"),
)
def test_what_is_no_topic_of_sparkplug_is_an_error_that_says_why(text: str) -> None:
    """tck-id-topic-structure-namespace-a, tck-id-topic-structure-namespace-device-id-associated-message-types,
    tck-id-topic-structure-namespace-device-id-non-associated-message-types, tck-id-intro-group-id-chars,
    tck-id-intro-edge-node-id-chars, tck-id-intro-device-id-chars"""
    with pytest.raises(TopicError):
        parse_topic(text)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_topic_or_a_topic_error(text: str) -> None:
    for topic in (text, f"spBv1.0/{text}", f"spBv1.0/g/NDATA/{text}"):
        with contextlib.suppress(TopicError):
            assert str(parse_topic(topic)) == topic
