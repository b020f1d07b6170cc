"""Alarm changes in a real database: who is told when, whatever keeps an alarm silent, and all of it only once."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product

import asyncpg
import pytest

from cbm.decision import decide
from rules import alarm_store
from rules.alarm_life import Standing, state_of
from rules.alarm_store import RecordedAlarms, annunciate_due, record
from rules.definition import Priority, Rule, Side
from rules.events import AlarmChange, ChangeKind, alarm_key
from rules.signal import NoData, Signal, Value
from telemetry.batch import to_micros
from telemetry.plant import Asset
from workorder_bridge import store as work_orders

T0 = datetime(2026, 3, 2, 8, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
RAISED, CLEARED, PEAK = ChangeKind.RAISED, ChangeKind.CLEARED, ChangeKind.PEAK
SUPPRESSED, UNSUPPRESSED = ChangeKind.SUPPRESSED, ChangeKind.UNSUPPRESSED

PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'water');
INSERT INTO asset (name, area_id, parent_id)
VALUES ('line', 1, NULL), ('pump', 1, 1), ('motor', 1, 2), ('fan', 1, NULL);
INSERT INTO sensor (name, asset_id, unit)
VALUES ('pump.vib', 2, 'mm/s'), ('motor.temp', 3, 'degC'), ('fan.vib', 4, 'mm/s');
INSERT INTO rule (name, subject, asset_id, sensor_id, kind, unit, high_high, high, priority, critical_priority,
                  latching)
VALUES ('severe', 'pump.vib', 2, 1, 'limit', 'mm/s', 11, 7, 1, 3, false),
       ('hot', 'motor.temp', 3, 2, 'limit', 'degC', NULL, 80, 2, 3, true),
       ('severe', 'fan.vib', 4, 3, 'limit', 'mm/s', NULL, 7, 2, 3, false),
       ('silent', 'pump', 2, NULL, 'no_data', '', NULL, NULL, 2, 3, false);
"""


Facts = tuple[str, str, int, int | None, str, float | None, float | None, Priority]
RULES: Mapping[int, Facts] = {
    1: ("severe", "pump.vib", 2, 1, "mm/s", 11.0, 7.0, Priority.LOW),
    2: ("hot", "motor.temp", 3, 2, "degC", None, 80.0, Priority.MEDIUM),
    3: ("severe", "fan.vib", 4, 3, "mm/s", None, 7.0, Priority.MEDIUM),
    4: ("silent", "pump", 2, None, "", None, None, Priority.MEDIUM),
}


def rule(rule_id: int) -> Rule:
    name, subject, asset_id, sensor_id, unit, high_high, high, priority = RULES[rule_id]
    watched: Signal = NoData(sensor_ids=(1,)) if sensor_id is None else Value()
    return Rule(
        id=rule_id,
        name=name,
        sensor_id=sensor_id,
        sensor_name=subject,
        asset_id=asset_id,
        unit=unit,
        signal=watched,
        high_high=high_high,
        high=high,
        on_delay_s=60.0 if isinstance(watched, NoData) else 0.0,
        latching=rule_id == 2,
        priority=priority,
        failure_mode="bearing_wear",
    )


def change(
    rule_id: int,
    kind: ChangeKind = RAISED,
    at: datetime = T0,
    *,
    began: datetime = T0,
    side: Side | None = None,
    value: float = 9.0,
    by: str = "",
) -> AlarmChange:
    watched = rule(rule_id)
    side = side or (Side.CONDITION if rule_id == 4 else Side.HIGH)
    limit = next(limit.value for limit in watched.limits if limit.side is side)
    return AlarmChange(
        kind=kind,
        key=alarm_key(watched, side, to_micros(began)),
        rule=watched,
        side=side,
        limit=limit,
        at=at,
        began_at=began,
        value=value,
        peak_value=9.0,
        peak_at=began,
        by=by,
    )


@pytest.fixture
async def plant(connection: asyncpg.Connection) -> asyncpg.Connection:
    """A database with a line, a pump with its motor on it, and a fan beside it."""
    await connection.execute(PLANT)
    return connection


