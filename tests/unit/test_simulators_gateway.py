"""What the simulated devices send, byte by byte the contract of the ingest side."""

import json
from datetime import UTC, datetime

from simulators.gateway import plant_messages
from simulators.plant import GATEWAY_TOPIC, SENSORS, SimulatedPlant

START = datetime(2026, 11, 21, 6, 30, tzinfo=UTC)
PLANT = SimulatedPlant(start=START, duration_s=600)


def test_p101_sends_each_sensor_alone_on_its_topic() -> None:
    messages = [m for m in plant_messages(PLANT.ticks()) if m.at == START and m.topic != GATEWAY_TOPIC]
    assert [m.topic for m in messages] == [
        f"northfield/P-101/{point}" for point in ("state", "vib_de", "vib_nde", "temp_de", "flow", "pressure")
    ]
    bodies = [json.loads(m.payload) for m in messages]
    assert all(body.keys() == {"ts", "value"} and body["ts"] == "2026-11-21T06:30:00Z" for body in bodies)
    assert all(isinstance(body["value"], float) for body in bodies[1:])
    assert bodies[0]["value"] == "running"
    assert all(m.readings == 1 for m in messages)


def test_the_gateway_sends_the_other_assets_as_one_array_a_tick() -> None:
    messages = [m for m in plant_messages(PLANT.ticks()) if m.topic == "northfield/gw-1/readings"]
    assert len(messages) == PLANT.tick_count
    body = json.loads(messages[0].payload)
    assert all(element.keys() == {"sensor", "ts", "value"} for element in body)
    assert {element["sensor"] for element in body} == {s.name for s in SENSORS if s.asset != "P-101"}
    assert {element["ts"] for element in body} == {"2026-11-21T06:30:00Z"}
    assert messages[0].readings == len(body) == 11


def test_messages_carry_every_reading_of_the_plant_once_in_time_order() -> None:
    messages = list(plant_messages(PLANT.ticks()))
    assert sum(m.readings for m in messages) == sum(len(tick.readings) for tick in PLANT.ticks())
    assert [m.at for m in messages] == sorted(m.at for m in messages)
    sent = {}
    by_topic = {sensor.topic: sensor.name for sensor in SENSORS}
    for message in messages:
        body = json.loads(message.payload)
        for element in body if isinstance(body, list) else [{"sensor": by_topic[message.topic], **body}]:
            sent[element["sensor"], datetime.fromisoformat(element["ts"])] = element["value"]
    assert sent == {(r.sensor, tick.at): r.value for tick in PLANT.ticks() for r in tick.readings}
