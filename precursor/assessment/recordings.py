"""Recordings of bearings as they are published: CWRU and MFPT, as NumPy archives or as the original MATLAB files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.io

from models.vibration.bearings import bearing
from models.vibration.machine import MachineSpec
from telemetry.errors import ConfigurationError

__all__ = ["HEALTHY", "Recording", "read_recordings", "read_snapshots"]

Row = npt.NDArray[np.float64]

HEALTHY = "healthy"

_DRIVE_END, _FAN_END, _MFPT = "6205-2RS JEM SKF", "6203-2RS JEM SKF", "NICE MFPT"
_TRUTHS = (
    (HEALTHY, re.compile(r"normal|baseline|healthy|good", re.IGNORECASE)),
    ("inner", re.compile(r"inner|(?:^|[^a-z])ir(?![a-z])", re.IGNORECASE)),
    ("outer", re.compile(r"outer|(?:^|[^a-z])or(?![a-z])", re.IGNORECASE)),
    ("ball", re.compile(r"ball|(?:^|[^a-z])b(?=[_\d])", re.IGNORECASE)),
)
# First and last number of a file, fault, kHz, end: of the index at Case Western Reserve University.
_CWRU_NUMBERS = (
    (97, 100, HEALTHY, 48, "DE"), (105, 108, "inner", 12, "DE"), (109, 112, "inner", 48, "DE"),
    (118, 121, "ball", 12, "DE"), (122, 125, "ball", 48, "DE"), (130, 133, "outer", 12, "DE"),
    (135, 138, "outer", 48, "DE"), (144, 147, "outer", 12, "DE"), (148, 151, "outer", 48, "DE"),
    (156, 160, "outer", 12, "DE"), (161, 164, "outer", 48, "DE"), (169, 172, "inner", 12, "DE"),
    (174, 177, "inner", 48, "DE"), (185, 188, "ball", 12, "DE"), (189, 192, "ball", 48, "DE"),
    (197, 200, "outer", 12, "DE"), (201, 204, "outer", 48, "DE"), (209, 212, "inner", 12, "DE"),
    (213, 217, "inner", 48, "DE"), (222, 225, "ball", 12, "DE"), (226, 229, "ball", 48, "DE"),
    (234, 237, "outer", 12, "DE"), (238, 241, "outer", 48, "DE"), (246, 249, "outer", 12, "DE"),
    (250, 253, "outer", 48, "DE"), (258, 261, "outer", 12, "DE"), (262, 265, "outer", 48, "DE"),
    (270, 281, "inner", 12, "FE"), (282, 293, "ball", 12, "FE"), (294, 318, "outer", 12, "FE"),
    (3001, 3004, "inner", 12, "DE"), (3005, 3008, "ball", 12, "DE"),
)  # fmt: skip
_LOAD_RPM = {"0": 1797.0, "1": 1772.0, "2": 1750.0, "3": 1730.0}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """Acceleration of one bearing."""

    name: str
    samples: Row
    """g"""
    sample_rate_hz: float
    machine: MachineSpec
    truth: str | None
    """healthy, inner, outer or ball; None: the names do not say, and it is not judged"""


def read_recordings(folder: Path) -> list[Recording]:
    """All recordings below a folder that say what they are of, by name.

    - archives with `acceleration_g`, `sample_rate_hz` and `shaft_hz`: MFPT's bearing;
    - archives whose name has a rate ("12k") and a speed ("1797rpm"): one CWRU recording an array, of the drive end
      unless the name says fan end;
    - MATLAB files of CWRU (`X105_DE_time`, ...; by their number, or a name like IR007_0) and of MFPT (`bearing`).

    Raises:
        ConfigurationError: there is none.
    """
    found: list[Recording] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".npz":
            found.extend(_archive(path))
        elif path.suffix == ".mat":
            found.extend(_matlab(path))
    if not found:
        raise ConfigurationError(
            f"no recordings in {str(folder)!r}: expected archives like cwru_drive_end_12k_1797rpm.npz or"
            " mfpt_*.npz, or the MATLAB files of CWRU and MFPT"
        )
    return found


def read_snapshots(folder: Path) -> Iterator[tuple[str, list[tuple[float, Row]]]]:
    """Archives of FEMTO's snapshots: name, and seconds from the start with samples (count, axes) in g, in time."""
    for path in sorted(folder.rglob("femto*.npz")):
        with np.load(path) as archive:
            rows = [(float(name.rstrip("s")), archive[name].astype(np.float64)) for name in archive.files]
        yield path.stem, sorted(rows, key=lambda row: row[0])


