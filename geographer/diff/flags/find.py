"""Find the flags of a difference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc

from geographer.diff.changes import Sides
from geographer.diff.flags.features import find_added_outliers, find_class_flips
from geographer.diff.flags.flag import Flag, FlagCandidate, rank_candidates
from geographer.diff.flags.geometry import ChangedGeometries, find_changed_geometries
from geographer.diff.flags.labels import find_stale_labels
from geographer.diff.flags.rasters import find_altered_pixels, find_altered_rasters
from geographer.diff.flags.splits import find_leaks, find_moved_rasters
from geographer.diff.geometry import measure_changed_geometries

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.diff.pixels import FileChange
    from geographer.diff.selection import DiffSelection
    from geographer.storage.queries.revision import Revision

_PIXELS: Final = Path(__file__).with_name("feature_pixels.sql")
_FEATURES: Final = "SELECT feature_id, change, position, old, new FROM changed_feature ORDER BY feature_id"
_KINDS: Final = {"feature": "feature", "raster": "raster", "chip": "raster", "class": "class", "split": "split"}
_COUNTS: Final = ("SELECT count(*) FROM changed_feature", "SELECT count(*) FROM changed_raster")
_TABLES: Final = {
    **{"stale_label": "labels", "source_altered": "rasters chips", "chip_altered": "chips", "nodata": "chips"},
    **{
        "subset": "splits",
        "subset_emptied": "splits",
        "source_removed": "rasters chips",
        "spans_subsets": "splits",
        "class_vanished": "splits classes",
        "class": "features classes",
    },
}
"""The tables (see `DiffSelection.only`) that reasons are about; others are about features."""


def find_flags(
    revision: Revision,
    sides: Sides,
    geometries: pa.Table,
    selection: DiffSelection,
    files: Iterable[FileChange] = (),
) -> list[Flag]:
    """Return the flags of the staged changes that a selection chooses, ranked.

    Args:
        revision: The later revision, with staged changes and selection.
        sides: The positions of the two revisions; a new side of 0 is a revision of another dataset, whose edges, labels
            and rasters are not looked at.
        geometries: See `Diff.geometries`.
        selection: Which objects to flag; what is usual is determined from all changes.
        files: What changed in the pixels of files, if they were compared.
    """
    features = revision.fetch_arrow(_FEATURES)
    geometry_changes = _list_changed_geometries(revision, sides, features, geometries)
    candidates = [
        *find_class_flips(features),
        *find_changed_geometries(geometry_changes),
        *find_added_outliers(revision),
        *find_moved_rasters(revision),
        *find_altered_pixels(files),
    ]
    if sides.new:
        candidates += find_stale_labels(revision, sides.new, geometry_changes)
        candidates += find_altered_rasters(revision, sides.new)
        candidates += find_leaks(revision, sides)
    changed = sum(revision.fetch_value(query) for query in _COUNTS)
    chosen = {*_select_candidates(revision, candidates, selection)}
    return rank_candidates(candidates, changed, chosen.__contains__)


def _list_changed_geometries(
    revision: Revision, sides: Sides, features: pa.Table, geometries: pa.Table
) -> ChangedGeometries:
    ids, measures = measure_changed_geometries(geometries)
    if not ids:
        return ChangedGeometries([], [], [], measures, np.empty(0))
    rows = features.filter(pc.is_in(features["feature_id"], geometries["feature_id"].combine_chunks()))
    classes = pc.struct_field(rows["new"], "class").to_pylist()
    values = zip(classes, rows["position"].to_pylist(), strict=True)
    named = dict(zip(rows["feature_id"].to_pylist(), values, strict=True))
    pixels = dict(revision.fetch_rows(_PIXELS.read_text(), {"has_new_side": sides.new > 0}))
    return ChangedGeometries(
        ids=ids,
        names=[f"feature {feature_id} ({named[feature_id][0]})" for feature_id in ids],
        positions=[named[feature_id][1] for feature_id in ids],
        measures=measures,
        pixels=np.array([pixels.get(feature_id, np.nan) for feature_id in ids], np.float64),
    )


def _select_candidates(
    revision: Revision, candidates: list[FlagCandidate], selection: DiffSelection
) -> Iterator[FlagCandidate]:
    """Yield the candidates about objects that a selection chooses."""
    if selection.only:
        wanted = {*selection.only}
        candidates = [item for item in candidates if wanted & {*_TABLES.get(item.reason.code, "features").split()}]
    if not selection.has_conditions:
        yield from candidates
        return
    query = "SELECT id FROM (SELECT unnest($ids::VARCHAR[]) AS id) WHERE {}"
    for item_object, kind in (
        ("feature", "feature"),
        ("raster", "raster"),
        ("chip", "raster"),
        ("class", "class"),
        ("split", "split"),
    ):
        items = [item for item in candidates if item.object == item_object]
        if not items:
            continue
        if selection.ids is not None:
            items = [item for item in items if {item.id, *item.related} & {*selection.ids}]
        if kind in ("class", "split"):
            yield from (item for item in items if kind == "split" or selection.class_ in (None, item.id))
            continue
        condition = f"id IN (FROM chosen_{kind})"
        chosen = {id for (id,) in revision.fetch_rows(query.format(condition), {"ids": [item.id for item in items]})}
        yield from (item for item in items if item.id in chosen)
