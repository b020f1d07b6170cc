"""Geometry to fault frequencies, and lists of bearings."""

import pytest

from models.vibration.bearings import Bearing, bearing, catalogue, read_catalogue
from models.vibration.machine import MachineSpec
from telemetry.errors import ConfigurationError


def test_orders_are_those_the_test_rigs_publish() -> None:
    drive_end = bearing("6205-2RS JEM SKF")
    assert (drive_end.bpfi, drive_end.bpfo) == pytest.approx((5.4152, 3.5848), abs=1e-4)
    # The data centre's "rolling element" is of a spot that strikes both rings in a turn of the ball.
    assert (drive_end.ftf, 2 * drive_end.bsf) == pytest.approx((0.39828, 4.7135), abs=1e-4)
    fan_end = bearing("6203-2RS JEM SKF")
    assert (fan_end.bpfi, fan_end.bpfo, fan_end.ftf) == pytest.approx((4.9469, 3.0530, 0.3817), abs=2e-4)
    spin_hz = 2000 / 60
    rexnord = bearing("ZA-2115 Rexnord")
    published = (236.4, 296.93, 139.92, 14.78)
    assert (rexnord.bpfo * spin_hz, rexnord.bpfi * spin_hz, rexnord.bsf * spin_hz, rexnord.ftf * spin_hz) == (
        pytest.approx(published, abs=0.01)
    )
    assert bearing("PRONOSTIA").bpfo * 30 == pytest.approx(168.3, abs=0.1)
    assert bearing("UER204 LDK").bpfo * 35 == pytest.approx(107.91, abs=0.01)
    ottawa = bearing("ER16K MB")
    assert (ottawa.bpfo, ottawa.bpfi, ottawa.bsf) == pytest.approx((3.57, 5.43, 2.32), abs=0.005)


@pytest.mark.parametrize("designation", sorted(catalogue()))
def test_a_bearing_of_the_catalogue_says_where_its_geometry_is_from(designation: str) -> None:
    one = catalogue()[designation]
    assert one.source
    # Every element passes either ring once in the turn of one against the other.
    assert one.bpfo + one.bpfi == pytest.approx(one.elements)
    assert one.bpfo == pytest.approx(one.elements * one.ftf)


def test_a_list_of_ones_own_is_read_and_goes_first() -> None:
    own = read_catalogue(
        [
            "designation,elements,element_diameter_mm,pitch_diameter_mm,contact_angle_deg",
            "NU 206,13,7.5,46,0",
            "x,8,6,30,",
        ]
    )
    assert bearing("NU 206", own).elements == 13
    assert bearing("x", own).contact_angle_deg == 0


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["designation,elements", "a,8"], "columns designation, elements, element_diameter_mm, pitch_diameter_mm"),
        (["designation,elements,element_diameter_mm,pitch_diameter_mm", "a,8,6,30", "b,eight,6,30"], "line 3"),
        (["designation,elements,element_diameter_mm,pitch_diameter_mm", "a,8,60,30"], "line 2.*smaller than the pitch"),
    ],
    ids=["columns", "number", "geometry"],
)
def test_a_list_that_is_none_is_refused_with_its_line(lines: list[str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        read_catalogue(lines)


def test_an_unknown_bearing_is_refused_with_the_nearest() -> None:
    for designation in ("6205-2RS SKF", "6205"):
        with pytest.raises(ConfigurationError, match=r"not in the catalogue.*did you mean '6205-2RS JEM SKF'"):
            bearing(designation)


@pytest.mark.parametrize("change", [{"elements": 2}, {"element_diameter_mm": 0.0}, {"contact_angle_deg": 90.0}])
def test_impossible_geometry_is_refused(change: dict[str, float]) -> None:
    geometry: dict[str, float] = {"elements": 8, "element_diameter_mm": 6.0, "pitch_diameter_mm": 30.0} | change
    with pytest.raises(ConfigurationError, match="bearing a"):
        Bearing(designation="a", **geometry)  # type: ignore[arg-type]  # numbers of a table


@pytest.mark.parametrize(
    "change",
    [
        {"speed_hz": 0.0},
        {"speed_tolerance": 0.5},
        {"speed_range_hz": (20.0, 10.0)},
        {"gear_teeth": (1,)},
        {"blades": 0},
        {"bands_hz": ((5.0, 5.0),)},
        {"group": 3},
        {"foundation": "sand"},
        {"velocity_limit_mm_s": 0.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_machine_that_cannot_be_is_refused_by_the_name_of_the_field(change: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(change))):
        MachineSpec(**change)  # type: ignore[arg-type]  # one wrong field each


def test_slow_machines_are_measured_from_two_hertz() -> None:
    assert MachineSpec(speed_hz=9.9).velocity_band_hz == (2.0, 1000.0)
    assert MachineSpec(speed_range_hz=(5.0, 50.0)).velocity_band_hz == (2.0, 1000.0)
    assert MachineSpec(speed_hz=10.0).velocity_band_hz == MachineSpec().velocity_band_hz == (10.0, 1000.0)
