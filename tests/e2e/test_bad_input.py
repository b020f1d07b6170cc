"""What cannot be stored is kept with its reason, and the engine goes on."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from precursor.apply import apply

TOPIC = "northfield/P-101/vib_de"
GATEWAY = "northfield/gw-1/readings"
NOW = datetime.now(UTC)

BAD: list[tuple[str, bytes, str]] = [
    (TOPIC, b'{"ts": "2026-01-01T00:00:00Z", "value": ', "malformed_json"),
    (TOPIC, b'{"ts": "2026-01-01T00:00:00Z", "value": [1]}', "wrong_type"),
    (TOPIC, b'{"ts": "2026-01-01T00:00:00Z", "value": "high"}', "wrong_type"),
    (TOPIC, b'{"ts": "2026-01-01T00:00:00Z", "value": NaN}', "not_finite"),
    (TOPIC, b'{"ts": "2026-01-01T00:00:00Z", "value": -Infinity}', "not_finite"),
    (TOPIC, b'{"ts": "2026-01-01T00:00:00Z", "value": 1e999}', "not_finite"),
    (TOPIC, b'{"ts": "2026-01-01T00:00:00Z"}', "missing_value"),
    (TOPIC, b'{"value": 1.0}', "missing_timestamp"),
    (TOPIC, b'{"ts": "yesterday", "value": 1.0}', "bad_timestamp"),
    (TOPIC, json.dumps({"ts": (NOW + timedelta(days=400)).isoformat(), "value": 1.0}).encode(), "future_timestamp"),
    (TOPIC, b'{"ts": 1, "value": 1.0}', "too_old_timestamp"),
    (TOPIC, b'{"ts": "2026-01-01T00:00:00Z", "value": 1.0, "note": "' + b"x" * 2**20 + b'"}', "payload_too_large"),
    (TOPIC, b"", "empty_payload"),
    (TOPIC, b'{"ts": "2026-01-01T00:00:00Z", "value": "\xff\xfe"}', "invalid_utf8"),
    (TOPIC, b"[" * 100_000, "malformed_json"),
    ("northfield/P-101/state", b'{"ts": "2026-01-01T00:00:00Z", "value": "dancing"}', "unknown_state"),
    ("northfield/nobody/here", b'{"ts": "2026-01-01T00:00:00Z", "value": 1.0}', "unknown_sensor"),
    (GATEWAY, b'[{"sensor": "P-102.nothing", "ts": "2026-01-01T00:00:00Z", "value": 1.0}]', "quarantined"),
    (GATEWAY, b'[{"sensor": "P-101.vib_de.score", "ts": "2026-01-01T00:00:00Z", "value": 1}]', "unknown_sensor"),
]


def send(port: int, messages: list[tuple[str, bytes]]) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for topic, payload in messages:
        client.publish(topic, payload, qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


async def look(dsn: str, query: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [dict(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


def test_each_kind_of_bad_input_is_kept_with_its_own_reason_and_the_engine_keeps_running(
    mosquitto: Any, dsn: str, new_engine: Callable[..., Any], examples: Path
) -> None:
    apply(dsn, examples / "plant.yaml")
    engine = new_engine(dsn, mosquitto.port, "bad-input")
    engine.wait_until_listening()
    good = json.dumps({"ts": NOW.isoformat(), "value": 1.5}).encode()
    neighbours = (
        b'[{"sensor":"P-102.flow","ts":1767225600,"value":NaN},{"sensor":"P-102.flow","ts":1767225601,"value":7}]'
    )
    send(mosquitto.port, [(topic, payload) for topic, payload, _ in BAD] + [(GATEWAY, neighbours), (TOPIC, good)])

    wanted = "SELECT count(*) AS n FROM reading r JOIN sensor s ON s.id = r.sensor_id WHERE s.name = 'P-101.vib_de'"
    deadline = time.monotonic() + 30
    while asyncio.run(look(dsn, wanted))[0]["n"] < 1:
        assert time.monotonic() < deadline, engine.log.read_text()[-3000:]
        time.sleep(0.1)
    engine.stop()

    rejected = asyncio.run(look(dsn, "SELECT topic, reason, payload, payload_bytes, detail FROM rejected ORDER BY id"))
    found = Counter((row["topic"], row["reason"]) for row in rejected)
    expected = Counter((topic, reason) for topic, _, reason in BAD) + Counter({(GATEWAY, "not_finite"): 1})
    held = asyncio.run(look(dsn, "SELECT name, value FROM quarantined_reading JOIN quarantined_name ON id = name_id"))
    assert held == [{"name": "P-102.nothing", "value": 1.0}], "what may yet become a sensor is kept whole"
    assert found == expected - Counter({(GATEWAY, "quarantined"): 1})
    assert all(row["detail"] for row in rejected), "each says in a sentence what is wrong"
    assert all(len(row["payload"]) <= 4096 for row in rejected), "a rejected payload is kept bounded"
    assert max(row["payload_bytes"] for row in rejected) > 2**20, "with the length it had"

    # One bad reading does not take its neighbour in the same message with it.
    flow = "SELECT value FROM reading r JOIN sensor s ON s.id = r.sensor_id WHERE s.name = 'P-102.flow'"
    assert [row["value"] for row in asyncio.run(look(dsn, flow))] == [7.0]
    [totals] = asyncio.run(
        look(dsn, "SELECT sum(received) AS received, sum(stored) AS stored, sum(rejected) AS rejected FROM ledger")
    )
    assert totals == {"received": len(BAD) + 3, "stored": 2, "rejected": len(BAD) + 1}
    assert all(row["balanced"] for row in asyncio.run(look(dsn, "SELECT balanced FROM ledger")))
