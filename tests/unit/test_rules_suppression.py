"""Suppression by design: parents and children, first-out, circles, restarts with other rules."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.definition import Rule, Side
from rules.events import ActiveAlarm, AlarmChange, ChangeKind, alarm_key
from rules.suppression import SuppressionByDesign, change_order
from telemetry.batch import to_datetime, to_micros
from telemetry.errors import StateError

ON, OFF = ChangeKind.RAISED, ChangeKind.CLEARED
Step = tuple[int, str]
"""instant, and "+1" or "-1": rule 1 raised or cleared; "+1h": its worse limit"""


def rule(id_: int, *parents: int, **changes: Any) -> Rule:
    return Rule(
        id=id_,
        name=f"rule{id_}",
        sensor_id=id_,
        sensor_name=f"sensor{id_}",
        asset_id=changes.pop("asset_id", 1),
        unit="",
        high=1.0,
        high_high=2.0,
        suppressed_by=frozenset(parents),
        **changes,
    )


def moment(second: int) -> datetime:
    return to_datetime(second * 1_000_000)


def changes_of(rules: Sequence[Rule], steps: Iterable[Step]) -> list[AlarmChange]:
    """What limits would tell, in order."""
    by_id = {each.id: each for each in rules}
    began: dict[str, int] = {}
    changes = []
    for at, text in steps:
        name = text[1:]
        id_ = int(name.rstrip("h"))
        if text[0] == "+":
            began[name] = at
        side = Side.HIGH_HIGH if name.endswith("h") else Side.HIGH
        changes.append(
            AlarmChange(
                kind=ON if text[0] == "+" else OFF,
                key=alarm_key(by_id[id_], side, began[name] * 1_000_000),
                rule=by_id[id_],
                side=side,
                limit=1.0,
                at=moment(at),
                began_at=moment(began[name]),
                value=3.0,
                peak_value=3.0,
                peak_at=moment(began[name]),
            )
        )
    return sorted(changes, key=change_order)


def added(changes: Iterable[AlarmChange]) -> list[Step]:
    """What suppression says: (instant, "s2") is rule 2 suppressed, "u2" told again."""
    return [
        (
            to_micros(change.at) // 1_000_000,
            f"{change.kind.value[0]}{change.rule.id}{'h' if change.side is Side.HIGH_HIGH else ''}",
        )
        for change in changes
        if change.kind in (ChangeKind.SUPPRESSED, ChangeKind.UNSUPPRESSED)
    ]


def run(rules: Sequence[Rule], steps: Sequence[Step]) -> list[Step]:
    return added(SuppressionByDesign(rules).fold(changes_of(rules, steps)))


FAMILY = [rule(1), rule(2, 1), rule(3, 1, 2)]
CIRCLE = [rule(1, 3), rule(2, 1), rule(3, 2)]
TRIP = [rule(id_, first_out="trip") for id_ in (1, 2, 3)]


@pytest.mark.parametrize(
    ("rules", "steps", "expected"),
    [
        pytest.param(FAMILY, [(0, "+2"), (1, "-2")], [], id="without its parent a child is told"),
        pytest.param(FAMILY, [(0, "+1"), (1, "+2")], [(1, "s2")], id="while the parent stands a child is suppressed"),
        pytest.param(FAMILY, [(0, "+2"), (1, "+1")], [(1, "s2")], id="also one that stood already"),
        pytest.param(FAMILY, [(0, "+1"), (1, "+2"), (2, "-1")], [(1, "s2"), (2, "u2")], id="until the parent clears"),
        pytest.param(FAMILY, [(0, "+1"), (1, "+2"), (2, "-2"), (3, "-1")], [(1, "s2")], id="what cleared is not told"),
        pytest.param(
            FAMILY,
            [(0, "+1"), (0, "+2"), (1, "+3"), (2, "-2"), (3, "-1")],
            [(0, "s2"), (1, "s3"), (3, "u3")],
            id="of two parents until the last clears",
        ),
        pytest.param(
            [rule(1), rule(2, 1), rule(3, 2)],
            [(0, "+1"), (1, "+2"), (2, "+3"), (3, "-1"), (4, "-2")],
            [(1, "s2"), (2, "s3"), (3, "u2"), (4, "u3")],
            id="a parent that is suppressed suppresses all the same",
        ),
        pytest.param(FAMILY, [(0, "+1"), (5, "-1"), (5, "+2")], [], id="raised in the instant the parent clears"),
        pytest.param(FAMILY, [(5, "+1"), (5, "+2")], [(5, "s2")], id="raised in the instant the parent is raised"),
        pytest.param(
            FAMILY,
            [(0, "+1h"), (1, "+2"), (2, "+1"), (3, "-1h"), (4, "-1")],
            [(1, "s2"), (4, "u2")],
            id="any side of the parent suppresses",
        ),
        pytest.param([rule(1, 1), rule(2, 1)], [(0, "+1"), (1, "+1h")], [], id="no rule suppresses itself"),
        pytest.param([rule(2, 7)], [(0, "+2")], [], id="a parent that does not exist suppresses nothing"),
        pytest.param(
            CIRCLE, [(0, "+1"), (1, "+2"), (2, "+3")], [(1, "s2"), (2, "s3")], id="in a circle the first stands"
        ),
        pytest.param(
            CIRCLE, [(0, "+3"), (1, "+2"), (2, "+1")], [(2, "s1")], id="in a circle only who is suppressed by it"
        ),
        pytest.param(CIRCLE[:2], [(0, "+2"), (0, "+1")], [(0, "s2")], id="no circle without the third"),
        pytest.param(
            [rule(1, 2), rule(2, 1)],
            [(0, "+2"), (0, "+1"), (3, "-1")],
            [(0, "s2"), (3, "u2")],
            id="of two of one instant that with the lower key stands",
        ),
        pytest.param(TRIP, [(0, "+2"), (1, "+1"), (2, "+3")], [(1, "s1"), (2, "s3")], id="only the first out is told"),
        pytest.param(
            TRIP,
            [(0, "+2"), (1, "+1"), (2, "-2"), (3, "+3"), (4, "-1"), (5, "-3"), (6, "+1")],
            [(1, "s1"), (3, "s3")],
            id="until all of them are gone",
        ),
        pytest.param(
            TRIP,
            [(0, "+2"), (1, "+1"), (2, "+2h"), (3, "-2"), (4, "+2")],
            [(1, "s1")],
            id="a worse limit of the first, and its return, are told",
        ),
        pytest.param(
            TRIP, [(0, "+3"), (0, "+2")], [(0, "s3")], id="of one instant that with the lower key is the first"
        ),
        pytest.param(
            TRIP, [(0, "+1"), (1, "-1"), (1, "+2"), (2, "+3")], [(2, "s3")], id="gone and begun in one instant"
        ),
        pytest.param(
            [rule(1, first_out="trip"), rule(2, first_out="trip", asset_id=2), rule(3, first_out="other")],
            [(0, "+1"), (1, "+2"), (2, "+3")],
            [],
            id="another asset, another group",
        ),
        pytest.param(
            [rule(1, 2, first_out="trip"), rule(2, first_out="trip")],
            [(0, "+1"), (1, "+2")],
            [(1, "s2")],
            id="what followed from the first does not hide it",
        ),
        pytest.param(
            [rule(1, 2, first_out="trip"), rule(2, first_out="trip")],
            [(0, "+1"), (1, "+2"), (2, "-1"), (3, "+1")],
            [(1, "s2")],
            id="nor when the first comes again",
        ),
        pytest.param(
            [rule(9), rule(1, 9, first_out="trip"), rule(2, first_out="trip")],
            [(0, "+9"), (1, "+1"), (2, "+2"), (3, "-9")],
            [(1, "s1"), (2, "s2"), (3, "u1")],
            id="the first may be suppressed by a parent",
        ),
    ],
)
def test_which_alarms_are_suppressed(rules: Sequence[Rule], steps: Sequence[Step], expected: list[Step]) -> None:
    assert run(rules, steps) == expected


def test_who_stands_for_an_alarm_is_told() -> None:
    changes = changes_of(FAMILY, [(0, "+1"), (1, "+2"), (2, "-1")])
    suppressed, unsuppressed = (
        change
        for change in SuppressionByDesign(FAMILY).fold(changes)
        if change.kind in (ChangeKind.SUPPRESSED, ChangeKind.UNSUPPRESSED)
    )
    assert (suppressed.by, unsuppressed.by) == (changes[0].key, "")
    assert (suppressed.key, suppressed.began_at, suppressed.value) == (changes[1].key, moment(1), 3.0)


def test_rules_without_relations_pass_unchanged() -> None:
    changes = changes_of([rule(1), rule(2)], [(0, "+1"), (0, "+2"), (1, "-1")])
    assert SuppressionByDesign([rule(1), rule(2)]).fold(changes) == changes


def active(rules: Sequence[Rule], *began: Step) -> list[ActiveAlarm]:
    by_id = {each.id: each for each in rules}
    return [
        ActiveAlarm.of(by_id[int(id_)], Side.HIGH, began_us=at * 1_000_000, peak_value=3.0, peak_us=at * 1_000_000)
        for at, id_ in began
    ]


def restored(suppression: SuppressionByDesign, rules: Sequence[Rule]) -> SuppressionByDesign:
    fresh = SuppressionByDesign(rules)
    fresh.restore(suppression.snapshot())
    return fresh


def test_alarms_from_before_a_rule_was_related_are_taken_into_account() -> None:
    suppression = SuppressionByDesign(FAMILY)
    changes = suppression.settle(active(FAMILY, (1, "1"), (2, "2")), lambda _: 5_000_000)
    assert added(changes) == [(5, "s2")]
    assert added(suppression.fold(changes_of(FAMILY, [(1, "+1"), (6, "-1")])[1:])) == [(6, "u2")]


def test_a_child_is_told_when_its_parent_is_no_parent_any_more() -> None:
    suppression = SuppressionByDesign(FAMILY)
    suppression.fold(changes_of(FAMILY, [(0, "+1"), (1, "+2")]))
    others = [rule(1), rule(2), rule(3, 2)]
    changed = restored(suppression, others)
    assert added(changed.settle(active(others, (0, "1"), (1, "2")), lambda _: 0)) == [(1, "u2")]


def test_alarms_that_ended_with_their_rule_suppress_nothing() -> None:
    suppression = SuppressionByDesign(FAMILY)
    suppression.fold(changes_of(FAMILY, [(0, "+1"), (1, "+2")]))
    changed = restored(suppression, FAMILY)
    assert added(changed.settle(active(FAMILY, (1, "2")), lambda _: 9_000_000)) == [(9, "u2")]


def test_alarms_that_stood_before_their_rule_joined_a_group_stay_told() -> None:
    suppression = SuppressionByDesign(TRIP)
    assert suppression.settle(active(TRIP, (1, "2"), (2, "1")), lambda _: 5_000_000) == []
    assert added(suppression.fold(changes_of(TRIP, [(6, "+3")]))) == [(6, "s3")]


def test_a_damaged_snapshot_is_refused() -> None:
    with pytest.raises(StateError):
        SuppressionByDesign(FAMILY).restore(b"nonsense")


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Rule], list[Step]]:
    """Rules in any relation, circles among them, and alarms that come and go."""
    count = draw(st.integers(2, 5))
    rules = [
        rule(
            id_,
            *draw(st.frozensets(st.integers(1, count), max_size=3)),
            first_out=draw(st.sampled_from([None, "trip", "start"])),
        )
        for id_ in range(1, count + 1)
    ]
    standing: set[int] = set()
    steps: list[Step] = []
    for at in range(draw(st.integers(0, 8))):
        for id_ in draw(st.frozensets(st.integers(1, count), max_size=2)):
            steps.append((at, f"{'-' if id_ in standing else '+'}{id_}"))
            standing ^= {id_}
    return rules, steps


@settings(deadline=None)
@given(worlds(), st.lists(st.integers(0, 8), max_size=4))
def test_of_standing_alarms_one_at_least_is_told_and_restarts_change_nothing(
    world: tuple[list[Rule], list[Step]], cuts: list[int]
) -> None:
    rules, steps = world
    whole = SuppressionByDesign(rules).fold(changes_of(rules, steps))
    suppression, pieces = SuppressionByDesign(rules), []
    standing: dict[int, Step] = {}
    changes = changes_of(rules, steps)
    for at in range(8):
        pieces += suppression.fold([change for change in changes if change.at == moment(at)])
        for _, text in [step for step in steps if step[0] == at]:
            standing.pop(int(text[1:]), None)
            if text[0] == "+":
                standing[int(text[1:])] = (at, text[1:])
        if at in cuts:
            suppression = restored(suppression, rules)
            assert suppression.settle(active(rules, *standing.values()), lambda _: 99_000_000) == []
    assert pieces == whole

    hidden: dict[str, bool] = {}
    for change in whole:
        if change.kind is OFF:
            del hidden[change.key]
        else:
            hidden[change.key] = change.kind is ChangeKind.SUPPRESSED
    if hidden and not any(each.first_out for each in rules):
        assert not all(hidden.values())
