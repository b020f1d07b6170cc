"""What goes over the wire, without a wire."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from telemetry.errors import ConfigurationError
from workorder_bridge.connector import OutboxEvent, Outcome
from workorder_bridge.file import FileConnector
from workorder_bridge.outbox import FIRST_RETRY_S, LONGEST_RETRY_S, backoff_s
from workorder_bridge.webhook import WebhookConnector, retry_after_s, sign

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
BODY = {"work_order": {"id": 4}, "asset": {"name": "P-101"}, "change": {"at": "2026-03-02T07:00:00.000000Z"}}
PAGE = Path(__file__).parents[2] / "docs" / "work-orders.md"


def event(event_id: int = 17, change: dict[str, str] | None = None) -> OutboxEvent:
    body = BODY if change is None else {**BODY, "change": change}
    return OutboxEvent(id=event_id, work_order_id=4, event="work_order.opened", body=json.dumps(body), created_at=NOW)


def receiver() -> Any:
    """The `verified` function that the documentation gives to receivers."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (example,) = [block for block in blocks if "def verified" in block]
    room: dict[str, Any] = {}
    exec(compile(example, str(PAGE), "exec"), room)
    return room["verified"]


def test_an_event_is_a_cloud_event() -> None:
    assert json.loads(event().cloud_event("plant-a")) == {
        "specversion": "1.0",
        "id": "outbox-17-1772438400000000",
        "source": "plant-a",
        "type": "precursor.work_order.opened",
        "time": "2026-03-02T07:00:00.000000Z",
        "subject": "work-orders/4",
        "datacontenttype": "application/json",
        "data": BODY,
    }


def test_an_event_without_event_time_has_that_of_its_recording() -> None:
    assert json.loads(event(change={"actor": "engine"}).cloud_event("a"))["time"] == "2026-03-02T08:00:00.000000Z"


def test_the_documented_example_accepts_what_we_sign() -> None:
    body = event().cloud_event("plant-a")
    timestamp = str(int(NOW.timestamp()))
    verified = receiver()
    signature = sign(b"s3cret", timestamp, body)
    assert verified(b"s3cret", timestamp, signature, body, now=NOW.timestamp() + 10)
    assert not verified(b"another", timestamp, signature, body, now=NOW.timestamp())
    assert not verified(b"s3cret", timestamp, signature, body + b" ", now=NOW.timestamp())
    assert not verified(b"s3cret", str(int(timestamp) + 1), signature, body, now=NOW.timestamp())
    assert not verified(b"s3cret", timestamp, signature, body, now=NOW.timestamp() + 3600)
    assert not verified(b"s3cret", "yesterday", signature, body, now=NOW.timestamp())


def test_the_documented_priorities_are_those_in_force() -> None:
    from cbm.priority import order_priority
    from rules.definition import Priority

    text = PAGE.read_text(encoding="utf-8")
    for severity in Priority:
        cells = " | ".join(str(order_priority(severity, criticality)) for criticality in range(1, 6))
        assert f"| {severity.name.lower()} | {cells} |" in text


def test_waiting_grows_to_a_cap_and_is_the_same_each_time() -> None:
    for outbox_id in range(50):
        for attempts in (1, 2, 5, 20, 10_000):
            whole = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(attempts - 1, 30))
            wait = backoff_s(outbox_id, attempts)
            assert whole / 2 <= wait <= whole
            assert wait == backoff_s(outbox_id, attempts)
    assert len({backoff_s(outbox_id, 1) for outbox_id in range(50)}) > 40


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Mon, 02 Mar 2026 08:01:00 GMT", 60.0),
        ("Mon, 02 Mar 2026 07:00:00 GMT", 0.0),
        ("Mon, 02 Mar 2026 08:01:00 -0000", 60.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, NOW) == seconds


@pytest.mark.parametrize("url", ["ftp://host/x", "host/x", "http://", ""])
def test_a_webhook_that_is_no_http_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="http://host"):
        WebhookConnector(url, secret="s3cret")


def test_a_webhook_without_a_secret_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="secret"):
        WebhookConnector("http://127.0.0.1/hook", secret="")


async def test_a_file_gets_a_line_for_each_event_and_a_torn_line_spoils_none(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "orders.jsonl"
    connector = FileConnector(path)
    assert (await connector.deliver(event(1), NOW)).outcome is Outcome.DELIVERED
    with path.open("a") as file:
        file.write('{"torn')
    await connector.deliver(event(2), NOW)
    await connector.deliver(event(3), NOW)
    first, torn, second, third = path.read_text().splitlines()
    assert torn == '{"torn'
    assert [json.loads(line)["id"].split("-")[1] for line in (first, second, third)] == ["1", "2", "3"]


async def test_a_file_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    result = await FileConnector(tmp_path).deliver(event(), NOW)
    assert result.outcome is Outcome.RETRY
    assert result.unavailable
