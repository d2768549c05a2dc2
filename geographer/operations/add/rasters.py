"""Add rasters: read and hash raster files, and plan the `rasters_added` event."""

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from geographer.base.errors import ConflictError, GeographerError, UsageError, quote_names, quote_objects
from geographer.base.executors.executor import Workers
from geographer.base.parameters import Parameter
from geographer.base.progress import iter_with_progress
from geographer.base.redaction import has_credentials, redact_text, require_no_credentials
from geographer.base.text import quote_start
from geographer.base.values import validate_name
from geographer.operations.add.describe_files import DescribedFile, RasterTask, describe_files
from geographer.operations.add.events import RastersAdded, RastersAddedV1
from geographer.operations.add.features import Replace
from geographer.operations.add.gdal_tags import make_tag_columns
from geographer.operations.add.raster_files import choose_id_folders, list_raster_files, map_files_by_id
from geographer.planning.embedding_change import EmbeddingChange
from geographer.planning.input_problems import NamedTexts, make_skipped_rows, omit_lone_skips
from geographer.planning.raster_rows import (
    Footprint,
    RasterOptions,
    RasterRow,
    StorageMode,
    get_named_path,
    make_raster_rows,
    make_stored_path,
)
from geographer.planning.recipe import WORKERS
from geographer.planning.reference_change import ReferenceChange
from geographer.planning.remote_raster_rows import describe_remote_raster
from geographer.planning.shared_parameters import NAME_SCHEMA, TEXTS, CrsText, OnError, list_values
from geographer.planning.vectors.crs import normalise_crs
from geographer.rasters.remote_address import find_remote_url, is_remote_address, is_remote_url
from geographer.storage.database.connection import register_table
from geographer.storage.log.digests import build_row_digest_sql
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request
from geographer.storage.workspace.paths import require_new_path
from geographer.storage.workspace.roots import RecordedFiles, Roots, split_root

logger = logging.getLogger(__name__)

_PATHS: Final = Parameter(
    "Raster files, folders with raster files, and URLs (https://, s3://) with --mode reference.",
    *("PATH...",),
    cli="arguments",
    convert=lambda paths: tuple(map(_parse_path, list_values(paths))),
    schema=TEXTS,
)
_COLLECTION_HELP: Final = "The collection (named set of rasters) that the files join."
CollectionName = Annotated[str, Parameter(_COLLECTION_HELP, "NAME", schema=NAME_SCHEMA)]
_MODE_HELP: Final = (
    "Store the bytes in DVC and put a copy or a read-only link into the workspace; or leave the files in place."
)
Mode = Annotated[StorageMode, Parameter(_MODE_HELP)]
_FOOTPRINT_HELP: Final = "A raster's footprint: the bounds of its grid, or the outline of its valid pixels."
PATTERNS: Final = Parameter(
    "Of a folder, add only rasters whose name or relative path matches, such as '*_RGB.tif'.",
    *("GLOB", "all rasters", "--pattern", list_values),
    cli="list",
    records_default=False,
    schema={**TEXTS, "minItems": 1},
)
_ID_FOLDERS: Final = Parameter(
    "How many folders above a file give their names to the raster's id: with 1, T1/B02.tif becomes T1_B02.",
    *("NUMBER", "0, or as many as make ids different"),
    minimum=0,
    key=None,
)
_TAGS_HELP: Final = "Store this GDAL tag of each file as a column."
_TAGS: Final = PATTERNS._replace(help=_TAGS_HELP, metavar="NAME", default="none", flags="--tag", kind="tag of GDAL")
_HASH: Final = Parameter(
    "Of URLs, read all bytes once, and record their checksums and the digest of the pixels.",
    records_default=False,
    since=2,
)
_ACQUIRED_HELP: Final = "The GDAL tag that holds the time of acquisition."


class ExistingRaster(NamedTuple):
    """A raster of the dataset; `digest` is the digest of its log row."""

    collection: str
    path: str
    storage: str
    md5: str | None
    digest: str


ExistingRasters = Mapping[str, ExistingRaster]
"""Rasters of the dataset by id."""


class RasterPaths(Request, frozen=True):
    """A request about raster files and folders."""

    paths: Annotated[str | Path | Iterable[str | Path], _PATHS]


