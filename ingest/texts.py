"""Texts of devices as the database can keep them: any text, no two alike, none too long for an index."""

import hashlib

__all__ = ["storable"]

_MOST_BYTES = 800
"""of a name: an entry of an index holds three of them"""
_DIGEST = 16


def storable(text: str, most_bytes: int = _MOST_BYTES) -> str:
    """The text without what PostgreSQL's text cannot hold, and at most so many bytes long as UTF-8.

    NUL and halves of surrogate pairs are written as escapes; what is too long is cut, and ends in a digest of all of
    it, so that two long names stay two.

    >>> storable("line 1/\\0")
    'line 1/\\\\x00'
    """
    body = text.replace("\0", "\\x00").encode("utf-8", "backslashreplace")
    if len(body) <= most_bytes:
        return body.decode()
    digest = hashlib.sha256(body).hexdigest()[:_DIGEST]
    return f"{body[: most_bytes - _DIGEST - 3].decode(errors='ignore')}…{digest}"
