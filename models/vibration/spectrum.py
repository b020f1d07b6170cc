"""Spectra of vibration: power by frequency, velocity from acceleration, the size of single lines."""

import math

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.special

from models.vibration.quantities import Quantity, in_si

__all__ = ["FEWEST_PERIODS", "LINE_BINS", "Background", "PowerSpectrum", "Spectra", "product_sum", "velocity_rms"]

Column = npt.NDArray[np.float64]
Spectra = npt.NDArray[np.floating]
Transform = npt.NDArray[np.complex128]

FEWEST_PERIODS = 5.0
"""of the lowest frequency of a band that a block must hold for the band to be measured"""
LINE_BINS = 2
"""either side of a line that its energy is spread over by the Hann window"""

_LINE = np.arange(-LINE_BINS, LINE_BINS + 1)
_RAREST = 1e-300
_LOBE_VARIANCE = 1 / 3
"""in bins²: how far the Hann window spreads the power of a line, wherever it lies between the bins"""


def product_sum(one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> float:
    """Sum of products of two rows. Not by BLAS, which wakes threads for a row of this length and waits for them."""
    return float(np.einsum("i,i->", one, other))


class PowerSpectrum:
    """Makes spectra of blocks of one length: Hann-windowed, the straight line through the samples taken out first.

    The sum of `power` over the bins around a line is its mean square, wherever it lies between two bins (Parseval;
    Harris 1978, table I): nothing here depends on lines being centred on bins.
    """

    def __init__(self, sample_rate_hz: float, count: int) -> None:
        self.resolution_hz = sample_rate_hz / count
        self.frequency_hz: Column = np.arange(count // 2 + 1, dtype=np.float64) * self.resolution_hz
        self._time = np.arange(count) - (count - 1) / 2
        self._inertia = product_sum(self._time, self._time)
        # Periodic, not symmetric: its transform is exactly zero from two bins on.
        self._window = 0.5 - 0.5 * np.cos(math.tau * np.arange(count) / count)
        self._scale = 2.0 / (count * product_sum(self._window, self._window)) if count > 1 else 0.0
        bins = np.maximum(np.arange(count // 2 + 1), 1)
        # A line spread over bins k with weights 1/k² comes out larger than with 1/k0² at its true place, by
        # 3 sigma²/k0²: the curvature of 1/k² times the variance of the spread.
        spread = np.clip(1 - 3 * _LOBE_VARIANCE / bins**2, 0.0, None)
        self._to_velocity = spread / (math.tau * bins * self.resolution_hz) ** 2 * 1e6
        self._to_velocity[0] = 0.0
        self._from_velocity = (math.tau * self.frequency_hz) ** 2

    def straighten(self, samples: Column) -> Column:
        """The samples without their mean and their trend."""
        level = samples - samples.mean()
        slope = product_sum(self._time, level) / self._inertia if self._inertia else 0.0
        straight: Column = level - slope * self._time
        return straight

    def transform(self, straight: Column) -> Transform:
        """Of samples as `straighten` leaves them, Hann-windowed."""
        transform: Transform = scipy.fft.rfft(straight * self._window)
        return transform

    def power(self, transform: Transform) -> Column:
        """Mean square by bin, one-sided, in the square of the unit of the samples."""
        power: Column = transform.real**2
        power += transform.imag**2
        power *= self._scale
        return power

    def velocity_power(self, power: Column, quantity: Quantity) -> Column:
        """Mean square of the velocity by bin, (mm/s)²: V(f) = A(f) / (2 pi j f) for samples that are accelerations.

        Args:
            power: of samples in m/s² or m/s.
            quantity: which of them.
        """
        return power * (self._to_velocity if quantity is Quantity.ACCELERATION else 1e6)

    def acceleration_power(self, power: Column, quantity: Quantity) -> Column:
        """Mean square of the acceleration by bin, (m/s²)²."""
        return power if quantity is Quantity.ACCELERATION else power * self._from_velocity

    def band_rms(self, power: Column, low_hz: float, high_hz: float) -> float:
        """Root of the power from one frequency to another, both included; NaN where they are not resolved.

        A line on an edge of the band counts whole: the edges are as sharp as the resolution is.
        """
        if low_hz < FEWEST_PERIODS * self.resolution_hz or high_hz > self.frequency_hz[-1] or high_hz < low_hz:
            return math.nan
        first = math.ceil(low_hz / self.resolution_hz - LINE_BINS - 1e-9)
        last = math.floor(high_hz / self.resolution_hz + LINE_BINS + 1e-9)
        return math.sqrt(float(power[first : last + 1].sum()))

    def line_rms(self, power: Column, frequency_hz: Column) -> Column:
        """RMS of the lines at these frequencies, noise under them included; NaN beyond the spectrum."""
        middle = np.rint(np.asarray(frequency_hz) / self.resolution_hz).astype(np.int64)
        inside = (middle > LINE_BINS) & (middle + LINE_BINS < power.size)
        around = np.where(inside, middle, LINE_BINS)[..., None] + _LINE
        return np.where(inside, np.sqrt(power[around].sum(axis=-1)), np.nan)


class Background:
    """What is usual around each bin of a spectrum: medians of blocks, and straight lines between them.

    Args:
        bins: of the spectra, from the first one on.
        block: bins a median is taken of; 9 at least.
    """

    def __init__(self, bins: int, block: int) -> None:
        size = min(max(block, 8) | 1, bins)
        begins = np.linspace(0, bins - size, max(1, round(bins / size))).astype(np.int64)
        self._blocks = begins[:, None] + np.arange(size)
        self._middle = size // 2
        centres = begins + (size - 1) / 2
        # A straight line is the sum of what each median has a share in: one row a median.
        self._shares = np.array([np.interp(np.arange(bins), centres, one) for one in np.eye(centres.size)], np.float32)

    def relative(self, power: Spectra, averaged: int = 1) -> Spectra:
        """Power over its background, so that where there is noise only it is exponentially distributed with mean 1.

        Power of noise is a Gamma variable of as many degrees as spectra were averaged, and the median its measure:
        lines hardly move it. Averaged power is brought to the exponential of the same probability. Where the
        background is nothing, so is this.

        Args:
            power: (..., bins), single precision is enough.
            averaged: spectra it is the mean of.
        """
        medians = np.sort(power[..., self._blocks], axis=-1)[..., self._middle]
        medians = medians / scipy.special.gammaincinv(averaged, 0.5) * averaged
        usual = np.einsum("...m,mb->...b", medians.astype(power.dtype), self._shares)
        over: Spectra = np.divide(power, usual, out=np.zeros_like(power), where=usual > 0)
        if averaged > 1:
            over = -np.log(np.maximum(scipy.special.gammaincc(averaged, averaged * over), _RAREST))
        return over


def velocity_rms(
    samples: npt.NDArray[np.floating],
    sample_rate_hz: float,
    unit: str,
    *,
    low_hz: float = 10.0,
    high_hz: float = 1000.0,
) -> float:
    """RMS velocity in mm/s, the severity of vibration by ISO 20816-1: 10 to 1000 Hz, 2 to 1000 Hz below 600 rpm.

    Args:
        samples: one row, finite; acceleration or velocity.
        sample_rate_hz: at least twice `high_hz`.
        unit: of the samples.
        low_hz, high_hz: the band.

    Returns:
        NaN where the samples do not hold `FEWEST_PERIODS` of `low_hz`, or are too slow for `high_hz`.

    Raises:
        ConfigurationError: the unit is neither of acceleration nor of velocity.
    """
    values, quantity = in_si(samples, unit)
    spectrum = PowerSpectrum(sample_rate_hz, values.size)
    power = spectrum.power(spectrum.transform(spectrum.straighten(values)))
    return spectrum.band_rms(spectrum.velocity_power(power, quantity), low_hz, high_hz)
