"""Roots: named folders of this machine, in which rasters that were recorded in place lie.

The log records `{NAME}/RELATIVE/PATH` for a referenced file outside the dataset's folder. `.geographer/roots.json` says
which folder NAME is on this machine. A path without a root is relative to the dataset's folder, or absolute if version
0.1.0 recorded it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import duckdb
import msgspec

from geographer.base.atomic_files import translate_os_errors, write_atomic
from geographer.base.errors import CorruptError, NotFoundError, StorageError, UsageError, quote_objects
from geographer.base.input_paths import require_input_path, require_utf8_name
from geographer.base.text import format_count
from geographer.base.values import validate_name
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER, require_real_folder
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import pyarrow as pa

_FILE_NAME: Final = "roots.json"
_ROOT_PATH: Final = re.compile(r"\{([^{}/]+)\}/(.*)", re.DOTALL)
_MAX_LISTED: Final = 5
_MAX_STEM: Final = 60
_USED_NAMES: Final = (
    "SELECT DISTINCT regexp_extract(if(storage = 'remote', path->>'$.url', path), '^\\{([^{}/]+)\\}/', 1) AS name "
    "FROM chain_raster_change WHERE storage IN ('reference', 'remote') AND name <> ''"
)
_REFERENCES: Final = "SELECT raster_id, path FROM current_raster WHERE storage = 'reference' ORDER BY raster_id"
_REMOTE_ROOTS: Final = (
    "SELECT regexp_extract(path->>'$.url', '^\\{([^{}/]+)\\}/', 1) AS name, count(*) FROM current_raster "
    "WHERE storage = 'remote' AND name <> '' GROUP BY name"
)


class RootsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `.geographer/roots.json`: the absolute folder or the URL of each root on this machine, by name."""

    roots: dict[str, str]
    urls: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class Reference(NamedTuple):
    """A raster that is recorded in place: its id, and its path as the log has it."""

    raster_id: str
    path: str


class RecordedFiles(NamedTuple):
    """How the log records files that stay in place, and the roots (folders by name) that must be set first."""

    path_by_file: Mapping[Path, str]
    new_roots: Mapping[str, Path]


class Roots:
    """The roots that this machine has set for the dataset in the folder `dataset_folder`.

    The file is read when a path first needs it; then `CorruptError` or `StorageError` is raised if it cannot be read.
    """

    def __init__(self, dataset_folder: Path, new_folders: Mapping[str, Path] | None = None) -> None:
        """Use the roots of a dataset, and `new_folders` that are to be set."""
        self._dataset_folder = dataset_folder
        self._new_folders = new_folders or {}

    @cached_property
    def folder_by_name(self) -> dict[str, Path]:
        """The folders by name."""
        return {**read_roots(self._dataset_folder), **self._new_folders}

    @cached_property
    def url_by_name(self) -> dict[str, str]:
        """The URLs of roots that remote rasters lie under, by name."""
        return read_url_roots(self._dataset_folder)

    def locate_url(self, url: str) -> str:
        """Return the URL at which this machine reads a recorded one; itself if its root is not set."""
        name, relative = split_root(url)
        base = self.url_by_name.get(name)
        return url if base is None else f"{base.rstrip('/')}/{relative}"

    def record_url(self, url: str) -> str:
        """Return how the log is to record a URL: `{NAME}/PATH` if it lies under that of a root, the longest counts."""
        bases = {name: f"{base.rstrip('/')}/" for name, base in self.url_by_name.items()}
        found = [(len(base), name) for name, base in bases.items() if url.startswith(base)]
        return f"{{{max(found)[1]}}}/{url.removeprefix(bases[max(found)[1]])}" if found else url

    def locate_file(self, path: str) -> Path:
        """Return where a recorded path of a reference leads on this machine.

        A path whose root is not set leads into the dataset's folder: there, an older version may have recorded a folder
        with a name in braces. `CorruptError` if it leads out of its root.
        """
        if fault := find_reference_fault(path):
            raise CorruptError(f"cannot use the path {path!r} of a reference: {fault}. Run geographer verify.")
        name, relative = split_root(path)
        folder = self.folder_by_name.get(name) if name else None
        return self._dataset_folder / path if folder is None else folder / relative

    def find_unset_root(self, path: str) -> str | None:
        """Return the name of the root of a recorded path if this machine must set it first."""
        name, _ = split_root(path)
        return name if name and name not in self.folder_by_name and not (self._dataset_folder / path).exists() else None

    def record_files(self, files: Iterable[Path], connection: duckdb.DuckDBPyConnection) -> RecordedFiles:
        """Return how the log, which `connection` has views of, is to record files that stay in place.

        A file in the dataset's folder has a path relative to that. Else, of the roots that contain the file, the
        longest counts. Files that no root contains need a new one: for the deepest folder that contains them all, or if
        that is `/`, one for each folder in it. It is named after its folder, with a number if the log or this machine
        has the name. Nothing is written.

        `UsageError` if a path holds a credential, which could be in the name of a root.
        """
        from geographer.base.redaction import require_no_credentials

        resolved = {file: file.resolve() for file in files}
        folders = {name: folder.resolve() for name, folder in self.folder_by_name.items()}
        dataset_folder = self._dataset_folder.resolve()
        path_by_file: dict[Path, str] = {}
        outside: dict[Path, Path] = {}
        for file, path in resolved.items():
            if recorded := _record_path(path, dataset_folder, folders):
                path_by_file[file] = recorded
            else:
                outside[file] = path
        if not outside:
            return RecordedFiles(path_by_file, {})
        require_no_credentials("path of a raster", map(str, outside.values()))
        new_folders = _plan_new_roots([*outside.values()], {*list_used_roots(connection), *folders})
        new_paths = {file: _record_path(path, dataset_folder, new_folders) or "" for file, path in outside.items()}
        return RecordedFiles(path_by_file | new_paths, new_folders)


