"""Layers of the map of a difference: features by change with both outlines, rasters by change, chips by subset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from geographer.diff.difference import Diff
from geographer.outputs.pages.map import DensityLayer, MapLayer, MapMarks
from geographer.outputs.pictures.palette import CHANGE_STYLES, LINE_COLOUR, SUBSET_STYLES, Style, assign_subset_styles

if TYPE_CHECKING:
    from geographer.outputs.pages.diff.facts import RasterPlace
    from geographer.outputs.pages.diff.rows import DiffRow, Place

Rasters = Mapping[str, "tuple[RasterPlace | None, RasterPlace | None]"]
"""The rasters of rows by id, on the old and the new side."""
_CHANGES: Final = ("removed", "changed", "added")
_OLD_OUTLINE: Final = Style(LINE_COLOUR, (2, 2), "circle", "")
_CHUNK: Final = 50_000
_RASTER_KINDS: Final = ("raster", "split", "label")


def list_map_layers(
    rows: Sequence[DiffRow],
    places: Mapping[Place, int],
    geometries: Mapping[str, tuple[bytes | None, bytes | None]],
    rasters: Rasters,
    split: str | None,
) -> list[MapLayer]:
    """Return the layers of the map, the lowest first.

    Args:
        rows: The rows of the table.
        places: The numbers of the places of the rows.
        geometries: The geometries of the features of the rows on both sides: WKB, longitude/latitude.
        rasters: The rasters of the rows.
        split: The split by whose parts chips are coloured; None: there is none.
    """
    changes = _find_changes(rows)
    layers = _list_raster_layers(changes, places, rasters)
    layers += _list_chip_layers(changes, places, rasters, split)
    return layers + _list_feature_layers(changes, places, geometries)


def list_feature_densities(diff: Diff) -> list[DensityLayer]:
    """Return where the features of a difference are, by change; memory does not depend on how many they are."""
    if "feature" not in diff.changes:
        return []
    table = diff.changes["feature"]
    layers = []
    for change in _CHANGES:
        ids = table.filter(pc.equal(table["change"], change))["feature_id"]
        rows = pc.indices_nonzero(pc.is_in(diff.geometries["feature_id"], ids.combine_chunks()))
        chunks = (rows.slice(start, _CHUNK) for start in range(0, len(rows), _CHUNK))
        points = [_locate_geometries(diff.geometries.take(chunk)) for chunk in chunks]
        layers.append(_make_density("features", "Features", change, points))
    return layers


def select_rasters_by_change(diff: Diff) -> dict[str, pa.Array]:
    """Return the ids of rasters that differ, or whose labels or splits do, by change; each is in one."""
    ids: dict[str, pa.Array] = {}
    known = pa.array([], pa.string())
    for kind in _RASTER_KINDS:
        if kind not in diff.changes:
            continue
        table = diff.changes[kind]
        for change in _CHANGES if kind == "raster" else ("changed",):
            chosen = table if kind != "raster" else table.filter(pc.equal(table["change"], change))
            found = pc.unique(chosen["raster_id"].combine_chunks())
            found = found.filter(pc.invert(pc.is_in(found, known)))
            ids[change] = pa.concat_arrays([ids.get(change, found.slice(0, 0)), found])
            known = pa.concat_arrays([known, found])
    return ids


def make_raster_density(change: str, points: NDArray[np.float64]) -> DensityLayer:
    """Return where rasters and chips of a change are."""
    return _make_density("rasters", "Rasters and chips", change, [points])


def _make_density(key: str, group: str, change: str, points: Iterable[NDArray[np.float64]]) -> DensityLayer:
    found = [*points]
    located = np.concatenate(found) if found else np.empty((0, 2))
    located = located[np.isfinite(located).all(axis=1)]
    title = f"{change}, number by cell"
    return DensityLayer(f"density-{key}-{change}", title, group, CHANGE_STYLES[change], located)


def _locate_geometries(batch: pa.Table) -> NDArray[np.float64]:
    """Return the middle of the first part of each geometry, on the new side if it has one."""
    wkb = pc.coalesce(batch["new_geometry"], batch["old_geometry"]).to_numpy(zero_copy_only=False)
    bounds = shapely.bounds(shapely.get_geometry(shapely.from_wkb(wkb), 0))
    middle: NDArray[np.float64] = (bounds[:, :2] + bounds[:, 2:]) / 2
    return middle


def _find_changes(rows: Sequence[DiffRow]) -> dict[Place, str]:
    """Return how each place changed: as its feature or raster did, or 'changed' if only labels or splits did."""
    changes: dict[Place, str] = {}
    for row in rows:
        if row.place is not None:
            changes.setdefault(row.place, "changed")
            if row.item.kind in ("feature", "raster"):
                changes[row.place] = row.item.change
    return changes


def _list_feature_layers(
    changes: Mapping[Place, str],
    places: Mapping[Place, int],
    geometries: Mapping[str, tuple[bytes | None, bytes | None]],
) -> list[MapLayer]:
    old: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    new: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for place, change in changes.items():
        if place[0] != "feature":
            continue
        before, after = geometries.get(place[1], (None, None))
        shown = before if change == "removed" else after or before
        if shown is not None:
            new[change].append((places[place], shown))
        if change == "changed" and before is not None and after is not None and before != after:
            old[change].append((places[place], before))
    layers = []
    for change in _CHANGES:
        marks = [_make_marks(_OLD_OUTLINE, old[change], 0.0, 1.0)] if old[change] else []
        marks.append(_make_marks(CHANGE_STYLES[change], new[change], 0.3))
        title = "changed (grey, dotted: old outline)" if change == "changed" else change
        layers.append(MapLayer(f"features-{change}", title, "Features", tuple(marks)))
    return layers


def _list_raster_layers(changes: Mapping[Place, str], places: Mapping[Place, int], rasters: Rasters) -> list[MapLayer]:
    shapes: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for place, change in changes.items():
        shown = _choose_side(place, rasters)
        if shown is not None and not shown.is_chip and shown.footprint is not None:
            shapes[change].append((places[place], shown.footprint))
    return [
        MapLayer(f"rasters-{change}", change, "Rasters", (_make_marks(CHANGE_STYLES[change], shapes[change], 0.04),))
        for change in _CHANGES
    ]


def _list_chip_layers(
    changes: Mapping[Place, str], places: Mapping[Place, int], rasters: Rasters, split: str | None
) -> list[MapLayer]:
    """Return a layer for each subset; the dashes of its outlines tell the changes."""
    shapes: dict[str | None, dict[str, list[tuple[int, bytes]]]] = defaultdict(lambda: defaultdict(list))
    for place, change in changes.items():
        shown = _choose_side(place, rasters)
        if shown is not None and shown.is_chip and shown.footprint is not None:
            subset = _find_subset(place, rasters, split)
            shapes[subset][change].append((places[place], shown.footprint))
    named = sorted(name for name in shapes if name is not None)
    styles: dict[str | None, Style] = {None: SUBSET_STYLES["other"]}
    styles.update(assign_subset_styles(named))
    group = f"Chips by subset of split '{split}'" if split else "Chips"
    layers = []
    for number, subset in enumerate([*named, *([None] if None in shapes else [])]):
        marks = tuple(
            _make_marks(styles[subset]._replace(dash=CHANGE_STYLES[change].dash), shapes[subset][change], 0.18)
            for change in _CHANGES
            if shapes[subset][change]
        )
        title = subset if subset is not None else "in no subset" if split else "chips"
        layers.append(MapLayer(f"chips-{number}", title, group, marks))
    return layers


def _choose_side(place: Place, rasters: Rasters) -> RasterPlace | None:
    if place[0] != "raster":
        return None
    old, new = rasters.get(place[1], (None, None))
    return new or old


def _find_subset(place: Place, rasters: Rasters, split: str | None) -> str | None:
    old, new = rasters.get(place[1], (None, None))
    if split is None:
        return None
    return next((side.parts[split] for side in (new, old) if side is not None and split in side.parts), None)


def _make_marks(style: Style, shapes: Sequence[tuple[int, bytes]], fill: float, line_width: float = 1.5) -> MapMarks:
    geometries = shapely.from_wkb(np.array([wkb for _, wkb in shapes], dtype=object))
    numbers = np.array([number for number, _ in shapes], dtype=np.int64)
    return MapMarks(style, np.asarray(geometries, dtype=object), numbers, fill, line_width)
