"""The files of a command: the declared paths, folders included, as files with their digests."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError, quote_names
from geographer.base.input_paths import require_input_path, require_utf8_name
from geographer.base.values import Checksums
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.checked_files import FileStatus, read_status

_KNOWN_FILES: Final = (
    "SELECT path, sha256, raster_id, '' AS label FROM current_raster WHERE storage = 'dvc' UNION ALL "
    "SELECT path, sha256, raster_id, label FROM current_label"
)
_OWN_FOLDERS: Final = ("rasters", "labels", "history", ".geographer", ".dvc")


class CommandFile(NamedTuple):
    """A file that a command read or wrote.

    Attributes:
        path: The path as declared, or below a declared folder.
        checksums: Its size, MD5 and SHA-256.
        raster_id: The raster of the dataset that it is, or that it is a label of.
        label: The name of the label.
    """

    path: str
    checksums: Checksums
    raster_id: str | None = None
    label: str | None = None


class OutputState(NamedTuple):
    """The declared output paths, and the status of the files that were there before the command ran."""

    paths: tuple[str, ...]
    status_by_file: Mapping[str, FileStatus]


def list_files(paths: Iterable[str], folder: Path) -> list[str]:
    """Return the files that paths, seen from `folder`, name, with those in folders, sorted; missing ones give none."""
    files: dict[str, None] = {}
    for path in paths:
        if (folder / path).is_dir():
            found = sorted(file for file in (folder / path).rglob("*") if file.is_file())
            files |= dict.fromkeys(str(Path(path) / file.relative_to(folder / path)) for file in found)
        elif os.path.lexists(folder / path):
            files[path] = None
    for file in files:
        require_utf8_name(file)
    return [*files]


def read_inputs(revision: Revision, root: Path, folder: Path, paths: Sequence[str]) -> list[CommandFile]:
    """Hash the input files; those of the dataset's workspace must be as recorded.

    Raises:
        NotFoundError: A path does not exist.
        CorruptError: A raster or a label of the dataset is not as recorded.
    """
    from geographer.rasters.checksums import compute_checksums

    for path in paths:
        require_input_path(folder / path)
    known = {path: others for path, *others in revision.fetch_rows(_KNOWN_FILES)}
    files = []
    for path in list_files(paths, folder):
        checksums, raster_id, label = compute_checksums(folder / path), None, None
        inside = find_path_inside(root, folder / path)
        if inside in known:
            sha256, raster_id, label = known[inside]
            if sha256 != checksums.sha256:
                raise CorruptError(
                    f"input '{path}' is not as recorded. Restore the recorded file with geographer checkout HEAD, or "
                    "add the new one first."
                )
        files.append(CommandFile(path, checksums, raster_id, label or None))
    return files


def find_path_inside(root: Path, path: Path) -> str:
    """Return the path of a file relative to the dataset's folder, or an empty text if it lies outside.

    Links to folders are resolved, but not a link to a file: workspace files may be links to DVC's cache.
    """
    parent = path.parent.resolve()
    return (parent / path.name).relative_to(root.resolve()).as_posix() if parent.is_relative_to(root.resolve()) else ""


def inspect_outputs(root: Path, folder: Path, paths: Sequence[str], *, replace: bool) -> OutputState:
    """Return the status of the outputs before the command runs.

    Raises:
        ConflictError: A file is there and is not to be replaced.
        UsageError: An output lies where the dataset keeps its own files.
    """
    for path in paths:
        require_utf8_name(path)
        inside = find_path_inside(root, Path(os.path.normpath(folder / path)))
        if inside.partition("/")[0] in _OWN_FOLDERS or (folder / path).resolve() == root.resolve():
            raise UsageError(
                f"output '{path}' lies where the dataset keeps its own files. Write outputs elsewhere; they are copied."
            )
    existing = list_files(paths, folder)
    if existing and not replace:
        raise ConflictError(f"output {quote_names(existing)} exists already. Move it away, or pass --replace.")
    return OutputState(tuple(paths), {file: read_status([folder / file]) for file in existing})


def list_written_files(folder: Path, before: OutputState) -> list[str]:
    """Return the output files that are new or changed; `NotFoundError` if none is at one of the declared paths."""
    written = []
    for path in before.paths:
        found = [
            file
            for file in list_files([path], folder)
            if before.status_by_file.get(file) != read_status([folder / file])
        ]
        if not found:
            raise NotFoundError(
                f"the command did not write output '{path}'. Nothing was recorded. Check the path, which is relative "
                "to the folder in which the command runs."
            )
        written += found
    return [*dict.fromkeys(written)]
