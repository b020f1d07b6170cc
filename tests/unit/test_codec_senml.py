"""SenML: the examples of RFC 8428, what it forbids, and whatever a sender may come up with."""

import json
import math
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codecs.contract import Block, Codec, Fault, Item
from ingest.codecs.senml import SENML_CBOR, SENML_JSON
from ingest.codecs.senml_units import PINT_UNITS, pint_unit
from ingest.reasons import RejectReason
from telemetry.units import conversion

NOW = 1_700_000_000_000_000
LABELS = {
    "bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6,
    "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8,
}  # fmt: skip


def as_json(pack: Any) -> tuple[Codec, bytes]:
    return SENML_JSON, json.dumps(pack).encode()


def as_cbor(pack: Any) -> tuple[Codec, bytes]:
    if isinstance(pack, list):
        pack = [
            {LABELS.get(label, label): content for label, content in record.items()}
            if isinstance(record, dict)
            else record
            for record in pack
        ]
    return SENML_CBOR, cbor2.dumps(pack)


FORMS = pytest.mark.parametrize("form", [as_json, as_cbor])


def read(form: Any, pack: Any, *, named: bool = True) -> list[Item | Block | Fault]:
    codec, payload = form(pack)
    carried, items = codec.examine(payload, named=named, now_us=NOW)
    assert carried == len(items)
    return list(items)


def rows(items: list[Item | Block | Fault]) -> list[tuple[Any, ...]]:
    assert all(isinstance(item, Item) for item in items), items
    return [(item.sensor, item.time, item.value, item.unit) for item in items if isinstance(item, Item)]


def only_fault(items: list[Item | Block | Fault]) -> Fault:
    (fault,) = items
    assert isinstance(fault, Fault)
    assert fault.detail.isprintable()
    return fault


MAC = "urn:dev:ow:10e2073a01080063"
T = 1_276_020_076_001_000
EXAMPLES: list[Any] = [
    pytest.param([{"n": MAC, "u": "Cel", "v": 23.1}], [(MAC, NOW, 23.1, "degC")], id="5.1.1 single data point"),
    pytest.param(
        [{"bn": f"{MAC}:", "n": "voltage", "u": "V", "v": 120.1}, {"n": "current", "u": "A", "v": 1.2}],
        [(f"{MAC}:voltage", NOW, 120.1, "V"), (f"{MAC}:current", NOW, 1.2, "A")],
        id="5.1.2 multiple data points",
    ),
    pytest.param(
        [
            {"bn": f"{MAC}:", "bt": 1.276020076001e9, "bu": "A", "bver": 5, "n": "voltage", "u": "V", "v": 120.1},
            {"n": "current", "t": -5, "v": 1.2},
            {"n": "current", "t": -4, "v": 1.3},
            {"n": "current", "v": 1.7},
        ],
        [
            (f"{MAC}:voltage", T, 120.1, "V"),
            (f"{MAC}:current", T - 5_000_000, 1.2, "A"),
            (f"{MAC}:current", T - 4_000_000, 1.3, "A"),
            (f"{MAC}:current", T, 1.7, "A"),
        ],
        id="5.1.2 with base time, unit and version",
    ),
    pytest.param(
        [
            {"bn": f"{MAC}:", "bt": 1.320067464e9, "bu": "%RH", "v": 20},
            {"u": "lon", "v": 24.30621},
            {"u": "lat", "v": 60.07965},
            {"t": 60, "v": 20.3},
            {"u": "lon", "t": 60, "v": 24.30622},
            {"u": "%EL", "t": 150, "v": 98},
        ],
        [
            (f"{MAC}:", 1_320_067_464_000_000, 20.0, "percent"),
            (f"{MAC}:", 1_320_067_464_000_000, 24.30621, "degree"),
            (f"{MAC}:", 1_320_067_464_000_000, 60.07965, "degree"),
            (f"{MAC}:", 1_320_067_524_000_000, 20.3, "percent"),
            (f"{MAC}:", 1_320_067_524_000_000, 24.30622, "degree"),
            (f"{MAC}:", 1_320_067_614_000_000, 98.0, "percent"),
        ],
        id="5.1.3 multiple measurements",
    ),
    pytest.param(
        [
            {"bn": "urn:dev:ow:10e2073a01080063:", "n": "temp", "u": "Cel", "v": 23.1},
            {"n": "label", "vs": "Machine Room"},
            {"n": "open", "vb": False},
        ],
        [
            (f"{MAC}:temp", NOW, 23.1, "degC"),
            (f"{MAC}:label", NOW, "Machine Room", None),
            (f"{MAC}:open", NOW, 0.0, None),
        ],
        id="5.1.5 different data types",
    ),
    pytest.param(
        [
            {"bn": "2001:db8::2/", "bt": 1.320078429e9, "n": "temperature", "u": "Cel", "v": 27.2},
            {"n": "humidity", "u": "%RH", "v": 80},
            {"bn": "2001:db8::1/", "n": "temperature", "u": "Cel", "v": 12.3},
        ],
        [
            ("2001:db8::2/temperature", 1_320_078_429_000_000, 27.2, "degC"),
            ("2001:db8::2/humidity", 1_320_078_429_000_000, 80.0, "percent"),
            ("2001:db8::1/temperature", 1_320_078_429_000_000, 12.3, "degC"),
        ],
        id="5.1.6 collection of resources",
    ),
]


