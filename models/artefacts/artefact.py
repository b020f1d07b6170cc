"""A trained model as bytes: what it was trained on beside its estimators, and checks before anything of it is loaded.

Estimators are written by skops, never by pickle: a file can name types, not run code. Trees of scikit-learn are the
exception that remains: their nodes are read as they are, and forged ones could reach outside of memory. So an artefact
is only read by the SHA-256 that was noted when it was written, in the registry or by whoever sent it.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import Any, Literal

import numpy.typing as npt

from telemetry.errors import PrecursorError

__all__ = ["Artefact", "ArtefactError", "Metadata", "Task", "dump", "fingerprint", "load", "read_metadata", "versions"]

Task = Literal["anomaly", "remaining_life"]
"""what a model is for"""

_MAGIC = b"PRECURSOR MODEL\n"
_FORMAT = 1
_LENGTH_BYTES = 8
_TRUSTED = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
"""types that skops leaves to the reader: only with the right SHA-256 is anything of them loaded"""
_BOUND_TO = ("scikit-learn",)
"""libraries whose estimators are read by the same major and minor version only"""


class ArtefactError(PrecursorError):
    """A model cannot be used: it is not what was written, or was written by other versions than these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What a model is, and where it comes from."""

    task: Task
    asset_class: str
    features: tuple[str, ...]
    """measuring points or what is computed from them, in the order the estimators take them"""
    data_from: datetime
    data_until: datetime
    """of the readings it was trained and validated on, aware"""
    assets: tuple[str, ...]
    rows: int
    """of the table it was fitted to"""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """on the validation part, which is later than the training part"""
    parameters: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    """of Precursor and the libraries, by distribution name"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Artefact:
    """A model with all that is needed to use it."""

    metadata: Metadata
    estimators: Mapping[str, Any]
    """fitted estimators of scikit-learn by name"""
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """numbers beside them: limits, references of drift"""


def versions() -> dict[str, str]:
    """Those of this program, as they go into `Metadata.versions`."""
    return {name: version(name) for name in ("precursor-cbm", "scikit-learn", "skops", "numpy")}


def fingerprint(body: bytes) -> bytes:
    """SHA-256 of an artefact, 32 bytes: to be kept apart from it."""
    return hashlib.sha256(body).digest()


def dump(artefact: Artefact) -> bytes:
    """The artefact as bytes.

    Raises:
        ArtefactError: an estimator is of a type that `load` would not take back.
    """
    from skops import io  # noqa: PLC0415 - brings scikit-learn along, a second of start

    header = json.dumps(
        {
            "format": _FORMAT,
            **asdict(artefact.metadata),
            "data_from": artefact.metadata.data_from.isoformat(),
            "data_until": artefact.metadata.data_until.isoformat(),
        }
    ).encode()
    content: bytes = io.dumps({"estimators": dict(artefact.estimators), "arrays": dict(artefact.arrays)})
    _check_types(io.get_untrusted_types(data=content))
    return _MAGIC + len(header).to_bytes(_LENGTH_BYTES, "little") + header + content


def load(body: bytes, *, sha256: bytes) -> Artefact:
    """The artefact that `dump` wrote.

    Args:
        body: as `dump` gave it.
        sha256: its `fingerprint`, from where it was noted down when it was written.

    Raises:
        ArtefactError: the bytes are not those that belong to the fingerprint, or were written by another version.
    """
    from skops import io  # noqa: PLC0415 - as in `dump`

    found = fingerprint(body)
    if found != sha256:
        raise ArtefactError(
            f"the model was changed since it was written: its SHA-256 is {found.hex()[:16]}..., noted was"
            f" {sha256.hex()[:16]}...; restore it from where it came from, or train it anew"
        )
    metadata, content = _split(body)
    _check_versions(metadata)
    try:
        _check_types(io.get_untrusted_types(data=content))
        loaded = io.loads(content, trusted=list(_TRUSTED))
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise ArtefactError(f"the model cannot be read: {error}; train it anew") from error
    return Artefact(metadata=metadata, estimators=loaded["estimators"], arrays=loaded["arrays"])


def read_metadata(body: bytes) -> Metadata:
    """What an artefact says of itself; nothing of it is loaded, nothing is proven.

    Raises:
        ArtefactError: the bytes are no artefact of ours.
    """
    return _split(body)[0]


def _split(body: bytes) -> tuple[Metadata, bytes]:
    begin = len(_MAGIC) + _LENGTH_BYTES
    if body[: len(_MAGIC)] != _MAGIC or len(body) < begin:
        raise ArtefactError("this is no model of Precursor; expected a file that `precursor models export` wrote")
    end = begin + int.from_bytes(body[len(_MAGIC) : begin], "little")
    try:
        header = json.loads(body[begin:end])
        written_as = header.pop("format")
        if written_as != _FORMAT:
            raise ArtefactError(
                f"the model is in format {written_as}, this program reads format {_FORMAT}; train it anew with it"
            )
        metadata = Metadata(
            **{
                **header,
                "features": tuple(header["features"]),
                "assets": tuple(header["assets"]),
                "data_from": datetime.fromisoformat(header["data_from"]),
                "data_until": datetime.fromisoformat(header["data_until"]),
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtefactError(f"the model's description is damaged: {error}; train it anew") from error
    return metadata, body[end:]


def _check_versions(metadata: Metadata) -> None:
    here = versions()
    for name in _BOUND_TO:
        there = metadata.versions.get(name, "an unknown version")
        if there.split(".")[:2] != here[name].split(".")[:2]:
            raise ArtefactError(
                f"the model was trained with {name} {there}, this is {here[name]}; train it anew with this one"
            )


def _check_types(untrusted: list[str]) -> None:
    foreign = sorted(set(untrusted) - set(_TRUSTED))
    if foreign:
        raise ArtefactError(f"the model holds what no model of ours holds: {', '.join(foreign)}; it is not loaded")
