"""Waveforms: every way to write samples, what is refused, and whatever a sender may come up with."""

import base64
import json
import math
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ingest.codecs.contract import Block, Codec, Fault, Item
from ingest.codecs.waveform import WAVEFORM_CBOR, WAVEFORM_JSON
from ingest.reasons import RejectReason
from telemetry.samples import MAX_SAMPLES
from telemetry.waveforms import WaveformFault

NOW = 1_700_000_000_000_000
HEAD = {"sensor": "a", "ts": 1_700_000_000, "sample_rate_hz": 25_600, "unit": "g"}


def read(codec: Codec, payload: bytes, *, named: bool = True) -> Item | Block | Fault:
    carried, items = codec.examine(payload, named=named, now_us=NOW)
    (item,) = items
    assert carried == 1
    if isinstance(item, Fault):
        assert item.detail.isprintable()
    return item


def of_json(document: Any, **options: Any) -> Item | Block | Fault:
    return read(WAVEFORM_JSON, json.dumps(document).encode(), **options)


def of_cbor(document: Any, **options: Any) -> Item | Block | Fault:
    return read(WAVEFORM_CBOR, cbor2.dumps(document), **options)


def block(item: Item | Block | Fault) -> Block:
    assert isinstance(item, Block), item
    return item


def text(samples: Any, form: str) -> str:
    return base64.b64encode(np.array(samples, form).tobytes()).decode()


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"samples": [1, -2.5, 3]}, id="list"),
        pytest.param({"samples": text([1, -2.5, 3], "<f4")}, id="float32, the default"),
        pytest.param({"samples": text([1, -2.5, 3], "<f4"), "encoding": "f32le"}, id="float32"),
        pytest.param({"samples": text([2, -5, 6], "<i2"), "encoding": "i16le", "scale": 0.5}, id="int16 with a scale"),
        pytest.param({"samples": [2, -5, 6], "scale": 0.5}, id="list with a scale"),
    ],
)
def test_json(more: Any) -> None:
    found = block(of_json(HEAD | more))
    assert (found.sensor, found.time, found.sample_rate_hz, found.unit) == ("a", NOW, 25_600.0, "g")
    assert found.samples.dtype == np.float32
    assert found.samples.tolist() == [1, -2.5, 3]


TAGS = {
    64: "u1", 65: ">u2", 66: ">u4", 67: ">u8", 68: "u1", 69: "<u2", 70: "<u4", 71: "<u8", 72: "i1", 73: ">i2",
    74: ">i4", 75: ">i8", 77: "<i2", 78: "<i4", 79: "<i8", 80: ">f2", 81: ">f4", 82: ">f8", 84: "<f2", 85: "<f4",
    86: "<f8",
}  # fmt: skip


@pytest.mark.parametrize(("tag", "form"), TAGS.items())
def test_typed_arrays_of_cbor(tag: int, form: str) -> None:
    packed = np.array([1, 100, 3], form).tobytes()
    assert block(of_cbor(HEAD | {"samples": cbor2.CBORTag(tag, packed)})).samples.tolist() == [1, 100, 3]


def test_every_typed_array_has_the_form_that_its_tag_says() -> None:
    """RFC 8746, section 2.1: a tag is 0b010 f s e ll."""
    for tag, form in TAGS.items():
        is_float, signed, little, size = tag >> 4 & 1, tag >> 3 & 1, tag >> 2 & 1, tag & 3
        kind = "f" if is_float else "i" if signed else "u"
        width = 1 << (size + is_float)
        order = "" if width == 1 else "<" if little else ">"
        assert form == f"{order}{kind}{width}", tag


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"samples": [1, -2.5, 3]}, id="list"),
        pytest.param({"samples": np.array([1, -2.5, 3], "<f4").tobytes()}, id="bytes"),
        pytest.param({"samples": np.array([2, -5, 6], "<i2").tobytes(), "encoding": "i16le", "scale": 0.5}, id="int16"),
        pytest.param({"samples": cbor2.CBORTag(73, np.array([2, -5, 6], ">i2").tobytes()), "scale": 0.5}, id="tag 73"),
        pytest.param({"samples": [1, -2.5, 3], "ts": cbor2.CBORTag(1, 1_700_000_000)}, id="time of tag 1"),
        pytest.param({"samples": [1, -2.5, 3], "ts": cbor2.CBORTag(0, "2023-11-14T22:13:20Z")}, id="time of tag 0"),
    ],
)
def test_cbor(more: Any) -> None:
    found = block(of_cbor(HEAD | more))
    assert (found.sensor, found.time, found.samples.tolist()) == ("a", NOW, [1, -2.5, 3])


