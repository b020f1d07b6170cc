"""Messages to readings and rejections: nothing raises, nothing is lost, the ledger adds up."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codecs.contract import Fault, Item
from ingest.codecs.json_readings import JsonCodec
from ingest.decoded import Decoded, Rejection
from ingest.decoder import Decoder
from ingest.limits import DoorLimits
from ingest.message import Message
from ingest.reasons import RejectReason
from telemetry.plant import Gateway, Plant, Sensor, SensorKind
from telemetry.quality import Quality

NOW = 1_700_000_100_000_000
TS = 1_700_000_000_000
TS_US = TS * 1000


def sensor(number: int, name: str, topic: str | None = None, **changes: Any) -> Sensor:
    settings = {"kind": SensorKind.MEASURED, "quantity": "velocity", "unit": "mm/s", "site": "north"}
    return Sensor(id=number, name=name, asset_id=1, topic=topic, **(settings | changes))


PLANT = Plant(
    revision=1,
    sensors=(
        sensor(11, "P-101.vib", "north/P-101/vib"),
        sensor(12, "P-101.temp", "north/P-101/temp", unit="degC", factor=5 / 9, offset=-32 * 5 / 9),
        sensor(13, "P-101.state", "north/P-101/state", kind=SensorKind.STATE, codes={"running": 1.0, "off": 0.0}),
        sensor(14, "M-7.current", "south/M-7/current", site="south", factor=1e300),
        sensor(15, "P-101.vib.score", kind=SensorKind.DERIVED, source_id=11),
        sensor(16, "P-101.valve", codes={"open": 1.0, "shut": 0.0}),
    ),
    gateways=(Gateway(name="plc-1", topic="gw/plc-1", site="north"),),
)
DECODER = Decoder(PLANT)
JSON = JsonCodec()


def decode(payload: Any, topic: str = "north/P-101/vib", decoder: Decoder = DECODER) -> Decoded:
    """One message; what is not bytes is sent as JSON. Always checks the ledger."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    decoded = decoder.decode([Message(topic=topic, payload=body, mid=1, qos=1)], NOW)
    assert decoded.unaccounted() == {}
    return decoded


def rows(decoded: Decoded) -> list[tuple[int, int, float, int]]:
    batch = decoded.batch
    columns = (batch.sensor_id.tolist(), batch.time.tolist(), batch.value.tolist(), batch.quality.tolist())
    return list(zip(*columns, strict=True))


def only(decoded: Decoded) -> Rejection:
    assert len(decoded.batch) == 0
    (rejection,) = decoded.rejections
    return rejection


@pytest.mark.parametrize(
    ("payload", "value", "quality"),
    [
        pytest.param({"ts": TS, "value": 1.5}, 1.5, Quality.GOOD, id="number"),
        pytest.param({"ts": TS, "value": 3}, 3.0, Quality.GOOD, id="integer"),
        pytest.param({"ts": TS, "value": True}, 1.0, Quality.GOOD, id="true is 1"),
        pytest.param({"ts": TS, "value": False}, 0.0, Quality.GOOD, id="false is 0"),
        pytest.param({"ts": TS, "value": 1, "quality": "bad"}, 1.0, Quality.BAD, id="quality in words"),
        pytest.param({"ts": TS, "value": 1, "quality": 3}, 1.0, Quality.STALE, id="quality as a number"),
        pytest.param({"ts": TS, "value": 1, "quality": None}, 1.0, Quality.GOOD, id="quality null"),
        pytest.param({"ts": str(TS), "value": 1, "quality": "uncertain"}, 1.0, Quality.UNCERTAIN, id="time as text"),
        pytest.param({"ts": "2023-11-14T22:13:20Z", "value": 1}, 1.0, Quality.GOOD, id="time in ISO 8601"),
        pytest.param({"ts": TS, "value": 1, "unit": "mm/s", "x": {"y": []}}, 1.0, Quality.GOOD, id="more fields"),
        pytest.param(b'{"ts": 1, "value": 9, "ts": 1700000000, "value": 2}', 2.0, Quality.GOOD, id="last key wins"),
        pytest.param(
            b'{"ts": 1700000000, "value": 123456789012345678901234567890}',
            123456789012345678901234567890.0,
            Quality.GOOD,
            id="huge integer",
        ),
    ],
)
def test_reading_on_its_own_topic(payload: Any, value: float, quality: Quality) -> None:
    decoded = decode(payload)
    assert decoded.rejections == []
    assert rows(decoded) == [(11, TS_US, value, quality)]
    assert decoded.received == {"north": 1}
    assert [decoded.sources[position] for position in decoded.source] == ["north"]


