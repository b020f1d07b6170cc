"""Blocks of samples in JSON and CBOR.

One object: `{"sensor": ..., "ts": ..., "sample_rate_hz": ..., "unit": ..., "samples": ...}`, and `encoding` and `scale`
where they are not f32le and 1. `ts` is the time of the first sample. Samples are a list of numbers, base64 (JSON) or
bytes (CBOR) in one of the `ENCODINGS`, or a typed array of RFC 8746 (CBOR).
"""

import binascii
import math
from collections.abc import Callable
from typing import Any

import cbor2
import numpy as np
import numpy.typing as npt

from ingest.codecs.contract import Block, Fault, Item
from ingest.codecs.documents import DocumentError, kind, number, read_cbor, read_json
from ingest.reasons import RejectReason
from ingest.timestamps import TimestampError, micros_of
from telemetry.batch import to_datetime
from telemetry.samples import MAX_SAMPLES
from telemetry.waveforms import InvalidWaveformError, Waveform

__all__ = ["ENCODINGS", "WAVEFORM_CBOR", "WAVEFORM_JSON", "WaveformCodec"]

ENCODINGS: dict[str, np.dtype[Any]] = {"f32le": np.dtype("<f4"), "i16le": np.dtype("<i2")}
"""how samples may be packed"""

# RFC 8746, section 2.1, table 1; 128-bit floats (83, 87) are nothing that a converter gives.
_TYPED_ARRAYS = {
    64: "u1", 65: ">u2", 66: ">u4", 67: ">u8", 68: "u1", 69: "<u2", 70: "<u4", 71: "<u8",
    72: "i1", 73: ">i2", 74: ">i4", 75: ">i8", 77: "<i2", 78: "<i4", 79: "<i8",
    80: ">f2", 81: ">f4", 82: ">f8", 84: "<f2", 85: "<f4", 86: "<f8",
}  # fmt: skip
_TEXT_TIME, _EPOCH_TIME = 0, 1
_DEEPEST = 2
"""of containers in CBOR: the object, and a list or a tag in it"""
_NUMBERS = frozenset({int, float})


class WaveformCodec:
    """Waveforms in one of their two forms."""

    def __init__(self, read: Callable[[bytes], Any]) -> None:
        """
        Args:
            read: bytes to a document; raises DocumentError.
        """
        self._read = read

    def examine(self, payload: bytes, *, named: bool, now_us: int) -> tuple[int, list[Item | Block | Fault]]:
        """See `Codec`. A payload is one item: a block or a fault."""
        try:
            return 1, [_block(self._read(payload), named)]
        except DocumentError as error:
            return 1, [error.fault]


def _block(document: Any, named: bool) -> Block:
    """Raises: DocumentError."""
    if not isinstance(document, dict):
        detail = f'Expected {{"ts": ..., "sample_rate_hz": ..., "samples": ...}}, got {kind(document)}.'
        raise DocumentError(RejectReason.WRONG_TYPE, detail)
    sensor, unit = document.get("sensor") if named else None, document.get("unit")
    if named and not isinstance(sensor, str):
        detail = 'On a gateway\'s topic each waveform names its "sensor" as a text; this one does not.'
        raise DocumentError(RejectReason.UNKNOWN_SENSOR, detail)
    if unit is not None and not isinstance(unit, str):
        raise DocumentError(RejectReason.WRONG_TYPE, f'A "unit" is a text, not {kind(unit)}.')
    time = _time(document.get("ts"))
    rate_hz = _rate(document.get("sample_rate_hz"))
    samples = _samples(document)
    try:
        # The one place that knows what a waveform is; the sensor's number comes later.
        Waveform(
            sensor_id=0,
            time=to_datetime(time),
            sample_rate_hz=rate_hz,
            unit="" if unit is None else unit,
            samples=samples,
        )
    except OverflowError as error:
        detail = "The time lies outside the calendar; is the device's clock set?"
        raise DocumentError(RejectReason.BAD_TIMESTAMP, detail) from error
    except InvalidWaveformError as error:
        raise DocumentError(RejectReason(error.reason.value), f"The waveform cannot be kept: {error}."[:300]) from error
    return Block(sensor=sensor, time=time, sample_rate_hz=rate_hz, unit=unit, samples=samples)


