"""Messages of edge nodes as readings of the plant's sensors: names, units, what is kept aside, what is no news."""

from collections.abc import Collection
from typing import Any

import pytest

from ingest.decoded import Decoded
from ingest.decoder import Decoder
from ingest.message import Message
from ingest.sparkplug.datatypes import DataType
from ingest.sparkplug.payload import Payload, PayloadMetric, Property, encode_payload, metric_of
from telemetry.plant import Asset, Gateway, PayloadFormat, Plant, Sensor, SensorKind, UnknownNames
from telemetry.quality import Quality

MS = 1_780_000_000_000
NOW_US = MS * 1000 + 5_000_000


def plant(**gateway: Any) -> Plant:
    def sensor(number: int, name: str, unit: str, codes: dict[str, float] | None = None) -> Sensor:
        return Sensor(
            id=number,
            name=name,
            asset_id=1,
            kind=SensorKind.MEASURED,
            quantity="",
            unit=unit,
            site="north",
            codes=codes or {},
        )

    return Plant(
        revision=1,
        assets=(
            Asset(id=1, name="P7", title="", parent_id=None, site="north", area="hall", asset_class="", criticality=1),
        ),
        sensors=(
            sensor(1, "P7.temp", "degC"),
            sensor(2, "P7.mode", "", codes={"auto": 1.0, "hand": 2.0}),
            sensor(3, "P7.flow_rate", "m^3/h"),
        ),
        gateways=(
            Gateway(
                **{
                    "name": "edge",
                    "topic": "spBv1.0/{group}/#",
                    "site": "north",
                    "format": PayloadFormat.SPARKPLUG_B,
                    "unknown": UnknownNames.PROVISION,
                }
                | gateway
            ),
        ),
    )


class Node:
    """An edge node with one device, P7."""

    def __init__(self) -> None:
        self._seq = 0

    def message(self, kind: str, metrics: list[PayloadMetric], *, clean: bool = True) -> Message:
        device = "" if kind[0] == "N" else "/P7"
        body = encode_payload(Payload(timestamp_ms=MS, seq=self._seq % 256, metrics=metrics))
        self._seq += 1
        return Message(topic=f"spBv1.0/works/{kind}/n1{device}", payload=body, clean=clean)

    def births(self, *metrics: PayloadMetric) -> list[Message]:
        return [
            self.message("NBIRTH", [metric_of("bdSeq", DataType.INT64, 0, timestamp_ms=MS)]),
            self.message("DBIRTH", list(metrics)),
        ]


def metric(
    name: str,
    value: float | str | None,
    kind: DataType = DataType.DOUBLE,
    ms: int = 0,
    *,
    unit: str = "",
    is_historical: bool = False,
) -> PayloadMetric:
    properties = {"engUnit": Property(type=DataType.STRING, value=unit)} if unit else None
    return metric_of(name, kind, value, timestamp_ms=MS + ms, properties=properties, is_historical=is_historical)


def decode(messages: list[Message], *, blocked: Collection[str] = (), **gateway: Any) -> Decoded:
    decoded = Decoder(plant(**gateway), blocked=blocked).decode(messages, NOW_US)
    assert decoded.unaccounted() == {}
    return decoded


def readings(decoded: Decoded) -> list[tuple[int, float, int]]:
    batch = decoded.batch
    return list(zip(batch.sensor_id.tolist(), batch.value.tolist(), batch.quality.tolist(), strict=True))


def test_a_metric_is_the_sensor_of_its_device_and_name() -> None:
    decoded = decode(
        Node().births(metric("temp", 20.5), metric("flow rate", 3.0), metric("mode", "hand", DataType.STRING))
    )
    assert readings(decoded) == [(1, 20.5, 0), (3, 3.0, 0), (2, 2.0, 0)]
    assert decoded.received == {"edge": 3}


def test_a_name_of_the_plant_file_wins_over_the_metrics_own() -> None:
    names = {"works/n1/P7:T1": "P7.temp", "F": "P7.flow_rate"}
    assert readings(decode(Node().births(metric("T1", 20.5), metric("F", 3.0)), names=names)) == [
        (1, 20.5, 0),
        (3, 3.0, 0),
    ]


def test_the_unit_of_a_birth_is_converted_and_one_of_another_kind_is_refused() -> None:
    node = Node()
    births = node.births(metric("temp", 68.0, unit="degF"), metric("flow rate", 3.0, unit="bar"))
    decoded = decode([*births, node.message("DDATA", [metric("temp", 212.0, ms=1)])])
    assert decoded.batch.sensor_id.tolist() == [1, 1]
    assert decoded.batch.value.tolist() == pytest.approx([20.0, 100.0])
    assert [rejection.reason for rejection in decoded.rejections] == ["unit_mismatch"]


