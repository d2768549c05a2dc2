"""Map content: which features and rasters a map shows, read from a revision: as shapes, or as numbers in a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geographer.base.errors import NotFoundError, quote_names
from geographer.base.text import format_count
from geographer.outputs.plots.geo_axes import MapExtent, find_map_extent, focus_map_extent
from geographer.outputs.plots.splits_plot import choose_split, sort_subsets
from geographer.planning.collections import require_collection
from geographer.storage.database.sql_sandbox import translate_sql_errors
from geographer.storage.queries.revision import KEY_COLUMN, Revision

_FOLDER: Final = Path(__file__).parent
_SPLITS: Final = "SELECT DISTINCT split FROM current_split ORDER BY split"
_CLASSES: Final = "SELECT class FROM classes"
_BOX: Final = "SELECT bbox_xmin, bbox_ymin, bbox_xmax, bbox_ymax FROM current_raster WHERE raster_id = $id"
_CHOSEN_BOX: Final = (
    "SELECT greatest(min(xmin), $xmin), greatest(min(ymin), $ymin), least(max(xmax), $xmax), least(max(ymax), $ymax) "
    "FROM map_feature"
)
_SHAPES: Final = (
    "SELECT class, feature_id, ST_AsWKB(geometry)::BLOB AS wkb FROM current_feature "
    "SEMI JOIN map_feature USING (feature_key) "
    "ORDER BY feature_key"
)
_MIDDLES: Final = (
    "SELECT (xmin + xmax) / 2 AS lon, (ymin + ymax) / 2 AS lat FROM map_feature "
    "WHERE isfinite(xmin + ymin + xmax + ymax)"
)
_FOOTPRINTS: Final = (
    "SELECT kind, name, raster_id, ST_AsWKB(footprint)::BLOB AS wkb "
    "FROM (SELECT raster_key, raster_id, footprint FROM current_raster) "
    "JOIN (SELECT raster_key, kind, name, row_number() OVER (ORDER BY raster_key) AS place FROM map_raster) "
    "USING (raster_key) WHERE place % $step = 0 AND footprint IS NOT NULL ORDER BY raster_key"
)
_MAX_EXACT_BOXES: Final = 50_000
_KINDS: Final = ("rasters", "chips", "subset")


class MapFilter(NamedTuple):
    """What a map shows.

    Attributes:
        where: An SQL expression over features.
        classes: Features of these classes; None: of all.
        collection: Rasters of this collection; None: of all.
        split: The split whose subsets chips have; None: the only one, if there is one.
        area: A raster: only what meets its box is shown, and the map shows its box, or that of the chosen features.
    """

    where: str | None = None
    classes: Sequence[str] | None = None
    collection: str | None = None
    split: str | None = None
    area: str | None = None


class MapLimits(NamedTuple):
    """What a map draws at most.

    Attributes:
        shapes: More features are drawn as their number in each cell of a grid.
        footprints: Of more rasters, one in so many is drawn.
        cells: How many cells are side by side.
    """

    shapes: int = 5_000
    footprints: int = 20_000
    cells: int = 120


class DrawnRasters(NamedTuple):
    """Rasters of one kind.

    Attributes:
        kind: `rasters` and `chips` have the name of a collection, `subset` that of a subset.
        name: What they are called.
        number: How many there are.
        ids: The rasters that are drawn.
        shapes: Their footprints.
    """

    kind: str
    name: str
    number: int
    ids: Sequence[str]
    shapes: NDArray[np.object_]


class DrawnFeatures(NamedTuple):
    """The features of a class: their ids, and their geometries in longitude/latitude."""

    ids: Sequence[str]
    shapes: NDArray[np.object_]


_LIMITS: Final = MapLimits()


class MapContent(NamedTuple):
    """What a map shows.

    Attributes:
        extent: The part of the globe.
        counts: The numbers of features by class.
        features: The features by class; None: they are too many.
        density: The number of features in each cell, shape (rows, columns), from the south; None if there are features.
        middles: With a density, the middles of the features' boxes in longitude/latitude, shape (n, 2).
        footprints: The rasters; those of subsets last.
        split: The split whose subsets the chips have.
        notes: What is left out.
    """

    extent: MapExtent
    counts: Mapping[str, int]
    features: Mapping[str, DrawnFeatures] | None
    density: NDArray[np.int64] | None
    middles: NDArray[np.float64] | None
    footprints: Sequence[DrawnRasters]
    split: str | None
    notes: Sequence[str]


def read_map(revision: Revision, chosen: MapFilter, limits: MapLimits = _LIMITS) -> MapContent:
    """Read what a map shows.

    Raises:
        NotFoundError: there is no such class, collection, split or raster, or `where` names an unknown column.
        UsageError: `where` is not one SQL expression.
    """
    split = _stage_rasters(revision, chosen)
    _stage_features(revision, chosen)
    notes = []
    focus = None
    if chosen.area is not None:
        focus, left_out = _focus_on_raster(revision, chosen)
        notes += left_out
    counts = dict(revision.fetch_rows((_FOLDER / "map_counts.sql").read_text()))
    boxes = np.array(revision.fetch_rows((_FOLDER / "map_ranges.sql").read_text()), np.float64).reshape(-1, 4)
    extent = find_map_extent(boxes) if focus is None else focus_map_extent(focus, boxes)
    total = sum(counts.values())
    features, density, middles = None, None, None
    if total <= limits.shapes:
        features = _read_features(revision)
    else:
        density = _read_density(revision, extent, limits.cells)
        middles = _read_middles(revision)
        notes.append(f"More than {limits.shapes:,} features: the map shows their number in each cell of a grid.")
    footprints, step = _read_footprints(revision, limits.footprints)
    if step > 1:
        notes.append(f"Of {sum(item.number for item in footprints):,} rasters, one in {step} is drawn.")
    return MapContent(extent, counts, features, density, middles, footprints, split, notes)


def _stage_features(revision: Revision, chosen: MapFilter) -> None:
    """Create `map_feature`: the features of a map with their boxes in degrees."""
    if chosen.classes is not None:
        known = [name for (name,) in revision.fetch_rows(_CLASSES)]
        if unknown := [name for name in chosen.classes if name not in known]:
            raise NotFoundError(
                f"no class {quote_names(unknown)} at @{revision.position}. See geographer classes list."
            )
    conditions = ["true"] if chosen.classes is None else ["class IN (SELECT unnest($classes::VARCHAR[]))"]
    parameters = {} if chosen.classes is None else {"classes": [*chosen.classes]}
    with translate_sql_errors(chosen.where):
        if chosen.where is not None:
            condition = revision.validate_filter("features", chosen.where)
            conditions.append(f"feature_key IN (SELECT {KEY_COLUMN} FROM features_unordered WHERE {condition})")  # noqa: S608
        revision.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE map_feature AS SELECT feature_key, class, {_choose_boxes(revision)} "  # noqa: S608
            f"FROM current_feature WHERE {' AND '.join(conditions)}",
            parameters,
        )
    # Reading the geometries of a million features takes longer than all the rest.
    if revision.fetch_value("SELECT true FROM map_feature WHERE xmax - xmin > 180 LIMIT 1"):
        revision.connection.execute((_FOLDER / "map_crossing.sql").read_text())


def _focus_on_raster(revision: Revision, chosen: MapFilter) -> tuple[Sequence[float], list[str]]:
    """Leave out what does not meet the raster's box; return the box that the map shows, and what was left out."""
    rows = revision.fetch_rows(_BOX, {"id": chosen.area})
    if not rows:
        raise NotFoundError(f"no raster '{chosen.area}' at @{revision.position}. See geographer rasters.")
    (box,) = rows
    sides = dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    tables = ("map_feature", "map_raster")
    before = [revision.fetch_value(f"SELECT count(*) FROM {table}") for table in tables]  # noqa: S608
    for name in ("map_focus.sql", "map_focus_rasters.sql"):
        revision.connection.execute((_FOLDER / name).read_text(), sides)
    turned = {"xmin": sides["xmin"], "xmax": sides["xmax"]}
    revision.connection.execute((_FOLDER / "map_focus_turns.sql").read_text(), turned)
    after = [revision.fetch_value(f"SELECT count(*) FROM {table}") for table in tables]  # noqa: S608
    left_out = [
        format_count(old - new, noun)
        for old, new, noun in zip(before, after, ("feature", "raster"), strict=True)
        if old > new
    ]
    notes = [f"Outside of raster '{chosen.area}', and left out: {' and '.join(left_out)}."] if left_out else []
    if after[0] and (chosen.where is not None or chosen.classes is not None):
        (box,) = revision.fetch_rows(_CHOSEN_BOX, sides)
    return box, notes


