"""Many runs at once: which machines, used how, with which faults."""

from collections.abc import Sequence
from datetime import UTC, datetime

from simulators.conditions import Profile
from simulators.faults import FAULTS, FaultKind, MachineKind, SensorFaultKind
from simulators.runs import Scenario, draw_scenario
from telemetry.errors import ConfigurationError

__all__ = ["DURATION_S", "HEALTHY_S", "START", "suite"]

START = datetime(2026, 1, 5, tzinfo=UTC)
"""a Monday"""
DURATION_S = 45 * 86_400.0
HEALTHY_S = 21 * 86_400.0
"""time in which nothing is wrong, to learn from and to be judged in"""
_HEALTHY_PART = 0.5
"""of shorter runs"""
_HEALTHY_OF_TEN = 3


def suite(
    count: int,
    *,
    seed: int,
    start: datetime = START,
    duration_s: float = DURATION_S,
    interval_s: float = 60.0,
    machines: Sequence[MachineKind] = (),
    profile: Profile | None = None,
    faults: Sequence[FaultKind | SensorFaultKind | None] = (),
) -> list[Scenario]:
    """Scenarios of machines `M-000`, `M-001` ..., each drawn from `seed` and its number alone.

    Args:
        machines: kinds to draw from; none: all.
        profile: of all; None: drawn.
        faults: in turn; None among them is a run in which all stays well. Empty: three runs of ten stay well, the
            others have each fault in turn, those of sensors twice as often.

    Raises:
        ConfigurationError: none of the machines can have a fault that is asked for.
    """
    chosen = tuple(machines) or tuple(MachineKind)
    possible = [kind for kind in FaultKind if FAULTS[kind].machines & set(chosen)]
    turn = [*possible, *SensorFaultKind, *SensorFaultKind]
    if count < 1:
        raise ConfigurationError(f"a data set has one run or more, not {count}")
    scenarios = []
    taken = 0
    for number in range(count):
        if faults:
            fault = faults[number % len(faults)]
        elif number % 10 < _HEALTHY_OF_TEN:
            fault = None
        else:
            fault = turn[taken % len(turn)]
            taken += 1
        scenarios.append(
            draw_scenario(
                asset=f"M-{number:03d}",
                start=start,
                duration_s=duration_s,
                healthy_s=min(HEALTHY_S, _HEALTHY_PART * duration_s),
                interval_s=interval_s,
                seed=seed * 1_000_003 + number,
                machines=dict.fromkeys(chosen, 1.0),
                profile=profile,
                fault=fault if isinstance(fault, FaultKind) else None,
                sensor_fault=fault if isinstance(fault, SensorFaultKind) else None,
            )
        )
    return scenarios
