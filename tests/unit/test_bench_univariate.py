"""The bench of single-sensor detectors at its smallest."""

import asyncio

import pytest

from precursor.bench import univariate
from precursor.bench.univariate import UNIVARIATE_STEPS, measure_univariate


def test_every_figure_comes_with_rivers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(univariate, "_LABELLED_SENSORS", 2)
    monkeypatch.setattr(univariate, "_WARM_BATCHES", 420)
    monkeypatch.setattr(univariate, "_RIVER_SENSORS", 2)
    steps: list[str] = []
    results = asyncio.run(measure_univariate(sensors=20, rounds=1, watch=steps.append))
    assert [result.name for result in results] == ["detect.univariate", "detect.univariate_narrow", "detect.auc_pr"]
    assert all(result.value > 0 and result.limit for result in results)
    assert 0.6 < results[-1].value < 1
    assert len(steps) == UNIVARIATE_STEPS
