"""Faults of machines and of sensors: which there are, how they grow, and their labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

__all__ = [
    "FAULTS",
    "FaultInfo",
    "FaultKind",
    "FaultPlan",
    "Law",
    "MachineKind",
    "SensorFaultKind",
    "SensorFaultPlan",
    "severity",
]

Series = npt.NDArray[np.float64]

_STEEPNESS = 3.0
"""of exponential growth: half way between P and F a fifth of the damage is there"""


class MachineKind(StrEnum):
    """Machines that can be simulated."""

    PUMP = "pump"
    MOTOR = "motor"
    FAN = "fan"
    GEARBOX = "gearbox"


class FaultKind(StrEnum):
    """Faults of machines."""

    BEARING_INNER = "bearing_inner"
    BEARING_OUTER = "bearing_outer"
    UNBALANCE = "unbalance"
    MISALIGNMENT = "misalignment"
    CAVITATION = "cavitation"
    OVERHEATING = "overheating"
    CLOGGED_FILTER = "clogged_filter"
    SEAL_LEAK = "seal_leak"
    GEAR_WEAR = "gear_wear"


class Law(StrEnum):
    """How damage grows over the P-F interval, from 0 to 1."""

    LINEAR = "linear"
    """evenly: dirt settles, a part loosens"""
    EXPONENTIAL = "exponential"
    """each damage makes the next one quicker: fatigue, wear"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultInfo:
    """What is known about a kind of fault. The amounts at functional failure are in `simulators.machines`."""

    component: str
    machines: frozenset[MachineKind]
    """that can have it"""
    laws: tuple[Law, ...]
    """it grows by one of them"""
    signature: str
    """what shows, and where it is written"""


_ALL = frozenset(MachineKind)

FAULTS: Mapping[FaultKind, FaultInfo] = MappingProxyType(
    {
        FaultKind.BEARING_INNER: FaultInfo(
            component="drive-end bearing, inner race",
            machines=_ALL,
            laws=(Law.EXPONENTIAL,),
            signature="impacts at BPFI, modulated by the turning shaft; velocity RMS later, heat last"
            " (Randall & Antoni 2011)",
        ),
        FaultKind.BEARING_OUTER: FaultInfo(
            component="drive-end bearing, outer race",
            machines=_ALL,
            laws=(Law.EXPONENTIAL,),
            signature="impacts at BPFO of even strength; velocity RMS later, heat last (Randall & Antoni 2011)",
        ),
        FaultKind.UNBALANCE: FaultInfo(
            component="rotor",
            machines=frozenset({MachineKind.PUMP, MachineKind.MOTOR, MachineKind.FAN}),
            laws=(Law.LINEAR, Law.EXPONENTIAL),
            signature="1x shaft speed at both ends, growing with the square of speed (ISO 13373-3)",
        ),
        FaultKind.MISALIGNMENT: FaultInfo(
            component="coupling",
            machines=_ALL,
            laws=(Law.LINEAR, Law.EXPONENTIAL),
            signature="2x shaft speed beside 1x, strongest at the coupling, and a warm coupling side (ISO 13373-3)",
        ),
        FaultKind.CAVITATION: FaultInfo(
            component="impeller",
            machines=frozenset({MachineKind.PUMP}),
            laws=(Law.LINEAR, Law.EXPONENTIAL),
            signature="broad-band noise, unsteady flow and pressure, loss of head (Brennen 1994, ch. 6)",
        ),
        FaultKind.OVERHEATING: FaultInfo(
            component="cooling",
            machines=_ALL,
            laws=(Law.LINEAR, Law.EXPONENTIAL),
            signature="all temperatures of the machine rise above what load and surroundings ask for"
            " (first-order thermal model, IEC 60034-1)",
        ),
        FaultKind.CLOGGED_FILTER: FaultInfo(
            component="filter",
            machines=frozenset({MachineKind.PUMP, MachineKind.FAN, MachineKind.GEARBOX}),
            laws=(Law.LINEAR, Law.EXPONENTIAL),
            signature="pressure loss over the filter rises, flow behind it falls (quadratic loss law)",
        ),
        FaultKind.SEAL_LEAK: FaultInfo(
            component="wear ring and shaft seal",
            machines=frozenset({MachineKind.PUMP}),
            laws=(Law.LINEAR, Law.EXPONENTIAL),
            signature="the pump delivers more than arrives: pressure and flow fall, current rises"
            " (orifice law beside the system curve)",
        ),
        FaultKind.GEAR_WEAR: FaultInfo(
            component="gear, tooth flanks",
            machines=frozenset({MachineKind.GEARBOX}),
            laws=(Law.EXPONENTIAL,),
            signature="mesh frequency and its multiples with sidebands at shaft speed (ISO 13373-2; McFadden 1986)",
        ),
    }
)


class SensorFaultKind(StrEnum):
    """Faults of sensors: the machine is as it was."""

    STUCK = "stuck"
    """the last value again and again"""
    DRIFT = "drift"
    """an offset (vibration: a loss of sensitivity) that grows evenly"""
    SPIKES = "spikes"
    """single readings far off"""
    DROPOUT = "dropout"
    """gaps: no reading, or one of bad quality"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """A fault of a machine on its way from potential to functional failure."""

    kind: FaultKind
    law: Law
    onset_at: datetime
    """P: damage begins here; how soon it can be measured is for the monitoring to show"""
    functional_failure_at: datetime
    """F: the machine stops doing its work"""
    repaired_at: datetime | None
    """it runs again as new; None: never"""

    @property
    def component(self) -> str:
        """The part that fails."""
        return FAULTS[self.kind].component


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorFaultPlan:
    """A fault of one sensor."""

    point: str
    """the measuring point, e.g. `temp_de`"""
    kind: SensorFaultKind
    begins_at: datetime
    ends_at: datetime
    """the sensor is replaced"""
    amount: float
    """drift: what it comes to at the end, spikes: their size; as a part of the point's nominal value, of 60 K for
    temperatures"""


def severity(law: Law, passed: Series) -> Series:
    """Damage, 0 (none) to 1 (functional failure), after a part of the P-F interval, 0 to 1."""
    if law is Law.LINEAR:
        return passed
    grown: Series = np.expm1(_STEEPNESS * passed) / np.expm1(_STEEPNESS)
    return grown