class AddRasters(RasterPaths, kw_only=True, frozen=True):
    """Add raster files, or all rasters in folders.

    A raster's id is the name of its file without the suffix. If files of one name are in different folders, the names
    of as many folders as needed go before it; --id-folders says how many.

    A raster that is replaced must be in the same collection. Equal files are not recorded again. The workspace shows
    the new file; DVC's cache keeps both.
    """

    event: ClassVar[type[RastersAdded]] = RastersAdded
    example = "add rasters scenes/ --collection s2 --pattern '*_RGB.tif'"

    collection: CollectionName = "source"
    mode: Mode = "copy"
    crs: CrsText = None
    footprint: Annotated[Footprint, Parameter(_FOOTPRINT_HELP)] = "bounds"
    acquired: Annotated[str | None, Parameter(_ACQUIRED_HELP, "TAG", kind="tag of GDAL")] = None
    patterns: Annotated[str | Sequence[str], PATTERNS] = ()
    tags: Annotated[Sequence[str], _TAGS] = ()
    id_folders: Annotated[int | None, _ID_FOLDERS] = None
    on_error: OnError = "fail"
    replace: Replace = False
    hash: Annotated[bool, _HASH] = False
    workers: Annotated[Workers, WORKERS] = 1

    def make_plan(self, revision: Revision, context: PlanContext, /) -> Change:
        """See `plan_raster_addition`."""
        change = plan_raster_addition(revision, context, self)
        return replace(change, rows=omit_lone_skips(f"collection {self.collection}", change.rows))


def plan_raster_addition(
    revision: Revision, context: PlanContext, request: AddRasters, properties_by_id: Mapping[str, str] | None = None
) -> Change:
    """Plan the `rasters_added` event for files and folders. Reads every pixel once.

    With `replace`, a file whose id exists gives a 'changed' row, or none if the row would be equal. `properties_by_id`
    replaces the user columns, as JSON, that come from tags.

    Raises:
        NotFoundError: A file does not exist, no raster of a folder matches, or no file has one of the tags.
        UsageError: A file is not a raster, or has no CRS.
        CorruptError: A file is damaged.
        ConflictError: An id or file name is repeated or already in the dataset.
    """
    root = context.root
    _require_free_collection(revision, request.collection)
    request, files = _find_files(revision, request)
    existing = _find_existing_rasters(revision, [*files])
    _reject_existing(existing, request)
    _reject_workspace_conflicts(root, files, existing, request)
    references = RecordedFiles({}, {})
    if request.mode == "reference":
        local = [file for file in files.values() if not is_remote_address(file)]
        references = Roots(root).record_files(local, revision.connection)
    described, skipped = _describe_files(revision, context, [*files.values()], references, request)
    columns, properties = make_tag_columns(request.tags if described else (), [file.tags for file in described])
    if properties_by_id:
        ids = [file.row["raster_id"] for file in described]
        properties = [properties_by_id.get(raster_id, text) for raster_id, text in zip(ids, properties, strict=True)]
    rows, unchanged = _make_changed_rows(revision, described, properties, existing)
    changed = rows.keys() & existing.keys()
    _reject_overwriting_edits(root, {raster_id: files[raster_id] for raster_id in sorted(changed)}, existing)
    has_remote = any(row["storage"] == "remote" for row in rows.values()) or request.hash
    event_class = RastersAdded if has_remote else RastersAddedV1
    event = event_class(columns=columns, rasters=len(rows), skipped=len(skipped), collection=request.collection)
    if request.replace:
        event = event.count_replacements(len(rows) - len(changed), len(changed), len(unchanged))
    tables = {"raster_change": make_raster_rows([*rows.values()])} if rows else {}
    tables |= make_skipped_rows("rasters", skipped)
    if request.mode == "reference":
        used = {split_root(row["path"])[0] for row in rows.values()}
        return ReferenceChange(event, tables, new_roots={k: v for k, v in references.new_roots.items() if k in used})
    stored = [(file.path, file.checksums) for file in described if file.row["raster_id"] in rows]
    linked_md5s = {checksums.md5 for _, checksums in stored} if request.mode == "link" else ()
    embedded = {file.path for file in described if file.is_embedded and file.row["raster_id"] in rows}
    if embedded:
        logger.warning(
            "metadata of bands in .aux.xml files is written into the stored copies of %s, whose pixels are unchanged",
            quote_names(sorted(path.name for path in embedded)),
        )
    return EmbeddingChange(event, tables, stored, linked_md5s=linked_md5s, embedded=embedded)


def _parse_path(path: str | Path) -> str:
    """Return a path without repeated slashes, or a URL; `UsageError` for a URL of another protocol."""
    text = str(path)
    if is_remote_url(text):
        return text
    if isinstance(path, str) and re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", path) and not Path(path).exists():
        raise UsageError(
            f"cannot read '{path}': rasters are files, or http://, https:// and s3:// URLs. Download it first."
        )
    return str(Path(path))


def _require_free_collection(revision: Revision, name: str) -> None:
    """Raise `UsageError` if a collection cannot have this name, `ConflictError` if it is that of a recipe's chips."""
    validate_name("collection", name)
    if revision.fetch_value("SELECT 1 FROM recipes WHERE name = $name", {"name": name}):
        raise ConflictError(
            f"collection '{name}' is reserved for the chips of the recipe of that name. Choose another --collection."
        )