def _archive(path: Path) -> Iterator[Recording]:
    with np.load(path) as archive:
        if "acceleration_g" in archive.files:
            yield _mfpt(path, archive["acceleration_g"], float(archive["sample_rate_hz"]), float(archive["shaft_hz"]))
            return
        rate = re.search(r"(\d+(?:\.\d+)?)k(?![a-z])", path.stem, re.IGNORECASE)
        speed = re.search(r"(\d+)rpm", path.stem, re.IGNORECASE)
        if path.stem.startswith("femto") or rate is None or speed is None:
            return
        for name in archive.files:
            yield Recording(
                name=f"{path.stem}/{name}",
                samples=archive[name].astype(np.float64).ravel(),
                sample_rate_hz=float(rate[1]) * 1000,
                machine=_cwru_machine(float(speed[1]), fan_end="fan" in path.stem.lower()),
                truth=_truth(name),
            )


def _matlab(path: Path) -> Iterator[Recording]:
    content: dict[str, Any] = scipy.io.loadmat(path, squeeze_me=True)
    if "bearing" in content:
        data = content["bearing"]
        yield _mfpt(path, np.asarray(data["gs"].item()), float(data["sr"].item()), float(data["rate"].item()))
        return
    channels = {key[-7:-5]: key for key in sorted(content) if key.endswith(("_DE_time", "_FE_time"))}
    if not channels:
        return
    number = int(path.stem) if path.stem.isdigit() else 0
    known = next((row for row in _CWRU_NUMBERS if row[0] <= number <= row[1]), None)
    truth = known[2] if known else _truth(path.stem)
    words = str(path).lower()
    fan_end = known[4] == "FE" if known else "fan" in words or "_fe" in path.stem.lower()
    # Smith and Randall 2015, appendix A: the baseline was recorded at 48 kHz.
    slow = known[3] == 12 if known else not ("48k" in words or truth == HEALTHY)
    rpm = next((float(value) for key, value in content.items() if key.upper().endswith("RPM")), None)
    if rpm is None:
        rpm = _LOAD_RPM.get(path.stem[-1], 1760.0)
    channel = channels.get("FE" if fan_end else "DE") or next(iter(channels.values()))
    yield Recording(
        name=path.stem,
        samples=np.asarray(content[channel], np.float64).ravel(),
        sample_rate_hz=12_000.0 if slow else 48_000.0,
        machine=_cwru_machine(rpm, fan_end=fan_end),
        truth=truth,
    )


def _mfpt(path: Path, samples: npt.NDArray[Any], sample_rate_hz: float, shaft_hz: float) -> Recording:
    return Recording(
        name=path.stem,
        samples=samples.astype(np.float64).ravel(),
        sample_rate_hz=sample_rate_hz,
        machine=MachineSpec(speed_hz=shaft_hz, bearings=(bearing(_MFPT),)),
        truth=_truth(path.stem),
    )


def _cwru_machine(rpm: float, *, fan_end: bool) -> MachineSpec:
    return MachineSpec(speed_hz=rpm / 60, bearings=(bearing(_FAN_END if fan_end else _DRIVE_END),))


def _truth(name: str) -> str | None:
    return next((truth for truth, pattern in _TRUTHS if pattern.search(name)), None)