def test_topic_may_name_the_sensor() -> None:
    assert block(of_json(HEAD | {"samples": [1]}, named=False)).sensor is None
    assert block(of_json({"ts": 1_700_000_000, "sample_rate_hz": 1, "samples": [1]}, named=False)).unit is None


def test_every_fault_of_a_waveform_is_a_reason_of_a_rejection() -> None:
    assert {fault.value for fault in WaveformFault} <= {reason.value for reason in RejectReason}


SAMPLES = {"samples": [1, 2]}
REFUSED = [
    pytest.param([], RejectReason.WRONG_TYPE, id="array"),
    pytest.param(HEAD, RejectReason.MISSING_VALUE, id="no samples"),
    pytest.param(HEAD | {"samples": []}, RejectReason.NO_SAMPLES, id="not one sample"),
    pytest.param(HEAD | {"samples": {}}, RejectReason.WRONG_TYPE, id="samples are an object"),
    pytest.param(HEAD | {"samples": [1, True]}, RejectReason.WRONG_TYPE, id="sample is true"),
    pytest.param(HEAD | {"samples": [1, "2"]}, RejectReason.WRONG_TYPE, id="sample is a text"),
    pytest.param(HEAD | {"samples": [1, None]}, RejectReason.WRONG_TYPE, id="sample is null"),
    pytest.param(HEAD | {"samples": [1, [2]]}, RejectReason.WRONG_TYPE, id="samples of samples"),
    pytest.param(HEAD | {"samples": [1, math.nan]}, RejectReason.NOT_FINITE, id="NaN"),
    pytest.param(HEAD | {"samples": [1, 1e39]}, RejectReason.NOT_FINITE, id="too large for float32"),
    pytest.param(HEAD | {"samples": [10**400]}, RejectReason.NOT_FINITE, id="too large for anything"),
    pytest.param(HEAD | {"samples": [1e38], "scale": 100}, RejectReason.NOT_FINITE, id="too large when scaled"),
    pytest.param(HEAD | SAMPLES | {"scale": "2"}, RejectReason.WRONG_TYPE, id="scale is a text"),
    pytest.param(HEAD | SAMPLES | {"scale": math.inf}, RejectReason.WRONG_TYPE, id="scale is infinite"),
    pytest.param(HEAD | SAMPLES | {"unit": 5}, RejectReason.WRONG_TYPE, id="unit is a number"),
    pytest.param(HEAD | SAMPLES | {"unit": "g" * 101}, RejectReason.WRONG_TYPE, id="unit is long"),
    pytest.param(HEAD | SAMPLES | {"sensor": None}, RejectReason.UNKNOWN_SENSOR, id="sensor not named"),
    pytest.param(HEAD | SAMPLES | {"ts": None}, RejectReason.MISSING_TIMESTAMP, id="no time"),
    pytest.param(HEAD | SAMPLES | {"ts": "soon"}, RejectReason.BAD_TIMESTAMP, id="time is a word"),
    pytest.param(HEAD | SAMPLES | {"ts": 9e20}, RejectReason.BAD_TIMESTAMP, id="time after the calendar"),
    pytest.param(HEAD | SAMPLES | {"ts": -5}, RejectReason.BAD_TIMESTAMP, id="time before 1970"),
    pytest.param(HEAD | SAMPLES | {"sample_rate_hz": 0}, RejectReason.BAD_SAMPLE_RATE, id="rate 0"),
    pytest.param(HEAD | SAMPLES | {"sample_rate_hz": None}, RejectReason.BAD_SAMPLE_RATE, id="no rate"),
    pytest.param(HEAD | SAMPLES | {"sample_rate_hz": math.nan}, RejectReason.BAD_SAMPLE_RATE, id="rate NaN"),
    pytest.param(HEAD | SAMPLES | {"sample_rate_hz": True}, RejectReason.BAD_SAMPLE_RATE, id="rate true"),
    pytest.param(HEAD | SAMPLES | {"sample_rate_hz": 1e-4}, RejectReason.TOO_LONG, id="longer than an hour"),
    pytest.param(HEAD | SAMPLES | {"sample_rate_hz": 5e-324}, RejectReason.TOO_LONG, id="for ever"),
]


