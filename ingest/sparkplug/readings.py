"""The careful reading: one metric of a message at a time, whatever it is."""

from typing import Final

from ingest.reasons import RejectReason
from ingest.sparkplug.datatypes import datatype_of
from ingest.sparkplug.metric import LONGEST_NAME, Metric
from ingest.sparkplug.node import Device
from ingest.sparkplug.payload import PayloadMetric, Template
from ingest.sparkplug.quick import LATEST_MS
from ingest.sparkplug.taken import Taken
from ingest.sparkplug.values import MOST_MEMBERS, UnfitValueError, parts_of, quality_of
from telemetry.quality import Quality

__all__ = ["flaw_of_name", "read_metric"]

_DEEPEST: Final = 8
"""templates within templates"""


def flaw_of_name(name: str) -> str | None:
    """Why a name cannot be that of a metric; None: it can."""
    if not name:
        return "The metric has no name."
    if "\0" in name:
        return "The metric's name has a NUL in it."
    size = len(name.encode())
    return f"The metric's name has {size} bytes, at most {LONGEST_NAME} are taken." if size > LONGEST_NAME else None


def read_metric(
    taken: Taken,
    device: Device,
    metric: Metric,
    sent: PayloadMetric,
    message_ms: int | None,
    *,
    is_birth: bool,
    depth: int = 0,
) -> None:
    """Add the readings that a metric of a message is to `taken`, or the reason why it is none.

    In a birth a metric without a value is no item at all: the birth introduces it, its value is yet to come.
    """
    try:
        _read(taken, device, metric, sent, message_ms, is_birth=is_birth, depth=depth)
    except UnfitValueError as error:
        taken.reject(error.reason, f"{metric.path} {metric.name[:80]!r}: {error}", metric.name, sent)


def _read(
    taken: Taken,
    device: Device,
    metric: Metric,
    sent: PayloadMetric,
    message_ms: int | None,
    *,
    is_birth: bool,
    depth: int,
) -> None:
    empty = sent.is_null or sent.field is None
    if is_birth and empty and metric.value is None:
        return
    if sent.flaw is not None:
        raise UnfitValueError(RejectReason.INVALID_UTF8, f"The text {sent.flaw[:80]!r} is not UTF-8.")
    if sent.is_transient:
        raise UnfitValueError(RejectReason.TRANSIENT, "The device says that this is not to be stored.")
    stamp = _stamp_of(sent, message_ms)
    time = stamp * 1000
    quality = quality_of(sent.properties)
    historical = sent.is_historical
    if empty:
        if not sent.is_null or metric.value is None:
            raise UnfitValueError(RejectReason.MISSING_VALUE, "The metric has no value.")
        taken.add(metric, time, metric.value, max(quality, Quality.BAD), historical=historical)
        return
    datatype = metric.datatype if sent.datatype is None else datatype_of(sent.datatype)
    if isinstance(sent.raw, Template):
        _read_template(taken, device, metric, sent.raw, stamp, is_birth=is_birth, depth=depth)
        return
    for part, kind, value in parts_of(sent, datatype):
        target = metric
        if part:
            flaw = flaw_of_name(f"{metric.name}/{part}")
            if flaw is not None:
                taken.reject(RejectReason.WRONG_TYPE, flaw, metric.name, sent)
                continue
            target = device.member(metric, part, kind)
        if value is None:
            detail = f"{metric.path} {target.name[:80]!r}: The column has no value."
            taken.reject(RejectReason.MISSING_VALUE, detail, target.name, sent)
            continue
        taken.add(target, time, value, quality, historical=historical)
        if not historical and (is_birth or time >= target.time):
            target.time = time
            target.value = value


def _stamp_of(sent: PayloadMetric, message_ms: int | None) -> int:
    """When a metric was so, ms since 1970-01-01 UTC."""
    stamp = message_ms if sent.timestamp_ms is None else sent.timestamp_ms
    if stamp is None:
        raise UnfitValueError(RejectReason.MISSING_TIMESTAMP, "Neither the metric nor its message has a timestamp.")
    if stamp > LATEST_MS:
        raise UnfitValueError(RejectReason.BAD_TIMESTAMP, f"The timestamp {stamp} is no time in milliseconds.")
    return stamp


def _read_template(
    taken: Taken, device: Device, metric: Metric, template: Template, stamp: int, *, is_birth: bool, depth: int
) -> None:
    """The members of an instance, each a metric."""
    if template.is_definition:
        raise UnfitValueError(RejectReason.UNSUPPORTED_TYPE, "The definition of a template is no reading.")
    if depth >= _DEEPEST:
        raise UnfitValueError(RejectReason.UNSUPPORTED_TYPE, f"Templates within {_DEEPEST} templates are not taken.")
    if len(template.metrics) > MOST_MEMBERS:
        raise UnfitValueError(
            RejectReason.UNSUPPORTED_TYPE,
            f"{len(template.metrics)} members of one template are too many; at most {MOST_MEMBERS} are taken.",
        )
    for sent in template.metrics:
        name = f"{metric.name}/{sent.name or ''}"
        flaw = flaw_of_name(name) if sent.name else "A member of the template has no name."
        if flaw is not None:
            taken.reject(RejectReason.WRONG_TYPE, flaw, metric.name, sent)
            continue
        member = device.member(metric, sent.name or "", datatype_of(sent.datatype))
        read_metric(taken, device, member, sent, stamp, is_birth=is_birth, depth=depth + 1)
