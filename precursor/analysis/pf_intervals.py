"""Remaining life since the alarm: hourly, of each asset that was alarmed since it was renewed."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

import asyncpg

from models.life.competing import ANY
from models.life.pf_interval import VERSION, AlarmedLife, fit_pf_interval, remaining_life_since_alarm
from models.life.prognosis import RemainingLife
from models.life.weibull import WeibullFit
from precursor.analysis.lives import End, Life, lives, newest_readings, read_ends, reporting_sensors
from precursor.analysis.prognoses import Made, add_prognosis
from precursor.analysis.task import hand_over, read_progress
from precursor.model_outputs import life_outputs, life_readings, life_sensors, make_outputs
from telemetry.batch import EPOCH, ReadingBatch, to_micros
from telemetry.buckets import floor
from telemetry.plant import Plant
from telemetry.sql import load_queries

__all__ = ["OUTPUT", "PfIntervalTask"]

_SQL = load_queries("precursor.analysis")

OUTPUT = "pf_interval"
"""the name of the sensor that an asset has for it; see `precursor.model_outputs`"""
_EVERY = timedelta(hours=1)
"""event time between two prognoses of an asset"""
_AT_ONCE = 20

_NO_AGE = RemainingLife(reason="the age is not known: it neither failed nor was repaired since it is watched")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alarmed:
    """A life with the first alarm of one failure mode in it."""

    life: Life
    alarm_at: datetime

    def of(self, mode: str) -> AlarmedLife:
        """Whoever fails after the alarm failed of what was alarmed, unless it is known to be something else."""
        return AlarmedLife(
            alarm_age_s=(self.alarm_at - self.life.begin).total_seconds(),
            end_age_s=self.life.age_s,
            failed=self.life.failed and (mode == ANY or self.life.failure_mode in {ANY, mode}),
        )


class _Known:
    """What was known at one time of assets of one class."""

    def __init__(self, current: Mapping[int, Mapping[str, _Alarmed]], lived: Mapping[str, Sequence[_Alarmed]]) -> None:
        self.current = current
        """by asset and failure mode, of those that live on"""
        self._lived = lived
        self._fits: dict[str, WeibullFit | None] = {}

    def fit(self, mode: str) -> WeibullFit | None:
        if mode not in self._fits:
            self._fits[mode] = fit_pf_interval([each.of(mode) for each in self._lived[mode]])
        return self._fits[mode]


class PfIntervalTask:
    """Fits how long assets of a class lived on after the first alarm of a failure mode, as a share of their age then.

    Alarms are those about the machine, of rules and of detectors alike, by the failure mode that the rule names; of a
    rule that names none any failure counts. An asset without an alarm since it was renewed has no such prognosis. The
    shortest of an asset's failure modes goes to a sensor of its own, which is made with the first answer.
    """

    name = "pf_interval"
    every_s = 30.0

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._reporting = reporting_sensors(plant)

    async def work(self, connection: asyncpg.Connection) -> int:
        """Make the prognoses of some assets that are due; how many assets."""
        alarmed = {row["id"] for row in await connection.fetch(_SQL["alarmed_assets"])}
        newest = await newest_readings(
            connection, {asset: sensors for asset, sensors in self._reporting.items() if asset in alarmed}
        )
        done = await read_progress(connection, self.name, list(newest))
        due = {
            asset: hour
            for asset, last in newest.items()
            if (hour := floor(last, _EVERY)) > done.get(asset, hour - _EVERY)
        }
        known: dict[tuple[frozenset[int], datetime], _Known] = {}
        ends: dict[frozenset[int], Mapping[int, Sequence[End]]] = {}
        some = dict(islice(due.items(), _AT_ONCE))
        for asset_id, until in some.items():
            alike = self._alike(asset_id).intersection(newest)
            if alike not in ends:
                ends[alike] = await read_ends(connection, self._plant, alike)
            if (alike, until) not in known:
                last = {asset: newest[asset] for asset in alike}
                known[alike, until] = await _known(connection, last, ends[alike], until)
            await self._foretell(connection, asset_id, until, known[alike, until])
        return len(some)

    def _alike(self, asset_id: int) -> frozenset[int]:
        """Assets of the same class; one without a class is like none but itself."""
        asset_class = self._plant.asset_by_id[asset_id].asset_class
        return frozenset(
            asset.id
            for asset in self._plant.assets
            if asset.id == asset_id or (asset_class and asset.asset_class == asset_class)
        )

    async def _foretell(self, connection: asyncpg.Connection, asset_id: int, until: datetime, known: _Known) -> None:
        made = await asyncio.to_thread(
            lambda: [
                _made(asset_id, mode, until, each, known) for mode, each in known.current.get(asset_id, {}).items()
            ]
        )
        answers = [each.remaining for each in made if each.remaining.p50_s is not None]
        batch = ReadingBatch.empty()
        async with connection.transaction():
            for each in made:
                await add_prognosis(connection, each)
            if answers:
                name = self._plant.asset_by_id[asset_id].name
                sensors = life_sensors(self._plant, name, OUTPUT)
                if sensors is None:
                    # Readings begin an hour later: an engine has to know a sensor before it takes anything for it.
                    await make_outputs(connection, life_outputs(OUTPUT), [name])
                else:
                    shortest = min(answers, key=lambda life: life.p50_s or 0.0)
                    batch = life_readings(sensors, to_micros(until), shortest)
            await hand_over(connection, self.name, asset_id, until, batch)


async def _known(
    connection: asyncpg.Connection,
    newest: Mapping[int, datetime],
    ends: Mapping[int, Sequence[End]],
    until: datetime,
) -> _Known:
    of: list[tuple[int, Life]] = []
    for asset, last in newest.items():
        before = [end for end in ends.get(asset, ()) if end.at <= until]
        seen_until = min(last, until)
        # A life whose begin nobody knows teaches nothing, but its alarms are to be answered.
        own = lives(before, seen_until) if before else (Life(begin=EPOCH, end=seen_until, failed=False),)
        of += [(asset, life) for life in own]
    rows = await connection.fetch(
        _SQL["first_alarms"], [asset for asset, _ in of], [life.begin for _, life in of], [life.end for _, life in of]
    )
    current: dict[int, dict[str, _Alarmed]] = {}
    lived: dict[str, list[_Alarmed]] = {}
    living = _living(of, newest, until)
    for row in rows:
        asset, life = of[row["place"] - 1]
        mode = row["failure_mode"]
        alarmed = _Alarmed(life=life, alarm_at=row["began_at"])
        lived.setdefault(mode, [])
        if life.begin != EPOCH:
            lived[mode].append(alarmed)
        if row["place"] - 1 in living:
            current.setdefault(asset, {})[mode] = alarmed
    return _Known(current, lived)


def _living(of: Sequence[tuple[int, Life]], newest: Mapping[int, datetime], until: datetime) -> Collection[int]:
    """Places of lives that go on."""
    return {
        place for place, (asset, life) in enumerate(of) if not life.failed and life.end == min(newest[asset], until)
    }


def _made(asset_id: int, mode: str, until: datetime, alarmed: _Alarmed, known: _Known) -> Made:
    details: dict[str, object] = {"version": VERSION, "alarm_at": alarmed.alarm_at.isoformat()}
    remaining = _NO_AGE
    if alarmed.life.begin != EPOCH:
        own = alarmed.of(mode)
        fit = known.fit(mode)
        remaining = remaining_life_since_alarm(fit, alarm_age_s=own.alarm_age_s, age_s=own.end_age_s)
        details |= {"inputs_from": alarmed.life.begin.isoformat(), "alarm_age_s": own.alarm_age_s}
        if fit is not None:
            details |= {
                "shape": fit.shape,
                "scale_ages": fit.scale_s,
                "failures": fit.failures,
                "survivors": fit.survivors,
            }
    return Made(
        asset_id=asset_id,
        sensor_id=None,
        method="pf_interval",
        made_at=until,
        remaining=remaining,
        failure_mode=mode,
        details=details,
    )
