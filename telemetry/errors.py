"""The error tree of the house.

    PrecursorError
    ├── TransientError          try again: the cause lies outside and may pass
    │   └── DatabaseUnavailableError
    ├── ConfigurationError      a person has to change something; the message says what
    └── StateError              stored state contradicts itself; never carried on from

Rejected data is not an error but a value (`ingest.decoded.Rejection`): it is stored with its reason.
"""

__all__ = ["ConfigurationError", "DatabaseUnavailableError", "PrecursorError", "StateError", "TransientError"]


class PrecursorError(Exception):
    """Anything Precursor raises on purpose."""


class TransientError(PrecursorError):
    """The cause lies outside and may pass by itself: worth another try."""


class DatabaseUnavailableError(TransientError):
    """The database does not answer, or went away in the middle of a transaction."""


class ConfigurationError(PrecursorError):
    """Something a person set is wrong; the message says what to change."""


class StateError(PrecursorError):
    """Stored state contradicts itself or belongs to another version."""
