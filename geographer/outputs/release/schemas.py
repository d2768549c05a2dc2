"""The JSON Schemas of the events of a release."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import geographer
from geographer.outputs.release.facts import ReleaseFacts

_COMMON: Final = ("event.v1.json", "event.v2.json", "lock.v1.json")


def find_schema_folder() -> Path:
    """Return the folder of the schemas: in the installed package, or beside it in a checkout of the source."""
    package = Path(geographer.__file__).parent
    installed = package / "schemas"
    return installed if installed.is_dir() else package.parent / "schemas"


def copy_schemas(facts: ReleaseFacts, folder: Path) -> None:
    """Copy the schemas of the kinds of events that lead to the release, and of what they refer to."""
    source = find_schema_folder()
    folder.mkdir(exist_ok=True)
    kinds = {event.kind for event in facts.events} | {"revision_tagged", "tag_signed", "dataset_described"}
    for path in sorted(source.glob("*.json")):
        if path.name in _COMMON or path.name.partition(".")[0] in kinds:
            (folder / path.name).write_bytes(path.read_bytes())
