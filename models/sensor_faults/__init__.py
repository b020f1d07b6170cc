"""Whether it is the sensor and not the machine: stuck, spikes, gaps, and drift against the other sensors."""

from models.sensor_faults.detector import SensorFaults
from models.sensor_faults.findings import SensorFault, SensorFindings, is_sensor

__all__ = ["SensorFault", "SensorFaults", "SensorFindings", "is_sensor"]
