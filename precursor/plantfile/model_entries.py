"""What a person writes into a plant file of what is computed: detectors, features of waveforms, remaining life."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from precursor.plantfile.machine_entries import BearingList
from precursor.plantfile.scalars import PERIOD, Entry, Limit, Name, Seconds

__all__ = [
    "ANOMALY_DELAY_S", "AnomalyAlarm", "AnomalyAlarmEntry", "AssetDetector", "AssetDetectorEntry", "Detector",
    "DetectorEntry", "Detectors", "DetectorsEntry", "RemainingLife", "RemainingLifeEntry", "Vibration",
    "VibrationEntry",
]  # fmt: skip

_AUTO = "auto or off"
ANOMALY_DELAY_S = 3600.0
"""on- and off-delay of automatic alarms: what is soon over is nothing to maintain"""


def _short(**words: dict[str, Any]) -> BeforeValidator:
    """Words that stand for a whole mapping."""
    return BeforeValidator(lambda found: dict(words[found]) if isinstance(found, str) and found in words else found)


def _kind(found: Any) -> Any:
    return {"kind": found} if isinstance(found, str) else found


def _list(found: Any) -> Any:
    return [found] if isinstance(found, str) else found


class DetectorEntry(BaseModel):
    """Which detector scores a sensor; every further key is a parameter of that detector."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, float]

    kind: str = Field(description="the kind of detector, e.g. auto, ewma or conditioned; or off")
    on: Annotated[list[str], BeforeValidator(_list)] = Field(
        [], max_length=1, description="one measuring point of the asset, or a full name, e.g. speed"
    )


class AssetDetectorEntry(BaseModel):
    """How an asset is scored by its sensors together; every further key is a parameter of that detector."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, float]

    off: bool = Field(False, description="true or false")
    sensors: list[str] | None = Field(
        None, description="a list of two or more measuring points of the asset, or full names, e.g. [vib_de, temp_de]"
    )


class VibrationEntry(Entry):
    """How the waveforms of a sensor are analysed."""

    bearings: BearingList = Field([], description="a list of the bearings near the sensor, e.g. [UER204 LDK]")


class RemainingLifeEntry(Entry):
    """Up to which value a sensor's trend is followed."""

    high: Limit = Field(None, description='a number, or a number with a unit such as "7.1 mm/s"')
    low: Limit = Field(None, description='a number, or a number with a unit such as "2 bar"')


class AnomalyAlarmEntry(Entry):
    """The rules that automatic detectors get by themselves."""

    off: bool = Field(False, description="true or false")
    on_delay: Seconds = Field(ANOMALY_DELAY_S, description=PERIOD)
    priority: Literal["low", "medium", "high"] = Field("low", description="low, medium or high")
    failure_mode: Name | None = Field(None, description="what the alarm points to, written like a name")
    job_plan: str | None = Field(None, description="the name of a job plan of this file")


AnomalyAlarm = Annotated[AnomalyAlarmEntry, _short(off={"off": True})]


class DetectorsEntry(Entry):
    """What is watched for anomalies without being asked for one by one."""

    off: bool = Field(False, description="true or false")
    sensors: Literal["auto", "off"] = Field("auto", description=_AUTO)
    assets: Literal["auto", "off"] = Field("auto", description=_AUTO)
    sensor_faults: Literal["auto", "off"] = Field("auto", description=_AUTO)
    budget: float | None = Field(
        None, ge=0.001, le=10_000, description="a number, 0.001 to 10000: false alarms a year and detector"
    )
    alarm: AnomalyAlarm = Field(
        AnomalyAlarmEntry.model_validate({}), description="off, or a mapping such as {on_delay: 5 min, priority: low}"
    )


Detector = Annotated[DetectorEntry | None, BeforeValidator(_kind)]
AssetDetector = Annotated[AssetDetectorEntry | None, _short(auto={}, off={"off": True})]
Vibration = Annotated[VibrationEntry | None, _short(on={})]
RemainingLife = Annotated[RemainingLifeEntry | None, _short(on={})]
Detectors = Annotated[DetectorsEntry | None, _short(auto={}, off={"off": True})]
