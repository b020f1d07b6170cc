"""A plant file, from disk to a definition."""

from pathlib import Path

from precursor.plantfile.assembly import Assembly
from precursor.plantfile.definition import PlantDefinition
from precursor.plantfile.document import Document, parse
from precursor.plantfile.job_plans import job_plans
from precursor.plantfile.notes import Notes
from precursor.plantfile.places import Places
from precursor.plantfile.problems import PlantFileError, Problem
from precursor.plantfile.rules import Rules
from precursor.plantfile.schedules import schedules
from precursor.plantfile.structure import read_structure

__all__ = ["read_plant_file", "read_plant_text"]


def read_plant_file(path: str | Path) -> PlantDefinition:
    """What the file says.

    Raises:
        PlantFileError: it can't be read, or something in it is wrong; it carries all problems, not the first alone.
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
    return read_plant_text(text, file=str(path))


def read_plant_text(text: str, *, file: str) -> PlantDefinition:
    """What the text of a plant file says; `file` is its name in messages.

    Raises:
        PlantFileError: something in it is wrong.
    """
    document = parse(text)
    if not isinstance(document, Document):
        raise PlantFileError(file, [document])
    structure = read_structure(document)
    notes = Notes(document, structure)
    assembly = Assembly(notes)
    for place, site in enumerate(structure.entry.sites):
        assembly.add_site(site, ("sites", place))
    assembly.finish()
    plans = job_plans(structure.entry.job_plans, notes)
    places = Places(assembly.assets, assembly.sensors, assembly.machines)
    rules = Rules(places, assembly.overrides, schedules(structure.entry.schedules, notes), plans, notes)
    rules.add(structure.entry)
    if notes.problems:
        raise PlantFileError(file, notes.problems)
    return PlantDefinition(
        sites=tuple(assembly.sites),
        areas=tuple(assembly.areas),
        gateways=tuple(assembly.gateways),
        assets=tuple(assembly.assets),
        sensors=tuple(assembly.sensors),
        job_plans=plans,
        rules=tuple(rules.found),
    )
