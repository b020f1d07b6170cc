"""Events found, in time and without crying wolf: the figures of a detector that cannot be had by chance.

- An *event* is a stretch of labelled rows whose first lies in the part that is judged.
- An event is *detected* if an alarm (score of `limit` or more) starts inside it and none stood in the `quiet_s` before
  its onset. An alarm that stands since before the onset is luck, or a detector that always cries: it detects nothing.
  The *delay* is from the onset to that start.
- A *false alarm* is an episode of alarm in normal time; episodes up to `merge_s` apart are one, those of another run
  are others. One that starts inside an event and only ends after it is no false alarm, but its time after the event is
  charged.
- *Alarm share*: part of normal time in alarm. Without it one endless alarm would look cheap, for it is one episode.
- A row whose score is NaN is *unknown*: an alarm neither starts nor ends there, and its time counts as neither normal
  nor alarm. *Coverage* says how much was known.

A row stands for the time until the next one, at most for the usual step (median): time in which nothing was measured
was not watched. So runs are sampled at about even steps.

Source of the idea: the event-wise counting of Hundman et al. 2018 ("Detecting Spacecraft Anomalies Using LSTMs", KDD),
made stricter by the quiet onset, since their overlap test is passed by an alarm that never ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.contract import ALARM

__all__ = ["EventFigures", "EventOutcome", "Run", "judge_events", "stretches"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """One recording with its scores and its truth, row by row.

    Raises:
        ValueError: lengths differ, times do not ascend, or `train` lies outside.
    """

    name: str
    time_s: npt.NDArray[np.float64]
    """(n,), s since any moment, strictly ascending"""
    score: npt.NDArray[np.float64]
    """(n,), higher is more anomalous, from the limit on it is an alarm; NaN: unknown"""
    label: npt.NDArray[np.bool_]
    """(n,), what is true: an anomaly"""
    train: int = 0
    """rows before this one were there to learn from, and are not judged"""

    def __post_init__(self) -> None:
        if not self.time_s.shape == self.score.shape == self.label.shape or self.time_s.ndim != 1:
            raise ValueError(
                f"{self.name}: time_s {self.time_s.shape}, score {self.score.shape} and label {self.label.shape}"
                " must be columns of one length"
            )
        if self.label.dtype != np.bool_:
            raise ValueError(f"{self.name}: label is {self.label.dtype}, not bool")
        if not 0 <= self.train <= self.time_s.size:
            raise ValueError(f"{self.name}: train is {self.train} of {self.time_s.size} rows")
        if not np.all(np.diff(self.time_s) > 0):
            raise ValueError(f"{self.name}: time_s does not ascend")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventOutcome:
    """One event, and whether it was detected."""

    run: str
    begin_s: float
    """its first row, on the clock of the run"""
    end_s: float
    """its last row"""
    delay_s: float | None
    """from the onset to the start of the first alarm inside; None: missed"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFigures:
    """What alarms were worth over some runs. Definitions: above."""

    outcomes: tuple[EventOutcome, ...]
    """every event, in the order of runs and times"""
    false_alarms: int
    normal_h: float
    """hours of normal time with a known score"""
    alarm_share_of_normal: float
    """0 to 1; NaN: there was no normal time"""
    coverage: float
    """part of judged time with a known score, 0 to 1; NaN: nothing was judged"""

    @property
    def events(self) -> int:
        """How many there were."""
        return len(self.outcomes)

    @property
    def detected(self) -> int:
        """How many were detected."""
        return len(self.delays_s)

    @property
    def delays_s(self) -> tuple[float, ...]:
        """Of the detected ones, in their order."""
        return tuple(each.delay_s for each in self.outcomes if each.delay_s is not None)

    @property
    def missed(self) -> tuple[str, ...]:
        """Runs with an event that was missed, one name for each such event."""
        return tuple(each.run for each in self.outcomes if each.delay_s is None)

    @property
    def recall(self) -> float:
        """Part of events detected, 0 to 1; NaN: there was none."""
        return self.detected / self.events if self.events else float("nan")

    @property
    def false_alarms_per_h(self) -> float:
        """In normal time; NaN: there was none."""
        return self.false_alarms / self.normal_h if self.normal_h else float("nan")


def judge_events(
    runs: Sequence[Run], *, limit: float = ALARM, merge_s: float = 30.0, quiet_s: float = 10.0
) -> EventFigures:
    """Hold the alarms of runs against their events, with one limit for all of them."""
    outcomes: list[EventOutcome] = []
    false_alarms = 0
    normal_s = alarm_s = known_s = judged_s = 0.0
    for run in runs:
        known = np.isfinite(run.score) | (run.score == np.inf)
        alarm = _held(run.score >= limit, known)
        starts = np.flatnonzero(alarm[1:] & ~alarm[:-1]) + 1
        events = stretches(run.label)
        events = events[events[:, 0] >= run.train]
        for first, end in events.tolist():
            onset = run.time_s[first]
            before = slice(np.searchsorted(run.time_s, onset - quiet_s), first)
            inside = starts[(starts >= first) & (starts < end)]
            detected = inside.size > 0 and not alarm[before].any()
            outcomes.append(
                EventOutcome(
                    run=run.name,
                    begin_s=float(onset),
                    end_s=float(run.time_s[end - 1]),
                    delay_s=float(run.time_s[inside[0]] - onset) if detected else None,
                )
            )
        spans = _durations(run.time_s)
        spans[: run.train] = 0.0
        normal = known & ~run.label
        normal_s += float(spans[normal].sum())
        alarm_s += float(spans[normal & alarm].sum())
        known_s += float(spans[known].sum())
        judged_s += float(spans.sum())
        false_alarms += _false_alarms(run, alarm, merge_s)
    return EventFigures(
        outcomes=tuple(outcomes),
        false_alarms=false_alarms,
        normal_h=normal_s / 3600,
        alarm_share_of_normal=alarm_s / normal_s if normal_s else float("nan"),
        coverage=known_s / judged_s if judged_s else float("nan"),
    )


def stretches(flag: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """int64[k, 2]: first row of each stretch in which it is true, and the row after its last.

    >>> stretches(np.array([True, False, True, True])).tolist()
    [[0, 1], [2, 4]]
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flag, [False])).astype(np.int8)))
    return edges.reshape(-1, 2).astype(np.int64)


def _held(alarm: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Alarm or not as last known; not an alarm before anything is known."""
    last = np.maximum.accumulate(np.where(known, np.arange(alarm.size), -1))
    return np.where(last >= 0, alarm[last], False)


def _durations(time_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Seconds each row stands for."""
    if time_s.size < 2:
        return np.zeros(time_s.size)
    steps = np.diff(time_s)
    usual = float(np.median(steps))
    return np.append(np.minimum(steps, usual), usual)


def _false_alarms(run: Run, alarm: npt.NDArray[np.bool_], merge_s: float) -> int:
    judged = np.arange(alarm.size) >= run.train
    episodes = stretches(alarm & ~run.label & judged)
    if not len(episodes):
        return 0
    # What is left of an alarm that started inside an event is its tail, not another alarm.
    first = episodes[:, 0]
    tail = (first > run.train) & run.label[first - 1] & alarm[first - 1]
    begin_s, end_s = run.time_s[first], run.time_s[episodes[:, 1] - 1]
    joined = np.concatenate(([False], begin_s[1:] - end_s[:-1] <= merge_s))
    return int(np.count_nonzero(~joined & ~tail))
