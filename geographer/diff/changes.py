"""Changes: the objects that differ between two revisions, with their values on both sides and the event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from geographer.storage.database.connection import run_script
from geographer.storage.queries.renamings import RecordedRenaming, list_renamings

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent


class ObjectKind(NamedTuple):
    """A kind of object of the state: the columns that identify one, and the others that a difference compares.

    `table` is the table of the state, `joins` what it is joined with, `digest` the SQL of what differs if content does.
    """

    name: str
    table: str
    keys: tuple[str, ...]
    columns: str
    digest: str = "row_digest"
    joins: str = ""


_RASTER_COLUMNS: Final = (
    "raster_key, collection, path, storage, crs, width, height, transform, bands, dtype, nodata, acquired, size, md5, "
    'sha256, pixel_digest, parent_id, col, "row", recipe, feature_id, properties'
)
_EDGE_IDS: Final = (
    "JOIN (SELECT feature_key, feature_id FROM state.feature) USING (feature_key) "
    "JOIN (SELECT raster_key, raster_id FROM state.raster) USING (raster_key)"
)
OBJECT_KINDS: Final = {
    kind.name: kind
    for kind in (
        ObjectKind("recipe", "recipe", ("name",), "kind, parameters", "kind || chr(10) || parameters"),
        ObjectKind("class", "class", ("class",), "value"),
        ObjectKind("feature", "feature", ("feature_id",), "feature_key, id_is_integer, class, crs, properties"),
        ObjectKind("raster", "raster", ("raster_id",), _RASTER_COLUMNS),
        ObjectKind(
            "edge",
            "edge",
            ("feature_id", "raster_id"),
            "feature_key, raster_key, if(contains, 'contains', 'intersects') AS relation",
            "contains::VARCHAR",
            _EDGE_IDS,
        ),
        ObjectKind("label", "label", ("label", "raster_id"), "path, size, md5, sha256, pixel_digest"),
        ObjectKind(
            "label_object",
            "label_object",
            ("label", "raster_id", "feature_id"),
            "class, instance, pixels, box, corners, visible",
        ),
        ObjectKind("split", "split", ("split", "raster_id"), "part"),
    )
}
"""The kinds of objects, in the order in which they are declared and derived."""

_GEOMETRIES: Final = (
    "SELECT feature_id, is_changed, old_geometry, new_geometry FROM changed_geometry ORDER BY feature_id"
)
GEOMETRY_VERSIONS: Final = (
    "SELECT feature_id, true AS is_new, new.feature_key AS feature_key FROM changed_feature WHERE new IS NOT NULL "
    "UNION ALL SELECT feature_id, false, old.feature_key FROM changed_feature WHERE old IS NOT NULL"
)
"""The versions of changed features on either side, of which recorded_geometry.sql reads the geometries."""
_BATCH_ROWS: Final = 4096
_NAME_SUBJECTS: Final = {
    **{"class": "class", "recipe": "recipe"},
    **dict.fromkeys(("label", "label_object", "split"), "recipe"),
}
"""What the first key of a kind of objects is the name of."""
_INTERNAL: Final = ("row_digest", "valid_from", "valid_to", "feature_key", "raster_key", "id_is_integer")


class Sides(NamedTuple):
    """The positions of the two revisions that are compared."""

    old: int
    new: int

    @property
    def is_forward(self) -> bool:
        """Whether the new side is the later revision."""
        return self.old <= self.new


class ObjectChange(NamedTuple):
    """One object that differs: its kind and keys, 'added', 'removed' or 'changed', the event, both sides' values."""

    kind: str
    keys: tuple[str, ...]
    change: str
    position: int
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None


def stage_changes(revision: Revision, sides: Sides) -> None:
    """Make the temporary tables `changed_<kind>`; see changed_objects.sql."""
    renamings = list_renamings_between(revision, sides)
    for kind in OBJECT_KINDS.values():
        stage_versions(revision.connection, kind, sides)
        if names := _map_names(renamings, _NAME_SUBJECTS.get(kind.name, ""), sides):
            _rename_old_side(revision, kind, names)
        pair_versions(revision.connection, kind, is_forward=sides.is_forward)


def list_renamings_between(revision: Revision, sides: Sides) -> list[RecordedRenaming]:
    """Return the renamings that lie between two revisions, oldest first; that of chips is their recipe's."""
    between = [item for item in list_renamings(revision) if min(sides) < item.position <= max(sides)]
    recipes = {item.position for item in between if item.subject == "recipe"}
    return [item for item in between if item.subject != "collection" or item.position not in recipes]


def _map_names(renamings: Sequence[RecordedRenaming], subject: str, sides: Sides) -> dict[str, str]:
    """Return the name on the new side of what has another name on the old side, by that."""
    names: dict[str, str] = {}
    for item in renamings:
        if item.subject == subject:
            first = next((old for old, name in names.items() if name == item.old_name), item.old_name)
            names[first] = item.name
    pairs = [(old, name) for old, name in names.items() if old != name]
    return dict(pairs if sides.is_forward else ((name, old) for old, name in pairs))


