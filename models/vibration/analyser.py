"""From the samples of a block to everything that can be said about it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from models.vibration.blows import FEWEST_CAGE_TURNS, BearingReading, Part, read_bearing
from models.vibration.combs import HARMONICS
from models.vibration.envelope import EnvelopeBank, EnvelopeSpectra
from models.vibration.machine import MachineSpec
from models.vibration.quantities import ACCELERATION_UNIT, SI, VELOCITY_UNIT, Quantity, in_si
from models.vibration.shaft import ShaftSpeed, SpeedSource, find_speed
from models.vibration.spectrum import LINE_BINS, Background, PowerSpectrum, product_sum

__all__ = ["Analyser", "Analysis", "feature_units", "features"]

Column = npt.NDArray[np.float64]
Features = Mapping[str, tuple[float, str]]

HIGHEST_ORDER = 25.0
"""of the shaft, up to which envelope spectra are made at least"""
ORDERS = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0])
"""multiples of the shaft speed whose velocities are told, one by one or together"""
SIDEBANDS = np.array([-3, -2, -1, 1, 2, 3])
"""of a gear mesh, in shaft speeds from it"""

_NO_SPEED_HZ = 25.0
"""what widths of bands go by where no speed is known"""
_FEWEST_TURNS = 10.0
"""of the shaft in a block, from which lines half an order apart are told apart: five bins"""
_ROUNDING = 2.0**-22
"""of float32, with two bits to spare: a signal that varies less than this share of its largest value does not vary"""
_ONE, _TWO = 1, 3
_UPPER, _HALVES = (ORDERS >= 3) & (ORDERS % 1 == 0), ORDERS % 1 != 0
_PARTS = {"bpfo": Part.OUTER, "bpfi": Part.INNER, "bsf": Part.BALL, "ftf": Part.CAGE}
_SCALARS = {
    "acceleration_rms": ACCELERATION_UNIT,
    "velocity_rms": VELOCITY_UNIT,
    "peak": ACCELERATION_UNIT,
    "peak_to_peak": ACCELERATION_UNIT,
    "crest_factor": "",
    "kurtosis": "",
    "skewness": "",
    "clipping": "",
    "spectral_kurtosis": "",
    "envelope_low": "Hz",
    "envelope_high": "Hz",
}
_SHAFT = {
    "shaft_speed": "Hz",
    "shaft_speed_uncertainty": "Hz",
    "half_x": VELOCITY_UNIT,
    "one_x": VELOCITY_UNIT,
    "two_x": VELOCITY_UNIT,
    "half_orders": VELOCITY_UNIT,
    "harmonics": VELOCITY_UNIT,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Analysis:
    """What one block shows."""

    machine: MachineSpec
    unit: str
    """of the amplitudes of bearings: m/s² for an acceleration, m/s for a velocity"""
    features: Features
    """by name: value and unit; NaN where the block is too short or too slow for it, or nothing is known to look for"""
    speed: ShaftSpeed | None
    """None: not known, and not found"""
    order_rms: Column
    """mm/s RMS at each of `ORDERS`; NaN as in `features`"""
    gear_floor: tuple[float, ...]
    """m/s² RMS of the noise under six lines around each gear's mesh; as many as gears, NaN as in `features`"""
    bearings: tuple[BearingReading, ...]
    """one each of the machine's; empty where they cannot be told"""
    envelope: EnvelopeSpectra


