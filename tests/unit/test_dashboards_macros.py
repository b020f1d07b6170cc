"""Macros become what Grafana makes of them, and what it would not know is an error."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from dashboards.macros import Question, expand

QUESTION = Question(
    begin=datetime(2026, 11, 20, 6, tzinfo=UTC),
    end=datetime(2026, 11, 21, 1, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=1))),
    interval_ms=30_000,
    variables={"asset": ("P-101", "F'1"), "empty": ()},
)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        pytest.param(
            "$__timeFilter(r.time)",
            "r.time BETWEEN '2026-11-20T06:00:00.000000Z' AND '2026-11-21T00:00:00.250000Z'",
            id="filter, in UTC",
        ),
        pytest.param("$__timeFrom()::timestamptz", "'2026-11-20T06:00:00.000000Z'::timestamptz", id="from"),
        pytest.param("$__timeTo()", "'2026-11-21T00:00:00.250000Z'", id="to"),
        pytest.param("$__time(at)", 'at AS "time"', id="time"),
        pytest.param("$__timeGroup(time, '5m')", "floor(extract(epoch from time)/300)*300", id="group, quoted"),
        pytest.param("$__timeGroup(time,250ms)", "floor(extract(epoch from time)/0.25)*0.25", id="group, ms"),
        pytest.param("$__timeGroup(time, 1d, NULL)", "floor(extract(epoch from time)/86400)*86400", id="fill"),
        pytest.param(
            "$__timeGroupAlias(r.time, $__interval)",
            'floor(extract(epoch from r.time)/30)*30 AS "time"',
            id="group by the interval, named",
        ),
        pytest.param("'$__interval_ms milliseconds'", "'30000 milliseconds'", id="interval in ms"),
        pytest.param("$__interval", "30s", id="interval"),
        pytest.param("IN (${asset:sqlstring})", "IN ('P-101','F''1')", id="names as SQL strings"),
        pytest.param("${asset:csv}", "P-101,F'1", id="csv"),
        pytest.param("SELECT 1 -- costs $5", "SELECT 1 -- costs $5", id="other dollars stay"),
    ],
)
def test_macro_becomes_what_grafana_makes_of_it(sql: str, expected: str) -> None:
    assert expand(sql, QUESTION) == expected


def test_time_group_uses_time_bucket_where_the_data_source_has_timescaledb() -> None:
    question = replace(QUESTION, timescaledb=True, interval_ms=90_000)
    assert expand("$__timeGroup(time, $__interval)", question) == "time_bucket('90.000s',time)"


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("$__timefilter(time)", id="misspelt macro"),
        pytest.param("$__timeFilter", id="macro without arguments"),
        pytest.param("$__timeFilter()", id="no column"),
        pytest.param("$__timeGroup(time)", id="no interval"),
        pytest.param("$__timeGroup(time, often)", id="not an interval"),
        pytest.param("$__timeGroup(coalesce(a, b), 1m)", id="bracket inside, which Grafana cuts"),
        pytest.param("${sensor:sqlstring}", id="variable the board does not have"),
        pytest.param("${asset:json}", id="format not known"),
        pytest.param("${asset}", id="variable without a format is not safe in SQL"),
        pytest.param("${asset.name:csv}", id="not a variable at all"),
    ],
)
def test_what_grafana_would_not_know_is_an_error(sql: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        expand(sql, QUESTION)
