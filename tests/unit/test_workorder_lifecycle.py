from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workorder_bridge.errors import MissingDetailError, TransitionError
from workorder_bridge.lifecycle import OPEN, TRANSITIONS, WorkOrderStatus, check

S = WorkOrderStatus
ENDS = {S.CLOSED, S.CANCELLED}


def test_an_order_lives_from_new_to_closed() -> None:
    life = [S.NEW, S.ASSIGNED, S.IN_PROGRESS, S.COMPLETED, S.VERIFIED, S.CLOSED]
    for before, after in pairwise(life):
        check(before, after, assignee="Ada")


@pytest.mark.parametrize("status", sorted(OPEN))
def test_an_open_order_can_be_cancelled_with_a_reason(status: WorkOrderStatus) -> None:
    check(status, S.CANCELLED, note="sensor was loose")
    with pytest.raises(MissingDetailError, match="note") as caught:
        check(status, S.CANCELLED, note="  ")
    assert caught.value.field == "note"


@pytest.mark.parametrize("status", sorted(set(S) - OPEN))
def test_an_order_that_is_not_open_cannot_be_cancelled(status: WorkOrderStatus) -> None:
    with pytest.raises(TransitionError):
        check(status, S.CANCELLED, note="too late")


def test_an_order_is_assigned_to_somebody() -> None:
    with pytest.raises(MissingDetailError, match="assignee"):
        check(S.NEW, S.ASSIGNED)


def test_a_failed_verification_reopens_the_order_and_says_why() -> None:
    check(S.COMPLETED, S.IN_PROGRESS, note="still at 9 mm/s")
    with pytest.raises(MissingDetailError):
        check(S.COMPLETED, S.IN_PROGRESS)


def test_a_forbidden_step_says_what_is_allowed() -> None:
    with pytest.raises(TransitionError, match=r"from new to closed; it may go to assigned, cancelled$") as caught:
        check(S.NEW, S.CLOSED)
    assert caught.value.from_status == "new"
    assert caught.value.to_status == "closed"
    assert caught.value.allowed == ("assigned", "cancelled")


@pytest.mark.parametrize("end", sorted(ENDS))
def test_nothing_follows_an_end(end: WorkOrderStatus) -> None:
    for status in S:
        with pytest.raises(TransitionError, match="its life is over"):
            check(end, status, note="again", assignee="Ada")


@given(st.lists(st.sampled_from(S), max_size=40))
def test_on_any_walk_an_order_closes_only_after_work_was_done_and_verified(
    wishes: list[WorkOrderStatus],
) -> None:
    status, path = S.NEW, [S.NEW]
    for wish in wishes:
        if wish not in TRANSITIONS[status]:
            with pytest.raises(TransitionError) as caught:
                check(status, wish, note="why", assignee="Ada")
            assert caught.value.allowed == TRANSITIONS[status]
            continue
        check(status, wish, note="why", assignee="Ada")
        status = wish
        path.append(wish)
    if status is S.CLOSED:
        assert path[-4:] == [S.IN_PROGRESS, S.COMPLETED, S.VERIFIED, S.CLOSED]
    assert all(step not in ENDS for step in path[:-1])
    if S.CANCELLED in path:
        assert path[-2] in OPEN


@given(st.sampled_from(S))
def test_from_every_status_an_end_can_be_reached(status: WorkOrderStatus) -> None:
    reached, seen = {status}, set[WorkOrderStatus]()
    while reached - seen:
        step = (reached - seen).pop()
        seen.add(step)
        reached |= set(TRANSITIONS[step])
    assert reached & ENDS
