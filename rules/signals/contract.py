"""What turns readings into the samples of every rule of one kind."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from rules.samples import Samples
from telemetry.batch import ReadingBatch

__all__ = ["SignalBlock"]


class SignalBlock(Protocol):
    """The signals of all rules of one kind: a pure fold over event time.

    Samples do not depend on how the stream is cut into batches, to the last bit, as long as readings of several
    sensors that have the same time come in one batch (only kinds that look at several sensors care).
    """

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        """The sensors looked at, sorted, each once."""
        ...

    def fold(self, batch: ReadingBatch) -> Samples:
        """Samples of readings sorted by (sensor_id, time), strictly ascending per sensor over all folds.

        Readings of any quality, and of sensors that are none of its inputs, may be among them. For a rule that
        looks at several sensors, no reading may be older than one of another of its sensors in an earlier fold.

        Returns:
            Under the signal -rule.id, sorted by (signal, time).
        """
        ...

    def reset(self, rule_ids: npt.NDArray[np.int64], at_us: int) -> Samples:
        """A person has put these rules back to their beginning (only usage counts from one).

        Returns:
            A NaN sample at `at_us` for each rule that was put back: what stood is over.
        """
        ...

    def snapshot(self) -> bytes:
        """The whole state; `restore` continues from it exactly."""
        ...

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot, also one taken with other rules.

        State is matched by rule id. A rule that is not in the snapshot, or whose signal was another then (another
        sensor, window, tolerance ...: what its state was made with), starts fresh; limits and delays are no part
        of a signal.

        Raises:
            StateError: the bytes are damaged or of another kind.
        """
        ...