async def silence(
    connection: asyncpg.Connection,
    kind: str,
    rule_id: int,
    begin: datetime = T0 - HOUR,
    end: datetime | None = None,
    *,
    side: str | None = None,
    one_shot: bool = False,
) -> None:
    await connection.execute(
        "INSERT INTO alarm_suppression (kind, rule_id, side, begin_at, end_at, one_shot, actor, note)"
        " VALUES ($1, $2, $3, $4, $5, $6, 'sam', 'known')",
        kind, rule_id, side, begin, end, one_shot,
    )  # fmt: skip


async def window(connection: asyncpg.Connection, asset_id: int, begin: datetime, end: datetime) -> None:
    await connection.execute(
        "INSERT INTO maintenance_window (asset_id, begin_at, end_at, actor, note) VALUES ($1, $2, $3, 'jo', 'oil')",
        asset_id, begin, end,
    )  # fmt: skip


async def told(connection: asyncpg.Connection) -> dict[str, datetime | None]:
    return {row["key"]: row["annunciated_at"] for row in await connection.fetch("SELECT * FROM alarm")}


async def events(connection: asyncpg.Connection) -> list[tuple[str, datetime, str, str]]:
    rows = await connection.fetch("SELECT kind, at, actor, note FROM alarm_event ORDER BY at, id")
    return [tuple(row) for row in rows]


async def snapshot(connection: asyncpg.Connection) -> list[list[tuple[object, ...]]]:
    tables = ("alarm", "alarm_event", "alarm_suppression")
    columns = {"alarm_event": "alarm_id, rule_id, kind, at, value, actor, note"}
    return [
        [tuple(row) for row in await connection.fetch(f"SELECT {columns.get(t, '*')} FROM {t} ORDER BY 1, 3, 4")]
        for t in tables
    ]


def ids(pairs: Sequence[tuple[int, AlarmChange]]) -> list[tuple[str, ChangeKind]]:
    return [(told.key, told.kind) for _, told in pairs]


async def test_an_alarm_is_told_when_it_is_raised(plant: asyncpg.Connection) -> None:
    recorded = await record(plant, [change(1), change(1, side=Side.HIGH_HIGH)])
    assert recorded.annunciated == recorded.raised
    assert [one.priority for _, one in recorded.raised] == [Priority.LOW, Priority.HIGH]
    rows = await plant.fetch("SELECT side, priority, annunciated_at, category FROM alarm ORDER BY id")
    assert [tuple(row) for row in rows] == [("high", 1, T0, "machine"), ("high_high", 3, T0, "machine")]
    assert [event[0] for event in await events(plant)] == ["raised", "raised"]


async def test_an_alarm_of_an_asset_as_a_whole_has_no_sensor_and_opens_an_order_with_its_asset(
    plant: asyncpg.Connection,
) -> None:
    raised = change(4, value=math.nan)
    recorded = await record(plant, [change(4), change(4, CLEARED, T0 + MINUTE, value=math.nan)])
    row = await plant.fetchrow("SELECT sensor_id, asset_id, category, side, ended_at FROM alarm")
    assert tuple(row) == (None, 2, "sensor", "condition", T0 + MINUTE)
    assert [event["value"] for event in await plant.fetch("SELECT value FROM alarm_event ORDER BY at")] == [9.0, None]
    pump = Asset(
        id=2, name="pump", title="", parent_id=1, site="north", area="water", asset_class="pump", criticality=3
    )
    request = decide(raised, pump, None)
    assert request is not None
    assert request.title == "pump: bearing wear suspected (pump: no data)"
    [(alarm_id, _)] = recorded.annunciated
    [order] = await work_orders.record(plant, [(alarm_id, request)])
    evidence = await plant.fetchval("SELECT evidence -> 0 FROM work_order WHERE id = $1", order.work_order_id)
    assert '"asset": "pump"' in evidence
    assert '"sensor": null' in evidence


