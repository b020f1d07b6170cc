"""Models as bytes: they come back as they were, and nothing that was changed, or is foreign, is loaded."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, RobustScaler

from models.artefacts.artefact import (
    Artefact,
    ArtefactError,
    Metadata,
    dump,
    fingerprint,
    load,
    read_metadata,
    versions,
)
from models.artefacts.drift import DRIFTED, SHIFTED, Reference, stability_index

ROWS = np.random.default_rng(3).normal(size=(200, 3))
METADATA = Metadata(
    task="anomaly",
    asset_class="pump",
    features=("vib_de", "temp_de", "flow"),
    data_from=datetime(2026, 1, 1, tzinfo=UTC),
    data_until=datetime(2026, 2, 1, tzinfo=UTC),
    assets=("P-101", "P-102"),
    rows=200,
    metrics={"false_alarms_per_month": 0.5},
    versions=versions(),
)


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    forest = make_pipeline(RobustScaler(), IsolationForest(n_estimators=5, random_state=1)).fit(ROWS)
    boosting = HistGradientBoostingRegressor(max_iter=5).fit(ROWS, ROWS[:, 0])
    return Artefact(
        metadata=METADATA, estimators={"forest": forest, "boosting": boosting}, arrays={"limit": np.array([0.7])}
    )


@pytest.fixture(scope="module")
def body(artefact: Artefact) -> bytes:
    return dump(artefact)


def test_a_model_comes_back_as_it_was(artefact: Artefact, body: bytes) -> None:
    loaded = load(body, sha256=fingerprint(body))
    assert loaded.metadata == METADATA == read_metadata(body)
    for name in ("forest", "boosting"):
        np.testing.assert_array_equal(loaded.estimators[name].predict(ROWS), artefact.estimators[name].predict(ROWS))
    np.testing.assert_array_equal(loaded.arrays["limit"], [0.7])


@pytest.mark.parametrize("place", [0.0, 0.01, 0.5, 0.999])
def test_a_tampered_model_is_refused(body: bytes, place: float) -> None:
    changed = bytearray(body)
    changed[int(place * len(body))] ^= 1
    with pytest.raises(ArtefactError, match="was changed since it was written"):
        load(bytes(changed), sha256=fingerprint(body))


def test_a_model_of_another_scikit_learn_is_refused(artefact: Artefact) -> None:
    old = replace(artefact, metadata=replace(METADATA, versions={**versions(), "scikit-learn": "1.2.0"}))
    body = dump(old)
    with pytest.raises(ArtefactError, match=r"trained with scikit-learn 1\.2\.0, this is .* train it anew"):
        load(body, sha256=fingerprint(body))


def test_a_model_of_another_format_is_refused(body: bytes) -> None:
    changed = body.replace(b'"format": 1', b'"format": 2', 1)
    with pytest.raises(ArtefactError, match="in format 2, this program reads format 1"):
        load(changed, sha256=fingerprint(changed))


def test_what_is_no_model_is_refused() -> None:
    for content in (b"", b"PK\x03\x04", b"\x80\x04\x95pickle"):
        with pytest.raises(ArtefactError, match="no model of Precursor"):
            load(content, sha256=fingerprint(content))


def test_a_cut_model_is_refused_also_with_its_own_fingerprint(body: bytes) -> None:
    for length in (len(body) - 100, 60, 30):
        with pytest.raises(ArtefactError):
            load(body[:length], sha256=fingerprint(body[:length]))


def test_functions_are_neither_written_nor_loaded(body: bytes) -> None:
    with pytest.raises(ArtefactError, match="holds what no model of ours holds"):
        dump(Artefact(metadata=METADATA, estimators={"evil": FunctionTransformer(json.loads)}))


def test_the_stability_index_is_nothing_for_the_same_and_much_for_another_spread() -> None:
    random = np.random.default_rng(1)
    reference = Reference.of(random.normal(size=5000))
    assert stability_index(reference, random.normal(size=5000)) < SHIFTED / 5
    assert (
        SHIFTED
        < stability_index(reference, random.normal(0.5, 1.0, 5000))
        < stability_index(reference, random.normal(1.0, 1.0, 5000))
    )
    assert stability_index(reference, random.normal(0.0, 3.0, 5000)) > DRIFTED
    assert np.isnan(stability_index(reference, np.full(3, np.nan)))


def test_the_stability_index_by_hand() -> None:
    reference = Reference(edges=np.array([1.0]), shares=np.array([0.5, 0.5]))
    # 0.8 and 0.2 instead of 0.5 and 0.5: 0.3 ln 1.6 - 0.3 ln 0.4
    assert stability_index(reference, np.array([0.0, 0, 0, 0, 2])) == pytest.approx(0.3 * np.log(4))


def test_a_constant_input_that_begins_to_move_has_drifted() -> None:
    assert stability_index(Reference.of(np.full(100, 5.0)), np.random.default_rng(1).normal(5.0, 1.0, 100)) > DRIFTED
