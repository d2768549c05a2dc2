"""Outputs as rows of the log: GeoTIFFs become rasters of a collection, or labels of the rasters of their names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import ConflictError, NotFoundError, UsageError, quote_names
from geographer.base.values import Checksums, Grid, Transform, validate_name
from geographer.planning.label_files import make_label_path
from geographer.planning.raster_rows import RasterOptions, describe_raster, make_raster_id, make_raster_rows
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.paths import require_new_path

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES: Final = (".tif", ".tiff")
"""Files with other suffixes are recorded by their digests only."""
_RASTERS: Final = (
    "SELECT raster_id, collection, crs, transform, width, height, sha256 FROM current_raster "
    "WHERE storage <> 'catalogue' AND ($collection IS NULL OR collection = $collection) ORDER BY raster_id"
)
_EXISTING: Final = "SELECT raster_id, collection, sha256 FROM current_raster"
_LABELS: Final = "SELECT raster_id, sha256 FROM current_label WHERE label = $label"


class OutputTarget(NamedTuple):
    """What the outputs become.

    Attributes:
        collection: The collection that rasters join, or that labelled rasters are of; None: of any.
        label: The name of the labels; None: the outputs are rasters.
        replace: Whether rasters or labels of the same names may be replaced.
    """

    collection: str | None
    label: str | None
    replace: bool

    @property
    def name(self) -> str | None:
        """The name of the label or the collection; None: outputs are recorded by their digests only."""
        return self.label or self.collection


class LabelledRaster(NamedTuple):
    """A raster that an output is a label of."""

    raster_id: str
    collection: str
    grid: Grid
    sha256: str


class OutputRows(NamedTuple):
    """Rows by log table, the checksums of the files that DVC stores, and the object (raster id, label) of each file."""

    rows: "dict[str, pa.Table]"
    stored: list[tuple[Path, Checksums]]
    objects: dict[Path, tuple[str, str | None]]


def check_target(revision: Revision, target: OutputTarget) -> None:
    """Raise `UsageError` for an invalid name, `ConflictError` if a recipe has it."""
    for noun, name in (("label", target.label), ("collection", target.collection)):
        if name is not None:
            validate_name(noun, name)
    made = target.name
    if made is not None and revision.fetch_value("SELECT 1 FROM recipes WHERE name = $name", {"name": made}):
        raise ConflictError(f"'{made}' is the name of a recipe, whose outputs only it makes. Choose another name.")


def read_target_state(revision: Revision, target: OutputTarget, *, is_replay: bool = False) -> "TargetState":
    """Return what the revision has that outputs may replace or be labels of; in a replay, all outputs are new."""
    rasters: dict[str, tuple[str, str | None]] = {}
    labels: dict[str, str] = {}
    by_stem: dict[str, list[LabelledRaster]] = {}
    if target.label is not None:
        for raster_id, collection, crs, transform, width, height, sha256 in revision.fetch_rows(
            _RASTERS, {"collection": target.collection}
        ):
            grid = Grid(crs, Transform(*transform), width, height)
            raster = LabelledRaster(raster_id, collection, grid, sha256)
            by_stem.setdefault(raster_id.rpartition("/")[2], []).append(raster)
        labels = {} if is_replay else dict(revision.fetch_rows(_LABELS, {"label": target.label}))
    elif target.collection is not None and not is_replay:
        rasters = {id: (collection, sha256) for id, collection, sha256 in revision.fetch_rows(_EXISTING)}
    return TargetState(rasters, labels, by_stem)


class TargetState(NamedTuple):
    """What there is: rasters (collection and SHA-256 by id), labels (SHA-256 by raster), rasters to label by stem."""

    rasters: Mapping[str, tuple[str, str | None]]
    labels: Mapping[str, str]
    by_stem: Mapping[str, list[LabelledRaster]]

    def find_object(self, raster_id: str, label: str | None) -> tuple[object, ...]:
        """Return what there is of a raster or a label that an output becomes."""
        if label is None:
            return (self.rasters.get(raster_id),)
        return (self.labels.get(raster_id), *self.by_stem.get(raster_id.rpartition("/")[2], ()))

    def find_labelled(self, stem: str, target: OutputTarget) -> LabelledRaster:
        """Return the raster of an output's name; `NotFoundError` if there is none, `ConflictError` if several."""
        found = self.by_stem.get(stem, [])
        if not found:
            place = f" of collection '{target.collection}'" if target.collection else ""
            raise NotFoundError(
                f"output '{stem}' has the name of no raster{place}, so it is no label. Name the files as the rasters."
            )
        if len(found) > 1:
            ids = quote_names([raster.raster_id for raster in found])
            raise ConflictError(f"output '{stem}' has the name of the rasters {ids}. Say which with --collection.")
        return found[0]


