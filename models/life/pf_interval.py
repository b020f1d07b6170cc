"""How long after its alarm: the P-F interval, learned from others that were alarmed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.life.prognosis import RemainingLife
from models.life.weibull import WeibullFit, fit_weibull, remaining_life_at_age

__all__ = ["VERSION", "AlarmedLife", "fit_pf_interval", "remaining_life_since_alarm"]

VERSION = "pf-interval/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmedLife:
    """One life that had an alarm."""

    alarm_age_s: float
    """s of age when the alarm came, above 0"""
    end_age_s: float
    """s of age at the failure, or at the last it was seen without one"""
    failed: bool
    """false: repaired before, or still alive"""


def fit_pf_interval(lives: Sequence[AlarmedLife]) -> WeibullFit | None:
    """Weibull distribution of the interval from alarm to failure, as a share of the age at the alarm.

    As a share, because load shortens all phases of a fatigue life alike: what took long to begin takes long to end.

    Args:
        lives: of the same kind of asset, failure mode and detector.

    Returns:
        the fit, its scale in ages at alarm instead of s; None as `fit_weibull`.

    Raises:
        ValueError: an alarm at age 0, or after the end.
    """
    alarm = np.array([life.alarm_age_s for life in lives])
    end = np.array([life.end_age_s for life in lives])
    failed = np.array([life.failed for life in lives], np.bool_)
    if not ((alarm > 0) & (end >= alarm)).all():
        raise ValueError("an alarm comes at an age above 0, and not after the end of the life")
    share = end / np.where(alarm > 0, alarm, 1.0) - 1
    # A failure in the instant of the alarm has no logarithm; a millionth of the age is as good as at once.
    return fit_weibull(np.maximum(share[failed], 1e-6), share[~failed])


def remaining_life_since_alarm(fit: WeibullFit | None, *, alarm_age_s: float, age_s: float) -> RemainingLife:
    """How much longer an asset lives that was alarmed at one age and has reached another.

    Args:
        fit: by `fit_pf_interval`.
        alarm_age_s: s, above 0.
        age_s: s, from `alarm_age_s` on.
    """
    remaining = remaining_life_at_age(fit, (age_s - alarm_age_s) / alarm_age_s)
    if remaining.p10_s is None or remaining.p50_s is None or remaining.p90_s is None:
        return remaining
    p10, p50, p90 = (alarm_age_s * share for share in (remaining.p10_s, remaining.p50_s, remaining.p90_s))
    return RemainingLife(p10_s=p10, p50_s=p50, p90_s=p90)
