"""The door for rows of a table: which are readings of this plant, and why the others are not."""

import hashlib
import json
from collections import Counter
from datetime import datetime

import numpy as np
import numpy.typing as npt

from ingest.limits import DoorLimits
from ingest.reasons import RejectReason
from telemetry.arrow_columns import Flaw, RawReadings
from telemetry.batch import to_datetime, to_micros
from telemetry.catalogue import Catalogue
from telemetry.ledger import RejectedRow
from telemetry.plant import AssetState, SensorKind

__all__ = ["Door"]

_MICROS_PER_SECOND = 1_000_000
_UNKNOWN_SENSOR = -1
_REASONS = (
    None,
    RejectReason.UNKNOWN_SENSOR,
    RejectReason.MISSING_TIMESTAMP,
    RejectReason.BAD_TIMESTAMP,
    RejectReason.MISSING_VALUE,
    RejectReason.UNKNOWN_QUALITY,
    RejectReason.NOT_FINITE,
    RejectReason.TOO_OLD_TIMESTAMP,
    RejectReason.FUTURE_TIMESTAMP,
    RejectReason.UNKNOWN_STATE,
    RejectReason.CONFLICTING_VALUE,
)
"""the first one that holds is the one that is told"""
_STATES = ", ".join(f"{state.value} ({state.name.lower()})" for state in AssetState)
_DETAILS = {
    RejectReason.UNKNOWN_SENSOR: "The plant has no sensor {sensor}.",
    RejectReason.MISSING_TIMESTAMP: "The time is missing.",
    RejectReason.BAD_TIMESTAMP: "The local time comes twice, or never: clocks are set that night. Give times in UTC.",
    RejectReason.MISSING_VALUE: "The value is missing.",
    RejectReason.UNKNOWN_QUALITY: "The quality is none of good, uncertain, bad and stale, nor 0 to 3.",
    RejectReason.NOT_FINITE: "The value is {value}.",
    RejectReason.TOO_OLD_TIMESTAMP: (
        "{moment} lies before {earliest}; see PRECURSOR_INGEST__EARLIEST and PRECURSOR_RETENTION__READINGS_DAYS."
    ),
    RejectReason.FUTURE_TIMESTAMP: "{moment} lies in the future.",
    RejectReason.UNKNOWN_STATE: f"{{value:g}} is no state; expected {_STATES}.",
    RejectReason.CONFLICTING_VALUE: "Another value is stored for {moment}; the first one stays.",
}
"""of the first row of its kind, which stands for all of them"""
_CODE = {reason: code for code, reason in enumerate(_REASONS)}
_OF_FLAW = np.zeros(len(Flaw), np.int8)
_OF_FLAW[Flaw.MISSING_TIME] = _CODE[RejectReason.MISSING_TIMESTAMP]
_OF_FLAW[Flaw.AMBIGUOUS_TIME] = _CODE[RejectReason.BAD_TIMESTAMP]
_OF_FLAW[Flaw.MISSING_VALUE] = _CODE[RejectReason.MISSING_VALUE]
_OF_FLAW[Flaw.UNKNOWN_QUALITY] = _CODE[RejectReason.UNKNOWN_QUALITY]

Reasons = npt.NDArray[np.int8]
"""for each row why it is rejected, as a position in `_REASONS`; 0: it is a reading"""


class Door:
    """Judges rows by the same measures as what arrives by MQTT, of every sensor there ever was.

    Unlike a device, an import may bring readings of derived and of retired sensors: both are history.
    """

    READING = 0
    CONFLICTING = _CODE[RejectReason.CONFLICTING_VALUE]
    """given after the store has looked"""

    def __init__(self, catalogue: Catalogue, limits: DoorLimits, now: datetime) -> None:
        self._ids = {sensor.name: sensor.id for sensor in catalogue.sensors}
        self._states = np.array([s.id for s in catalogue.sensors if s.kind is SensorKind.STATE], np.int32)
        self._earliest = limits.oldest_us(to_micros(now))
        self._latest = to_micros(now) + round(limits.max_future_s * _MICROS_PER_SECOND)

    def sensor_ids(self, raw: RawReadings) -> npt.NDArray[np.int32]:
        """`sensor.id` of each row; -1: unknown."""
        ids = np.array([self._ids.get(str(name), _UNKNOWN_SENSOR) for name in raw.names], np.int32)
        found: npt.NDArray[np.int32] = ids[raw.sensor]
        return found

    def judge(self, raw: RawReadings) -> Reasons:
        """What is wrong with each row."""
        sensor = self.sensor_ids(raw)
        no_state = np.isin(sensor, self._states) & ~np.isin(raw.value, [float(state) for state in AssetState])
        reasons = _OF_FLAW[raw.flaw]
        for reason, mask in (
            (RejectReason.NOT_FINITE, ~np.isfinite(raw.value)),
            (RejectReason.TOO_OLD_TIMESTAMP, raw.time < self._earliest),
            (RejectReason.FUTURE_TIMESTAMP, raw.time > self._latest),
            (RejectReason.UNKNOWN_STATE, no_state),
        ):
            reasons[mask & (reasons == self.READING)] = _CODE[reason]
        reasons[sensor == _UNKNOWN_SENSOR] = _CODE[RejectReason.UNKNOWN_SENSOR]
        return reasons

    @staticmethod
    def counts(reasons: Reasons) -> Counter[str]:
        """How many rows are rejected, by reason."""
        found = np.bincount(reasons, minlength=len(_REASONS)).tolist()
        return Counter(
            {reason.value: count for reason, count in zip(_REASONS, found, strict=True) if reason is not None and count}
        )

    def rejected_rows(self, raw: RawReadings, reasons: Reasons, source: str) -> list[RejectedRow]:
        """What is kept of rejected rows: one of each sensor and reason, with how many there are.

        The table has the others: a million rows of a sensor nobody knows say no more than the first one.
        """
        rows = np.flatnonzero(reasons != self.READING)
        if not rows.size:
            return []
        kinds = raw.sensor[rows].astype(np.int64) * len(_REASONS) + reasons[rows]
        _, first, counts = np.unique(kinds, return_index=True, return_counts=True)
        return [
            self._rejected_row(raw, int(row), _REASONS[reasons[row]], count, source)
            for row, count in zip(rows[first], counts.tolist(), strict=True)
        ]

    def _rejected_row(
        self, raw: RawReadings, row: int, reason: RejectReason | None, count: int, source: str
    ) -> RejectedRow:
        assert reason is not None
        name, value = raw.names[raw.sensor[row]], float(raw.value[row])
        sensor = "" if name is None else name
        moment = _moment(int(raw.time[row]))
        payload = json.dumps(
            {"sensor": name, "ts": moment, "value": value if np.isfinite(value) else str(value)}
        ).encode()
        return RejectedRow(
            # Without the payload: the next piece's rows of this kind count up in this row.
            digest=hashlib.sha256("\0".join((source, sensor, reason.value)).encode("utf-8", "surrogatepass")).digest(),
            source=source,
            topic=sensor,
            reason=reason.value,
            detail=_DETAILS[reason].format(
                sensor=repr(sensor[:80]), moment=moment, value=value, earliest=_moment(self._earliest)
            ),
            payload=payload,
            payload_bytes=len(payload),
            readings=count,
        )


def _moment(micros: int) -> str:
    try:
        return to_datetime(micros).isoformat()
    except OverflowError:
        return f"{micros} µs"