NESTED = b"[" * 200_000


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(b"", RejectReason.EMPTY_PAYLOAD, id="empty"),
        pytest.param(b" " * 1_048_576, RejectReason.PAYLOAD_TOO_LARGE, id="1 MiB"),
        pytest.param(b"\xff\xfe", RejectReason.INVALID_UTF8, id="not UTF-8"),
        pytest.param(b'{"ts": 1700000000, "value": "\xc3"}', RejectReason.INVALID_UTF8, id="half a character"),
        pytest.param(b'{"ts": 1700000000, "val', RejectReason.MALFORMED_JSON, id="cut off"),
        pytest.param(b"  ", RejectReason.MALFORMED_JSON, id="blank"),
        pytest.param(b'{"ts": 1700000000, "value": 1}}', RejectReason.MALFORMED_JSON, id="trailing brace"),
        pytest.param(NESTED, RejectReason.MALFORMED_JSON, id="nested deeply"),
        pytest.param(b'{"x":' * 20_000, RejectReason.MALFORMED_JSON, id="objects nested deeply"),
        pytest.param(b"42", RejectReason.WRONG_TYPE, id="bare number"),
        pytest.param(b"null", RejectReason.WRONG_TYPE, id="null"),
        pytest.param(b'"on"', RejectReason.WRONG_TYPE, id="bare text"),
        pytest.param([42], RejectReason.WRONG_TYPE, id="array of numbers"),
        pytest.param({"ts": TS, "value": [1]}, RejectReason.WRONG_TYPE, id="value is an array"),
        pytest.param({"ts": TS, "value": {}}, RejectReason.WRONG_TYPE, id="value is an object"),
        pytest.param({"ts": TS, "value": "1.5"}, RejectReason.WRONG_TYPE, id="number as text"),
        pytest.param(b'{"ts": 1700000000, "value": "\\ud800"}', RejectReason.WRONG_TYPE, id="lone surrogate"),
        pytest.param({"ts": TS, "value": "\0"}, RejectReason.WRONG_TYPE, id="NUL"),
        pytest.param({"ts": TS}, RejectReason.MISSING_VALUE, id="no value"),
        pytest.param({"ts": TS, "value": None}, RejectReason.MISSING_VALUE, id="value null"),
        pytest.param({"value": 1}, RejectReason.MISSING_TIMESTAMP, id="no time"),
        pytest.param({"ts": None, "value": 1}, RejectReason.MISSING_TIMESTAMP, id="time null"),
        pytest.param({"ts": True, "value": 1}, RejectReason.BAD_TIMESTAMP, id="time is true"),
        pytest.param({"ts": "soon", "value": 1}, RejectReason.BAD_TIMESTAMP, id="time is a word"),
        pytest.param({"ts": [TS], "value": 1}, RejectReason.BAD_TIMESTAMP, id="time is an array"),
        pytest.param(b'{"ts": NaN, "value": 1}', RejectReason.BAD_TIMESTAMP, id="time is NaN"),
        pytest.param(b'{"ts": 1e400, "value": 1}', RejectReason.BAD_TIMESTAMP, id="time is infinite"),
        pytest.param({"ts": 10**40, "value": 1}, RejectReason.BAD_TIMESTAMP, id="time beyond int64"),
        pytest.param(b'{"ts": 1700000000, "value": NaN}', RejectReason.NOT_FINITE, id="NaN"),
        pytest.param(b'{"ts": 1700000000, "value": -Infinity}', RejectReason.NOT_FINITE, id="-Infinity"),
        pytest.param(b'{"ts": 1700000000, "value": 1e999}', RejectReason.NOT_FINITE, id="1e999"),
        pytest.param(b'{"ts": 1, "value": ' + b"9" * 400 + b"}", RejectReason.NOT_FINITE, id="400 digits"),
        pytest.param(b'{"ts": 1, "value": ' + b"9" * 9000 + b"}", RejectReason.NOT_FINITE, id="9000 digits"),
        pytest.param({"ts": TS, "value": 1, "quality": "ok"}, RejectReason.UNKNOWN_QUALITY, id="quality unknown"),
        pytest.param({"ts": TS, "value": 1, "quality": 4}, RejectReason.UNKNOWN_QUALITY, id="quality 4"),
        pytest.param({"ts": TS, "value": 1, "quality": True}, RejectReason.UNKNOWN_QUALITY, id="quality true"),
        pytest.param({"ts": TS, "value": 1, "quality": []}, RejectReason.UNKNOWN_QUALITY, id="quality array"),
        pytest.param({"ts": 1, "value": 1}, RejectReason.TOO_OLD_TIMESTAMP, id="1970"),
        pytest.param({"ts": "0001-01-01T00:00:00Z", "value": 1}, RejectReason.TOO_OLD_TIMESTAMP, id="year 1"),
        pytest.param({"ts": 4_102_444_800, "value": 1}, RejectReason.FUTURE_TIMESTAMP, id="2100"),
        pytest.param({"ts": 9 * 10**21, "value": 1}, RejectReason.FUTURE_TIMESTAMP, id="past the year 9999"),
    ],
)
def test_what_is_no_reading_is_rejected_with_its_reason(payload: Any, reason: RejectReason) -> None:
    rejection = only(decode(payload))
    assert rejection.reason is reason
    assert rejection.source == "north"
    assert rejection.topic == "north/P-101/vib"
    assert len(rejection.payload) <= 4096
    assert rejection.detail.isprintable()
    assert rejection.detail.endswith((".", "?"))


