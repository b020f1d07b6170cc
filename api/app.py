"""The HTTP application: reads what the engine keeps, and changes what people decide.

That is: the status of a work order, what is done about alarms, what is known of a device, and what becomes of readings
kept aside.
"""

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline

from api import (
    alarm_silence,
    alarms,
    assets,
    commands,
    devices,
    health,
    kpis,
    ledger,
    models,
    problems,
    quarantine,
    sensors,
    series,
    values,
    waveforms,
    work_orders,
)
from api.database import PoolSource
from api.health import EngineStatus
from api.quarantine import Releaser
from telemetry import schema

__all__ = ["create_app"]

_DESCRIPTION = """
IoT telemetry and condition-based maintenance: readings, alarms, work orders and reliability figures.

Times are UTC, ISO 8601. A window is `from` (inclusive) to `to` (exclusive). Lists come in pages: give `next_cursor`
back as `cursor`. Errors are RFC 9457 `application/problem+json`. `null` means not known.
"""
_TAGS = [
    {"name": "assets", "description": "The machines of the plant."},
    {"name": "sensors", "description": "Measuring points and their readings."},
    {"name": "alarms", "description": "Limits that were violated, and who was told; what is kept silent."},
    {"name": "models", "description": "What is computed: condition, remaining life, trained models."},
    {"name": "work orders", "description": "What maintenance is asked to do, and why."},
    {"name": "KPIs", "description": "Availability, MTBF and MTTR."},
    {"name": "ledger", "description": "What arrived, and what became of it."},
    {"name": "devices", "description": "Gateways, edge nodes and devices: who is there, and who is listened to."},
    {"name": "quarantine", "description": "Readings of names the plant does not have, kept aside."},
    {"name": "health", "description": "For load balancers and supervisors."},
]


def create_app(
    pool: PoolSource,
    *,
    engine_status: EngineStatus | None = None,
    newest_revision: str | None = None,
    release: Releaser | None = None,
) -> FastAPI:
    """The application over a database pool, which the caller opens and closes.

    Args:
        pool: an asyncpg pool, or a callable that gives it (the app may be made before it).
        engine_status: what the parts of an engine in this process say; /health/ready is 503 while one says False.
        newest_revision: the schema this program needs; None: the newest of `telemetry/migrations`.
        release: moves readings that were kept aside into history; None: this server does not.
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
    app.state.release = release
    app.state.newest_revision = newest_revision or schema.newest_revision()
    rooms = (
        assets, sensors, series, values, waveforms, alarms, models, work_orders, kpis, ledger,
        devices, commands, quarantine, health,
    )  # fmt: skip
    # Before /alarms/{id}: what is shelved has a path of its own.
    app.include_router(alarm_silence.router)
    for room in rooms:
        app.include_router(room.router)
    app.include_router(alarm_silence.windows)

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    problems.register(app)
    return app
