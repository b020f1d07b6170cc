"""The bench of assets at its smallest: its figure comes, and samples not scored or faults not seen stop it."""

import asyncio

import pytest

from precursor.bench import multivariate
from precursor.bench.multivariate import MULTIVARIATE_STEPS, measure_multivariate
from precursor.bench.report import LossError


def test_the_figure_comes_with_its_limit() -> None:
    steps: list[str] = []
    results = asyncio.run(measure_multivariate(assets=20, sensors=4, rounds=2, watch=steps.append))
    assert [result.name for result in results] == ["detect.multivariate"]
    assert all(result.value > 0 and result.limit for result in results)
    assert len(steps) == MULTIVARIATE_STEPS


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        pytest.param("_WARMUP", 60, None, id="nothing wrong"),
        pytest.param("ALARM", 1e9, "2 assets with a shifted sensor were not noticed", id="not noticed"),
    ],
)
def test_faults_that_are_not_seen_stop_it(
    setting: str, value: float, message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multivariate, setting, value)
    measured = measure_multivariate(assets=20, sensors=4, rounds=1, watch=lambda _: None)
    if message is None:
        asyncio.run(measured)
    else:
        with pytest.raises(LossError, match=message):
            asyncio.run(measured)