def _rename_old_side(revision: Revision, kind: ObjectKind, names: Mapping[str, str]) -> None:
    """Give what was renamed its name of the new side, so that it is one object; equal values are no difference."""
    parameters = {"old_names": list(names), "new_names": list(names.values())}
    template = (_FOLDER / "renamed_objects.sql").read_text()
    columns = [column.strip().rpartition(" ")[2] for column in kind.columns.split(",")]
    values = ", ".join(f"{{side}}.{column}" for column in columns if column != "path")
    sql = template.format(
        kind=kind.name,
        name=f'"{kind.keys[0]}"',
        same=" AND ".join(f'old_side."{key}" = new_side."{key}"' for key in kind.keys),
        old_values=values.format(side="old_side"),
        new_values=values.format(side="new_side"),
    )
    run_script(revision.connection, sql, parameters)


def stage_changed_geometries(revision: Revision) -> None:
    """Make the temporary table `changed_geometry` of the staged changes; see changed_geometry.sql.

    This takes longer than all else: changed geometries are scattered over those of all features.
    """
    stage_geometries(revision.connection, GEOMETRY_VERSIONS)
    pair_geometries(revision.connection)


def _stage_kind(revision: Revision, kind: ObjectKind, sides: Sides) -> None:
    stage_versions(revision.connection, kind, sides)
    pair_versions(revision.connection, kind, is_forward=sides.is_forward)


def stage_geometries(connection: duckdb.DuckDBPyConnection, versions: str) -> None:
    """Make the temporary table `recorded_geometry` of the versions of features that a query selects."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE geometry_version AS {versions}")
    run_script(connection, (_FOLDER / "recorded_geometry.sql").read_text())


def pair_geometries(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the temporary table `changed_geometry` from `recorded_geometry`; see changed_geometry.sql."""
    run_script(connection, (_FOLDER / "changed_geometry.sql").read_text())


def stage_versions(connection: duckdb.DuckDBPyConnection, kind: ObjectKind, sides: Sides) -> None:
    """Make the temporary tables `old_side_<kind>` and `new_side_<kind>` of two revisions of one dataset."""
    stage_side(connection, kind, "old", sides.old, sides.new)
    stage_side(connection, kind, "new", sides.new, sides.old)


def stage_side(
    connection: duckdb.DuckDBPyConnection, kind: ObjectKind, side: Literal["old", "new"], here: int, there: int
) -> None:
    """Make the temporary table `<side>_side_<kind>` of what is valid at `here` and not at `there`."""
    template = (_FOLDER / "side_versions.sql").read_text()
    columns = ", ".join((*(f'"{key}"' for key in kind.keys), kind.columns))
    names = {"kind": kind.name, "table": kind.table, "columns": columns, "digest": kind.digest, "joins": kind.joins}
    run_script(connection, template.format(**names, side=side), {"here": here, "there": there})


def pair_versions(connection: duckdb.DuckDBPyConnection, kind: ObjectKind, *, is_forward: bool) -> None:
    """Make the temporary table `changed_<kind>` from the two sides; see changed_objects.sql."""
    template = (_FOLDER / "changed_objects.sql").read_text()
    keys = ", ".join(f'"{key}"' for key in kind.keys)
    run_script(connection, template.format(kind=kind.name, keys=keys), {"is_forward": is_forward})


def read_changed_geometries(revision: Revision, sides: Sides) -> pa.Table:
    """Return `feature_id`, `is_changed`, `old_geometry` and `new_geometry` (WKB, longitude/latitude) of features."""
    _stage_kind(revision, OBJECT_KINDS["feature"], sides)
    stage_changed_geometries(revision)
    return fetch_changed_geometries(revision)


def fetch_changed_geometries(revision: Revision) -> pa.Table:
    """Return what `read_changed_geometries` does, from the staged geometries."""
    return revision.fetch_arrow(_GEOMETRIES)


def fetch_changes(revision: Revision, kind: str, condition: str = "true") -> pa.Table:
    """Return a kind's changes that meet `condition`: keys, `change`, `position`, `old` and `new` (structs)."""
    order = ", ".join(f'"{key}"' for key in OBJECT_KINDS[kind].keys)
    return revision.fetch_arrow(f"FROM changed_{kind} WHERE {condition} ORDER BY {order}")


def iter_changes(kind: str, table: pa.Table) -> Iterator[ObjectChange]:
    """Yield the rows of `fetch_changes` as objects, without the state's own keys."""
    keys = OBJECT_KINDS[kind].keys
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        for row in batch.to_pylist():
            sides = [row[side] and _select_values(row[side], keys) for side in ("old", "new")]
            yield ObjectChange(kind, tuple(row[key] for key in keys), row["change"], row["position"], *sides)


def _select_values(side: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in side.items() if name not in _INTERNAL and name not in keys}
