"""The HTTP application: reads what the engine keeps; the one thing it changes is a work order's status."""

from importlib.resources import files

from alembic.script import ScriptDirectory
from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline

from api import alarms, assets, health, kpis, ledger, problems, sensors, series, values, waveforms, work_orders
from api.database import PoolSource
from api.health import EngineStatus

__all__ = ["create_app"]

_DESCRIPTION = """
IoT telemetry and condition-based maintenance: readings, alarms, work orders and reliability figures.

Times are UTC, ISO 8601. A window is `from` (inclusive) to `to` (exclusive). Lists come in pages: give `next_cursor`
back as `cursor`. Errors are RFC 9457 `application/problem+json`. `null` means not known.
"""
_TAGS = [
    {"name": "assets", "description": "The machines of the plant."},
    {"name": "sensors", "description": "Measuring points and their readings."},
    {"name": "alarms", "description": "Limits that were violated."},
    {"name": "work orders", "description": "What maintenance is asked to do, and why."},
    {"name": "KPIs", "description": "Availability, MTBF and MTTR."},
    {"name": "ledger", "description": "What arrived, and what became of it."},
    {"name": "health", "description": "For load balancers and supervisors."},
]


def create_app(
    pool: PoolSource, *, engine_status: EngineStatus | None = None, newest_revision: str | None = None
) -> FastAPI:
    """The application over a database pool, which the caller opens and closes.

    Args:
        pool: an asyncpg pool, or a callable that gives it (the app may be made before it).
        engine_status: what the parts of an engine in this process say; /health/ready is 503 while one says False.
        newest_revision: the schema this program needs; None: the newest of `telemetry/migrations`.
    """
    # Not FastAPI itself: its page loads from the internet, which a plant network does not have.
    app = FastAPIOffline(
        title="Precursor",
        summary="Readings in, the right work order out.",
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
    )
    app.state.pool = pool
    app.state.engine_status = engine_status
    app.state.newest_revision = newest_revision or _newest_revision()
    for room in (assets, sensors, series, values, waveforms, alarms, work_orders, kpis, ledger, health):
        app.include_router(room.router)

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    problems.register(app)
    return app


def _newest_revision() -> str | None:
    return ScriptDirectory(str(files("telemetry") / "migrations")).get_current_head()
