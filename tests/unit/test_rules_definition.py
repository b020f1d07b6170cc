"""A rule that contradicts itself is refused with the mend."""

from typing import Any

import pytest

from rules.definition import Priority, ThresholdRule
from telemetry.errors import ConfigurationError


def rule(**changes: Any) -> ThresholdRule:
    plain: dict[str, Any] = {
        "id": 1,
        "name": "hot",
        "sensor_id": 1,
        "sensor_name": "pump.temperature",
        "asset_id": 1,
        "unit": "degC",
        "high": 80.0,
    }
    return ThresholdRule(**{**plain, **changes})


def test_a_rule_with_one_limit_has_sensible_defaults() -> None:
    made = rule()
    assert (made.low, made.deadband, made.on_delay_s, made.off_delay_s) == (None, 0.0, 0.0, 0.0)
    assert made.priority is Priority.MEDIUM
    assert Priority.LOW < Priority.MEDIUM < Priority.HIGH


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"high": None}, "give it high, low or both", id="no limit"),
        pytest.param({"low": 80.0}, "not below high", id="limits equal"),
        pytest.param({"low": 90.0}, "not below high", id="limits crossed"),
        pytest.param({"high": float("inf")}, "high is inf", id="infinite limit"),
        pytest.param({"low": float("nan")}, "low is nan", id="limit not a number"),
        pytest.param({"deadband": -1.0}, "0 or more", id="negative deadband"),
        pytest.param({"deadband": float("nan")}, "finite", id="deadband not a number"),
        pytest.param({"low": 70.0, "deadband": 10.0}, "smaller than high - low = 10", id="deadband too wide"),
        pytest.param({"on_delay_s": -1.0}, "on_delay_s is -1 s", id="negative on-delay"),
        pytest.param({"off_delay_s": -1.0}, "off_delay_s is -1 s", id="negative off-delay"),
        pytest.param({"on_delay_s": 1e12}, "between 0 and", id="on-delay of thousands of years"),
    ],
)
def test_a_contradiction_is_refused_with_the_mend(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        rule(**changes)
    assert "rule 'hot' on pump.temperature" in str(caught.value)


def test_a_wide_deadband_is_fine_with_one_limit() -> None:
    assert rule(deadband=1000.0).deadband == 1000.0