class Analyser:
    """Analyses blocks of one length of one machine; what depends on neither samples nor speed is made once.

    Args:
        sample_rate_hz: of the blocks.
        count: samples in a block, 16 at least.
        machine: what it is.
    """

    def __init__(self, sample_rate_hz: float, count: int, machine: MachineSpec) -> None:
        if count < 16 or not 0 < sample_rate_hz < math.inf:
            raise ValueError(f"{count} samples at {sample_rate_hz:g} Hz are nothing to analyse: 16 samples at least")
        self.machine = machine
        self.sample_rate_hz = sample_rate_hz
        self.count = count
        self._spectrum = PowerSpectrum(sample_rate_hz, count)
        usual = machine.usual_speed_hz or _NO_SPEED_HZ
        fastest = max((max(one.bpfi, 2 * one.bsf) for one in machine.bearings), default=1.0)
        highest = max(HIGHEST_ORDER, (HARMONICS + 0.2) * fastest)
        self.bank = EnvelopeBank(
            sample_rate_hz,
            count,
            fastest_hz=fastest * usual,
            highest_hz=highest * usual,
            background_hz=2 * usual,
        )
        teeth = np.array(machine.gear_teeth, np.float64)
        blades = [] if machine.blades is None else [machine.blades]
        self._wheel_orders = np.concatenate([teeth, (teeth[:, None] + SIDEBANDS).ravel(), blades])
        self._units = feature_units(machine)
        self._background = Background(self.bank.bins, round(2 * usual / self._spectrum.resolution_hz))

    def features(
        self, samples: npt.NDArray[np.floating], unit: str, *, speed_hz: float | None = None
    ) -> dict[str, tuple[float, str]]:
        """All features of a block by name, each with its unit; as `analyse`."""
        return dict(self.analyse(samples, unit, speed_hz=speed_hz).features)

    def analyse(self, samples: npt.NDArray[np.floating], unit: str, *, speed_hz: float | None = None) -> Analysis:
        """Everything about a block.

        Args:
            samples: `count` of them, finite.
            unit: of acceleration or of velocity. What is an acceleration itself (peaks) cannot be had from velocity.
            speed_hz: measured while the block was taken; None: as the machine says.

        Raises:
            ValueError: not as many samples, or some are not finite.
            ConfigurationError: the unit is of neither.
        """
        if samples.shape != (self.count,):
            raise ValueError(f"samples are {list(samples.shape)}; this analyser takes one row of {self.count}")
        values, quantity = in_si(samples, unit)
        if not math.isfinite(float(values.sum())):
            raise ValueError("some samples are not finite; a block with gaps cannot be analysed")
        straight = self._straighten(values)
        transform = self._spectrum.transform(straight)
        power = self._spectrum.power(transform)
        velocity = self._spectrum.velocity_power(power, quantity)
        acceleration = self._spectrum.acceleration_power(power, quantity)
        envelope = self.bank.spectra(transform)
        speed = self._speed(power, envelope, speed_hz)
        order_rms = self._order_rms(velocity, speed)
        bearings = self._bearings(envelope, speed)
        found = {
            **_scalars(values, straight, quantity),
            "velocity_rms": self._velocity_rms(velocity, speed_hz),
            **self._envelope_band(envelope),
            **self._bands(acceleration),
            **_shaft(speed, order_rms),
            **self._wheels(acceleration, speed),
            **self._bearing_features(bearings, quantity),
        }
        return Analysis(
            machine=self.machine,
            unit=SI[quantity],
            features={name: (found[name], unit) for name, unit in self._units.items()},
            speed=speed,
            order_rms=order_rms,
            gear_floor=tuple(self._floor(acceleration, teeth, speed) for teeth in self.machine.gear_teeth),
            bearings=bearings,
            envelope=envelope,
        )

    def _straighten(self, values: Column) -> Column:
        straight = self._spectrum.straighten(values)
        # What is left of a large offset is rounding, and nothing that vibrates.
        still = np.abs(straight).max() <= _ROUNDING * np.abs(values).max()
        return np.zeros_like(straight) if still else straight

    def _velocity_rms(self, velocity: Column, measured_hz: float | None) -> float:
        low_hz, high_hz = self.machine.velocity_band_hz
        if measured_hz is not None:
            low_hz = 2.0 if measured_hz < 10.0 else 10.0
        return self._spectrum.band_rms(velocity, low_hz, high_hz)

    def _speed(self, power: Column, envelope: EnvelopeSpectra, measured_hz: float | None) -> ShaftSpeed | None:
        machine = self.machine
        if measured_hz is not None:
            return ShaftSpeed(hz=measured_hz, uncertainty_hz=0.0, source=SpeedSource.MEASURED)
        if machine.speed_hz is not None and machine.speed_tolerance == 0:
            return ShaftSpeed(hz=machine.speed_hz, uncertainty_hz=0.0, source=SpeedSource.MEASURED)
        if machine.speed_hz is not None:
            away_hz = machine.speed_hz * machine.speed_tolerance
            low_hz, high_hz = machine.speed_hz - away_hz, machine.speed_hz + away_hz
        elif machine.speed_range_hz is not None:
            low_hz, high_hz = machine.speed_range_hz
        else:
            return None
        found = None
        if low_hz * self.count / self.sample_rate_hz >= _FEWEST_TURNS:
            relative = self._background.relative(power[: self.bank.bins])
            found = find_speed(relative, envelope.relative[0], self.bank.resolution_hz, low_hz, high_hz)
        if found is None and machine.speed_hz is not None:
            return ShaftSpeed(hz=machine.speed_hz, uncertainty_hz=away_hz, source=SpeedSource.ASSUMED)
        return found

    def _turns(self, speed: ShaftSpeed) -> float:
        return speed.hz * self.count / self.sample_rate_hz

    def _order_rms(self, velocity: Column, speed: ShaftSpeed | None) -> Column:
        if speed is None or self._turns(speed) < _FEWEST_TURNS:
            return np.full(ORDERS.size, np.nan)
        return self._spectrum.line_rms(velocity, ORDERS * speed.hz)

    def _bearings(self, envelope: EnvelopeSpectra, speed: ShaftSpeed | None) -> tuple[BearingReading, ...]:
        if speed is None:
            return ()
        seen = speed.source is not SpeedSource.ASSUMED
        readings = []
        for bearing in self.machine.bearings:
            if self._turns(speed) * bearing.ftf < FEWEST_CAGE_TURNS or self._too_slow_for(bearing.bpfi * speed.hz):
                return ()
            readings.append(read_bearing(self.bank, envelope, bearing, speed_hz=speed.hz, speed_seen=seen))
        return tuple(readings)

    def _too_slow_for(self, rate_hz: float) -> bool:
        return self.sample_rate_hz / 2 < 8 * rate_hz

    def _envelope_band(self, envelope: EnvelopeSpectra) -> dict[str, float]:
        if np.isnan(envelope.kurtosis).any():
            return {"spectral_kurtosis": math.nan, "envelope_low": math.nan, "envelope_high": math.nan}
        best = int(np.argmax(envelope.kurtosis))
        band = self.bank.bands[best]
        return {
            "spectral_kurtosis": float(envelope.kurtosis[best]),
            "envelope_low": band.low_hz,
            "envelope_high": band.high_hz,
        }

    def _bands(self, acceleration: Column) -> dict[str, float]:
        return {
            _band_name(low_hz, high_hz): self._spectrum.band_rms(acceleration, low_hz, high_hz)
            for low_hz, high_hz in self.machine.bands_hz
        }

    def _wheels(self, acceleration: Column, speed: ShaftSpeed | None) -> dict[str, float]:
        """Of gears and blades, by one look at the spectrum."""
        found = np.full(self._wheel_orders.size, np.nan)
        if speed is not None and self._turns(speed) >= _FEWEST_TURNS:
            found = self._spectrum.line_rms(acceleration, self._wheel_orders * speed.hz)
        gears = len(self.machine.gear_teeth)
        mesh, sides = found[:gears], found[gears : gears * (1 + SIDEBANDS.size)].reshape(gears, SIDEBANDS.size)
        told = {}
        for number in range(gears):
            told[_numbered("gear_mesh", number + 1)] = float(mesh[number])
            told[_numbered("gear_sidebands", number + 1)] = math.hypot(*sides[number].tolist())
        if self.machine.blades is not None:
            told["blade_pass"] = float(found[-1])
        return told

    def _floor(self, acceleration: Column, teeth: int, speed: ShaftSpeed | None) -> float:
        """From the median of the bins around the mesh, which lines hardly move."""
        if speed is None or self._turns(speed) < _FEWEST_TURNS:
            return math.nan
        resolution_hz = self._spectrum.resolution_hz
        low, high = (round((teeth + beside) * speed.hz / resolution_hz) for beside in (-4.5, 4.5))
        around = acceleration[max(low, 1) : high]
        if high >= acceleration.size or not around.size:
            return math.nan
        return math.sqrt(SIDEBANDS.size * (2 * LINE_BINS + 1) * float(np.median(around)) / math.log(2))

    def _bearing_features(self, readings: tuple[BearingReading, ...], quantity: Quantity) -> dict[str, float]:
        found = {}
        for number in range(1, len(self.machine.bearings) + 1):
            for name, part in _PARTS.items():
                family = readings[number - 1].families[part] if readings else None
                found[_numbered(name, number)] = (
                    family.amplitude if family is not None and quantity is Quantity.ACCELERATION else math.nan
                )
                found[_numbered(f"{name}_score", number)] = math.nan if family is None else family.score
        return found


