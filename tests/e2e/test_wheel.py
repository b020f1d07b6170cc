"""The wheel in an environment of its own, far from the repository."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECK = """
import importlib
from pathlib import Path
for name in ("api.app", "cbm", "dashboards.build", "ingest", "models", "precursor.cli", "rules", "simulators",
             "telemetry.schema", "workorder_bridge.store"):
    importlib.import_module(name)
from precursor.demo import example_plant_file
from dashboards.build import JSON_FOLDER
from telemetry.sql import load_queries
assert example_plant_file().is_file(), "the demo's plant file is shipped"
assert (JSON_FOLDER / "plant-overview.json").is_file(), "the boards are shipped"
assert load_queries("telemetry"), "the SQL is shipped"
"""


def run(*command: str | Path, cwd: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PRECURSOR_", "VIRTUAL_"))}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.clean_clone
@pytest.mark.timeout(400)
def test_the_wheel_brings_every_package_and_file_it_needs(tmp_path: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    run(uv, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "-o", tmp_path, ROOT, cwd=tmp_path)
    [wheel] = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    run(uv, "pip", "install", "--python", python, "--require-hashes", "-r", ROOT / "requirements.lock", cwd=tmp_path)
    run(uv, "pip", "install", "--python", python, "--no-deps", wheel, cwd=tmp_path)
    run(python, "-c", CHECK, cwd=tmp_path)
    run(tmp_path / "venv" / "bin" / "precursor", "--help", cwd=tmp_path)
