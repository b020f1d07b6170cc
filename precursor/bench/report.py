"""`Report`: figures of one run and the machine they were taken on, in the shape that all benches share.

{"machine": {...}, "results": [{"name", "value", "unit", "limit", "ratio"}, ...]}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from precursor.bench.measures import MEASURES
from telemetry.errors import PrecursorError

__all__ = ["Account", "LossError", "Report", "Result"]


class LossError(PrecursorError):
    """A run stored not exactly what was published: its figures mean nothing, and there is a bug to be found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One figure."""

    name: str
    """a key of `MEASURES`"""
    value: float
    """in the measure's unit"""
    limit: float | None = None
    """the same work by the barest means, in the same unit; None: the measure has no limit"""

    def __post_init__(self) -> None:
        if (self.limit is None) is not (MEASURES[self.name].limit == ""):
            raise ValueError(f"{self.name}: a limit is given exactly where the measure describes one")

    @property
    def ratio(self) -> float | None:
        """value / limit."""
        return None if self.limit is None else self.value / self.limit

    def as_json(self) -> dict[str, object]:
        """The figure as a JSON object."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": MEASURES[self.name].unit,
            "limit": self.limit,
            "ratio": self.ratio,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What became of the readings of one end-to-end run, counted in the database."""

    name: str
    """the measure the run was for"""
    published: int
    """readings in messages that the broker has acknowledged"""
    rows: int
    """rows in `reading`"""
    received: int
    stored: int
    duplicate: int
    rejected: int

    def check(self) -> None:
        """Every reading published is stored, once, and the ledger says so.

        Raises:
            LossError: not so.
        """
        clean = self.duplicate == self.rejected == 0
        if not (clean and self.published == self.rows == self.received == self.stored):
            raise LossError(
                f"{self.name}: {self.published} readings were published and {self.rows} are in the table; the ledger"
                f" says received {self.received}, stored {self.stored}, duplicate {self.duplicate},"
                f" rejected {self.rejected}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run of a bench."""

    machine: Mapping[str, object]
    results: Sequence[Result]
    accounts: Sequence[Account] = ()
    """of its end-to-end runs; all checked"""

    def as_json(self) -> dict[str, object]:
        """The report as a JSON object."""
        return {"machine": dict(self.machine), "results": [result.as_json() for result in self.results]}
