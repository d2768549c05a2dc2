"""Head: its versions of the objects that a patch changes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from geographer.diff.patch.model import KEYS, PatchChange, Values
from geographer.diff.patch.revision_values import (
    ObjectKey,
    ObjectVersion,
    fetch_logged_versions,
    read_recipe_versions,
)
from geographer.storage.database.connection import register_table
from geographer.storage.queries.revision import Revision

_KINDS: Final = ("class", "feature", "raster", "label", "label_object", "split")


def read_head_versions(revision: Revision, changes: Iterable[PatchChange]) -> dict[ObjectKey, ObjectVersion]:
    """Return the head's versions of the objects that a patch changes, and all its recipes with their inputs."""
    import pyarrow as pa

    keys = defaultdict(list)
    for change in changes:
        keys[change.table].append(change.key)
    versions = read_recipe_versions(revision)
    for kind in _KINDS:
        table = f"{kind}_change"
        if keys[table]:
            names = KEYS[table]
            parts = zip(*keys[table], strict=True)
            columns = {name: pa.array(part, pa.string()) for name, part in zip(names, parts, strict=True)}
            with register_table(revision.connection, "patch_key", pa.table(columns)):
                source = f"(FROM current_{kind} SEMI JOIN patch_key USING ({', '.join(names)}))"
                for key, values in fetch_logged_versions(revision, kind, source).items():
                    versions[table, key] = ObjectVersion(values)
    return versions


def get_values(versions: Mapping[ObjectKey, ObjectVersion], change: PatchChange) -> Values | None:
    """Return the values of the object that a change is of; None: it is not there."""
    version = versions.get(change[:2])
    return None if version is None else version.values
