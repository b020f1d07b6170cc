"""What a person writes of a machine into a plant file: size, speed, bearings, gear."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from precursor.plantfile.scalars import Entry, Limit

__all__ = ["BearingEntry", "BearingList", "MachineEntry"]


def _bearing(found: Any) -> Any:
    """A designation may look like a number: 6309."""
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    return {"designation": found} if isinstance(found, str) else found


class BearingEntry(Entry):
    """A rolling-element bearing: of the catalogue, or by its geometry."""

    designation: str = Field("", description="a designation of the catalogue, e.g. UER204 LDK; with the others a name")
    rollers: int | None = Field(None, ge=3, le=200, description="a whole number, balls or rollers in a row, 3 to 200")
    roller_diameter: Limit = Field(None, description='a number of mm above 0, or one with a unit such as "0.3126 inch"')
    pitch_diameter: Limit = Field(None, description='a number of mm above 0, or one with a unit such as "1.537 inch"')
    contact_angle: Limit = Field(
        None, description='a number of degrees, 0 to 90, or one with a unit such as "0.26 rad"'
    )


BearingList = list[Annotated[BearingEntry, BeforeValidator(_bearing)]]


class MachineEntry(Entry):
    """What ISO 20816-3 and the analysis of vibration ask of a machine."""

    group: Literal[1, 2] | None = Field(None, description="1 (above 300 kW) or 2 (15 to 300 kW)")
    foundation: Literal["rigid", "flexible"] | None = Field(None, description="rigid or flexible")
    speed: Limit = Field(None, description='a number of rpm above 0, or one with a unit such as "24.8 Hz"')
    speed_sensor: str | None = Field(None, description="a measuring point of the asset, or a sensor's full name")
    bearings: BearingList = Field([], description="a list of designations or mappings, e.g. [UER204 LDK]")
    teeth: int | None = Field(None, ge=2, le=10_000, description="a whole number, 2 or more")
    blades: int | None = Field(None, ge=2, le=1_000, description="a whole number, 2 or more")
