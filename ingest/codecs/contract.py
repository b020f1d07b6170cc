"""What a codec makes of a payload: items whose sensors are still names. A codec never raises."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ingest.reasons import RejectReason

__all__ = ["Block", "Codec", "Fault", "Item"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A reading whose sensor is still a name and whose value may still be a text."""

    sensor: str | None
    """as sent; None: the sensor of the topic"""
    time: int
    """microseconds since 1970-01-01 UTC"""
    value: float | str
    """finite, or a text that only the sensor's codes can tell"""
    quality: int
    unit: str | None = None
    """where the payload names one, in pint's spelling if the form has its own; the door converts"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """A waveform whose sensor is still a name."""

    sensor: str | None
    """as sent; None: the sensor of the topic"""
    time: int
    """of the first sample, microseconds since 1970-01-01 UTC"""
    sample_rate_hz: float
    unit: str | None
    samples: npt.NDArray[np.float32]
    """finite; at least one"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An item that is no reading."""

    reason: RejectReason
    detail: str
    """what is wrong, as a sentence for a person; printable, at most a few hundred characters"""
    text: bytes | None = None
    """the item's own text; None: the whole payload"""


class Codec(Protocol):
    """One form of payload."""

    def examine(self, payload: bytes, *, named: bool, now_us: int) -> tuple[int, list[Item | Block | Fault]]:
        """How many items a payload carries, and each of them, good or faulty. Never raises.

        A payload that cannot be taken apart is one item. `named`: items have to name their sensors (a gateway's
        topic); else they belong to the sensor of the topic. `now_us`: the wall clock, µs since 1970-01-01 UTC, for
        forms whose times may be relative to it.
        """
        ...
