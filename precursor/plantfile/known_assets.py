"""What a file of rules alone says of assets that are described elsewhere."""

from collections.abc import Collection, Sequence

from precursor.plantfile.entries import KnownAssetEntry
from precursor.plantfile.notes import Notes
from precursor.plantfile.problems import Path
from precursor.plantfile.rule_entries import MachineEntry, OverrideEntry
from precursor.plantfile.structure import NOBODY
from telemetry.names import closest

__all__ = ["KnownAssets"]


class KnownAssets:
    """The entries of a file, by name of the asset; one that is no asset's is put down."""

    def __init__(self, entries: Sequence[KnownAssetEntry], assets: Collection[str], notes: Notes) -> None:
        self.machines: dict[str, MachineEntry] = {}
        self.overrides: dict[str, dict[str, tuple[OverrideEntry, Path]]] = {}
        """asset, rule, what is different about the rule there, and where the file says so"""
        names: dict[str, Path] = {}
        for place, entry in enumerate(entries):
            path: Path = ("assets", place)
            if not notes.once(names, entry.name, (*path, "name"), "asset name") or entry.name == NOBODY:
                continue
            if entry.name not in assets:
                hint = closest(entry.name, assets)
                message = f"the plant has no asset {entry.name!r}; expected the tag of one it has{hint}"
                notes.add((*path, "name"), message)
                continue
            if entry.machine is not None:
                self.machines[entry.name] = entry.machine
            self.overrides[entry.name] = {
                name: (override, (*path, "rules", name)) for name, override in entry.rules.items()
            }
