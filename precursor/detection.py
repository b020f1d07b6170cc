"""What a plant asks of detectors: which there are to be, over which sensors, and where what they say goes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from models import kinds
from models.contract import AssetDetector, Detector
from models.multivariate.kinds import AssetSpec, build_assets
from telemetry.plant import Plant, SensorKind

__all__ = ["Detection"]

_MACHINE_SIDE = {"vibration": 1, "flow": -1, "pressure": -1}
"""by a word in the name of a quantity, where it goes alone if it is the machine, see `models.sensor_faults`"""

SensorIds = npt.NDArray[np.int32]


class Detection:
    """The detectors of a plant, and the derived sensors of what they say."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._output = {
            (sensor.computed, sensor.source_id): sensor.id
            for sensor in plant.sensors
            if sensor.kind is SensorKind.DERIVED and sensor.source_id is not None
        }
        self._scored = [
            sensor
            for sensor in plant.sensors
            if sensor.detector is not None and sensor.detector.kind in kinds.DETECTORS
        ]
        """sensors with a detector; what a trend is followed by is none"""
        self._specs = [
            AssetSpec(
                asset_id=asset.id,
                sensor_ids=tuple(plant.sensor_by_name[name].id for name in asset.detector.sensors),
                parameters=asset.detector.parameters,
            )
            for asset in sorted(plant.assets, key=lambda asset: asset.id)
            if asset.detector is not None
        ]
        anomalies = {sensor.asset_id: sensor.id for sensor in plant.sensors if sensor.computed == "anomaly"}
        self._assets = np.array([spec.asset_id for spec in self._specs], np.int32)
        self._anomalies = np.array([anomalies[spec.asset_id] for spec in self._specs], np.int32)
        self._shares = np.full(
            (len(self._specs), max((len(s.sensor_ids) for s in self._specs), default=0)), -1, np.int32
        )
        for row, spec in zip(self._shares, self._specs, strict=True):
            row[: len(spec.sensor_ids)] = [self._output["contribution", each] for each in spec.sensor_ids]

    def detectors(self) -> dict[str, Detector]:
        """Those of single sensors, by kind."""
        chosen: dict[str, list[tuple[int, Mapping[str, float]]]] = defaultdict(list)
        for sensor in self._scored:
            assert sensor.detector is not None
            chosen[sensor.detector.kind].append((sensor.id, sensor.detector.parameters))
        return {kind: kinds.build(kind, sensors) for kind, sensors in sorted(chosen.items())}

    def asset_detector(self, align_s: float) -> AssetDetector | None:
        """That of assets; None: none is asked for."""
        return build_assets(self._specs, align_s=align_s) if self._specs else None

    def contexts(self) -> dict[int, int]:
        """By sensor, the one that its usual level depends on."""
        return {
            sensor.id: self._plant.sensor_by_name[sensor.detector.sensors[0]].id
            for sensor in self._scored
            if sensor.detector is not None and sensor.detector.sensors
        }

    def faulted(self) -> dict[int, Sequence[int]]:
        """By asset, the sensors that are looked at for faults of their own."""
        found: dict[int, list[int]] = defaultdict(list)
        for sensor in self._plant.sensors:
            if ("sensor_fault", sensor.id) in self._output:
                found[sensor.asset_id].append(sensor.id)
        return dict(found)

    def machine_side(self) -> dict[int, int]:
        """By sensor, where it goes alone if it is the machine: 1 up, -1 down; none where that is unknown."""
        return {
            sensor.id: side
            for sensor in self._plant.sensors
            for word, side in _MACHINE_SIDE.items()
            if word in sensor.quantity.lower()
        }

    def state_sensors(self) -> dict[int, int]:
        """By sensor looked at, the state sensor of its asset, or of the nearest asset above it that has one."""
        of_asset = {sensor.asset_id: sensor.id for sensor in self._plant.sensors if sensor.kind is SensorKind.STATE}
        together = {each for spec in self._specs for each in spec.sensor_ids} | {sensor.id for sensor in self._scored}
        found: dict[int, int] = {}
        for sensor in self._plant.sensors:
            looked_at = sensor.id in together or ("sensor_fault", sensor.id) in self._output
            asset_id: int | None = sensor.asset_id if looked_at else None
            while asset_id is not None:
                if asset_id in of_asset:
                    found[sensor.id] = of_asset[asset_id]
                    break
                asset_id = self._plant.asset_by_id[asset_id].parent_id
        return found

    def scores_of(self, sensor_ids: SensorIds) -> SensorIds:
        """Where the scores of these go; -1 for twins with a context, which have none."""
        return np.array([self._output["score", each] if each >= 0 else -1 for each in sensor_ids.tolist()], np.int32)

    def faults_of(self, sensor_ids: SensorIds) -> SensorIds:
        """Where what is found wrong with these goes."""
        return np.array([self._output["sensor_fault", each] for each in sensor_ids.tolist()], np.int32)

    def outputs_of(self, asset_ids: SensorIds) -> tuple[SensorIds, SensorIds]:
        """Where the scores of these assets go (assets), and the shares of their sensors (assets, sensors; -1: none)."""
        place = np.searchsorted(self._assets, asset_ids)
        return self._anomalies[place], self._shares[place]

    def reported(self) -> SensorIds:
        """All that takes a score, ascending."""
        scores = [self._output["score", sensor.id] for sensor in self._scored]
        return np.union1d(np.array(scores, np.int32), self._anomalies)

    def sources(self) -> npt.NDArray[np.int32]:
        """int32[n, 2]: scores and the sensors they are of, by sensor; an asset's score is of each of its sensors."""
        pairs = [(sensor.id, self._output["score", sensor.id]) for sensor in self._scored]
        for spec, anomaly in zip(self._specs, self._anomalies.tolist(), strict=True):
            pairs += [(source, anomaly) for source in spec.sensor_ids]
        return np.array(sorted(pairs), np.int32).reshape(-1, 2)
