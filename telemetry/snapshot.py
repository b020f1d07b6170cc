"""Named arrays to bytes and back: how evaluation state is kept in the database. No pickle."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from telemetry.errors import StateError

__all__ = ["pack", "unpack"]

_LABEL = "__label__"


def pack(label: str, arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Arrays (numbers or fixed-width strings) as bytes, marked with a label such as `"threshold/1"`."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{_LABEL: np.array(label)}, **arrays)
    return buffer.getvalue()


def unpack(label: str, body: bytes) -> dict[str, npt.NDArray[Any]]:
    """What `pack` made.

    Raises:
        StateError: the bytes are damaged, or carry another label (kind or version of state).
    """
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StateError(f"the stored state for {label} is damaged: {error}") from error
    found = str(arrays.pop(_LABEL, ""))
    if found != label:
        raise StateError(f"the stored state is of kind {found!r}, this program reads {label!r}")
    return arrays
