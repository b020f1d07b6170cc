"""Names that the plant does not have: which of them become sensors by themselves, and what they are called then."""

import re
from fnmatch import fnmatchcase

from ingest.decoded import WantedSensor
from telemetry.plant import Gateway, UnknownNames

__all__ = ["plain_name", "wanted_by_rule"]

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST = 64


def plain_name(text: str) -> str:
    """A name that a plant file could have, of any text a device calls something by; "" where nothing is left.

    >>> plain_name("Motor 1/Bearing (DE)")
    'Motor_1_Bearing_DE'
    """
    return _NOT_IN_NAMES.sub("_", text).strip("_")[:_LONGEST]


def wanted_by_rule(gateway: Gateway, name: str, unit: str) -> WantedSensor | None:
    """What a rule of the gateway makes of an unknown name of a sensor; None: no rule fits.

    `unit`: as the payload says, "" where it does not.
    """
    if gateway.unknown is not UnknownNames.PROVISION:
        return None
    rule = next((rule for rule in gateway.provision if fnmatchcase(name, rule.match)), None)
    asset, dot, _ = name.rpartition(".")
    if rule is None or not dot:
        return None
    return WantedSensor(
        name=name,
        asset=asset,
        site=gateway.site,
        area=rule.area,
        asset_class=rule.asset_class,
        quantity=rule.quantity,
        unit=unit or rule.unit,
    )
