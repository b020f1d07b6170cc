"""What a person may have meant by a name that is none."""

import difflib
from collections.abc import Iterable

__all__ = ["closest"]


def closest(found: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the most similar of the known names, or nothing."""
    matches = difflib.get_close_matches(found, list(known), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]!r}?" if matches else ""
