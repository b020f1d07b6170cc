"""Birth certificates: the metrics they introduce, and what a node or device says about itself."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from ingest.reasons import RejectReason
from ingest.sparkplug.datatypes import DataType, datatype_of
from ingest.sparkplug.metric import BD_SEQ, Metric, definition_of
from ingest.sparkplug.node import Device
from ingest.sparkplug.payload import Payload, PayloadMetric, Template
from ingest.sparkplug.readings import flaw_of_name, read_metric
from ingest.sparkplug.sequence import SEQ_MODULUS
from ingest.sparkplug.taken import Taken
from ingest.sparkplug.values import UnfitValueError, parts_of
from telemetry.quality import Quality

__all__ = ["SelfDescription", "bd_seq_of", "introduce", "self_description"]

_COMPOSITE: Final = frozenset(
    {DataType.DATASET, DataType.TEMPLATE, *range(DataType.INT8_ARRAY, DataType.DATETIME_ARRAY + 1)}
)
_HARDWARE: Final = ("hardware make", "hardware model", "hardware version", "hardware")
_FIRMWARE: Final = ("fw", "firmware", "fw version", "firmware version")
_LONGEST_TEXT: Final = 1000
_MOST_PROPERTIES: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfDescription:
    """What a node or device says about itself; None: nothing."""

    hardware: str | None = None
    firmware: str | None = None
    properties: dict[str, bool | float | str] = field(default_factory=dict)
    """all that is not hardware or firmware, fit for JSON in the database"""


def bd_seq_of(content: Payload) -> int | None:
    """The number of the session that a birth or death belongs to; None: it does not say, or says nonsense."""
    raw = next((sent.raw for sent in content.metrics if sent.name == BD_SEQ), None)
    return raw if type(raw) is int and raw < SEQ_MODULUS else None


def introduce(taken: Taken, device: Device, content: Payload, now_us: int) -> None:
    """Take over the metrics of a birth in place of those before, and its values as readings."""
    device.former = device.metrics
    device.metrics = {}
    device.by_name = {}
    for metric, sent in _define(taken, device, content.metrics):
        if not metric.about_itself:
            read_metric(taken, device, metric, sent, content.timestamp_ms, is_birth=True)
    for name, metric in device.former.items():
        if name in device.metrics:
            continue
        if _is_member(name, device):
            device.metrics[name] = metric
            device.by_name[name.encode()] = metric
        elif metric.value is not None:
            # No longer among the metrics: what it said last is not known to hold.
            taken.add(metric, max(now_us, metric.time + 1), metric.value, Quality.STALE)
    device.former = {}
    device.altered = True


def _define(taken: Taken, device: Device, metrics: Iterable[PayloadMetric]) -> list[tuple[Metric, PayloadMetric]]:
    """Give the metrics of a birth their meaning; those whose values are still to be read."""
    introduced: list[tuple[Metric, PayloadMetric]] = []
    owner: dict[int, str] = {}
    twice: set[int] = set()
    for sent in metrics:
        if isinstance(sent.raw, Template) and sent.raw.is_definition:
            continue
        name = sent.name or ""
        flaw = flaw_of_name(name) if sent.flaw is None else f"The text {sent.flaw[:80]!r} is not UTF-8."
        if flaw is not None:
            reason = RejectReason.WRONG_TYPE if sent.flaw is None else RejectReason.INVALID_UTF8
            taken.reject(reason, f"{device.path}: {flaw}", name, sent)
            continue
        if sent.alias is not None and owner.setdefault(sent.alias, name) != name:
            twice.add(sent.alias)
        known = device.metrics.get(name)
        if known is None:
            definition = definition_of(sent.alias, datatype_of(sent.datatype), sent.properties)
            known = device.define(name, definition)
        introduced.append((known, sent))
    for alias in sorted(twice):
        taken.notes.append(f"{device.path}: the alias {alias} has several names, none of which it will stand for")
    for metric, _ in introduced:
        if metric.alias in twice:
            metric.rename(None)
    device.by_alias = {metric.alias: metric for metric in device.metrics.values() if metric.alias is not None}
    return introduced


def self_description(device: Device, metrics: Iterable[PayloadMetric]) -> SelfDescription:
    """What those of the metrics say that are about the node or device itself."""
    hardware: dict[str, str] = {}
    firmware: dict[str, str] = {}
    properties: dict[str, bool | float | str] = {}
    for sent in metrics:
        metric = device.metric_of(sent)
        if metric is None or not metric.about_itself or metric.name == BD_SEQ or sent.is_null or sent.flaw is not None:
            continue
        folder, _, name = metric.name.partition("/")
        if not name or (folder.endswith("Control") and metric.datatype is DataType.BOOLEAN):
            continue
        value = _simple(sent, metric)
        if value is None:
            continue
        key = name.casefold()
        if key in _HARDWARE:
            hardware[key] = str(value)
        elif key in _FIRMWARE:
            firmware[key] = str(value)
        elif len(properties) < _MOST_PROPERTIES:
            properties[name if folder == "Properties" else metric.name] = value
    return SelfDescription(
        hardware=" ".join(hardware[key] for key in _HARDWARE if key in hardware) if hardware else None,
        firmware=next((firmware[key] for key in _FIRMWARE if key in firmware), None),
        properties=properties,
    )


def _simple(sent: PayloadMetric, metric: Metric) -> bool | float | str | None:
    """A value that can stand in JSON; None: there is none."""
    try:
        parts = parts_of(sent, metric.datatype if sent.datatype is None else datatype_of(sent.datatype))
    except UnfitValueError:
        return None
    if len(parts) != 1 or parts[0][0]:
        return None
    value = parts[0][2]
    if isinstance(value, str):
        return value.strip()[:_LONGEST_TEXT]
    if value is None or not math.isfinite(value):
        return None
    return bool(value) if metric.datatype is DataType.BOOLEAN else value


def _is_member(name: str, device: Device) -> bool:
    """Whether a name is a part of an array, table or template that is still there."""
    head = name
    while "/" in head:
        head = head.rpartition("/")[0]
        parent = device.metrics.get(head)
        if parent is not None:
            return parent.datatype in _COMPOSITE
    return False
