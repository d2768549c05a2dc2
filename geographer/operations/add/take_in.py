"""Take in rasters that are recorded in place: DVC stores their bytes, and the rasters stay what they are."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from geographer.base.atomic_files import check_file, translate_os_errors
from geographer.base.errors import CorruptError, UsageError, quote_objects
from geographer.base.parameters import Parameter
from geographer.operations.add.events import RastersTakenIn
from geographer.planning.removed_rasters import check_ids_exist
from geographer.planning.shared_parameters import TEXTS, list_values
from geographer.storage.events.row_tables import ROW_TABLES
from geographer.storage.queries.revision import Revision
from geographer.storage.request import BuildContext, Change, PlanContext, Request
from geographer.storage.workspace.source_rasters import SourceRaster, SourceRasters

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS: Final = Path(__file__).with_name("taken_in_rows.sql")
_CATALOGUE_ENTRIES: Final = (
    "SELECT raster_id FROM current_raster WHERE storage = 'catalogue' "
    "AND raster_id IN (SELECT unnest($ids::VARCHAR[])) ORDER BY raster_id"
)
_RASTERS: Final = Parameter(
    "The ids of the rasters. Default: all that are recorded in place.",
    "[RASTER]...",
    convert=list_values,
    cli="arguments",
    schema={**TEXTS, "items": {"type": "string", "minLength": 1}},
)


class TakeInRasters(Request, frozen=True):
    """Copy rasters that are recorded in place (references) into DVC.

    Without RASTER, all of them. Each file is compared with its recorded checksum first. Ids, footprints, columns and
    chips stay as they are; earlier revisions keep the references. A raster that depends on other files, such as a VRT,
    cannot be taken in.
    """

    event: ClassVar[type[RastersTakenIn]] = RastersTakenIn
    example = "take-in S2A_21S018E308N -m 'for the team'"

    rasters: Annotated[Iterable[str], _RASTERS] = ()

    def make_plan(self, revision: Revision, context: PlanContext, /) -> Change:
        """Plan the event; every file is read unless it was checked before and has not changed since.

        Raises:
            NotFoundError: A raster does not exist, or lies in a root that is not set on this machine.
            UsageError: A raster is a catalogue entry, or depends on other files.
            CorruptError: A file is missing or altered.
        """
        ids = [*dict.fromkeys(self.rasters)]
        if ids:
            check_ids_exist(revision, "raster", ids)
        if entries := [id for (id,) in revision.fetch_rows(_CATALOGUE_ENTRIES, {"ids": ids})]:
            subject = quote_objects("raster", entries, "is a footprint|are footprints")
            raise UsageError(f"{subject} in a catalogue, without a file to take in. Download it, or leave it out.")
        rows = revision.fetch_arrow(_ROWS.read_text(), {"ids": ids})
        if not rows.num_rows:
            return Change(RastersTakenIn(rasters=0))
        sources = SourceRasters(revision, context.root, rows["raster_id"].to_pylist())
        sources.require_intact()
        if dependent := [id for id, raster in sources.raster_by_id.items() if not _is_single_file(raster)]:
            raise _make_dependence_error(dependent)
        table = {"raster_change": _make_stored_rows(rows)}
        return TakeInChange(RastersTakenIn(rasters=len(rows)), table, move_files=True, sources=sources.raster_by_id)


@dataclass(frozen=True, slots=True)
class TakeInChange(Change):
    """The change that takes in the rasters of `sources`, by id."""

    sources: Mapping[str, SourceRaster] = field(default_factory=dict)

    def build_outputs(self, context: BuildContext, /) -> Change:
        """Copy the files into the staging folder, where each must be the recorded raster without the files beside it.

        Raises:
            UsageError: A raster depends on other files.
            CorruptError: A file has changed since it was compared.
            StorageError: The disk is full.
        """
        from geographer.rasters.file_check import RecordedRaster, check_raster_file

        files = []
        for index, (raster_id, raster) in enumerate(self.sources.items()):
            copy = context.staging / f"{index}{raster.path.suffix}"
            with translate_os_errors(copy):
                shutil.copyfile(raster.path, copy)
            if check_file(copy, raster.checksums):
                raise CorruptError(
                    f"raster '{raster_id}' ('{raster.path}') changed while it was taken in. Nothing was recorded; run "
                    "the command again."
                )
            recorded = RecordedRaster(raster.grid, raster.nodata, raster.pixel_digest)
            if check_raster_file(copy, raster.checksums, recorded):
                raise _make_dependence_error([raster_id])
            files.append((copy, raster.checksums))
            context.progress("rasters taken in", index + 1, len(self.sources))
        return replace(self, files=files)


def _is_single_file(raster: SourceRaster) -> bool:
    """Return whether a raster is the same without the files beside it; a CRS that the user gave counts as its own."""
    from geographer.rasters.read import read_raster_info
    from geographer.rasters.sidecars import reject_sidecars

    crs: str | None = raster.grid.crs
    try:
        info = read_raster_info(raster.path)
        if info.grid.crs == crs:
            crs = None
    except UsageError:
        pass
    try:
        info = read_raster_info(raster.path, crs=crs)
        reject_sidecars(raster.path, info, crs=crs, footprint="bounds")
    except UsageError:
        return False
    return True


def _make_stored_rows(rows: "pa.Table") -> "pa.Table":
    """Return the rows of references as those of stored files, whose names are the ids of the rasters."""
    import pyarrow as pa

    columns = (rows[name].to_pylist() for name in ("raster_id", "collection", "path"))
    paths = [
        f"rasters/{collection}/{raster_id.replace('/', '_')}{PurePosixPath(path).suffix}"
        for raster_id, collection, path in zip(*columns, strict=True)
    ]
    constants = {"change": "changed", "storage": "dvc"}
    new = {name: pa.array([value] * len(rows), pa.string()) for name, value in constants.items()}
    new["path"] = pa.array(paths, pa.string())
    names = ["change", *ROW_TABLES["raster_change"]]
    return pa.table({name: new[name] if name in new else rows[name] for name in names})


def _make_dependence_error(raster_ids: list[str]) -> UsageError:
    subject = quote_objects("raster", raster_ids, "depends on other files|depend on other files")
    return UsageError(
        f"{subject}, and DVC would store the main one only. Convert to one GeoTIFF and add that: geographer add "
        "rasters FILE --collection NAME --replace. Or name the rasters to take in: geographer take-in RASTER"
    )
