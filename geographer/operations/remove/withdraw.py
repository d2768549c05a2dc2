"""Withdraw rasters: delete their bytes and those of their chips everywhere; the log keeps digests and the reason."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from geographer.base.errors import ConflictError, NotFoundError, UsageError, quote_names, quote_objects
from geographer.base.parameters import Parameter
from geographer.operations.remove.events import RastersWithdrawn
from geographer.operations.remove.request import IDS
from geographer.planning.removed_rasters import count_rows, make_removal_rows
from geographer.planning.shared_parameters import TEXT
from geographer.storage.database.connection import run_script
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request

_FILES_TO_WITHDRAW: Final = Path(__file__).with_name("files_to_withdraw.sql")
_KNOWN: Final = (
    "SELECT raster_id, bool_or(storage = 'dvc') FROM chain_raster_change WHERE change <> 'removed' "
    "AND position <= getvariable('position') AND raster_id IN (SELECT unnest($ids::VARCHAR[])) GROUP BY raster_id"
)
_PRESENT: Final = (
    "SELECT raster_id FROM current_raster SEMI JOIN raster_to_withdraw USING (raster_id) ORDER BY raster_id"
)


def _require_reason(reason: Any) -> str:
    from geographer.base.redaction import has_credentials

    if not isinstance(reason, str) or not reason.strip():
        raise UsageError(f"invalid --reason {reason!r}. Say why, for example: --reason 'the licence ended'.")
    if has_credentials(reason):
        raise UsageError("--reason holds a credential, which the log would keep for ever. Leave it out.")
    return reason.strip()


class WithdrawRasters(Request, frozen=True):
    """Delete the bytes of rasters and of their chips in every revision; digests stay.

    For a licence that ended, or for privacy. They are removed from the dataset, and cannot be restored, added or cut
    again. The bytes are deleted from the workspace, DVC's cache and, by the next push, the remote; earlier revisions
    show that they are withdrawn. Copies elsewhere, such as exported folders and other clones, stay until these are
    deleted or pull. Masks and boxes that were made for them stay in earlier revisions.
    """

    event: ClassVar[type[RastersWithdrawn]] = RastersWithdrawn
    example = "withdraw S2A_21S018E308N --reason 'the licence ended'"

    ids: Annotated[Iterable[str], IDS._replace(kind="any raster")]
    reason: Annotated[
        str,
        Parameter("Why; the log keeps it for ever.", "TEXT", convert=_require_reason, schema={**TEXT, "minLength": 1}),
    ]

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the withdrawal.

        Raises:
            NotFoundError: The dataset never had a raster of that id.
            UsageError: The dataset stores no bytes of a raster: it is a reference or a footprint of a catalogue.
            ConflictError: Another raster has equal bytes, or the rasters are withdrawn already.
        """
        from geographer.storage.workspace.withdrawn_files import list_withdrawn_files

        ids = [*dict.fromkeys(self.ids)]
        _require_stored(revision, ids)
        run_script(revision.connection, _FILES_TO_WITHDRAW.read_text(), {"ids": ids})
        _reject_other_owners(revision)
        withdrawn = list_withdrawn_files(revision.connection)
        query = "SELECT md5, raster_id, path, sha256, size FROM file_to_withdraw ORDER BY raster_id, md5"
        files = [row for row in revision.fetch_rows(query) if row[0] not in withdrawn]
        present = [raster_id for (raster_id,) in revision.fetch_rows(_PRESENT)]
        if not files and not present:
            first = next(file for file in withdrawn.values() if file.raster_id in ids)
            raise ConflictError(f"{quote_objects('raster', ids, 'was|were')} already {first.format_reason()}.")
        rows = make_removal_rows(revision, present)
        if files:
            names = ("md5", "raster_id", "path", "sha256", "size")
            columns = {name: list(values) for name, values in zip(names, zip(*files, strict=True), strict=True)}
            rows["withdrawn_file"] = make_row_table("withdrawn_file", columns)
        rasters, labels, splits = (count_rows(rows, f"{subject}_change") for subject in ("raster", "label", "split"))
        return Change(RastersWithdrawn(files=len(files), rasters=rasters, labels=labels, splits=splits), rows)


def _require_stored(revision: Revision, ids: list[str]) -> None:
    """Raise if `ids` is empty, or names a raster that the dataset never had or never stored."""
    if not ids:
        raise UsageError("no raster id given. Name at least one.")
    is_stored = dict(revision.fetch_rows(_KNOWN, {"ids": ids}))
    if unknown := [raster_id for raster_id in ids if raster_id not in is_stored]:
        raise NotFoundError(
            f"the dataset never had {quote_objects('raster', unknown)}. See geographer history and log."
        )
    if others := [raster_id for raster_id in ids if not is_stored[raster_id]]:
        raise UsageError(
            f"cannot withdraw {quote_objects('raster', others)}: the dataset stores no bytes of references and "
            "footprints. Remove it (geographer remove rasters), and withdraw its chips by name."
        )


def _reject_other_owners(revision: Revision) -> None:
    """Raise `ConflictError` if an object that is not to be withdrawn has, or had, the bytes of one that is."""
    rows = revision.fetch_rows("SELECT subject, name, raster_id FROM other_owner ORDER BY ALL")
    if rows:
        subject, _, raster_id = rows[0]
        names = [name for other, name, _ in rows if other == subject]
        raise ConflictError(
            f"{quote_objects(subject, names, 'has|have')} the bytes of raster '{raster_id}' in some revision, and "
            f"would lose them. Withdraw {quote_names(names)}, too."
        )