@FORMS
@pytest.mark.parametrize(("pack", "expected"), EXAMPLES)
def test_examples_of_the_rfc(form: Any, pack: Any, expected: Any) -> None:
    assert rows(read(form, pack)) == expected


def test_the_cbor_example_of_the_rfc() -> None:
    """Section 6: the pack of 5.1.2, byte for byte as it is printed there."""
    payload = bytes.fromhex(
        "87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b00106223614120050067766f6c"
        "7461676501615602fb405e066666666666a3006763757272656e74062402fb3ff3333333333333a3006763757272656e74062302"
        "fb3ff4cccccccccccda3006763757272656e74062202fb3ff6666666666666a3006763757272656e74062102f93e00a300676375"
        "7272656e74062002fb3ff999999999999aa3006763757272656e74060002fb3ffb333333333333"
    )
    carried, items = SENML_CBOR.examine(payload, named=True, now_us=NOW)
    device = "urn:dev:ow:10e2073a0108006:"
    assert carried == 7
    assert rows(list(items)) == [
        (f"{device}voltage", T, 120.1, "V"),
        (f"{device}current", T - 5_000_000, 1.2, "A"),
        (f"{device}current", T - 4_000_000, 1.3, "A"),
        (f"{device}current", T - 3_000_000, 1.4, "A"),
        (f"{device}current", T - 2_000_000, 1.5, "A"),
        (f"{device}current", T - 1_000_000, 1.6, "A"),
        (f"{device}current", T, 1.7, "A"),
    ]


@FORMS
@pytest.mark.parametrize(
    ("base", "own", "time"),
    [
        pytest.param(None, None, NOW, id="none is now"),
        pytest.param(None, -2.5, NOW - 2_500_000, id="past"),
        pytest.param(None, 2**28 - 1, NOW + (2**28 - 1) * 1_000_000, id="largest relative"),
        pytest.param(None, 2**28, 2**28 * 1_000_000, id="smallest absolute"),
        pytest.param(2**28, -1, NOW + (2**28 - 1) * 1_000_000, id="the sum decides"),
        pytest.param(1_700_000_000.000001, None, 1_700_000_000_000_001, id="microsecond in a float"),
        pytest.param(1_700_000_000, 0.000001, 1_700_000_000_000_001, id="microsecond apart"),
        pytest.param(1_700_000_000.999999, 0.000001, 1_700_000_001_000_000, id="carry"),
        pytest.param(1_700_000_000.123456, -0.123456, 1_700_000_000_000_000, id="difference"),
    ],
)
def test_time_is_the_sum_to_the_microsecond(form: Any, base: Any, own: Any, time: int) -> None:
    record = {"n": "a", "v": 1} | ({} if base is None else {"bt": base}) | ({} if own is None else {"t": own})
    assert rows(read(form, [record])) == [("a", time, 1.0, None)]


@given(st.integers(2**28 * 10**6 + 10**9, 4 * 10**15), st.integers(-(10**9), 10**9))
def test_microseconds_survive_the_way_through_floats(base_us: int, own_us: int) -> None:
    pack = [{"n": "a", "v": 1, "bt": base_us / 1e6, "t": own_us / 1e6}]
    ((_, time, _, _),) = rows(read(as_json, pack))
    assert time == base_us + own_us


