"""Boards are generated, the same each time, and what is committed is what the code says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dashboards.boards.plant_overview import UID
from dashboards.build import BOARDS, JSON_FOLDER, build_all, render
from dashboards.target import DATASOURCE_UID, QUERIES
from dashboards.units import GRAFANA_UNITS, series_pattern


def _board(name: str) -> dict[str, Any]:
    board = json.loads(render(BOARDS[name]()))
    assert isinstance(board, dict)
    return board


def test_committed_boards_are_what_the_code_builds(tmp_path: Path) -> None:
    built = build_all(tmp_path)
    assert [path.name for path in built] == sorted(path.name for path in JSON_FOLDER.glob("*.json"))
    for path in built:
        committed = (JSON_FOLDER / path.name).read_text(encoding="utf-8")
        assert committed == path.read_text(encoding="utf-8"), "run: precursor dashboards build"


def test_building_makes_the_folder_and_leaves_other_boards_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    build_all(folder)
    (folder / "mine.json").write_text("{}", encoding="utf-8")
    build_all(folder)
    assert (folder / "mine.json").read_text(encoding="utf-8") == "{}"


def test_uid_of_the_plant_overview_never_changes() -> None:
    assert UID == "precursor-plant-overview"
    assert _board("plant-overview")["uid"] == UID


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_panels_have_numbers_of_their_own_and_stand_beside_each_other(name: str) -> None:
    panels = _board(name)["panels"]
    numbers = [panel["id"] for panel in panels]
    assert len(set(numbers)) == len(numbers)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_everything_asks_the_provisioned_data_source(name: str) -> None:
    board = _board(name)
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    asked = [
        *panels,
        *(target for panel in panels for target in panel["targets"]),
        *board["templating"].get("list", []),
    ]
    assert {part["datasource"]["uid"] for part in asked} == {DATASOURCE_UID}
    titles = [panel["title"] for panel in panels]
    assert len(set(titles)) == len(titles)


def test_every_statement_is_on_a_board() -> None:
    boards = [_board(name) for name in BOARDS]
    asked = {target["rawSql"] for board in boards for panel in board["panels"] for target in panel.get("targets", [])}
    asked |= {variable["query"] for board in boards for variable in board["templating"].get("list", [])}
    assert asked == set(QUERIES.values())


@pytest.mark.parametrize("unit", sorted(GRAFANA_UNITS))
def test_unit_is_found_at_the_end_of_a_series_name(unit: str) -> None:
    pattern = series_pattern(unit)
    assert pattern[0] == pattern[-1] == "/"
    # Python's syntax is that of JavaScript here, but for the slash that ends a pattern there.
    expression = re.compile(pattern[1:-1])
    assert expression.search(f"P-101.point [{unit}]")
    assert not expression.search(f"P-101.point [x{unit}]")
    assert not expression.search(f"P-101.point [{unit}] more")


def test_slash_in_a_unit_does_not_end_the_pattern() -> None:
    assert series_pattern("mm/s") == r"/\[mm\/s\]$/"
