"""What is written down beside the readings of a batch: ledger lines, rejections with their reasons, findings."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ingest.decoded import Decoded, Rejection
from ingest.door_checks import Finding, Findings, Judged
from ingest.quarantine import Held
from ingest.reasons import RejectReason
from ingest.texts import storable
from telemetry.batch import ReadingBatch, to_datetime
from telemetry.ledger import LedgerLine, RejectedRow
from telemetry.store import Written

__all__ = [
    "account", "account_derived", "conflicting_blocks", "conflicts", "findings_of", "not_held", "rejected_row",
]  # fmt: skip

_TIMES = {
    RejectReason.FUTURE_TIMESTAMP: Finding.FUTURE,
    RejectReason.TOO_OLD_TIMESTAMP: Finding.TOO_OLD,
}
_DERIVED = "derived"
"""the ledger's source of what we compute ourselves"""


def account(decoded: Decoded, written: Written, blocks: Written, held: Held) -> list[LedgerLine]:
    """Ledger lines of a batch: what was received counts from the messages, the rest from what became of it."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for source, count in decoded.received.items():
        counts[source, "received", ""] += count
    for rejection in decoded.rejections:
        counts[rejection.source, "rejected", rejection.reason.value] += 1
    for outcome, reason, mask in _outcomes(written):
        found = np.bincount(decoded.source[mask], minlength=len(decoded.sources))
        for position in np.flatnonzero(found).tolist():
            counts[decoded.sources[position], outcome, reason] += int(found[position])
    for outcome, reason, mask in _outcomes(blocks):
        for position in np.flatnonzero(mask).tolist():
            counts[decoded.blocks[position].source, outcome, reason] += 1
    for position, reading in enumerate(decoded.held):
        if held.kept[position]:
            counts[reading.source, "rejected", RejectReason.QUARANTINED.value] += 1
        elif held.duplicate[position]:
            counts[reading.source, "duplicate", ""] += 1
        else:
            counts[reading.source, "rejected", held.faults[position].reason.value] += 1
    return [
        LedgerLine(source=source, outcome=outcome, reason=reason, readings=count)
        for (source, outcome, reason), count in counts.items()
        if count
    ]


def _outcomes(written: Written) -> tuple[tuple[str, str, npt.NDArray[np.bool_]], ...]:
    return (
        ("stored", "", written.stored),
        ("duplicate", "", written.duplicate),
        ("rejected", RejectReason.CONFLICTING_VALUE.value, written.conflicting),
    )


def findings_of(decoded: Decoded, judged: Judged, written: Written) -> Findings:
    """What is to be counted against the sensors of a batch."""
    findings = judged.findings(written)
    for (sensor_id, reason), count in decoded.turned_away.items():
        finding = _TIMES.get(reason)
        if finding is not None:
            findings[sensor_id, finding] += count
    return findings


def not_held(decoded: Decoded, held: Held) -> list[Rejection]:
    """Readings of unknown names for which there is no room."""
    rejections = []
    for position, fault in held.faults.items():
        reading = decoded.held[position]
        payload = json.dumps(
            {"sensor": reading.name, "ts": to_datetime(reading.time_us).isoformat(), "value": reading.value}
        ).encode()
        rejections.append(
            Rejection(
                source=reading.source,
                topic=storable(reading.name),
                reason=fault.reason,
                payload=payload,
                payload_bytes=len(payload),
                detail=fault.detail,
            )
        )
    return rejections


def account_derived(written: Written) -> list[LedgerLine]:
    """Ledger lines of what we computed ourselves."""
    counts = (
        ("received", "", written.stored.size),
        ("stored", "", int(written.stored.sum())),
        ("duplicate", "", int(written.duplicate.sum())),
        ("rejected", RejectReason.CONFLICTING_VALUE.value, int(written.conflicting.sum())),
    )
    return [
        LedgerLine(source=_DERIVED, outcome=outcome, reason=reason, readings=count)
        for outcome, reason, count in counts
        if count
    ]


def rejected_row(rejection: Rejection) -> RejectedRow:
    """As it is kept: one row a distinct payload, topic and reason."""
    digest = hashlib.sha256()
    for part in (rejection.source, rejection.topic, rejection.reason.value, str(rejection.payload_bytes)):
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    digest.update(rejection.payload)
    return RejectedRow(
        digest=digest.digest(),
        source=rejection.source,
        topic=rejection.topic,
        reason=rejection.reason.value,
        detail=rejection.detail,
        payload=rejection.payload,
        payload_bytes=rejection.payload_bytes,
    )


def conflicting_blocks(decoded: Decoded, written: Written, names: Mapping[int, str]) -> list[Rejection]:
    """Waveforms whose instant is taken by another one; `names`: of sensors, by id."""
    rejections = []
    for position in np.flatnonzero(written.conflicting).tolist():
        block = decoded.blocks[position]
        name = names.get(block.waveform.sensor_id, "?")
        moment = block.waveform.time.isoformat()
        payload = json.dumps({"sensor": name, "ts": moment, "samples": block.waveform.samples.size}).encode()
        rejections.append(
            Rejection(
                source=block.source,
                topic=name,
                reason=RejectReason.CONFLICTING_VALUE,
                payload=payload,
                payload_bytes=len(payload),
                detail=f"{name!r} has another waveform stored for {moment}; the first one stays.",
            )
        )
    return rejections


def conflicts(decoded: Decoded, batch: ReadingBatch, written: Written, names: Mapping[int, str]) -> list[Rejection]:
    """Readings whose instant is taken by another value; `names`: of sensors, by id."""
    rejections = []
    for position in np.flatnonzero(written.conflicting).tolist():
        name = names.get(int(batch.sensor_id[position]), "?")
        moment = to_datetime(int(batch.time[position])).isoformat()
        payload = json.dumps(
            {
                "sensor": name,
                "ts": moment,
                "value": float(batch.value[position]),
                "quality": int(batch.quality[position]),
            }
        ).encode()
        rejections.append(
            Rejection(
                source=decoded.sources[int(decoded.source[position])],
                topic=name,
                reason=RejectReason.CONFLICTING_VALUE,
                payload=payload,
                payload_bytes=len(payload),
                detail=f"{name!r} has another value stored for {moment}; the first one stays.",
            )
        )
    return rejections
