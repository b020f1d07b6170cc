"""Feeds a codec what a fuzzer comes up with: nothing but items and faults may come out.

    python tests/fuzz/fuzz_codecs.py CODEC [options of libFuzzer, e.g. -max_total_time=3600] [folder of a corpus]

Needs atheris, which is not among the project's dependencies because it builds for few platforms.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable
from contextlib import suppress

import atheris  # type: ignore[import-untyped]  # not in the lock, see above
import cbor2

with atheris.instrument_imports(include=["ingest"]):
    from ingest.codecs.contract import Block, Codec, Fault, Item
    from ingest.codecs.json_readings import JsonCodec
    from ingest.codecs.senml import SENML_CBOR, SENML_JSON
    from ingest.codecs.waveform import WAVEFORM_CBOR, WAVEFORM_JSON
    from ingest.sparkplug.payload import Payload, PayloadError, PayloadMetric, decode_payload, encode_payload

NOW_US = 1_700_000_000_000_000

CODECS: dict[str, Codec] = {
    "json": JsonCodec(),
    "json_fields": JsonCodec({"ts": "head.time", "value": "v", "sensor": "n"}),
    "senml_json": SENML_JSON,
    "senml_cbor": SENML_CBOR,
    "waveform_json": WAVEFORM_JSON,
    "waveform_cbor": WAVEFORM_CBOR,
}

_READING = {"sensor": "a", "ts": 1_700_000_000, "value": 1.5, "quality": "good"}
_NESTED = {"n": "a", "head": {"time": 1_700_000_000}, "v": 1.5}
_COLUMNS = {"ts": [1_700_000_000, 1_700_000_001], "values": {"a": [1, None], "b": ["on", True]}}
_PACK = [
    {"bn": "urn:dev:", "bt": 1.320067464e9, "bu": "A", "bv": 1, "bver": 10, "n": "a", "u": "Cel", "v": 1.2, "t": -5},
    {"n": "b", "vb": True},
    {"n": "c", "vs": "on", "s": 3},
    {"n": "d", "vd": "aGk", "x_": 1},
]
_LABELS = {"bn": -2, "bt": -3, "bu": -4, "bv": -5, "bver": -1, "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6}
_WAVEFORM = {"sensor": "a", "ts": 1_700_000_000, "sample_rate_hz": 1e3, "unit": "g", "scale": 2}

_METRIC = PayloadMetric(name="a/b", alias=3, timestamp_ms=1_700_000_000_000, datatype=10, field="double_value", raw=1.5)

SEEDS: dict[str, list[bytes]] = {
    "json": [json.dumps(seed).encode() for seed in (_READING, [_READING], _COLUMNS)],
    "json_fields": [json.dumps(seed).encode() for seed in (_NESTED, [_NESTED])],
    "senml_json": [json.dumps(_PACK).encode()],
    "senml_cbor": [
        cbor2.dumps([{_LABELS.get(label, label): content for label, content in record.items()} for record in _PACK]),
        cbor2.dumps([{0: "a", 2: cbor2.CBORTag(4, [-1, 273]), 6: 2**70}]),
    ],
    "waveform_json": [
        json.dumps(_WAVEFORM | {"samples": samples, "encoding": encoding}).encode()
        for samples, encoding in (([1, 2.5], None), ("AACAPwAAAEA=", "f32le"), ("AQACAA==", "i16le"))
    ],
    "waveform_cbor": [
        cbor2.dumps(_WAVEFORM | {"samples": samples})
        for samples in ([1, 2.5], b"\0\0\x80\x3f", cbor2.CBORTag(85, b"\0\0\x80\x3f"), cbor2.CBORTag(73, b"\0\1"))
    ],
    "sparkplug": [encode_payload(Payload(timestamp_ms=1_700_000_000_000, seq=1, metrics=[_METRIC]))],
}


def check_codec(codec: Codec, payload: bytes) -> None:
    """Fails where a codec raises, or says what its contract forbids."""
    for named in (True, False):
        carried, items = codec.examine(payload, named=named, now_us=NOW_US)
        assert carried == len(items)
        for item in items:
            if isinstance(item, Fault):
                assert item.detail.isprintable(), item.detail
                assert item.detail.endswith((".", "?")), item.detail
                assert len(item.detail) <= 500, item.detail
                continue
            assert isinstance(item, (Item, Block))
            assert abs(item.time) < 2**63
            assert (item.sensor is not None) is named
            if isinstance(item, Block):
                assert item.samples.size
                assert item.sample_rate_hz > 0
            elif not isinstance(item.value, str):
                assert math.isfinite(item.value)


def check_sparkplug(payload: bytes) -> None:
    """Fails where reading raises anything but its own error."""
    with suppress(PayloadError):
        decode_payload(payload)


def main() -> None:
    """Fuzzes until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("codec", choices=sorted(SEEDS))
    chosen, options = parser.parse_known_args()
    codec = CODECS.get(chosen.codec)
    check: Callable[[bytes], None] = check_sparkplug if codec is None else lambda data: check_codec(codec, data)
    for seed in SEEDS[chosen.codec]:
        check(seed)

    def one_input(data: bytes) -> None:
        check(data)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        # Seeds take turns as the thing to be changed: libFuzzer alone takes long to come upon the names of fields.
        known = SEEDS[chosen.codec]
        source = known[seed // 8 % len(known)] if known and seed % 8 == 0 else data
        return bytes(atheris.Mutate(source, max_size))

    atheris.Setup([sys.argv[0], "-max_len=4096", *options], one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
