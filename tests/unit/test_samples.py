"""Samples of waveforms as bytes and back."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from telemetry.errors import StateError
from telemetry.samples import MAX_SAMPLES, Samples, decode_samples, encode_samples

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
LARGEST = float(np.finfo(np.float32).max)
SMALLEST = float(np.finfo(np.float32).smallest_subnormal)


def bits(samples: Samples) -> list[int]:
    found: list[int] = samples.view(np.uint32).tolist()
    return found


def assert_round_trip(samples: Samples) -> bytes:
    body = encode_samples(samples)
    decoded = decode_samples(body)
    assert decoded.dtype == np.float32
    assert bits(decoded) == bits(samples)
    return body


@given(samples=hnp.arrays(np.float32, st.integers(1, 300), elements=FINITE))
def test_any_finite_samples_come_back_bit_for_bit(samples: Samples) -> None:
    assert_round_trip(samples)


@given(
    count=st.integers(1, 100_000),
    step=st.floats(SMALLEST, LARGEST / 2**16),
    reach=st.integers(1, 2**16),
    noise=st.sampled_from([0.0, 1e-7, 1e-3, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_long_blocks_on_any_grid_or_near_it_come_back_bit_for_bit(
    count: int, step: float, reach: int, noise: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    steps = random.integers(-reach, reach, count, endpoint=True) * (1 + noise * random.standard_normal(count))
    largest = np.nextafter(np.float32(LARGEST), np.float32(0))
    assert_round_trip(np.clip(steps * step, -largest, largest).astype(np.float32))


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([0.0], id="one zero"),
        pytest.param([-0.0], id="one negative zero"),
        pytest.param([0.0, -0.0] * 40 + [1.0, 2.0, 3.0] * 20, id="negative zeros on a grid"),
        pytest.param([SMALLEST, -SMALLEST, 0.0, 3 * SMALLEST] * 50, id="subnormal"),
        pytest.param([LARGEST, -LARGEST], id="largest"),
        pytest.param([k * (LARGEST / 32767) for k in range(-32767, 32768, 7)], id="a grid that reaches the largest"),
        pytest.param([LARGEST, SMALLEST], id="largest and smallest"),
        pytest.param([7.25] * 1000, id="constant"),
    ],
)
def test_samples_at_the_edges_of_float32_come_back_bit_for_bit(values: list[float]) -> None:
    assert_round_trip(np.array(values, np.float64).astype(np.float32))


def test_the_largest_block_comes_back_bit_for_bit() -> None:
    random = np.random.default_rng(1)
    assert_round_trip(random.standard_normal(MAX_SAMPLES, np.float32))


def damage(body: bytes, position: int, flipped: int) -> bytes:
    return body[:position] + bytes([body[position] ^ flipped]) + body[position + 1 :]


GRID = (np.random.default_rng(2).integers(-900, 900, 200) * 0.001).astype(np.float32)
FLOATS = np.random.default_rng(3).standard_normal(200).astype(np.float32)


@pytest.mark.parametrize("samples", [pytest.param(GRID, id="grid"), pytest.param(FLOATS, id="floats")])
def test_a_flipped_byte_gives_an_error_or_the_same_samples_and_never_others(samples: Samples) -> None:
    body = encode_samples(samples)
    refused = 0
    for position in range(len(body)):
        for flipped in (0x01, 0x80, 0xFF):
            try:
                found = decode_samples(damage(body, position, flipped))
            except StateError:
                refused += 1
            else:
                assert bits(found) == bits(samples)
    assert refused > 2.9 * len(body)


@given(keep=st.integers(0, 10_000), more=st.binary(max_size=8))
def test_a_body_that_was_cut_or_continued_gives_an_error_or_the_same_samples(keep: int, more: bytes) -> None:
    body = encode_samples(GRID)
    other = body[: keep % len(body)] + more
    try:
        found = decode_samples(other)
    except StateError:
        return
    assert bits(found) == bits(GRID)


@given(body=st.binary(max_size=200))
def test_foreign_bytes_are_an_error(body: bytes) -> None:
    with pytest.raises(StateError, match="damaged"):
        decode_samples(body)


def test_a_body_of_a_later_version_says_that_the_program_is_too_old() -> None:
    with pytest.raises(StateError, match=r"version 2.*needs an update"):
        decode_samples(damage(encode_samples(GRID), 2, 1 ^ 2))


def test_decoded_samples_cannot_be_changed() -> None:
    for samples in (GRID, FLOATS):
        with pytest.raises(ValueError, match="read-only"):
            decode_samples(encode_samples(samples))[0] = 1


def _recorded(folder: Path, pattern: str) -> list[npt.NDArray[np.float32]]:
    blocks = []
    for file in sorted((folder / "waveforms").glob(pattern)):
        with np.load(file) as arrays:
            found = [arrays[name] for name in arrays.files if arrays[name].dtype == np.float32]
        blocks += [np.ascontiguousarray(axis) for block in found for axis in np.atleast_2d(block.T)]
    return blocks


@pytest.mark.parametrize(("pattern", "ratio"), [("cwru*", 2.6), ("femto*", 2.3), ("mfpt*", 1.17)])
def test_recorded_vibration_is_as_much_smaller_as_the_module_says(
    recorded_data: Path, pattern: str, ratio: float
) -> None:
    blocks = _recorded(recorded_data, pattern)
    assert blocks
    stored = sum(len(assert_round_trip(block)) for block in blocks)
    assert sum(block.nbytes for block in blocks) > ratio * stored
