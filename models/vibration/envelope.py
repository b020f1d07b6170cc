"""Envelope spectra of several bands at once, and the spectral kurtosis that says which bands ring.

Faults of bearings strike: each blow makes the structure ring at its resonances, far above the rate of the blows. The
squared envelope of a band around a resonance follows the blows, and its spectrum has a line at their rate (McFadden
and Smith 1984; Randall and Antoni 2011, section 3). Which resonance rings is not known beforehand, so that a tree of
bands is looked at, halved level by level as in the fast kurtogram (Antoni 2007).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.ndimage
import scipy.signal

from models.vibration.spectrum import Background, product_sum

__all__ = ["Band", "EnvelopeBank", "EnvelopeSpectra"]

Column = npt.NDArray[np.float64]
Transform = npt.NDArray[np.complexfloating]

LEVELS = 4
"""of halving: 1, 2, 4 and 8 bands"""
NARROWEST = 6.0
"""width of the narrowest band over the rate of the fastest blows: their harmonics have to fit into the envelope"""
TAPER = 0.5
"""share of an envelope that the window fades in and out: lines of the shaft are kept from spilling over a bearing's"""
TONE = 5.0
"""amplitude, in those of its surroundings, above which a line of the spectrum is a tone and is cut down to it"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A band of frequencies."""

    low_hz: float
    high_hz: float

    @property
    def width_hz(self) -> float:
        """From its lower to its upper end."""
        return self.high_hz - self.low_hz


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EnvelopeSpectra:
    """Squared-envelope spectra of all bands of a block."""

    kurtosis: Column
    """spectral kurtosis of each band: mean |e|^4 / (mean |e|²)² - 2; 0 for Gaussian noise (Antoni 2006)"""
    power: Column
    """(bands, bins): square of each line of the squared envelope, in the unit of the samples to the fourth"""
    relative: Column
    """(bands, bins): the same over its local background, 1 on average and exponential for noise; 0 in the first bins"""


class EnvelopeBank:
    """Makes envelope spectra of blocks of one length.

    Args:
        sample_rate_hz, count: of the blocks.
        fastest_hz: the highest rate of blows that is looked for.
        highest_hz: up to which the spectra of envelopes are wanted.
        background_hz: over how much of a spectrum its background is taken.
    """

    def __init__(
        self, sample_rate_hz: float, count: int, *, fastest_hz: float, highest_hz: float, background_hz: float
    ) -> None:
        self.resolution_hz = sample_rate_hz / count
        half = count // 2
        self._tone_bins = max(3, round(4 * background_hz / self.resolution_hz)) | 1
        self._slices: list[tuple[int, int]] = []
        self.bands: list[Band] = []
        for level in range(LEVELS):
            width = half >> level
            if level and width * self.resolution_hz < NARROWEST * fastest_hz:
                break
            for place in range(1 << level):
                first = 1 + place * width
                self._slices.append((first, min(first + width, half + 1)))
                self.bands.append(
                    Band(low_hz=place * width * self.resolution_hz, high_hz=(place + 1) * width * self.resolution_hz)
                )
        self.bins = min(math.ceil(highest_hz / self.resolution_hz) + 1, half)
        self._count = count
        self._background = Background(self.bins, round(background_hz / self.resolution_hz))

        # The square of a band is twice as wide as the band; so much longer, it folds only above the lines wanted.
        self._points = [scipy.fft.next_fast_len(last - first + self.bins) for first, last in self._slices]
        # Without a window the lines of the shaft would spill over those of bearings.
        self._windows = {
            size: scipy.signal.windows.tukey(size, TAPER, sym=False).astype(np.float32) for size in set(self._points)
        }

    def spectra(self, straight: Column) -> EnvelopeSpectra:
        """Of one block, its mean and trend taken out."""
        scale = math.sqrt(product_sum(straight, straight) / straight.size)
        if scale == 0:
            silence = np.zeros((len(self.bands), self.bins))
            return EnvelopeSpectra(kurtosis=np.full(len(self.bands), np.nan), power=silence, relative=silence)
        # In single precision, of the size of one: half the time, and nothing here is known to six digits.
        whole: Transform = scipy.fft.rfft((straight / scale).astype(np.float32))
        transform = self._without_tones(whole) * np.float32(2 / self._count)
        power = np.zeros((len(self.bands), self.bins))
        kurtosis = np.empty(len(self.bands))
        for row, (first, last) in enumerate(self._slices):
            points = self._points[row]
            analytic = scipy.fft.ifft(transform[first:last], points, norm="forward")
            squared = analytic.real**2 + analytic.imag**2
            mean = squared.mean()
            kurtosis[row] = product_sum(squared, squared) / points / float(mean) ** 2 - 2 if mean > 0 else math.nan
            lines = scipy.fft.rfft((squared - mean) * self._windows[points])[: self.bins]
            power[row, : lines.size] = (lines.real**2 + lines.imag**2) * (2 / (1 - TAPER / 2) / points) ** 2
        power *= scale**4
        return EnvelopeSpectra(kurtosis=kurtosis, power=power, relative=self._background.relative(power))

    def pool(self, several: Sequence[EnvelopeSpectra]) -> EnvelopeSpectra:
        """The spectra of several blocks of one machine in one state as one: their mean, judged as such.

        What is weak but always there stands out of it; a speed that differs a little between blocks does no harm.
        """
        power = np.mean([each.power for each in several], axis=0)
        return EnvelopeSpectra(
            kurtosis=np.mean([each.kurtosis for each in several], axis=0),
            power=power,
            relative=self._background.relative(power, len(several)),
        )

    def _without_tones(self, transform: Transform) -> Transform:
        """Lines that stand far out of their surroundings, cut down; a step towards cepstrum pre-whitening."""
        power = transform.real**2 + transform.imag**2
        usual = scipy.ndimage.uniform_filter1d(power, self._tone_bins, mode="nearest")
        usual = scipy.ndimage.uniform_filter1d(np.minimum(power, 3 * usual), self._tone_bins, mode="nearest")
        limit = TONE**2 * usual
        over = np.flatnonzero(power > limit)
        transform[over] *= np.sqrt(limit[over] / power[over])
        return transform
