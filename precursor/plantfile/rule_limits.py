"""Limits, deadbands and delays of a rule, in the unit of what it watches."""

from collections.abc import Callable, Mapping
from itertools import pairwise

from precursor.plantfile.amounts import Amount, step_in, value_in
from precursor.plantfile.rule_drafts import Draft
from telemetry.units import UnitError

__all__ = ["SIDES", "converted", "limits", "step_of_zero"]

SIDES = ("low_low", "low", "high", "high_high")
"""from below to above"""

Converter = Callable[[str, Amount], float]


def converted(draft: Draft, key: str, amount: Amount, unit: str, convert: Converter = value_in) -> float:
    """An amount in a unit.

    Raises:
        RuleError: the two do not go together.
    """
    try:
        return convert(unit, amount)
    except UnitError as fault:
        wanted = f"a unit that converts to {unit!r}" if unit else "a number without a unit"
        raise draft.fault(key, f"{fault}; {draft.subject} expects {wanted}") from None


def limits(
    draft: Draft,
    unit: str,
    *,
    value: Converter = value_in,
    step: Converter = step_in,
    others: Mapping[str, float] | None = None,
) -> tuple[dict[str, float], float]:
    """Limits by side, and the deadband. `others`: what holds for sides that the file does not give.

    Raises:
        RuleError: there is none, they are out of order, or a unit does not go with what is watched.
    """
    found = dict(others or {})
    for side in SIDES:
        amount = getattr(draft.entry, side)
        if amount is not None:
            found[side] = converted(draft, side, amount, unit, value)
    if not found:
        raise draft.fault("", "no limit; expected high, low or both, or high_high, low_low")
    names = [side for side in SIDES if side in found]
    for below, above in pairwise(names):
        if found[below] >= found[above]:
            key = above if draft.says(above) else below
            message = f"{above} {found[above]:g} is not above {below} {found[below]:g}; exchange or correct them"
            raise draft.fault(key, message)
    deadband = step_of_zero(draft, "deadband", unit, step)
    lows, highs = [side for side in names if side.startswith("low")], [s for s in names if s.startswith("high")]
    if lows and highs:
        room = found[highs[0]] - found[lows[-1]]
        if deadband >= room:
            message = f"{deadband:g} reaches from one limit to the other; expected less than {room:g}"
            raise draft.fault("deadband", message)
    return found, deadband


def step_of_zero(draft: Draft, key: str, unit: str, step: Converter = step_in) -> float:
    """A difference of 0 or more: a deadband, a tolerance.

    Raises:
        RuleError: it is negative, or its unit does not go with what is watched.
    """
    found = converted(draft, key, getattr(draft.entry, key), unit, step)
    if found < 0:
        raise draft.fault(key, f"{found:g} is negative; expected 0 or more")
    return found
