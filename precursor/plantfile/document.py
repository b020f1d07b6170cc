"""YAML into plain values, every value's line kept.

The parser is libyaml through PyYAML: a plant of 10,000 sensors parses in half a second, where the parsers written in
Python need eight. It only gives us nodes. What a scalar means is decided here, by the core schema of YAML 1.2:
`on`, `off`, `yes` and `no` are text, as whoever writes `states: {on: running}` expects.
"""

import re
from collections.abc import Iterator

# No types are shipped with it.
import yaml

from precursor.plantfile.problems import Path, Problem, written

__all__ = ["Document", "Value", "parse"]

Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
# Aliases can make a short file describe more values than any memory holds.
_MOST_VALUES = 5_000_000
_DEEPEST = 100


class _TooMuchError(Exception):
    """The file describes more values, or deeper ones, than we are ready to build."""


class Document:
    """A parsed file: its values, the line of each, and what was already wrong at this level."""

    def __init__(self, root: yaml.Node) -> None:
        self._root = root
        self._values = 0
        self.problems: list[Problem] = []
        self.value = self._build(root, ())

    def line(self, path: Path) -> int:
        """The line of the value at a path; of the nearest thing around it where there is no such value."""
        node, line = self._root, _line(self._root)
        for step in path:
            if isinstance(node, yaml.MappingNode):
                entry = next(((key, value) for key, value in self._pairs(node) if key.value == step), None)
                if entry is None:
                    break
                key, node = entry
                line = _line(key)
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = _line(node)
            else:
                break
        return line

    def _pairs(self, node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """Own entries first, then what `<<` brings in and the mapping does not say itself."""
        own = {key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
        for key, value in node.value:
            if not _merges(key):
                yield key, value
        for key, value in node.value:
            if _merges(key):
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(source, yaml.MappingNode) and source is not node:
                        for inherited, content in self._pairs(source):
                            if inherited.value not in own:
                                own.add(inherited.value)
                                yield inherited, content

    def _build(self, node: yaml.Node, path: Path) -> Value:
        self._values += 1
        if self._values > _MOST_VALUES:
            raise _TooMuchError("aliases (*name) repeat more than a plant file can hold")
        if len(path) > _DEEPEST:
            raise _TooMuchError(f"nested more than {_DEEPEST} levels deep, or an alias (*name) that contains itself")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._build(item, (*path, place)) for place, item in enumerate(node.value)]
        assert isinstance(node, yaml.MappingNode)  # there is no fourth kind
        mapping: dict[str, Value] = {}
        own: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problem(_line(key), path, "a key is a list or a mapping; expected plain text")
            elif key.value in own and not _merges(key):
                message = f"key {key.value!r} stands twice, first on line {own[key.value]}; keep one"
                self._problem(_line(key), path, message)
            else:
                own[key.value] = _line(key)
        for key, value in self._pairs(node):
            if isinstance(key, yaml.ScalarNode) and key.value not in mapping:
                mapping[key.value] = self._build(value, (*path, key.value))
        return mapping

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Value:
        text: str = node.value
        if not node.tag.startswith("tag:yaml.org,2002:"):
            self._problem(_line(node), path, f"tag {node.tag} means nothing here; leave it out")
        if "\0" in text:
            self._problem(_line(node), path, "the character NUL can't be stored; leave it out")
        return text if node.style else _resolved(text)

    def _problem(self, line: int, path: Path, message: str) -> None:
        self.problems.append(Problem(line=line, where=written(path), message=message))


def _resolved(text: str) -> Value:
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "")) if _SPECIAL.fullmatch(text) else text


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _merges(key: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.value == "<<" and not key.style


def parse(text: str) -> Document | Problem:
    """The document, or the one reason why there is none."""
    try:
        root = yaml.compose(text, Loader=_LOADER)
        if root is None:
            return Problem(line=1, where="", message="the file is empty; expected version, sites, rules, job_plans")
        return Document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = ", ".join(part for part in (error.context, error.problem) if part)
        hint = "; indent with spaces, not tabs" if "tab" in why or "\\t" in why else ""
        return Problem(line=mark.line + 1 if mark else 1, where="", message=f"not YAML: {why}{hint}")
    except yaml.YAMLError as error:
        return Problem(line=1, where="", message=f"not YAML: {error}")
    except (_TooMuchError, RecursionError) as error:
        return Problem(line=1, where="", message=str(error) or "nested too deep")