def _choose_boxes(revision: Revision) -> str:
    """Return the boxes of features, as columns: exact ones, or of very many the recorded ones, which are wider."""
    if int(revision.fetch_value("SELECT count(*) FROM current_feature")) > _MAX_EXACT_BOXES:
        return "xmin, ymin, xmax, ymax"
    sides = ("XMin", "YMin", "XMax", "YMax")
    return ", ".join(f"ST_{side}(geometry) AS {side.lower()}" for side in sides)


def _stage_rasters(revision: Revision, chosen: MapFilter) -> str | None:
    """Create `map_raster`: the rasters of a map with their boxes in degrees; return the split of the chips."""
    if chosen.collection is not None:
        require_collection(revision, chosen.collection)
    splits = [name for (name,) in revision.fetch_rows(_SPLITS)]
    split = splits[0] if len(splits) == 1 else None
    if chosen.split is not None:
        split = choose_split(revision, chosen.split)
    query = (_FOLDER / "map_rasters.sql").read_text()
    revision.connection.execute(query, {"split": split, "collection": chosen.collection})
    return split


def _read_features(revision: Revision) -> dict[str, DrawnFeatures]:
    rows = revision.fetch_arrow(_SHAPES)
    geometries = np.asarray(shapely.from_wkb(rows["wkb"].to_numpy(zero_copy_only=False)), object)
    classes = np.array(rows["class"].to_pylist(), object)
    ids = np.array(rows["feature_id"].to_pylist(), object)
    return {
        name: DrawnFeatures(ids[classes == name].tolist(), geometries[classes == name])
        for name in dict.fromkeys(classes.tolist())
    }


