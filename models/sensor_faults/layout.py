"""`Layout`: where the sensors of assets are in tables with a row a sensor."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from models.sensor_faults.state import Index, Mask

__all__ = ["Layout"]

_COMMON = 0.25
"""part of an asset's sensors that may have the same trouble at once; if more have it, it is none of the sensors:
the machine stands, a gateway is silent"""


class Layout:
    """Asset after asset, as many positions for each as the one with the most sensors needs.

    Args:
        assets: the sensors of each asset, by ids.

    Raises:
        ValueError: a sensor is given twice.
    """

    def __init__(self, assets: Mapping[int, Sequence[int]]) -> None:
        self.asset_ids = np.array(sorted(assets), np.int32)
        self.most = max((len(sensors) for sensors in assets.values()), default=0)
        self.table = np.full((self.asset_ids.size, self.most), -1, np.int32)
        """(assets, most) sensor ids; -1: none"""
        for row, asset in enumerate(self.asset_ids.tolist()):
            self.table[row, : len(assets[asset])] = assets[asset]
        self.sensor_at = self.table.ravel()
        """of each position, the sensor's id"""
        positions = np.flatnonzero(self.sensor_at >= 0)
        self.position = positions[np.argsort(self.sensor_at[positions], kind="stable")]
        """of each of `sensor_ids`"""
        self.sensor_ids = self.sensor_at[self.position]
        """sorted"""
        if np.unique(self.sensor_ids).size != self.sensor_ids.size:
            raise ValueError("a sensor is given to two assets, or twice")

    def of(self, assets: Index) -> Index:
        """Positions of the sensors of some assets."""
        positions = self.every(assets).ravel()
        return np.asarray(positions[self.sensor_at[positions] >= 0], np.intp)

    def every(self, assets: Index) -> npt.NDArray[np.intp]:
        """(assets given, most) all positions of some assets, those without a sensor too."""
        return np.asarray(assets[:, None] * self.most + np.arange(self.most), np.intp)

    def common(self, positions: Index, has: Mask) -> Mask:
        """Where too many sensors of an asset have the same at once."""
        asset = positions // self.most
        having = np.bincount(asset, has)
        there = np.bincount(asset)
        return np.asarray(((having >= 2) & (having > _COMMON * there))[asset], np.bool_)

    def same(self, asset_ids: npt.NDArray[np.int32], table: npt.NDArray[np.int32]) -> tuple[Index, Index]:
        """Rows of the assets that another layout has as well, with the same sensors in the same order: here, there."""
        _, here, there = np.intersect1d(self.asset_ids, asset_ids, return_indices=True)
        width = min(self.most, table.shape[1])
        same = (self.table[here, :width] == table[there, :width]).all(axis=1)
        same &= (self.table[here, width:] < 0).all(axis=1) & (table[there, width:] < 0).all(axis=1)
        return here[same], there[same]
