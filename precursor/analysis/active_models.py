"""Trained models that are in use, each loaded once."""

from collections.abc import Sequence

import asyncpg
import structlog

from models.artefacts.artefact import Artefact, ArtefactError, Task
from precursor.registry import ModelRow, ModelState, list_models, load_model

__all__ = ["ActiveModels"]

_log = structlog.get_logger(__name__)


class ActiveModels:
    """Those of one task."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._loaded: dict[int, Artefact | None] = {}
        """by model; None: refused, and said so"""

    async def read(self, connection: asyncpg.Connection) -> Sequence[tuple[ModelRow, Artefact]]:
        """Those that are active now; one that cannot be loaded is left out, and named in the log once."""
        found = []
        for model in await list_models(connection):
            if model.state is not ModelState.ACTIVE or model.task != self._task:
                continue
            if model.id not in self._loaded:
                try:
                    self._loaded[model.id] = await load_model(connection, model.id)
                except ArtefactError as error:
                    self._loaded[model.id] = None
                    _log.error("model_refused", model=model.name, version=model.version, error=str(error))
            artefact = self._loaded[model.id]
            if artefact is not None:
                found.append((model, artefact))
        return found
