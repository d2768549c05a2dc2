"""Label files: match them with rasters by name, check them, and write them as labels on the grids of the rasters."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import ConflictError, GeographerError, quote_names
from geographer.base.progress import ProgressCallback
from geographer.base.redaction import redact_text, require_no_credentials
from geographer.base.values import Checksums, Grid
from geographer.planning.label_files import LABEL_SOURCE, make_label_path
from geographer.planning.raster_rows import make_raster_id
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.workspace.paths import require_new_path

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.rasters.labels import LabelPixels

_MAX_ID_FOLDERS: Final = 4
"""How many names of folders the id of a raster may begin with, for a label file to be found by them."""
_LABEL_COLUMNS: Final = ("change", "label", "raster_id", "path", "size", "md5", "sha256", "pixel_digest")
_SOURCE_COLUMNS: Final = ("label", "raster_id", "path", "sha256", "size")


class RasterToLabel(NamedTuple):
    """A raster that a file may be a label of."""

    raster_id: str
    collection: str
    grid: Grid


class ExistingLabel(NamedTuple):
    """The label that a raster has: its path, its SHA-256 and the digest of its pixels."""

    path: str
    sha256: str
    pixel_digest: str | None


class CheckedLabelFile(NamedTuple):
    """A file that can be the label of a raster; `pixel_digest` is that of the label."""

    raster: RasterToLabel
    path: Path
    pixel_digest: str


class MatchedFiles(NamedTuple):
    """Files by the id of their raster, and those that belong to no raster."""

    files: dict[str, Path]
    unmatched: list[Path]


class WrittenLabels(NamedTuple):
    """Rows by log table, and the files with their checksums."""

    rows: "dict[str, pa.Table]"
    files: list[tuple[Path, Checksums]]


def strip_affixes(files: Iterable[Path], prefix: str, suffix: str) -> dict[Path, str]:
    """Return the stems of files without a common prefix and suffix; files that lack one of them are left out."""
    return {
        file: file.stem[len(prefix) : len(file.stem) - len(suffix)]
        for file in files
        if file.stem.startswith(prefix) and file.stem.endswith(suffix) and len(file.stem) > len(prefix + suffix)
    }


def match_label_files(stems: Mapping[Path, str], raster_ids: Iterable[str]) -> MatchedFiles:
    """Match files with rasters by their stems, or by the names of folders and the stem, as ids of rasters are made.

    Raises:
        ConflictError: two files belong to one raster, or one file to two rasters.
    """
    ids_by_name: dict[str, list[str]] = {}
    for raster_id in raster_ids:
        ids_by_name.setdefault(raster_id.rpartition("/")[2], []).append(raster_id)
    files: dict[str, Path] = {}
    unmatched: list[Path] = []
    for file, stem in stems.items():
        names = (make_raster_id(file.with_name(f"{stem}{file.suffix}"), count) for count in range(_MAX_ID_FOLDERS + 1))
        ids = next((ids_by_name[name] for name in names if name in ids_by_name), [])
        if len(ids) > 1:
            raise ConflictError(f"'{file}' has the name of the rasters {quote_names(ids)}. Name another --collection.")
        if not ids:
            unmatched.append(file)
        elif other := files.get(ids[0]):
            raise ConflictError(
                f"'{other}' and '{file}' are both labels of raster '{ids[0]}'. Leave one out, e.g. with --pattern."
            )
        else:
            files[ids[0]] = file
    return MatchedFiles(files, unmatched)


def check_label_files(
    matched: Mapping[str, Path],
    rasters: Mapping[str, RasterToLabel],
    target: "LabelPixels",
    advice: str,
    *,
    skips_invalid: bool,
) -> tuple[list[CheckedLabelFile], list[tuple[str, str]]]:
    """Read files; return those that can be labels, and if invalid ones are skipped, the names and reasons of others.

    The files are in the order of their rasters' ids. `advice` says what to do about unknown values.

    Raises:
        NotFoundError, UsageError, CorruptError: a file cannot be a label, see `read_label_file` and
            `convert_label_pixels`.
    """
    from geographer.rasters.labels import convert_label_pixels, read_label_file
    from geographer.rasters.pixel_digest import compute_array_digest

    checked, skipped = [], []
    for raster_id, path in sorted(matched.items()):
        raster = rasters[raster_id]
        try:
            require_no_credentials("path of a label file", [str(path)])
            pixels = convert_label_pixels(read_label_file(path, raster.grid, raster_id), target, path, advice)
            checked.append(CheckedLabelFile(raster, path, compute_array_digest(pixels, raster.grid)))
        except GeographerError as error:
            if not skips_invalid:
                raise
            skipped.append((path.name, str(error)))
    return checked, skipped


def write_labels(
    label: str,
    files: Sequence[CheckedLabelFile],
    existing: Mapping[str, ExistingLabel],
    target: "LabelPixels",
    folder: Path,
    progress: ProgressCallback,
) -> WrittenLabels:
    """Write checked files as labels into `folder`; return their rows, with the digest of each user's file.

    Raises:
        ConflictError: a file changed since it was checked.
        UsageError, StorageError: see `write_label_pixels`.
    """
    from geographer.rasters.checksums import compute_checksums
    from geographer.rasters.labels import convert_label_pixels, read_label_file, write_label_pixels

    rows: list[tuple[Any, ...]] = []
    sources: list[tuple[Any, ...]] = []
    written = []
    for index, (raster, path, planned_digest) in enumerate(files):
        source = compute_checksums(path)
        pixels = convert_label_pixels(read_label_file(path, raster.grid, raster.raster_id), target, path, "")
        destination = folder / f"{label}-{index}.tif"
        checksums, digest = write_label_pixels(destination, pixels, raster.grid, raster.raster_id, target.bands)
        if digest != planned_digest or compute_checksums(path) != source:
            raise ConflictError(f"'{path}' changed while it was read. Nothing was recorded; run the command again.")
        change = "changed" if raster.raster_id in existing else "added"
        stored_path = make_label_path(label, raster.collection, raster.raster_id)
        rows.append((change, label, raster.raster_id, stored_path, *checksums, digest))
        sources.append((label, raster.raster_id, redact_text(str(path)), source.sha256, source.size))
        written.append((destination, checksums))
        progress("labels added", index + 1, len(files))
    tables = {"label_change": _make_table("label_change", _LABEL_COLUMNS, rows)} if rows else {}
    if sources:
        tables[LABEL_SOURCE] = _make_table(LABEL_SOURCE, _SOURCE_COLUMNS, sources)
    return WrittenLabels(tables, written)


def _make_table(table: str, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> "pa.Table":
    return make_row_table(table, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def require_new_label_paths(label: str, rasters: Iterable[RasterToLabel], known_paths: Iterable[str]) -> None:
    """Raise `UsageError` if a label would get a path that cannot be one of the workspace."""
    paths = {make_label_path(label, raster.collection, raster.raster_id) for raster in rasters}
    for path in sorted(paths.difference(known_paths)):
        require_new_path(path)