def test_rejected_payload_is_cut_and_its_length_kept() -> None:
    payload = b"?" * 10_000
    rejection = only(decode(payload, decoder=Decoder(PLANT, DoorLimits(max_rejected_payload_bytes=16))))
    assert (rejection.payload, rejection.payload_bytes) == (b"?" * 16, 10_000)


def test_topic_that_the_plant_does_not_have() -> None:
    decoded = decode({"ts": TS, "value": 1}, topic="north/P-999/vib")
    rejection = only(decoded)
    assert (rejection.reason, rejection.source) == (RejectReason.UNKNOWN_SENSOR, "unknown")
    assert decoded.received == {"unknown": 1}


def test_topic_in_a_rejection_can_be_stored_as_text() -> None:
    assert only(decode({}, topic="a\0b\ud800")).topic == "a\\x00b\\ud800"


@pytest.mark.parametrize(("ahead_s", "stored"), [(600, 1), (600.001, 0)])
def test_a_clock_may_run_ahead_a_little(ahead_s: float, stored: int) -> None:
    decoded = decode({"ts": NOW + round(ahead_s * 1e6), "value": 1})
    assert len(decoded.batch) == stored
    assert [rejection.reason for rejection in decoded.rejections] == ["future_timestamp"] * (1 - stored)


def test_values_are_converted_to_the_unit_that_is_stored() -> None:
    decoded = decode([{"ts": TS, "value": 212}, {"ts": TS + 1, "value": 32}], topic="north/P-101/temp")
    np.testing.assert_allclose(decoded.batch.value, [100.0, 0.0], atol=1e-12)


