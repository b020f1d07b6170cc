"""The rules that automatic detectors get by themselves."""

from collections.abc import Iterator, Sequence

from models.contract import ALARM
from precursor.plantfile.model_entries import DetectorsEntry
from precursor.plantfile.problems import Path
from precursor.plantfile.rule_entries import RuleEntry
from precursor.plantfile.rule_subjects import WrittenRule

__all__ = ["ANOMALY", "SENSOR_FAULT", "automatic_rules"]

ANOMALY = "anomaly"
"""the name of the rules on scores"""
SENSOR_FAULT = "sensor-fault"
"""the name of those on what is found wrong with sensors"""
_PATH: Path = ("detectors", "alarm")
_NO_FAULT = 0.5
"""between 0, nothing is wrong, and the first of `models.sensor_faults.SensorFault`"""


def automatic_rules(detectors: DetectorsEntry, scores: Sequence[str], faults: Sequence[str]) -> Iterator[WrittenRule]:
    """As if the file had them.

    Args:
        detectors: what the file says of them.
        scores, faults: full names of the sensors they are on.
    """
    alarm = detectors.alarm
    if alarm.off:
        return
    if scores:
        document = {
            "name": ANOMALY,
            "title": "Not as usual",
            "sensors": list(scores),
            "high": ALARM,
            "on_delay": alarm.on_delay,
            # A score around its limit is one alarm, not many.
            "off_delay": alarm.on_delay,
            "priority": alarm.priority,
            "failure_mode": alarm.failure_mode,
            "job_plan": alarm.job_plan,
        }
        yield _written(document)
    if faults:
        # Out of range is a kind whose alarms are about the measurement.
        document = {
            "name": SENSOR_FAULT,
            "title": "The sensor itself is at fault",
            "kind": "out_of_range",
            "sensors": list(faults),
            "high": _NO_FAULT,
            "priority": "low",
        }
        yield _written(document)


def _written(document: dict[str, object]) -> WrittenRule:
    given = {key: value for key, value in document.items() if value is not None}
    return WrittenRule(entry=RuleEntry.model_validate(given), path=_PATH, origin="automatic")
