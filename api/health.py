"""Whether the process lives, and whether it can do its work."""

from collections.abc import Callable, Mapping
from typing import Literal

import asyncpg
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.database import open_connection
from api.problems import Problem, respond
from api.queries import SQL
from telemetry.errors import TransientError

__all__ = ["EngineStatus", "router"]

EngineStatus = Callable[[], Mapping[str, bool]]
"""what the engine in this process says of its parts, e.g. {"broker": True}"""

router = APIRouter(prefix="/health", tags=["health"])


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """Everything is ready."""

    status: Literal["ready"] = "ready"
    checks: dict[str, bool] = Field(
        description="what was looked at: `database`, `schema`, and the parts of the engine where it runs here",
        examples=[{"database": True, "schema": True, "broker": True}],
    )


@router.get("/live", summary="Is the process alive?")
async def live() -> Alive:
    """Answers as long as the process does, whatever its database says."""
    return Alive()


@router.get("/ready", summary="Can it do its work?", response_model=Ready, responses={503: {"model": Problem}})
async def ready(request: Request) -> Ready | JSONResponse:
    """503 while the database is silent, its schema is not the one needed, or the engine is not well."""
    checks = {"database": False, "schema": False}
    try:
        # Not a dependency: a database that is down is this answer's content, not its failure.
        async for connection in open_connection(request):
            checks["database"] = True
            checks["schema"] = await _revision(connection) == request.app.state.newest_revision
    except TransientError:
        checks["database"] = False
    engine: EngineStatus | None = request.app.state.engine_status
    if engine is not None:
        checks.update(engine())
    if all(checks.values()):
        return Ready(checks=checks)
    failing = ", ".join(name for name, good in checks.items() if not good)
    return respond(request, 503, f"not ready: {failing}", headers={"Retry-After": "5"}, checks=checks)


async def _revision(connection: asyncpg.Connection) -> str | None:
    try:
        revision: str | None = await connection.fetchval(SQL["schema_revision"])
    except asyncpg.UndefinedTableError:
        return None
    return revision
