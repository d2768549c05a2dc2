"""References of the source dataset: how this dataset records the paths of rasters that stay where they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from geographer.operations.import_dataset.source_dataset import SourceDataset
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.roots import Roots, split_root


class SourceReferences(NamedTuple):
    """How this dataset records the references of the source dataset.

    Attributes:
        table: The paths there that differ here: `path` and `recorded_path` (text).
        new_roots: The roots, folders by name, that this machine must set for them.
    """

    table: pa.Table
    new_roots: Mapping[str, Path]


def record_source_references(revision: Revision, root: Path, source: SourceDataset) -> SourceReferences:
    """Return how the dataset in the folder `root` records the references of the source dataset.

    An absolute path stays as it is. A path in a root stays if the root can be the same folder here: if it is not set on
    either side, or set to one folder, or if the file lies in our folder, too. All others, such as paths relative to the
    source dataset's folder, are recorded as those of new references are.
    """
    ours, theirs = Roots(root), Roots(source.root)
    adopted: dict[str, Path] = {}
    path_by_file: dict[Path, str] = {}
    for path, size in _list_relative_paths(source):
        name, relative = split_root(path)
        if theirs.find_unset_root(path):
            continue
        file = theirs.locate_file(path)
        if name not in theirs.folder_by_name:
            path_by_file[file] = path
        elif name not in ours.folder_by_name:
            adopted[name] = theirs.folder_by_name[name]
        elif not _is_same_file(file, ours.folder_by_name[name] / relative, size):
            path_by_file[file] = path
    recorded, new_roots = Roots(root, adopted).record_files(path_by_file, revision.connection)
    columns = {
        "path": pa.array([path_by_file[file] for file in recorded], pa.string()),
        "recorded_path": pa.array([*recorded.values()], pa.string()),
    }
    return SourceReferences(pa.table(columns), {**adopted, **new_roots})


def _list_relative_paths(source: SourceDataset) -> list[tuple[str, int]]:
    """Return the relative paths of references, now and at the last common revision, with the sizes of their files."""
    tables = [tables["source_raster"] for tables in (source.tables, source.base.tables) if "source_raster" in tables]
    found = set()
    for table in tables:
        references = table.filter(pc.equal(table["storage"], "reference"))
        found |= {*zip(references["path"].to_pylist(), references["size"].to_pylist(), strict=True)}
    return sorted((path, size) for path, size in found if not path.startswith("/"))


def _is_same_file(their_file: Path, our_file: Path, size: int) -> bool:
    """Return whether our file is theirs, or one of the recorded size, whose content is compared when it is used."""
    return our_file.resolve() == their_file.resolve() or (our_file.is_file() and our_file.stat().st_size == size)
