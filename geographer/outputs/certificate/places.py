"""Where the certified rasters are: windows of chips, boxes around footprints, and the footprints themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import shapely

from geographer.algorithms.connected_components import NO_LINKS, Floats, Ints, Links
from geographer.storage.queries.revision import Revision

_QUERY: Final = Path(__file__).with_name("places.sql")
_FOOTPRINTS: Final = (
    "SELECT ST_AsWKB(footprint)::BLOB FROM current_raster JOIN certified_raster USING (raster_key) "
    "WHERE raster_index IN (SELECT unnest($indices::BIGINT[])) ORDER BY raster_index"
)
_BLOCK_SIZE: Final = 4096


class Places(NamedTuple):
    """Where n certified rasters are.

    Attributes:
        parent: The key of the parent of each chip, -1 for other rasters, shape (n,).
        window: Column, row, width and height in the parent, shape (n, 4).
        box: West, south, east and north in degrees, shape (n, 4); NaN without a footprint.
    """

    parent: Ints
    window: Ints
    box: Floats

    @property
    def on_earth(self) -> Ints:
        """The indices of the rasters that have a footprint."""
        return np.flatnonzero(~np.isnan(self.box).any(axis=1))

    def iter_window_pairs(self, part: Ints) -> Iterator[Links]:
        """Yield pairs i < j of different parts that share pixels of a parent."""
        chips = np.flatnonzero(self.parent >= 0)
        column, row, width, height = self.window[chips].T
        # Windows of different parents lie in different strips, which are wider than any raster.
        strip = np.unique(self.parent[chips], return_inverse=True)[1] * float(1 << 26)
        boxes = shapely.box(strip + column, row, strip + column + width, row + height)
        for pairs in _iter_meeting_boxes(boxes, chips, part):
            yield pairs[self.count_shared_pixels(pairs) > 0]

    def count_shared_pixels(self, pairs: Links) -> Ints:
        """Return the number of pixels that the windows of pairs share, shape (k,)."""
        low, size = self.window[pairs][:, :, :2], self.window[pairs][:, :, 2:]
        sides = (low + size).min(axis=1) - low.max(axis=1)
        return np.asarray(np.maximum(sides, 0).prod(axis=1))

    def iter_box_pairs(self, part: Ints) -> Iterator[Links]:
        """Yield pairs i < j of different parts and parents whose boxes in degrees meet."""
        members = self.on_earth
        for pairs in _iter_meeting_boxes(shapely.box(*self.box[members].T), members, part):
            a, b = self.parent[pairs].T
            yield pairs[(a != b) | (a < 0)]


def read_places(revision: Revision) -> Places:
    """Return where the certified rasters are."""
    table = revision.fetch_arrow(_QUERY.read_text())
    parent = table["parent_key"].fill_null(-1).to_numpy()
    window = np.column_stack([table[name].fill_null(0).to_numpy() for name in ("col", "row", "width", "height")])
    box = np.column_stack([table[name].to_numpy().astype(np.float64) for name in ("west", "south", "east", "north")])
    return Places(parent, window, box)


def read_footprints(revision: Revision, indices: Ints) -> list[bytes]:
    """Return the footprints of some certified rasters, by ascending index, as WKB."""
    rows = revision.fetch_rows(_FOOTPRINTS, {"indices": indices.tolist()})
    return [bytes(wkb) for (wkb,) in rows]


def _iter_meeting_boxes(boxes: Floats, indices: Ints, part: Ints) -> Iterator[Links]:
    """Yield pairs i < j of indices of different parts whose boxes meet."""
    if not len(boxes):
        yield NO_LINKS
        return
    tree = shapely.STRtree(boxes)
    for start in range(0, len(boxes), _BLOCK_SIZE):
        rows, others = tree.query(boxes[start : start + _BLOCK_SIZE])
        a, b = indices[rows + start], indices[others]
        keep = (a < b) & (part[a] != part[b])
        yield np.column_stack([a[keep], b[keep]])
