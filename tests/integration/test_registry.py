"""The registry of models, from candidate to retired and back."""

from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from models.artefacts.artefact import Artefact, ArtefactError, Metadata, versions
from precursor.registry import (
    ModelState,
    add_model,
    list_events,
    list_models,
    load_model,
    promote,
    put_watch,
    retire,
    roll_back,
)
from telemetry.errors import ConfigurationError

ROWS = np.random.default_rng(3).normal(size=(50, 2))
BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
ARTEFACT = Artefact(
    metadata=Metadata(
        task="anomaly",
        asset_class="pump",
        features=("vib_de", "temp_de"),
        data_from=BEGIN,
        data_until=END,
        assets=("P-101",),
        rows=50,
        versions=versions(),
    ),
    estimators={"forest": IsolationForest(n_estimators=3, random_state=1).fit(ROWS)},
)


async def states(connection: asyncpg.Connection) -> dict[int, str]:
    return {row.version: row.state.value for row in await list_models(connection, "pumps", retired=True)}


async def test_a_model_goes_through_shadow_before_it_is_active(connection: asyncpg.Connection) -> None:
    assert await add_model(connection, "pumps", ARTEFACT, actor="anna") == 1
    assert await promote(connection, "pumps", 1, actor="anna") == (ModelState.SHADOW, None)
    assert await promote(connection, "pumps", 1, actor="ben", note="a month without a false alarm") == ("active", None)
    with pytest.raises(ConfigurationError, match="version 1 is active"):
        await promote(connection, "pumps", 1, actor="ben")
    events = await list_events(connection, "pumps")
    assert [(event.state_from, event.state_to, event.actor) for event in events] == [
        (None, "candidate", "anna"),
        ("candidate", "shadow", "anna"),
        ("shadow", "active", "ben"),
    ]
    loaded = await load_model(connection, (await list_models(connection))[0].id)
    np.testing.assert_array_equal(
        loaded.estimators["forest"].score_samples(ROWS), ARTEFACT.estimators["forest"].score_samples(ROWS)
    )


async def test_who_takes_a_place_retires_who_was_there_and_rolling_back_undoes_it(
    connection: asyncpg.Connection,
) -> None:
    for version in (1, 2):
        assert await add_model(connection, "pumps", ARTEFACT, actor="anna") == version
        await promote(connection, "pumps", version, actor="anna")
        state, retired = await promote(connection, "pumps", version, actor="anna")
        assert (state, retired) == ("active", None if version == 1 else 1)
    assert await states(connection) == {2: "active", 1: "retired"}
    assert await roll_back(connection, "pumps", actor="ben", note="version 2 alarms at every start") == (2, 1)
    assert await states(connection) == {2: "retired", 1: "active"}
    assert await roll_back(connection, "pumps", actor="ben") == (1, 2)
    assert await states(connection) == {2: "active", 1: "retired"}


async def test_there_is_nothing_to_roll_back_to_at_first(connection: asyncpg.Connection) -> None:
    await add_model(connection, "pumps", ARTEFACT, actor="anna")
    with pytest.raises(ConfigurationError, match="no model 'pumps' was active before"):
        await roll_back(connection, "pumps", actor="anna")
    with pytest.raises(ConfigurationError, match="no model 'pumps' of version 7"):
        await promote(connection, "pumps", 7, actor="anna")


async def test_a_model_that_was_tampered_with_in_the_database_is_not_promoted(connection: asyncpg.Connection) -> None:
    await add_model(connection, "pumps", ARTEFACT, actor="anna")
    await connection.execute("UPDATE model SET artefact = set_byte(artefact, length(artefact) / 2, 0)")
    await connection.execute("UPDATE model SET artefact = set_byte(artefact, length(artefact) / 2 + 1, 1)")
    with pytest.raises(ArtefactError, match="was changed since it was written"):
        await promote(connection, "pumps", 1, actor="anna")
    assert await states(connection) == {1: "candidate"}


async def test_a_name_is_for_one_task(connection: asyncpg.Connection) -> None:
    await add_model(connection, "pumps", ARTEFACT, actor="anna")
    other = replace(ARTEFACT, metadata=replace(ARTEFACT.metadata, task="remaining_life"))
    with pytest.raises(ConfigurationError, match="'pumps' are for anomaly, this one is for remaining life"):
        await add_model(connection, "pumps", other, actor="anna")


async def test_a_model_of_another_version_is_not_promoted(connection: asyncpg.Connection) -> None:
    old = replace(ARTEFACT, metadata=replace(ARTEFACT.metadata, versions={**versions(), "scikit-learn": "1.2.0"}))
    await add_model(connection, "pumps", old, actor="anna")
    with pytest.raises(ArtefactError, match="train it anew"):
        await promote(connection, "pumps", 1, actor="anna")


async def test_retired_models_are_listed_on_demand_only(connection: asyncpg.Connection) -> None:
    await add_model(connection, "pumps", ARTEFACT, actor="anna")
    await retire(connection, "pumps", 1, actor="anna", note="a try")
    assert not await list_models(connection)
    assert len(await list_models(connection, retired=True)) == 1
    with pytest.raises(ConfigurationError, match="retired already"):
        await retire(connection, "pumps", 1, actor="anna")


async def test_what_was_last_seen_of_a_model_stands_beside_it(connection: asyncpg.Connection) -> None:
    await add_model(connection, "pumps", ARTEFACT, actor="anna")
    model = (await list_models(connection))[0]
    assert (model.watched_until, model.drift) == (None, {})
    for end, index in ((datetime(2026, 3, 1, tzinfo=UTC), 0.1), (datetime(2026, 4, 1, tzinfo=UTC), 0.4)):
        await put_watch(
            connection, model.id, END, end, drift={"vib_de": index}, performance={"alarms_per_asset_month": 1.0}
        )
    model = (await list_models(connection))[0]
    assert model.watched_until == datetime(2026, 4, 1, tzinfo=UTC)
    assert model.drift == {"vib_de": 0.4}
    assert model.performance == {"alarms_per_asset_month": 1.0}