def _find_files(revision: Revision, request: AddRasters) -> tuple[AddRasters, dict[str, Path]]:
    """Return the request with the number of folders in ids, and its files by id."""
    listed = list_raster_files(list_values(request.paths), list_values(request.patterns))
    _require_reference_mode(listed, request)
    if request.id_folders is None:
        id_folders = choose_id_folders(revision, listed, may_exist=request.replace)
        request = msgspec.structs.replace(request, id_folders=id_folders)
    files = map_files_by_id(listed, request.id_folders or 0)
    if request.mode != "reference":
        for file in listed:
            require_new_path(make_stored_path(file, request.collection, request.id_folders or 0))
    return request, files


def _require_reference_mode(files: Sequence[Path], request: AddRasters) -> None:
    """Raise `UsageError` for URLs that are to be stored, that hold a credential, or for hashes of files without URL."""
    urls = [url for file in files if (url := find_remote_url(file))]
    if urls and request.mode != "reference":
        raise UsageError(
            f"'{redact_text(urls[0])}' is a URL, and --mode {request.mode} stores files. Pass --mode reference to read "
            "ranges of it where it is, or download it and add the file."
        )
    if unusable := [url for url in urls if not (urlsplit(url).netloc and urlsplit(url).path.strip("/"))]:
        raise UsageError(
            f"'{redact_text(unusable[0])}' names no file. Use https://HOST/FILE.tif or s3://BUCKET/FILE.tif."
        )
    if any(urlsplit(url).query or urlsplit(url).fragment for url in urls) or has_credentials(" ".join(urls)):
        raise UsageError(
            "a URL holds a credential, a query or a fragment, which the log would keep. Pass the plain URL, and put "
            "credentials where GDAL finds them: ~/.netrc, GDAL_HTTP_HEADER_FILE or AWS_ACCESS_KEY_ID."
        )
    if request.hash and not urls:
        raise UsageError("--hash is for URLs: the checksums of other files are always recorded. Leave it out.")


def _make_changed_rows(
    revision: Revision, described: Sequence[DescribedFile], properties: Sequence[str], existing: ExistingRasters
) -> tuple[dict[str, RasterRow], set[str]]:
    """Return the log rows of the rasters that are new or changed, by id, and the ids of the unchanged ones."""
    rows: dict[str, RasterRow] = {}
    for (_, row, *_), text in zip(described, properties, strict=True):
        change = "changed" if row["raster_id"] in existing else "added"
        rows[row["raster_id"]] = {**row, "properties": text, "change": change}
    unchanged = _find_unchanged(revision, rows, existing)
    return {raster_id: row for raster_id, row in rows.items() if raster_id not in unchanged}, unchanged


def _describe_files(
    revision: Revision, context: PlanContext, files: list[Path], references: RecordedFiles, request: AddRasters
) -> tuple[list[DescribedFile], NamedTexts]:
    """Return the valid files, and the names of invalid ones with the reasons."""
    names = (request.collection, request.crs, request.footprint, request.acquired, request.id_folders or 0)
    remote = [path for path in files if is_remote_address(path)]
    files = [path for path in files if not is_remote_address(path)]
    tasks = [RasterTask(path, references.path_by_file.get(path)) for path in files]
    described, skipped = _describe_remote_files(revision, context, remote, request, RasterOptions(*names))
    results = describe_files(tasks, RasterOptions(*names), context.root, request.workers, context.progress)
    with closing(results):
        for path, result in zip(files, results, strict=True):
            try:
                described.append(_require_usable(revision, result))
            except GeographerError as error:
                if request.on_error == "fail":
                    raise
                skipped.append((path.name, str(error)))
    return described, skipped


def _describe_remote_files(
    revision: Revision, context: PlanContext, paths: list[Path], request: AddRasters, options: RasterOptions
) -> tuple[list[DescribedFile], list[tuple[str, str]]]:
    """Return the valid rasters at URLs, and those of invalid ones with the reasons."""
    roots = Roots(context.root)
    described: list[DescribedFile] = []
    skipped: list[tuple[str, str]] = []
    for path in iter_with_progress(paths, "headers read", context.progress):
        try:
            row, checksums, tags = describe_remote_raster(path, options, roots, is_hashed=request.hash)
            described.append(_require_usable(revision, DescribedFile(path, row, checksums, tags, is_embedded=False)))
        except GeographerError as error:
            if request.on_error == "fail":
                raise
            skipped.append((get_named_path(path).name, str(error)))
    return described, skipped


