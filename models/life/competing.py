"""Lives that may end in several ways: a distribution for each failure mode."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from models.life.weibull import WeibullFit, fit_weibull

__all__ = ["ANY", "EndedLife", "fit_by_mode"]

ANY = ""
"""in place of a failure mode: whichever it is"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedLife:
    """How long an asset lived, and what ended it."""

    age_s: float
    """s, above 0; at its failure, or at the last it was seen without one"""
    failed: bool
    """False: it was repaired before, or lives on"""
    failure_mode: str = ANY
    """of the failure; empty: nobody said"""


def fit_by_mode(lives: Sequence[EndedLife]) -> Mapping[str, WeibullFit]:
    """A Weibull distribution for each failure mode, and one for all failures together where that leaves some out.

    Modes compete for the life of an asset, and the first one ends it. Whoever fails in another mode has lived so long
    without this one: to the distribution of this one it is a survivor of that age (right-censored), provided modes do
    not depend on each other (Meeker & Escobar 1998, ch. 15; Nelson 1982, "Applied life data analysis", ch. 5).

    Args:
        lives: of the same kind of asset.

    Returns:
        by failure mode, of those with enough failures (`fit_weibull`). By `ANY` the fit of all failures, unless each of
        them is of a mode that has a fit: failures of rare modes, and of modes that nobody said, are in this one only.
    """
    failures = Counter(life.failure_mode for life in lives if life.failed)
    fits: dict[str, WeibullFit] = {}
    for mode in sorted(failures):
        if mode != ANY and (fit := _fit(lives, mode)) is not None:
            fits[mode] = fit
    if failures.keys() - fits.keys() and (fit := _fit(lives, ANY)) is not None:
        fits[ANY] = fit
    return MappingProxyType(fits)


def _fit(lives: Sequence[EndedLife], mode: str) -> WeibullFit | None:
    ended = [life.failed and mode in {ANY, life.failure_mode} for life in lives]
    return fit_weibull(
        [life.age_s for life, its in zip(lives, ended, strict=True) if its],
        [life.age_s for life, its in zip(lives, ended, strict=True) if not its],
    )