def split_root(path: str) -> tuple[str, str]:
    """Return the name of the root of a recorded path, empty if it has none, and the path in the root."""
    match = _ROOT_PATH.fullmatch(path)
    return (match[1], match[2]) if match else ("", path)


def find_reference_fault(path: str | None) -> str | None:
    """Return why a path cannot be that of a reference, as the macro in `path_fault.sql` does; None if it can."""
    if not path or "\0" in path:
        return "the path is missing or has a NUL"
    name, relative = split_root(path)
    if name and not {"", ".", ".."}.isdisjoint(relative.split("/")):
        return "a part of the path after its root is empty, '.' or '..'"
    return None


def read_roots(dataset_folder: Path) -> dict[str, Path]:
    """Return the folders of the roots by name; none if no file sets any.

    Raises:
        CorruptError: the file is damaged.
        StorageError: it cannot be read.
    """
    path = dataset_folder / GEOGRAPHER_FOLDER / _FILE_NAME
    try:
        content = msgspec.json.decode(path.read_bytes(), type=RootsFile)
        for name, folder in content.roots.items():
            validate_name("root", name)
            if not Path(folder).is_absolute() or "\0" in folder:
                raise UsageError(f"root '{name}' is not an absolute folder: {folder!r}.")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StorageError(f"cannot read '{path}': {error.strerror}. Make it readable.") from error
    except (ValueError, msgspec.MsgspecError, UsageError) as error:
        advice = "Delete it, and set the roots again: geographer roots set NAME DIR"
        raise CorruptError(f"'{path}', the roots of this machine, is damaged: {error} {advice}") from error
    return {name: Path(folder) for name, folder in sorted(content.roots.items())}


def read_url_roots(dataset_folder: Path) -> dict[str, str]:
    """Return the URLs of roots by name; errors as for `read_roots`."""
    read_roots(dataset_folder)
    path = dataset_folder / GEOGRAPHER_FOLDER / _FILE_NAME
    try:
        urls = msgspec.json.decode(path.read_bytes(), type=RootsFile).urls
    except FileNotFoundError:
        return {}
    return {} if isinstance(urls, msgspec.UnsetType) else urls


