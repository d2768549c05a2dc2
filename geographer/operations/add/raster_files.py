"""Raster files: list the files of folders, and give each an id."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Final

from geographer.base.errors import ConflictError, NotFoundError, UsageError, quote_names
from geographer.base.input_paths import require_input_path, require_utf8_name
from geographer.base.text import format_count
from geographer.planning.raster_rows import get_named_path, make_raster_id
from geographer.rasters.remote_address import RemoteAddress, is_remote_url
from geographer.storage.queries.revision import Revision

logger = logging.getLogger(__name__)

SUFFIXES: Final = (".tif", ".tiff", ".jp2", ".vrt", ".img", ".png", ".nc", ".hdf", ".asc")


def list_raster_files(names: Iterable[str | Path], patterns: Sequence[str]) -> list[Path]:
    """Return the raster files, and those of the folders; raise if a file does not exist, or a pattern has no folder."""
    texts = [str(name) for name in names]
    remote = [RemoteAddress(text).to_path() for text in texts if is_remote_url(text)]
    paths = [Path(text) for text in texts if not is_remote_url(text)]
    if patterns and not any(path.is_dir() for path in paths):
        names = quote_names([*patterns])
        raise UsageError(f"--pattern {names} needs a folder whose rasters it selects. Name a folder, or omit it.")
    for path in paths:
        require_input_path(path)
    files = [file for path in paths for file in (_list_folder(path, patterns) if path.is_dir() else [path])]
    for file in files:
        require_utf8_name(str(file.absolute()))
    return files + remote


def choose_id_folders(revision: Revision, files: Sequence[Path], *, may_exist: bool) -> int:
    """Return how many names of folders ids need: the fewest that make them different; 0 if none do.

    If rasters may be replaced and no file has the id of one, it is the number with which all have.
    """
    numbers = range(max((len(get_named_path(file).absolute().parents) for file in files), default=1))
    fewest = next((n for n in numbers if len({make_raster_id(file, n) for file in files}) == len(files)), 0)
    if may_exist and not _count_existing(revision, files, fewest):
        fewest = next((n for n in numbers if n > fewest and _count_existing(revision, files, n) == len(files)), fewest)
    if fewest:
        logger.warning(
            "several files have one name, so ids begin with the names of %s, such as '%s'",
            *(format_count(fewest, "folder"), make_raster_id(files[0], fewest)),
        )
    return fewest


def _count_existing(revision: Revision, files: Sequence[Path], id_folders: int) -> int:
    ids = [make_raster_id(file, id_folders) for file in files]
    query = "SELECT count(*) FROM current_raster WHERE raster_id IN (SELECT unnest($ids::VARCHAR[]))"
    return int(revision.fetch_value(query, {"ids": ids}))


def map_files_by_id(files: Sequence[Path], id_folders: int) -> dict[str, Path]:
    """Return the files by id; `ConflictError` if two have the same id."""
    ids = Counter(make_raster_id(file, id_folders) for file in files)
    if repeated := sorted(raster_id for raster_id in ids if ids[raster_id] > 1):
        raise ConflictError(
            f"several files would have the raster id {quote_names(repeated)}. {_advise_on_repeated_ids(files)}"
        )
    return {make_raster_id(file, id_folders): file for file in files}


def _advise_on_repeated_ids(files: Sequence[Path]) -> str:
    """Return how to give the files different ids: with the fewest names of folders, if these differ."""
    for number in range(1, max(len(get_named_path(file).absolute().parents) for file in files)):
        if len({make_raster_id(file, number) for file in files}) == len(files):
            example = make_raster_id(files[0], number)
            return f"Rename all but one, or add rasters with --id-folders {number}, for ids such as '{example}'."
    return "Rename all but one."


def _list_folder(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Return the rasters of a folder, sorted by path; patterns match the file name or the path inside the folder.

    Hidden files and folders, such as `._scene.tif` or `.geographer`, are passed over, and so is `__MACOSX`.
    """
    found = [file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file()]
    files = sorted(file for file in found if not _is_hidden(file.relative_to(folder)))
    if hidden := len(found) - len(files):
        logger.warning("passed over %s of folder '%s'", format_count(hidden, "hidden file"), folder)
    if not files:
        raise NotFoundError(f"no raster in folder '{folder}'. Rasters end in {', '.join(SUFFIXES)}.")
    if not patterns:
        return files
    names = {file: (file.name, file.relative_to(folder).as_posix()) for file in files}
    if selected := [file for file in files if any(fnmatchcase(*pair) for pair in product(names[file], patterns))]:
        return selected
    rasters = quote_names([relative for _, relative in names.values()])
    raise NotFoundError(f"no raster in folder '{folder}' matches {quote_names([*patterns])}. Its rasters: {rasters}.")


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
