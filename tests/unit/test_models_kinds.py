"""Building detectors from what a plant file asks for."""

import subprocess
import sys
from collections.abc import Mapping

import pytest

from models.kinds import DETECTORS, build, validate
from telemetry.errors import ConfigurationError


def test_the_kinds_there_are() -> None:
    assert sorted(DETECTORS) == ["auto", "conditioned", "cusum", "ewma", "half_space_trees", "page_hinkley", "seasonal"]


@pytest.mark.parametrize("kind", sorted(DETECTORS))
def test_defaults_are_inside_their_own_ranges(kind: str) -> None:
    declared = DETECTORS[kind].parameters
    validate(kind, {name: parameter.default for name, parameter in declared.items()})
    assert all(parameter.meaning for parameter in declared.values())


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        pytest.param("arima", {}, "there is no detector 'arima'; there are auto, .*ewma, half_space_trees", id="kind"),
        pytest.param("ewma", {"alpha": 0.1}, "no parameter 'alpha'; it has budget, .*warmup_h", id="name"),
        pytest.param("ewma", {"budget": 0.0}, "budget is 0; .* from 0.0001 to 10000", id="too small"),
        pytest.param("ewma", {"side": 2.0}, "side is 2; .* from -1 to 1", id="too large"),
        pytest.param("ewma", {"min_scale": float("nan")}, "min_scale is nan", id="not a number"),
        pytest.param("ewma", {"warmup": 50.5}, "warmup is 50.5; it must be a whole number", id="not whole"),
        pytest.param("half_space_trees", {"height": 40}, "height is 40; .* from 1 to 12", id="trees too high"),
    ],
)
def test_what_a_detector_does_not_know_is_refused_with_what_would_do(
    kind: str, parameters: Mapping[str, float], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        validate(kind, parameters)
    with pytest.raises(ConfigurationError, match=message):
        build(kind, [(5, parameters)])


def test_a_refusal_names_the_sensor() -> None:
    with pytest.raises(ConfigurationError, match="sensor 5: "):
        build("ewma", [(4, {}), (5, {"budget": -1.0})])


def test_a_sensor_is_given_once() -> None:
    with pytest.raises(ConfigurationError, match="twice"):
        build("ewma", [(4, {}), (4, {})])


def test_river_is_not_imported_before_it_is_needed() -> None:
    program = "import sys; from models.kinds import build; build('ewma', [(1, {})]); sys.exit('river' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