def _time(stamp: Any) -> int:
    """Microseconds since 1970 UTC. Raises: DocumentError."""
    if isinstance(stamp, cbor2.CBORTag) and stamp.tag in (_TEXT_TIME, _EPOCH_TIME):
        stamp = stamp.value
    if stamp is None:
        raise DocumentError(RejectReason.MISSING_TIMESTAMP, 'The waveform has no "ts".')
    try:
        return micros_of(stamp)
    except TimestampError as error:
        raise DocumentError(RejectReason.BAD_TIMESTAMP, f"The time cannot be read: {error}.") from error


def _rate(sent: Any) -> float:
    """Hz. Raises: DocumentError."""
    rate_hz = _finite(sent)
    if rate_hz is None or rate_hz <= 0:
        detail = 'A waveform says its "sample_rate_hz", a number above zero.'
        raise DocumentError(RejectReason.BAD_SAMPLE_RATE, detail)
    return rate_hz


def _finite(sent: Any) -> float | None:
    size = number(sent)
    try:
        return None if size is None or not math.isfinite(size) else float(size)
    except OverflowError:
        return None


def _samples(document: dict[Any, Any]) -> npt.NDArray[np.float32]:
    """Our own copy, scaled. Raises: DocumentError."""
    sent = document.get("samples")
    scale = _finite(document.get("scale", 1))
    if scale is None:
        raise DocumentError(RejectReason.WRONG_TYPE, 'A "scale" is a finite number.')
    if isinstance(sent, list):
        row = _listed(sent)
    elif isinstance(sent, (str, bytes)):
        packed = _unpacked(sent) if isinstance(sent, str) else sent
        row = _typed(packed, _encoding(document.get("encoding", "f32le")))
    elif isinstance(sent, cbor2.CBORTag) and sent.tag in _TYPED_ARRAYS and isinstance(sent.value, bytes):
        row = _typed(sent.value, np.dtype(_TYPED_ARRAYS[sent.tag]))
    elif sent is None:
        raise DocumentError(RejectReason.MISSING_VALUE, 'The waveform has no "samples".')
    else:
        detail = f'"samples" is a list of numbers, packed samples or a typed array, not {kind(sent)}.'
        raise DocumentError(RejectReason.WRONG_TYPE, detail)
    # Too large for float32 becomes an infinity, and is refused as one.
    with np.errstate(over="ignore", invalid="ignore"):
        return (row if scale == 1 else row * np.float64(scale)).astype(np.float32)


def _listed(sent: list[Any]) -> npt.NDArray[np.float64]:
    # NumPy would read numbers out of texts and booleans.
    if not _NUMBERS.issuperset(map(type, sent)):
        position = next(place for place, sample in enumerate(sent) if type(sample) not in _NUMBERS)
        detail = f"Sample {position} is {kind(sent[position])}, not a number."
        raise DocumentError(RejectReason.WRONG_TYPE, detail)
    try:
        return np.array(sent, np.float64)
    except OverflowError as error:
        raise DocumentError(RejectReason.NOT_FINITE, "A sample is too large for a float.") from error


def _encoding(name: Any) -> np.dtype[Any]:
    encoding = ENCODINGS.get(name) if isinstance(name, str) else None
    if encoding is None:
        expected = " or ".join(ENCODINGS)
        sent = f"{name[:40]!r}" if isinstance(name, str) else kind(name)
        raise DocumentError(RejectReason.UNSUPPORTED_TYPE, f"The encoding {sent} is unknown; expected {expected}.")
    return encoding


def _unpacked(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise DocumentError(RejectReason.WRONG_TYPE, f'"samples" is not base64: {error}.') from error


def _typed(packed: bytes, encoding: np.dtype[Any]) -> npt.NDArray[Any]:
    if len(packed) % encoding.itemsize:
        detail = f"{len(packed)} bytes are no whole number of samples of {encoding.itemsize} bytes."
        raise DocumentError(RejectReason.LENGTH_MISMATCH, detail)
    if len(packed) > MAX_SAMPLES * encoding.itemsize:
        detail = f"More than the {MAX_SAMPLES:,} samples of one block: divide it."
        raise DocumentError(RejectReason.TOO_MANY_SAMPLES, detail)
    return np.frombuffer(packed, encoding)


WAVEFORM_JSON = WaveformCodec(read_json)
WAVEFORM_CBOR = WaveformCodec(lambda payload: read_cbor(payload, max_depth=_DEEPEST))
