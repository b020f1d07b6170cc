"""The default detector: what a careful engineer would want on every measured sensor."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from models.parameter import Parameter
from models.streaming.frame import ChartDetector
from models.streaming.state import COMMON, Setting

__all__ = ["PARAMETERS", "AutoDetector"]

PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    # A week: days differ from nights, and working days from others; 168 readings of a sensor that speaks hourly.
    {**COMMON, "warmup": replace(COMMON["warmup"], default=150), "warmup_h": replace(COMMON["warmup_h"], default=168.0)}
)


class AutoDetector(ChartDetector):
    """All three charts of `ChartDetector` on one baseline, a third of the budget each: shifts, drifts, noise.

    Args:
        sensor_ids: int32, sorted, each once.
        settings: see `PARAMETERS`; one number, or one a sensor.
    """

    def __init__(self, sensor_ids: npt.NDArray[np.int32], **settings: Setting) -> None:
        defaults = {name: PARAMETERS[name].default for name in ("warmup", "warmup_h")}
        super().__init__(sensor_ids, defaults | settings, label="auto/2")
