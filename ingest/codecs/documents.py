"""Payloads to plain Python values: JSON and CBOR from senders nobody vouches for, and back for a rejection."""

import json
import math
from io import BytesIO
from typing import Any

import cbor2
import msgspec

from ingest.codecs.contract import Fault
from ingest.reasons import RejectReason
from telemetry.errors import PrecursorError

__all__ = ["DocumentError", "cbor_text", "json_text", "kind", "number", "read_cbor", "read_json"]

_LONGEST_INTEGER = 400
"""digits; float64 ends at 309"""
_LONGEST_BIGNUM = 128
"""bytes; float64 ends at 128"""
_UNSIGNED_BIGNUM, _NEGATIVE_BIGNUM, _DECIMAL_FRACTION = 2, 3, 4

# What cbor2 would make objects of: dates, regular expressions, e-mails, addresses, sets, references that make a value
# contain itself, decimals that take hours to add up. None of it is needed: every tag stays a tag.
_MADE_BY_CBOR2 = (
    *range(6), 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799,
)  # fmt: skip


def _tag(number: int) -> Any:
    return lambda value, _immutable: cbor2.CBORTag(number, value)


_TAGS = {number: _tag(number) for number in _MADE_BY_CBOR2}


class DocumentError(PrecursorError, ValueError):
    """A payload cannot be taken apart."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason

    @property
    def fault(self) -> Fault:
        """The whole payload as one item."""
        return Fault(reason=self.reason, detail=f"{self}")


def read_json(payload: bytes) -> Any:
    """The value that a JSON text stands for; NaN and infinities are let through, as floats.

    Raises:
        DocumentError: it is none.
    """
    try:
        return msgspec.json.decode(payload)
    except (ValueError, RecursionError):
        # Python's reader takes what devices write and the standard forbids (NaN), and says where the mistake is.
        pass
    try:
        return json.loads(payload.decode("utf-8"), parse_int=_integer)
    except UnicodeDecodeError as error:
        raise DocumentError(RejectReason.INVALID_UTF8, f"Byte {error.start} is not UTF-8 text.") from error
    except RecursionError as error:
        raise DocumentError(RejectReason.MALFORMED_JSON, "The JSON is nested too deeply.") from error
    except ValueError as error:
        raise DocumentError(RejectReason.MALFORMED_JSON, f"This is not JSON: {error}.") from error


def read_cbor(payload: bytes, *, max_depth: int) -> Any:
    """The value that a CBOR item stands for. Tags stay `CBORTag`; keys may be anything.

    Args:
        payload: one item and nothing after it.
        max_depth: arrays, maps and tags within each other; empty ones do not count. A payload of nothing but empty
            arrays takes 75 times its size, which only the limit of payloads bounds.

    Raises:
        DocumentError: it is none.
    """
    stream = BytesIO(payload)
    decoder = cbor2.CBORDecoder(
        stream,
        semantic_decoders=_TAGS,
        max_depth=max_depth,
        allow_duplicate_keys=False,
        read_size=len(payload) or 1,
    )
    try:
        document = decoder.decode()
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        detail = f"This is not CBOR: {ascii(str(error))[1:-1][:200]}."
        raise DocumentError(RejectReason.MALFORMED_CBOR, detail) from error
    try:
        decoder.read(1)
    except cbor2.CBORDecodeEOF:
        return document
    raise DocumentError(RejectReason.MALFORMED_CBOR, "There are bytes after the end of the CBOR item.")


def number(value: object) -> int | float | None:
    """The number that a value of JSON or CBOR is, infinities and NaN included; None: it is none, as true and false.

    A decimal fraction (CBOR tag 4) becomes the float nearest to it.
    """
    if type(value) in (int, float):
        return value  # type: ignore[return-value]  # mypy does not narrow by type(...)
    if not isinstance(value, cbor2.CBORTag):
        return None
    content = value.value
    if value.tag in (_UNSIGNED_BIGNUM, _NEGATIVE_BIGNUM) and isinstance(content, bytes):
        digits = content.lstrip(b"\0")
        size = int.from_bytes(digits) if len(digits) <= _LONGEST_BIGNUM else math.inf
        return size if value.tag == _UNSIGNED_BIGNUM else -1 - size
    if value.tag == _DECIMAL_FRACTION and isinstance(content, list) and len(content) == 2:
        exponent, mantissa = content[0], number(content[1])
        if type(exponent) is int and isinstance(mantissa, int):
            # As text, because 10 ** exponent of a hostile sender does not end.
            return float(f"{mantissa}e{exponent}")
    return None


def json_text(document: object) -> bytes | None:
    """A part of a JSON document as text of its own; None: nested too deeply."""
    try:
        return json.dumps(document).encode("ascii")
    except RecursionError:
        return None


def cbor_text(document: object) -> bytes | None:
    """A part of a CBOR document as an item of its own; None: it cannot stand alone."""
    try:
        return cbor2.dumps(document)
    except (cbor2.CBORError, ValueError, TypeError, RecursionError):
        return None


def kind(value: object) -> str:
    """What somebody sent instead of what was expected, for a message."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, bytes):
        return "bytes"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "a number" if number(value) is not None else "something else"


def _integer(digits: str) -> int | float:
    # Python refuses to read integers of thousands of digits; as a float they are infinite, as is right.
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)
