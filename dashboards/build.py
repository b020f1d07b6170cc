"""Boards as JSON files: the same code gives the same bytes."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.boards.alarm_performance import alarm_performance
from dashboards.boards.machine_condition import machine_condition
from dashboards.boards.plant_overview import plant_overview

__all__ = ["BOARDS", "JSON_FOLDER", "build_all", "render"]

BOARDS: Mapping[str, Callable[[], Dashboard]] = MappingProxyType(
    {
        "alarm-performance": alarm_performance,
        "machine-condition": machine_condition,
        "plant-overview": plant_overview,
    }
)
"""file name without suffix -> what builds the board"""

JSON_FOLDER = Path(__file__).parent / "json"
"""where the generated boards are kept in the repository, and where Grafana's provisioning reads them"""


def render(board: Dashboard) -> str:
    """A board as Grafana reads it: keys in order, two spaces, a newline at the end."""
    return json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def build_all(folder: Path = JSON_FOLDER) -> tuple[Path, ...]:
    """Write every board to `folder`, made where it is missing, and name the files written.

    Files of boards that no longer exist are left alone: the folder may hold a user's own boards.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, build in sorted(BOARDS.items()):
        path = folder / f"{name}.json"
        path.write_text(render(build()), encoding="utf-8")
        written.append(path)
    return tuple(written)