def feature_units(machine: MachineSpec) -> dict[str, str]:
    """Which features there are of a machine, with the unit of each; in a stable order, empty for plain numbers."""
    units = dict(_SCALARS)
    units |= {_band_name(low_hz, high_hz): ACCELERATION_UNIT for low_hz, high_hz in machine.bands_hz}
    if machine.usual_speed_hz is not None:
        units |= _SHAFT
        for number in range(1, len(machine.gear_teeth) + 1):
            units[_numbered("gear_mesh", number)] = ACCELERATION_UNIT
            units[_numbered("gear_sidebands", number)] = ACCELERATION_UNIT
        if machine.blades is not None:
            units["blade_pass"] = ACCELERATION_UNIT
        for number in range(1, len(machine.bearings) + 1):
            units |= {_numbered(name, number): ACCELERATION_UNIT for name in _PARTS}
            units |= {_numbered(f"{name}_score", number): "" for name in _PARTS}
    return units


def features(
    samples: npt.NDArray[np.floating], sample_rate_hz: float, unit: str, machine: MachineSpec
) -> dict[str, tuple[float, str]]:
    """All features of a block: value and unit by name, those of `feature_units`.

    Raises:
        ValueError: fewer than 16 samples, or some are not finite.
        ConfigurationError: the unit is neither of acceleration nor of velocity.
    """
    return _analyser(sample_rate_hz, samples.size, machine).features(samples, unit)


