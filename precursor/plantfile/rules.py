"""Rules, templates and overrides of a plant file: one definition for each rule and what it is on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from precursor.plantfile.definition import JobPlanDefinition, RuleDefinition
from precursor.plantfile.entries import RulesEntry
from precursor.plantfile.notes import Notes
from precursor.plantfile.places import Places
from precursor.plantfile.problems import Path
from precursor.plantfile.rule_conditions import check_suppression, gate
from precursor.plantfile.rule_drafts import Draft, LackingError, RuleError, Watching, given
from precursor.plantfile.rule_entries import OverrideEntry, RuleEntry
from precursor.plantfile.rule_keys import SENSOR_QUALITY, RuleKeys
from precursor.plantfile.rule_kinds import KINDS, SENSOR_KINDS
from precursor.plantfile.rule_limits import SIDES
from precursor.plantfile.rule_subjects import Subjects, WrittenRule
from precursor.plantfile.structure import NOBODY
from rules.definition import Priority
from telemetry.names import closest
from telemetry.plant import SensorKind

__all__ = ["Overrides", "Rules"]

Overrides = Mapping[str, Mapping[str, tuple[OverrideEntry, Path]]]
"""asset, rule, what is different about the rule there, and where the file says so"""

_BARE = (*SIDES, "setpoint", "every")


class Rules:
    """The rules of a file, put together."""

    def __init__(
        self,
        places: Places,
        overrides: Overrides,
        schedules: Mapping[str, Mapping[str, Any]],
        plans: Sequence[JobPlanDefinition],
        notes: Notes,
    ) -> None:
        self.found: list[RuleDefinition] = []
        self._places = places
        self._overrides = overrides
        self._schedules = schedules
        self._keys = RuleKeys({plan.name for plan in plans}, schedules, notes)
        self._subjects = Subjects(places, notes)
        self._notes = notes
        self._names: dict[str, Path] = {}
        self._taken: dict[tuple[str, str], Path] = {}
        self._used = set[tuple[str, str]]()
        """asset and rule of the overrides that changed something"""
        self._suppressed: dict[str, list[Draft]] = {}
        self._told = set[Path]()

    def add(self, file: RulesEntry, automatic: Iterable[WrittenRule] = ()) -> None:
        """Take over the rules of a file, and automatic ones where it has none."""
        written = list(self._written(file))
        for rule in written:
            self._add(rule)
        for rule in automatic:
            self._add_automatic(rule)
        self._add_sensor_quality(file)
        check_suppression(self.found, self._suppressed, self._names, self._places, self._notes)
        self._check_overrides()

    def _written(self, file: RulesEntry) -> Iterator[WrittenRule]:
        names: dict[str, Path] = {}
        for place, entry in enumerate(file.rules):
            path: Path = ("rules", place)
            if self._notes.once(names, entry.name, (*path, "name"), "rule name"):
                yield WrittenRule(entry=entry, path=path)
        for place, template in enumerate(file.templates):
            at: Path = ("templates", place)
            self._check_class(template.asset_class, (*at, "class"))
            own: dict[str, Path] = {}
            for number, entry in enumerate(template.rules):
                path = (*at, "rules", number)
                if self._notes.once(own, entry.name, (*path, "name"), "rule name"):
                    yield WrittenRule(
                        entry=entry,
                        path=path,
                        origin=f"template {template.asset_class}",
                        asset_class=template.asset_class,
                    )

    def _check_class(self, name: str, path: Path) -> None:
        """A class may have no assets yet; one that is almost another is a slip of the pen."""
        known = [kind for kind in self._places.assets_of_class if kind]
        if name in known or name == NOBODY:
            return
        if near := get_close_matches(name, known, n=1, cutoff=0.8):
            self._notes.add(path, f"no asset is a {name!r}; did you mean {near[0]!r}?")

    def _add(self, written: WrittenRule) -> None:
        entry = written.entry
        self._names.setdefault(entry.name, written.path)
        if not self._notes.sound(written.path) or not self._keys.is_whole(written):
            return
        drafts = list(self._drafts(written))
        if self._bare_over_units(written, drafts):
            return
        passed = list[RuleError]()
        count = len(self.found)
        for draft in drafts:
            try:
                self._define(draft)
            except RuleError as fault:
                if isinstance(fault, LackingError) and self._may_pass(written, draft):
                    passed.append(fault)
                elif fault.path not in self._told:
                    self._told.add(fault.path)
                    self._notes.add(fault.path, fault.message)
        if passed and len(self.found) == count:
            self._notes.add(passed[0].path, passed[0].message)

    def _may_pass(self, written: WrittenRule, draft: Draft) -> bool:
        """Whether the asset is meant by a pattern or a template, not by its name."""
        return written.asset_class is not None or draft.asset not in written.entry.assets

    def _drafts(self, written: WrittenRule) -> Iterator[Draft]:
        """The rule on each of its subjects, with what their assets say differently; not where it is off."""
        seen = set[str]()
        for asset, sensor in self._subjects.of(written):
            draft = Draft(entry=written.entry, path=written.path, asset=asset, sensor=sensor, origin=written.origin)
            if draft.subject in seen:
                continue
            seen.add(draft.subject)
            changed = self._overridden(draft)
            if changed is not None:
                yield changed

    def _overridden(self, draft: Draft) -> Draft | None:
        entry = draft.entry
        override, path = self._overrides.get(draft.asset, {}).get(entry.name, (None, ()))
        if override is None:
            return draft
        is_first = (draft.asset, entry.name) not in self._used
        self._used.add((draft.asset, entry.name))
        if override.off:
            return None
        if not self._notes.sound(path):
            return draft
        if is_first:
            before = len(self._notes.problems)
            self._keys.check(override, entry, path)
            if len(self._notes.problems) > before:
                self._told.add(path)
        if path in self._told:
            return draft
        said = {name: getattr(override, name) for name in override.model_fields_set if name != "off"}
        if said.get("priority", entry.priority) is None:
            del said["priority"]
        return Draft(
            entry=entry.model_copy(update=said),
            path=draft.path,
            asset=draft.asset,
            sensor=draft.sensor,
            origin=draft.origin,
            override=path,
            overridden=given(override) - {"off"},
        )

    def _bare_over_units(self, written: WrittenRule, drafts: Sequence[Draft]) -> bool:
        """Whether a number without a unit would mean something else on each of many sensors."""
        entry = written.entry
        bare = [key for key in _BARE if (limit := getattr(entry, key)) is not None and limit[1] is None]
        if not bare or entry.kind == "expression":
            return False
        units = sorted({draft.sensor.unit or "no unit" for draft in drafts if draft.sensor is not None})
        if len(units) <= 1:
            return False
        self._notes.add(
            (*written.path, bare[0]),
            f"a number without a unit, for sensors in {', '.join(units)}; "
            'expected a unit (e.g. "7.1 mm/s") or narrower patterns in sensors',
        )
        return True

    def _define(self, draft: Draft) -> None:
        entry = draft.entry
        watching = KINDS[entry.kind].watching(draft, self._places)
        options: dict[str, Any] = dict(watching.options)
        if (found := gate(draft, self._places)) is not None:
            options["gate"] = found
        if entry.schedule is not None and entry.schedule in self._schedules:
            options["schedule"] = self._schedules[entry.schedule]
        if entry.suppressed_by:
            options["suppressed_by"] = list(entry.suppressed_by)
            self._suppressed.setdefault(entry.name, []).append(draft)
        if entry.suppresses_children:
            options["suppresses_children"] = True
        if entry.first_out is not None:
            options["first_out"] = entry.first_out
        if sources := _sources(draft, watching):
            options["sources"] = sources
        key = (entry.name, draft.subject)
        if key in self._taken:
            first = self._notes.line(self._taken[key])
            message = f"rule {entry.name!r} is on {draft.subject} already: line {first}; choose another name"
            raise draft.fault("name", message)
        self._taken[key] = draft.path
        self.found.append(
            RuleDefinition(
                name=entry.name,
                title=entry.title,
                subject=draft.subject,
                sensor=None if draft.sensor is None else draft.sensor.name,
                asset=draft.asset,
                kind=entry.kind,
                unit=watching.unit,
                high_high=watching.limits.get("high_high"),
                high=watching.limits.get("high"),
                low=watching.limits.get("low"),
                low_low=watching.limits.get("low_low"),
                deadband=watching.deadband,
                on_delay_s=watching.on_delay_s,
                off_delay_s=watching.off_delay_s,
                latching=entry.latching,
                priority=Priority[entry.priority.upper()],
                critical_priority=Priority[entry.critical_priority.upper()],
                failure_mode=entry.failure_mode,
                job_plan=entry.job_plan,
                options=options,
            )
        )

    def _add_automatic(self, written: WrittenRule) -> None:
        """A rule on those of its sensors that no rule of the file looks at."""
        entry = written.entry
        self._names.setdefault(entry.name, written.path)
        watched = {rule.sensor for rule in self.found if rule.kind not in SENSOR_KINDS or rule.kind == "out_of_range"}
        names = [name for name in entry.sensors if name not in watched]
        if names:
            self._add(replace(written, entry=entry.model_copy(update={"sensors": names})))

    def _add_sensor_quality(self, file: RulesEntry) -> None:
        """A rule for every sensor that a rule about a machine looks at and whose quality nobody watches."""
        asked = file.sensor_quality
        self._names.setdefault(SENSOR_QUALITY, ("sensor_quality",))
        if asked.off:
            return
        covered = {rule.sensor for rule in self.found if rule.kind == "quality"}
        watched = dict[str, None]()
        for rule in self.found:
            if rule.kind not in SENSOR_KINDS:
                looked_at = [rule.sensor, rule.options.get("reference"), *rule.options.get("inputs", {}).values()]
                watched.update(
                    (origin, None) for name in looked_at if name is not None for origin in self._measured(name)
                )
        names = [name for name in watched if name not in covered]
        if not names:
            return
        document = {
            "name": SENSOR_QUALITY,
            "title": "The sensor sends no usable values",
            "kind": "quality",
            "sensors": names,
            "for": asked.for_,
            "priority": asked.priority,
        }
        self._add(WrittenRule(entry=RuleEntry.model_validate(document), path=("sensor_quality",), origin="automatic"))

    def _measured(self, name: str) -> Sequence[str]:
        """The sensor itself, or those that it is computed from."""
        sensor = self._places.sensor_by_name[name]
        while sensor.source is not None:
            sensor = self._places.sensor_by_name[sensor.source]
        if sensor.kind is not SensorKind.DERIVED:
            return [sensor.name]
        detector = self._places.asset_by_name[sensor.asset].detector
        return () if detector is None else detector.sensors

    def _check_overrides(self) -> None:
        if {"rules", "templates", "sites", "assets"} & self._notes.unsure:
            return
        for asset, rules in self._overrides.items():
            for name, (_, path) in rules.items():
                if (asset, name) in self._used:
                    continue
                if name not in self._names:
                    hint = closest(name, self._names)
                    self._notes.add(path, f"there is no rule {name!r}; expected one that watches {asset}{hint}")
                elif not self._notes.problems:
                    self._notes.add(path, f"rule {name!r} watches nothing of {asset}; leave it out")


def _sources(draft: Draft, watching: Watching) -> dict[str, str]:
    """Where limits, and what an asset says differently, come from."""
    found = {key: draft.source(key) for key in sorted(draft.overridden)}
    found |= {side: draft.source(side) for side in watching.limits or ("condition",)}
    if draft.entry.schedule is not None:
        found["schedule"] = f"schedule {draft.entry.schedule}"
    return {key: text for key, text in (found | dict(watching.sources)).items() if text}
