"""Rasters in: files described, hashed and planned as the rows of one `rasters_added` event."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from geographer.errors import ConflictError, GeographerError, NotFoundError, UsageError, naming
from geographer.events import Draft
from geographer.log.digests import canonical_json
from geographer.log.tables import arrow_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geographer.queries.revision import Revision
    from geographer.rasters.read import RasterFacts
    from geographer.values import Checksums

Mode = Literal["link", "copy", "reference"]

SUFFIXES: Final = (".tif", ".tiff", ".jp2", ".vrt", ".img", ".png", ".nc", ".hdf", ".asc")


@dataclass(frozen=True, slots=True)
class RasterOptions:
    """How rasters are added: under which collection, with which bytes kept where, and how they are read."""

    collection: str = "source"
    mode: Mode = "copy"
    crs: str | None = None
    footprint: Literal["bounds", "valid"] = "bounds"
    acquired: str | None = None
    on_error: Literal["fail", "skip"] = "fail"


@dataclass(frozen=True, slots=True)
class RasterAddition:
    """A planned `rasters_added` event, and the files whose bytes DVC is to store, with their checksums."""

    draft: Draft
    files: list[tuple[Path, Checksums]]


def plan_rasters(
    revision: Revision, root: Path, paths: Sequence[Path], options: RasterOptions, request: dict[str, Any]
) -> RasterAddition:
    """What adding the files at `paths` (rasters, or folders of them) would be. Reads every pixel once.

    A raster's id is the stem of its file's name.

    Raises:
        NotFoundError: no such file, or no raster in a folder.
        UsageError, CorruptError: a file is no raster, has no CRS, is damaged.
        ConflictError: ids or file names stand twice, or are in the dataset.
    """
    check_name("collection", options.collection)
    if revision.value("SELECT 1 FROM recipes WHERE name = $name", {"name": options.collection}):
        raise ConflictError(f"'{options.collection}' is the collection of a recipe's chips: take another --collection")
    files = _files(paths)
    _refuse_taken(revision, root, files, options)
    rows: list[dict[str, Any]] = []
    stored: list[tuple[Path, Checksums]] = []
    skipped: dict[str, list[str]] = {"input": [], "name": [], "reason": []}
    for path in files:
        try:
            row, checksums = _row(path, root, options)
        except GeographerError as error:
            if options.on_error == "fail":
                raise
            for column, value in zip(skipped, ("rasters", path.name, str(error)), strict=True):
                skipped[column].append(value)
            continue
        rows.append(row)
        if options.mode != "reference":
            stored.append((path, checksums))
    payload = {
        "request": request,
        "collection": options.collection,
        "columns": {},
        "rasters": len(rows),
        "skipped": len(skipped["name"]),
    }
    tables: dict[str, Any] = {"raster_change": raster_rows(rows)} if rows else {}
    if skipped["name"]:
        tables["skipped_input"] = arrow_table("skipped_input", skipped)
    return RasterAddition(Draft("rasters_added", payload, tables), stored)


def raster_rows(rows: list[dict[str, Any]]) -> Any:
    """Rows of the log's raster table from dictionaries; what they leave out is null."""
    columns = sorted({name for row in rows for name in row})
    return arrow_table("raster_change", {name: [row.get(name) for row in rows] for name in columns or ["raster_id"]})


def facts_row(facts: RasterFacts) -> dict[str, Any]:
    """What a raster's file says of itself, as columns of the log: numbers with fractions as JSON text."""
    return {
        "crs": facts.grid.crs,
        "width": facts.grid.width,
        "height": facts.grid.height,
        "transform": canonical_json([float(number) for number in facts.grid.transform]),
        "bands": facts.count,
        "dtype": facts.dtype,
        "nodata": nodata_text(facts.nodata),
        "acquired": facts.acquired.isoformat() if facts.acquired else None,
        "outline": facts.outline,
    }


def nodata_text(nodata: float | None) -> str | None:
    """A nodata value as text: JSON has no NaN."""
    if nodata is None:
        return None
    return "nan" if nodata != nodata else canonical_json(float(nodata))


def check_name(what: str, name: str) -> None:
    """Raise `UsageError` unless `name` can name a folder on any file system."""
    allowed = all(letter.isalnum() or letter in "-_." for letter in name)
    if not name or not allowed or name.startswith(".") or len(name) > 100:
        raise UsageError(f"'{name}' can't name a {what}: use letters, digits, '-', '_' and '.'")


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            if not inside:
                raise NotFoundError(f"no raster in folder '{path}': it has no {', '.join(SUFFIXES)}")
            found += inside
        elif not path.exists():
            raise NotFoundError(f"no such file: '{path}'")
        else:
            found.append(path)
    return found


def _refuse_taken(revision: Revision, root: Path, files: list[Path], options: RasterOptions) -> None:
    stems = [path.stem for path in files]
    twice = sorted(_repeated(stems))
    if twice:
        raise ConflictError(
            f"{naming(twice)} stand twice among the files: a raster's id is its file's stem; rename one"
        )
    import pyarrow as pa

    revision.connection.register("given_raster", pa.table({"raster_id": pa.array(stems, pa.string())}))
    try:
        known = revision.rows("SELECT raster_id FROM given_raster SEMI JOIN raster_now USING (raster_id) ORDER BY ALL")
    finally:
        revision.connection.unregister("given_raster")
    if known:
        raise ConflictError(
            f"raster {naming([row[0] for row in known])}: its id is in the dataset already; rename the file"
        )
    if options.mode != "reference":
        targets = [(path, root / _path(path, options.collection)) for path in files]
        in_the_way = [str(path) for path, target in targets if target.exists() and not target.samefile(path)]
        if in_the_way:
            raise ConflictError(
                f"{naming(in_the_way)}: another file of that name lies in rasters/{options.collection}, and "
                "the log does not know it; move it away, or see geographer verify --repair"
            )


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _path(path: Path, collection: str) -> str:
    return f"rasters/{collection}/{path.name}"


def _row(path: Path, root: Path, options: RasterOptions) -> tuple[dict[str, Any], Checksums]:
    from geographer.rasters.checksums import checksums_of_file
    from geographer.rasters.pixels import pixel_digest
    from geographer.rasters.read import describe
    from geographer.rasters.wholeness import require_one_file

    facts = describe(path, crs=options.crs, footprint=options.footprint, acquired=options.acquired)
    reference = options.mode == "reference"
    if not reference:
        require_one_file(path, facts, crs=options.crs, footprint=options.footprint)
    checksums = checksums_of_file(path)
    row = {
        "raster_id": path.stem,
        "collection": options.collection,
        "path": _reference(path, root) if reference else _path(path, options.collection),
        "storage": "reference" if reference else "dvc",
        "size": checksums.size,
        "md5": checksums.md5,
        "sha256": checksums.sha256,
        "pixel_digest": pixel_digest(path, crs=options.crs),
        "properties": "{}",
        **facts_row(facts),
    }
    return row, checksums


def _reference(path: Path, root: Path) -> str:
    """A referenced file's path: relative to the dataset where it lies inside, absolute elsewhere."""
    whole = path.resolve()
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else whole.as_posix()
