"""Quality of a reading, in the manner of OPC UA status codes (Part 8): the top two bits decide."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

__all__ = ["Quality", "usable"]


class Quality(IntEnum):
    """What a reading is worth. Bad and stale values never count as healthy, never as failure."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2
    STALE = 3


def usable(quality: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    """Which readings may be used as values: good and uncertain ones. Shape as given."""
    return quality <= Quality.UNCERTAIN
