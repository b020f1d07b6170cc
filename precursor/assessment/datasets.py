"""The labelled data that `precursor evaluate` knows, and where it looks for them."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, cast

from precursor.assessment.report import Assessment
from telemetry.errors import ConfigurationError

__all__ = ["DATASETS", "Assess", "Dataset", "folders_of"]


class Assess(Protocol):
    """What a module of a dataset has to offer, as `assess`."""

    def __call__(self, folder: Path, *, seed: int, watch: Callable[[str], None]) -> Assessment:
        """Run the defaults on the data in a folder, however many recordings there are, and judge them.

        Raises:
            ConfigurationError: files are missing or not of this layout; it names the file and what is expected.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One kind of labelled data."""

    module: str
    """whose `assess` is called"""
    title: str
    folder: str | None
    """pattern of its folder in the data folder; None: it needs no files"""

    def assess(self, folder: Path, *, seed: int, watch: Callable[[str], None]) -> Assessment:
        """Import its module, and run it."""
        run = cast("Assess", importlib.import_module(self.module).assess)
        return run(folder, seed=seed, watch=watch)


DATASETS: Mapping[str, Dataset] = MappingProxyType(
    {
        "skab": Dataset(
            module="precursor.assessment.skab",
            title="pump test rig with valve closings, leaks, imbalance, cavitation (SKAB)",
            folder="skab*",
        ),
        "femto": Dataset(
            module="precursor.assessment.femto",
            title="bearings run to failure (FEMTO / PRONOSTIA)",
            folder="femto*",
        ),
        "waveforms": Dataset(
            module="precursor.assessment.waveforms",
            title="vibration of bearings with known faults (CWRU, MFPT) and of no fault",
            folder="waveforms*",
        ),
        "cmapss": Dataset(
            module="precursor.assessment.cmapss",
            title="turbofans run to failure, simulated (C-MAPSS)",
            folder="cmapss*",
        ),
        "azure": Dataset(
            module="precursor.assessment.azure",
            title="a year of errors, failures and maintenance of simulated machines (Azure PdM)",
            folder="azure*",
        ),
        "simulator": Dataset(
            module="precursor.assessment.simulator",
            title="pumps, motors, fans and gearboxes of our own simulator, with known onsets",
            folder=None,
        ),
        "detectors": Dataset(
            module="precursor.assessment.detectors",
            title="made series with steps, drifts and spread: which detector of one sensor is good for what",
            folder=None,
        ),
    }
)
"""by the name that `precursor evaluate` takes"""


def folders_of(name: str, data: Path) -> tuple[Path, ...]:
    """Folders with data of this kind: those in the data folder that are called like it, or the data folder itself if
    it is.

    A dataset that needs no files has the data folder, whether it is there or not.

    Raises:
        ConfigurationError: there is none, or no dataset of this name.
    """
    if name not in DATASETS:
        raise ConfigurationError(f"there is no dataset {name!r}; there are {', '.join(DATASETS)}")
    pattern = DATASETS[name].folder
    if pattern is None:
        return (data,)
    found = tuple(sorted(path for path in data.glob(pattern) if path.is_dir()))
    if found:
        return found
    if data.is_dir() and data.absolute().match(pattern):
        return (data,)
    raise ConfigurationError(
        f"no data of {name}: looked for a folder {pattern} in {str(data.absolute())!r}; name the folder it lies in with"
        " --data or PRECURSOR_DATA"
    )
