"""Rules and job plans: what they point to must be there, and must go together."""

import fnmatch
import re
from collections.abc import Mapping, Sequence

from precursor.plantfile.amounts import step_in, value_in
from precursor.plantfile.definition import JobPlanDefinition, RuleDefinition, SensorDefinition
from precursor.plantfile.entries import JobPlanEntry, RuleEntry
from precursor.plantfile.notes import Notes
from precursor.plantfile.problems import Path
from rules.definition import MAX_DELAY_S, Priority
from telemetry.names import closest
from telemetry.plant import SensorKind
from telemetry.units import UnitError

__all__ = ["job_plans", "rules"]

_PATTERN = re.compile(r"[*?\[]")


def job_plans(entries: Sequence[JobPlanEntry], notes: Notes) -> tuple[JobPlanDefinition, ...]:
    """The job plans of a file."""
    names: dict[str, Path] = {}
    for place, entry in enumerate(entries):
        notes.once(names, entry.name, ("job_plans", place, "name"), "job plan name")
    return tuple(
        JobPlanDefinition(
            name=entry.name,
            title=entry.title,
            tasks=tuple(entry.tasks),
            parts=tuple((part.name, part.quantity) for part in entry.parts),
            skills=tuple(entry.skills),
            labour_hours=entry.hours,
            due_within_s=entry.due_within,
        )
        for entry in entries
    )


def rules(
    entries: Sequence[RuleEntry],
    sensors: Sequence[SensorDefinition],
    plans: Sequence[JobPlanDefinition],
    notes: Notes,
) -> tuple[RuleDefinition, ...]:
    """The rules of a file, one for each sensor that each of them watches."""
    by_name = {sensor.name: sensor for sensor in sensors}
    plan_names = {plan.name for plan in plans}
    names: dict[str, Path] = {}
    found: list[RuleDefinition] = []
    for place, entry in enumerate(entries):
        path: Path = ("rules", place)
        notes.once(names, entry.name, (*path, "name"), "rule name")
        if not notes.sound(path):
            continue
        _check(entry, path, plan_names, notes)
        watched = _watched(entry, path, by_name, notes)
        units = sorted({sensor.unit or "no unit" for sensor in watched})
        bare = [key for key in ("high", "low") if (limit := getattr(entry, key)) is not None and limit[1] is None]
        if len(units) > 1 and bare:
            notes.add(
                (*path, bare[0]),
                f"a number without a unit, for sensors in {', '.join(units)}; "
                'expected a unit (e.g. "7.1 mm/s") or narrower patterns in sensors',
            )
            continue
        for sensor in watched:
            rule = _rule(entry, sensor, path, notes)
            if rule is None:
                break
            found.append(rule)
    return tuple(found)


def _check(entry: RuleEntry, path: Path, plan_names: set[str], notes: Notes) -> None:
    if entry.high is None and entry.low is None:
        notes.add(path, "no limit; expected high, low or both")
    if entry.job_plan is not None:
        if entry.failure_mode is None:
            message = "a job plan without a failure_mode: no work order would use it; expected failure_mode beside it"
            notes.add((*path, "job_plan"), message)
        if entry.job_plan not in plan_names and "job_plans" not in notes.unsure:
            hint = closest(entry.job_plan, plan_names)
            notes.add((*path, "job_plan"), f"there is no job plan {entry.job_plan!r}; expected one of job_plans{hint}")
    for key in ("on_delay", "off_delay"):
        if getattr(entry, key) > MAX_DELAY_S:
            notes.add((*path, key), f"longer than {MAX_DELAY_S / 86_400:g} days; expected less")


def _watched(
    entry: RuleEntry, path: Path, by_name: Mapping[str, SensorDefinition], notes: Notes
) -> list[SensorDefinition]:
    watched: dict[str, SensorDefinition] = {}
    for place, text in enumerate(entry.sensors):
        if text in by_name:
            watched[text] = by_name[text]
            continue
        # A pattern means numbers to compare with a limit; a state is watched only where it is named in full.
        matching = (
            [
                name
                for name in fnmatch.filter(by_name, text)
                if by_name[name].kind is not SensorKind.STATE and fnmatch.fnmatchcase(name, text)
            ]
            if _PATTERN.search(text)
            else []
        )
        watched.update((name, by_name[name]) for name in matching)
        if not matching and "sites" not in notes.unsure:
            what = "the pattern matches no sensor" if _PATTERN.search(text) else "there is no sensor of this name"
            message = f"{text!r}: {what}; expected asset.point or a pattern such as *.vib_de{closest(text, by_name)}"
            notes.add((*path, "sensors", place), message)
    return list(watched.values())


def _rule(entry: RuleEntry, sensor: SensorDefinition, path: Path, notes: Notes) -> RuleDefinition | None:
    limits: dict[str, float | None] = {"high": None, "low": None}
    deadband = 0.0
    for key in ("high", "low", "deadband"):
        given = getattr(entry, key)
        if given is None:
            continue
        try:
            if key == "deadband":
                deadband = step_in(sensor.unit, given)
            else:
                limits[key] = value_in(sensor.unit, given)
        except UnitError as fault:
            wanted = f"a unit that converts to {sensor.unit!r}" if sensor.unit else "a number without a unit"
            notes.add((*path, key), f"{fault}; {sensor.name} expects {wanted}")
            return None
    high, low = limits["high"], limits["low"]
    if deadband < 0:
        notes.add((*path, "deadband"), f"{deadband:g} is negative; expected 0 or more")
        return None
    if high is not None and low is not None:
        if high <= low:
            notes.add((*path, "high"), f"high {high:g} is not above low {low:g}; exchange or correct them")
            return None
        if deadband >= high - low:
            message = f"{deadband:g} reaches from one limit to the other; expected less than {high - low:g}"
            notes.add((*path, "deadband"), message)
            return None
    return RuleDefinition(
        name=entry.name,
        title=entry.title,
        sensor=sensor.name,
        high=high,
        low=low,
        deadband=deadband,
        on_delay_s=entry.on_delay,
        off_delay_s=entry.off_delay,
        priority=Priority[entry.priority.upper()],
        failure_mode=entry.failure_mode,
        job_plan=entry.job_plan,
    )