def set_roots(
    dataset_folder: Path, folders: Mapping[str, Path], urls: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Save that roots are these absolute folders, or `urls`, on this machine; other roots stay.

    Raises:
        UsageError: a name is no name, or a folder's name is not UTF-8.
        CorruptError: the file of the roots is damaged.
        StorageError: it cannot be written.
    """
    from filelock import FileLock

    for name in (*folders, *urls):
        validate_name("root", name)
    for folder in folders.values():
        require_utf8_name(str(folder))
    path = dataset_folder / GEOGRAPHER_FOLDER / _FILE_NAME
    require_real_folder(path.parent)
    with translate_os_errors(path), FileLock(f"{path}.lock"):
        known = {**read_roots(dataset_folder), **folders}
        roots = {name: str(folder) for name, folder in known.items() if name not in urls}
        all_urls = {name: url for name, url in read_url_roots(dataset_folder).items() if name not in folders} | {**urls}
        content = RootsFile(roots, all_urls or msgspec.UNSET)
        write_atomic(path, msgspec.json.format(msgspec.json.encode(content, order="sorted"), indent=2))


def require_root_folder(folder: str | Path) -> Path:
    """Return the absolute path of a folder that a user names as root, with its links.

    Raises:
        NotFoundError: there is none.
        UsageError: it is a file, its name is not UTF-8, or it holds a credential.
        StorageError: it cannot be reached.
    """
    from geographer.base.redaction import require_no_credentials

    path = require_input_path(folder)
    require_no_credentials("folder of a root", [str(path)])
    if not path.is_dir():
        raise UsageError(f"'{path}' is a file, and a root is a folder. Name the folder that the rasters lie in.")
    return Path(os.path.abspath(path))  # noqa: PTH100 (a link to the folder stays one)


def require_root_url(url: str) -> str:
    """Return a URL that a user names as root; `UsageError` if it has a query or fragment, or holds a credential."""
    from urllib.parse import urlsplit

    from geographer.base.redaction import require_no_credentials

    require_no_credentials("URL of a root", [url])
    parts = urlsplit(url)
    if not parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            f"'{url}' cannot be a root. Use a URL such as https://host/folder, without query and fragment."
        )
    return url


def list_used_roots(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the names of the roots that references of any revision have, from the log."""
    return sorted(name for (name,) in connection.execute(_USED_NAMES).fetchall())


def format_references(references: Sequence[Reference]) -> str:
    """Return the warning for references that a push leaves behind."""
    count, is_one = format_count(len(references), "raster"), len(references) == 1
    names = ", ".join(reference.raster_id for reference in references[:_MAX_LISTED])
    names += f" and {len(references) - _MAX_LISTED:,} more" if len(references) > _MAX_LISTED else ""
    verbs = "is a reference and stays" if is_one else "are references and stay"
    return f"{count} {verbs} on this machine: {names}; push --take-in copies {'it' if is_one else 'them'} into DVC"


def list_references(revision: Revision) -> list[Reference]:
    """Return the rasters of a revision that are recorded in place, by id: DVC has no copy that could travel."""
    return [Reference(*row) for row in revision.fetch_rows(_REFERENCES)]


def make_root_table(revision: Revision, dataset_folder: Path) -> pa.Table:
    """Return the roots that this machine has set, and those that the log names.

    Columns: `name`; `folder`, null if not set here; `exists`, whether that folder does; `references`, the number of
    rasters of the revision in it, and `found`, how many of their files are there (int64); a URL counts as there.
    """
    import pyarrow as pa

    roots, paths_by_name = Roots(dataset_folder), dict[str, list[str]]()
    for reference in list_references(revision):
        paths_by_name.setdefault(split_root(reference.path)[0], []).append(reference.path)
    folders = roots.folder_by_name
    urls, remote_counts = roots.url_by_name, dict(revision.fetch_rows(_REMOTE_ROOTS))
    names = sorted({*folders, *urls, *list_used_roots(revision.connection)})
    paths = [paths_by_name.get(name, []) for name in names]
    remote = [remote_counts.get(name, 0) for name in names]
    columns = {
        "name": pa.array(names, pa.string()),
        "folder": pa.array([str(folders.get(name) or urls.get(name) or "") or None for name in names], pa.string()),
        "exists": pa.array(
            [name in urls or (name in folders and folders[name].is_dir()) for name in names], pa.bool_()
        ),
        "references": pa.array([len(group) + count for group, count in zip(paths, remote, strict=True)], pa.int64()),
        "found": pa.array(
            [
                sum(roots.locate_file(path).is_file() for path in group) + (count if name in urls else 0)
                for name, group, count in zip(names, paths, remote, strict=True)
            ],
            pa.int64(),
        ),
    }
    return pa.table(columns)


def make_unset_root_error(roots: Collection[str], raster_ids: Collection[str]) -> NotFoundError:
    """Return the error for rasters whose roots this machine has not set."""
    advice = " and ".join(f"geographer roots set {name} DIR" for name in sorted(set(roots)))
    return NotFoundError(
        f"{quote_objects('root', sorted(set(roots)), 'is|are')} not set on this machine, and the files of "
        f"{quote_objects('raster', sorted(raster_ids))} are there. Say where that is: {advice}"
    )


def _record_path(file: Path, dataset_folder: Path, folders: Mapping[str, Path]) -> str | None:
    """Return the path of a file as the log records it; None if no folder has it. All paths are without links."""
    if file.is_relative_to(dataset_folder):
        path = file.relative_to(dataset_folder).as_posix()
        return f"./{path}" if split_root(path)[0] else path
    found = [(len(folder.parts), name) for name, folder in folders.items() if file.is_relative_to(folder)]
    if not found:
        return None
    name = max(found)[1]
    return f"{{{name}}}/{file.relative_to(folders[name]).as_posix()}"


def _plan_new_roots(files: Sequence[Path], used_names: Collection[str]) -> dict[str, Path]:
    common = _find_common_folder(files)
    groups: dict[tuple[str, ...], list[Path]] = {}
    for file in files:
        groups.setdefault(file.parts[:2] if common == common.parent else (), []).append(file)
    new_folders: dict[str, Path] = {}
    for folder in dict.fromkeys(map(_find_common_folder, groups.values())):
        new_folders[_choose_name(folder, {*used_names, *new_folders})] = folder
    return new_folders


def _find_common_folder(files: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([file.parent for file in files]))


def _choose_name(folder: Path, used_names: Collection[str]) -> str:
    """Return a name for a root that is not used: that of its folder, without characters that names cannot have."""
    stem = re.sub(r"[^\w.-]+", "-", folder.name).strip(".-")[:_MAX_STEM] or "root"
    stem = stem if not stem.lower().endswith(".dvc") else stem[: -len(".dvc")] or "root"
    name, number = stem, 2
    while name in used_names:
        name, number = f"{stem}-{number}", number + 1
    return name
