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
    # A week: days differ from nights, and working days from others.
    {**COMMON, "warmup_h": replace(COMMON["warmup_h"], default=168.0)}
)


class AutoDetector(ChartDetector):
    """EWMA chart and CUSUM of `ChartDetector` on one baseline, half the budget each: shifts and drifts.

    Args:
        sensor_ids: int32, sorted, each once.
        settings: see `PARAMETERS`; one number, or one a sensor.
    """

    def __init__(self, sensor_ids: npt.NDArray[np.int32], **settings: Setting) -> None:
        super().__init__(sensor_ids, {"warmup_h": PARAMETERS["warmup_h"].default} | settings, label="auto/1")