@FORMS
@pytest.mark.parametrize(
    ("record", "value"),
    [
        pytest.param({"v": 2, "bv": 20}, 22.0, id="base value is added"),
        pytest.param({"t": 0, "bv": 20}, 20.0, id="value missing is zero"),
        pytest.param({"vb": True, "bv": 20}, 1.0, id="not to booleans"),
        pytest.param({"vs": "on", "bv": 20}, "on", id="nor texts"),
        pytest.param({"v": 1, "s": 5}, 1.0, id="sum beside a value"),
        pytest.param({"v": 1, "ut": 60, "unknown": [1]}, 1.0, id="fields to be ignored"),
    ],
)
def test_values(form: Any, record: Any, value: Any) -> None:
    assert [row[2] for row in rows(read(form, [{"n": "a"} | record]))] == [value]


@FORMS
def test_base_fields_hold_until_the_next_and_alone_are_no_item(form: Any) -> None:
    pack = [{"bn": "a"}, {"n": "1", "v": 1}, {"bn": "b", "bu": "Cel", "bv": 1}, {"n": "2", "v": 1}, {"bn": "c"}]
    assert rows(read(form, pack)) == [("a1", NOW, 1.0, None), ("b2", NOW, 2.0, "degC")]


@FORMS
@pytest.mark.parametrize(
    ("pack", "reason"),
    [
        pytest.param({"n": "a", "v": 1}, RejectReason.WRONG_TYPE, id="no array"),
        pytest.param(5, RejectReason.WRONG_TYPE, id="bare number"),
        pytest.param([{"n": "a", "v": 1}, {"n": "b", "v": 1, "x_": 0}], RejectReason.UNKNOWN_FIELD, id="x_"),
        pytest.param([{"n": "a", "v": 1, "bver": 11}], RejectReason.UNKNOWN_FIELD, id="version 11"),
        pytest.param([{"n": "a", "v": 1, "bver": 0}], RejectReason.WRONG_TYPE, id="version 0"),
        pytest.param([{"n": "a", "v": 1, "bver": True}], RejectReason.WRONG_TYPE, id="version true"),
        pytest.param([{"n": "a", "v": 1}, {"bver": 26}], RejectReason.WRONG_TYPE, id="late version"),
        pytest.param([{"bver": 10, "n": "a", "v": 1}, {"bver": 26}], RejectReason.WRONG_TYPE, id="two versions"),
        pytest.param([{"n": "a", "v": 1}, {"bt": "now"}], RejectReason.WRONG_TYPE, id="bt is a text"),
        pytest.param([{"n": "a", "v": 1, "bn": 5}], RejectReason.WRONG_TYPE, id="bn is a number"),
        pytest.param([{"n": "a", "v": 1, "bt": math.nan}], RejectReason.WRONG_TYPE, id="bt is NaN"),
    ],
)
def test_a_pack_that_cannot_be_used_is_one_item(form: Any, pack: Any, reason: RejectReason) -> None:
    fault = only_fault(read(form, pack))
    assert (fault.reason, fault.text) == (reason, None)


@FORMS
@pytest.mark.parametrize("version", [10, 26, 5])
def test_versions_that_are_known(form: Any, version: int) -> None:
    assert len(rows(read(form, [{"bver": version, "n": "a", "v": 1}, {"n": "b", "v": 1, "bver": version}]))) == 2


