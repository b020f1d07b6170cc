"""From what a person asked for to a question that can be answered: rules made ready, with a database or without."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from precursor.backtest.readings import Progress, bounds
from precursor.backtest.report import Report
from precursor.backtest.rule_set import RuleSet, rule_set, rules_in_force
from precursor.backtest.trial import Data, FileData, Question, StoredData, backtest
from precursor.plantfile.definition import PlantDefinition
from rules.lead_time import Failure
from rules.store import load_rules
from telemetry.catalogue import load_catalogue, name_list
from telemetry.errors import ConfigurationError
from telemetry.plant_store import load_plant
from telemetry.reading_files import ReadingSource

__all__ = ["Building"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """What was asked for."""

    definition: PlantDefinition
    name: str
    """of the rules' file"""
    old_definition: PlantDefinition | None
    """what to compare with; None: with the rules in the database, where readings come from there"""
    old_name: str
    assets: tuple[str, ...]
    """patterns; empty: all"""
    failures: tuple[Failure, ...] | None
    horizon: timedelta
    operators: int
    suggest: bool
    draw: bool
    align_s: float

    async def on_file(
        self,
        table: ReadingSource,
        begin: datetime | None,
        end: datetime | None,
        timezone: str | None,
        on_progress: Progress,
    ) -> Report:
        """Try the rules on a file; without ends, on all of it.

        Raises:
            ConfigurationError: the file cannot be understood, or it and the rules do not fit.
        """
        if begin is None or end is None:
            first, last = bounds(table, timezone=timezone, on_progress=on_progress)
            begin, end = begin or first, end or last
            if begin >= end:
                raise ConfigurationError(f"{table.name!r} has no readings between {begin} and {end}")
        new = rule_set(self.definition)
        old = None if self.old_definition is None else rule_set(self.old_definition, sensor_ids=new.sensor_ids)
        names = dict(new.sensor_ids) if old is None else {**old.sensor_ids, **new.sensor_ids}
        data = FileData(table, names, begin, end, timezone=timezone)
        report = await self._try(new, old, begin, end, data, on_progress)
        if report.seen.rows and not report.seen.names & names.keys():
            raise ConfigurationError(
                f"{table.name!r} has readings of {name_list(sorted(report.seen.names), names)}; the plant"
                " that the rules are for has none of these sensors"
            )
        return report

    async def on_stored(
        self, connection: asyncpg.Connection, begin: datetime, end: datetime, on_progress: Progress
    ) -> Report:
        """Try the rules on the readings in the database.

        Raises:
            ConfigurationError: none of the rules' sensors is in the database.
        """
        known = {sensor.name: sensor.id for sensor in (await load_catalogue(connection)).sensors}
        if not known:
            raise ConfigurationError(
                "the database has no sensors yet: apply a plant file first, or name a file (--data)"
            )
        new = rule_set(self.definition, sensor_ids=known)
        if self.old_definition is not None:
            old: RuleSet | None = rule_set(self.old_definition, sensor_ids=known)
        else:
            old = rules_in_force(await load_plant(connection), await load_rules(connection))
        return await self._try(new, old, begin, end, StoredData(connection, begin, end), on_progress)

    async def _try(
        self, new: RuleSet, old: RuleSet | None, begin: datetime, end: datetime, data: Data, on_progress: Progress
    ) -> Report:
        new = new.watched_since(begin)
        old = None if old is None else old.watched_since(begin)
        if self.assets:
            new, old = new.of_assets(self.assets), None if old is None else old.narrowed(self.assets)
        question = Question(
            name=self.name,
            rules=new,
            begin=begin,
            end=end,
            old_name=self.old_name or "in force",
            old=old,
            failures=self.failures,
            horizon=self.horizon,
            operators=self.operators,
            suggest=self.suggest,
            draw=self.draw,
            align_s=self.align_s,
        )
        return await backtest(question, data, on_progress=on_progress)