def _read_density(revision: Revision, extent: MapExtent, across: int) -> NDArray[np.int64]:
    """Return the number of features in each cell of a grid over a map, shape (rows, columns), from the south."""
    width = (extent.east - extent.west) / across
    rows = max(1, round((extent.north - extent.south) / (width * extent.lon_scale)))
    height = (extent.north - extent.south) / rows
    grid = np.zeros((rows, across), np.int64)
    values = {"west": extent.west, "south": extent.south, "cell_width": width, "cell_height": height, "cut": extent.cut}
    cells = revision.fetch_rows((_FOLDER / "map_density.sql").read_text(), values)
    for column, row, number in cells:
        grid[min(max(row, 0), rows - 1), min(max(column, 0), across - 1)] += number
    return grid


def _read_middles(revision: Revision) -> NDArray[np.float64]:
    """Return the middles of the boxes of all features of a map, longitudes from -180 to 180, shape (n, 2)."""
    rows = revision.fetch_arrow(_MIDDLES)
    longitudes, latitudes = (rows[name].to_numpy().astype(np.float64) for name in ("lon", "lat"))
    return np.column_stack(((longitudes + 180.0) % 360.0 - 180.0, latitudes))


def _read_footprints(revision: Revision, limit: int) -> tuple[list[DrawnRasters], int]:
    """Return the rasters, those of subsets last, and of how many one is drawn."""
    groups = revision.fetch_rows((_FOLDER / "map_footprints.sql").read_text())
    step = max(1, -(-sum(number for *_, number in groups) // limit))
    rows = revision.fetch_arrow(_FOOTPRINTS, {"step": step})
    shapes = np.asarray(shapely.from_wkb(rows["wkb"].to_numpy(zero_copy_only=False)), object)
    ids = np.array(rows["raster_id"].to_pylist(), object)
    owners = list(zip(rows["kind"].to_pylist(), rows["name"].to_pylist(), strict=True))
    subsets = sort_subsets([name for kind, name, _ in groups if kind == "subset"])
    order = sorted(
        groups,
        key=lambda group: (_KINDS.index(group[0]), subsets.index(group[1]) if group[0] == "subset" else group[1]),
    )
    found = []
    for kind, name, number in order:
        own = np.array([owner == (kind, name) for owner in owners], bool)
        found.append(DrawnRasters(kind, name, number, ids[own].tolist(), shapes[own]))
    return found, step
