"""docs/sparkplug.md tells which test shows which statement of the specification: that has to be so."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "sparkplug.md").read_text()
ROWS = re.findall(r"^\| `(tck-id-[\w-]+)` \| `([^`]+)` \| (.+) \|$", DOCUMENT, re.M)
SESSION = "test_sparkplug_session.py"
"""runs over a real broker; one test there shows many statements at once and is tied to them by the table alone"""


@cache
def docstrings_of(file: str) -> dict[str, str]:
    """Docstrings of the tests in a file, by name."""
    folder = "integration" if file == SESSION else "unit"
    tree = ast.parse((ROOT / "tests" / folder / file).read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return {one.name: ast.get_docstring(one) or "" for one in functions if one.name.startswith("test_")}


def named(cell: str) -> list[tuple[str, str]]:
    """(file, test) of each test in a cell of the table."""
    return [(file, test) for file, test in re.findall(r"`(\w+\.py)::(\w+)`", cell)]


def test_the_table_has_every_statement_once() -> None:
    statements = [statement for statement, _, _ in ROWS]
    assert len(set(statements)) == len(statements) == len(re.findall(r"^\| `?tck-id", DOCUMENT, re.M))
    others = re.search(
        r"The other (\d+) of the specification's (\d+) statements bind others: (\d+) .* (\d+) edge", DOCUMENT
    )
    assert others is not None
    rest, total, brokers, edges = map(int, others.groups())
    assert len(statements) + rest == total == 299
    assert brokers + edges == rest


@pytest.mark.parametrize(("statement", "where", "tests"), ROWS, ids=[statement for statement, _, _ in ROWS])
def test_a_statement_is_kept_where_the_table_says_and_shown_by_the_tests_it_names(
    statement: str, where: str, tests: str
) -> None:
    assert (ROOT / where).is_file()
    found = named(tests)
    assert len(found) == tests.count("::") > 0
    for file, test in found:
        assert test in docstrings_of(file), f"{file} has no {test}"
        if file != SESSION:
            assert re.search(rf"{statement}(?![\w-])", docstrings_of(file)[test]), f"{test} does not name {statement}"


def test_no_test_names_a_statement_that_the_table_does_not_have() -> None:
    listed = {statement for statement, _, _ in ROWS}
    files = [path.name for path in (ROOT / "tests" / "unit").glob("test_sparkplug_*.py")]
    named_by_tests = {
        statement
        for file in files
        for docstring in docstrings_of(file).values()
        for statement in re.findall(r"tck-id-[\w-]+", docstring)
    }
    assert named_by_tests <= listed
    assert len(named_by_tests) > 200