@lru_cache(maxsize=16)
def _analyser(sample_rate_hz: float, count: int, machine: MachineSpec) -> Analyser:
    return Analyser(sample_rate_hz, count, machine)


def _numbered(name: str, number: int) -> str:
    """The first of several has no number, so that another one added later renames nothing."""
    return name if number == 1 else f"{name}_{number}"


def _band_name(low_hz: float, high_hz: float) -> str:
    return f"band_{low_hz:g}_{high_hz:g}hz"


def _scalars(values: Column, straight: Column, quantity: Quantity) -> dict[str, float]:
    """Of the block as it is: kurtosis is Pearson's, 3 for Gaussian noise."""
    square = straight * straight
    mean = float(square.mean())
    rms = math.sqrt(mean)
    high, low = float(straight.max()), float(straight.min())
    peak = max(high, -low)
    # Of numbers with a fixed step some share the largest value by chance; cut off ones come in numbers.
    ends = np.count_nonzero(values == values.max()) + np.count_nonzero(values == values.min())
    acceleration = quantity is Quantity.ACCELERATION
    return {
        "acceleration_rms": rms if acceleration else math.nan,
        "peak": peak if acceleration else math.nan,
        "peak_to_peak": high - low if acceleration else math.nan,
        "crest_factor": peak / rms if rms else math.nan,
        "kurtosis": product_sum(square, square) / values.size / mean**2 if mean else math.nan,
        "skewness": product_sum(square, straight) / values.size / mean**1.5 if mean else math.nan,
        "clipping": (ends - 2) / values.size if mean else math.nan,
    }


def _shaft(speed: ShaftSpeed | None, order_rms: Column) -> dict[str, float]:
    known = speed is not None and speed.source is not SpeedSource.ASSUMED
    upper = order_rms[_UPPER]
    halves = order_rms[_HALVES]
    return {
        "shaft_speed": speed.hz if speed is not None and known else math.nan,
        "shaft_speed_uncertainty": speed.uncertainty_hz if speed is not None else math.nan,
        "half_x": float(order_rms[0]),
        "one_x": float(order_rms[_ONE]),
        "two_x": float(order_rms[_TWO]),
        "half_orders": math.sqrt(float(halves @ halves)),
        "harmonics": math.sqrt(float(upper @ upper)),
    }
