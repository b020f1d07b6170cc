"""What the names in an expression mean: points of the asset, or what the rule says of them."""

import re
from functools import lru_cache

from precursor.plantfile.places import Places
from precursor.plantfile.rule_drafts import Draft, LackingError
from rules.signals.formula import Formula, check_expression
from telemetry.errors import ConfigurationError
from telemetry.names import closest

__all__ = ["expression_inputs", "identifier"]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def identifier(point: str) -> str:
    """The name of a point in expressions.

    >>> identifier("vib-de.score"), identifier("1_rms")
    ('vib_de_score', '_1_rms')
    """
    text = re.sub(r"[^A-Za-z0-9_]", "_", point)
    return f"_{text}" if text[:1].isdigit() else text


def expression_inputs(draft: Draft, places: Places) -> tuple[dict[str, str], bool]:
    """Name in the expression and full name of the sensor; whether the expression is true or false.

    Raises:
        RuleError: a name means nothing, or two things; it is no expression; it gives neither a truth nor a number.
    """
    text = draft.entry.expression or ""
    known: dict[str, str] = {}
    doubtful: dict[str, list[str]] = {}
    for sensor in places.sensors_of.get(draft.asset, ()):
        point = sensor.name[len(draft.asset) + 1 :]
        name = identifier(point)
        if name in known:
            doubtful.setdefault(name, [known[name]]).append(sensor.name)
        known[name] = sensor.name
    for name, of in draft.entry.inputs.items():
        if not _IDENTIFIER.fullmatch(name):
            raise draft.fault("inputs", f"{name!r} is no name for an expression; expected letters, digits and '_'")
        found = places.sensor(draft.asset, of)
        if found is None:
            hint = closest(of, places.sensor_by_name)
            raise draft.fault("inputs", f"{name}: {of!r} is no sensor; expected a point or a sensor's full name{hint}")
        known[name] = found.name
        doubtful.pop(name, None)
    try:
        used = _names(text)
        for name in used:
            if name not in known:
                hint = closest(name, known)
                message = f"{draft.asset} has no point {name!r}; expected names of its points, or of inputs{hint}"
                raise LackingError(draft.place("expression"), message)
            if name in doubtful:
                meanings = " or ".join(doubtful[name])
                raise draft.fault("expression", f"{name} may be {meanings}; say which in inputs: {{{name}: ...}}")
        is_condition = _is_condition(text)
    except ConfigurationError as fault:
        raise draft.fault("expression", str(fault)) from None
    return {name: known[name] for name in used}, is_condition


# Assets of a class have the same points: what an expression is need not be found out for each of them.
@lru_cache(maxsize=1024)
def _names(text: str) -> tuple[str, ...]:
    return tuple(Formula(text).names)


@lru_cache(maxsize=1024)
def _is_condition(text: str) -> bool:
    return check_expression(text, _names(text))