def _require_usable(revision: Revision, result: DescribedFile | GeographerError) -> DescribedFile:
    """Return the description of a file that the dataset can have; raise its error, if it has one."""
    if isinstance(result, GeographerError):
        raise result
    _reject_unusable_crs(revision, result.path, result.row["crs"])
    require_no_credentials("path of a raster", [result.row["path"]])
    return result


def _reject_unusable_crs(revision: Revision, path: Path, crs: str) -> None:
    """Raise `UsageError` for a CRS, such as a local one, from which there is no way to longitude and latitude."""
    try:
        normalise_crs(revision.connection, crs)
    except UsageError as error:
        raise UsageError(
            f"the CRS of raster '{path}' cannot be transformed to longitude/latitude: {quote_start(crs)}. Pass its "
            "real CRS with --crs."
        ) from error


def _find_existing_rasters(revision: Revision, ids: list[str]) -> ExistingRasters:
    query = (
        "SELECT raster_id, collection, path, storage, md5, row_digest FROM current_raster "
        "WHERE raster_id IN (SELECT unnest($ids::VARCHAR[])) ORDER BY raster_id"
    )
    return {raster_id: ExistingRaster(*row) for raster_id, *row in revision.fetch_rows(query, {"ids": ids})}


def _reject_existing(existing: ExistingRasters, request: AddRasters) -> None:
    if existing and not request.replace:
        rasters = quote_objects("raster", [*existing], "is|are")
        raise ConflictError(
            f"{rasters} already in the dataset. Rename the file, or pass --replace, or add rasters with --id-folders "
            f"{(request.id_folders or 0) + 1}, which puts the folder's name before the id."
        )
    if elsewhere := [raster_id for raster_id in existing if existing[raster_id].collection != request.collection]:
        collection = existing[elsewhere[0]].collection
        raise ConflictError(
            f"{quote_objects('raster', elsewhere, 'is|are')} in the collection '{collection}' and can be replaced only "
            f"there. Pass --collection {collection}, or rename the file."
        )


def _reject_workspace_conflicts(
    root: Path, files: Mapping[str, Path], existing: ExistingRasters, request: AddRasters
) -> None:
    """Raise if a referenced file is the workspace's own, or an unknown file lies where a file is to be stored."""
    if request.mode == "reference":
        pairs = [(existing[raster_id], path) for raster_id, path in files.items() if raster_id in existing]
        stored = [(root / raster.path, path) for raster, path in pairs if raster.storage == "dvc"]
        if own_files := [
            str(path) for file, path in stored if not is_remote_address(path) and file.exists() and file.samefile(path)
        ]:
            raise ConflictError(
                f"cannot reference {quote_names(own_files)}, a file of the dataset's workspace. "
                "Move it elsewhere and add it from there."
            )
        return
    known = {raster_id: raster.path for raster_id, raster in existing.items()}
    targets = {
        raster_id: make_stored_path(path, request.collection, request.id_folders or 0)
        for raster_id, path in files.items()
    }
    new = [(files[raster_id], root / path) for raster_id, path in targets.items() if path != known.get(raster_id)]
    # os.path.exists takes a file in a folder that cannot be read for missing; recording the change refuses that folder.
    if blocked := [str(path) for path, file in new if os.path.exists(file) and not file.samefile(path)]:  # noqa: PTH110
        raise ConflictError(
            f"cannot add {quote_names(blocked)}: rasters/{request.collection} has another file of that name that is "
            "not in the log. Move that file away, or see geographer verify --repair."
        )


def _reject_overwriting_edits(root: Path, files: Mapping[str, Path], existing: ExistingRasters) -> None:
    """Raise if a workspace file that would be replaced was edited and is not itself the file to add."""
    from geographer.rasters.checksums import compute_checksums

    stored = [(existing[raster_id], path) for raster_id, path in files.items() if existing[raster_id].storage == "dvc"]
    replaced = [(raster, root / raster.path, path) for raster, path in stored if (root / raster.path).is_file()]
    others = [(raster, file) for raster, file, path in replaced if is_remote_address(path) or not file.samefile(path)]
    if edited := [raster.path for raster, file in others if compute_checksums(file).md5 != raster.md5]:
        raise ConflictError(
            f"{quote_names(edited)} differs from the log and would be overwritten. "
            "Move it away, or add it with --replace."
        )


def _find_unchanged(revision: Revision, rows: Mapping[str, RasterRow], existing: ExistingRasters) -> set[str]:
    """Return the ids of the rows that equal the existing raster's row in every column."""
    candidates = [row for raster_id, row in rows.items() if raster_id in existing]
    if not candidates:
        return set()
    query = f"SELECT raster_id, {build_row_digest_sql('raster_change')} FROM input_raster"  # noqa: S608
    with register_table(revision.connection, "input_raster", make_raster_rows(candidates)):
        return {raster_id for raster_id, digest in revision.fetch_rows(query) if existing[raster_id].digest == digest}
