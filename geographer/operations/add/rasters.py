"""Rasters in: files described, hashed and planned as the rows of one `rasters_added` event."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import ConflictError, GeographerError, NotFoundError, UsageError, quote_names
from geographer.base.values import validate_name
from geographer.operations.add.gdal_tags import tag_columns
from geographer.planning.raster_rows import RasterOptions, _path, describe_raster, make_raster_rows
from geographer.storage.events import EventDraft
from geographer.storage.log.digests import row_digest_sql
from geographer.storage.log.row_tables import make_row_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geographer.base.values import Checksums
    from geographer.storage.queries.revision import Revision


SUFFIXES: Final = (".tif", ".tiff", ".jp2", ".vrt", ".img", ".png", ".nc", ".hdf", ".asc")


class Known(NamedTuple):
    """A raster that is there under the id of a file to add: where, and the digest of its row."""

    collection: str
    path: str
    storage: str
    md5: str | None
    digest: str


@dataclass(frozen=True, slots=True)
class RasterAddition:
    """A planned `rasters_added` event, and the files whose bytes DVC is to store, with their checksums."""

    draft: EventDraft
    files: list[tuple[Path, Checksums]]


def plan_rasters(
    revision: Revision, root: Path, paths: Sequence[Path], options: RasterOptions, request: dict[str, Any]
) -> RasterAddition:
    """What adding the files at `paths` (rasters, or folders of them) would be. Reads every pixel once.

    A raster's id is the stem of its file's name. With `options.replace`, a file whose id is there gives a 'changed'
    row, unless it is equal in everything.

    Raises:
        NotFoundError: no such file, no raster in a folder that matches, or no file with a tag.
        UsageError, CorruptError: a file is no raster, has no CRS, is damaged.
        ConflictError: ids or file names stand twice, or are in the dataset.
    """
    validate_name("collection", options.collection)
    if revision.fetch_value("SELECT 1 FROM recipes WHERE name = $name", {"name": options.collection}):
        raise ConflictError(f"'{options.collection}' is the collection of a recipe's chips: take another --collection")
    files = _files(paths, options.patterns)
    known = _known(revision, files)
    _refuse_taken(root, files, known, options)
    rows, stored, tags, skipped = _described(files, root, options)
    columns, properties = tag_columns(options.tags, tags) if rows else ({}, [])
    rows = [
        {**row, "properties": own, "change": "changed" if row["raster_id"] in known else "added"}
        for row, own in zip(rows, properties, strict=True)
    ]
    same = _unchanged(revision, rows, known)
    fresh = [row for row in rows if row["raster_id"] not in same]
    _refuse_lost_work(root, files, fresh, known)
    payload = {
        "request": request,
        "collection": options.collection,
        "columns": columns,
        "rasters": len(fresh),
        "skipped": len(skipped["name"]),
        **(_counts(fresh, same) if options.replace else {}),
    }
    tables: dict[str, Any] = {"raster_change": make_raster_rows(fresh)} if fresh else {}
    if skipped["name"]:
        tables["skipped_input"] = make_row_table("skipped_input", skipped)
    kept = [(path, sums) for path, sums in stored if path.stem not in same]
    return RasterAddition(EventDraft("rasters_added", payload, tables), kept)


def _files(paths: Sequence[Path], patterns: Sequence[str]) -> list[Path]:
    if patterns and not any(path.is_dir() for path in paths):
        raise UsageError(f"--pattern {quote_names([*patterns])} chooses among the rasters of a folder: name a folder")
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += _inside(path, patterns)
        elif not path.exists():
            raise NotFoundError(f"no such file: '{path}'")
        else:
            found.append(path)
    return found


def _inside(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """The rasters in a folder, by path; with patterns, those of which one matches the name, or the path from there."""
    rasters = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not rasters:
        raise NotFoundError(f"no raster in folder '{folder}': it has no {', '.join(SUFFIXES)}")
    if not patterns:
        return rasters
    names = [(file.name, file.relative_to(folder).as_posix()) for file in rasters]
    chosen = [
        file
        for file, both in zip(rasters, names, strict=True)
        if any(fnmatchcase(name, pattern) for name in both for pattern in patterns)
    ]
    if not chosen:
        raise NotFoundError(
            f"no raster in folder '{folder}' matches {quote_names([*patterns])}: it has {quote_names([one for _, one in names])}"
        )
    return chosen


def _known(revision: Revision, files: list[Path]) -> dict[str, Known]:
    """The rasters that are there under the ids of `files`."""
    import pyarrow as pa

    stems = pa.table({"raster_id": pa.array([path.stem for path in files], pa.string())})
    revision.connection.register("given_raster", stems)
    try:
        rows = revision.fetch_rows(
            "SELECT raster_id, collection, path, storage, md5, row_digest FROM raster_now "
            "SEMI JOIN given_raster USING (raster_id) ORDER BY raster_id"
        )
    finally:
        revision.connection.unregister("given_raster")
    return {name: Known(*row) for name, *row in rows}


def _refuse_taken(root: Path, files: list[Path], known: dict[str, Known], options: RasterOptions) -> None:
    twice = sorted(_repeated(path.stem for path in files))
    if twice:
        raise ConflictError(
            f"{quote_names(twice)} stand twice among the files: a raster's id is its file's stem; rename one"
        )
    if known and not options.replace:
        raise ConflictError(
            f"raster {quote_names([*known])}: its id is in the dataset already; rename the file, or pass --replace"
        )
    elsewhere = [name for name, raster in known.items() if raster.collection != options.collection]
    if elsewhere:
        raise ConflictError(
            f"raster {quote_names(elsewhere)}: its id is in the collection '{known[elsewhere[0]].collection}', and is "
            f"replaced only there: pass --collection {known[elsewhere[0]].collection}, or rename the file"
        )
    if options.mode == "reference":
        ours = [str(path) for path in files if path.stem in known and _is_ours(path, root, known[path.stem])]
        if ours:
            raise ConflictError(
                f"{quote_names(ours)}: that file is the dataset's own: move it away to refer to it there"
            )
        return
    targets = [(path, _path(path, options.collection)) for path in files]
    in_the_way = [
        str(path)
        for path, target in targets
        if (root / target).exists()
        and not (root / target).samefile(path)
        and (path.stem not in known or known[path.stem].path != target)
    ]
    if in_the_way:
        raise ConflictError(
            f"{quote_names(in_the_way)}: another file of that name lies in rasters/{options.collection}, and "
            "the log does not know it; move it away, or see geographer verify --repair"
        )


def _is_ours(path: Path, root: Path, known: Known) -> bool:
    """Whether a file is the one by which the workspace shows a raster that DVC keeps."""
    shown = root / known.path if known.storage == "dvc" else None
    return shown is not None and shown.exists() and shown.samefile(path)


def _refuse_lost_work(root: Path, files: list[Path], fresh: list[dict[str, Any]], known: dict[str, Known]) -> None:
    """Raise when a file that would give way is neither the new one nor as the log knows it: it would be lost."""
    from geographer.rasters.checksums import compute_checksums

    given = {path.stem: path for path in files}
    altered = []
    for name in (row["raster_id"] for row in fresh if row["raster_id"] in known):
        shown = root / known[name].path
        if known[name].storage != "dvc" or not shown.is_file() or shown.samefile(given[name]):
            continue
        if compute_checksums(shown).md5 != known[name].md5:
            altered.append(known[name].path)
    if altered:
        raise ConflictError(
            f"{quote_names(altered)} is not as the log knows it, and would be lost: move it away, or add it with --replace"
        )


def _unchanged(revision: Revision, rows: list[dict[str, Any]], known: dict[str, Known]) -> set[str]:
    """The ids of rows that are what is there already, in everything."""
    again = [row for row in rows if row["raster_id"] in known]
    if not again:
        return set()
    revision.connection.register("given_raster", make_raster_rows(again))
    try:
        digests = revision.fetch_rows(f"SELECT raster_id, {row_digest_sql('raster_change')} FROM given_raster")  # noqa: S608
    finally:
        revision.connection.unregister("given_raster")
    return {name for name, digest in digests if known[name].digest == digest}


def _counts(fresh: list[dict[str, Any]], same: set[str]) -> dict[str, int]:
    kinds = Counter(row["change"] for row in fresh)
    return {"added": kinds["added"], "changed": kinds["changed"], "unchanged": len(same)}


def _described(
    files: list[Path], root: Path, options: RasterOptions
) -> tuple[list[dict[str, Any]], list[tuple[Path, Checksums]], list[dict[str, str]], dict[str, list[str]]]:
    """The rows of the files, those whose bytes DVC is to store, the files' tags; and the rows of what is not fit."""
    rows: list[dict[str, Any]] = []
    stored: list[tuple[Path, Checksums]] = []
    tags: list[dict[str, str]] = []
    skipped: dict[str, list[str]] = {"input": [], "name": [], "reason": []}
    for path in files:
        try:
            row, checksums, own = describe_raster(path, root, options)
        except GeographerError as error:
            if options.on_error == "fail":
                raise
            for column, value in zip(skipped, ("rasters", path.name, str(error)), strict=True):
                skipped[column].append(value)
            continue
        rows.append(row)
        tags.append(own)
        if options.mode != "reference":
            stored.append((path, checksums))
    return rows, stored, tags, skipped


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
