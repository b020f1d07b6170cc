"""Named SQL: each room keeps its statements in `queries.sql`, in blocks that begin with `-- name: ...`."""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

__all__ = ["load_queries"]

_HEAD = re.compile(r"^-- name: (\w+)[ \t]*\n", re.MULTILINE)


def load_queries(package: str, file: str = "queries.sql") -> Mapping[str, str]:
    """The statements of `<package>/<file>` by name.

    Raises:
        ValueError: a name stands twice, or text stands before the first name.
    """
    parts = _HEAD.split(files(package).joinpath(file).read_text(encoding="utf-8"))
    if parts[0].strip() and not all(line.startswith("--") or not line for line in parts[0].splitlines()):
        raise ValueError(f"{package}/{file}: SQL before the first `-- name:`")
    names, bodies = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{package}/{file}: a name stands twice")
    return MappingProxyType({name: body.strip().rstrip(";") for name, body in zip(names, bodies, strict=True)})
