"""Work orders on PostgreSQL, and their delivery to an HTTP server on loopback."""

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

from cbm.decision import WorkOrderRequest, decide
from cbm.job_plan import JobPlan, Part
from rules import alarm_store
from rules.definition import Priority, Rule
from rules.events import AlarmChange, ChangeKind, Side, alarm_key
from telemetry.batch import to_micros
from telemetry.plant import Asset
from workorder_bridge.errors import TransitionError, UnknownWorkOrderError
from workorder_bridge.file import FileConnector
from workorder_bridge.lifecycle import WorkOrderStatus, change_status
from workorder_bridge.outbox import LEASE_S, Delivered, deliver_due
from workorder_bridge.store import EVIDENCE_SHOWN, Recorded, record, refresh_evidence
from workorder_bridge.webhook import WebhookConnector

pytestmark = pytest.mark.timeout(120)

S = WorkOrderStatus
T0 = datetime(2026, 3, 2, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECRET = "s3cret"

PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'water');
INSERT INTO asset (name, area_id, asset_class) VALUES ('P-101', 1, 'pump'), ('P-102', 1, 'pump');
INSERT INTO sensor (name, asset_id, unit) VALUES
    ('P-101.vibration', 1, 'mm/s'), ('P-101.temperature', 1, 'degC'), ('P-102.vibration', 2, 'mm/s');
INSERT INTO rule (name, subject, asset_id, sensor_id, unit, high, priority, failure_mode) VALUES
    ('severe', 'P-101.vibration', 1, 1, 'mm/s', 7.1, 3, 'bearing_wear'),
    ('hot', 'P-101.temperature', 1, 2, 'degC', 80, 2, 'bearing_wear'),
    ('severe', 'P-102.vibration', 2, 3, 'mm/s', 7.1, 3, 'bearing_wear');
