"""What machines do: physics from demand, surroundings and damage to what could be measured without error.

Everything is relative to nominal where no unit is said: 1 is the nameplate. Whole runs at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from simulators.conditions import Conditions, lag, wander
from simulators.faults import FaultKind, MachineKind

__all__ = ["MACHINES", "Machine", "Measured", "Point"]

Series = npt.NDArray[np.float64]

_STANDSTILL_MM_S = 0.05
"""what a stopped machine picks up from its neighbours"""
_BEARING_TAU_S = 30 * 60.0
_WINDING_TAU_S = 40 * 60.0
_OIL_TAU_S = 60 * 60.0
_HEAT_AFTER = 0.15
"""damage of a bearing from which on friction heats it"""
_NO_LOAD = 0.35
"""current of an induction motor without load, the magnetising part, as a part of nominal"""
_SLIP = 0.015
_NOMINAL_RPM = 1485.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A measuring point and its instrument."""

    name: str
    quantity: str
    unit: str
    """as pint writes it"""
    noise: float
    """standard deviation in the unit"""
    relative_noise: float
    """standard deviation as a part of the value; both add up"""
    resolution: float
    """smallest step of what it sends, in the unit"""
    nominal: float
    """a usual value in the unit; faults of the sensor are measured by it"""


def _vibration(name: str) -> Point:
    return Point(
        name=name,
        quantity="vibration velocity RMS",
        unit="mm/s",
        noise=0.01,
        relative_noise=0.03,
        resolution=0.01,
        nominal=1.8,
    )


def _temperature(name: str) -> Point:
    # A drift is measured by the range of the instrument, not by a zero that means nothing.
    return Point(
        name=name, quantity="temperature", unit="degC", noise=0.15, relative_noise=0, resolution=0.1, nominal=60.0
    )


_CURRENT = Point(
    name="current", quantity="current", unit="A", noise=0, relative_noise=0.006, resolution=0.1, nominal=60.0
)
_SPEED = Point(
    name="speed", quantity="rotational speed", unit="rpm", noise=1.0, relative_noise=0, resolution=1, nominal=1485.0
)
_BEARINGS = (_vibration("vib_de"), _vibration("vib_nde"), _temperature("temp_de"), _temperature("temp_nde"))
_WATER_FLOW = Point(
    name="flow", quantity="volume flow", unit="m^3/h", noise=0, relative_noise=0.008, resolution=0.1, nominal=120.0
)
_AIR_FLOW = Point(
    name="flow", quantity="volume flow", unit="m^3/h", noise=0, relative_noise=0.01, resolution=10, nominal=24_000.0
)
_HEAD = Point(
    name="pressure", quantity="gauge pressure", unit="bar", noise=0.02, relative_noise=0, resolution=0.01, nominal=4.2
)
_SUCTION = Point(
    name="suction", quantity="gauge pressure", unit="bar", noise=0.005, relative_noise=0, resolution=0.001, nominal=0.6
)
_STATIC = Point(
    name="pressure", quantity="static pressure", unit="Pa", noise=0, relative_noise=0.006, resolution=1, nominal=1800.0
)
_FILTER = Point(
    name="filter_dp", quantity="differential pressure", unit="Pa", noise=1, relative_noise=0.01, resolution=1,
    nominal=250.0,
)  # fmt: skip
_OIL_PRESSURE = Point(
    name="oil_pressure", quantity="gauge pressure", unit="bar", noise=0.015, relative_noise=0, resolution=0.01,
    nominal=2.5,
)  # fmt: skip

