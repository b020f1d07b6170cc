"""Formulas in CEL, the Common Expression Language, over numbers: what is allowed, and what they come to.

https://github.com/google/cel-spec: comparisons, `&&`, `||`, `!`, `? :`, arithmetic; `abs`, `min` and `max` besides.
Nothing in a formula can loop, and nothing is evaluated by Python.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from telemetry.errors import ConfigurationError
from telemetry.names import closest

if TYPE_CHECKING:
    import cel

__all__ = ["MAX_LENGTH", "Formula", "check_expression"]

MAX_LENGTH = 1000
"""characters of a formula"""

_FUNCTIONS: Mapping[str, Callable[..., float]] = {"abs": abs, "min": min, "max": max}
_KNOWN = (*_FUNCTIONS, "double", "int", "size")
_LOOPS = ("all", "exists", "exists_one", "filter", "map")
_RESERVED = frozenset({
    "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
    "namespace", "null", "package", "return", "true", "var", "void", "while",
})  # fmt: skip
_LEVELS = (1.0, 0.0, 50.0, -1.0, 0.5, 1e3, -50.0, 1e6, 7.0)
"""what is tried in place of readings"""

_TOKEN = re.compile(
    r"""
    (?P<comment>//[^\n]*)
  | (?P<string>[bB]?[rR][bB]?(?:'''.*?'''|\"\"\".*?\"\"\"|'[^'\n]*'|"[^"\n]*")
      |[bB]?(?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
  | (?P<float>(?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
  | (?P<unsigned>(?:0[xX][0-9a-fA-F]+|\d+)[uU])
  | (?P<integer>0[xX][0-9a-fA-F]+|\d+)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<space>\s+)
  | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)


class Formula:
    """A formula, ready to be worked out.

    Raises:
        ConfigurationError: it is no formula.
    """

    def __init__(self, text: str) -> None:
        import cel  # noqa: PLC0415 - brings a command line's libraries along (0.4 s); few plants have expressions

        if len(text) > MAX_LENGTH:
            raise ConfigurationError(f"the expression has {len(text)} characters; {MAX_LENGTH} are the most: split it")
        _compiled(text)
        self._program = _compiled(with_doubles(text))
        self._context = cel.Context(functions=dict(_FUNCTIONS))

    @property
    def names(self) -> list[str]:
        """The names in it that stand for values."""
        return self._program.variables()

    @property
    def functions(self) -> list[str]:
        """The functions called in it."""
        return [name for name in self._program.functions() if name.isidentifier()]

    def result(self, values: Mapping[str, float]) -> Any:
        """What it comes to for values of all its names: a bool, a number, or what else CEL has.

        Raises:
            Exception: not defined for these values; which one depends on the library.
        """
        self._context.update(dict(values))
        return self._program.execute(self._context)


def with_doubles(text: str) -> str:
    """The same with whole numbers written as doubles, for CEL does not mix the two in arithmetic.

    Whole numbers remain in strings and comments, between brackets of an index, in maps, and after `%`, which doubles
    do not have.

    >>> with_doubles("temp - 15 > [1, 2][0] * 2")
    'temp - 15.0 > [1.0, 2.0][0] * 2.0'
    """
    parts: list[str] = []
    kept = 0
    """how many of the brackets open here keep whole numbers"""
    open_brackets: list[bool] = []
    before = ""
    for token in _TOKEN.finditer(text):
        kind, part = token.lastgroup, token.group()
        if kind in ("comment", "space"):
            parts.append(part)
            continue
        if kind == "integer" and not kept and before != "%":
            part = repr(float(int(part, 0 if part[:2] in ("0x", "0X") else 10)))
        elif part in ("(", "[", "{"):
            is_index = part == "[" and before != "in" and bool(re.match(r"[\w)\]}'\"]", before[-1:]))
            open_brackets.append(is_index or part == "{")
            kept += open_brackets[-1]
        elif part in (")", "]", "}") and open_brackets:
            kept -= open_brackets.pop()
        parts.append(part)
        before = part
    return "".join(parts)


def check_expression(text: str, names: Sequence[str]) -> bool:
    """Whether an expression over values of these names is a condition (true or false), not a number.

    Which of the two is found out by working it out for 36 sets of values of all sizes and both signs, and so is
    that it does not mix types; a branch that none of them reaches is not looked at.

    Raises:
        ConfigurationError: it is neither, or no expression, or has names or functions that nobody knows; the
            message says the mend.
    """
    for name in names:
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name in _RESERVED or name in _KNOWN:
            raise ConfigurationError(
                f"{name!r} cannot stand for a sensor in an expression; use letters, digits and _, and no word of CEL"
            )
    _refuse_loops(text)
    formula = Formula(text)
    for name in formula.functions:
        if name not in _KNOWN:
            raise ConfigurationError(
                f"the expression calls {name!r}, which is none of {', '.join(_KNOWN)}{closest(name, _KNOWN)}"
            )
    for name in formula.names:
        if name not in names:
            known = f"; the inputs are {', '.join(sorted(names))}" if names else "; it has no inputs"
            raise ConfigurationError(
                f"the expression has the name {name!r}, which no input has{closest(name, names) or known}"
            )
    if not formula.names:
        raise ConfigurationError("the expression always comes to the same: it has none of its inputs in it")
    return _is_condition(formula, sorted(names))


def _is_condition(formula: Formula, names: Sequence[str]) -> bool:
    found: set[bool] = set()
    trouble: Exception | None = None
    for step in range(4):
        for first in range(len(_LEVELS)):
            values = {name: _LEVELS[(first + step * place) % len(_LEVELS)] for place, name in enumerate(names)}
            try:
                result = formula.result(values)
            except Exception as error:  # the library raises what it likes
                # Whatever the values; others may be outside the domain, and comparing NaN is an overload to CEL.
                if isinstance(error, RuntimeError) or "Unsupported operation" in str(error):
                    raise ConfigurationError(_explained(error)) from error
                trouble = error
                continue
            if not isinstance(result, bool | int | float):
                raise ConfigurationError(
                    f"the expression comes to a {type(result).__name__}; it must be true or false, or a number"
                )
            found.add(isinstance(result, bool))
    if not found:
        raise ConfigurationError(_explained(trouble)) from trouble
    if len(found) > 1:
        raise ConfigurationError(
            "the expression is true or false in some cases and a number in others; both branches of ? : need one type"
        )
    return found.pop()


def _compiled(text: str) -> "cel.Program":
    import cel  # noqa: PLC0415 - as in `Formula`

    try:
        return cel.compile(text)
    except ValueError as error:
        place = re.search(r"<input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)", str(error))
        if place is None:
            raise ConfigurationError(
                "the expression cannot be read; write it as CEL, e.g. temp > 80 && speed > 0"
            ) from error
        line, column, what = place.groups()
        where = f"character {column}" + (f" of line {line}" if line != "1" else "")
        what = what.split(" expecting ")[0].replace("'<EOF>'", "its end")
        hint = "; and is &&, or is ||, not is !" if re.search(r"\b(and|or|not)\b", text) else ""
        raise ConfigurationError(f"the expression cannot be read from {where} on: {what}{hint}") from error


def _refuse_loops(text: str) -> None:
    """Loops in loops would make a short text run for years."""
    significant = [
        token.group() for token in _TOKEN.finditer(text) if token.lastgroup not in ("comment", "space", "string")
    ]
    for dot, name, bracket in zip(significant, significant[1:], significant[2:], strict=False):
        if dot == "." and name in _LOOPS and bracket == "(":
            raise ConfigurationError(f"the expression loops with {name!r}; name each value instead")


def _explained(error: Exception | None) -> str:
    """The first sentence of what the library says, which goes on at length."""
    said = str(error).split(". ")[0].removesuffix(".").rpartition("TypeError: ")[2]
    return f"the expression cannot be worked out: {said}; values are doubles, and true or false comes of comparing them"
