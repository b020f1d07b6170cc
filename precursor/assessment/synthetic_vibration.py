"""Bearing signals made up from first principles: trains of blows with slip that make a structure ring, in noise."""

import math

import numpy as np
import numpy.typing as npt
import scipy.signal

from models.vibration.bearings import Bearing

__all__ = ["bearing_signal"]

_SLIP = 0.01
_DAMPING = 0.03


def bearing_signal(
    random: np.random.Generator,
    part: str | None,
    bearing: Bearing,
    *,
    speed_hz: float,
    sample_rate_hz: float,
    seconds: float,
    snr_db: float,
) -> npt.NDArray[np.float64]:
    """One block, in sigmas of its noise.

    The model of McFadden and Smith (1984) with the random slip of Antoni and Randall (2003): blows at the rate of the
    part, each interval 1 % off at random, the mean rate up to 1 % off; their force follows the load zone (once a turn
    for the inner ring, once a turn of the cage for a ball); each makes a resonance anywhere between 1/12 and 1/3 of
    the sample rate ring. White noise over it.

    Args:
        part: outer, inner or ball; None: noise alone.
        snr_db: power of the ringing over that of the noise, over the whole band.
    """
    count = round(sample_rate_hz * seconds)
    noise = random.standard_normal(count)
    if part is None:
        return noise
    order = {"outer": bearing.bpfo, "inner": bearing.bpfi, "ball": 2 * bearing.bsf}[part]
    rate_hz = order * speed_hz * (1 + random.uniform(-0.01, 0.01))
    blows = int(rate_hz * seconds) + 2
    at_s = np.cumsum((1 + _SLIP * random.standard_normal(blows)) / rate_hz) + random.uniform(-1, 0) / rate_hz
    at_s = at_s[(at_s >= 0) & (at_s < seconds - 2 / sample_rate_hz)]
    force = 1 + 0.1 * random.standard_normal(at_s.size)
    if part != "outer":
        turns_hz = speed_hz if part == "inner" else bearing.ftf * speed_hz
        force *= np.maximum(0.3 + 0.7 * np.cos(math.tau * turns_hz * at_s + random.uniform(0, math.tau)), 0.05)
    if part == "ball":
        force[1::2] *= 0.7
    place = at_s * sample_rate_hz
    first = place.astype(np.int64)
    train = np.zeros(count)
    np.add.at(train, first, force * (1 - (place - first)))
    np.add.at(train, first + 1, force * (place - first))
    resonance = math.tau * random.uniform(1 / 12, 1 / 3)
    radius = math.exp(-_DAMPING * resonance)
    ringing = scipy.signal.lfilter([1.0, -1.0], [1.0, -2 * radius * math.cos(resonance), radius**2], train)
    return np.asarray(ringing / ringing.std() * 10 ** (snr_db / 20) + noise)
