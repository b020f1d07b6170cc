"""Rules of many kinds in the whole fold: ended anywhere and resumed, they say what they would have said."""

from dataclasses import dataclass
from itertools import count

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from precursor.evaluation import Evaluation
from rules.definition import Gate, Rule, Schedule, Span
from rules.events import AlarmChange, ChangeKind
from rules.signal import Count, Deviation, NoData, Quality, Statistic, Usage, Value, Window
from telemetry.batch import ReadingBatch
from telemetry.journal import Entry, Rebaseline, Recovered, Reset, Tick
from telemetry.plant import Asset, Plant, Sensor, SensorKind

SECOND = 1_000_000
STATE, HOT, COLD, HOURS = 1, 2, 3, 4
NAMES = {STATE: "M.state", HOT: "M.hot", COLD: "M.cold", HOURS: "M.hours"}
PLANT = Plant(
    revision=1,
    assets=(Asset(id=1, name="M", title="", parent_id=None, site="s", area="a", asset_class="", criticality=3),),
    sensors=tuple(
        Sensor(id=id_, name=name, asset_id=1, kind=SensorKind.MEASURED, quantity="", unit="", site="s")
        for id_, name in NAMES.items()
    ),
)
numbers = count(1)


def rule(name: str, sensor_id: int | None, **more: object) -> Rule:
    return Rule(
        id=next(numbers),
        name=name,
        sensor_id=sensor_id,
        sensor_name="M" if sensor_id is None else NAMES[sensor_id],
        asset_id=1,
        unit="",
        **more,  # type: ignore[arg-type] # passed through
    )


PLAIN = rule("plain", HOT, high=6.0, deadband=1.0, on_delay_s=2.0)
RULES = (
    PLAIN,
    rule("apart", HOT, signal=Deviation(reference_id=COLD), high=3.0, off_delay_s=1.0),
    rule("gated", COLD, signal=Value(), low=2.0, gate=Gate(sensor_id=STATE, low=1.0, high=1.0, settle_s=1.0)),
    rule("often", HOT, signal=Count(above=5.0, at_least=2, of=3, within_s=20.0)),
    rule(
        "mean", COLD, signal=Window(statistic=Statistic.MEAN, window_s=5.0), high=5.0,
        suppressed_by=frozenset({PLAIN.id}),
    ),
    rule("silent", None, signal=NoData(sensor_ids=(HOT, COLD)), on_delay_s=6.0),
    rule("bad", COLD, signal=Quality(), on_delay_s=1.0),
    rule("worn", HOURS, signal=Usage(), high=12.0),
    rule(
        "by-day", HOT, high=4.0, first_out="heat",
        schedule=Schedule(timezone="UTC", spans=(Span(weekdays=frozenset(range(7)), begin_s=10, end_s=40),)),
    ),
    rule("too-hot", HOT, high=7.0, first_out="heat"),
)  # fmt: skip


@dataclass(frozen=True)
class Story:
    """What an evaluation was told, in order."""

    entries: tuple[Entry, ...]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    now = dict.fromkeys(NAMES, 0)
    entries: list[Entry] = []
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(["readings"] * 5 + ["tick", "tick", "reset"]))
        if kind == "reset":
            at = max(now.values())
            entries.append(Reset(rule_id=np.array([RULES[7].id], np.int32), at=np.array([at], np.int64)))
        elif kind == "tick":
            ahead = draw(st.integers(1, 12 * SECOND))
            ids = draw(st.sets(st.sampled_from([HOT, COLD, STATE]), min_size=1))
            reached = {id_: now[id_] + ahead for id_ in sorted(ids)}
            entries.append(
                Tick(sensor_id=np.array(list(reached), np.int32), now=np.array([*reached.values()], np.int64))
            )
        else:
            rows = []
            for _ in range(draw(st.integers(1, 8))):
                id_ = draw(st.sampled_from(sorted(NAMES)))
                now[id_] = max(now[id_], max(now.values()) - 3 * SECOND) + draw(st.integers(1, 2 * SECOND))
                value = draw(st.integers(0, 9)) if id_ != STATE else draw(st.integers(0, 1))
                rows.append((now[id_], id_, value, draw(st.sampled_from([0, 0, 0, 0, 1, 2, 3]))))
            entries.append(ReadingBatch.of(*(list(column) for column in zip(*rows, strict=True))))
    return Story(tuple(entries))


def told(evaluation: Evaluation, entry: Entry) -> tuple[tuple[AlarmChange, ...], bool]:
    if isinstance(entry, Tick):
        folded = evaluation.tick(entry)
        return folded.changes, folded.moved
    if isinstance(entry, Rebaseline):
        return evaluation.rebaseline(entry).changes, True
    folded = evaluation.reset(entry) if isinstance(entry, Reset) else evaluation.fold(evaluation.select(entry))
    return folded.changes, True


def facts(changes: tuple[AlarmChange, ...]) -> list[tuple[str, str, object, str]]:
    return [(change.kind, change.key, change.at, change.by) for change in changes if change.kind is not ChangeKind.PEAK]


@settings(max_examples=30, deadline=None)
@given(story=stories(), checkpoints=st.sets(st.integers(0, 12)), kills=st.sets(st.integers(0, 12)))
def test_killed_anywhere_and_resumed_it_says_what_an_evaluation_says_that_was_never_killed(
    story: Story, checkpoints: set[int], kills: set[int]
) -> None:
    whole = Evaluation(PLANT, RULES)
    expected = [facts(told(whole, entry)[0]) for entry in story.entries]

    current, saved = Evaluation(PLANT, RULES), dict[str, bytes]()
    journal: list[Entry] = []
    since = [list[tuple[str, str, object, str]]()]
    for number, entry in enumerate(story.entries):
        changes, moved = told(current, entry)
        assert facts(changes) == expected[number]
        # As the transaction does: a tick that moved nothing is not written down.
        if moved:
            journal.append(entry)
            since.append(facts(changes))
        if number in checkpoints:
            saved, journal, since = current.snapshot(), [], []
        if number in kills:
            current = Evaluation(PLANT, RULES)
            again = current.resume(Recovered(parts=saved, entries=tuple(journal)))
            assert facts(again) == [fact for facts_ in since for fact in facts_]