def test_an_unknown_metric_is_kept_aside_and_wanted_with_what_its_birth_says() -> None:
    decoded = decode(Node().births(metric("Motor 1/amps", 4.0, unit="A"), metric("state", "x", DataType.STRING)))
    assert [(held.name, held.value, held.unit) for held in decoded.held] == [
        ("P7.Motor_1_amps", 4.0, "A"),
        ("P7.state", "x", ""),
    ]
    [wanted] = decoded.wanted
    assert (wanted.name, wanted.asset, wanted.area, wanted.unit, wanted.origin) == (
        "P7.Motor_1_amps", "P7", "works", "A", "birth",
    )  # fmt: skip


@pytest.mark.parametrize(("unknown", "held", "reasons"), [("quarantine", 1, []), ("reject", 0, ["unknown_sensor"])])
def test_a_gateway_may_say_that_births_make_no_sensors(unknown: str, held: int, reasons: list[str]) -> None:
    decoded = decode(Node().births(metric("amps", 4.0)), unknown=UnknownNames(unknown))
    assert decoded.wanted == ()
    assert len(decoded.held) == held
    assert [rejection.reason for rejection in decoded.rejections] == reasons


def test_historical_readings_are_marked_and_live_ones_are_not() -> None:
    node = Node()
    late = node.message("DDATA", [metric("temp", 1.0, ms=-9, is_historical=True), metric("temp", 2.0, ms=1)])
    decoded = decode([*node.births(metric("temp", 0.0)), late])
    assert decoded.historical is not None
    assert dict(zip(decoded.batch.value.tolist(), decoded.historical.tolist(), strict=True)) == {
        0.0: False,
        1.0: True,
        2.0: False,
    }


def test_data_messages_of_one_style_keep_states_qualities_and_what_is_no_news() -> None:
    """Such messages are read as columns; what is not a good number and news still has to be seen."""
    node = Node()
    births = node.births(metric("temp", 0.0), metric("mode", "auto", DataType.STRING))
    bad = {"Quality": Property(type=DataType.INT32, value=0)}
    messages = [
        node.message("DDATA", [metric("mode", "hand", DataType.STRING, ms=1)]),
        node.message("DDATA", [metric("temp", 1.0, ms=1, is_historical=True)]),
        node.message("DDATA", [metric_of("temp", DataType.DOUBLE, 2.0, timestamp_ms=MS + 2, properties=bad)]),
        node.message("DDATA", [metric("temp", 3.0, ms=3)]),
    ]
    decoded = decode([*births, *messages])
    assert readings(decoded) == [
        (1, 0.0, 0),
        (2, 1.0, 0),
        (2, 2.0, 0),
        (1, 1.0, 0),
        (1, 2.0, Quality.BAD),
        (1, 3.0, 0),
    ]
    assert decoded.historical is not None
    assert decoded.historical.tolist() == [False, False, False, True, False, False]


@pytest.mark.parametrize("name", ["works/n1", "works/n1/P7"])
def test_readings_of_a_blocked_device_are_kept_aside_also_where_the_plant_has_the_sensor(name: str) -> None:
    decoded = decode(Node().births(metric("temp", 20.5)), blocked={name})
    assert [held.name for held in decoded.held] == ["P7.temp"]
    assert readings(decoded) == []
    assert decoded.wanted == ()


def test_what_comes_through_the_session_of_gateways_as_well_is_not_heard_twice() -> None:
    node = Node()
    births = node.births(metric("temp", 20.5))
    twice = [Message(topic=each.topic, payload=each.payload, clean=clean) for each in births for clean in (True, False)]
    decoded = decode(twice)
    assert readings(decoded) == [(1, 20.5, 0)]
    assert decoded.received == {"edge": 1}


def test_a_host_that_is_cut_off_leaves_stale_values_also_of_a_clock_that_runs_ahead() -> None:
    decoder = Decoder(plant())
    ahead_ms = NOW_US // 1000 - MS + 600_000
    births = Node().births(metric("temp", 20.5), metric("flow rate", 3.0, ms=ahead_ms))
    decoder.decode(births, NOW_US)
    decoded = decoder.cut_off(NOW_US)
    assert decoded.unaccounted() == {}
    assert (1, 20.5, Quality.STALE) in readings(decoded)
    assert [rejection.reason for rejection in decoded.rejections] == ["future_timestamp"]


def test_a_death_is_a_change_of_status_and_no_sighting() -> None:
    node = Node()
    births = node.births(metric("temp", 20.5))
    death = Message(
        topic="spBv1.0/works/NDEATH/n1",
        payload=encode_payload(Payload(timestamp_ms=MS, metrics=[metric_of("bdSeq", DataType.INT64, 0)])),
        clean=True,
    )
    decoder = Decoder(plant())
    assert {each.device for each in decoder.decode(births, NOW_US).sightings} >= {"works/n1", "works/n1/P7"}
    decoded = decoder.decode([death], NOW_US)
    assert {change.name for change in decoded.changes} == {"works/n1", "works/n1/P7"}
    assert {each.device for each in decoded.sightings} == {"edge"}
    assert readings(decoded) == [(1, 20.5, Quality.STALE)]