def test_a_value_that_overflows_in_conversion_is_not_finite() -> None:
    rejection = only(decode({"ts": TS, "value": 1e10}, topic="south/M-7/current"))
    assert (rejection.reason, rejection.source) == (RejectReason.NOT_FINITE, "south")


@pytest.mark.parametrize(
    ("value", "outcome"),
    [("running", 1.0), ("off", 0.0), (2, 2.0), (True, 1.0), ("flying", None), (3, None), (0.5, None)],
)
def test_states_are_told_by_code_or_number(value: Any, outcome: float | None) -> None:
    decoded = decode({"ts": TS, "value": value}, topic="north/P-101/state")
    if outcome is None:
        assert only(decoded).reason is RejectReason.UNKNOWN_STATE
    else:
        assert decoded.batch.value.tolist() == [outcome]


def test_one_bad_item_of_an_array_is_rejected_alone() -> None:
    decoded = decode(
        b'[{"ts": 1700000000, "value": 1}, {"ts": 1700000001, "value": NaN}, 7, {"ts": 1700000002, "value": 3}]'
    )
    assert decoded.batch.value.tolist() == [1.0, 3.0]
    assert [rejection.reason for rejection in decoded.rejections] == ["not_finite", "wrong_type"]
    assert [rejection.payload for rejection in decoded.rejections] == [
        b'{"ts": 1700000001, "value": NaN}',
        b"7",
    ]
    assert decoded.received == {"north": 4}


def test_one_future_item_of_an_array_is_rejected_alone() -> None:
    decoded = decode([{"ts": TS, "value": 1}, {"ts": 4_102_444_800, "value": 2}])
    assert decoded.batch.value.tolist() == [1.0]
    (rejection,) = decoded.rejections
    assert json.loads(rejection.payload) == {
        "sensor": "P-101.vib",
        "ts": "2100-01-01T00:00:00+00:00",
        "value": 2.0,
    }


def test_gateway_sends_readings_of_many_sensors() -> None:
    decoded = decode(
        [
            {"sensor": "P-101.vib", "ts": TS, "value": 1, "quality": "stale"},
            {"sensor": "P-101.valve", "ts": TS, "value": "open"},
            {"sensor": "P-101.vib", "ts": TS + 1, "value": 2},
        ],
        topic="gw/plc-1",
    )
    assert rows(decoded) == [(11, TS_US, 1.0, 3), (16, TS_US, 1.0, 0), (11, TS_US + 1000, 2.0, 0)]
    assert decoded.received == {"plc-1": 3}


def test_gateway_sends_a_single_reading() -> None:
    decoded = decode({"sensor": "P-101.vib", "ts": TS, "value": 1}, topic="gw/plc-1")
    assert rows(decoded) == [(11, TS_US, 1.0, 0)]


def test_gateway_sends_columns_in_which_null_is_no_reading() -> None:
    payload = {"ts": [TS, TS + 1], "values": {"P-101.vib": [1, None], "P-101.valve": ["shut", True]}}
    decoded = decode(payload, topic="gw/plc-1")
    assert rows(decoded) == [(11, TS_US, 1.0, 0), (16, TS_US, 0.0, 0), (16, TS_US + 1000, 1.0, 0)]
    assert decoded.received == {"plc-1": 3}


def test_gateway_sends_a_snapshot() -> None:
    payload = {"ts": TS, "values": {"P-101.vib": 1, "P-101.valve": None, "P-101.state": "off"}, "quality": 1}
    decoded = decode(payload, topic="gw/plc-1")
    assert rows(decoded) == [(11, TS_US, 1.0, 1), (13, TS_US, 0.0, 1)]
    assert decoded.received == {"plc-1": 2}