"""

SLOW = JobPlan(
    id=1,
    name="inspect",
    title="Inspect the bearing",
    tasks=("listen",),
    parts=(),
    skills=("mechanic",),
    labour_hours=1.0,
    due_within_s=20 * 86_400.0,
)
QUICK = JobPlan(
    id=2,
    name="replace",
    title="Replace the bearing",
    tasks=("isolate", "replace"),
    parts=(Part(name="6310", quantity=2.0),),
    skills=("mechanic",),
    labour_hours=4.0,
    due_within_s=8 * 86_400.0,
)


def asset(asset_id: int) -> Asset:
    return Asset(
        id=asset_id,
        name=f"P-10{asset_id}",
        title="",
        parent_id=None,
        site="north",
        area="water",
        asset_class="pump",
        criticality=3,
    )


def rule(rule_id: int) -> Rule:
    name, sensor, asset_id, unit, high, priority = {
        1: ("severe", "P-101.vibration", 1, "mm/s", 7.1, Priority.HIGH),
        2: ("hot", "P-101.temperature", 1, "degC", 80.0, Priority.MEDIUM),
        3: ("severe", "P-102.vibration", 2, "mm/s", 7.1, Priority.HIGH),
    }[rule_id]
    return Rule(
        id=rule_id,
        name=name,
        sensor_id=rule_id,
        sensor_name=sensor,
        asset_id=asset_id,
        unit=unit,
        high=high,
        priority=priority,
        failure_mode="bearing_wear",
    )


def change(
    rule_id: int,
    began_at: datetime,
    *,
    kind: ChangeKind = ChangeKind.RAISED,
    at: datetime | None = None,
    value: float = 90.0,
    peak: tuple[float, datetime] | None = None,
) -> AlarmChange:
    watched = rule(rule_id)
    assert watched.high is not None
    peak_value, peak_at = peak or (value, began_at)
    return AlarmChange(
        kind=kind,
        key=alarm_key(watched, Side.HIGH, to_micros(began_at)),
        rule=watched,
        side=Side.HIGH,
        limit=watched.high,
        at=at or began_at,
        began_at=began_at,
        value=value,
        peak_value=peak_value,
        peak_at=peak_at,
    )


HIGH_ALARM = change(1, T0 + 5 * MINUTE, value=9.5)
"""began later, more urgent, due sooner"""
FIRST_ALARM = change(2, T0)
TWIN_ALARM = change(1, T0, value=8.5)
"""of the same instant as the first"""


async def raise_alarms(connection: asyncpg.Connection, changes: Sequence[AlarmChange]) -> list[Recorded]:
    """What the batch transaction does with changes."""
    async with connection.transaction():
        recorded = await alarm_store.record(connection, changes)
        requests: list[tuple[int, WorkOrderRequest]] = []
        for alarm_id, raised in recorded.raised:
            plan = QUICK if raised.rule.name == "severe" else SLOW
            request = decide(raised, asset(raised.rule.asset_id), plan)
            assert request is not None
            requests.append((alarm_id, request))
        orders = await record(connection, requests)
        await refresh_evidence(connection, recorded.updated)
        return orders


@pytest.fixture(scope="module")
def bridge_dsn(module_dsn: str) -> str:
    with psycopg.connect(module_dsn) as opened:
        opened.execute(PLANT)
    return module_dsn


async def clear(connection: asyncpg.Connection) -> None:
    await connection.execute("TRUNCATE alarm, alarm_event, work_order, work_order_event, outbox")


@pytest.fixture
async def connection(bridge_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(bridge_dsn)
    await clear(opened)
    yield opened
    await opened.close()


@pytest.fixture
async def second(bridge_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(bridge_dsn)
    yield opened
    await opened.close()


async def order(connection: asyncpg.Connection) -> dict[str, Any]:
    """The only order, without what differs between databases by design."""
    rows = await connection.fetch("SELECT * FROM work_order")
    assert len(rows) == 1
    found = dict(rows[0])
    return {name: value for name, value in found.items() if name not in {"id", "created_at"}}


async def outbox(connection: asyncpg.Connection) -> list[tuple[str, dict[str, Any]]]:
    rows = await connection.fetch("SELECT event, body::text AS body FROM outbox ORDER BY id")
    return [(row["event"], json.loads(row["body"])) for row in rows]


async def step(
    connection: asyncpg.Connection, order_id: int, *statuses: WorkOrderStatus, note: str = "as planned"
) -> None:
    for status in statuses:
        async with connection.transaction():
            await change_status(connection, order_id, status, actor="ada", note=note, at=T0, assignee="Bo")


# Opening and extending -----------------------------------------------------------------------------------


async def test_an_alarm_opens_an_order_with_its_evidence_its_event_and_its_message(
    connection: asyncpg.Connection,
) -> None:
    (opened,) = await raise_alarms(connection, [HIGH_ALARM])
    assert opened.created
    found = await order(connection)
    assert found["title"] == "P-101: bearing wear suspected (P-101.vibration above 7.1 mm/s)"
    assert (found["status"], found["priority"], found["occurrences"]) == ("new", 2, 1)
    assert found["opened_at"] == found["first_seen_at"] == HIGH_ALARM.began_at
    assert found["due_at"] == HIGH_ALARM.began_at + timedelta(days=4)
    assert json.loads(found["job_plan"])["parts"] == [{"name": "6310", "quantity": 2.0}]
    assert json.loads(found["evidence"]) == [
        {
            "alarm": HIGH_ALARM.key,
            "rule": "severe",
            "sensor": "P-101.vibration",
            "asset": "P-101",
            "category": "machine",
            "side": "high",
            "value": 9.5,
            "limit": 7.1,
            "unit": "mm/s",
            "began_at": "2026-03-02T08:05:00.000000Z",
            "ended_at": None,
            "peak_value": 9.5,
            "peak_at": "2026-03-02T08:05:00.000000Z",
            "priority": "high",
        }
    ]
    event = await connection.fetchrow("SELECT * FROM work_order_event")
    assert (event["from_status"], event["to_status"], event["actor"]) == (None, "new", "engine")
    assert event["at"] == HIGH_ALARM.began_at
    ((name, body),) = await outbox(connection)
    assert name == "work_order.opened"
    assert body["work_order"]["dedupe_key"] == "P-101/bearing_wear"
    assert body["work_order"]["severity"] == "high"
    assert body["work_order"]["evidence"] == json.loads(found["evidence"])
    assert body["asset"]["site"] == "north"
    assert body["change"]["at"] == "2026-03-02T08:05:00.000000Z"
    assert await connection.fetchval("SELECT work_order_id FROM alarm") == opened.work_order_id


async def test_the_order_does_not_depend_on_how_its_alarms_were_batched(
    connection: asyncpg.Connection,
) -> None:
    peak = change(2, T0, kind=ChangeKind.PEAK, at=T0 + 9 * MINUTE, peak=(99.0, T0 + 9 * MINUTE))
    outcomes = []
    for one, two, three in itertools.permutations([FIRST_ALARM, HIGH_ALARM, TWIN_ALARM]):
        for batches in (
            [[one, two, three]],
            [[one, two], [three]],
            [[one], [two, three]],
            [[one], [two], [three]],
        ):
            await clear(connection)
            for batch in batches:
                await raise_alarms(connection, batch)
            await raise_alarms(connection, [peak])
            opening = await connection.fetch("SELECT from_status, to_status, at FROM work_order_event")
            outcomes.append((await order(connection), opening))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    found, _ = outcomes[0]
    assert found["title"].startswith("P-101: bearing wear suspected (P-101.temperature")
    assert found["opened_at"] == T0
    assert found["last_seen_at"] == T0 + 9 * MINUTE
    assert found["due_at"] == T0 + timedelta(days=4)
    assert (found["priority"], found["occurrences"]) == (2, 3)
    assert json.loads(found["job_plan"])["name"] == "replace"
    assert [item["rule"] for item in json.loads(found["evidence"])] == ["hot", "severe", "severe"]


async def test_a_planners_system_hears_of_an_opening_once_and_of_more_urgency(
    connection: asyncpg.Connection,
) -> None:
    await raise_alarms(connection, [FIRST_ALARM])
    await raise_alarms(connection, [change(2, T0 + MINUTE)])
    await raise_alarms(connection, [HIGH_ALARM])
    await raise_alarms(connection, [change(1, T0 + 6 * MINUTE)])
    messages = await outbox(connection)
    assert [name for name, _ in messages] == ["work_order.opened", "work_order.updated"]
    assert [body["work_order"]["priority"] for _, body in messages] == [3, 2]


async def test_alarms_recorded_twice_change_nothing(connection: asyncpg.Connection) -> None:
    await raise_alarms(connection, [FIRST_ALARM, HIGH_ALARM])
    before = await order(connection)
    rows = await connection.fetch("SELECT id, key FROM alarm")
    request = decide(HIGH_ALARM, asset(1), QUICK)
    assert request is not None
    async with connection.transaction():
        again = [(row["id"], request) for row in rows if row["key"] == HIGH_ALARM.key]
        assert await record(connection, again) == []
    assert await order(connection) == before
    assert len(await outbox(connection)) == 1


async def test_each_asset_has_its_own_order(connection: asyncpg.Connection) -> None:
    orders = await raise_alarms(connection, [FIRST_ALARM, change(3, T0, value=8.0), HIGH_ALARM])
    assert [(entry.asset_id, entry.created) for entry in orders] == [(1, True), (2, True)]
    assert await connection.fetchval("SELECT count(*) FROM outbox") == 2


async def test_two_engines_racing_to_open_the_same_order_end_with_one(
    connection: asyncpg.Connection, second: asyncpg.Connection
) -> None:
    results = await asyncio.gather(
        raise_alarms(connection, [FIRST_ALARM]), raise_alarms(second, [HIGH_ALARM, TWIN_ALARM])
    )
    assert sorted(entry.created for orders in results for entry in orders) == [False, True]
    assert (await order(connection))["occurrences"] == 3
    assert len(json.loads((await order(connection))["evidence"])) == 3


async def test_an_engine_that_waits_for_another_sees_its_alarms(
    connection: asyncpg.Connection, second: asyncpg.Connection
) -> None:
    begun = connection.transaction()
    await begun.start()
    await raise_alarms(connection, [FIRST_ALARM])
    waiting = asyncio.create_task(raise_alarms(second, [HIGH_ALARM]))
    await waits_for_lock(connection, second)
    await begun.commit()
    assert [entry.created for entry in await waiting] == [False]
    assert (await order(connection))["occurrences"] == 2


async def test_an_alarm_that_waits_for_a_completion_opens_a_new_order(
    connection: asyncpg.Connection, second: asyncpg.Connection
) -> None:
    (opened,) = await raise_alarms(connection, [FIRST_ALARM])
    await step(connection, opened.work_order_id, S.ASSIGNED, S.IN_PROGRESS)
    begun = connection.transaction()
    await begun.start()
    await step(connection, opened.work_order_id, S.COMPLETED)
    waiting = asyncio.create_task(raise_alarms(second, [HIGH_ALARM]))
    await waits_for_lock(connection, second)
    await begun.commit()
    (reopened,) = await waiting
    assert reopened.created
    assert reopened.work_order_id != opened.work_order_id


async def waits_for_lock(observer: asyncpg.Connection, waiter: asyncpg.Connection) -> None:
    blocked = "SELECT cardinality(pg_blocking_pids($1)) > 0"
    # Only the server knows, and it tells nobody.
    while not await observer.fetchval(blocked, waiter.get_server_pid()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_evidence_is_bounded_while_every_alarm_is_counted(connection: asyncpg.Connection) -> None:
    many = [change(2, T0 + minute * MINUTE) for minute in range(EVIDENCE_SHOWN + 10)]
    await raise_alarms(connection, many)
    found = await order(connection)
    assert found["occurrences"] == len(many)
    assert [item["alarm"] for item in json.loads(found["evidence"])] == [item.key for item in many[:EVIDENCE_SHOWN]]
    assert found["last_seen_at"] == many[-1].began_at


async def test_stored_times_do_not_depend_on_the_sessions_time_zone(connection: asyncpg.Connection) -> None:
    await connection.execute("SET TimeZone = 'Asia/Kolkata'")
    await raise_alarms(connection, [FIRST_ALARM])
    assert json.loads((await order(connection))["evidence"])[0]["began_at"] == "2026-03-02T08:00:00.000000Z"


async def test_evidence_grows_until_the_order_is_verified(connection: asyncpg.Connection) -> None:
    (opened,) = await raise_alarms(connection, [FIRST_ALARM])
    await step(connection, opened.work_order_id, S.ASSIGNED, S.IN_PROGRESS, S.COMPLETED)
    end = T0 + 30 * MINUTE
    await raise_alarms(connection, [change(2, T0, kind=ChangeKind.PEAK, peak=(97.0, T0 + MINUTE))])
    assert json.loads((await order(connection))["evidence"])[0]["peak_value"] == 97.0
    await step(connection, opened.work_order_id, S.VERIFIED)
    signed = await order(connection)
    await raise_alarms(connection, [change(2, T0, kind=ChangeKind.CLEARED, at=end, peak=(97.0, T0 + MINUTE))])
    assert await order(connection) == signed


# The life of an order ------------------------------------------------------------------------------------


async def test_every_step_leaves_an_event_and_a_message(connection: asyncpg.Connection) -> None:
    (opened,) = await raise_alarms(connection, [FIRST_ALARM])
    life = (S.ASSIGNED, S.IN_PROGRESS, S.COMPLETED, S.VERIFIED, S.CLOSED)
    await step(connection, opened.work_order_id, *life)
    found = await order(connection)
    assert (found["status"], found["assignee"], found["closed_at"]) == ("closed", "Bo", T0)
    rows = await connection.fetch("SELECT from_status, to_status FROM work_order_event ORDER BY id")
    assert [tuple(row) for row in rows] == list(itertools.pairwise([None, "new", *life]))
    messages = await outbox(connection)
    assert [name for name, _ in messages] == [
        "work_order.opened",
        *(f"work_order.{status}" for status in life),
    ]
    assert messages[-1][1]["work_order"]["status"] == "closed"
    assert messages[-1][1]["change"] == {
        "from_status": "verified",
        "to_status": "closed",
        "actor": "ada",
        "note": "as planned",
        "at": "2026-03-02T08:00:00.000000Z",
    }


async def test_a_forbidden_step_changes_nothing(connection: asyncpg.Connection) -> None:
    (opened,) = await raise_alarms(connection, [FIRST_ALARM])
    with pytest.raises(TransitionError, match="it may go to assigned, cancelled"):
        await step(connection, opened.work_order_id, S.CLOSED)
    assert (await order(connection))["status"] == "new"
    assert len(await outbox(connection)) == 1


async def test_an_order_that_does_not_exist_is_named(connection: asyncpg.Connection) -> None:
    with pytest.raises(UnknownWorkOrderError, match="404"):
        await step(connection, 404, S.ASSIGNED)


async def test_after_completion_a_new_alarm_opens_a_new_order_and_the_old_one_stays_shut(
    connection: asyncpg.Connection,
) -> None:
    (first,) = await raise_alarms(connection, [FIRST_ALARM])
    await step(connection, first.work_order_id, S.ASSIGNED, S.IN_PROGRESS, S.COMPLETED)
    (other,) = await raise_alarms(connection, [HIGH_ALARM])
    assert other.created
    with pytest.raises(TransitionError, match=f"order {other.work_order_id} is open") as caught:
        await step(connection, first.work_order_id, S.IN_PROGRESS)
    assert caught.value.allowed == ("verified",)
    await step(connection, other.work_order_id, S.CANCELLED)
    await step(connection, first.work_order_id, S.IN_PROGRESS)


async def test_reopening_that_loses_a_race_leaves_the_callers_transaction_usable(
    connection: asyncpg.Connection, second: asyncpg.Connection
) -> None:
    (first,) = await raise_alarms(connection, [FIRST_ALARM])
    await step(connection, first.work_order_id, S.ASSIGNED, S.IN_PROGRESS, S.COMPLETED)
    begun = second.transaction()
    await begun.start()
    await raise_alarms(second, [HIGH_ALARM])

    async def reopen() -> int:
        async with connection.transaction():
            with pytest.raises(TransitionError, match="just opened"):
                await step(connection, first.work_order_id, S.IN_PROGRESS)
            found: int = await connection.fetchval("SELECT count(*) FROM work_order")
            return found

    reopening = asyncio.create_task(reopen())
    await waits_for_lock(second, connection)
    await begun.commit()
    assert await reopening == 2


# Delivery ---------------------------------------------------------------------------------------------------


class Receiver(ThreadingHTTPServer):
    """Somebody's HTTP server: gives the answers it was told to, then 204."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.received: list[dict[str, Any]] = []
        self.signed: list[bool] = []
        self.keys: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signed = self.headers["X-Precursor-Timestamp"].encode() + b"." + body
        expected = "sha256=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        self.server.signed.append(hmac.compare_digest(expected, self.headers["X-Precursor-Signature"]))
        self.server.keys.append(self.headers["Idempotency-Key"])
        status, headers, said = self.server.answers.pop(0) if self.server.answers else (204, {}, b"")
        if status == 204:
            self.server.received.append(json.loads(body))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it so)
        """Quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
async def webhook(receiver: Receiver) -> AsyncIterator[WebhookConnector]:
    async with WebhookConnector(receiver.url, secret=SECRET, timeout_s=5) as connector:
        yield connector


async def later(connection: asyncpg.Connection, **since: float) -> datetime:
    now: datetime = await connection.fetchval("SELECT now()")
    return now + timedelta(**since)


async def test_a_webhook_that_fails_first_gets_the_event_later_and_can_check_it(
    connection: asyncpg.Connection, receiver: Receiver, webhook: WebhookConnector
) -> None:
    await raise_alarms(connection, [FIRST_ALARM])
    receiver.answers = [(500, {}, b"<html>\nout of\x00order </html>" + b"x" * 100_000)]
    now = await later(connection)
    assert await deliver_due(connection, [webhook], now) == Delivered(retried=1)
    row = await connection.fetchrow("SELECT * FROM outbox")
    assert row["delivered_at"] is None
    assert row["last_error"].startswith("webhook 127.0.0.1: HTTP 500: <html> out oforder </html>xxx")
    assert len(row["last_error"]) <= 500
    assert await deliver_due(connection, [webhook], now) == Delivered()
    assert await deliver_due(connection, [webhook], now + MINUTE) == Delivered(delivered=1)
    row = await connection.fetchrow("SELECT * FROM outbox")
    assert row["delivered_at"] is not None
    assert (row["attempts"], row["last_error"]) == (2, None)
    assert receiver.signed == [True, True]
    assert len(set(receiver.keys)) == 1
    (received,) = receiver.received
    assert received["type"] == "precursor.work_order.opened"
    assert received["id"] == receiver.keys[0]
    assert received["data"]["work_order"]["title"].startswith("P-101")
    assert await deliver_due(connection, [webhook], now + timedelta(days=9)) == Delivered()


async def test_later_events_of_an_order_wait_for_the_earlier_ones_and_other_orders_do_not(
    connection: asyncpg.Connection, receiver: Receiver, webhook: WebhookConnector
) -> None:
    (opened,) = await raise_alarms(connection, [FIRST_ALARM])
    await step(connection, opened.work_order_id, S.ASSIGNED)
    await raise_alarms(connection, [change(3, T0)])
    receiver.answers = [(422, {}, b"no such asset")]
    now = await later(connection)
    assert await deliver_due(connection, [webhook], now) == Delivered(delivered=1, refused=1)
    assert [item["data"]["asset"]["name"] for item in receiver.received] == ["P-102"]
    refused = await connection.fetchrow("SELECT * FROM outbox WHERE attempts = 1 AND delivered_at IS NULL")
    assert refused["last_error"] == "webhook 127.0.0.1: HTTP 422: no such asset"
    assert refused["next_attempt_at"] >= now + timedelta(hours=5)
    assert await deliver_due(connection, [webhook], now + timedelta(hours=1)) == Delivered()
    assert await deliver_due(connection, [webhook], now + timedelta(hours=7)) == Delivered(delivered=2)
    assert [item["type"] for item in receiver.received[1:]] == [
        "precursor.work_order.opened",
        "precursor.work_order.assigned",
    ]


async def test_a_receiver_that_asks_for_patience_gets_it(
    connection: asyncpg.Connection, receiver: Receiver, webhook: WebhookConnector
) -> None:
    await raise_alarms(connection, [FIRST_ALARM, change(3, T0)])
    receiver.answers = [(429, {"Retry-After": "3600"}, b""), (503, {"Retry-After": "9" * 400}, b"")]
    now = await later(connection)
    # The round ends with the first: the second would fare no better.
    assert await deliver_due(connection, [webhook], now) == Delivered(retried=1)
    assert await deliver_due(connection, [webhook], now) == Delivered(retried=1)
    assert await deliver_due(connection, [webhook], now + timedelta(minutes=50)) == Delivered()
    assert await deliver_due(connection, [webhook], now + timedelta(hours=2)) == Delivered(delivered=1)
    assert await deliver_due(connection, [webhook], now + timedelta(hours=25)) == Delivered(delivered=1)


async def test_a_redirect_is_not_followed(
    connection: asyncpg.Connection, receiver: Receiver, webhook: WebhookConnector
) -> None:
    await raise_alarms(connection, [FIRST_ALARM])
    receiver.answers = [(307, {"Location": receiver.url}, b"")]
    assert await deliver_due(connection, [webhook], await later(connection)) == Delivered(refused=1)
    assert receiver.received == []


async def test_a_server_that_is_not_there_only_makes_events_wait(
    connection: asyncpg.Connection, receiver: Receiver
) -> None:
    async with WebhookConnector("http://127.0.0.1:9/hook", secret=SECRET) as gone:
        await raise_alarms(connection, [FIRST_ALARM, change(3, T0)])
        assert await deliver_due(connection, [gone], await later(connection)) == Delivered(retried=1)
    assert "no answer: ConnectError" in await connection.fetchval("SELECT max(last_error) FROM outbox")


@contextlib.asynccontextmanager
async def listener(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """The URL of a server for one connection, gone when the caller leaves."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):  # the other side gave up
            await talk(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        gone.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        await gone.wait()


async def test_a_server_that_keeps_us_waiting_does_not_keep_the_engine_waiting(
    connection: asyncpg.Connection, second: asyncpg.Connection
) -> None:
    """A listener that takes the connection and never answers, while alarms and steps of that order go on."""
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()  # until the other side gives up

    (opened,) = await raise_alarms(connection, [FIRST_ALARM])
    async with listener(silent) as url, WebhookConnector(url, secret=SECRET, timeout_s=30) as webhook:
        now = await later(connection)
        delivery = asyncio.create_task(deliver_due(second, [webhook], now))
        await asked.wait()
        await connection.execute("SET lock_timeout = '1s'")
        await raise_alarms(connection, [HIGH_ALARM])
        await step(connection, opened.work_order_id, S.ASSIGNED)
        # A second courier does not take what the first has in hand, nor what must come after it.
        assert await deliver_due(connection, [webhook], now) == Delivered()
        assert not delivery.done()
        delivery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivery


async def test_a_server_that_drips_its_answer_is_given_up(connection: asyncpg.Connection) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 1000000\r\n\r\n")
        while not reader.at_eof():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    await raise_alarms(connection, [FIRST_ALARM])
    async with listener(drip) as url, WebhookConnector(url, secret=SECRET, timeout_s=0.3) as webhook:
        assert await deliver_due(connection, [webhook], await later(connection)) == Delivered(retried=1)
    assert "no answer: TimeoutError" in await connection.fetchval("SELECT last_error FROM outbox")


async def test_what_a_dead_courier_had_in_hand_is_taken_up_again(
    connection: asyncpg.Connection, receiver: Receiver, webhook: WebhookConnector
) -> None:
    class Dies:
        name = "dies"

        async def deliver(self, *_: object) -> Any:
            raise KeyboardInterrupt

    await raise_alarms(connection, [FIRST_ALARM])
    now = await later(connection)
    with pytest.raises(KeyboardInterrupt):
        await deliver_due(connection, [Dies()], now)
    assert await deliver_due(connection, [webhook], now) == Delivered()
    assert await deliver_due(connection, [webhook], now + timedelta(seconds=LEASE_S + 60)) == Delivered(delivered=1)


async def test_without_connectors_events_stay(connection: asyncpg.Connection) -> None:
    await raise_alarms(connection, [FIRST_ALARM])
    assert await deliver_due(connection, [], await later(connection)) == Delivered()
    assert await connection.fetchval("SELECT attempts FROM outbox WHERE delivered_at IS NULL") == 0


async def test_a_round_stops_at_its_limit(connection: asyncpg.Connection, tmp_path: Path) -> None:
    (opened,) = await raise_alarms(connection, [FIRST_ALARM])
    await step(connection, opened.work_order_id, S.ASSIGNED, S.IN_PROGRESS)
    file = FileConnector(tmp_path / "orders.jsonl")
    now = await later(connection)
    assert await deliver_due(connection, [file], now, limit=2) == Delivered(delivered=2)
    assert await deliver_due(connection, [file], now, limit=2) == Delivered(delivered=1)
    lines = [json.loads(line) for line in (tmp_path / "orders.jsonl").read_text().splitlines()]
    assert [line["type"].rpartition(".")[2] for line in lines] == ["opened", "assigned", "in_progress"]


async def test_an_event_is_delivered_when_every_connector_took_it(
    connection: asyncpg.Connection, receiver: Receiver, webhook: WebhookConnector, tmp_path: Path
) -> None:
    await raise_alarms(connection, [FIRST_ALARM])
    file = FileConnector(tmp_path / "orders.jsonl")
    receiver.answers = [(500, {}, b"")]
    now = await later(connection)
    assert await deliver_due(connection, [webhook, file], now) == Delivered(retried=1)
    assert await deliver_due(connection, [webhook, file], now + MINUTE) == Delivered(delivered=1)
    lines = [json.loads(line) for line in (tmp_path / "orders.jsonl").read_text().splitlines()]
    assert {line["id"] for line in lines} == {receiver.received[0]["id"]}


async def test_couriers_at_the_same_time_send_each_event_once_and_in_order(
    bridge_dsn: str, connection: asyncpg.Connection, receiver: Receiver, webhook: WebhookConnector
) -> None:
    for opened in await raise_alarms(connection, [FIRST_ALARM, change(3, T0)]):
        await step(connection, opened.work_order_id, S.ASSIGNED, S.IN_PROGRESS, S.COMPLETED)
    now = await later(connection)
    async with asyncpg.create_pool(bridge_dsn, min_size=3, max_size=3) as pool:
        while await connection.fetchval("SELECT count(*) FROM outbox WHERE delivered_at IS NULL"):
            await asyncio.gather(*(deliver_due(pool, [webhook], now) for _ in range(3)))
    assert len(receiver.received) == len({item["id"] for item in receiver.received}) == 8
    for subject in {item["subject"] for item in receiver.received}:
        types = [item["type"] for item in receiver.received if item["subject"] == subject]
        assert types == [f"precursor.work_order.{name}" for name in ("opened", "assigned", "in_progress", "completed")]
