"""Names in the environment that look like settings and are none."""

import difflib
from collections.abc import Iterable, Iterator

from pydantic import BaseModel

from precursor.settings import Settings

__all__ = ["unknown_names"]

_PREFIX = "PRECURSOR_"
# Of other parts than `Settings`: recorded data for `evaluate`; the boards' push, the containers, the tests.
_DATA = "PRECURSOR_DATA"
_OTHERS = ("PRECURSOR_GRAFANA_", "PRECURSOR_DB_", "PRECURSOR_TEST_")


def unknown_names(names: Iterable[str]) -> list[tuple[str, str | None]]:
    """The names that no setting has, each with the closest that one has; None where nothing comes close."""
    known = {*_names(Settings, _PREFIX), _DATA}
    found = []
    for name in sorted(names):
        upper = name.upper()
        if upper.startswith(_PREFIX) and upper not in known and not upper.startswith(_OTHERS):
            close = difflib.get_close_matches(upper, known, n=1, cutoff=0.8)
            found.append((name, close[0] if close else None))
    return found


def _names(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name.upper()}"
        yield variable
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _names(field.annotation, f"{variable}__")