@pytest.mark.parametrize("kind", ["shelved", "out_of_service"])
async def test_an_alarm_raised_while_its_rule_is_silent_is_stored_and_nobody_is_told(
    plant: asyncpg.Connection, kind: str
) -> None:
    await silence(plant, kind, 1, end=T0 + HOUR if kind == "shelved" else None)
    recorded = await record(plant, [change(1), change(3)])
    assert len(recorded.raised) == 2
    assert [one.rule.id for _, one in recorded.annunciated] == [3]
    assert (kind, T0, "sam", "known") in await events(plant)


async def test_a_silent_side_leaves_the_other_side_loud(plant: asyncpg.Connection) -> None:
    await silence(plant, "shelved", 1, end=T0 + HOUR, side="high")
    recorded = await record(plant, [change(1), change(1, side=Side.HIGH_HIGH)])
    assert [one.side for _, one in recorded.annunciated] == [Side.HIGH_HIGH]


@pytest.mark.parametrize(
    ("at", "is_told"),
    [(-MINUTE, True), (timedelta(0), False), (HOUR - timedelta(microseconds=1), False), (HOUR, True)],
    ids=["before", "begin", "last instant", "end"],
)
@pytest.mark.parametrize("manner", ["shelf", "window"])
async def test_event_time_decides_and_the_end_is_not_part_of_it(
    plant: asyncpg.Connection, manner: str, at: timedelta, is_told: bool
) -> None:
    if manner == "shelf":
        await silence(plant, "shelved", 1, T0, T0 + HOUR)
    else:
        await window(plant, 2, T0, T0 + HOUR)
    recorded = await record(plant, [change(1, at=T0 + at, began=T0 + at)])
    assert bool(recorded.annunciated) is is_told


async def test_a_shelf_that_was_ended_early_keeps_late_alarms_of_its_time_silent(plant: asyncpg.Connection) -> None:
    await silence(plant, "shelved", 1, T0 - HOUR, T0 + HOUR)
    await plant.execute("UPDATE alarm_suppression SET ended_at = $1, ended_by = 'sam'", T0)
    late, after = T0 - MINUTE, T0 + MINUTE
    recorded = await record(plant, [change(1, at=late, began=late), change(1, at=after, began=after)])
    assert [one.at for _, one in recorded.annunciated] == [after]


async def test_a_window_of_an_asset_covers_all_below_it_and_nothing_beside_it(plant: asyncpg.Connection) -> None:
    await window(plant, 1, T0 - HOUR, T0 + HOUR)
    recorded = await record(plant, [change(1), change(2), change(3), change(4)])
    assert [one.rule.id for _, one in recorded.annunciated] == [3]
    assert [(kind, who, why) for kind, _, who, why in await events(plant) if kind == "maintenance"] == [
        ("maintenance", "jo", "oil")
    ] * 3


async def test_a_cancelled_window_keeps_nobody_from_being_told(plant: asyncpg.Connection) -> None:
    await window(plant, 2, T0 - HOUR, T0 + HOUR)
    await plant.execute("UPDATE maintenance_window SET cancelled_at = $1, cancelled_by = 'jo'", T0 - MINUTE)
    assert len((await record(plant, [change(1)])).annunciated) == 1


async def test_an_alarm_that_another_stands_for_is_told_once_nothing_does(plant: asyncpg.Connection) -> None:
    first = change(3)
    recorded = await record(plant, [first, change(1), change(1, SUPPRESSED, by=first.key)])
    assert ids(recorded.annunciated) == [(first.key, RAISED)]
    assert await plant.fetchval("SELECT suppressed_by FROM alarm WHERE rule_id = 1") == first.key
    freed = change(1, UNSUPPRESSED, T0 + MINUTE)
    recorded = await record(plant, [change(3, CLEARED, T0 + MINUTE), freed])
    assert ids(recorded.annunciated) == [(freed.key, UNSUPPRESSED)]
    assert await told(plant) == {first.key: T0, freed.key: T0 + MINUTE}
    notes = [(kind, note) for kind, _, _, note in await events(plant) if kind.endswith("suppressed")]
    assert notes == [("suppressed", f"{first.key} stands for it"), ("unsuppressed", "")]


