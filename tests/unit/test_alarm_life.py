from itertools import product

import pytest

from rules.alarm_life import TRANSITIONS, AlarmState, AlarmStepError, Standing, Step, after, state_of

FLAGS = Standing.__dataclass_fields__.keys()
EVERY = [Standing(**dict(zip(FLAGS, values, strict=True))) for values in product((False, True), repeat=len(FLAGS))]
SILENT = ("shelved", "suppressed", "maintenance", "out_of_service")
LOUD = [one for one in EVERY if one.told and not any(getattr(one, flag) for flag in SILENT)]


def reachable() -> set[Standing]:
    """Whatever steps lead to from an alarm that was just raised."""
    found = {Standing(latching=False), Standing(latching=True)}
    while True:
        more = set()
        for standing, step in product(found, Step):
            try:
                more.add(after(standing, step))
            except AlarmStepError:
                continue
        if more <= found:
            return found
        found |= more


@pytest.mark.parametrize("step", Step)
def test_steps_lead_where_the_table_says_and_are_refused_elsewhere(step: Step) -> None:
    for standing in reachable():
        key = (state_of(standing), step, standing.latching)
        if key in TRANSITIONS:
            assert state_of(after(standing, step)) is TRANSITIONS[key], key
        else:
            with pytest.raises(AlarmStepError):
                after(standing, step)


def test_every_line_of_the_table_can_be_walked() -> None:
    walked = {
        (state_of(standing), step, standing.latching)
        for standing, step in product(reachable(), Step)
        if (state_of(standing), step, standing.latching) in TRANSITIONS
    }
    assert walked == set(TRANSITIONS)


def test_each_loud_state_is_one_of_six() -> None:
    assert {state_of(one) for one in LOUD} == set(AlarmState) - {AlarmState(flag) for flag in SILENT}


def test_what_keeps_an_alarm_silent_shows_in_a_fixed_order() -> None:
    order = ("out_of_service", "maintenance", "shelved", "suppressed")
    for place, flag in enumerate(order):
        weaker = dict.fromkeys(order[place:], True)
        assert state_of(Standing(**weaker)) is AlarmState(flag)


def test_an_alarm_that_was_over_before_anybody_was_told_is_normal_whatever_else_holds() -> None:
    assert {state_of(one) for one in EVERY if not one.active and not one.told} == {AlarmState.NORMAL}


@pytest.mark.parametrize(
    ("standing", "step", "says"),
    [
        (Standing(acknowledged=True), Step.ACKNOWLEDGE, "acknowledged already"),
        (Standing(told=False), Step.ACKNOWLEDGE, "nobody was told of it yet"),
        (Standing(told=False, active=False), Step.ACKNOWLEDGE, "is over"),
        (Standing(active=False), Step.CLEAR, "come back already"),
        (Standing(active=False, acknowledged=True), Step.RESET, "not latching"),
        (Standing(latching=True, acknowledged=True), Step.RESET, "has not come back"),
        (Standing(latching=True, active=False), Step.RESET, "acknowledge it first"),
        (Standing(latching=True, active=False, acknowledged=True, reset=True), Step.RESET, "nothing to reset"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused_with_the_reason(standing: Standing, step: Step, says: str) -> None:
    with pytest.raises(AlarmStepError, match=says):
        after(standing, step)
