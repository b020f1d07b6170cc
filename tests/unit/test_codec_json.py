"""JSON whose fields have a gateway's names, and which codec a gateway gets."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codecs.contract import Block, Fault, Item
from ingest.codecs.forms import codec_for
from ingest.codecs.json_readings import Frame, JsonCodec, NamedPoint, Point
from ingest.reasons import RejectReason
from telemetry.plant import Gateway, PayloadFormat

NOW = 1_700_000_100_000_000
TS = 1_700_000_000
TS_US = TS * 1_000_000
THEIRS = JsonCodec({"ts": "time", "value": "val", "sensor": "tag", "quality": "q", "values": "tags"})
NESTED = JsonCodec(
    {"ts": "header.time", "values": "body.tags", "quality": "header.q", "value": "body.v", "sensor": "tag"}
)


def read(codec: JsonCodec, document: Any, *, named: bool = True) -> list[Item | Block | Fault]:
    carried, items = codec.examine(json.dumps(document).encode(), named=named, now_us=NOW)
    assert carried == len(items)
    return items


def test_the_quick_pass_reads_their_names() -> None:
    point = THEIRS.decode_sensor(b'{"time": 5, "val": 1.5, "q": "bad"}')
    assert isinstance(point, Point)
    assert (point.ts, point.value, point.quality) == (5, 1.5, "bad")
    (named,) = THEIRS.decode_gateway(b'[{"tag": "a", "time": 5, "val": true}]')  # type: ignore[misc]  # an array is a list
    assert isinstance(named, NamedPoint)
    assert (named.sensor, named.ts, named.value, named.quality) == ("a", 5, True, None)
    frame = THEIRS.decode_gateway(b'{"time": [5], "tags": {"a": [1]}}')
    assert isinstance(frame, Frame)
    assert (frame.ts, frame.values) == ([5], {"a": [1.0]})


def test_the_quick_pass_does_not_read_ours_where_theirs_are_others() -> None:
    with pytest.raises(ValueError, match="time"):
        THEIRS.decode_sensor(b'{"ts": 5, "value": 1.5}')


def test_the_careful_pass_reads_their_names_and_speaks_of_them() -> None:
    sent = [
        {"tag": "a", "time": TS, "val": 1, "q": 3},
        {"tag": "a", "time": TS},
        {"time": TS, "val": 1},
        {"tag": "a"},
        5,
    ]
    good, no_value, no_sensor, no_time, no_object = read(THEIRS, sent)
    assert good == Item(sensor="a", time=TS_US, value=1.0, quality=3)
    assert [fault.detail for fault in (no_value, no_time) if isinstance(fault, Fault)] == [
        'The reading has no "val".',
        'The reading has no "time".',
    ]
    assert isinstance(no_sensor, Fault)
    assert '"tag"' in no_sensor.detail
    assert isinstance(no_object, Fault)
    assert '"tag": ..., "time": ..., "val": ...' in no_object.detail


def test_columns_of_their_names() -> None:
    items = read(THEIRS, {"time": [TS, "x"], "tags": {"a": [1, 2], "b": [1]}, "q": "stale"})
    assert items[0] == Item(sensor="a", time=TS_US, value=1.0, quality=3)
    faults = [(item.reason, json.loads(item.text or b"")) for item in items[1:] if isinstance(item, Fault)]
    assert faults == [
        (RejectReason.BAD_TIMESTAMP, {"tag": "a", "time": "x", "val": 2, "q": "stale"}),
        (RejectReason.LENGTH_MISMATCH, {"time": [TS, "x"], "tags": {"b": [1]}}),
    ]


def test_paths_into_nested_objects() -> None:
    (point,) = read(NESTED, {"header": {"time": TS, "q": "bad"}, "body": {"v": 2}}, named=False)
    assert point == Item(sensor=None, time=TS_US, value=2.0, quality=2)
    frame = read(NESTED, {"header": {"time": [TS]}, "body": {"tags": {"a": [1], "b": [None]}}})
    assert frame == [Item(sensor="a", time=TS_US, value=1.0, quality=0)]
    (flat,) = read(NESTED, {"header.time": TS, "body.v": 2, "tag": "a"})
    assert flat == Item(sensor="a", time=TS_US, value=2.0, quality=0)
    (missing,) = read(NESTED, {"header": 5, "body": {"v": 2}, "tag": "a"})
    assert isinstance(missing, Fault)
    assert missing.reason is RejectReason.MISSING_TIMESTAMP


def test_nested_fields_leave_all_to_the_careful_pass() -> None:
    for decode in (NESTED.decode_sensor, NESTED.decode_gateway):
        with pytest.raises(ValueError, match="careful"):
            decode(b'{"header.time": 5, "body.v": 1}')


@pytest.mark.parametrize("form", sorted(set(PayloadFormat) - {PayloadFormat.SPARKPLUG_B}))
def test_every_form_has_its_codec(form: PayloadFormat) -> None:
    sent = {
        PayloadFormat.JSON: b'{"n": "a", "ts": 1700000000, "value": 1}',
        PayloadFormat.SENML_JSON: b'[{"n": "a", "v": 1}]',
        PayloadFormat.SENML_CBOR: b"\x81\xa2\x00\x61a\x02\x01",
        PayloadFormat.WAVEFORM_JSON: b'{"sensor": "a", "ts": 1, "sample_rate_hz": 1, "samples": [1]}',
        PayloadFormat.WAVEFORM_CBOR: b"\xa4\x66sensor\x61a\x62ts\x01\x6esample_rate_hz\x01\x67samples\x81\x01",
    }
    gateway = Gateway(name="gw", topic="t", site="s", format=form, fields={"sensor": "n"})
    carried, (item,) = codec_for(gateway).examine(sent[form], named=True, now_us=NOW)
    assert carried == 1
    assert isinstance(item, (Item, Block))
    assert item.sensor == "a"


KEYS = st.sampled_from(["time", "val", "tag", "q", "tags", "header", "body", "v", "ts", "header.time"])
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.just(TS), st.sampled_from(["a", "bad", "\ud800"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=8,
)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from([JsonCodec(), THEIRS, NESTED]), VALUES, st.booleans())
def test_nothing_but_items_and_faults_comes_out(codec: JsonCodec, document: Any, named: bool) -> None:
    for item in read(codec, document, named=named):
        if isinstance(item, Fault):
            assert item.detail.isprintable()
            assert item.detail.endswith(".")
        else:
            assert isinstance(item, Item)
            assert (item.sensor is not None) is named
            assert isinstance(item.value, str) or math.isfinite(item.value)