@FORMS
@pytest.mark.parametrize(
    ("record", "reason"),
    [
        pytest.param(5, RejectReason.WRONG_TYPE, id="no object"),
        pytest.param({"v": 1}, RejectReason.UNKNOWN_SENSOR, id="no name"),
        pytest.param({"n": "-a", "v": 1}, RejectReason.UNKNOWN_SENSOR, id="begins with -"),
        pytest.param({"n": "a b", "v": 1}, RejectReason.UNKNOWN_SENSOR, id="blank in it"),
        pytest.param({"n": "a\n", "v": 1}, RejectReason.UNKNOWN_SENSOR, id="line feed after it"),
        pytest.param({"n": "ä", "v": 1}, RejectReason.UNKNOWN_SENSOR, id="not ASCII"),
        pytest.param({"n": 5, "v": 1}, RejectReason.WRONG_TYPE, id="name is a number"),
        pytest.param({"n": "a", "v": 1, "u": 5}, RejectReason.WRONG_TYPE, id="unit is a number"),
        pytest.param({"n": "a"}, RejectReason.MISSING_VALUE, id="no value"),
        pytest.param({"n": "a", "s": 1}, RejectReason.UNSUPPORTED_TYPE, id="sum alone"),
        pytest.param({"n": "a", "vd": "aGk"}, RejectReason.UNSUPPORTED_TYPE, id="data"),
        pytest.param({"n": "a", "v": 1, "vb": True}, RejectReason.WRONG_TYPE, id="two values"),
        pytest.param({"n": "a", "v": "1"}, RejectReason.WRONG_TYPE, id="v is a text"),
        pytest.param({"n": "a", "v": True}, RejectReason.WRONG_TYPE, id="v is true"),
        pytest.param({"n": "a", "vb": 1}, RejectReason.WRONG_TYPE, id="vb is a number"),
        pytest.param({"n": "a", "vs": 1}, RejectReason.WRONG_TYPE, id="vs is a number"),
        pytest.param({"n": "a", "v": math.inf}, RejectReason.NOT_FINITE, id="infinite"),
        pytest.param({"n": "a", "v": math.nan}, RejectReason.NOT_FINITE, id="NaN"),
        pytest.param({"n": "a", "v": 10**350}, RejectReason.NOT_FINITE, id="huge"),
        pytest.param({"n": "a", "v": 1, "t": "now"}, RejectReason.BAD_TIMESTAMP, id="t is a text"),
        pytest.param({"n": "a", "v": 1, "t": math.nan}, RejectReason.BAD_TIMESTAMP, id="t is NaN"),
        pytest.param({"n": "a", "v": 1, "t": 1e300}, RejectReason.BAD_TIMESTAMP, id="t beyond int64"),
    ],
)
def test_a_record_that_is_no_reading_is_a_fault_alone(form: Any, record: Any, reason: RejectReason) -> None:
    assert only_fault(read(form, [record])).reason is reason
    before, fault, after = read(form, [{"n": "x", "v": 1}, record, {"n": "y", "v": 2}])
    assert [item.value for item in (before, after) if isinstance(item, Item)] == [1.0, 2.0]
    assert isinstance(fault, Fault)
    assert fault.text is not None
    alone = form([record])[1]
    assert fault.text in alone


@FORMS
def test_where_the_topic_names_the_sensor_records_need_no_name_and_have_no_two(form: Any) -> None:
    assert rows(read(form, [{"v": 1}, {"v": 2}], named=False)) == [(None, NOW, 1.0, None), (None, NOW, 2.0, None)]
    good, fault = read(form, [{"n": "a", "v": 1}, {"n": "b", "v": 2}], named=False)
    assert isinstance(good, Item)
    assert isinstance(fault, Fault)
    assert fault.reason is RejectReason.UNKNOWN_SENSOR


