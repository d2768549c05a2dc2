"""Checks of what a patch leads to: rows that refer to each other, the content digest, and the files of new rasters."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geographer.base.errors import CorruptError, GeographerError
from geographer.base.text import quote_start
from geographer.diff.patch.model import Values
from geographer.operations.apply.rows import Rows
from geographer.storage.events.row_tables import KEY_COLUMNS
from geographer.storage.log.pending import SCHEMA, stage_rows
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import pyarrow as pa

_FOLDER: Final = Path(__file__).parent
_KINDS: Final = ("class", "feature", "raster", "label", "label_object", "split")
_RASTER_TABLES: Final = ("label_change", "label_object_change", "split_change")
Size = tuple[int | None, int | None]
"""Width and height in pixels; None: not known."""
_ADVICE: Final = "Write the patch again, from the dataset that it is of."


def check_references(revision: Revision, rows: Rows) -> None:
    """Raise `CorruptError` if a chip would have no parent or lie outside it, or another object would have no raster.

    The raster that a chip was cut from may have been removed since: then the log has it.
    """
    query = "SELECT raster_id, width, height FROM current_raster"
    sizes = {id: (width, height) for id, width, height in revision.fetch_rows(query)}
    for (table, key), row in rows.items():
        if table == "raster_change":
            sizes.pop(key[0], None)
            if row.values is not None:
                sizes[key[0]] = (row.values["width"], row.values["height"])
    removed = _read_removed_parents(revision, rows, sizes)
    for (table, key), row in rows.items():
        if row.values is None:
            continue
        if table in _RASTER_TABLES and key[1] not in sizes:
            noun = table.removesuffix("_change").replace("_", " ")
            raise CorruptError(
                f"the patch has the {noun} {quote_start(repr(key[0]))} of raster {quote_start(repr(key[1]))}, which "
                f"is not in the dataset. {_ADVICE}"
            )
        if table == "raster_change" and row.values["parent_id"] is not None:
            parent = row.values["parent_id"]
            _check_window(key[0], row.values, sizes.get(parent) or removed.get(parent))


def _read_removed_parents(revision: Revision, rows: Rows, sizes: Mapping[str, Size]) -> dict[str, Size]:
    """Return the sizes of rasters of the log that chips of the rows were cut from, and that are no longer there."""
    parents = {row.values["parent_id"] for key, row in rows.items() if key[0] == "raster_change" and row.values}
    query = "SELECT raster_id, width, height FROM state.raster WHERE raster_id IN (SELECT unnest($ids::VARCHAR[]))"
    found = revision.fetch_rows(query, {"ids": sorted(parents - sizes.keys() - {None})})
    return {id: (width, height) for id, width, height in found}


def _check_window(raster_id: str, values: Values, size: Size | None) -> None:
    parent, name = quote_start(repr(values["parent_id"])), quote_start(repr(raster_id))
    if size is None:
        raise CorruptError(f"the patch has the chip {name} of raster {parent}, which is not in the dataset. {_ADVICE}")
    sides = ((values["col"], values["width"], size[0]), (values["row"], values["height"], size[1]))
    for start, length, limit in sides:
        if start is None or length is None or length < 1 or start + length < 1 or (limit and start >= limit):
            raise CorruptError(f"the window of chip {name} in the patch lies outside raster {parent}. {_ADVICE}")


def check_content(revision: Revision, tables: "Mapping[str, pa.Table]", content_digest: str) -> None:
    """Raise `CorruptError` if rows, recorded on the open head, do not lead to the content with this digest."""
    query = (_FOLDER / "reached_lines.sql").read_text()
    digest = hashlib.sha256()
    with stage_rows(revision.connection, tables):
        parts = [
            query.format(kind=kind, keys=", ".join(KEY_COLUMNS[f"{kind}_change"]), rows=f"{SCHEMA}.{kind}_change")
            if f"{kind}_change" in tables
            else f"SELECT '{kind} ' || row_digest || chr(10) FROM current_{kind}"  # noqa: S608
            for kind in _KINDS
        ]
        lines = revision.fetch_arrow(f"FROM ({' UNION ALL '.join(parts)}) AS reached(line) ORDER BY line")
    for chunk in lines["line"].chunks:
        digest.update("".join(chunk.to_pylist()).encode())
    if digest.hexdigest() != content_digest:
        raise CorruptError(
            f"the patch does not lead to the revision that it names: its content digest is {content_digest[:12]}, and "
            f"the changes give {digest.hexdigest()[:12]}. {_ADVICE}"
        )


def check_raster(raster_id: str, values: Values, path: Path) -> None:
    """Raise `CorruptError` if the file of a raster has not the grid and the pixels that the patch says."""
    from geographer.planning.raster_rows import describe_grid
    from geographer.rasters.pixel_digest import compute_pixel_digest
    from geographer.rasters.read import read_raster_info

    try:
        info = read_raster_info(path, crs=values["crs"])
        found = {**describe_grid(info.grid, info.band_count, info.dtype, info.nodata)}
        found["pixel_digest"] = compute_pixel_digest(path, crs=values["crs"])
    except GeographerError as error:
        raise CorruptError(f"the file of raster {quote_start(repr(raster_id))} cannot be read: {error}") from error
    if differing := sorted(name for name, value in found.items() if values[name] != value):
        raise CorruptError(
            f"the patch says of raster {quote_start(repr(raster_id))} what its file does not have: "
            f"{', '.join(differing)}. {_ADVICE}"
        )
