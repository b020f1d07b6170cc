"""Assessments: figures with aims, the JSON document, the card and its pictures."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.evaluation.events import Run
from precursor.assessment.card import write_card
from precursor.assessment.detection import detection_details, detection_drawings, detection_figures
from precursor.assessment.drawings import Bars, Curves, Line, Scatter, Timeline, Track
from precursor.assessment.report import Assessment, Figure
from precursor.assessment.text import number
from telemetry.errors import ConfigurationError

NAN = float("nan")
ROWS = np.arange(5.0)
UNKNOWN = np.full(5, NAN)


@pytest.mark.parametrize(
    ("value", "at_least", "at_most", "aim", "met"),
    [
        (18.0, 18, None, ">= 18", True),
        (17.9, 18, None, ">= 18", False),
        (2.5, None, 2.5, "<= 2.5", True),
        (2.6, None, 2.5, "<= 2.5", False),
        (0.5, 0.4, 0.6, ">= 0.4 and <= 0.6", True),
        (NAN, 0.4, None, ">= 0.4", False),
        (NAN, None, None, None, None),
    ],
)
def test_an_aim_is_met_or_not(
    value: float, at_least: float | None, at_most: float | None, aim: str | None, met: bool | None
) -> None:
    figure = Figure.aimed("f", np.float64(value), at_least=at_least, at_most=at_most)

    assert (figure.aim, figure.met) == (aim, met)
    json.dumps(figure.as_json(), allow_nan=False)


def test_a_document_has_null_for_what_does_not_exist() -> None:
    assessment = Assessment(
        dataset="d",
        title="t",
        figures=(Figure(name="f", value=NAN, baselines={"random": np.inf}),),
        details={"a": [np.float64(1.5), NAN], "b": np.array([1, 2]), "c": {"d": -np.inf}},
        parts=(Assessment(dataset="p", title="t", figures=()),),
    )

    document = json.loads(json.dumps(assessment.as_json(), allow_nan=False))

    assert document["figures"][0] | {"unit": ""} == {
        "name": "f",
        "value": None,
        "unit": "",
        "aim": None,
        "met": None,
        "baselines": {"random": None},
    }
    assert document["details"] == {"a": [1.5, None], "b": [1, 2], "c": {"d": None}}
    assert document["parts"][0]["dataset"] == "p"
    assert assessment.met
    missed = Figure(name="f", value=0.0, aim=">= 1", met=bool(np.False_))
    assert not replace(assessment, figures=(*assessment.figures, missed)).met


def test_numbers_are_short() -> None:
    assert [number(each) for each in (17.0, 0.81615, 12345.6, NAN, np.inf, 0.0)] == [
        "17", "0.816", "12,346", "-", "inf", "0",
    ]  # fmt: skip


def test_whatever_is_known_can_be_drawn(tmp_path: Path) -> None:
    drawings = (
        Curves(name="c", title="c", x="x", y="y", lines=(Line(name="l", x=ROWS, y=UNKNOWN),), steps=True),
        Curves(
            name="log", title="c", x="x", y="y", log_y=True,
            lines=(Line(name="l", x=ROWS, y=ROWS + 1), Line(name="m", x=ROWS, y=ROWS + 2, plain=True)),
        ),
        Timeline(name="none", title="t", x="x", tracks=()),
        Timeline(
            name="t", title="t", x="x",
            tracks=(
                Track(name="u", time=ROWS, score=UNKNOWN, label=ROWS > 9),
                Track(name="k", time=ROWS, score=ROWS, label=ROWS > 2, judged_from=1.0),
                Track(name="inf", time=ROWS, score=np.where(ROWS > 3, np.inf, -1), label=ROWS >= 0),
            ),
        ),
        Scatter(name="s", title="s", x="x", y="y", points=(Line(name="p", x=ROWS, y=UNKNOWN),)),
        Scatter(name="nothing", title="s", x="x", y="y", points=()),
        Bars(name="b", title="b", y="y", names=("a", "b"), values=np.array([1.0, NAN]), limit=0.5),
        Bars(name="empty", title="b", y="y", names=(), values=np.zeros(0)),
    )  # fmt: skip

    card = write_card(
        Assessment(dataset="d", title="t", figures=(), drawings=drawings),
        tmp_path / "new",
        command="precursor evaluate",
    )

    assert {path.name for path in card.parent.glob("*.png")} == {f"d_{drawing.name}.png" for drawing in drawings}
    assert card.read_text().count("![") == len(drawings)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_card(Assessment(dataset="d", title="t", figures=()), tmp_path / "file", command="")


def test_runs_without_an_event_have_figures_too() -> None:
    run = Run(name="quiet", time_s=np.arange(100.0), score=np.zeros(100), label=np.zeros(100, np.bool_), train=10)

    figures = {each.name: each for each in detection_figures([run], [run], seed=0, events_at_least=1)}

    assert figures["events_detected"].met is False
    assert figures["false_alarms_per_h"].value == 0
    assert np.isnan(figures["auc_pr"].value)
    assert detection_details([run])["events"] == []
    assert [each.name for each in detection_drawings([run])] == ["runs"]