def test_two_long_names_leave_the_sentence_whole_found_by_fuzzing() -> None:
    _, fault = read(as_json, [{"n": "a" * 400, "v": 1}, {"n": "b" * 400, "v": 1}], named=False)
    assert isinstance(fault, Fault)
    assert fault.detail.endswith("'.")
    assert len(fault.detail) <= 300


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(cbor2.CBORTag(4, [-1, 273]), 27.3, id="decimal fraction"),
        pytest.param(cbor2.CBORTag(4, [-2, cbor2.CBORTag(2, b"\x01\x00")]), 2.56, id="of a bignum"),
        pytest.param(cbor2.CBORTag(4, [-(10**18), 1]), 0.0, id="tiny"),
        pytest.param(cbor2.CBORTag(4, [10**18, 1]), RejectReason.NOT_FINITE, id="gigantic exponent"),
        pytest.param(cbor2.CBORTag(2, b"\xff" * 200_000), RejectReason.NOT_FINITE, id="gigantic bignum"),
        pytest.param(cbor2.CBORTag(2, b"\0" * 2000 + b"\1"), 1.0, id="bignum with zeros in front"),
        pytest.param(cbor2.CBORTag(3, b"\1"), -2.0, id="negative bignum"),
        pytest.param(cbor2.CBORTag(4, [1]), RejectReason.WRONG_TYPE, id="half a fraction"),
        pytest.param(cbor2.CBORTag(4, [1.5, 1]), RejectReason.WRONG_TYPE, id="broken exponent"),
        pytest.param(cbor2.CBORTag(4, [True, True]), RejectReason.WRONG_TYPE, id="booleans"),
        pytest.param(cbor2.CBORTag(1, 5), RejectReason.WRONG_TYPE, id="date"),
        pytest.param(cbor2.CBORTag(35, "("), RejectReason.WRONG_TYPE, id="regular expression"),
        pytest.param(cbor2.CBORTag(258, [1]), RejectReason.WRONG_TYPE, id="set"),
        pytest.param(cbor2.CBORTag(28, [cbor2.CBORTag(29, 0)]), RejectReason.WRONG_TYPE, id="cycle"),
        pytest.param(cbor2.undefined, RejectReason.WRONG_TYPE, id="undefined"),
        pytest.param(None, RejectReason.WRONG_TYPE, id="null"),
    ],
)
def test_values_that_only_cbor_has(value: Any, expected: Any) -> None:
    (item,) = read(as_cbor, [{"n": "a", "v": value}])
    assert (item.value if isinstance(item, Item) else item.reason if isinstance(item, Fault) else None) == expected


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"\x9b" + b"\xff" * 8, id="array of 2**64 - 1"),
        pytest.param(b"\x5b\x7f" + b"\xff" * 7, id="bytes of 2**63 - 1"),
        pytest.param(b"\x81" * 200_000, id="nested"),
        pytest.param(b"\xc1" * 200_000, id="nested tags"),
        pytest.param(b"\x80\x80", id="two items"),
        pytest.param(b"\x81\xa2\x00\x01\x00\x02", id="a key twice"),
        pytest.param(b"\x81\xa1\x00\x61\xff", id="text that is not UTF-8"),
        pytest.param(b"\x81\xa1\x00", id="cut off"),
        pytest.param(b"\xff", id="end of nothing"),
    ],
)
def test_what_is_no_cbor(payload: bytes) -> None:
    carried, items = SENML_CBOR.examine(payload, named=True, now_us=NOW)
    assert carried == 1
    assert only_fault(list(items)).reason is RejectReason.MALFORMED_CBOR


def test_a_version_in_a_bignum_found_by_fuzzing() -> None:
    """Such versions have no order, and asking for the largest raised TypeError."""
    pack = [{"n": "a", "v": 1}, {"n": "b", "v": 1, "bver": cbor2.CBORTag(2, b"@" + bytes(8))}]
    assert only_fault(read(as_cbor, pack)).reason is RejectReason.WRONG_TYPE


def test_true_is_no_label() -> None:
    """True equals 1, the label of the unit; a map has one of the two."""
    (item,) = SENML_CBOR.examine(cbor2.dumps([{0: "a", 2: 1, True: "Cel"}]), named=True, now_us=NOW)[1]
    assert isinstance(item, Item)
    assert item.unit is None


# Pint's registry takes what these stand for; "counts of what" no unit can tell.
RFC_8428 = [
    "m", "kg", "g", "s", "A", "K", "cd", "mol", "Hz", "rad", "sr", "N", "Pa", "J", "W", "C", "V", "F", "Ohm", "S", "Wb",
    "T", "H", "Cel", "lm", "lx", "Bq", "Gy", "Sv", "kat", "m2", "m3", "m/s", "m/s2", "m3/s", "W/m2", "cd/m2", "bit",
    "bit/s", "lat", "lon", "pH", "dB", "dBW", "count", "/", "%", "%RH", "%EL", "EL", "1/s", "1/min", "beat/min",
    "beats", "S/m", "l", "l/s",
]  # fmt: skip
RFC_8798 = [
    "B", "VA", "VAs", "var", "vars", "J/m", "kg/m3", "deg", "ms", "min", "h", "MHz", "kW", "kVA", "kvar", "Ah", "Wh",
    "kWh", "varh", "kvarh", "kVAh", "Wh/km", "KiB", "GB", "Mbit/s", "B/s", "MB/s", "mV", "mA", "dBm", "ug/m3", "mm/h",
    "m/h", "ppm", "/100", "/1000", "hPa", "mm", "cm", "km", "km/h",
]  # fmt: skip


