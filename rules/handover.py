"""`joined`: several snapshots of one kind as one, so that its state follows a rule from one lane to the other."""

import io
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from telemetry.snapshot import pack, unpack

__all__ = ["joined"]


def joined(bodies: Sequence[bytes]) -> bytes:
    """The columns of snapshots that have rows per rule, one snapshot after the other.

    Those of another version than the first one are left out: they are from before there were two lanes.

    Raises:
        StateError: a snapshot is damaged.
    """
    if len(bodies) == 1:
        return bodies[0]
    labels = [_label(body) for body in bodies]
    parts = [unpack(label, body) for label, body in zip(labels, bodies, strict=True) if label == labels[0]]
    return pack(labels[0], {name: _stacked([part[name] for part in parts]) for name in parts[0]})


def _stacked(columns: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Rows one after the other; narrower ones are filled up with NaN: of rules with fewer inputs than others."""
    width = max((column.shape[1] for column in columns if column.ndim == 2), default=0)
    return np.concatenate(
        [
            np.pad(column, ((0, 0), (0, width - column.shape[1])), constant_values=np.nan)
            if column.ndim == 2 and column.shape[1] < width
            else column
            for column in columns
        ]
    )


def _label(body: bytes) -> str:
    """What `pack` marked a snapshot with; empty if it is damaged: unpacking it will say so."""
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as stored:
            return str(stored["__label__"])
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile):
        return ""
