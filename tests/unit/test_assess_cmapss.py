"""Turbofans: files as they come, and figures that mean what they say."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from precursor.assessment.cmapss import assess, assess_set, combined, read_sets
from telemetry.errors import ConfigurationError


def quiet(_: str) -> None:
    """Nobody watches."""


def write(folder: Path, name: str, *, units: int = 5, compressed: bool = False) -> None:
    """A set whose second sensor falls straight to 0 at the failure; test units are cut off 20 cycles before."""
    generator = np.random.default_rng(units)

    def rows(left: int) -> str:
        lines = []
        for unit in range(1, units + 1):
            life = int(generator.integers(70, 100))
            for cycle in range(1, life + 1 - left):
                sensor = (life - cycle) / 20 + generator.normal(0, 0.05)
                lines.append(f"{unit} {cycle} 0.001 0.0003 100.0 518.67 {sensor:.4f}  ")
        return "\n".join(lines) + "\n"

    for part, text in (("train", rows(0)), ("test", rows(20)), ("RUL", "20 \n" * units)):
        if compressed:
            (folder / f"{part}_{name}.txt.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / f"{part}_{name}.txt").write_text(text)


def test_plain_and_compressed_sets_of_a_folder_are_read_alike(tmp_path: Path) -> None:
    write(tmp_path, "FD001", compressed=True)
    write(tmp_path, "FD003")
    first, second = read_sets(tmp_path)
    assert (first.name, second.name) == ("FD001", "FD003")
    np.testing.assert_array_equal(first.train.values, second.train.values)
    assert first.train.values.shape[1] == 2
    assert first.test.settings.shape[1] == 3
    assert first.left.tolist() == [20.0] * 5


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("RUL_FD001.txt", "20\n", "1 rows for 5"),
        ("RUL_FD001.txt", None, "no RUL_FD001"),
        ("test_FD001.txt", "", "expected rows"),
        ("train_FD001.txt", "a b c\n", "no table"),
        ("train_FD001.txt", "1 1 0 0 0 5\n1 1 0 0 0 5\n", "rise"),
        ("train_FD001.txt", None, "expected train_FD001"),
    ],
    ids=["too few lives", "no lives", "empty", "text", "a cycle twice", "no training"],
)
def test_files_that_do_not_fit_are_refused_by_name(tmp_path: Path, file: str, content: str | None, says: str) -> None:
    write(tmp_path, "FD001")
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(ConfigurationError, match=says):
        read_sets(tmp_path)


def test_known_wear_is_foretold_and_the_figures_say_so(tmp_path: Path) -> None:
    write(tmp_path, "FD001")
    (only,) = read_sets(tmp_path)
    assessment = assess_set(only, seed=0, watch=quiet, members=1, effort=0.1)
    figures = {figure.name: figure for figure in assessment.figures}
    assert figures["rmse"].value < 8
    assert figures["rmse"].met is True
    # All units have 20 cycles left: what the mean of training misses by can be worked out.
    target = np.minimum(only.train.remaining, 125)
    assert figures["rmse"].baselines["mean"] == pytest.approx(target.mean() - 20)
    assert figures["phm08"].baselines["mean"] == pytest.approx(5 * np.expm1((target.mean() - 20) / 10))
    assert assessment.as_json()["details"]["set"] == "FD001"


def test_sets_are_told_apart_and_only_fd001_has_an_aim(tmp_path: Path) -> None:
    write(tmp_path, "FD003", units=3)
    write(tmp_path, "FD004", units=4)
    assessment = combined(
        [assess_set(each, seed=0, watch=quiet, members=1, effort=0.02) for each in read_sets(tmp_path)]
    )
    names = [figure.name for figure in assessment.figures]
    assert {"fd003_rmse", "fd004_rmse"} < set(names)
    assert len(names) == len(set(names))
    assert all(figure.met is None for figure in assessment.figures)
    assert [part.details["set"] for part in assessment.parts] == ["FD003", "FD004"]


def test_a_sample_of_turbofans_is_foretold_better_than_by_ridge_regression(recorded_data: Path) -> None:
    (whole,) = read_sets(recorded_data / "cmapss_fd001")
    chosen = whole.train.where(whole.train.unit <= 12)
    (figure, *_) = assess_set(
        type(whole)(name="sample", train=chosen, test=whole.test, left=whole.left),
        seed=0,
        watch=quiet,
        members=1,
        effort=0.05,
    ).figures
    assert figure.value < figure.baselines["ridge"] < figure.baselines["mean"]


@pytest.mark.slow
def test_turbofans_are_foretold_as_well_as_is_aimed_at(recorded_data: Path) -> None:
    assessment = assess(recorded_data / "cmapss_fd001", seed=1, watch=quiet)
    figures = {figure.name: figure for figure in assessment.figures}
    assert assessment.met, figures["rmse"]
    assert figures["rmse"].value < min(figures["rmse"].baselines.values())
    assert 0.7 <= figures["coverage_p10_p90"].value <= 0.95
