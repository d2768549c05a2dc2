"""Restore removed features or rasters: the last version that the log has is in the dataset again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, NamedTuple

from geographer.base.atomic_files import check_file
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError, quote_objects
from geographer.base.values import Checksums
from geographer.operations.remove.events import FeaturesRestored, RastersRestored
from geographer.operations.remove.request import IDS
from geographer.storage.database.connection import quote_identifier, run_script
from geographer.storage.events.row_tables import ROW_TABLES
from geographer.storage.queries.remembered_removals import stage_remembered_removals
from geographer.storage.queries.renamings import stage_renamings
from geographer.storage.queries.revision import Revision
from geographer.storage.request import BuildContext, Change, PlanContext, Request
from geographer.storage.workspace.partial.absent_files import ensure_objects
from geographer.storage.workspace.roots import Roots, make_unset_root_error

if TYPE_CHECKING:
    import pyarrow as pa

_PROBLEMS: Final = {
    "exists": "it is in the dataset already. List what it has: geographer features, geographer rasters",
    "class": "the dataset no longer has its class. Add that first: geographer add classes",
    "collection": "its collection has the name of a cut recipe that was made since. Remove that recipe first",
    "retired": "its recipe retired it. Run geographer update, which cuts it when it is selected again",
    "recipe": "its recipe was changed or removed since. Run the recipe again",
    "parent": "what it was cut from was changed or removed since. Restore that raster, too, or run geographer update",
}
"""Why an object cannot be restored, and what to do, by the code that the SQL reports."""


class RecordedFile(NamedTuple):
    """The file of a raster to restore."""

    raster_id: str
    storage: str
    path: str
    checksums: Checksums


class RestoreFeatures(Request, frozen=True):
    """Bring back removed features, as they were when they were removed.

    They count as added last.
    """

    event: ClassVar[type[FeaturesRestored]] = FeaturesRestored
    example = "restore features lake-17"

    ids: Annotated[Iterable[str | int], IDS._replace(kind="removed feature")]

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the restoration.

        Raises:
            NotFoundError: The dataset never had a feature of that id.
            ConflictError: It is in the dataset, or its class is not.
        """
        _stage_restorable_rows(revision, "feature", [*dict.fromkeys(map(str, self.ids))])
        rows = _fetch_restored_rows(revision, "feature")
        return Change(FeaturesRestored(features=len(rows)), {"feature_change": rows})


class RestoreRasters(Request, frozen=True):
    """Bring back removed rasters with their bytes, as they were when they were removed.

    A recipe does not make a raster again that was removed by id; it keeps one that was restored. Labels and split
    assignments are made again by update. Restored rasters count as added last.
    """

    event: ClassVar[type[RastersRestored]] = RastersRestored
    example = "restore rasters chips/S2A_21S018E308N_lake-17"

    ids: Annotated[Iterable[str], IDS._replace(kind="removed raster")]

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the restoration.

        Raises:
            NotFoundError: The dataset never had a raster of that id.
            ConflictError: It is in the dataset, what it was cut from or by has changed, or its bytes were withdrawn.
        """
        from geographer.storage.workspace.withdrawn_files import reject_withdrawn_rasters

        reject_withdrawn_rasters(revision, self.ids)
        stage_remembered_removals(revision)
        _stage_restorable_rows(revision, "raster", [*dict.fromkeys(self.ids)])
        rows = _fetch_restored_rows(revision, "raster")
        query = "SELECT raster_id, storage, path, size, md5, sha256 FROM restorable_raster ORDER BY raster_id"
        files = [
            RecordedFile(raster_id, storage, path, Checksums(*checksums))
            for raster_id, storage, path, *checksums in revision.fetch_rows(query)
        ]
        return RasterRestoration(RastersRestored(rasters=len(rows)), {"raster_change": rows}, recorded_files=files)


@dataclass(frozen=True, slots=True)
class RasterRestoration(Change):
    """The change that restores rasters, whose `recorded_files` must exist."""

    recorded_files: Sequence[RecordedFile] = ()

    def build_outputs(self, context: BuildContext, /) -> Change:
        """Fetch files that only the remote has; `CorruptError` if bytes are missing or altered everywhere.

        `NotFoundError` if a file lies in a root that this machine has not set.
        """
        from geographer.storage.dvc.store import Store

        stored, referenced = (
            [file for file in self.recorded_files if file.storage == kind] for kind in ("dvc", "reference")
        )
        roots = Roots(context.root)
        if unset := {file.raster_id: root for file in referenced if (root := roots.find_unset_root(file.path))}:
            raise make_unset_root_error(unset.values(), unset.keys())
        lost = [file.raster_id for file in referenced if check_file(roots.locate_file(file.path), file.checksums)]
        with Store(context.root) as store:
            damaged = store.check_files([file.checksums for file in stored])
            ensured = ensure_objects(store, [md5 for md5, damage in damaged.items() if damage == "missing"])
            unchecked = damaged.keys() - ensured.remote_only
            damaged = store.check_files([file.checksums for file in stored if file.checksums.md5 in unchecked])
        if lost := lost + [file.raster_id for file in stored if file.checksums.md5 in damaged]:
            raise CorruptError(
                f"cannot restore {quote_objects('raster', lost)}: the bytes are missing or altered. Put DVC's cache or "
                "the referenced file back from a copy, or add the raster again: geographer add rasters"
            )
        return self


def _stage_restorable_rows(revision: Revision, subject: Literal["feature", "raster"], ids: list[str]) -> None:
    """Create the temporary table `restorable_<subject>`; raise if an object cannot be restored."""
    if not ids:
        raise UsageError(f"no {subject} id given. Name at least one.")
    stage_renamings(revision)
    script = Path(__file__).with_name(f"restorable_{subject}s.sql")
    run_script(revision.connection, script.read_text(), {"ids": ids})
    rows = revision.fetch_rows(f"SELECT {subject}_id, problem FROM restorable_{subject} ORDER BY ALL")  # noqa: S608
    if unknown := sorted({*ids}.difference(name for name, _ in rows)):
        raise NotFoundError(f"the dataset never had {quote_objects(subject, unknown)}. See geographer history and log.")
    if problems := [row for row in rows if row[1]]:
        names = [name for name, problem in problems if problem == problems[0][1]]
        raise ConflictError(f"cannot restore {quote_objects(subject, names)}: {_PROBLEMS[problems[0][1]]}.")


def _fetch_restored_rows(revision: Revision, subject: Literal["feature", "raster"]) -> "pa.Table":
    columns = ", ".join(map(quote_identifier, ("change", *ROW_TABLES[f"{subject}_change"])))
    return revision.fetch_arrow(f"SELECT {columns} FROM restorable_{subject} ORDER BY {subject}_id")  # noqa: S608