@pytest.mark.parametrize(
    ("payload", "reasons", "stored"),
    [
        pytest.param({"sensor": "P-999.vib", "ts": TS, "value": 1}, ["quarantined"], 0, id="no such sensor"),
        pytest.param({"sensor": "P-101.vib.score", "ts": TS, "value": 1}, ["unknown_sensor"], 0, id="derived sensor"),
        pytest.param({"ts": TS, "value": 1}, ["unknown_sensor"], 0, id="sensor not named"),
        pytest.param({"sensor": 11, "ts": TS, "value": 1}, ["unknown_sensor"], 0, id="sensor is a number"),
        pytest.param({"sensor": "\0\ud800", "ts": TS, "value": 1}, ["quarantined"], 0, id="unprintable name"),
        pytest.param({"sensor": "P-101.vib", "ts": TS}, ["missing_value"], 0, id="no value"),
        pytest.param([{"sensor": "P-101.vib", "ts": TS, "value": "x"}], ["wrong_type"], 0, id="text for a number"),
        pytest.param({"ts": [TS], "values": 5}, ["wrong_type"], 0, id="values is a number"),
        pytest.param(
            {"ts": [TS, TS], "values": {"P-101.vib": [1], "P-101.valve": [1, 0]}},
            ["length_mismatch"],
            2,
            id="short column",
        ),
        pytest.param({"ts": [TS], "values": {"P-101.vib": 1}}, ["length_mismatch"], 0, id="no column"),
        pytest.param({"ts": TS, "values": {"P-101.vib": [1]}}, ["length_mismatch"], 0, id="no times"),
        pytest.param({"values": {"P-101.vib": [1]}}, ["missing_timestamp"], 0, id="times missing"),
        pytest.param(
            {"ts": [TS, "x", TS], "values": {"P-101.vib": [1, 2, 3]}}, ["bad_timestamp"], 2, id="one bad time"
        ),
        pytest.param(
            {"ts": [TS, TS], "values": {"A": [1, None], "P-101.vib": [1, 2]}},
            ["quarantined"],
            2,
            id="one unknown column",
        ),
        pytest.param({"ts": [TS], "values": {}}, [], 0, id="no columns"),
        pytest.param([], [], 0, id="empty array"),
    ],
)
def test_gateway_items_are_rejected_alone(payload: Any, reasons: list[str], stored: int) -> None:
    decoded = decode(payload, topic="gw/plc-1")
    turned_away = [rejection.reason for rejection in decoded.rejections] + ["quarantined"] * len(decoded.held)
    assert turned_away == reasons
    assert len(decoded.batch) == stored
    assert all(rejection.source == "plc-1" for rejection in decoded.rejections)
    assert all(rejection.detail.isprintable() for rejection in decoded.rejections)


def test_readings_keep_the_order_of_arrival_across_messages() -> None:
    messages = [
        Message(topic="north/P-101/vib", payload=b'{"ts": 1700000005, "value": 5}'),
        Message(topic="nowhere", payload=b"1"),
        Message(topic="south/M-7/current", payload=b'{"ts": 1700000001, "value": 0}'),
        Message(topic="gw/plc-1", payload=b'{"ts": [1700000003], "values": {"P-101.vib": [3]}}'),
        Message(topic="north/P-101/vib", payload=b'{"ts": 1700000004, "value": 4}'),
    ]
    decoded = DECODER.decode(messages, NOW)
    assert [row[:2] for row in rows(decoded)] == [
        (11, 1_700_000_005_000_000),
        (14, 1_700_000_001_000_000),
        (11, 1_700_000_003_000_000),
        (11, 1_700_000_004_000_000),
    ]
    assert [decoded.sources[position] for position in decoded.source] == ["north", "south", "plc-1", "north"]
    assert decoded.received == {"north": 2, "south": 1, "plc-1": 1, "unknown": 1}
    assert decoded.unaccounted() == {}


def test_no_messages_and_an_empty_plant_give_nothing() -> None:
    decoded = Decoder(Plant(revision=0)).decode([], NOW)
    assert (len(decoded.batch), decoded.rejections, dict(decoded.received)) == (0, [], {})


