"""Limits and deadbands out of history: what a value is like while its machine runs, and how noisy.

A limit is proposed at each of some percentiles of the values, a deadband from the noise; how often each would have
alarmed is not guessed but evaluated (`candidates` are rules like any other). Noise is the robust standard deviation of
the steps between readings, 1.4826 times the median of their absolute deviation from their median, by the square root of
two, as each step has the noise of two readings. The deadband is three times that, and at least the share of the span
that is the custom for the quantity: flow and level 5 %, pressure 2 %, temperature 1 %.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from rules.definition import Rule, Side
from rules.signal import Value
from telemetry.batch import ReadingBatch
from telemetry.quality import usable

__all__ = ["PERCENTILES", "Candidate", "Histories", "History", "Proposal", "candidates", "propose", "value_rules"]

PERCENTILES = (99.0, 99.9, 99.99)
"""of a high limit; a low one stands at 100 minus these"""
_NOISES = 3.0
_SHARES = {"flow": 0.05, "level": 0.05, "pressure": 0.02, "temperature": 0.01}
_MOST = 65_536
_FEWEST = 100


class _ValueHistory:
    """An evenly spread sample of one sensor's usable values: all of them, or every second, fourth, eighth ...

    At most 65,536, at least half of that once there were as many: up to 1.6 MB.
    """

    def __init__(self) -> None:
        self._time = np.empty(0, np.int64)
        self._value = np.empty(0)
        self._step = np.empty(0)
        self._seen = 0
        self._stride = 1
        self._last = math.nan

    def add(self, time: npt.NDArray[np.int64], value: npt.NDArray[np.float64]) -> None:
        """Values that follow those added before."""
        first = -self._seen % self._stride
        step = np.diff(value, prepend=self._last)
        self._seen += value.size
        self._last = float(value[-1])
        self._time = np.concatenate((self._time, time[first :: self._stride]))
        self._value = np.concatenate((self._value, value[first :: self._stride]))
        self._step = np.concatenate((self._step, step[first :: self._stride]))
        while self._value.size > _MOST:
            self._time, self._value, self._step = self._time[::2], self._value[::2], self._step[::2]
            self._stride *= 2

    def between(self, begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> "History":
        """What lies in these spans, ascending, begin included and end not."""
        if not begins.size:
            return History.empty()
        place = np.searchsorted(begins, self._time, side="right") - 1
        inside = (place >= 0) & (self._time < ends[np.maximum(place, 0)])
        return History(value=self._value[inside], step=self._step[inside])

    def whole(self) -> "History":
        """All of it."""
        return History(value=self._value, step=self._step)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """A sample of values, and of the step to each from the reading before it."""

    value: npt.NDArray[np.float64]
    step: npt.NDArray[np.float64]
    """NaN at the first reading"""

    @classmethod
    def empty(cls) -> "History":
        """Nothing."""
        return cls(value=np.empty(0), step=np.empty(0))

    @property
    def noise(self) -> float:
        """Robust standard deviation of what is not a change of the machine, in the values' unit."""
        steps = self.step[np.isfinite(self.step)]
        if not steps.size:
            return 0.0
        away = np.abs(steps - np.median(steps))
        # More than half of the steps alike, as with coarse digits: their mean still says something.
        spread = 1.4826 * float(np.median(away)) or 1.2533 * float(away.mean())
        return spread / math.sqrt(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A rule to be tried."""

    percentile: float
    rule: Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """For one side of a rule."""

    rule: Rule
    side: Side
    """high or low"""
    values: int
    """in the sample"""
    running_only: bool
    median: float
    noise: float
    deadband: float
    limits: Mapping[float, float]
    """by percentile"""


def value_rules(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Those whose limits are on a sensor's own values: what history can propose limits for."""
    return tuple(rule for rule in rules if isinstance(rule.signal, Value) and rule.sensor_id is not None)


def propose(
    rule: Rule, history: History, *, quantity: str, span: float | None, running_only: bool
) -> tuple[Proposal, ...]:
    """Limits for the sides that a rule has, from at least a hundred values; with fewer none.

    Args:
        quantity: what is measured, in words.
        span: of the measuring range, unit of the values; None: what 99.8 % of the values span.
    """
    value = history.value
    if value.size < _FEWEST:
        return ()
    if span is None:
        lowest, highest = np.percentile(value, (0.1, 99.9))
        span = float(highest - lowest)
    share = next((share for word, share in _SHARES.items() if word in quantity.lower()), 0.0)
    noise = history.noise
    sides = {Side.LOW if limit.side.is_low else Side.HIGH for limit in rule.limits}
    return tuple(
        Proposal(
            rule=rule,
            side=side,
            values=int(value.size),
            running_only=running_only,
            median=float(np.median(value)),
            noise=noise,
            deadband=_rounded(max(_NOISES * noise, share * span)),
            limits={
                percentile: _rounded(float(np.percentile(value, 100 - percentile if side.is_low else percentile)))
                for percentile in PERCENTILES
            },
        )
        for side in (Side.HIGH, Side.LOW)
        if side in sides
    )


def candidates(proposals: Sequence[Proposal]) -> tuple[tuple[Candidate, Candidate], ...]:
    """For each proposal and percentile two rules: without deadband, and with the one proposed.

    They keep delays, gate and schedule of the rule they came of. Ids count from 1.
    """
    found: list[tuple[Candidate, Candidate]] = []
    for number, (proposal, percentile) in enumerate((p, each) for p in proposals for each in p.limits):
        pair = []
        for place, deadband in enumerate((0.0, proposal.deadband)):
            limit = proposal.limits[percentile]
            pair.append(
                Candidate(
                    percentile=percentile,
                    rule=replace(
                        proposal.rule,
                        id=2 * number + place + 1,
                        name=f"{proposal.rule.name}/{proposal.side}/{percentile:g}/{place}",
                        high_high=None,
                        high=None if proposal.side.is_low else limit,
                        low=limit if proposal.side.is_low else None,
                        low_low=None,
                        deadband=deadband,
                        suppressed_by=frozenset(),
                        first_out=None,
                    ),
                )
            )
        found.append((pair[0], pair[1]))
    return tuple(found)


def _rounded(number: float) -> float:
    """To four digits: more are not known, and nobody would type them."""
    return float(f"{number:.4g}")


class Histories:
    """Samples of many sensors, taken on the way of a pass.

    Args:
        sensor_ids: of which values are wanted.
        state_ids: of which every change is kept.
    """

    def __init__(self, sensor_ids: Sequence[int], state_ids: Sequence[int]) -> None:
        self._of = {sensor: _ValueHistory() for sensor in sensor_ids}
        self._states: dict[int, list[tuple[int, float]]] = {sensor: [] for sensor in state_ids}

    def note(self, batch: ReadingBatch) -> None:
        """Readings by (sensor_id, time); bad and stale ones are passed over."""
        batch = batch.take(usable(batch.quality))
        starts = np.flatnonzero(np.diff(batch.sensor_id, prepend=np.int32(-1)))
        ends = np.append(starts[1:], len(batch))
        for sensor, start, end in zip(batch.sensor_id[starts].tolist(), starts.tolist(), ends.tolist(), strict=False):
            time, value = batch.time[start:end], batch.value[start:end]
            if sensor in self._of:
                self._of[sensor].add(time, value)
            if (changes := self._states.get(sensor)) is not None:
                new = np.flatnonzero(np.diff(value, prepend=changes[-1][1] if changes else math.nan) != 0)
                changes.extend(zip(time[new].tolist(), value[new].tolist(), strict=True))

    def of(self, sensor_id: int, state_id: int | None, running: float) -> tuple[History, bool]:
        """Of one sensor while its state sensor had this value; False: it has none, or one without readings."""
        changes = self._states.get(state_id, []) if state_id is not None else []
        if not changes:
            return self._of[sensor_id].whole(), False
        begins = np.array([time for time, _ in changes], np.int64)
        ends = np.append(begins[1:], np.iinfo(np.int64).max)
        on = np.array([value == running for _, value in changes])
        return self._of[sensor_id].between(begins[on], ends[on]), True
