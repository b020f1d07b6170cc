"""The report's shape, the page made of it, and the accounts that must add up."""

import pytest

from precursor.bench.measures import MEASURES
from precursor.bench.page import section, with_section
from precursor.bench.report import Account, LossError, Report, Result

MACHINE = {
    "measured_at": "2026-11-21T04:00:00+00:00",
    "sizes": "full",
    "cpu": "A|B",
    "edition": "plain",
    "broker": None,
}


def report(edition: str = "plain", value: float = 250_000.0) -> Report:
    return Report(
        machine={**MACHINE, "edition": edition},
        results=[
            Result(name="store.copy", value=value, limit=500_000.0),
            Result(name="store.encode", value=8_123_456.0),
        ],
    )


def test_each_result_has_value_unit_limit_and_their_ratio() -> None:
    assert report().as_json() == {
        "machine": MACHINE,
        "results": [
            {"name": "store.copy", "value": 250_000.0, "unit": "rows/s", "limit": 500_000.0, "ratio": 0.5},
            {"name": "store.encode", "value": 8_123_456.0, "unit": "readings/s", "limit": None, "ratio": None},
        ],
    }


@pytest.mark.parametrize(("name", "limit"), [("store.copy", None), ("store.encode", 1.0)])
def test_a_limit_stands_exactly_where_the_measure_describes_one(name: str, limit: float | None) -> None:
    with pytest.raises(ValueError, match=name):
        Result(name=name, value=1.0, limit=limit)


def test_every_measure_has_a_unit_and_says_what_is_done() -> None:
    assert all(measure.unit and measure.work for measure in MEASURES.values())


def account(**changes: int) -> Account:
    counts = {"published": 10, "rows": 10, "received": 10, "stored": 10, "duplicate": 0, "rejected": 0}
    return Account(name="mqtt.single_qos1", **{**counts, **changes})


def test_an_account_in_which_every_reading_is_stored_once_passes() -> None:
    account().check()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"rows": 9}, id="row missing"),
        pytest.param({"published": 11}, id="never arrived"),
        pytest.param({"received": 11, "duplicate": 1}, id="delivered twice"),
        pytest.param({"stored": 9, "rejected": 1, "rows": 9}, id="rejected"),
        pytest.param({"stored": 9}, id="ledger does not add up"),
    ],
)
def test_an_account_that_does_not_add_up_is_an_error(changes: dict[str, int]) -> None:
    with pytest.raises(LossError, match=r"mqtt\.single_qos1"):
        account(**changes).check()


def test_the_section_shows_every_figure_with_its_limit_and_what_that_is() -> None:
    text = section("precursor bench ingest", report().as_json())
    assert "| `store.copy` | 250,000 | rows/s | 500,000 | 0.50 |" in text
    assert MEASURES["store.copy"].limit in text
    assert "| processor | A\\|B |" in text
    assert "broker" not in text


def test_the_page_keeps_sections_of_other_editions_and_replaces_its_own() -> None:
    page = with_section("", "precursor bench ingest", report().as_json())
    page = with_section(page, "precursor bench ingest", report("timescaledb-apache 2.19").as_json())
    page = with_section(page, "precursor bench ingest", report(value=123_000.0).as_json())
    titles = [line for line in page.splitlines() if line.startswith("#")]
    assert titles == ["# Performance", "## Bench ingest, plain", "## Bench ingest, timescaledb-apache"]
    assert page.count("123,000") == page.count("250,000") == 1


def test_writing_the_same_report_twice_gives_the_same_page() -> None:
    once = with_section("", "precursor bench ingest", report().as_json())
    assert with_section(once, "precursor bench ingest", report().as_json()) == once