Measured = Mapping[str, Series]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Situation:
    """What a machine's physics is computed from."""

    at: Conditions
    damage: Mapping[FaultKind, Series]
    """by kind, 0 to 1 over time; kinds that are not there are healthy"""
    rng: np.random.Generator
    interval_s: float
    vib_de_mm_s: float
    """of this specimen, healthy, at nominal"""
    vib_nde_mm_s: float
    rise_c: float
    """its bearings above the surroundings, at nominal"""

    def of(self, kind: FaultKind) -> Series | float:
        """Damage by this fault."""
        return self.damage.get(kind, 0.0)

    def bearings(
        self, *, load: Series, speed: Series, roughness: Series | float, tau_s: float = _BEARING_TAU_S
    ) -> dict[str, Series]:
        """Vibration and temperature at both ends; energies of independent causes add up.

        Args:
            load: of the bearings, 1 is nominal.
            roughness: factor on healthy vibration by how the machine is run.
        """
        bearing = self.of(FaultKind.BEARING_INNER) + self.of(FaultKind.BEARING_OUTER)
        unbalance = self.of(FaultKind.UNBALANCE) * speed**2
        misaligned = self.of(FaultKind.MISALIGNMENT) * speed
        cavitation, gear = self.of(FaultKind.CAVITATION), self.of(FaultKind.GEAR_WEAR)
        hot = self.of(FaultKind.OVERHEATING)
        # What of the machine and its piping is never quite the same, hour by hour.
        slow = 1 + 0.02 * wander(self.rng, speed.size, interval_s=self.interval_s, tau_s=6 * 3600.0)
        healthy = speed**1.5 * (1 + 0.25 * (load - 1)) * roughness * slow
        drive_end = _energies(
            self.vib_de_mm_s * healthy, 9 * bearing * speed, 8 * unbalance, 8 * misaligned, 7 * cavitation, 8 * gear
        )
        other_end = _energies(
            self.vib_nde_mm_s * healthy, 3.2 * bearing * speed, 7 * unbalance, 4 * misaligned, 4 * cavitation, 6 * gear
        )
        friction = np.maximum((bearing - _HEAT_AFTER) / (1 - _HEAT_AFTER), 0.0)
        rise = self.rise_c * (0.4 * speed + 0.6 * load * speed)
        warmer = 1 + 1.3 * np.asarray(hot)
        running = self.at.running
        return {
            "vib_de": np.where(running, drive_end, _STANDSTILL_MM_S),
            "vib_nde": np.where(running, other_end, _STANDSTILL_MM_S),
            "temp_de": self.heated(rise * warmer + 28 * friction + 9 * misaligned + 5 * gear, tau_s),
            "temp_nde": self.heated(0.92 * rise * warmer + 5 * friction + 2 * misaligned + 5 * gear, tau_s),
        }

    def heated(self, rise_c: Series, tau_s: float) -> Series:
        """Temperature (degC) of a part that would be `rise_c` above its surroundings if it ran like this for ever."""
        return self.at.ambient_c + lag(np.where(self.at.running, rise_c, 0.0), interval_s=self.interval_s, tau_s=tau_s)

    def while_running(self, value: Series, otherwise: float = 0.0) -> Series:
        """The value, and what is measured at standstill."""
        return np.where(self.at.running, value, otherwise)


def _energies(*amplitudes: Series | float) -> Series:
    total: Series = np.sqrt(np.sum([np.asarray(each) ** 2 for each in np.broadcast_arrays(*amplitudes)], axis=0))
    return total


def _amperes(power: Series) -> Series:
    """Of an induction motor: the magnetising current stands across the one that does the work."""
    current: Series = 60.0 * np.sqrt(_NO_LOAD**2 + (1 - _NO_LOAD**2) * power**2)
    return current


def _rpm(speed: Series, load: Series) -> Series:
    return _NOMINAL_RPM * speed * (1 - _SLIP * (load - 1))


def _pump(it: _Situation) -> Measured:
    """Pump curve H = N² H0 - a Q², system curve H = Hs + k Q²; a leak is an orifice beside the system."""
    shut_off, own, static, pipes = 1.25, 0.25, 0.35, 0.65
    demand = it.at.demand
    if it.at.controlled:
        speed, resistance = np.sqrt((demand**2 * (own + pipes) + static) / shut_off), np.full(demand.size, pipes)
    else:
        # The valve is where it would give the flow asked for if the machine were healthy.
        speed, resistance = np.ones(demand.size), (shut_off - static) / demand**2 - own
    cavitation = np.asarray(it.of(FaultKind.CAVITATION))
    strainer = 0.25 * np.asarray(it.of(FaultKind.CLOGGED_FILTER))
    leak = 0.6 * np.asarray(it.of(FaultKind.SEAL_LEAK))
    head_left = speed**2 * shut_off * (1 - 0.22 * cavitation)
    leaked = np.zeros(demand.size)
    for _ in range(12):
        # Delivered flow from the balance of heads with the leak of the last round; it converges at once.
        inside = own + strainer
        a, b, c = inside + resistance, 2 * inside * leaked, inside * leaked**2 - (head_left - static)
        flow = (-b + np.sqrt(np.maximum(b**2 - 4 * a * c, 0.0))) / (2 * a)
        head = static + resistance * flow**2
        leaked = 0.5 * (leaked + leak * np.sqrt(head))
    delivered = flow + leaked
    efficiency = 1 - 0.5 * (delivered / np.maximum(speed, 0.1) - 1) ** 2
    power = delivered * (head_left - own * delivered**2) / efficiency + 0.02 * np.asarray(it.of(FaultKind.MISALIGNMENT))
    unsteady = 0.06 * cavitation * it.rng.standard_normal((2, demand.size))
    return {
        **it.bearings(load=power, speed=speed, roughness=1 + 0.8 * (delivered / speed - 1) ** 2),
        "flow": it.while_running(120.0 * flow * (1 + unsteady[0])),
        "pressure": it.while_running(4.2 * head * (1 + unsteady[1]), 4.2 * static),
        "suction": it.while_running(0.8 - (0.2 + 4.2 * strainer) * delivered**2 - 0.15 * cavitation, 0.8),
        "current": it.while_running(_amperes(power)),
        "speed": it.while_running(_rpm(speed, power)),
    }


