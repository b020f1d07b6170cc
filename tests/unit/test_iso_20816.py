"""The zones of ISO 20816-3."""

from itertools import product

import pytest

from rules.iso_20816 import ZONES, Foundation


@pytest.mark.parametrize(
    ("group", "foundation", "ends"),
    [
        (1, Foundation.RIGID, (2.3, 4.5, 7.1)),
        (1, Foundation.FLEXIBLE, (3.5, 7.1, 11.0)),
        (2, Foundation.RIGID, (1.4, 2.8, 4.5)),
        (2, Foundation.FLEXIBLE, (2.3, 4.5, 7.1)),
    ],
)
def test_a_kind_of_machine_has_its_zones(group: int, foundation: Foundation, ends: tuple[float, ...]) -> None:
    zones = ZONES[group, foundation]
    assert (zones.a_b, zones.b_c, zones.c_d) == ends
    assert zones.source == f"ISO 20816-3 [2nd], group {group}, {foundation}"


def test_there_are_zones_for_every_kind_and_each_is_worse_than_the_one_before() -> None:
    assert set(ZONES) == set(product((1, 2), Foundation))
    assert all(zones.a_b < zones.b_c < zones.c_d for zones in ZONES.values())