def make_output_rows(files: Sequence[Path], target: OutputTarget, state: TargetState) -> OutputRows:
    """Read the GeoTIFFs among output files and return their rows; those that equal what the revision has are left out.

    Raises:
        NotFoundError: A label has the name of no raster.
        UsageError: A file is not a raster, or a label has another grid than its raster.
        ConflictError: Two files have one name, or an object exists and is not to be replaced.
    """
    taken = [file for file in files if target.name is not None and file.suffix.lower() in SUFFIXES]
    _reject_repeated(taken)
    if target.label is not None:
        return _make_label_rows(taken, target, state)
    return _make_raster_rows(taken, target, state)


def _reject_repeated(files: Sequence[Path]) -> None:
    stems = [make_raster_id(file) for file in files]
    if repeated := sorted({stem for stem in stems if stems.count(stem) > 1}):
        raise ConflictError(f"several outputs have the name {quote_names(repeated)}. Give them different names.")


def _make_raster_rows(files: Sequence[Path], target: OutputTarget, state: TargetState) -> OutputRows:
    ids = [make_raster_id(file) for file in files]
    existing = {raster_id: state.rasters[raster_id] for raster_id in ids if raster_id in state.rasters}
    _reject_existing(existing, target)
    described, stored = [], []
    objects: dict[Path, tuple[str, str | None]] = {}
    for file in files:
        row, checksums, _ = describe_raster(file, RasterOptions(str(target.collection)))
        require_new_path(row["path"])
        objects[file] = (row["raster_id"], None)
        if existing.get(row["raster_id"], ("", ""))[1] != checksums.sha256:
            change = "changed" if row["raster_id"] in existing else "added"
            described.append({**row, "change": change, "properties": "{}"})
            stored.append((file, checksums))
    tables = {"raster_change": make_raster_rows(described)} if described else {}
    return OutputRows(tables, stored, objects)


def _reject_existing(existing: Mapping[str, tuple[str, str | None]], target: OutputTarget) -> None:
    if elsewhere := sorted(id for id, (collection, _) in existing.items() if collection != target.collection):
        raise ConflictError(
            f"raster {quote_names(elsewhere)} exists in collection '{existing[elsewhere[0]][0]}'. Give the output "
            "another name."
        )
    if existing and not target.replace:
        raise ConflictError(f"raster {quote_names(sorted(existing))} exists already. Pass --replace to replace it.")


def _make_label_rows(files: Sequence[Path], target: OutputTarget, state: TargetState) -> OutputRows:
    from geographer.rasters.checksums import compute_checksums
    from geographer.rasters.pixel_digest import compute_pixel_digest

    rows: list[dict[str, Any]] = []
    stored: list[tuple[Path, Checksums]] = []
    objects: dict[Path, tuple[str, str | None]] = {}
    for file in files:
        raster = state.find_labelled(file.stem, target)
        _require_same_grid(file, raster)
        checksums, existing = compute_checksums(file), state.labels.get(raster.raster_id)
        objects[file] = (raster.raster_id, target.label)
        if existing is not None and not target.replace:
            raise ConflictError(
                f"label '{target.label}' of raster '{raster.raster_id}' exists already. Pass --replace to replace it."
            )
        if existing == checksums.sha256:
            continue
        path = make_label_path(str(target.label), raster.collection, file.stem)
        require_new_path(path)
        row = {"change": "changed" if existing else "added", "label": target.label, "raster_id": raster.raster_id}
        rows.append({**row, "path": path, **checksums._asdict(), "pixel_digest": compute_pixel_digest(file)})
        stored.append((file, checksums))
    columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    return OutputRows({"label_change": make_row_table("label_change", columns)} if rows else {}, stored, objects)


def _require_same_grid(file: Path, raster: LabelledRaster) -> None:
    from geographer.rasters.read import read_raster_info
    from geographer.rasters.sidecars import reject_sidecars

    info = read_raster_info(file)
    reject_sidecars(file, info, crs=None, footprint="bounds")
    if info.grid != raster.grid:
        raise UsageError(
            f"output '{file}' is not on the grid of raster '{raster.raster_id}'. Write labels with its CRS, transform "
            "and size."
        )
