"""What creeps is not absorbed: baselines and limits go only so far from what the training showed."""

import numpy as np
import pytest

from models import kinds
from models.streaming import learning
from telemetry.batch import ReadingBatch

DAY = 1440
"""readings, one a minute"""
NORMAL = 30 * DAY


def month_and_ramps(*days: float) -> ReadingBatch:
    """Of a sensor each, from 1 on: a month of a daily rhythm with noise, then a ramp that reaches 8 sigmas of both
    after so many days."""
    parts = []
    for sensor, each in enumerate(days, start=1):
        count = NORMAL + int(each * DAY)
        minutes = np.arange(count)
        values = 50.0 + 2.0 * np.sin(2 * np.pi * minutes / DAY) + np.random.default_rng(sensor).normal(0.0, 1.0, count)
        values += 8.0 * np.sqrt(3.0) * np.maximum(minutes - NORMAL, 0) / (each * DAY)
        parts.append(ReadingBatch.of(minutes * 60_000_000, np.full(count, sensor), values))
    return ReadingBatch.concat(parts)


RAMPS = (2.0, 7.0, 28.0)
"""days"""


@pytest.mark.parametrize("kind", ["auto", "cusum", "ewma", "seasonal"])
def test_a_ramp_after_a_month_of_learning_is_alarmed_however_slow(kind: str) -> None:
    batch = month_and_ramps(*RAMPS)
    together = kinds.build(kind, [(sensor, {}) for sensor in (1, 2, 3)]).score(batch)
    for sensor, days in enumerate(RAMPS, start=1):
        scores = together[batch.sensor_id == sensor]
        assert not (scores[:NORMAL] >= 1).any()
        alarmed = np.flatnonzero(scores >= 1)
        assert alarmed.size, "absorbed"
        assert (alarmed[0] - NORMAL) / (days * DAY) < 0.6, "alarmed before it is 5 sigmas away"
        assert (scores[-DAY // 2 :] >= 1).mean() > 0.9, "and still at its end"


def test_without_anchors_a_slow_ramp_would_be_absorbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """That the test above can fail: a level that follows in a week, and limits that grow as they like."""
    monkeypatch.setattr(learning, "_LEVEL_ROOM", 1e9)
    monkeypatch.setattr(learning, "_LIMIT_ROOM", 1e9)
    monkeypatch.setattr(learning, "_MEMORY_US", 2 * 86_400e6)
    assert not (kinds.build("ewma", [(1, {})]).score(month_and_ramps(28.0)) >= 1).any()


def test_nothing_is_learned_while_the_score_is_high() -> None:
    values = np.random.default_rng(5).normal(50.0, 1.0, 20_000)
    values[5_000:] += 6.0
    batch = ReadingBatch.of(np.arange(values.size) * 60_000_000, np.ones(values.size), values)
    scores = kinds.build("ewma", [(1, {})]).score(batch)
    assert np.median(scores[-1000:]) == pytest.approx(np.median(scores[5_050:6_000]), rel=0.02)
