"""Where the checks of meaning put down what they find."""

from precursor.plantfile.document import Document
from precursor.plantfile.entries import RulesEntry
from precursor.plantfile.problems import Path, Problem, written
from precursor.plantfile.structure import NOBODY, Structure

__all__ = ["Notes"]


class Notes:
    """Problems found so far, and which entries are beyond further questions."""

    def __init__(self, document: Document, structure: Structure[RulesEntry]) -> None:
        self._document = document
        self._faulty = structure.faulty
        self.unsure = set(structure.unsure)
        """top keys under which names may be missing because of another problem"""
        self.problems: list[Problem] = list(structure.problems)

    def sound(self, path: Path) -> bool:
        """Whether the entry at this path has no structural fault of its own."""
        return path not in self._faulty

    def line(self, path: Path) -> int:
        """The line of the value at a path."""
        return self._document.line(path)

    def add(self, path: Path, message: str) -> None:
        """Put down a problem with the value at a path; one that had a fault before is left alone."""
        if path and not isinstance(path[-1], int) and path in self._faulty:
            return
        self.problems.append(Problem(line=self.line(path), where=written(path), message=message))

    def once(self, seen: dict[str, Path], text: str, path: Path, what: str) -> bool:
        """Whether this text is new among those seen; a second one is put down as a problem."""
        if text == NOBODY:
            return True
        if text not in seen:
            seen[text] = path
            return True
        first = seen[text]
        if path[-1] == "name":
            self.unsure.add(str(path[0]))
        self.add(path, f"{what} {text!r} is taken: line {self.line(first)} has it; choose another")
        return False
