"""The simulated plant: two cooling-water pumps and a fan, one planned stop, one fault with its labels.

Names, units and topics are those of the example plant file; `SENSORS` is the contract between the two.
"""

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from simulators.physics import BearingWear, Machine, Nameplate
from telemetry.errors import ConfigurationError
from telemetry.plant import AssetState

__all__ = [
    "GATEWAY_TOPIC",
    "SENSORS",
    "SITE",
    "Fault",
    "Reading",
    "SimulatedPlant",
    "SimulatedSensor",
    "Tick",
]

SITE = "northfield"
GATEWAY_TOPIC = "northfield/gw-1/readings"

_PUMP = Nameplate(vib_de_mm_s=1.8, vib_nde_mm_s=1.5, temp_de_c=55.0, flow_m3_h=120.0, pressure_bar=4.2)
_FAN = Nameplate(vib_de_mm_s=1.2, vib_nde_mm_s=1.0, temp_de_c=48.0, current_a=31.0)
_MACHINES = {"P-101": _PUMP, "P-102": _PUMP, "F-201": _FAN}
_OWN_TOPICS = frozenset({"P-101"})
_UNITS = {
    "vib_de": "mm/s",
    "vib_nde": "mm/s",
    "temp_de": "degC",
    "flow": "m^3/h",
    "pressure": "bar",
    "current": "A",
}
_DECIMALS = 4
_STATE_EVERY_S = 60.0
_STOP_AT = 0.25
"""part of the simulated time after which the planned stop begins"""
_STOP_AT_MOST_S = 1800.0
_STOP_PART = 0.04
"""a short simulation has a short stop: at most this part of it"""
_FAULT_MODES = frozenset({"bearing_wear"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedSensor:
    """A measuring point of the simulated plant."""

    name: str
    """`asset.point`"""
    asset: str
    point: str
    unit: str | None
    """as pint writes it; None for the state, which is text"""
    topic: str | None
    """its own topic; None: it comes through the gateway"""


def _sensors() -> Iterator[SimulatedSensor]:
    for asset, nameplate in _MACHINES.items():
        points = ["vib_de", "vib_nde", "temp_de"]
        points += ["flow"] if nameplate.flow_m3_h is not None else []
        points += ["pressure"] if nameplate.pressure_bar is not None else []
        points += ["current"] if nameplate.current_a is not None else []
        for point in ["state", *points]:
            yield SimulatedSensor(
                name=f"{asset}.{point}",
                asset=asset,
                point=point,
                unit=_UNITS.get(point),
                topic=f"{SITE}/{asset}/{point}" if asset in _OWN_TOPICS else None,
            )


SENSORS: tuple[SimulatedSensor, ...] = tuple(_sensors())
"""all 17 sensors, in the order in which a tick reports them"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value of one sensor, as its device would send it."""

    sensor: str
    value: float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Everything the plant measured at one instant."""

    at: datetime
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The label of an injected fault: what a monitoring system ought to find, and by when."""

    asset: str
    failure_mode: str
    onset_at: datetime
    """P: from here on it can be measured"""
    functional_failure_at: datetime
    """F: a work order after this came too late; may lie behind the end of the simulation"""
    repaired_at: datetime | None
    """the asset runs again; None: not repaired"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedPlant:
    """A plant from `start` on. The same arguments give the same readings bit for bit, however they are read.

    Raises:
        ConfigurationError: an argument is out of range, or names an asset or a fault that is not there.
    """

    start: datetime
    """event time of the first tick, aware"""
    duration_s: float
    interval_s: float = 10.0
    """event time between ticks"""
    seed: int = 7
    fault_asset: str | None = "P-101"
    """the asset that fails; None: all stay healthy"""
    fault_mode: str = "bearing_wear"
    onset: float = 0.45
    """when the fault begins: below 1 a part of the duration, else seconds after the start"""
    pf_interval: float = 0.4
    """from onset to functional failure: below 1 a part of the duration, else seconds"""
    repair_s: float | None = None
    """seconds from functional failure to running again; None: it stays failed"""
    stop_asset: str | None = "P-102"
    """the asset with a short planned stop after a quarter of the time; None: no stop"""

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise ConfigurationError(f"start {self.start.isoformat()} has no time zone; write it with Z or an offset")
        for name, value in (
            ("duration", self.duration_s),
            ("interval", self.interval_s),
            ("P-F interval", self.pf_interval),
            ("time to repair", self.repair_s),
        ):
            if value is not None and not value > 0:
                raise ConfigurationError(f"the {name} of a simulation is more than 0 s, not {value:g}")
        if not self.onset >= 0:
            raise ConfigurationError(f"the onset of a fault is 0 or more, not {self.onset:g}")
        if self.fault_mode not in _FAULT_MODES:
            raise ConfigurationError(f"unknown fault {self.fault_mode!r}; there is {', '.join(sorted(_FAULT_MODES))}")
        for asset in (self.fault_asset, self.stop_asset):
            if asset is not None and asset not in _MACHINES:
                raise ConfigurationError(f"unknown asset {asset!r}; the simulated plant has {', '.join(_MACHINES)}")

    @property
    def tick_count(self) -> int:
        """How many ticks `ticks` gives: one per interval, the end excluded."""
        return math.ceil(self.duration_s / self.interval_s - 1e-9)  # 0.3 / 0.1 is a little more than 3

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The labels: at most one fault."""
        wear = self._wear()
        if wear is None or self.fault_asset is None:
            return ()
        repaired_s = wear.repaired_s
        return (
            Fault(
                asset=self.fault_asset,
                failure_mode=self.fault_mode,
                onset_at=self._moment(wear.onset_s),
                functional_failure_at=self._moment(wear.failure_s),
                repaired_at=None if repaired_s is None else self._moment(repaired_s),
            ),
        )

    @property
    def planned_stop(self) -> tuple[datetime, datetime] | None:
        """Begin and end of the planned stop."""
        if self.stop_asset is None:
            return None
        begin_s, end_s = self._stop_s()
        return self._moment(begin_s), self._moment(end_s)

    def ticks(self) -> Iterator[Tick]:
        """The readings in event-time order, from the start each time it is called."""
        machines = {
            asset: Machine(
                plate,
                np.random.default_rng([self.seed, zlib.crc32(asset.encode())]),
                interval_s=self.interval_s,
            )
            for asset, plate in _MACHINES.items()
        }
        wear = self._wear()
        last_state: dict[str, AssetState] = {}
        last_report_s: dict[str, float] = {}
        for number in range(self.tick_count):
            at_s = number * self.interval_s
            at = self._moment(at_s)
            readings: list[Reading] = []
            for asset, machine in machines.items():
                own_wear = wear if asset == self.fault_asset else None
                state = self._state(asset, own_wear, at_s)
                values = machine.step(at, state, 0.0 if own_wear is None else own_wear.progress(at_s))
                # A controller tells the change before the values that follow from it.
                if state is not last_state.get(asset) or at_s - last_report_s[asset] >= _STATE_EVERY_S:
                    readings.append(Reading(sensor=f"{asset}.state", value=state.name.lower()))
                    last_state[asset], last_report_s[asset] = state, at_s
                readings += [
                    Reading(sensor=f"{asset}.{point}", value=round(value, _DECIMALS)) for point, value in values.items()
                ]
            yield Tick(at=at, readings=tuple(readings))

    def _state(self, asset: str, wear: BearingWear | None, at_s: float) -> AssetState:
        if wear is not None and wear.failed(at_s):
            return AssetState.FAILED
        begin_s, end_s = self._stop_s()
        if asset == self.stop_asset and begin_s <= at_s < end_s:
            return AssetState.STOPPED
        return AssetState.RUNNING

    def _wear(self) -> BearingWear | None:
        if self.fault_asset is None:
            return None
        onset_s = self._seconds(self.onset)
        failure_s = onset_s + self._seconds(self.pf_interval)
        repaired_s = None if self.repair_s is None else failure_s + self.repair_s
        return BearingWear(onset_s=onset_s, failure_s=failure_s, repaired_s=repaired_s)

    def _stop_s(self) -> tuple[float, float]:
        begin_s = _STOP_AT * self.duration_s
        return begin_s, begin_s + min(_STOP_AT_MOST_S, _STOP_PART * self.duration_s)

    def _seconds(self, span: float) -> float:
        return span * self.duration_s if span < 1 else span

    def _moment(self, at_s: float) -> datetime:
        return self.start.astimezone(UTC) + timedelta(seconds=at_s)
