"""Which failures of the driver are worth another try."""

import asyncpg
import pytest

from telemetry.database import translated
from telemetry.errors import DatabaseUnavailableError


@pytest.mark.parametrize(
    "failure",
    [
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.AdminShutdownError("terminating connection due to administrator command"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.DiskFullError("could not extend file"),
        asyncpg.DeadlockDetectedError("deadlock detected"),
        asyncpg.LockNotAvailableError("could not obtain lock"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        ConnectionResetError("connection reset by peer"),
        TimeoutError(),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_a_failure_that_may_pass_is_told_from_a_bug(failure: Exception) -> None:
    with pytest.raises(DatabaseUnavailableError) as caught, translated():
        raise failure
    assert str(caught.value), "it says what happened"


@pytest.mark.parametrize("failure", [asyncpg.UndefinedTableError("no such relation"), ValueError("a bug")])
def test_everything_else_stays_loud(failure: Exception) -> None:
    with pytest.raises(type(failure)), translated():
        raise failure
