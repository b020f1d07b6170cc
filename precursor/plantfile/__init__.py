"""The plant file: a plant in YAML that a person can write and keep in git."""

from precursor.plantfile.definition import PlantDefinition
from precursor.plantfile.problems import PlantFileError, Problem
from precursor.plantfile.reader import read_plant_file, read_plant_text

__all__ = ["PlantDefinition", "PlantFileError", "Problem", "read_plant_file", "read_plant_text"]
