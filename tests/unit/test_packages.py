"""Our folders are top-level packages: nothing installed beside them may be found in their place."""

import importlib
from importlib.metadata import files
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [
    "api", "cbm", "dashboards", "ingest", "models", "precursor", "rules", "simulators", "telemetry", "workorder_bridge",
]  # fmt: skip


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_is_found_in_this_repository_or_in_our_wheel(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    found = Path(module.__file__).resolve()
    ours = {Path(str(file.locate())).resolve() for file in files("precursor-cbm") or []}
    assert found.is_relative_to(ROOT) or found in ours


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_says_what_it_is_for(name: str) -> None:
    assert (importlib.import_module(name).__doc__ or "").strip()
