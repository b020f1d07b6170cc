"""Two-sided CUSUM: small lasting changes and slow drifts of a level."""

import numpy as np
import numpy.typing as npt

from models.streaming.frame import ChartDetector
from models.streaming.learning import Uses
from models.streaming.state import COMMON, Setting

__all__ = ["PARAMETERS", "CusumDetector"]

PARAMETERS = COMMON


class CusumDetector(ChartDetector):
    """The CUSUM of `ChartDetector` alone: for what is small and lasts.

    Args:
        sensor_ids: int32, sorted, each once.
        settings: see `PARAMETERS`; one number, or one a sensor.
    """

    def __init__(self, sensor_ids: npt.NDArray[np.int32], **settings: Setting) -> None:
        super().__init__(sensor_ids, settings, label="cusum/2", uses=Uses(chart=False, spread=False))
