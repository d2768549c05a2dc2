"""Find the flags of a difference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geographer.diff.changes import Sides
from geographer.diff.flags.features import find_added_outliers, find_class_flips
from geographer.diff.flags.flag import CandidateGroup, Flag, FlagCandidate, rank_candidates
from geographer.diff.flags.geometry import ChangedGeometries, find_changed_geometries
from geographer.diff.flags.labels import find_stale_labels
from geographer.diff.flags.rasters import find_altered_pixels, find_altered_rasters
from geographer.diff.flags.splits import find_leaks, find_moved_rasters
from geographer.diff.geometry import measure_changed_geometries
from geographer.storage.database.connection import register_table

if TYPE_CHECKING:
    from geographer.diff.pixels import FileChange
    from geographer.diff.selection import DiffSelection
    from geographer.storage.queries.revision import Revision

_PIXELS: Final = Path(__file__).with_name("feature_pixels.sql")
_FEATURES: Final = "SELECT feature_id, change, position, old, new FROM changed_feature ORDER BY feature_id"
_KINDS: Final = {"feature": "feature", "raster": "raster", "chip": "raster"}
_TOLERANCE: Final = 1e-4
"""Far below the least change of an area or outline that is a flag; see `measure_geometry_changes`."""
_CHOSEN: Final = "FROM candidate WHERE id IN (FROM chosen_{})"
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
    candidates: list[FlagCandidate | CandidateGroup] = [
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
    return rank_candidates(candidates, changed, partial(_choose_candidates, revision, selection))


def _list_changed_geometries(
    revision: Revision, sides: Sides, features: pa.Table, geometries: pa.Table
) -> ChangedGeometries:
    ids, measures = measure_changed_geometries(geometries, _TOLERANCE)
    rows = features.take(pc.index_in(ids, features["feature_id"].combine_chunks()))
    classes = pc.struct_field(rows["new"], "class").combine_chunks()
    return ChangedGeometries(
        ids=ids,
        names=pc.binary_join_element_wise("feature ", ids, " (", classes, ")", ""),
        positions=rows["position"].to_numpy().astype(np.int64),
        measures=measures,
        pixels=_read_pixels(revision, sides, ids),
    )


def _read_pixels(revision: Revision, sides: Sides, ids: pa.Array) -> NDArray[np.float64]:
    """Return the pixel size, in metres, of the finest raster that shows each feature; NaN where none does."""
    table = revision.fetch_arrow(_PIXELS.read_text(), {"has_new_side": sides.new > 0})
    found = pc.index_in(ids, table["feature_id"].combine_chunks())
    pixels: NDArray[np.float64] = table["pixel"].take(found).cast("float64").to_numpy()
    return pixels


def _choose_candidates(revision: Revision, selection: DiffSelection, group: CandidateGroup) -> NDArray[np.bool_]:
    """Return which candidates of a group are about objects that a selection chooses; shape (n,)."""
    is_chosen = np.ones(len(group.ids), bool)
    if selection.only and not {*selection.only} & {*_TABLES.get(group.code, "features").split()}:
        return ~is_chosen
    if not selection.has_conditions:
        return is_chosen
    if selection.ids is not None:
        is_chosen &= _find_named(group, selection.ids)
    if group.object == "class":
        return is_chosen & (selection.class_ is None or _is_in(group.ids, [selection.class_]))
    if group.object == "split":
        return is_chosen
    with register_table(revision.connection, "candidate", pa.table({"id": group.ids})):
        chosen = revision.fetch_arrow(_CHOSEN.format(_KINDS[group.object]))
    return is_chosen & _is_in(group.ids, chosen["id"].combine_chunks())


def _find_named(group: CandidateGroup, ids: Sequence[str]) -> NDArray[np.bool_]:
    """Return which candidates are about an object of these ids, or have one that is related."""
    is_named = _is_in(group.ids, ids)
    if group.related is not None:
        found = pc.list_parent_indices(group.related).to_numpy()[_is_in(pc.list_flatten(group.related), ids)]
        is_named[found] = True
    return is_named


def _is_in(values: pa.Array, ids: Sequence[str] | pa.Array) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.is_in(values, pa.array(ids, pa.string())).to_numpy(zero_copy_only=False)
    return found.copy()
