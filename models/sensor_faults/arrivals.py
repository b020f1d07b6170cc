"""Readings as they come in: how long each was waited for, and what it shows."""

import numpy as np

from models.runs import Runs, stretches
from models.sensor_faults.readings import ReadingState, look
from models.sensor_faults.state import NEVER, WINDOW_US, Column, Habits, Looked, Mask, Times

__all__ = ["take_in"]


def take_in(runs: Runs, works: Mask, habits: Habits, readings: ReadingState, warmup: int) -> Looked:
    """Advance habits and readings.

    Args:
        runs: by position; each reading later than all before of its sensor; finite values.
        works: of each reading, whether the machine was at work.
        habits, readings: a row a position.
        warmup: readings a sensor is learned from.
    """
    gap = _gaps(runs, habits, warmup)
    run, spike, step = np.full(works.size, np.nan), np.zeros(works.size), np.full(works.size, np.nan)
    working = runs.take(works)
    if working.time.size:
        owner = working.place
        # Nothing lies between two readings at work but the usual distance.
        close = (_distances(working, habits.worked[owner]) < WINDOW_US) & (gap[works] == 0)
        seen = look(readings, working, close, warmup)
        run[works], spike[works], step[works] = seen.run, seen.spike, seen.step
        habits.worked[owner] = working.time[working.last()]
    position = np.repeat(runs.place, runs.length)
    return Looked(
        position=position, time=runs.time, value=runs.value, works=works, gap=gap, run=run, spike=spike, step=step
    )


def _distances(runs: Runs, before: Times) -> Times:
    """µs from the reading before; of each sensor's first from `before`."""
    distance = np.empty_like(runs.time)
    np.subtract(runs.time[1:], runs.time[:-1], out=distance[1:])
    first = runs.first()
    distance[first] = runs.time[first] - before
    return distance


def _gaps(runs: Runs, habits: Habits, warmup: int) -> Column:
    """µs beyond a usual gap before each reading, while learning how usual they are."""
    owner, first, last = runs.place, runs.first(), runs.last()
    never = habits.heard[owner] == NEVER
    distance = _distances(runs, habits.heard[owner])
    # The very first reading has no distance to learn from.
    number = np.clip(warmup - habits.readings[owner], 0, runs.length - never).astype(np.intp)
    learned = stretches(first + never, number)
    if learned.size:
        rows = np.repeat(owner, number)
        habits.readings[owner] += number
        # The sum; `Habits.gap_limit` divides.
        np.add.at(habits.usual_us, rows, distance[learned].astype(np.float64))
        np.maximum.at(habits.longest_us, rows, distance[learned].astype(np.float64))
        done = (number > 0) & (habits.readings[owner] >= warmup)
        habits.learned[owner[done]] = runs.time[(first + never + number - 1)[done]]
    habits.heard[owner] = runs.time[last]
    limit = np.repeat(habits.gap_limit(warmup)[owner], runs.length)
    gap = np.zeros(distance.size)
    far = np.flatnonzero(distance > limit)
    gap[far] = distance[far] - limit[far]
    gap[learned] = gap[first[never]] = 0.0
    return gap
