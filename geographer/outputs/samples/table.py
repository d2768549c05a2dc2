"""The table of samples: image and label paths, ids, classes, subset, component and georeference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from geographer.base.errors import UsageError
from geographer.outputs.samples.selection import SampleSelection, stage_samples
from geographer.planning.recipe import list_recipe_records
from geographer.storage.database.connection import quote_identifier, register_table
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.chip_windows import list_virtual_chips
from geographer.storage.workspace.roots import Roots

GEOMETRY: Final = "footprint"
"""The column with the geometry, in longitude/latitude (EPSG:4326, x before y)."""
_COLUMNS: Final = (
    "raster_id",
    "collection",
    "part",
    "component",
    "parent_id",
    "feature_id",
    "class",
    "classes",
    "path",
    "sha256",
)
_GEOREFERENCE: Final = ("crs", "transform", "width", "height", "bands", "dtype", "nodata", "acquired", GEOMETRY)


def _make_absolute(path: str) -> str:
    """Return SQL for a path that may be relative to the dataset's folder."""
    return f"if(starts_with({path}, '/'), {path}, $root || {path})"


_QUALIFIED: Final = {
    "component": "component",
    GEOMETRY: GEOMETRY,
    "path": f"coalesce(reference_path.path, {_make_absolute('sample.path')}) AS path",
}
"""SQL for the columns that do not come from the table `sample` alone."""
_PLACES: Final = "SELECT raster_id, path FROM sample WHERE storage = $storage ORDER BY raster_id"
_SOURCE_PATHS: Final = (
    "SELECT raster_id, raster.storage, rasters.path FROM rasters "
    "JOIN (SELECT raster_id, storage FROM current_raster) AS raster USING (raster_id) "
    "WHERE raster_id IN (SELECT unnest($ids::VARCHAR[])) ORDER BY raster_id"
)


def read_samples(
    revision: Revision, root: Path, selection: SampleSelection, *, with_components: bool = True
) -> tuple[pa.Table, SampleSelection]:
    """Return the samples of a selection, ordered by `raster_id`, and the selection with the defaults that were chosen.

    Args:
        revision: The revision; call `locate_files` before, so that paths lead to its bytes.
        root: The dataset's folder.
        selection: Which rasters and labels to take.
        with_components: Whether to find the components of the split, which takes a spatial join; else they are null.

    Returns:
        See `Dataset.samples` for the columns.

    Raises:
        NotFoundError, UsageError: see `stage_samples`; two labels would have columns of one name.
    """
    chosen = stage_samples(revision, selection)
    labels = chosen.labels or ()
    _stage_reference_paths(revision, root)
    _stage_components(revision, chosen.split if with_components else None)
    return revision.fetch_arrow(_build_query(labels), _name_parameters(labels) | {"root": f"{root}/"}), chosen


def name_label_columns(label: str) -> tuple[str, str]:
    """Return the names of the columns with the path and the SHA-256 of a label's file."""
    return f"label_{label}", f"label_{label}_sha256"


def _build_query(labels: Sequence[str]) -> str:
    joins, columns = [], []
    for index, label in enumerate(labels):
        path, sha256 = map(quote_identifier, name_label_columns(label))
        columns += [f"{_make_absolute(f'label_{index}.path')} AS {path}", f"label_{index}.sha256 AS {sha256}"]
        joins.append(
            "LEFT JOIN (SELECT raster_id, path, current_label.sha256 FROM labels JOIN "  # noqa: S608
            "(SELECT label, raster_id, sha256 FROM current_label) AS current_label USING (label, raster_id) "
            f"WHERE label = $label_{index}) AS label_{index} USING (raster_id)"
        )
    names = [name.lower() for label in labels for name in name_label_columns(label)]
    if len({*names}) < len(names):
        raise UsageError("two labels have names that differ only in case or by '_sha256'. Name one with --label.")
    first, last = (
        [_QUALIFIED.get(name, f"sample.{quote_identifier(name)}") for name in names]
        for names in (_COLUMNS, _GEOREFERENCE)
    )
    return (
        f"SELECT {', '.join([*first, *columns, *last])} FROM sample JOIN sample_footprint USING (raster_key) "  # noqa: S608
        "LEFT JOIN sample_component USING (raster_id) LEFT JOIN reference_path USING (raster_id) "
        f"{' '.join(joins)} ORDER BY raster_id"
    )


def _name_parameters(labels: Sequence[str]) -> dict[str, str]:
    return {f"label_{index}": label for index, label in enumerate(labels)}


def _stage_reference_paths(revision: Revision, root: Path) -> None:
    """Create `reference_path`: where rasters that are recorded in place, at URLs or as windows are for this machine."""
    roots = Roots(root)
    rows = [
        (raster_id, str(roots.locate_file(path)))
        for raster_id, path in revision.fetch_rows(_PLACES, {"storage": "reference"})
    ]
    for raster_id, path in revision.fetch_rows(_PLACES, {"storage": "remote"}):
        rows.append((raster_id, roots.locate_url(path)))
    rows += _list_virtual_chips(revision, roots, root)
    columns = {"raster_id": [id for id, _ in rows], "path": [path for _, path in rows]}
    _stage_table(
        revision, "reference_path", pa.table(columns, pa.schema({"raster_id": pa.string(), "path": pa.string()}))
    )


def _list_virtual_chips(revision: Revision, roots: Roots, root: Path) -> list[tuple[str, str]]:
    """Return the virtual chips among the samples, each with the name by which GDAL opens a window of its raster.

    Chips that are padded with another value than nodata have no such name.
    """
    ids = [raster_id for raster_id, _ in revision.fetch_rows(_PLACES, {"storage": "virtual"})]
    chips = list_virtual_chips(revision, ids) if ids else {}
    parents = {chip.parent_id for chip in chips.values()}
    paths: dict[str, str | None] = {}
    for raster_id, storage, path in revision.fetch_rows(_SOURCE_PATHS, {"ids": sorted(parents)}) if parents else ():
        located = roots.locate_url(path) if storage == "remote" else path and roots.locate_file(path)
        paths[raster_id] = str(root / located) if storage == "dvc" and path else str(located) if located else None
    named = ((raster_id, chip.make_gdal_name(paths.get(chip.parent_id))) for raster_id, chip in chips.items())
    return [(raster_id, name) for raster_id, name in named if name]


def _stage_components(revision: Revision, split: str | None) -> None:
    """Create `sample_component`: the component of each raster of a split that has a recipe."""
    recipes = {record.name: record.parameters for record in list_recipe_records(revision) if record.kind == "split"}
    parameters = recipes.get(split or "")
    components: dict[str, int] = {}
    if parameters is not None:
        # The module imports scipy, which takes as long as reading a hundred chips.
        from geographer.planning.split_constraints.groups import list_components

        components = list_components(revision, parameters["collection"], parameters)
    columns = {"raster_id": [*components], "component": [*components.values()]}
    schema = pa.schema({"raster_id": pa.string(), "component": pa.int64()})
    _stage_table(revision, "sample_component", pa.table(columns, schema))


def _stage_table(revision: Revision, name: str, rows: pa.Table) -> None:
    with register_table(revision.connection, f"new_{name}", rows):
        revision.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM new_{name}")
