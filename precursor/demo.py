"""The demo: broker, database, simulated plant and engine together, until a work order stands."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np

from cbm import state_rollup
from dashboards.evidence import AlarmSpan, Mark, Trend, draw_evidence
from ingest.mqtt import MqttOptions, MqttSource
from precursor.apply import apply
from precursor.engine import Engine, EngineOptions
from precursor.session import SessionOptions
from precursor.transaction import Committed
from simulators.gateway import plant_messages
from simulators.plant import SimulatedPlant
from simulators.publisher import Progress, Published, publish
from telemetry import database, schema
from telemetry.batch import to_micros
from telemetry.editions import detect_async
from telemetry.errors import TransientError
from telemetry.ledger import read_ledger, read_totals

__all__ = ["Demo", "DemoSummary", "draw", "example_plant_file"]

_INTERVAL_S = 10.0
_DRAIN_S = 60.0
"""how long the engine may take for what is left once everything is published, s"""
_WORK_ORDERS = """
SELECT w.id, a.name AS asset, w.failure_mode, w.title, w.priority, w.opened_at, w.due_at, w.occurrences, w.evidence,
       w.job_plan
FROM work_order w JOIN asset a ON a.id = w.asset_id ORDER BY w.opened_at, w.id"""


def example_plant_file() -> Path:
    """The plant file of the simulated plant, as shipped."""
    shipped = Path(str(files("precursor").joinpath("examples/plant.yaml")))
    return shipped if shipped.exists() else Path(__file__).resolve().parent.parent / "examples" / "plant.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSummary:
    """What the demo came to."""

    readings_published: int
    readings_stored: int
    duplicates: int
    rejected: int
    scores_stored: int
    alarms: int
    work_orders: list[dict[str, Any]]
    wall_s: float
    first_work_order_s: float | None
    """from the first reading published to the first order committed, s of wall clock"""
    fault: dict[str, str] | None
    lead_h: float | None
    """event time from the first order for the fault to functional failure, h"""
    problems: list[str]
    """why the demo failed; empty: it did not"""

    def as_json(self) -> str:
        """The summary as one JSON object."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__}, default=str)


