"""One waveform to all its features; beside it the bare Fourier transform of the same samples."""

import numpy as np
import scipy.fft

from models.vibration.analyser import Analyser
from models.vibration.bearings import bearing
from models.vibration.machine import MachineSpec
from precursor.bench.report import LossError, Result
from precursor.bench.rounds import Watch, take_turns

__all__ = ["WAVEFORM_STEPS", "measure_waveform"]

WAVEFORM_STEPS = 1
"""how often `measure_waveform` calls `watch`"""

_RATE_HZ = 25_600.0
_COUNT = 25_600
_A_ROUND = 5
"""waveforms: a single one is done before a clock has warmed up"""
_MACHINE = MachineSpec(speed_hz=29.95, bearings=(bearing("6205-2RS JEM SKF"),), gear_teeth=(23,), blades=6)


async def measure_waveform(*, rounds: int, watch: Watch) -> list[Result]:
    """`detect.waveform`: ms for one second at 25.6 kHz, of a machine with a bearing, a gear and a fan.

    Raises:
        LossError: the shaft that is in the waveform was not found in it.
    """
    random = np.random.default_rng(7)
    time = np.arange(_COUNT) / _RATE_HZ
    shaft = sum(np.sin(2 * np.pi * order * 29.9 * time) / order for order in (1, 2, 3))
    samples = (shaft + random.standard_normal(_COUNT)).astype(np.float32)
    analyser = Analyser(_RATE_HZ, _COUNT, _MACHINE)

    async def analyse(_number: int) -> None:
        for _ in range(_A_ROUND):
            found = analyser.features(samples, "g_0")
        speed_hz, _unit = found["shaft_speed"]
        if not abs(speed_hz - 29.9) < 0.1:
            raise LossError(f"detect.waveform: a shaft at 29.9 Hz was taken for one at {speed_hz:g} Hz")

    async def transform(_number: int) -> None:
        for _ in range(_A_ROUND):
            scipy.fft.rfft(samples)

    watch(f"detect.waveform: {rounds} rounds")
    took_s = await take_turns({"features": analyse, "transform": transform}, rounds)
    return [
        Result(
            name="detect.waveform",
            value=took_s["features"] / _A_ROUND * 1000,
            limit=took_s["transform"] / _A_ROUND * 1000,
        )
    ]
