"""The bench of evaluations at its smallest: figures come, and alarms that are missing or too many stop it."""

import asyncio

import pytest

from precursor.bench import evaluations
from precursor.bench.evaluations import EVALUATION_STEPS, measure_evaluations
from precursor.bench.report import LossError


def test_every_figure_comes_with_its_limit() -> None:
    steps: list[str] = []
    results = asyncio.run(measure_evaluations(sensors=20, long_readings=2_000, rounds=2, watch=steps.append))
    assert [result.name for result in results] == [
        "rules.evaluations",
        "rules.evaluations_noisy",
        "rules.long_segments",
        "rules.long_segments_noisy",
    ]
    assert all(result.value > 0 and result.limit for result in results)
    assert len(steps) == EVALUATION_STEPS


@pytest.mark.parametrize(
    ("delay_s", "message"),
    [
        pytest.param(0.0, r"rules\.evaluations_noisy: \d+ alarms were raised where 0", id="too many"),
        pytest.param(200.0, r"rules\.long_segments_noisy: 0 alarms were raised where 2", id="missing"),
    ],
)
def test_alarms_that_do_not_add_up_stop_it(delay_s: float, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluations, "_DELAY_S", delay_s)
    with pytest.raises(LossError, match=message):
        asyncio.run(measure_evaluations(sensors=20, long_readings=2_000, rounds=1, watch=lambda _: None))
