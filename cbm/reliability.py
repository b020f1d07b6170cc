"""Reliability figures of an asset from the time it spent in each state. Pure arithmetic, no I/O.

Definitions and their sources: docs/kpi.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from scipy.special import gammaincinv

from telemetry.plant import AssetState

__all__ = ["AssetKpi", "Reliability", "mtbf_interval_h"]

_SECONDS_AN_HOUR = 3600.0


def _chi2(probability: float, degrees: int) -> float:
    """Quantile of the chi² distribution; by the gamma function, because `scipy.stats` takes a second to import."""
    return 2 * float(gammaincinv(degrees / 2, probability))


def mtbf_interval_h(operating_h: float, failures: int, *, confidence: float = 0.9) -> tuple[float, float | None]:
    """Two-sided interval of the mean operating time between failures, in hours: (lower, upper).

    The interval of a time-terminated test with a constant failure rate, [2T / chi2(1 - a/2; 2r + 2),
    2T / chi2(a/2; 2r)] for r failures in operating time T and confidence 1 - a (IEC 60605-4).
    Without a failure there is no upper bound: None.

    Raises:
        ValueError: no operating time, failures below 0, or a confidence outside (0, 1).

    >>> lower, upper = mtbf_interval_h(1000.0, 0)
    >>> round(lower, 1), upper
    (333.8, None)
    """
    if not operating_h > 0 or failures < 0:
        raise ValueError(f"no interval from {operating_h} h of operation and {failures} failures")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, expected a number between 0 and 1")
    tail = (1 - confidence) / 2
    lower = 2 * operating_h / _chi2(1 - tail, 2 * failures + 2)
    upper = 2 * operating_h / _chi2(tail, 2 * failures) if failures else None
    return lower, upper


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """What is known of an asset in one window. None means not known: never taken for 0 or 1."""

    operating_s: float
    """seconds running"""
    downtime_s: float
    """seconds failed, of failures that began before the window as well"""
    stopped_s: float
    """seconds not required to run: outside required time (EN 15341)"""
    unknown_s: float | None
    """seconds of the window in which the state is not known; None: the window's length was not given"""
    failures: int
    """times it went into `failed` inside the window; a failure under way at its begin is not one of them"""
    availability: float | None
    """running / (running + failed), 0 to 1; None: no required time is known"""
    mtbf_h: float | None
    """operating hours per failure; None: no failure, or no operating time is known"""
    mtbf_lower_h: float | None
    """lower end of the interval at `confidence`; known without a failure, too"""
    mtbf_upper_h: float | None
    """upper end; None: no failure"""
    mttr_h: float | None
    """hours down per failure; None: no failure began in the window"""
    confidence: float
    """of the interval, 0 to 1"""

    @property
    def required_s(self) -> float:
        """Seconds in which the asset was required to run: running or failed."""
        return self.operating_s + self.downtime_s

    @classmethod
    def of(
        cls,
        seconds: Mapping[AssetState, float],
        entries: Mapping[AssetState, int],
        *,
        window_s: float | None = None,
        confidence: float = 0.9,
    ) -> "Reliability":
        """Figures from the seconds spent in each state and the times it was entered; absent states count 0.

        Raises:
            ValueError: negative or non-finite seconds or entries, or a confidence outside (0, 1).

        >>> seconds = {AssetState.RUNNING: 8700 * 3600, AssetState.FAILED: 60 * 3600}
        >>> year = Reliability.of(seconds, {AssetState.FAILED: 3})
        >>> year.mtbf_h, year.mttr_h, round(year.availability, 4)
        (2900.0, 20.0, 0.9932)
        """
        if any(not math.isfinite(part) or part < 0 for part in (*seconds.values(), *entries.values())):
            raise ValueError(f"seconds {dict(seconds)} and entries {dict(entries)} must be finite and not negative")
        if not 0 < confidence < 1:
            raise ValueError(f"confidence is {confidence}, expected a number between 0 and 1")
        operating_s = float(seconds.get(AssetState.RUNNING, 0.0))
        downtime_s = float(seconds.get(AssetState.FAILED, 0.0))
        stopped_s = float(seconds.get(AssetState.STOPPED, 0.0))
        failures = entries.get(AssetState.FAILED, 0)
        required_s = operating_s + downtime_s
        operating_h = operating_s / _SECONDS_AN_HOUR
        lower, upper = mtbf_interval_h(operating_h, failures, confidence=confidence) if operating_h else (None, None)
        return cls(
            operating_s=operating_s,
            downtime_s=downtime_s,
            stopped_s=stopped_s,
            unknown_s=None if window_s is None else max(window_s - required_s - stopped_s, 0.0),
            failures=failures,
            availability=operating_s / required_s if required_s else None,
            mtbf_h=operating_h / failures if failures and operating_h else None,
            mtbf_lower_h=lower,
            mtbf_upper_h=upper,
            mttr_h=downtime_s / _SECONDS_AN_HOUR / failures if failures else None,
            confidence=confidence,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetKpi:
    """The reliability of one asset in one window, as its state sensor tells it."""

    asset: str
    title: str
    sensor: str
    """the state sensor; an asset whose state sensor was replaced has a row for each"""
    begin: datetime
    end: datetime
    as_of: datetime | None
    """newest report of the asset: after it nothing is known; None: it never reported"""
    state_at_begin: AssetState | None
    """None: not known then"""
    state_at_end: AssetState | None
    """the last one known before `end`"""
    reliability: Reliability

    HEADINGS: ClassVar[tuple[str, ...]] = (
        "asset",
        "from",
        "to",
        "running h",
        "down h",
        "stopped h",
        "unknown h",
        "failures",
        "availability",
        "MTBF h",
        "MTBF interval h",
        "MTTR h",
        "state",
    )
    """of the text table"""

    def cells(self) -> tuple[str, ...]:
        """One line of the text table under `HEADINGS`; a dash stands for what is not known."""
        figures = self.reliability
        upper = _decimal(figures.mtbf_upper_h) if figures.mtbf_upper_h is not None else "∞"
        return (
            self.asset,
            f"{self.begin:%Y-%m-%d %H:%M}",
            f"{self.end:%Y-%m-%d %H:%M}",
            _decimal(figures.operating_s / _SECONDS_AN_HOUR),
            _decimal(figures.downtime_s / _SECONDS_AN_HOUR),
            _decimal(figures.stopped_s / _SECONDS_AN_HOUR),
            _decimal(None if figures.unknown_s is None else figures.unknown_s / _SECONDS_AN_HOUR),
            str(figures.failures),
            "-" if figures.availability is None else f"{figures.availability:.2%}",
            _decimal(figures.mtbf_h),
            "-" if figures.mtbf_lower_h is None else f"{_decimal(figures.mtbf_lower_h)} to {upper}",
            _decimal(figures.mttr_h),
            "-" if self.state_at_end is None else self.state_at_end.name.lower(),
        )

    def document(self) -> dict[str, str | float | None]:
        """The same as JSON values: times in ISO 8601 UTC, figures unrounded, null for what is not known."""
        figures = self.reliability
        return {
            "asset": self.asset,
            "title": self.title,
            "sensor": self.sensor,
            "begin": self.begin.isoformat(),
            "end": self.end.isoformat(),
            "as_of": None if self.as_of is None else self.as_of.isoformat(),
            "state_at_begin": None if self.state_at_begin is None else self.state_at_begin.name.lower(),
            "state_at_end": None if self.state_at_end is None else self.state_at_end.name.lower(),
            "operating_s": figures.operating_s,
            "downtime_s": figures.downtime_s,
            "stopped_s": figures.stopped_s,
            "unknown_s": figures.unknown_s,
            "required_s": figures.required_s,
            "failures": figures.failures,
            "availability": figures.availability,
            "mtbf_h": figures.mtbf_h,
            "mtbf_lower_h": figures.mtbf_lower_h,
            "mtbf_upper_h": figures.mtbf_upper_h,
            "mttr_h": figures.mttr_h,
            "confidence": figures.confidence,
        }


def _decimal(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:,.1f}"
