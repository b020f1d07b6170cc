"""The evaluation's way back after a crash: a checkpoint of its state, and what was folded since.

Every batch transaction appends the readings it folds, in the order it folds them. State = checkpoint + entries after
it, exactly; the order of arrival, which the `reading` table does not keep, is part of it. Once the entries outweigh
the state, and 8 MiB, the state is written anew and they are dropped: recovery never folds more than that.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg
import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch
from telemetry.errors import StateError
from telemetry.snapshot import pack, unpack
from telemetry.sql import load_queries

__all__ = ["Entry", "Journal", "Rebaseline", "Recovered", "Reset", "Tick"]

_SQL = load_queries("telemetry", "journal.sql")
_TICK = "tick/1"
_RESET = "reset/1"
_REBASELINE = "rebaseline/1"
_MIN_BYTES = 8 << 20
"""journal bytes below which a checkpoint is not worth writing: 380,000 readings, folded again in a second"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time passed without readings, as the fold was told."""

    sensor_id: npt.NDArray[np.int32]
    now: npt.NDArray[np.int64]
    """µs since 1970, for each sensor"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """Somebody said that what some rules count or stand for is over: a machine was serviced."""

    rule_id: npt.NDArray[np.int32]
    at: npt.NDArray[np.int64]
    """µs since 1970, for each rule"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebaseline:
    """What was usual for some assets is so no more: they were repaired, or changed on purpose."""

    asset_id: npt.NDArray[np.int32]
    at: npt.NDArray[np.int64]
    """µs since 1970, for each asset"""


Entry = ReadingBatch | Tick | Reset | Rebaseline
"""what the evaluation was told, in one call"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What to restore and then fold again, in order."""

    parts: Mapping[str, bytes]
    """snapshots by the name of what they are of"""
    entries: tuple[Entry, ...]


class Journal:
    """Checkpoint and journal of one engine. Writes happen inside the caller's transaction."""

    def __init__(self) -> None:
        self._seq = 0
        self._bytes = 0

    async def recover(self, connection: asyncpg.Connection) -> Recovered:
        """The state as of the last COMMIT.

        Raises:
            StateError: the parts of the checkpoint are not of one moment, or an entry is of an unknown kind.
        """
        rows = await connection.fetch(_SQL["load_checkpoint"])
        moments = {row["seq"] for row in rows}
        if len(moments) > 1:
            raise StateError(f"the parts of the evaluation checkpoint stand at different entries: {sorted(moments)}")
        self._seq = moments.pop() if moments else 0
        self._bytes = 0
        entries: list[Entry] = []
        for row in await connection.fetch(_SQL["load_entries"], self._seq):
            entries.append(_read(row["kind"], row["body"]))
            self._seq = row["seq"]
            self._bytes += len(row["body"])
        return Recovered(parts={row["name"]: row["body"] for row in rows}, entries=tuple(entries))

    async def append(self, connection: asyncpg.Connection, entry: Entry, *, revision: int) -> None:
        """Note what is folded in this transaction."""
        if isinstance(entry, Tick):
            kind, body = "tick", pack(_TICK, {"sensor_id": entry.sensor_id, "now": entry.now})
        elif isinstance(entry, Reset):
            kind, body = "reset", pack(_RESET, {"rule_id": entry.rule_id, "at": entry.at})
        elif isinstance(entry, Rebaseline):
            kind, body = "rebaseline", pack(_REBASELINE, {"asset_id": entry.asset_id, "at": entry.at})
        else:
            kind, body = "readings", entry.to_bytes()
        self._seq = await connection.fetchval(_SQL["append"], kind, revision, body)
        self._bytes += len(body)

    def checkpoint_due(self, state_bytes: int) -> bool:
        """Whether the journal outweighs a state of this size."""
        return self._bytes >= max(_MIN_BYTES, state_bytes)

    async def checkpoint(self, connection: asyncpg.Connection, parts: Mapping[str, bytes]) -> None:
        """Write the state as of the last entry appended, and drop the entries it covers."""
        for name, body in parts.items():
            await connection.execute(_SQL["save_part"], name, self._seq, body)
        await connection.execute(_SQL["drop_other_parts"], list(parts))
        await connection.execute(_SQL["drop_entries"], self._seq)
        self._bytes = 0


def _read(kind: str, body: bytes) -> Entry:
    if kind == "readings":
        return ReadingBatch.from_bytes(body)
    if kind == "tick":
        arrays = unpack(_TICK, body)
        return Tick(sensor_id=arrays["sensor_id"], now=arrays["now"])
    if kind == "reset":
        arrays = unpack(_RESET, body)
        return Reset(rule_id=arrays["rule_id"], at=arrays["at"])
    if kind == "rebaseline":
        arrays = unpack(_REBASELINE, body)
        return Rebaseline(asset_id=arrays["asset_id"], at=arrays["at"])
    raise StateError(f"the evaluation journal has an entry of unknown kind {kind!r}")
