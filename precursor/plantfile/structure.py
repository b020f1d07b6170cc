"""From plain values to entries: every fault reported with its place, and the rest mended enough to be read on.

A person who made five mistakes should see five messages at once, not one after the other. So a fault is noted, what
is wrong is replaced by something harmless, and its entry is marked as not worth further questions.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from precursor.plantfile.document import Document, Value
from precursor.plantfile.entries import RulesEntry
from precursor.plantfile.model_entries import AssetDetectorEntry, DetectorEntry
from precursor.plantfile.problems import Path, Problem, written
from precursor.plantfile.rule_entries import OverrideEntry, RuleEntry
from telemetry.names import closest

__all__ = ["NOBODY", "Structure", "read_structure"]

NOBODY = "_" * 64
"""the name of an entry whose own name can't be read"""

# What a required key, or what stands in a list, gets once its fault is on record.
_HARMLESS: Mapping[str, Value] = {
    "version": 1, "name": NOBODY, "priority": "low", "due_within": 1, "sites": [{"name": NOBODY}], "kind": NOBODY,
    "match": NOBODY, "area": NOBODY, "class": NOBODY, "rules": [{"name": NOBODY, "priority": "low"}],
    "timezone": "UTC", "spans": [{"days": "mon"}], "days": "mon", "closed": "2000-01-01",
}  # fmt: skip
# A fault in one of these hides no name that other parts of the file may speak of.
_OWN_AFFAIRS = frozenset([
    "title", "quantity", "unit", "sent_in", "topic", "class", "criticality", "states", "subscribe", "tasks", "parts",
    "skills", "hours", "due_within", "range", "flat_line", "spike", "rate", "format", "fields", "names", "asset",
    "unknown", "provision", "match", "area", "machine", "off", "codes",
    *(info.alias or name for entry in (RuleEntry, OverrideEntry) for name, info in entry.model_fields.items()
      if name not in {"name", "kind", "sensors", "assets"}),
])  # fmt: skip
_MOST_ROUNDS = 20
_MOST_SHOWN = 60

_Entry_co = TypeVar("_Entry_co", bound=RulesEntry, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure(Generic[_Entry_co]):
    """A file whose keys and types have been looked at."""

    entry: _Entry_co
    problems: tuple[Problem, ...]
    faulty: frozenset[Path]
    """the places of faults, and the entries around them"""
    unsure: frozenset[str]
    """top keys (`sites`, `job_plans`) under which names may be missing because of a fault"""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a fault is, in the file and in the models."""

    path: Path
    entry: Path
    """the entry around it"""
    model: type[BaseModel]
    info: FieldInfo | None
    """the key it belongs to; None: an unknown key, or the file as a whole"""


def read_structure(document: Document, model: type[_Entry_co]) -> Structure[_Entry_co]:
    """The entries of a document that is laid out like `model`, with every fault in them."""
    value, problems = document.value, list(document.problems)
    faulty, unsure = set[Path](), set[str]()
    if not isinstance(value, dict):
        message = f"{_shown(value)}; expected a mapping with the keys version, sites, rules, job_plans"
        problems.append(Problem(line=1, where="", message=message))
        value = {}
    silent = bool(problems) and not value
    for round_ in range(_MOST_ROUNDS):
        try:
            entry = model.model_validate(value)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                place = _place(detail, model)
                if round_ == 0 and not silent:
                    problems.append(
                        Problem(
                            line=document.line(place.path),
                            where=written(place.path),
                            message=_message(detail, place),
                        )
                    )
                faulty.update((place.entry, place.path))
                if place.path[-1] not in _OWN_AFFAIRS:
                    unsure.add(str(place.path[0]))
                    if place.path[0] == "detectors":  # scores are sensors
                        unsure.add("sites")
                _mend(value, detail, place)
            continue
        return Structure(entry=entry, problems=tuple(problems), faulty=frozenset(faulty), unsure=frozenset(unsure))
    raise AssertionError("a structural fault that can't be mended")


def _place(detail: ErrorDetails, model: type[BaseModel]) -> _Place:
    path: Path = ()
    entry: Path = ()
    info: FieldInfo | None = None
    named = False
    for step in detail["loc"]:
        path = (*path, step)
        if isinstance(step, int) or named:
            inner = _model_in(info.annotation) if info else None
            if inner is not None:
                model, entry = inner, path
            named = False
        else:
            info = _fields(model).get(step, info if info and not _model_in(info.annotation) else None)
            inner = _model_in(info.annotation) if info else None
            if info is not None and inner is not None:
                held_in = get_origin(info.annotation)
                named = held_in is dict
                if held_in not in (dict, list):  # one, not many
                    model = inner
    return _Place(path, entry, model, info)


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    return next((kind for kind in _flat(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _flat(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from _flat(inner)


def _message(detail: ErrorDetails, place: _Place) -> str:
    kind, found = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        known, key = list(_fields(place.model)), str(place.path[-1])
        return f"unknown key {key!r}; expected one of {', '.join(known)}{closest(key, known)}"
    expected = _expected(place)
    if kind == "missing":
        return f"missing; expected {expected}"
    if kind in {"duration", "amount", "name", "range", "days", "clock", "date"}:
        return f"{_shown(found)} {detail['msg']}; expected {expected}"
    if kind == "literal_error":
        choices = str(detail.get("ctx", {}).get("expected", "")).replace(" or ", ", ").replace("'", "").split(", ")
        hint = closest(found, choices) if isinstance(found, str) else ""
        return f"{_shown(found)}; expected {expected}{hint}"
    quotes = "; put it in quotes to make it text" if kind == "string_type" and _is_plain(found) else ""
    return f"{_shown(found)}; expected {expected}{quotes}"


def _expected(place: _Place) -> str:
    if place.info is None:
        return "a number" if place.model in (DetectorEntry, AssetDetectorEntry) else "something else"
    if isinstance(place.path[-1], int):
        inner = _model_in(place.info.annotation)
        return f"a mapping with the keys {', '.join(_fields(inner))}" if inner else "text"
    return place.info.description or "something else"


def _shown(found: object) -> str:
    if found is None:
        return "nothing stands here"
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, (list, tuple)):
        return "a list" if found else "an empty list"
    if isinstance(found, dict):
        return "a mapping"
    text = repr(found)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _is_plain(found: object) -> bool:
    return isinstance(found, (bool, int, float))


def _mend(value: Value, detail: ErrorDetails, place: _Place) -> None:
    """Put something harmless where the fault is, or take the key away."""
    around: Any = value
    for number, step in enumerate(place.path[:-1]):
        try:
            inner = around[step]
        except (KeyError, IndexError, TypeError):
            return
        if not isinstance(inner, list | dict):  # a short form, e.g. `while: running`
            place = _Place(place.path[: number + 1], place.entry, place.model, None)
            break
        around = inner
    last = place.path[-1]
    if isinstance(last, int):
        if isinstance(around, list) and last < len(around):
            is_entry = place.info is not None and _model_in(place.info.annotation) is not None
            around[last] = {} if is_entry else _HARMLESS.get(str(place.path[-2]), NOBODY)
    elif isinstance(around, dict):
        info = _fields(place.model).get(last)
        if info is not None and info is place.info and info.is_required():
            around[last] = _HARMLESS[last]
        else:
            around.pop(last, None)
