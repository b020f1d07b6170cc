"""Readings older than they are kept are turned away at the door, by the age that settings name."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from ingest.decoded import Decoded
from ingest.decoder import Decoder
from ingest.limits import DoorLimits
from ingest.message import Message
from ingest.reasons import RejectReason
from precursor.bench.workload import bench_plant
from precursor.engine_settings import engine_options
from precursor.parts import retention_policy
from precursor.settings import read_settings
from telemetry.batch import to_micros
from telemetry.retention import SLACK, thrown_away_before
from telemetry.series import SeriesClass

NOW = datetime(2026, 11, 21, 6, tzinfo=UTC)
DAY = timedelta(days=1)


def decode(moment: datetime, limits: DoorLimits) -> Decoded:
    plant = bench_plant(sensors=10, prefix="x")
    payload = json.dumps({"ts": moment.isoformat(), "value": 1.0}).encode()
    message = Message(topic=str(plant.sensors[0].topic), payload=payload, mid=1, qos=1)
    return Decoder(plant, limits).decode([message], to_micros(NOW))


def test_a_reading_older_than_readings_are_kept_is_rejected_by_the_name_of_the_setting() -> None:
    limits = engine_options(read_settings(retention={"readings_days": 30})).session.limits
    decoded = decode(NOW - 30 * DAY - timedelta(seconds=1), limits)
    assert len(decoded.batch) == 0
    assert [rejection.reason for rejection in decoded.rejections] == [RejectReason.TOO_OLD_TIMESTAMP]
    assert "older than readings are kept, 30 days" in decoded.rejections[0].detail
    assert "PRECURSOR_RETENTION__READINGS_DAYS" in decoded.rejections[0].detail
    assert len(decode(NOW - 30 * DAY, limits).batch) == 1


def test_a_clock_that_was_never_set_is_told_as_such_whatever_is_kept() -> None:
    limits = engine_options(read_settings(retention={"readings_days": 30})).session.limits
    assert "is the device's clock set?" in decode(datetime(1990, 1, 1, tzinfo=UTC), limits).rejections[0].detail


def test_without_the_setting_history_is_let_in() -> None:
    limits = engine_options(read_settings()).session.limits
    assert limits.max_age_s is None
    assert len(decode(NOW - 8000 * DAY, limits).batch) == 1


@pytest.mark.parametrize("days", [1, 30, 36_500])
def test_what_the_door_lets_in_is_never_about_to_go(days: int) -> None:
    settings = read_settings(retention={"readings_days": days})
    limits, policy = engine_options(settings).session.limits, retention_policy(settings)
    limits = DoorLimits(earliest=datetime(1900, 1, 1, tzinfo=UTC), max_age_s=limits.max_age_s)
    oldest_us = limits.oldest_us(to_micros(NOW))
    goes_us = to_micros(thrown_away_before(policy.keep[SeriesClass.READINGS], NOW))
    assert oldest_us - goes_us >= SLACK // timedelta(microseconds=1)


def test_the_policy_has_what_settings_name_and_nothing_else() -> None:
    policy = retention_policy(read_settings(retention={"waveforms_days": 7}, compression={"minutes_days": None}))
    assert policy.keep == {SeriesClass.WAVEFORMS: 7 * DAY}
    assert policy.compress_after == {SeriesClass.READINGS: 14 * DAY, SeriesClass.HOURS: 90 * DAY}
