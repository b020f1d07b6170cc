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

from models.vibration.spectrum import LINE_BINS, Background, Spectra

__all__ = ["Band", "EnvelopeBank", "EnvelopeSpectra"]

Column = npt.NDArray[np.float64]

LEVELS = 4
"""of halving: 1, 2, 4 and 8 bands"""
NARROWEST = 6.0
"""width of the narrowest band over the rate of the fastest blows: their harmonics have to fit into the envelope"""
TONE = 5.0
"""amplitude, in those of its surroundings, above which a line of the spectrum is a tone and is cut down to it"""


_LOBE_BINS = LINE_BINS + 1
"""either side of a line that are cut down with it, one more than its energy is spread over"""
_ROUNDING = 1e-12
"""of the power of the strongest line: sums along the spectrum are no better"""
_WINDOW_SQUARE, _WINDOW_FOURTH = 3 / 8, 35 / 128
"""means of powers of the Hann window"""


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
    relative: Spectra
    """(bands, bins): the same over its local background, 1 on average and exponential for noise; 0 in the first bins"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Level:
    """Bands of one width, side by side over the whole spectrum."""

    number: int
    width: int
    """bins of the spectrum"""
    window: npt.NDArray[np.float32]
    """(points,), square of the Hann window that the block was seen through, at the envelope's samples"""


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
        self.bins = min(math.ceil(highest_hz / self.resolution_hz) + 1, half)
        self._tone_bins = max(3, round(4 * background_hz / self.resolution_hz)) | 1
        self._levels: list[_Level] = []
        self.bands: list[Band] = []
        for level in range(LEVELS):
            number, width = 1 << level, half >> level
            if level and width * self.resolution_hz < NARROWEST * fastest_hz:
                break
            # The square of a band is twice as wide as the band; so much longer, it folds only above the lines wanted.
            points = scipy.fft.next_fast_len(width + self.bins, real=True)
            window = (0.5 - 0.5 * np.cos(math.tau * np.arange(points) / points)) ** 2
            self._levels.append(_Level(number=number, width=width, window=window.astype(np.float32)))
            self.bands.extend(
                Band(low_hz=place * width * self.resolution_hz, high_hz=(place + 1) * width * self.resolution_hz)
                for place in range(number)
            )
        self._count = count
        self._background = Background(self.bins, round(background_hz / self.resolution_hz))

    def spectra(self, transform: npt.NDArray[np.complex128]) -> EnvelopeSpectra:
        """Of one block.

        Args:
            transform: of the block, its mean and trend taken out, as `PowerSpectrum.transform` makes it. Its window
                keeps the lines of shaft and gears, far stronger than those of bearings, from spilling over them.
        """
        square = transform.real**2 + transform.imag**2
        # Half of it is half the sum over all bins (Parseval).
        scale = math.sqrt(2 * float(square.sum()) / _WINDOW_SQUARE) / self._count
        if scale == 0:
            silence = np.zeros((len(self.bands), self.bins))
            return EnvelopeSpectra(kurtosis=np.full(len(self.bands), np.nan), power=silence, relative=silence)
        # In single precision, of the size of one: half the time, and nothing here is known to six digits.
        lines = (self._without_tones(transform, square) * (2 / (self._count * scale))).astype(np.complex64)
        power = np.zeros((len(self.bands), self.bins), np.float32)
        moments = np.empty((2, len(self.bands)))
        row = 0
        for level in self._levels:
            rows = slice(row, row + level.number)
            self._level(level, lines, power[rows], moments[:, rows])
            row += level.number
        second, fourth = moments
        return EnvelopeSpectra(
            kurtosis=np.divide(fourth, second**2, out=np.full(second.size, np.nan), where=second > 0) - 2,
            power=power.astype(np.float64) * scale**4,
            relative=self._background.relative(power),
        )

    def _level(
        self, level: _Level, lines: npt.NDArray[np.complex64], power: npt.NDArray[np.float32], moments: Column
    ) -> None:
        """Puts the spectra of the bands of one width into `power`, means of |e|² and |e|^4 into `moments`."""
        points = level.window.size
        bands = lines[1 : 1 + level.number * level.width].reshape(level.number, level.width)
        analytic = scipy.fft.ifft(bands, points, norm="forward")
        squared: npt.NDArray[np.float32] = analytic.real**2
        squared += analytic.imag**2
        mean = np.einsum("bp->b", squared) / np.float32(_WINDOW_SQUARE * points)
        moments[0] = mean
        moments[1] = np.einsum("bp,bp->b", squared, squared) / np.float32(_WINDOW_FOURTH * points)
        # What does not vary is the window itself.
        squared -= mean[:, None] * level.window
        found = scipy.fft.rfft(squared)[:, : self.bins] * np.float32(2 / (_WINDOW_SQUARE * points))
        into = power[:, : found.shape[1]]
        np.square(found.real, out=into)
        into += found.imag**2

    def pool(self, several: Sequence[EnvelopeSpectra]) -> EnvelopeSpectra:
        """The spectra of several blocks of one machine in one state as one: their mean, judged as such.

        What is weak but always there stands out of it; a speed that differs a little between blocks does no harm.
        Blocks may overlap by half: their windows leave them next to nothing in common (Welch 1967).
        """
        power = np.mean([each.power for each in several], axis=0)
        return EnvelopeSpectra(
            kurtosis=np.mean([each.kurtosis for each in several], axis=0),
            power=power,
            relative=self._background.relative(power, len(several)),
        )

    def _without_tones(self, transform: npt.NDArray[np.complex128], square: Column) -> npt.NDArray[np.complex128]:
        """Lines that stand far out of their surroundings, cut down; a step towards cepstrum pre-whitening.

        All bins of a line by the same factor: what is cut out of its shape would beat with the rest of it, and be
        lines of the envelope that the machine does not have.
        """
        usual = scipy.ndimage.uniform_filter1d(square, self._tone_bins, mode="nearest")
        usual = scipy.ndimage.uniform_filter1d(np.minimum(square, 3 * usual), self._tone_bins, mode="nearest")
        limit = TONE**2 * np.maximum(usual, _ROUNDING * square.max())
        over = np.flatnonzero(square > limit)
        factor = np.sqrt(limit[over] / square[over])
        gain = np.ones(square.size + 2 * _LOBE_BINS)
        for place in range(2 * _LOBE_BINS + 1):
            gain[over + place] = np.minimum(gain[over + place], factor)
        return transform * gain[_LOBE_BINS:-_LOBE_BINS]
