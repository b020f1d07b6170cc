"""river's Page-Hinkley drift detector, one a sensor, behind the contract of our detectors."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from models.parameter import Parameter, columns
from models.streaming.learner import LearnerDetector, Range
from models.streaming.state import COMMON, Setting

__all__ = ["PARAMETERS", "PageHinkleyDetector"]

_MOST_BLOCK = 32
_REACH = 8.0
"""sigmas beyond which a deviation counts as this many"""
_MOST_SUM = 200.0
"""sigmas that a sum goes up to, so that it comes down after a fault"""

PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "budget": COMMON["budget"],
        "warmup": Parameter(
            default=200,
            low=16,
            high=1_000_000,
            whole=True,
            meaning="readings that set level and scale, and as many again the limit",
        ),
        "delta": Parameter(
            default=0.5, low=0.0, high=10.0, meaning="half the change that is to be found soonest, in sigmas"
        ),
    }
)


class PageHinkleyDetector(LearnerDetector):
    """How far the cumulated deviations from the mean have come from their turning point (Page 1954, Hinkley 1971).

    river's `PageHinkley` on deviations in sigmas, from a level and spread learned in the warm-up, with the two sums it
    tests as the statistic. Its own threshold is not used, so it never starts over by itself, and its mean does not
    learn while the score is `ALARM` or more. `cusum` does the same for many sensors, with an anchored level, 100 times
    quicker; this one is to compare with.

    Args:
        sensor_ids: int32, sorted, each once.
        settings: see `PARAMETERS`; one number, or one a sensor.
    """

    def __init__(self, sensor_ids: npt.NDArray[np.int32], **settings: Setting) -> None:
        count = np.size(sensor_ids)
        given = columns(PARAMETERS, [{}] * count) | {
            name: np.broadcast_to(np.asarray(setting, np.float64), count) for name, setting in settings.items()
        }
        pairs = zip(given["warmup"].tolist(), given["delta"].tolist(), strict=True)
        super().__init__(
            sensor_ids,
            [_Test(warmup=warmup, delta=delta) for warmup, delta in pairs],
            label="page-hinkley/2",
            block=np.clip(given["warmup"] // 16, 1, _MOST_BLOCK).astype(np.int64),
            budget=given["budget"],
        )


class _Test:
    """One sensor's test."""

    least, most = 5.0, _MOST_SUM / 2

    def __init__(self, *, warmup: float, delta: float) -> None:
        from river.drift import PageHinkley  # noqa: PLC0415 - costs a second, only who uses it shall pay

        self._make, self._warmup, self._delta = PageHinkley, warmup, delta
        self._range = Range()
        self.become(None)

    def statistic(self, value: float) -> float:
        if self._range.count < self._warmup:
            return math.nan
        edge = _REACH * self._range.sigma
        self._before = (self._test._x_mean.n, self._test._x_mean._mean)
        self._test.update(min(max(value - self._range.level, -edge), edge) / self._range.sigma)
        test = self._test
        test._sum_increase = min(test._sum_increase, test._min_increase + _MOST_SUM)
        test._sum_decrease = max(test._sum_decrease, test._max_decrease - _MOST_SUM)
        statistic: float = max(test._sum_increase - test._min_increase, test._max_decrease - test._sum_decrease)
        return statistic

    def learn(self, value: float, *, anomalous: bool) -> None:
        if self._range.count < self._warmup:
            self._range.learn(value)
        elif anomalous:
            self._test._x_mean.n, self._test._x_mean._mean = self._before

    def numbers(self) -> npt.NDArray[np.float64]:
        test = self._test
        sums = [test._sum_increase, test._sum_decrease, test._min_increase, test._max_decrease]
        return np.array([*self._range.numbers(), test._x_mean.n, test._x_mean._mean, *sums], np.float64)

    def become(self, numbers: npt.NDArray[np.float64] | None) -> bool:
        test: Any = self._make(delta=self._delta, threshold=math.inf)
        self._test, self._before = test, (0, 0.0)
        self._range = Range()
        if numbers is None:
            return False
        self._range = Range(numbers[: Range.size].tolist())
        count, test._x_mean._mean, *sums = numbers[Range.size :].tolist()
        test._x_mean.n = int(count)
        test._sum_increase, test._sum_decrease, test._min_increase, test._max_decrease = sums
        return True
