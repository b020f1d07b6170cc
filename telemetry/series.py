"""Series: relations of rows over time, the classes they are kept by, and the pieces they are kept in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

import numpy as np

from telemetry.batch import Time, to_datetime, to_micros

__all__ = ["MINUTES", "READING", "SERIES", "WAVEFORM", "Series", "SeriesClass"]

_MICROSECOND = timedelta(microseconds=1)
# 1970-01-01 was a Thursday; pieces begin on Mondays.
_MONDAY_US = 4 * 24 * 3600 * 1_000_000


class SeriesClass(StrEnum):
    """What is kept, thrown away and compressed together."""

    READINGS = "readings"
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    STATES = "states"
    WAVEFORMS = "waveforms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One relation of rows over time, in pieces: partitions of plain PostgreSQL, chunks of TimescaleDB."""

    relation: str
    """what everybody reads"""
    table: str
    """where editions without continuous aggregates keep the rows"""
    piece: timedelta | None = None
    """how long a partition of plain PostgreSQL is, whole weeks; None: one table, small enough for rows to be deleted"""

    def pieces(self, time: Time) -> list[int]:
        """Numbers of the pieces in which times (µs) lie, ascending."""
        return [int(number) for number in np.unique((time - _MONDAY_US) // self._piece_us)]

    def bounds(self, number: int) -> tuple[datetime, datetime]:
        """Begin and end of a piece."""
        begin_us = number * self._piece_us + _MONDAY_US
        return to_datetime(begin_us), to_datetime(begin_us + self._piece_us)

    def piece_name(self, number: int) -> str:
        """The partition's name: the table's, and the day on which it begins."""
        begin, _ = self.bounds(number)
        return f"{self.table}_{begin:%Y%m%d}"

    def piece_at(self, moment: datetime) -> int:
        """Number of the piece in which a moment lies."""
        return (to_micros(moment) - _MONDAY_US) // self._piece_us

    @property
    def _piece_us(self) -> int:
        assert self.piece is not None, f"{self.relation} is not kept in pieces"
        return self.piece // _MICROSECOND


READING = Series(relation="reading", table="reading", piece=timedelta(weeks=1))
MINUTES = Series(relation="reading_1m", table="reading_1m_kept", piece=timedelta(weeks=4))
WAVEFORM = Series(relation="waveform", table="waveform", piece=timedelta(weeks=1))

SERIES: Mapping[SeriesClass, tuple[Series, ...]] = MappingProxyType(
    {
        SeriesClass.READINGS: (READING,),
        SeriesClass.MINUTES: (MINUTES,),
        SeriesClass.HOURS: (Series(relation="reading_1h", table="reading_1h_kept"),),
        SeriesClass.DAYS: (Series(relation="reading_1d", table="reading_1d_kept"),),
        # Days are made from hours, by a view or an aggregate: they go together.
        SeriesClass.STATES: (
            Series(relation="asset_state_1h", table="asset_state_1h"),
            Series(relation="asset_state_1d", table="asset_state_1h"),
        ),
        SeriesClass.WAVEFORMS: (WAVEFORM,),
    }
)
"""every series by its class"""
