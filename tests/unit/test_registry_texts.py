"""Names of devices as the database can keep them, and who is blocked."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.registration import DeviceSettings
from ingest.registry import Device, DeviceKind, DeviceStatus, blocked
from ingest.texts import storable
from telemetry.errors import ConfigurationError

any_text = st.text(st.characters(exclude_categories=()), max_size=50)
NODE = Device(
    name="works/edge-1",
    kind=DeviceKind.NODE,
    title="",
    source="spark",
    parent=None,
    origin="birth",
    status=DeviceStatus.ONLINE,
    status_at=datetime(2026, 11, 1, tzinfo=UTC),
    registered_at=datetime(2026, 11, 1, tzinfo=UTC),
    last_seen_at=None,
    clock_offset_s=None,
    hardware="",
    firmware="",
    properties={},
    credentials="",
    stale_after_s=None,
    decommissioned_at=None,
)
PRESS = replace(NODE, name="works/edge-1/press", kind=DeviceKind.DEVICE, parent=NODE.name)
OTHER = replace(NODE, name="works/edge-2")


@given(any_text, st.integers(30, 200))
def test_every_text_can_be_stored(text: str, most_bytes: int) -> None:
    stored = storable(text, most_bytes)
    assert "\0" not in stored
    assert len(stored.encode("utf-8")) <= most_bytes


@given(any_text)
def test_what_is_stored_is_stored_as_it_is(text: str) -> None:
    assert storable(storable(text)) == storable(text)


def test_an_ordinary_name_stays_as_it_is() -> None:
    assert storable("Werk 1/Presse Ö/温度") == "Werk 1/Presse Ö/温度"


def test_long_names_stay_two_where_only_their_ends_differ() -> None:
    one, other = storable("x" * 5_000 + "1"), storable("x" * 5_000 + "2")
    assert one != other
    assert one[:700] == other[:700]


@pytest.mark.parametrize(
    "changes",
    [
        {"status": DeviceStatus.QUARANTINED},
        {"status": DeviceStatus.OFFLINE, "decommissioned_at": datetime(2026, 11, 2, tzinfo=UTC)},
    ],
    ids=["quarantined", "decommissioned"],
)
def test_a_blocked_node_blocks_what_is_behind_it(changes: dict[str, object]) -> None:
    assert blocked([PRESS, replace(NODE, **changes), OTHER]) == {NODE.name, PRESS.name}  # type: ignore[arg-type]  # a table of cases


def test_a_blocked_device_blocks_nobody_else() -> None:
    assert blocked([NODE, replace(PRESS, status=DeviceStatus.QUARANTINED)]) == {PRESS.name}


def test_devices_that_are_merely_silent_are_not_blocked() -> None:
    silent = [replace(NODE, status=DeviceStatus.STALE), replace(OTHER, status=DeviceStatus.OFFLINE)]
    assert blocked(silent) == frozenset()


@pytest.mark.parametrize("stale_after_s", [-1.0, 1e18, float("nan"), float("inf")])
def test_a_time_to_go_stale_after_is_one_that_can_pass(stale_after_s: float) -> None:
    with pytest.raises(ConfigurationError, match="0 for never"):
        DeviceSettings(stale_after_s=stale_after_s)
