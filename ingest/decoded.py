"""What became of a batch of messages: readings, rejections, and a count that must equal their sum."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch

__all__ = ["Decoded", "RejectReason", "Rejection"]


class RejectReason(StrEnum):
    """Why something that arrived is not a reading. Stored as written here; never renamed."""

    EMPTY_PAYLOAD = "empty_payload"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    INVALID_UTF8 = "invalid_utf8"
    MALFORMED_JSON = "malformed_json"
    WRONG_TYPE = "wrong_type"
    """JSON, but not of a form that carries readings"""
    LENGTH_MISMATCH = "length_mismatch"
    """a column has another number of values than there are timestamps"""
    MISSING_VALUE = "missing_value"
    NOT_FINITE = "not_finite"
    """NaN, an infinity, or a number that float64 cannot hold (also: after unit conversion)"""
    MISSING_TIMESTAMP = "missing_timestamp"
    BAD_TIMESTAMP = "bad_timestamp"
    FUTURE_TIMESTAMP = "future_timestamp"
    TOO_OLD_TIMESTAMP = "too_old_timestamp"
    UNKNOWN_SENSOR = "unknown_sensor"
    """a topic or a sensor name the plant does not have, or a derived sensor, which nobody may send"""
    UNKNOWN_STATE = "unknown_state"
    """a text or number that is no state of this sensor"""
    UNKNOWN_QUALITY = "unknown_quality"
    MALFORMED_CBOR = "malformed_cbor"
    MALFORMED_PROTOBUF = "malformed_protobuf"
    UNKNOWN_FIELD = "unknown_field"
    """the payload has a field that must be understood (SenML: its name ends in _) and is not"""
    UNKNOWN_ALIAS = "unknown_alias"
    """Sparkplug: a number that no birth certificate gave a name, or data of a node that was never born"""
    UNSUPPORTED_TYPE = "unsupported_type"
    """Sparkplug: a data set, a template, bytes: nothing that can be a reading"""
    TRANSIENT = "transient"
    """Sparkplug: the device says that it is not to be stored"""
    UNIT_MISMATCH = "unit_mismatch"
    """the payload names a unit that cannot be converted to the sensor's"""
    NO_SAMPLES = "no_samples"
    TOO_MANY_SAMPLES = "too_many_samples"
    BAD_SAMPLE_RATE = "bad_sample_rate"
    TOO_LONG = "too_long"
    """a waveform that lasts longer than one may"""
    QUARANTINED = "quarantined"
    """kept aside until somebody says which sensor it is; released readings are received again, by then"""
    INTERNAL_ERROR = "internal_error"
    """given by the engine: it failed on this message alone; the log has the traceback"""
    CONFLICTING_VALUE = "conflicting_value"
    """given by the store: the instant already has a reading with another value"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """One item that arrived and cannot be stored as a reading. It is data: stored, counted, acknowledged."""

    source: str
    """whose ledger it counts in: a gateway, a site, or "unknown\""""
    topic: str
    reason: RejectReason
    payload: bytes
    """the item, or the whole message where no single item can be told; cut at the door's limit"""
    payload_bytes: int
    """length before the cut"""
    detail: str
    """what is wrong, as a sentence for a person; printable, at most a few hundred characters"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """The outcome of decoding some messages. Per source: received = readings + rejections."""

    batch: ReadingBatch
    """in order of arrival"""
    source: npt.NDArray[np.int16]
    """for each reading of the batch its position in `sources`"""
    sources: tuple[str, ...]
    rejections: list[Rejection]
    received: Mapping[str, int]
    """items that arrived, by source; counted from the messages, not from what became of them"""

    def unaccounted(self) -> dict[str, int]:
        """Items by source that arrived and are neither reading nor rejection. Empty, or there is a bug."""
        missing = Counter(self.received)
        missing.subtract(rejection.source for rejection in self.rejections)
        for position, count in enumerate(np.bincount(self.source, minlength=len(self.sources))):
            missing[self.sources[position]] -= int(count)
        return {source: count for source, count in missing.items() if count}