@dataclass(slots=True, kw_only=True)
class Demo:
    """One run. `summary` is there when `run` has returned."""

    dsn: str
    mqtt: MqttOptions
    duration_s: float
    """wall clock"""
    speed: float
    """event seconds a second"""
    seed: int = 7
    echo_topic: str | None = None
    """see `simulators.publisher.publish`"""
    engine: Engine = field(init=False)
    plant: SimulatedPlant = field(init=False)
    progress: Progress | None = field(init=False, default=None)
    begun_s: float = field(init=False, default=0.0)
    first_work_order_s: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        span_s = self.duration_s * self.speed
        self.plant = SimulatedPlant(
            # The simulation ends now: nothing in it lies in the future, whatever the speed.
            start=datetime.now(UTC) - timedelta(seconds=span_s),
            duration_s=span_s,
            interval_s=_INTERVAL_S,
            seed=self.seed,
        )
        self.engine = Engine(
            dsn=self.dsn,
            source=MqttSource(self.mqtt),
            options=EngineOptions(session=SessionOptions(silence_s=1.0)),
            on_commit=self._committed,
        )

    def _committed(self, committed: Committed) -> None:
        if committed.work_orders and self.first_work_order_s is None:
            self.first_work_order_s = time.monotonic() - self.begun_s

    async def run(self, stop: asyncio.Event, *, watch: Callable[["Demo"], None] | None = None) -> DemoSummary:
        """Publish, ingest, wait until everything is taken, add up.

        Raises:
            TransientError: the engine does not take what was published.
        """
        schema.migrate(self.dsn)
        apply(self.dsn, example_plant_file())
        halt = threading.Event()
        self.begun_s = time.monotonic()
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.engine.run(ended), name="engine")
            watching = group.create_task(self._watch(watch), name="watch")
            interrupted = group.create_task(self._interrupt(stop, halt), name="interrupt")
            try:
                if not await self.engine.listening(30):
                    raise TransientError("the engine does not reach the broker")
                published = await asyncio.to_thread(self._publish, halt)
                await self._until(
                    lambda: self.engine.totals.received >= published.readings,
                    f"the engine took {self.engine.totals.received} of {published.readings} readings",
                    _DRAIN_S,
                )
            finally:
                halt.set()
                ended.set()
                watching.cancel()
                interrupted.cancel()
        wall_s = time.monotonic() - self.begun_s
        return await self._sum_up(published, wall_s)

    def _publish(self, halt: threading.Event) -> Published:
        def note(progress: Progress) -> None:
            self.progress = progress

        return publish(
            plant_messages(self.plant.ticks()),
            host=self.mqtt.host,
            port=self.mqtt.port,
            speed=self.speed,
            progress=note,
            stop=halt,
            echo_topic=self.echo_topic,
        )

    async def _until(self, condition: Callable[[], bool], complaint: str, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > deadline:
                raise TransientError(complaint)
            await asyncio.sleep(0.05)

    async def _watch(self, watch: Callable[["Demo"], None] | None) -> None:
        while watch is not None:
            watch(self)
            await asyncio.sleep(0.25)

    @staticmethod
    async def _interrupt(stop: asyncio.Event, halt: threading.Event) -> None:
        await stop.wait()
        halt.set()

    async def _sum_up(self, published: Published, wall_s: float) -> DemoSummary:
        connection = await database.connect(self.dsn)
        try:
            with database.translated():
                await state_rollup.refresh(connection, await detect_async(connection))
                totals = await read_totals(connection)
                ledger = await read_ledger(connection)
                alarms = await connection.fetchval("SELECT count(*) FROM alarm")
                orders = [_order(row) for row in await connection.fetch(_WORK_ORDERS)]
                in_table = await connection.fetchval("SELECT count(*) FROM reading")
        finally:
            await connection.close()
        scores = sum(int(str(row["stored"])) for row in ledger if row["source"] == "derived")
        fault = self.plant.faults[0] if self.plant.faults else None
        mine = [order for order in orders if fault is not None and order["asset"] == fault.asset]
        lead_h = None
        if fault is not None and mine:
            lead_h = (fault.functional_failure_at - datetime.fromisoformat(mine[0]["opened_at"])).total_seconds() / 3600

        problems = []
        if fault is not None and not mine:
            problems.append(f"no work order for the fault injected on {fault.asset}")
        problems += [
            f"a work order for the healthy asset {order['asset']}: {order['title']}"
            for order in orders
            if fault is None or order["asset"] != fault.asset
        ]
        problems += [f"the ledger of {row['source']} does not add up" for row in ledger if not row["balanced"]]
        if totals["received"] != published.readings:
            problems.append(f"{published.readings} readings published, {totals['received']} received")
        if in_table != totals["stored"] + scores:
            problems.append(f"the ledger has {totals['stored'] + scores} readings stored, the table {in_table}")
        return DemoSummary(
            readings_published=published.readings,
            readings_stored=totals["stored"],
            duplicates=totals["duplicate"],
            rejected=totals["rejected"],
            scores_stored=scores,
            alarms=alarms,
            work_orders=orders,
            wall_s=round(wall_s, 2),
            first_work_order_s=None if self.first_work_order_s is None else round(self.first_work_order_s, 2),
            fault=None
            if fault is None
            else {
                "asset": fault.asset,
                "failure_mode": fault.failure_mode,
                "onset_at": fault.onset_at.isoformat(),
                "functional_failure_at": fault.functional_failure_at.isoformat(),
            },
            lead_h=None if lead_h is None else round(lead_h, 2),
            problems=problems,
        )


def _order(row: asyncpg.Record) -> dict[str, Any]:
    return {
        **row,
        "opened_at": row["opened_at"].isoformat(),
        "due_at": row["due_at"].isoformat(),
        "evidence": json.loads(row["evidence"]),
        "job_plan": None if row["job_plan"] is None else json.loads(row["job_plan"]),
    }


_SERIES = """
SELECT r.time, r.value FROM reading r JOIN sensor s ON s.id = r.sensor_id
WHERE s.name = $1 ORDER BY r.time"""
_ALARMS = """
SELECT s.name, al.began_at, al.ended_at, al.limit_value FROM alarm al JOIN sensor s ON s.id = al.sensor_id
WHERE s.name = ANY($1::text[]) ORDER BY al.began_at"""
_LIMITS = """
SELECT s.name, min(r.high) FROM rule r JOIN sensor s ON s.id = r.sensor_id
WHERE s.name = ANY($1::text[]) AND r.retired_at IS NULL GROUP BY s.name"""


async def draw(demo: Demo, out: Path) -> Path:
    """The picture of what happened: vibration and score of the failing bearing, alarms, work order. Its path."""
    fault = demo.plant.faults[0]
    sensor = f"{fault.asset}.vib_de"
    score = f"{sensor}.score"
    connection = await database.connect(demo.dsn)
    try:
        trends = {name: await connection.fetch(_SERIES, name) for name in (sensor, score)}
        alarms = await connection.fetch(_ALARMS, [sensor, score])
        limits = dict(await connection.fetch(_LIMITS, [sensor, score]))
        orders = await connection.fetch(_WORK_ORDERS)
        unit = await connection.fetchval("SELECT unit FROM sensor WHERE name = $1", sensor)
    finally:
        await connection.close()
    path = out / "demo.png"
    draw_evidence(
        path,
        title=f"{fault.asset}: bearing going bad",
        measured=_trend(f"{sensor} (velocity RMS)", unit, trends[sensor], limits.get(sensor)),
        score=_trend("anomaly score", "", trends[score], limits.get(score)),
        alarms=[
            AlarmSpan(
                began=row["began_at"],
                ended=row["ended_at"],
                on="measured" if row["name"] == sensor else "score",
            )
            for row in alarms
        ],
        work_orders=[
            Mark(at=row["opened_at"], label=f"work order {row['id']}") for row in orders if row["asset"] == fault.asset
        ],
        fault_onset=fault.onset_at,
        functional_failure=fault.functional_failure_at,
    )
    return path


def _trend(label: str, unit: str, rows: list[asyncpg.Record], limit: float | None) -> Trend:
    return Trend(
        label=label,
        unit=unit,
        time=np.array([to_micros(row["time"]) for row in rows], np.int64),
        value=np.array([row["value"] for row in rows], np.float64),
        limit=limit,
    )
