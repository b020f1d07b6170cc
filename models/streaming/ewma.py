"""Robust EWMA control chart: shifts of a level."""

import numpy as np
import numpy.typing as npt

from models.streaming.frame import ChartDetector
from models.streaming.learning import Uses
from models.streaming.state import COMMON, Setting

__all__ = ["PARAMETERS", "EwmaDetector"]

PARAMETERS = COMMON


class EwmaDetector(ChartDetector):
    """The EWMA chart of `ChartDetector` alone: quick for shifts of a sigma and more.

    Args:
        sensor_ids: int32, sorted, each once.
        settings: see `PARAMETERS`; one number, or one a sensor.
    """

    def __init__(self, sensor_ids: npt.NDArray[np.int32], **settings: Setting) -> None:
        super().__init__(sensor_ids, settings, label="ewma/3", uses=Uses(cusum=False, spread=False))
