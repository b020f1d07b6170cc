"""Samples of a waveform as bytes and back: float32, lossless, compressed, checked.

Two layouts, both in byte planes (the first bytes of all numbers, then the second bytes, ...) with Zstandard over each
plane, because planes differ in what is frequent in them:

- *grid*: a converter measures whole steps, so its samples are `step * k` with small integers k. These are kept as
  int16, with what the product lacks to the very bits of each sample, which is next to nothing.
- *floats*: anything else.

Times smaller than plain float32, on recorded vibration (CWRU 12 kHz, FEMTO 25.6 kHz in blocks of 0.1 s, MFPT 48.8 kHz;
the last one, and FEMTO's loudest blocks, are on no 16-bit grid):

    ==========================================  =====  =====  =====
    zlib                                        1.72   1.44   1.08
    Zstandard                                   1.69   1.28   1.07
    byte planes and Zstandard                   1.21   1.13   1.17
    the same of differences of bits             1.18   1.10   1.15
    this                                        2.68   2.36   1.18
    ==========================================  =====  =====  =====

What is left is noise: the steps of CWRU's samples have 10.4 to 12.5 bits of entropy, FEMTO's 10. Differences of steps
are no smaller, and higher levels of Zstandard gain less than 1 %.
"""

import struct
import zlib
from enum import IntEnum
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from telemetry.errors import StateError

__all__ = ["MAX_SAMPLES", "Samples", "decode_samples", "encode_samples"]

Samples = npt.NDArray[np.float32]
_Number = TypeVar("_Number", bound=np.generic)

MAX_SAMPLES = 4 * 2**20
"""in one block: 16 MiB"""

# Magic, version, layout, number of samples, step; then the CRC-32 of these and of the samples themselves, so that no
# damage and no mistake of a decoder passes; then the compressed planes.
_HEADER = struct.Struct("<2sBBId")
_CRC = struct.Struct("<I")
_MAGIC, _VERSION = b"PW", 1
_INT16, _UINT32 = np.dtype(np.int16).newbyteorder("<"), np.dtype(np.uint32).newbyteorder("<")
_ZSTD = pa.Codec("zstd", compression_level=1)

_PROBED = 8192
"""samples that a step is sought in"""
_MAX_STEPS = np.iinfo(np.int16).max
_MAX_MISSES = 1 / 16
"""share of samples that the nearest step may miss; beyond it a grid is no gain"""


class _Layout(IntEnum):
    FLOATS = 0
    GRID = 1


def encode_samples(samples: Samples) -> bytes:
    """Finite float32 samples as a body for `decode_samples`.

    Equal samples need not give equal bodies in all versions of the compressor: compare samples, not bodies.
    """
    layout, step, planes = _on_grid(samples) or (_Layout.FLOATS, 0.0, _planes(samples.view(np.uint32)))
    header = _HEADER.pack(_MAGIC, _VERSION, layout, samples.size, step)
    frames = (_ZSTD.compress(plane, asbytes=True) for plane in planes)
    return b"".join((header, _CRC.pack(_checksum(header, samples)), *frames))


def decode_samples(body: bytes) -> Samples:
    """The samples, bit for bit as they were encoded; read-only.

    Raises:
        StateError: the body is damaged, or of a version this program does not know.
    """
    header, start = body[: _HEADER.size], _HEADER.size + _CRC.size
    if len(body) < start or not body.startswith(_MAGIC):
        raise StateError("the body is damaged: it does not begin as a body of samples does")
    _, version, layout, count, step = _HEADER.unpack(header)
    if version != _VERSION:
        raise StateError(f"the body is of version {version}, this program reads version {_VERSION}: it needs an update")
    if layout not in set(_Layout) or not 0 < count <= MAX_SAMPLES:
        raise StateError(f"the body is damaged: it claims layout {layout} and {count} samples")
    try:
        samples = _unpacked(body[start:], _Layout(layout), count, step)
    except (OSError, ValueError) as error:
        raise StateError(f"the body is damaged: {error}") from error
    if (_checksum(header, samples),) != _CRC.unpack_from(body, _HEADER.size):
        raise StateError("the body is damaged: its checksum is wrong")
    samples.flags.writeable = False
    return samples


def _checksum(header: bytes, samples: Samples) -> int:
    return zlib.crc32(samples.astype("<f4", copy=False).tobytes(), zlib.crc32(header))


def _unpacked(packed: bytes, layout: _Layout, count: int, step: float) -> Samples:
    # One Zstandard frame a plane; frames in a row decompress as one.
    if layout == _Layout.FLOATS:
        planes = _ZSTD.decompress(packed, decompressed_size=4 * count, asbytes=True)
        return _numbers(planes, _UINT32).view(np.float32)
    planes = _ZSTD.decompress(packed, decompressed_size=(2 + 4) * count, asbytes=True)
    steps, lacking = _numbers(planes[: 2 * count], _INT16), _numbers(planes[2 * count :], _UINT32)
    return (_bits_at(steps, step) + lacking).view(np.float32)


def _find_step(samples: Samples) -> float | None:
    """The step of the converter, if the samples may be whole multiples of one."""
    sizes = np.unique(np.abs(samples[:: 1 + samples.size // _PROBED])).astype(np.float64)
    if sizes.size < 2:
        return None
    # Large samples are rounded to float32 more coarsely than small ones: begin with the small ones, where the smallest
    # difference is good enough to count steps, and make it finer with each doubling.
    step, steps = float(np.diff(sizes).min()), 16
    if float(np.abs(samples).max()) > _MAX_STEPS * step * (1 + 1 / 16):
        return None
    while True:
        near = sizes[: int(np.searchsorted(sizes, steps * step, "right"))]
        numbers = np.rint(near / step)
        if numbers.any():
            step = float(numbers @ near / (numbers @ numbers))
        if near.size == sizes.size:
            return step
        steps *= 2


def _on_grid(samples: Samples) -> tuple[_Layout, float, list[bytes]] | None:
    """Step and planes of samples that are multiples of a step; None: they are not, or need more than 16 bits."""
    step = _find_step(samples)
    if step is None:
        return None
    numbers = np.rint(samples / np.float64(step))
    if np.abs(numbers).max() > _MAX_STEPS:
        return None
    steps = numbers.astype(np.int16)
    # Differences of bits, which wrap and lose nothing: also a -0.0 comes back.
    lacking = samples.view(np.uint32) - _bits_at(steps, step)
    if np.count_nonzero(lacking) > _MAX_MISSES * samples.size:
        return None
    return _Layout.GRID, step, [*_planes(steps), b"".join(_planes(lacking))]


def _bits_at(steps: npt.NDArray[np.int16], step: float) -> npt.NDArray[np.uint32]:
    # The largest float32 may be a product that rounds to infinity: its bits are as good as any to count from. A
    # damaged step may be anything.
    with np.errstate(over="ignore", invalid="ignore"):
        return (steps * np.float64(step)).astype(np.float32).view(np.uint32)


def _planes(numbers: npt.NDArray[np.int16] | npt.NDArray[np.uint32]) -> list[bytes]:
    little = numbers.astype(numbers.dtype.newbyteorder("<"), copy=False)
    return [plane.tobytes() for plane in little.view(np.uint8).reshape(-1, numbers.itemsize).T]


def _numbers(planes: bytes, kind: np.dtype[_Number]) -> npt.NDArray[_Number]:
    columns = np.frombuffer(planes, np.uint8).reshape(kind.itemsize, -1)
    return np.ascontiguousarray(columns.T).reshape(-1).view(kind).astype(kind.newbyteorder("="), copy=False)
