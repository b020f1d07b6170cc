"""`DoorLimits`: what is turned away at the door, whatever it says."""

from dataclasses import dataclass
from datetime import UTC, datetime

from ingest.codecs.contract import Fault
from ingest.reasons import RejectReason
from telemetry.batch import to_datetime, to_micros

__all__ = ["DoorLimits", "moment"]

_MICROS_PER_SECOND = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorLimits:
    """What is turned away at the door, whatever it says."""

    max_payload_bytes: int = 262_144
    max_waveform_bytes: int = 1_048_576
    """the same for payloads of a form that carries waveforms"""
    max_sparkplug_bytes: int = 4_194_304
    """the same for Sparkplug, whose births hold all metrics of a device"""
    earliest: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    """older readings come from a clock that was never set"""
    max_future_s: float = 600.0
    """how far a device's clock may run ahead of ours: one reading in 2099 would drag every rollup there"""
    max_age_s: float | None = None
    """how long readings are kept: older ones would go to a piece that was thrown away; None: for ever"""
    max_rejected_payload_bytes: int = 4_096
    """how much of a rejected payload is kept"""

    def oldest_us(self, now_us: int) -> int:
        """The earliest time that is let in at a wall-clock time, both in µs since 1970."""
        earliest_us = to_micros(self.earliest)
        if self.max_age_s is None:
            return earliest_us
        return max(earliest_us, now_us - round(self.max_age_s * _MICROS_PER_SECOND))

    def latest_us(self, now_us: int) -> int:
        """The latest one."""
        return now_us + round(self.max_future_s * _MICROS_PER_SECOND)

    def time_fault(self, time_us: int, now_us: int) -> Fault | None:
        """Why a time is not let in; None: it is."""
        if time_us < to_micros(self.earliest):
            reason = RejectReason.TOO_OLD_TIMESTAMP
            detail = f"{moment(time_us)} lies before {self.earliest.isoformat()}; is the device's clock set?"
        elif time_us < self.oldest_us(now_us):
            reason = RejectReason.TOO_OLD_TIMESTAMP
            detail = (
                f"{moment(time_us)} is older than readings are kept, {(self.max_age_s or 0) / 86_400:g} days;"
                " see PRECURSOR_RETENTION__READINGS_DAYS."
            )
        elif time_us > self.latest_us(now_us):
            reason = RejectReason.FUTURE_TIMESTAMP
            ahead_s = (time_us - now_us) / _MICROS_PER_SECOND
            detail = (
                f"{moment(time_us)} is {ahead_s:.0f} s ahead of the engine's clock,"
                f" {self.max_future_s:.0f} s are allowed; set the device's clock."
            )
        else:
            return None
        return Fault(reason=reason, detail=detail)


def moment(micros: int) -> str:
    """A time for a message to a person, whatever a device made of it."""
    try:
        return to_datetime(micros).isoformat()
    except OverflowError:
        return f"{micros} µs"
