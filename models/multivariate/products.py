"""Sums and products of many assets at once, each of which comes out as if its asset were alone.

NumPy adds the elements of an axis in an order that depends on how the whole array lies in memory, and so on how many
assets it is of. Here it is always one after the other; what is done with all assets at once is elementwise, and
quickest where the assets lie side by side in memory (Fortran order).
"""

import numpy as np
import numpy.typing as npt

__all__ = ["dot", "product", "total"]

Column = npt.NDArray[np.float64]


def total(values: Column) -> Column:
    """Sums over the last axis: (assets, p) to (assets)."""
    found = values[..., 0].copy(order="K")
    for each in range(1, values.shape[-1]):
        found += values[..., each]
    return found


def dot(one: Column, other: Column) -> Column:
    """Products of vectors, both (assets, p), to (assets).

    >>> dot(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    array([11.])
    """
    return total(one * other)


def product(matrix: Column, vector: Column) -> Column:
    """Products of matrices (assets, p, p) with vectors (assets, p), to (assets, p)."""
    found = matrix[:, :, 0] * vector[:, 0, None]
    part = np.empty_like(found)
    for each in range(1, vector.shape[1]):
        np.multiply(matrix[:, :, each], vector[:, each, None], out=part)
        found += part
    return np.asarray(found, np.float64)
