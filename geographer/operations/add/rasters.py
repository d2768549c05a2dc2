"""Add rasters: read and hash raster files, and plan the `rasters_added` event."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import ConflictError, GeographerError, NotFoundError, UsageError, quote_names, quote_objects
from geographer.base.values import validate_name
from geographer.operations.add.gdal_tags import make_tag_columns
from geographer.operations.add.input_problems import make_skipped_rows
from geographer.planning.raster_rows import RasterOptions, describe_raster, make_raster_rows, make_stored_path
from geographer.storage.events import EventDraft
from geographer.storage.log.digests import build_row_digest_sql
from geographer.storage.unit_of_work import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geographer.base.values import Checksums
    from geographer.storage.queries.revision import Revision


SUFFIXES: Final = (".tif", ".tiff", ".jp2", ".vrt", ".img", ".png", ".nc", ".hdf", ".asc")


class ExistingRaster(NamedTuple):
    """A raster of the dataset; `digest` is the digest of its log row."""

    collection: str
    path: str
    storage: str
    md5: str | None
    digest: str


def plan_raster_addition(
    revision: Revision, root: Path, paths: Sequence[Path], options: RasterOptions, request: dict[str, Any]
) -> Change:
    """Plan the `rasters_added` event for files and folders. Reads every pixel once.

    A raster's id is the stem of its file name. With `options.replace`, a file whose id exists gives a 'changed' row, or
    none if the row would be equal.

    Raises:
        NotFoundError: A file does not exist, no raster of a folder matches, or no file has one of the tags.
        UsageError: A file is not a raster, or has no CRS.
        CorruptError: A file is damaged.
        ConflictError: An id or file name is repeated or already in the dataset.
    """
    validate_name("collection", options.collection)
    if revision.fetch_value("SELECT 1 FROM recipes WHERE name = $name", {"name": options.collection}):
        raise ConflictError(
            f"collection '{options.collection}' is reserved for the chips of the recipe of that name. "
            "Choose another --collection."
        )
    files = _list_raster_files(paths, options.patterns)
    existing = _find_existing_rasters(revision, files)
    _reject_conflicts(root, files, existing, options)
    described, skipped = _describe_files(files, root, options)
    columns, properties = make_tag_columns(options.tags, [tags for *_, tags in described]) if described else ({}, [])
    rows = [
        {**row, "properties": text, "change": "changed" if row["raster_id"] in existing else "added"}
        for (_, row, _, _), text in zip(described, properties, strict=True)
    ]
    unchanged = _find_unchanged(revision, rows, existing)
    rows = [row for row in rows if row["raster_id"] not in unchanged]
    _reject_overwriting_edits(root, files, rows, existing)
    payload = {
        "request": request,
        "collection": options.collection,
        "columns": columns,
        "rasters": len(rows),
        "skipped": len(skipped),
    }
    if options.replace:
        n_changed = sum(row["change"] == "changed" for row in rows)
        payload |= {"added": len(rows) - n_changed, "changed": n_changed, "unchanged": len(unchanged)}
    tables = {"raster_change": make_raster_rows(rows)} if rows else {}
    draft = EventDraft("rasters_added", payload, tables | make_skipped_rows("rasters", skipped))
    if options.mode == "reference":
        return Change(draft)
    stored = [(path, checksums) for path, _, checksums, _ in described if path.stem not in unchanged]
    return Change(draft, stored, linked_md5s={sums.md5 for _, sums in stored} if options.mode == "link" else ())


def _describe_files(
    files: list[Path], root: Path, options: RasterOptions
) -> tuple[list[tuple[Path, dict[str, Any], Checksums, dict[str, str]]], list[tuple[str, str]]]:
    """Return each file with its log row, checksums and GDAL tags; and the skipped files with reasons."""
    described, skipped = [], []
    for path in files:
        try:
            described.append((path, *describe_raster(path, root, options)))
        except GeographerError as error:
            if options.on_error == "fail":
                raise
            skipped.append((path.name, str(error)))
    return described, skipped


def _list_raster_files(paths: Sequence[Path], patterns: Sequence[str]) -> list[Path]:
    if patterns and not any(path.is_dir() for path in paths):
        raise UsageError(
            f"--pattern {quote_names([*patterns])} needs a folder whose rasters it selects. Name a folder, or omit it."
        )
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += _list_folder(path, patterns)
        elif not path.exists():
            raise NotFoundError(f"no such file: '{path}'")
        else:
            files.append(path)
    return files


def _list_folder(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Return the rasters of a folder, sorted by path; patterns match the file name or the path inside the folder."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise NotFoundError(f"no raster in folder '{folder}'. Rasters end in {', '.join(SUFFIXES)}.")
    if not patterns:
        return files
    names = {file: (file.name, file.relative_to(folder).as_posix()) for file in files}
    selected = [
        file for file in files if any(fnmatchcase(name, pattern) for name in names[file] for pattern in patterns)
    ]
    if not selected:
        raise NotFoundError(
            f"no raster in folder '{folder}' matches {quote_names([*patterns])}. "
            f"Its rasters: {quote_names([relative for _, relative in names.values()])}."
        )
    return selected


def _find_existing_rasters(revision: Revision, files: list[Path]) -> dict[str, ExistingRaster]:
    """Return the rasters of the dataset that have the ids of `files`, by id."""
    rows = revision.fetch_rows(
        "SELECT raster_id, collection, path, storage, md5, row_digest FROM current_raster "
        "WHERE raster_id IN (SELECT unnest($ids::VARCHAR[])) ORDER BY raster_id",
        {"ids": [path.stem for path in files]},
    )
    return {raster_id: ExistingRaster(*row) for raster_id, *row in rows}


def _reject_conflicts(
    root: Path, files: list[Path], existing: dict[str, ExistingRaster], options: RasterOptions
) -> None:
    repeated = sorted(stem for stem, count in Counter(path.stem for path in files).items() if count > 1)
    if repeated:
        raise ConflictError(
            f"several files have the stem {quote_names(repeated)}, which is the raster's id. Rename all but one."
        )
    if existing and not options.replace:
        raise ConflictError(
            f"{quote_objects('raster', [*existing], 'is|are')} already in the dataset. Rename the "
            "file, or pass --replace."
        )
    elsewhere = [raster_id for raster_id, raster in existing.items() if raster.collection != options.collection]
    if elsewhere:
        collection = existing[elsewhere[0]].collection
        raise ConflictError(
            f"{quote_objects('raster', elsewhere, 'is|are')} in the collection '{collection}' and "
            "can be replaced only there. "
            f"Pass --collection {collection}, or rename the file."
        )
    if options.mode == "reference":
        copies = {id_: root / raster.path for id_, raster in existing.items() if raster.storage == "dvc"}
        workspace_files = [
            str(path) for path in files if path.stem in copies and _is_same_file(copies[path.stem], path)
        ]
        if workspace_files:
            raise ConflictError(
                f"cannot reference {quote_names(workspace_files)}, a file of the dataset's workspace. "
                "Move it elsewhere and add it from there."
            )
        return
    targets = [(path, make_stored_path(path, options.collection)) for path in files]
    blocked = [
        str(path)
        for path, target in targets
        if (root / target).exists()
        and not (root / target).samefile(path)
        and (path.stem not in existing or existing[path.stem].path != target)
    ]
    if blocked:
        raise ConflictError(
            f"cannot add {quote_names(blocked)}: rasters/{options.collection} has another file of that name that is "
            "not in the log. Move that file away, or see geographer verify --repair."
        )


def _is_same_file(copy: Path, path: Path) -> bool:
    return copy.exists() and copy.samefile(path)


def _reject_overwriting_edits(
    root: Path, files: list[Path], rows: list[dict[str, Any]], existing: dict[str, ExistingRaster]
) -> None:
    """Raise if a workspace copy that would be replaced was edited and is not itself the file to add."""
    from geographer.rasters.checksums import compute_checksums

    input_files = {path.stem: path for path in files}
    edited = []
    for raster_id in (row["raster_id"] for row in rows if row["raster_id"] in existing):
        raster = existing[raster_id]
        copy = root / raster.path
        if raster.storage != "dvc" or not copy.is_file() or copy.samefile(input_files[raster_id]):
            continue
        if compute_checksums(copy).md5 != raster.md5:
            edited.append(raster.path)
    if edited:
        raise ConflictError(
            f"{quote_names(edited)} differs from the log and would be overwritten. "
            "Move it away, or add it with --replace."
        )


def _find_unchanged(revision: Revision, rows: list[dict[str, Any]], existing: dict[str, ExistingRaster]) -> set[str]:
    """Return the ids of the rows that equal the existing raster's row in every column."""
    candidates = [row for row in rows if row["raster_id"] in existing]
    if not candidates:
        return set()
    revision.connection.register("input_raster", make_raster_rows(candidates))
    try:
        digests = revision.fetch_rows(f"SELECT raster_id, {build_row_digest_sql('raster_change')} FROM input_raster")  # noqa: S608
    finally:
        revision.connection.unregister("input_raster")
    return {raster_id for raster_id, digest in digests if existing[raster_id].digest == digest}