@pytest.mark.parametrize("symbol", RFC_8428 + RFC_8798)
def test_pint_knows_every_unit_of_senml(symbol: str) -> None:
    assert conversion(pint_unit(symbol), pint_unit(symbol)) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("symbol", "ours", "factor"),
    [
        ("kWh", "J", 3.6e6), ("Wh/km", "J/m", 3.6), ("ppm", "dimensionless", 1e-6), ("%RH", "dimensionless", 0.01),
        ("KiB", "byte", 1024), ("km/h", "m/s", 1 / 3.6), ("ug/m3", "kg/m^3", 1e-9), ("/100", "dimensionless", 0.01),
        ("/1000", "dimensionless", 0.001), ("mm/h", "m/s", 1 / 3.6e6), ("hPa", "Pa", 100), ("Ah", "C", 3600),
        ("min", "s", 60), ("h", "s", 3600), ("Mbit/s", "bit/s", 1e6), ("MB/s", "byte/s", 1e6), ("kVAh", "V*A*s", 3.6e6),
        ("deg", "rad", math.pi / 180), ("beat/min", "1/s", 1 / 60), ("%", "percent", 100), ("/", "percent", 100),
        ("%EL", "percent", 1), ("/100", "percent", 1), ("B/s", "bit/s", 8),
    ],
)  # fmt: skip
def test_units_are_as_large_as_the_registry_says(symbol: str, ours: str, factor: float) -> None:
    found, offset = conversion(pint_unit(symbol), ours)
    assert found == pytest.approx(factor, rel=1e-12)
    assert offset == 0


def test_acidity_is_no_picohenry() -> None:
    assert conversion(pint_unit("pH"), "") == (1.0, 0.0)


def test_a_unit_that_pint_spells_otherwise_is_not_translated_twice() -> None:
    assert all(pint_unit(unit) == unit for unit in PINT_UNITS.values())


NAMES = st.sampled_from(["a", "b:", "", "-", "\ud7ff", "urn:dev:x/"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), NAMES, st.just("x_"), st.integers(2**27, 2**31)
)
RECORDS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(LABELS, SCALARS) | {"x": SCALARS},
)
SOUND = st.fixed_dictionaries(
    {"n": st.sampled_from(["a", "b"]), "v": st.floats(-1e9, 1e9)},
    optional={
        "bt": st.floats(0, 2e9),
        "t": st.floats(-1e6, 1e6),
        "u": st.sampled_from(["Cel", "m"]),
        "vb": st.booleans(),
    },
)
PACKS = st.one_of(st.lists(st.one_of(RECORDS, SOUND, SCALARS), max_size=4), SCALARS, RECORDS)


@st.composite
def payloads(draw: st.DrawFn) -> tuple[Codec, bytes]:
    """Documents, whole or with a few bytes changed, dropped or doubled, or no documents at all."""
    codec, sound = draw(st.sampled_from([as_json, as_cbor]))(draw(PACKS))
    if draw(st.integers(0, 9)) == 0:
        return codec, draw(st.binary(max_size=60))
    body = bytearray(sound)
    for _ in range(draw(st.integers(0, 3))):
        position = draw(st.integers(0, max(0, len(body) - 1)))
        body[position : position + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return codec, bytes(body)


@settings(max_examples=500, deadline=None)
@given(payloads(), st.booleans())
def test_nothing_but_items_and_faults_comes_out(sent: tuple[Codec, bytes], named: bool) -> None:
    codec, payload = sent
    carried, items = codec.examine(payload, named=named, now_us=NOW)
    assert carried == len(items)
    for item in items:
        if isinstance(item, Fault):
            assert item.detail.isprintable()
            assert item.detail.endswith(".")
        else:
            assert isinstance(item, Item)
            assert (item.sensor is not None) is named
            assert abs(item.time) < 2**63
            assert isinstance(item.value, str) or math.isfinite(item.value)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b/c"]),
            st.integers(10**15, 2 * 10**15),
            st.floats(allow_nan=False, allow_infinity=False),
        ),
        min_size=1,
    )
)
def test_readings_come_out_of_both_forms_as_they_went_in(readings: list[tuple[str, int, float]]) -> None:
    pack = [{"n": name, "t": time / 1e6, "v": value} for name, time, value in readings]
    for form in (as_json, as_cbor):
        assert rows(read(form, pack)) == [(*reading, None) for reading in readings]