async def test_an_alarm_that_was_told_before_another_stood_for_it_is_told_once(plant: asyncpg.Connection) -> None:
    await record(plant, [change(1)])
    later = [change(1, SUPPRESSED, T0 + SECOND, by="x"), change(1, UNSUPPRESSED, T0 + MINUTE)]
    assert (await record(plant, later)).annunciated == ()
    assert set((await told(plant)).values()) == {T0}


async def test_suppressed_and_free_again_within_one_batch_is_told_in_it(plant: asyncpg.Connection) -> None:
    changes = [
        change(1),
        change(1, SUPPRESSED, by="x"),
        change(1, UNSUPPRESSED, T0 + SECOND),
        change(1, SUPPRESSED, T0 + 2 * SECOND, by="y"),
        change(1, UNSUPPRESSED, T0 + 3 * SECOND),
    ]
    recorded = await record(plant, changes)
    assert [(one.kind, one.at) for _, one in recorded.annunciated] == [(UNSUPPRESSED, T0 + SECOND)]
    assert await plant.fetchval("SELECT suppressed_by FROM alarm") is None


async def test_an_alarm_that_is_free_of_others_while_shelved_waits_for_the_shelf(plant: asyncpg.Connection) -> None:
    await silence(plant, "shelved", 1, T0, T0 + HOUR)
    changes = [change(1), change(1, SUPPRESSED, by="x"), change(1, UNSUPPRESSED, T0 + SECOND)]
    assert (await record(plant, changes)).annunciated == ()
    assert await annunciate_due(plant, T0 + HOUR - SECOND) == ()
    [due] = await annunciate_due(plant, T0 + HOUR)
    assert due.annunciated_at == T0 + HOUR


CHANGES = [
    change(3),
    change(1),
    change(1, SUPPRESSED, by="x"),
    change(2),
    change(4),
    change(1, PEAK, T0 + SECOND),
    change(1, UNSUPPRESSED, T0 + 2 * SECOND),
    change(3, CLEARED, T0 + 3 * SECOND),
    change(1, CLEARED, T0 + 4 * SECOND),
]


async def test_changes_that_come_again_after_a_crash_change_nothing_and_tell_nobody(plant: asyncpg.Connection) -> None:
    await silence(plant, "shelved", 4, T0 - HOUR, T0 + MINUTE)
    await window(plant, 3, T0 - HOUR, T0 + MINUTE)
    first = await record(plant, CHANGES)
    assert [one.rule.id for _, one in first.annunciated] == [3, 1]
    before = await snapshot(plant)
    again = await record(plant, CHANGES)
    assert (again.raised, again.annunciated) == ((), ())
    assert await snapshot(plant) == before
    assert [due.rule_id for due in await annunciate_due(plant, T0 + HOUR)] == [2, 4]
    before = await snapshot(plant)
    assert (await record(plant, CHANGES)).annunciated == ()
    assert await annunciate_due(plant, T0 + 2 * HOUR) == ()
    assert await snapshot(plant) == before


@pytest.mark.parametrize("cut", range(1, len(CHANGES)))
async def test_it_does_not_matter_where_changes_are_cut_into_batches(plant: asyncpg.Connection, cut: int) -> None:
    # Changes of one instant are always together: an evaluation gives all of them at once.
    if CHANGES[cut - 1].at == CHANGES[cut].at:
        return
    await window(plant, 3, T0 - HOUR, T0 + MINUTE)
    parts = [await record(plant, CHANGES[:cut]), await record(plant, CHANGES[cut:])]
    told = [key for part in parts for key in ids(part.annunciated)]
    assert told == [(CHANGES[0].key, RAISED), (CHANGES[4].key, RAISED), (CHANGES[6].key, UNSUPPRESSED)]


