"""Facts: what the page of a difference shows beside it, of either side: footprints, subsets, and the events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa

from geographer.storage.database.connection import register_table
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geographer.storage.dvc.store import Store

_PLACES: Final = Path(__file__).with_name("raster_places.sql")
_POINTS: Final = Path(__file__).with_name("raster_points.sql")
_EVENTS: Final = (
    "SELECT position, kind, recorded_at::VARCHAR, author, message FROM chain_event "
    "WHERE position IN (SELECT unnest($positions::BIGINT[])) ORDER BY position"
)


class PageSide(NamedTuple):
    """One of the two revisions that a page compares.

    Attributes:
        name: The name of the dataset's folder.
        root: The dataset's folder.
        store: Its files in DVC.
        open_revision: Opens the revision.
    """

    name: str
    root: Path
    store: Store
    open_revision: Callable[[], AbstractContextManager[Revision]]


class RasterPlace(NamedTuple):
    """A raster on one side: its collection, whether it is a chip, its footprint (WKB, longitude/latitude), its subsets.

    `parts` are the parts of splits, by the name of the split.
    """

    collection: str
    is_chip: bool
    footprint: bytes | None
    parts: Mapping[str, str]


class RowEvent(NamedTuple):
    """The event of a change: its position, kind, time (UTC), author and message."""

    position: int
    kind: str
    recorded_at: str
    author: str | None
    message: str | None


def read_raster_places(revision: Revision, raster_ids: Iterable[str]) -> dict[str, RasterPlace]:
    """Return the rasters of these ids that a revision has, by id."""
    wanted = pa.table({"raster_id": pa.array(dict.fromkeys(raster_ids), pa.string())})
    with register_table(revision.connection, "wanted_raster", wanted):
        rows = revision.fetch_rows(_PLACES.read_text())
    return {
        raster_id: RasterPlace(collection, is_chip, footprint, dict(zip(splits or (), parts or (), strict=True)))
        for raster_id, collection, is_chip, footprint, splits, parts in rows
    }


def read_raster_points(revision: Revision, raster_ids: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a point in each raster of these ids that a revision has: longitude and latitude in degrees, n by 2."""
    import numpy as np

    with register_table(revision.connection, "wanted_raster", pa.table({"raster_id": raster_ids})):
        table = revision.fetch_arrow(_POINTS.read_text())
    return np.column_stack([table[name].to_numpy() for name in ("lon", "lat")]).astype(float)


def read_events(revision: Revision, positions: Iterable[int]) -> dict[int, RowEvent]:
    """Return the events at these positions of the revision's chain, by position."""
    rows = revision.fetch_rows(_EVENTS, {"positions": sorted({*positions})})
    return {row[0]: RowEvent(*row) for row in rows}
