"""The picture of a work order."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from dashboards.evidence import AlarmSpan, Mark, Trend, draw_evidence
from telemetry.batch import to_micros
from telemetry.errors import ConfigurationError

BEGIN = datetime(2026, 11, 20, 22, tzinfo=UTC)


def _trend(label: str, *, unit: str = "", count: int = 600, limit: float | None = 3.0) -> Trend:
    time = to_micros(BEGIN) + np.arange(count, dtype=np.int64) * 60_000_000
    value = 1 + np.abs(np.sin(np.arange(count) / 50)) + np.linspace(0, 4, count)
    value[:20] = np.nan
    return Trend(label=label, unit=unit, time=time, value=value, limit=limit)


def _at(minutes: int) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


def _draw(out: Path, measured: Trend | None = None, score: Trend | None = None) -> Path:
    draw_evidence(
        out,
        title="P-101: bearing wear",
        measured=measured or _trend("P-101.vibration", unit="mm/s"),
        score=score or _trend("P-101.vibration.score"),
        alarms=[
            AlarmSpan(began=_at(300), ended=None, on="score"),
            AlarmSpan(began=_at(400), ended=_at(500), on="measured"),
        ],
        work_orders=[Mark(at=_at(302), label="work order 1")],
        fault_onset=_at(250),
        functional_failure=_at(590),
    )
    return out


def test_png_is_wide_enough_to_be_read_at_900_pixels(tmp_path: Path) -> None:
    header = _draw(tmp_path / "evidence.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(header[16:20]), int.from_bytes(header[20:24])) == (1800, 1080)


def test_same_data_gives_the_same_png(tmp_path: Path) -> None:
    assert _draw(tmp_path / "a.png").read_bytes() == _draw(tmp_path / "b.png").read_bytes()


def test_svg_of_many_readings_stays_small(tmp_path: Path) -> None:
    many = _trend("P-101.vibration", unit="mm/s", count=400_000)
    out = _draw(tmp_path / "evidence.svg", measured=many)
    assert ElementTree.parse(out).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert out.stat().st_size < 1_000_000


def test_drawing_leaves_matplotlibs_settings_alone(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    _draw(tmp_path / "evidence.png")
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    "score",
    [
        pytest.param(_trend("P-101.vibration.score", limit=None), id="no rule watches the score"),
        pytest.param(_trend("P-101.vibration.score", count=10), id="the detector still warms up"),
        pytest.param(_trend("P-101.vibration.score", count=0), id="no score at all"),
    ],
)
def test_score_that_says_little_is_drawn_all_the_same(tmp_path: Path, score: Trend) -> None:
    assert _draw(tmp_path / "evidence.png", score=score).stat().st_size > 10_000


@pytest.mark.parametrize("count", [1, 2, 100_000])
def test_any_span_of_time_gets_an_axis(tmp_path: Path, count: int) -> None:
    assert _draw(tmp_path / "evidence.png", measured=_trend("x", count=count)).exists()


def test_sensor_without_readings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no readings"):
        _draw(tmp_path / "evidence.png", measured=_trend("x", count=0))


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\.png or \.svg"):
        _draw(tmp_path / "evidence.pdf")


def test_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        _draw(tmp_path / "nowhere" / "evidence.png")


def test_times_and_values_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="equal lengths"):
        Trend(label="x", unit="", time=np.zeros(2, np.int64), value=np.zeros(3))