async def test_a_shelf_that_is_over_is_ended_and_what_stands_is_told_as_a_request(plant: asyncpg.Connection) -> None:
    await silence(plant, "shelved", 1, T0 - HOUR, T0 + HOUR)
    [(alarm_id, raised)] = (await record(plant, [change(1)])).raised
    assert await annunciate_due(plant, T0 + HOUR - timedelta(microseconds=1)) == ()
    [due] = await annunciate_due(plant, T0 + HOUR + SECOND)
    assert (due.alarm_id, due.change(raised.rule)) == (alarm_id, raised)
    assert ("unshelved", T0 + HOUR, "engine", "its time is over") in await events(plant)
    assert [event for event in await events(plant) if event[0] == "annunciated"] == [
        ("annunciated", T0 + HOUR + SECOND, "engine", "what kept it silent is over, and it still stands")
    ]
    assert await annunciate_due(plant, T0 + HOUR + SECOND) == ()


async def test_a_shelf_for_one_time_ends_with_the_alarm(plant: asyncpg.Connection) -> None:
    await record(plant, [change(1), change(1, side=Side.HIGH_HIGH)])
    await silence(plant, "shelved", 1, side="high", one_shot=True)
    await annunciate_due(plant, T0 + MINUTE)
    assert await plant.fetchval("SELECT ended_at FROM alarm_suppression") is None
    await record(plant, [change(1, CLEARED, T0 + MINUTE)])
    await annunciate_due(plant, T0 + 2 * MINUTE)
    assert await plant.fetchval("SELECT ended_at FROM alarm_suppression") == T0 + 2 * MINUTE
    [event] = [event for event in await events(plant) if event[0] == "unshelved"]
    assert event[2:] == ("engine", "the alarm it was for is over (high)")


async def test_when_a_window_is_over_what_stands_is_told_and_what_is_over_is_not(plant: asyncpg.Connection) -> None:
    await window(plant, 1, T0 - HOUR, T0 + HOUR)
    await record(plant, [change(1), change(2), change(2, CLEARED, T0 + MINUTE)])
    assert [due.rule_id for due in await annunciate_due(plant, T0 + HOUR)] == [1]
    assert await plant.fetchval("SELECT annunciated_at FROM alarm WHERE rule_id = 2") is None


async def test_an_alarm_under_two_silences_waits_for_both(plant: asyncpg.Connection) -> None:
    await window(plant, 1, T0 - HOUR, T0 + HOUR)
    await silence(plant, "shelved", 1, T0 - HOUR, T0 + 2 * HOUR)
    await record(plant, [change(1)])
    assert await annunciate_due(plant, T0 + HOUR) == ()
    assert len(await annunciate_due(plant, T0 + 2 * HOUR)) == 1


async def test_an_alarm_that_another_stands_for_is_not_told_by_the_passing_of_time(plant: asyncpg.Connection) -> None:
    await record(plant, [change(1), change(1, SUPPRESSED, by="x")])
    assert await annunciate_due(plant, T0 + 100 * HOUR) == ()


async def test_a_new_violation_is_a_new_alarm_whatever_became_of_the_one_before(plant: asyncpg.Connection) -> None:
    second = T0 + MINUTE
    recorded = await record(plant, [change(2), change(2, CLEARED, T0 + SECOND), change(2, at=second, began=second)])
    assert len({alarm_id for alarm_id, _ in recorded.annunciated}) == 2
    states = [row["state"] for row in await plant.fetch("SELECT state FROM alarm_states($1) ORDER BY alarm_id", second)]
    assert states == ["latched_unacknowledged", "unacknowledged"]


