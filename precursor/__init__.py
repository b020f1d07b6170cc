"""The front door: command line, settings, wiring; nothing else."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("precursor-cbm")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0.0.0"
