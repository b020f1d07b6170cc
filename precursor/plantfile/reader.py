"""A plant file, or a file of rules for a plant that is elsewhere, from disk to a definition."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from precursor.plantfile.assembly import Assembly
from precursor.plantfile.automatic_rules import automatic_rules
from precursor.plantfile.definition import JobPlanDefinition, PlantDefinition, RuleDefinition
from precursor.plantfile.document import Document, parse
from precursor.plantfile.entries import PlantEntry, RulesAloneEntry, RulesEntry
from precursor.plantfile.job_plans import job_plans
from precursor.plantfile.known_assets import KnownAssets
from precursor.plantfile.notes import Notes
from precursor.plantfile.places import Places
from precursor.plantfile.problems import PlantFileError, Problem
from precursor.plantfile.remaining_life import with_limits
from precursor.plantfile.rule_subjects import WrittenRule
from precursor.plantfile.rules import Overrides, Rules
from precursor.plantfile.schedules import schedules
from precursor.plantfile.structure import read_structure

__all__ = ["PlantFile", "open_plant_file", "parse_plant_text", "read_plant_file", "read_plant_text"]


@dataclass(frozen=True, slots=True)
class PlantFile:
    """A file that was parsed and not yet judged."""

    name: str
    """in messages"""
    document: Document

    @property
    def has_rules_alone(self) -> bool:
        """Whether it has no sites, so that its names are those of a plant that is elsewhere."""
        return isinstance(self.document.value, dict) and "sites" not in self.document.value

    def definition(self) -> PlantDefinition:
        """What it says of a plant and its rules.

        Raises:
            PlantFileError: something in it is wrong; it carries all problems, not the first alone.
        """
        structure = read_structure(self.document, PlantEntry)
        notes = Notes(self.document, structure)
        assembly = Assembly(notes)
        for place, site in enumerate(structure.entry.sites):
            assembly.add_site(site, ("sites", place))
        detectors = structure.entry.detectors
        computed = assembly.finish(detectors)
        plans = job_plans(structure.entry.job_plans, notes)
        places = Places(assembly.assets, assembly.sensors, assembly.machines)
        automatic = () if detectors is None else automatic_rules(detectors, computed.scores, computed.faults)
        rules = self._rules(structure.entry, places, assembly.overrides, plans, notes, automatic)
        paths = {name: (*wanted.path, "remaining_life") for name, wanted in assembly.wanted.items()}
        sensors = with_limits(assembly.sensors, rules, paths, notes)
        self._refuse(notes)
        return PlantDefinition(
            sites=tuple(assembly.sites),
            areas=tuple(assembly.areas),
            gateways=tuple(assembly.gateways),
            assets=tuple(assembly.assets),
            sensors=tuple(sensors),
            job_plans=plans,
            rules=rules,
        )

    def rules_on(self, plant: PlantDefinition) -> PlantDefinition:
        """A plant with the rules of this file in place of its own; job plans of both count, those of the file first.

        Raises:
            PlantFileError: something in it is wrong, or means nothing in this plant.
        """
        structure = read_structure(self.document, RulesAloneEntry)
        notes = Notes(self.document, structure)
        known = KnownAssets(structure.entry.assets, {asset.name for asset in plant.assets}, notes)
        own = job_plans(structure.entry.job_plans, notes)
        named = {plan.name for plan in own}
        plans = (*own, *(plan for plan in plant.job_plans if plan.name not in named))
        places = Places(plant.assets, plant.sensors, known.machines)
        rules = self._rules(structure.entry, places, known.overrides, plans, notes)
        self._refuse(notes)
        return replace(plant, job_plans=plans, rules=rules)

    def _rules(
        self,
        entry: RulesEntry,
        places: Places,
        overrides: Overrides,
        plans: Sequence[JobPlanDefinition],
        notes: Notes,
        automatic: Iterable[WrittenRule] = (),
    ) -> tuple[RuleDefinition, ...]:
        rules = Rules(places, overrides, schedules(entry.schedules, notes), plans, notes)
        rules.add(entry, automatic)
        return tuple(rules.found)

    def _refuse(self, notes: Notes) -> None:
        if notes.problems:
            raise PlantFileError(self.name, notes.problems)


def open_plant_file(path: str | Path) -> PlantFile:
    """A file whose contents are still to be judged.

    Raises:
        PlantFileError: it can't be read, or is not YAML.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        message = f"can't be read: {error.strerror}; expected a plant file"
        raise PlantFileError(str(path), [Problem(line=1, where="", message=message)]) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message = f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise PlantFileError(str(path), [Problem(line=line, where="", message=message)]) from error
    return parse_plant_text(text, file=str(path))


def parse_plant_text(text: str, *, file: str) -> PlantFile:
    """The text of a file; `file` is its name in messages.

    Raises:
        PlantFileError: it is not YAML.
    """
    document = parse(text)
    if not isinstance(document, Document):
        raise PlantFileError(file, [document])
    return PlantFile(file, document)


def read_plant_file(path: str | Path) -> PlantDefinition:
    """What a whole plant file says.

    Raises:
        PlantFileError: it can't be read, or something in it is wrong; it carries all problems, not the first alone.
    """
    return open_plant_file(path).definition()


def read_plant_text(text: str, *, file: str) -> PlantDefinition:
    """What the text of a whole plant file says; `file` is its name in messages.

    Raises:
        PlantFileError: something in it is wrong.
    """
    return parse_plant_text(text, file=file).definition()
