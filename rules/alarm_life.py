"""The life of one alarm as ISA-18.2 draws it: its states, and what leads from one to the next.

Each time a limit is violated anew, a new alarm begins, with a number and a life of its own; none is ever used again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from telemetry.errors import PrecursorError

__all__ = ["TRANSITIONS", "AlarmState", "AlarmStepError", "Standing", "Step", "after", "state_of"]


class AlarmState(StrEnum):
    """How an alarm stands. The SQL function `alarm_states` gives the same."""

    NORMAL = "normal"
    """over, and nobody has to do anything about it"""
    UNACKNOWLEDGED = "unacknowledged"
    """the value is beyond the limit, and nobody said yet that he knows"""
    ACKNOWLEDGED = "acknowledged"
    """the value is beyond the limit, and somebody knows"""
    RETURNED_UNACKNOWLEDGED = "returned_unacknowledged"
    """the value came back before anybody said that he knows"""
    LATCHED_UNACKNOWLEDGED = "latched_unacknowledged"
    """the value came back; the alarm stays until somebody knows, and resets it"""
    LATCHED_ACKNOWLEDGED = "latched_acknowledged"
    """the value came back and somebody knows; the alarm stays until it is reset"""
    SHELVED = "shelved"
    """a person keeps it silent for some time"""
    SUPPRESSED = "suppressed"
    """by design: another alarm stands for it"""
    MAINTENANCE = "maintenance"
    """its asset, or one above it, is being worked on"""
    OUT_OF_SERVICE = "out_of_service"
    """a person keeps it silent until somebody takes it into service again"""


class Step(StrEnum):
    """What happens to an alarm."""

    ACKNOWLEDGE = "acknowledge"
    CLEAR = "clear"
    """the value comes back"""
    RESET = "reset"


class AlarmStepError(PrecursorError):
    """The step makes no sense for the alarm as it stands; the message says why, and what would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of an alarm, and of what keeps it silent."""

    active: bool = True
    """the value has not come back"""
    told: bool = True
    """people were told of it"""
    acknowledged: bool = False
    latching: bool = False
    reset: bool = False
    shelved: bool = False
    suppressed: bool = False
    maintenance: bool = False
    out_of_service: bool = False


def state_of(standing: Standing) -> AlarmState:
    """The state of an alarm.

    One that was over before anybody was told of it is normal, latching or not: nobody has to do anything about it.

    >>> state_of(Standing(active=False, latching=True, acknowledged=True)).value
    'latched_acknowledged'
    """
    latched = standing.latching and not standing.reset
    known = standing.acknowledged
    over = not standing.active and (not standing.told or (known and not latched))
    found = (
        (over, AlarmState.NORMAL),
        (standing.out_of_service, AlarmState.OUT_OF_SERVICE),
        (standing.maintenance, AlarmState.MAINTENANCE),
        (standing.shelved, AlarmState.SHELVED),
        (standing.active and standing.suppressed, AlarmState.SUPPRESSED),
        (standing.active and known, AlarmState.ACKNOWLEDGED),
        (standing.active, AlarmState.UNACKNOWLEDGED),
        (latched and known, AlarmState.LATCHED_ACKNOWLEDGED),
        (latched, AlarmState.LATCHED_UNACKNOWLEDGED),
        (True, AlarmState.RETURNED_UNACKNOWLEDGED),
    )
    return next(state for holds, state in found if holds)


def after(standing: Standing, step: Step) -> Standing:
    """An alarm after a step.

    Raises:
        AlarmStepError: the step makes no sense for it.
    """
    if step is Step.CLEAR:
        if not standing.active:
            raise AlarmStepError("the value has come back already")
        return replace(standing, active=False)
    if step is Step.ACKNOWLEDGE:
        if standing.acknowledged:
            raise AlarmStepError("it is acknowledged already")
        if not standing.told:
            over = "and is over" if not standing.active else "yet: something keeps it silent"
            raise AlarmStepError(f"nobody was told of it {over}; there is nothing to acknowledge")
        return replace(standing, acknowledged=True)
    if not standing.latching:
        raise AlarmStepError("its rule is not latching: it is over as soon as the value is back")
    if standing.reset or not standing.told:
        raise AlarmStepError("it is normal: there is nothing to reset")
    if standing.active:
        raise AlarmStepError("the value has not come back: it can be reset once it has")
    if not standing.acknowledged:
        raise AlarmStepError("nobody has acknowledged it: acknowledge it first")
    return replace(standing, reset=True)


TRANSITIONS: Mapping[tuple[AlarmState, Step, bool], AlarmState] = MappingProxyType(
    {
        (AlarmState.UNACKNOWLEDGED, Step.ACKNOWLEDGE, False): AlarmState.ACKNOWLEDGED,
        (AlarmState.UNACKNOWLEDGED, Step.ACKNOWLEDGE, True): AlarmState.ACKNOWLEDGED,
        (AlarmState.UNACKNOWLEDGED, Step.CLEAR, False): AlarmState.RETURNED_UNACKNOWLEDGED,
        (AlarmState.UNACKNOWLEDGED, Step.CLEAR, True): AlarmState.LATCHED_UNACKNOWLEDGED,
        (AlarmState.ACKNOWLEDGED, Step.CLEAR, False): AlarmState.NORMAL,
        (AlarmState.ACKNOWLEDGED, Step.CLEAR, True): AlarmState.LATCHED_ACKNOWLEDGED,
        (AlarmState.RETURNED_UNACKNOWLEDGED, Step.ACKNOWLEDGE, False): AlarmState.NORMAL,
        (AlarmState.LATCHED_UNACKNOWLEDGED, Step.ACKNOWLEDGE, True): AlarmState.LATCHED_ACKNOWLEDGED,
        (AlarmState.LATCHED_ACKNOWLEDGED, Step.RESET, True): AlarmState.NORMAL,
    }
)
"""From a state, by a step, of a latching alarm or not, to a state; of alarms that people were told of and that nothing
keeps silent. Steps that do not stand here are refused."""
