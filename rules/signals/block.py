"""`Block`: what the signals of all kinds have in common: their rules, samples, and state that outlives the program."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.definition import Rule
from rules.samples import Samples
from rules.signals.stretches import Index, Inputs
from telemetry.batch import ReadingBatch
from telemetry.quality import usable
from telemetry.snapshot import pack, unpack

__all__ = ["Block", "measured"]


class Block:
    """Rules of one kind, those with the highest ids first, so that what comes out is in the order of signals.

    State is a column per name with one row per rule.

    Args:
        rules: all of one kind
        sensors: for each rule the sensors it looks at
        state: what a rule starts with: for each name the first value; its type is that of the column
        identity: for each rule what its state was made with; when that changes the rule starts fresh
    """

    label: str

    def __init__(
        self,
        rules: Sequence[Rule],
        sensors: Sequence[Sequence[int]],
        *,
        state: Mapping[str, npt.NDArray[Any]] | None = None,
        identity: Sequence[object] | None = None,
    ) -> None:
        self._rule_id = np.array([rule.id for rule in rules], np.int64)
        self._signal = (-self._rule_id).astype(np.int32)
        self._inputs = Inputs(sensors)
        made_with = identity or [None] * len(rules)
        self._identity = np.array(
            [_fingerprint((tuple(ids), one)) for ids, one in zip(sensors, made_with, strict=True)], np.int64
        )
        self._fresh = {"moved": np.array(False), **(state or {})}
        self._state = self._begin()

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        """The sensors looked at, sorted, each once."""
        return self._inputs.sensor_ids

    def reset(self, rule_ids: npt.NDArray[np.int64], at_us: int) -> Samples:
        """Nothing: this kind has no beginning to go back to."""
        return Samples.empty()

    def snapshot(self) -> bytes:
        """The whole state; `restore` continues from it exactly. Rules without any take no room."""
        moved = np.flatnonzero(self._state["moved"])
        return pack(
            self.label,
            {"rule_id": self._rule_id[moved], "identity": self._identity[moved], **self._stored(moved)},
        )

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot; rules that are not in it, or looked elsewhere then, start fresh.

        Raises:
            StateError: the bytes are damaged or of another kind.
        """
        arrays = unpack(self.label, body)
        keys = zip(arrays.pop("rule_id").tolist(), arrays.pop("identity").tolist(), strict=True)
        stored = {key: row for row, key in enumerate(keys)}
        ours = zip(self._rule_id.tolist(), self._identity.tolist(), strict=True)
        found = [(place, stored[key]) for place, key in enumerate(ours) if key in stored]
        here, there = np.array(found, np.intp).reshape(-1, 2).T
        self._state = self._begin()
        self._recover(arrays, here, there)

    def _begin(self) -> dict[str, npt.NDArray[Any]]:
        count = self._rule_id.size
        return {name: np.broadcast_to(first, (count, *first.shape)).copy() for name, first in self._fresh.items()}

    def _stored(self, places: Index) -> dict[str, npt.NDArray[Any]]:
        """The state of rules at these places, as it is kept: a kind may know a shorter way."""
        return {name: column[places] for name, column in self._state.items()}

    def _recover(self, arrays: dict[str, npt.NDArray[Any]], here: Index, there: Index) -> None:
        """Give the rules at the places `here` the state of rows `there` of what `_stored` made; others are fresh."""
        for name, column in arrays.items():
            self._state[name][here] = column[there]

    def _samples(self, place: Index, time: npt.NDArray[np.int64], value: npt.NDArray[np.float64]) -> Samples:
        """Of rules at these places, in ascending order; values that are no number are none (NaN means `normal`)."""
        finite = np.isfinite(value)
        if not finite.all():
            place, time, value = place[finite], time[finite], value[finite]
        return Samples(signal=self._signal[place], time=time, value=value)


def measured(batch: ReadingBatch) -> npt.NDArray[np.bool_]:
    """Which readings are measurements: good or uncertain, and a number."""
    return usable(batch.quality) & np.isfinite(batch.value)


def _fingerprint(identity: object) -> int:
    """A number that another identity does not share."""
    return int.from_bytes(blake2b(repr(identity).encode(), digest_size=8).digest(), "little", signed=True)
