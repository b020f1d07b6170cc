"""Gateways of every form through a real broker into a real database, as the plant file describes them."""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import cbor2
import numpy as np
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ingest.mqtt import MqttOptions, MqttSource
from precursor.apply import apply
from precursor.engine import Engine

PLANT = """version: 1
sites:
  - name: north
    gateways:
      - name: lines
        topic: works/{line}/{machine}/data
        asset: "{line}-{machine}"
        fields: {ts: timestamp, sensor: tag, value: v, values: data}
        names: {TempC: L1-P1.temp}
      - name: points
        topic: points/{machine}/{name}
        asset: "{machine}"
      - name: field
        topic: senml/+
        format: senml_cbor
      - name: probe
        topic: waves
        format: waveform_json
      - name: shop
        topic: shop
        unknown: provision
        provision:
          - {match: "M-*.temp", area: shop, class: motor, quantity: temperature, unit: degC}
    areas:
      - name: hall
        assets:
          - name: L1-P1
            sensors:
              - {name: temp, unit: degC, quantity: temperature, range: [-20, 120]}
              - {name: vib, unit: mm/s, quantity: vibration velocity}
"""
NOW = int(time.time())


class Sender:
    """Publishes at QoS 1 and waits for the broker."""

    def __init__(self, port: int) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    async def send(self, topic: str, payload: bytes | str) -> None:
        message = self._client.publish(topic, payload, 1)
        await asyncio.to_thread(message.wait_for_publish, 10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.asynccontextmanager
async def running(dsn: str, port: int) -> AsyncIterator[Sender]:
    engine = Engine(dsn=dsn, source=MqttSource(MqttOptions(host="127.0.0.1", port=port, client_id="engine")))
    stop = asyncio.Event()
    task = asyncio.create_task(engine.run(stop))
    sender = Sender(port)
    try:
        assert await engine.listening(20)
        yield sender
    finally:
        sender.close()
        stop.set()
        await task


async def until(condition: Callable[[], Awaitable[Any]], what: str, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


@pytest.fixture
def plant(dsn: str, tmp_path: Path) -> str:
    (tmp_path / "plant.yaml").write_text(PLANT)
    apply(dsn, tmp_path / "plant.yaml")
    return dsn


async def stored(connection: asyncpg.Connection, sensor: str) -> list[tuple[float, int]]:
    rows = await connection.fetch(
        "SELECT value, quality FROM reading WHERE sensor_id = (SELECT id FROM sensor WHERE name = $1) ORDER BY time",
        sensor,
    )
    return [(row["value"], row["quality"]) for row in rows]


async def received(connection: asyncpg.Connection) -> dict[str, tuple[int, int, int]]:
    rows = await connection.fetch("SELECT source, received, stored, rejected, balanced FROM ledger")
    assert all(row["balanced"] for row in rows)
    return {row["source"]: (row["received"], row["stored"], row["rejected"]) for row in rows}


async def test_an_existing_gateway_is_understood_as_the_plant_file_says(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    async with running(plant, mosquitto.port) as sender:
        await sender.send("works/L1/P1/data", json.dumps({"timestamp": NOW - 9, "tag": "vib", "v": 1.5}))
        await sender.send(
            "works/L1/P1/data",
            json.dumps({"timestamp": [NOW - 8, NOW - 7], "data": {"TempC": [20, 150], "vib": [2, None]}}),
        )
        await sender.send("points/L1-P1/vib", json.dumps({"ts": NOW - 6, "value": 3}))
        pack = [{-2: "L1-P1.", -3: NOW - 5, -4: "Cel", 0: "temp", 2: 21.5}, {0: "temp", 6: 1, 1: "K", 2: 300.15}]
        await sender.send("senml/a", cbor2.dumps(pack))

        async def all_there() -> bool:
            return len(await stored(connection, "L1-P1.temp")) == 4

        await until(all_there, "readings of three gateways are stored")
        assert await stored(connection, "L1-P1.vib") == [(1.5, 0), (2, 0), (3, 0)]
        # Degrees Celsius beyond the range are no measurement; kelvin are converted.
        assert await stored(connection, "L1-P1.temp") == [(20, 0), (150, 2), (21.5, 0), (pytest.approx(27.0), 0)]
        assert await received(connection) == {"lines": (4, 4, 0), "points": (1, 1, 0), "field": (2, 2, 0)}
        found = await connection.fetch("SELECT finding, readings FROM sensor_finding")
        assert [tuple(row) for row in found] == [("out_of_range", 1)]


async def test_a_waveform_is_stored_and_a_second_delivery_is_a_duplicate(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    samples = np.sin(np.arange(25_600) / 40).astype("<f4")
    block = {
        "sensor": "L1-P1.vib",
        "ts": NOW - 60,
        "sample_rate_hz": 25_600,
        "unit": "m/s^2",
        "samples": base64.b64encode(samples.tobytes()).decode(),
    }
    async with running(plant, mosquitto.port) as sender:
        await sender.send("waves", json.dumps(block))
        await sender.send("waves", json.dumps(block))
        await sender.send("waves", json.dumps(block | {"sensor": "L1-P1.nothing"}))

        async def accounted() -> bool:
            return (await received(connection)).get("probe", (0,))[0] == 3

        await until(accounted, "three blocks have arrived")
        assert await received(connection) == {"probe": (3, 1, 1)}
        [row] = await connection.fetch("SELECT sample_rate_hz, unit FROM waveform")
        assert (row["sample_rate_hz"], row["unit"]) == (25_600, "m/s^2")


async def test_unknown_names_are_kept_aside_or_become_sensors_where_a_rule_says_so(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    async with running(plant, mosquitto.port) as sender:
        for second in range(3):
            await sender.send(
                "shop",
                json.dumps({"ts": NOW - 9 + second, "values": {"M-7.temp": 40 + second, "M-7.noise": 60 + second}}),
            )

        async def all_there() -> bool:
            return (await received(connection)).get("shop", (0,))[0] == 6

        await until(all_there, "six readings have arrived")
        assert await stored(connection, "M-7.temp") == [(40, 0), (41, 0), (42, 0)]
        made = await connection.fetchrow(
            "SELECT sensor.unit, sensor.origin, asset.asset_class, area.name AS area FROM sensor"
            " JOIN asset ON asset.id = asset_id JOIN area ON area.id = area_id WHERE sensor.name = 'M-7.temp'"
        )
        assert tuple(made) == ("degC", "provision", "motor", "shop")
        held = await connection.fetch(
            "SELECT name, value FROM quarantined_reading JOIN quarantined_name ON id = name_id ORDER BY time"
        )
        assert [tuple(row) for row in held] == [("M-7.noise", 60), ("M-7.noise", 61), ("M-7.noise", 62)]
        assert await received(connection) == {"shop": (6, 3, 3)}


async def test_payloads_of_no_sense_stop_nobody(plant: str, connection: asyncpg.Connection, mosquitto: Any) -> None:
    async with running(plant, mosquitto.port) as sender:
        for topic in ("works/L1/P1/data", "points/L1-P1/vib", "senml/a", "waves", "shop"):
            for payload in (b"\xff\xfe", b"", b"[" * 5_000, b"\xbf" * 50, b"{}", b'{"ts": 1e400}', b"\x82\x9f\xff"):
                await sender.send(topic, payload)
        await sender.send("points/L1-P1/vib", json.dumps({"ts": NOW, "value": 7}))

        async def there() -> bool:
            return await stored(connection, "L1-P1.vib") == [(7, 0)]

        await until(there, "what makes sense is stored")
        assert await connection.fetchval("SELECT count(*) FROM rejected WHERE reason = 'internal_error'") == 0
        await received(connection)