def _fan(it: _Situation) -> Measured:
    """Fan curve over a duct with a damper and a filter in it, all quadratic."""
    shut_off, own, duct, filter_ = 1.35, 0.35, 0.8, 0.2
    demand = it.at.demand
    if it.at.controlled:
        speed, resistance = demand.copy(), np.full(demand.size, duct)
    else:
        speed, resistance = np.ones(demand.size), shut_off / demand**2 - own - filter_
    clogged = filter_ * (1 + 6 * np.asarray(it.of(FaultKind.CLOGGED_FILTER)))
    flow = speed * np.sqrt(shut_off / (own + resistance + clogged))
    total = speed**2 * shut_off - own * flow**2
    power = flow * total / (1 - 0.4 * (flow / speed - 1) ** 2) + 0.02 * np.asarray(it.of(FaultKind.MISALIGNMENT))
    return {
        **it.bearings(load=power, speed=speed, roughness=1 + 0.8 * (flow / speed - 1) ** 2),
        "flow": it.while_running(24_000.0 * flow),
        "pressure": it.while_running(1800.0 * resistance / duct * flow**2),
        "filter_dp": it.while_running(250.0 * clogged / filter_ * flow**2),
        "current": it.while_running(_amperes(power)),
        "speed": it.while_running(_rpm(speed, power)),
    }


def _motor(it: _Situation) -> Measured:
    """Torque follows demand; the winding is heated by iron and, with the square of current, by copper."""
    demand = it.at.demand
    speed = 0.6 + 0.4 * demand if it.at.controlled else np.ones(demand.size)
    torque = demand + 0.02 * np.asarray(it.of(FaultKind.MISALIGNMENT))
    current = _amperes(torque)
    losses = 0.3 * speed + 0.7 * (current / 60.0) ** 2
    return {
        **it.bearings(load=torque, speed=speed, roughness=1.0),
        "temp_winding": it.heated(55.0 * losses * (1 + 1.1 * np.asarray(it.of(FaultKind.OVERHEATING))), _WINDING_TAU_S),
        "current": it.while_running(current),
        "speed": it.while_running(_rpm(speed, torque)),
    }


def _gearbox(it: _Situation) -> Measured:
    """Losses heat the oil; warm oil is thin, and its pressure falls. `de` is the input, `nde` the output shaft."""
    demand = it.at.demand
    speed = 0.6 + 0.4 * demand if it.at.controlled else np.ones(demand.size)
    torque = demand + 0.02 * np.asarray(it.of(FaultKind.MISALIGNMENT))
    hot, gear = np.asarray(it.of(FaultKind.OVERHEATING)), np.asarray(it.of(FaultKind.GEAR_WEAR))
    oil = it.heated(32.0 * speed * (0.35 + 0.65 * torque) * (1 + 1.2 * hot) + 8 * gear, _OIL_TAU_S)
    # Viscosity of ISO VG oils halves about every 15 K around operating temperature (ASTM D341 curves).
    viscosity = 0.5 ** ((oil - 53.0) / 15.0)
    clogged = np.asarray(it.of(FaultKind.CLOGGED_FILTER))
    pressure = 2.5 * speed**0.5 * viscosity**0.25 * (1 - 0.6 * clogged)
    return {
        **it.bearings(load=torque, speed=speed, roughness=1 + 0.1 * (torque - 1)),
        "temp_oil": oil,
        "oil_pressure": it.while_running(pressure),
        "current": it.while_running(_amperes(torque * speed)),
        "speed": it.while_running(_rpm(speed, torque)),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A kind of machine: what is measured on it, and its physics."""

    points: tuple[Point, ...]
    physics: Callable[[_Situation], Measured]

    def measure(
        self,
        at: Conditions,
        damage: Mapping[FaultKind, Series],
        *,
        interval_s: float,
        specimen: np.random.Generator,
        rng: np.random.Generator,
    ) -> Measured:
        """What there is to be measured at each point, in its unit, by name.

        Args:
            damage: by kind, 0 to 1 over time.
            specimen: draws how this machine differs from others of its kind.
            rng: draws what changes by itself in time; as often whatever the damage.
        """
        return self.physics(
            _Situation(
                at=at,
                damage=damage,
                rng=rng,
                interval_s=interval_s,
                vib_de_mm_s=float(specimen.uniform(1.1, 2.0)),
                vib_nde_mm_s=float(specimen.uniform(0.9, 1.6)),
                rise_c=float(specimen.uniform(22.0, 34.0)),
            )
        )


MACHINES: Mapping[MachineKind, Machine] = MappingProxyType(
    {
        MachineKind.PUMP: Machine(points=(*_BEARINGS, _WATER_FLOW, _HEAD, _SUCTION, _CURRENT, _SPEED), physics=_pump),
        MachineKind.MOTOR: Machine(points=(*_BEARINGS, _temperature("temp_winding"), _CURRENT, _SPEED), physics=_motor),
        MachineKind.FAN: Machine(points=(*_BEARINGS, _AIR_FLOW, _STATIC, _FILTER, _CURRENT, _SPEED), physics=_fan),
        MachineKind.GEARBOX: Machine(
            points=(*_BEARINGS, _temperature("temp_oil"), _OIL_PRESSURE, _CURRENT, _SPEED), physics=_gearbox
        ),
    }
)