@pytest.mark.parametrize("form", [of_json, of_cbor])
@pytest.mark.parametrize(("document", "reason"), REFUSED)
def test_what_is_refused(form: Any, document: Any, reason: RejectReason) -> None:
    if form is of_cbor and document in (HEAD | {"samples": [1, [2]]}, HEAD | {"samples": [10**400]}):
        reason = RejectReason.MALFORMED_CBOR  # nested deeper than a waveform is
    fault = form(document)
    assert isinstance(fault, Fault)
    assert fault.reason is reason


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"samples": "AACAPw="}, RejectReason.WRONG_TYPE),
        ({"samples": "ä"}, RejectReason.WRONG_TYPE),
        ({"samples": "AACA"}, RejectReason.LENGTH_MISMATCH),
        ({"samples": "AACAPw==", "encoding": "f64le"}, RejectReason.UNSUPPORTED_TYPE),
        ({"samples": "AACAPw==", "encoding": 5}, RejectReason.UNSUPPORTED_TYPE),
        ({"samples": ""}, RejectReason.NO_SAMPLES),
    ],
)
def test_packed_samples_that_are_refused(more: Any, reason: RejectReason) -> None:
    fault = of_json(HEAD | more)
    assert isinstance(fault, Fault)
    assert fault.reason is reason


def test_more_samples_than_a_block_holds() -> None:
    fault = of_cbor(HEAD | {"samples": cbor2.CBORTag(72, bytes(MAX_SAMPLES + 1)), "sample_rate_hz": 1e6})
    assert isinstance(fault, Fault)
    assert fault.reason is RejectReason.TOO_MANY_SAMPLES


def test_samples_that_are_only_claimed_are_not_waited_for() -> None:
    fault = read(WAVEFORM_CBOR, b"\xa1\x67samples\x9b" + b"\xff" * 8)
    assert isinstance(fault, Fault)
    assert fault.reason is RejectReason.MALFORMED_CBOR


FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=200, deadline=None)
@given(arrays.arrays(np.float32, st.integers(1, 50), elements=FINITE))
def test_samples_come_back_bit_for_bit(samples: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    packed = samples.astype("<f4").tobytes()
    for item in (
        of_json(HEAD | {"samples": base64.b64encode(packed).decode()}),
        of_json(HEAD | {"samples": samples.tolist()}),
        of_cbor(HEAD | {"samples": packed}),
        of_cbor(HEAD | {"samples": cbor2.CBORTag(81, samples.astype(">f4").tobytes())}),
    ):
        assert block(item).samples.tobytes() == samples.tobytes()


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4))
DOCUMENTS = st.one_of(
    SCALARS,
    st.fixed_dictionaries(
        {},
        optional={
            "sensor": SCALARS,
            "ts": st.one_of(SCALARS, st.just(1_700_000_000)),
            "sample_rate_hz": st.one_of(SCALARS, st.floats(1, 1e5)),
            "unit": SCALARS,
            "samples": st.one_of(
                SCALARS, st.lists(SCALARS, max_size=3), st.just("AACAPw=="), st.lists(st.floats(-9, 9))
            ),
            "encoding": st.one_of(SCALARS, st.sampled_from(["f32le", "i16le"])),
            "scale": SCALARS,
        },
    ),
)


@st.composite
def payloads(draw: st.DrawFn) -> tuple[Codec, bytes]:
    """Documents, whole or with a few bytes changed, dropped or doubled, or no documents at all."""
    codec, dumps = draw(
        st.sampled_from([(WAVEFORM_JSON, lambda it: json.dumps(it).encode()), (WAVEFORM_CBOR, cbor2.dumps)])
    )
    if draw(st.integers(0, 9)) == 0:
        return codec, draw(st.binary(max_size=60))
    body = bytearray(dumps(draw(DOCUMENTS)))
    for _ in range(draw(st.integers(0, 3))):
        position = draw(st.integers(0, max(0, len(body) - 1)))
        body[position : position + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return codec, bytes(body)


@settings(max_examples=500, deadline=None)
@given(payloads(), st.booleans())
def test_nothing_but_a_block_or_a_fault_comes_out(sent: tuple[Codec, bytes], named: bool) -> None:
    item = read(*sent, named=named)
    if isinstance(item, Fault):
        assert item.detail.endswith((".", "?"))
    else:
        found = block(item)
        assert (found.sensor is not None) is named
        assert found.samples.size
        assert bool(np.isfinite(found.samples).all())
