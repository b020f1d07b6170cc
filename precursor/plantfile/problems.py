"""What is wrong with a plant file: where, what was found, what was expected."""

from collections.abc import Iterable
from dataclasses import dataclass

from telemetry.errors import ConfigurationError

__all__ = ["Path", "PlantFileError", "Problem", "written"]

Path = tuple[str | int, ...]
"""The way from the top of the file to a value: keys of mappings, positions in lists from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing a person has to change."""

    line: int
    """1 is the first line of the file"""
    where: str
    """e.g. `sites[0].areas[0].assets[1].unit`; empty: the file as a whole"""
    message: str


class PlantFileError(ConfigurationError):
    """A plant file that can't be applied. Its text has one line for each problem, by line of the file."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__(
            "\n".join(
                f"{file}:{problem.line}: {problem.where + ': ' if problem.where else ''}{problem.message}"
                for problem in self.problems
            )
        )


def written(path: Path) -> str:
    """A path as a person reads it.

    >>> written(("sites", 0, "areas", 2, "name"))
    'sites[0].areas[2].name'
    """
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
