"""Every panel of every board on what the demo leaves in the database."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import asyncpg

from dashboards.build import JSON_FOLDER
from dashboards.macros import Question, expand
from ingest.mqtt import MqttOptions
from precursor.demo import Demo
from telemetry.batch import to_datetime

EMPTY = {"Rejected by reason A", "Floods A", "Proposals A", "Stale alarms A"} | {
    "Anomaly of the machine A",
    "What it comes from A",
    "Vibration A",
    "Remaining life A",
    "Faults of sensors A",
    "Prognoses A",
    "Trained models A",
}
"""panels that have nothing to show after a demo in which nothing went wrong with readings and alarms, whose plant has
detectors of single sensors only, and in which nothing is analysed or trained"""


async def test_every_panel_shows_something_of_the_demo(dsn: str, mosquitto: Any) -> None:
    demo = Demo(
        dsn=dsn, mqtt=MqttOptions(host="127.0.0.1", port=mosquitto.port, client_id="demo"), duration_s=8, speed=4500
    )
    summary = await demo.run(asyncio.Event())
    assert summary.problems == []
    assert demo.engine.totals.newest_us is not None

    end = to_datetime(demo.engine.totals.newest_us)
    connection = await asyncpg.connect(dsn)
    try:
        names = [row[0] for row in await connection.fetch("SELECT name FROM asset")]
        sensors = [row[0] for row in await connection.fetch("SELECT name FROM sensor WHERE kind = 'measured'")]
        question = Question(begin=end - timedelta(hours=12), end=end, variables={"asset": names, "sensor": sensors})
        shown: dict[str, int] = {}
        for path in sorted(JSON_FOLDER.glob("*.json")):
            board = json.loads(path.read_text())
            for panel in board["panels"]:
                for target in panel.get("targets", []):
                    rows = await connection.fetch(expand(target["rawSql"], question))
                    shown[f"{panel['title']} {target['refId']}"] = len(rows)
    finally:
        await connection.close()
    assert len(shown) > 10
    assert {panel for panel, rows in shown.items() if not rows} <= EMPTY