async def test_the_view_gives_the_state_of_every_combination_that_the_rules_give(plant: asyncpg.Connection) -> None:
    flags = Standing.__dataclass_fields__.keys()
    every = [Standing(**dict(zip(flags, values, strict=True))) for values in product((False, True), repeat=len(flags))]
    # A rule for each way of being silent, on an asset in a window or not; an alarm for each combination of the rest.
    await window(plant, 2, T0 - HOUR, T0 + HOUR)
    for number in range(4):
        for asset_id in (2, 4):
            rule_id = await plant.fetchval(
                "INSERT INTO rule (name, subject, asset_id, unit, priority) VALUES ($1, 'x', $2, '', 1) RETURNING id",
                f"{number}/{asset_id}", asset_id,
            )  # fmt: skip
            for place, kind in enumerate(("shelved", "out_of_service")):
                if number & 1 << place:
                    await silence(plant, kind, rule_id, end=T0 + HOUR)
    rules = {row["name"]: row["id"] for row in await plant.fetch("SELECT name, id FROM rule WHERE subject = 'x'")}
    for number, standing in enumerate(every):
        asset_id = 2 if standing.maintenance else 4
        await plant.execute(
            "INSERT INTO alarm (key, rule_id, rule_name, asset_id, side, limit_value, priority, began_at, value,"
            " peak_value, peak_at, ended_at, annunciated_at, acknowledged_at, latching, reset_at, suppressed_by)"
            " VALUES ($1, $2, '', $3, 'high', 1, 1, $4, 1, 1, $4, $5, $6, $7, $8, $9, $10)",
            str(number),
            rules[f"{standing.shelved + 2 * standing.out_of_service}/{asset_id}"],
            asset_id,
            T0 - MINUTE,
            None if standing.active else T0,
            T0 - MINUTE if standing.told else None,
            T0 if standing.acknowledged else None,
            standing.latching,
            T0 if standing.reset else None,
            "x" if standing.suppressed else None,
        )
    rows = await plant.fetch(
        "SELECT a.key::int AS number, coalesce(s.state, 'normal') AS state"
        " FROM alarm a LEFT JOIN alarm_states($1) s ON s.alarm_id = a.id",
        T0,
    )
    assert {row["number"]: row["state"] for row in rows} == {
        number: state_of(standing).value for number, standing in enumerate(every)
    }


async def test_the_state_says_who_keeps_an_alarm_silent_and_until_when(plant: asyncpg.Connection) -> None:
    await silence(plant, "shelved", 1, T0 - HOUR, T0 + HOUR)
    await window(plant, 4, T0 - HOUR, T0 + 2 * HOUR)
    await record(plant, [change(1), change(3)])
    rows = await plant.fetch("SELECT state, until, actor, note FROM alarm_states($1) ORDER BY alarm_id", T0)
    assert [tuple(row) for row in rows] == [
        ("shelved", T0 + HOUR, "sam", "known"),
        ("maintenance", T0 + 2 * HOUR, "jo", "oil"),
    ]
    later = await plant.fetch("SELECT state FROM alarm_states($1) ORDER BY alarm_id", T0 + HOUR)
    assert [row["state"] for row in later] == ["unacknowledged", "maintenance"]
    assert len(await plant.fetch("SELECT * FROM alarm_state")) == 2


async def test_an_alarm_of_a_limit_that_the_rule_has_no_more_ends_and_one_of_another_stays(
    plant: asyncpg.Connection,
) -> None:
    await record(plant, [change(1), change(1, side=Side.HIGH_HIGH), change(4)])
    assert await alarm_store.end_orphans(plant) == ()
    await plant.execute("UPDATE rule SET high = NULL WHERE id = 1")
    await plant.execute("UPDATE rule SET kind = 'limit', low = 1 WHERE id = 4")
    assert len(await alarm_store.end_orphans(plant)) == 2
    assert [row["side"] for row in await plant.fetch("SELECT side FROM alarm WHERE ended_at IS NULL")] == ["high_high"]
    notes = await plant.fetch("SELECT DISTINCT note FROM alarm_event WHERE kind = 'cleared'")
    assert [row["note"] for row in notes] == ["the rule has this limit no more"]


async def test_an_alarm_of_a_retired_rule_ends_and_says_why(plant: asyncpg.Connection) -> None:
    await record(plant, [change(1)])
    await plant.execute("UPDATE rule SET retired_at = $1 WHERE id = 1", T0 + HOUR)
    assert len(await alarm_store.end_orphans(plant)) == 1
    assert (await events(plant))[-1][0] == "cleared"


async def test_nothing_is_recorded_of_nothing(plant: asyncpg.Connection) -> None:
    assert await record(plant, []) == RecordedAlarms()
    assert await annunciate_due(plant, T0) == ()