NAMES = st.sampled_from([known.name for known in PLANT.sensors] + ["P-999.vib", "", "\ud800"])
STAMPS = st.one_of(
    st.integers(TS, TS + 50_000),
    st.floats(1.6e9, 1.7e9),
    st.sampled_from(
        [
            "2023-11-14T22:13:20Z",
            "2023-11-14T22:13:20.1234567+02:00",
            "1700000000",
            "no",
            None,
            True,
            0,
            10**30,
        ]
    ),
    st.integers(),
)
VALUES = st.one_of(
    st.floats(),
    st.integers(),
    st.booleans(),
    st.none(),
    st.sampled_from(["open", "off", "running", "x", [], {}]),
)
QUALITIES = st.sampled_from(["good", "bad", "stale", "uncertain", 0, 1, 2, 3, None, "no", 4, 1.0, False])
READINGS = st.fixed_dictionaries({}, optional={"sensor": NAMES, "ts": STAMPS, "value": VALUES, "quality": QUALITIES})
FRAMES = st.fixed_dictionaries(
    {"values": st.one_of(st.none(), st.dictionaries(NAMES, st.one_of(VALUES, st.lists(VALUES, max_size=3))))},
    optional={"ts": st.one_of(STAMPS, st.lists(STAMPS, max_size=3)), "quality": QUALITIES},
)
DOCUMENTS = st.one_of(READINGS, FRAMES, st.lists(st.one_of(READINGS, FRAMES, VALUES), max_size=4), VALUES)
TOPICS = st.sampled_from([topic for known in PLANT.sensors if (topic := known.topic)] + ["gw/plc-1", "nowhere"])


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A plausible payload with a few bytes changed, dropped or doubled."""
    body = bytearray(json.dumps(draw(DOCUMENTS)).encode())
    for _ in range(draw(st.integers(0, 3))):
        position = draw(st.integers(0, max(0, len(body) - 1)))
        body[position : position + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(body)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(TOPICS, st.one_of(st.binary(max_size=40), mutated())), max_size=5))
def test_whatever_arrives_is_accounted_for_and_nothing_raises(arrivals: list[tuple[str, bytes]]) -> None:
    decoded = DECODER.decode([Message(topic=topic, payload=body) for topic, body in arrivals], NOW)
    assert decoded.unaccounted() == {}
    assert bool(np.isfinite(decoded.batch.value).all())
    for rejection in decoded.rejections:
        assert rejection.detail.isprintable()
        assert len(rejection.payload) <= rejection.payload_bytes


@settings(max_examples=400, deadline=None)
@given(TOPICS, mutated())
def test_the_careful_pass_agrees_with_the_quick_one(topic: str, payload: bytes) -> None:
    """What the quick pass takes, the careful one takes as well, with the same times, values and qualities."""
    gateway = topic == "gw/plc-1"
    try:
        (JSON.decode_gateway if gateway else JSON.decode_sensor)(payload)
        payload.decode("utf-8")
    except (ValueError, RecursionError):
        return
    no_limits = Decoder(PLANT, DoorLimits(max_future_s=1e12))
    decoded = no_limits.decode([Message(topic=topic, payload=payload)], NOW)
    carried, items = JSON.examine(payload, named=gateway, now_us=NOW)
    if topic != "nowhere":
        assert sum(decoded.received.values()) == carried == len(items)
    by_name = {known.id: known.name for known in PLANT.sensors}
    found = {(item.sensor, item.time, item.quality) for item in items if isinstance(item, Item)}
    for number, time, value, quality in rows(decoded):
        assert (by_name[number] if gateway else None, time, quality) in found
        assert math.isfinite(value)


def test_examine_says_which_item_is_at_fault() -> None:
    carried, items = JSON.examine(b'[{"ts": 5, "value": 1}, {"ts": "x", "value": 1}]', named=False, now_us=NOW)
    assert carried == 2
    assert items[0] == Item(sensor=None, time=5_000_000, value=1.0, quality=0)
    assert isinstance(items[1], Fault)
    assert items[1].text == b'{"ts": "x", "value": 1}'
