"""What is slow to import is imported by whoever needs it, not by every start of an engine or a command."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("modules", "spared"),
    [
        pytest.param(
            "precursor.cli.run, precursor.runtime",
            [
                "alembic",
                "api",
                "cel",
                "pandas",
                "pint",
                "river",
                "scipy.signal",
                "scipy.stats",
                "sklearn",
                "sqlalchemy",
            ],
            id="an engine",
        ),
        pytest.param(
            "precursor.cli.plant, precursor.cli.replay, precursor.cli.exchange",
            ["alembic", "google", "models", "pandas", "pint", "precursor.engine", "pyarrow", "rules", "scipy"],
            id="a command that looks",
        ),
        pytest.param("precursor.cli", ["asyncpg", "numpy", "precursor.settings", "psycopg", "pydantic"], id="--help"),
    ],
)
def test_a_start_does_not_wait_for_what_it_does_not_use(modules: str, spared: list[str]) -> None:
    script = f"import {modules}, sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "click" in found
    assert sorted(set(spared) & set(found)) == []
