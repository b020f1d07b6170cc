"""The kinds of detectors there are, and how to make one for many sensors with parameters of their own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from models.contract import Detector
from models.parameter import Parameter, check, columns
from models.streaming import auto, conditioned, cusum, ewma, half_space_trees, page_hinkley, seasonal
from telemetry.errors import ConfigurationError

__all__ = ["DETECTORS", "DetectorKind", "build", "validate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorKind:
    """One kind of detector."""

    make: Callable[..., Detector]
    """called with the sensor ids and one column per parameter"""
    parameters: Mapping[str, Parameter]
    title: str
    context: bool = False
    """whether readings need twins with the value of a context sensor, see `models.streaming.context`"""


DETECTORS: Mapping[str, DetectorKind] = MappingProxyType(
    {
        "auto": DetectorKind(
            make=auto.AutoDetector,
            parameters=auto.PARAMETERS,
            title="shifts and drifts of the level, for any measured sensor and any number of them",
        ),
        "cusum": DetectorKind(
            make=cusum.CusumDetector,
            parameters=cusum.PARAMETERS,
            title="two-sided CUSUM: small lasting changes and slow drifts",
        ),
        "ewma": DetectorKind(
            make=ewma.EwmaDetector,
            parameters=ewma.PARAMETERS,
            title="robust EWMA control chart: shifts of the level",
        ),
        "conditioned": DetectorKind(
            make=conditioned.ConditionedDetector,
            parameters=conditioned.PARAMETERS,
            title="shifts and drifts from what is usual at this speed, load or other context",
            context=True,
        ),
        "half_space_trees": DetectorKind(
            make=half_space_trees.HalfSpaceTreesDetector,
            parameters=half_space_trees.PARAMETERS,
            title="half-space trees (river): values and changes seldom seen, for a few sensors",
        ),
        "page_hinkley": DetectorKind(
            make=page_hinkley.PageHinkleyDetector,
            parameters=page_hinkley.PARAMETERS,
            title="Page-Hinkley test (river): drifts, for a few sensors",
        ),
        "seasonal": DetectorKind(
            make=seasonal.SeasonalDetector,
            parameters=seasonal.PARAMETERS,
            title="shifts and drifts from what is usual at this hour of the day and week",
        ),
    }
)


def validate(kind: str, parameters: Mapping[str, float]) -> None:
    """Check what a plant file asks for.

    Raises:
        ConfigurationError: unknown kind or parameter, or a value out of range; it names what would do.
    """
    if kind not in DETECTORS:
        raise ConfigurationError(f"there is no detector {kind!r}; there are {', '.join(sorted(DETECTORS))}")
    check(kind, DETECTORS[kind].parameters, parameters)


def build(kind: str, sensors: Sequence[tuple[int, Mapping[str, float]]]) -> Detector:
    """A detector of this kind for these sensors.

    Args:
        kind: a key of `DETECTORS`.
        sensors: (sensor id, its parameters where they are not the defaults), in any order, each sensor once.

    Raises:
        ConfigurationError: as `validate`, or a sensor is given twice.
    """
    validate(kind, {})
    for sensor_id, parameters in sensors:
        try:
            validate(kind, parameters)
        except ConfigurationError as error:
            raise ConfigurationError(f"sensor {sensor_id}: {error}") from error
    ordered = sorted(sensors, key=lambda pair: pair[0])
    ids = np.array([sensor_id for sensor_id, _ in ordered], np.int32)
    if np.unique(ids).size != ids.size:
        raise ConfigurationError(f"a sensor is given twice to detector {kind}; one detector a sensor")
    chosen = DETECTORS[kind]
    return chosen.make(ids, **columns(chosen.parameters, [_completed(parameters) for _, parameters in ordered]))


def _completed(parameters: Mapping[str, float]) -> Mapping[str, float]:
    """Who sets `warmup`, in readings, and no `warmup_h` means that the readings alone decide."""
    if "warmup" in parameters and "warmup_h" not in parameters:
        return {**parameters, "warmup_h": 0.0}
    return parameters
