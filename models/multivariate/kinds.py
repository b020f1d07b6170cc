"""How to make a detector for many assets, each with sensors and parameters of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models.contract import AssetDetector
from models.multivariate.detector import JointDetector
from models.multivariate.parameters import PARAMETERS
from models.parameter import check, columns
from telemetry.errors import ConfigurationError

__all__ = ["AssetSpec", "build_assets", "validate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetSpec:
    """One asset to be looked at by its sensors together."""

    asset_id: int
    sensor_ids: tuple[int, ...]
    """at least two, each once and of no other asset; contributions come in this order"""
    parameters: Mapping[str, float] = field(default_factory=dict)
    """those of `PARAMETERS` that are not the defaults"""


def validate(parameters: Mapping[str, float]) -> None:
    """Check what a plant file asks for.

    Raises:
        ConfigurationError: unknown parameter, or a value out of range; it names what would do.
    """
    check("joint", PARAMETERS, parameters)


def build_assets(specs: Sequence[AssetSpec], *, align_s: float = 10.0) -> AssetDetector:
    """A detector for these assets, in any order.

    Args:
        specs: the assets.
        align_s: s of event time that the sensors of an asset may be apart in arrival; a sensor further behind the
            newest of its asset is not waited for.

    Raises:
        ConfigurationError: as `validate`, an asset has fewer than two sensors, or an asset or sensor is given twice.
    """
    for spec in specs:
        try:
            validate(spec.parameters)
        except ConfigurationError as error:
            raise ConfigurationError(f"asset {spec.asset_id}: {error}") from error
        if len(spec.sensor_ids) < 2:
            raise ConfigurationError(
                f"asset {spec.asset_id} has {len(spec.sensor_ids)} sensors to look at together; give it two or more"
            )
    sensors = [sensor_id for spec in specs for sensor_id in spec.sensor_ids]
    if len(set(sensors)) != len(sensors):
        raise ConfigurationError("a sensor is given twice to the detector of assets; one asset a sensor")
    if len({spec.asset_id for spec in specs}) != len(specs):
        raise ConfigurationError("an asset is given twice to the detector of assets")
    ordered = sorted(specs, key=lambda spec: spec.asset_id)
    return JointDetector(
        [(spec.asset_id, spec.sensor_ids) for spec in ordered],
        align_s=align_s,
        **columns(PARAMETERS, [_alone(spec.parameters) for spec in ordered]),
    )


def _alone(given: Mapping[str, float]) -> Mapping[str, float]:
    """Who says how many samples, and not how many hours, means those samples."""
    return {"warmup_h": 0.0, **given} if "warmup" in given else given
