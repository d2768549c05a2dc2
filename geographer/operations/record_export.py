"""Record an export: which samples of which revision were written in which format. The content stays as it is."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from geographer.base.canonical_json import canonical_json
from geographer.base.parameters import Parameter
from geographer.storage.events.payload import Count, Digest, EventPayload
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request

_RECORDED: Final = (
    "SELECT true FROM chain_event WHERE kind = 'dataset_exported' "
    "AND (payload->>'$.export.manifest') = $manifest LIMIT 1"
)


class RecordedSelection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which samples were exported, with the defaults that were chosen; null means all."""

    split: str | None
    subsets: list[str] | None
    collection: str | None
    labels: list[str]


class RecordedExport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was exported.

    Attributes:
        format: The format.
        digest: The digest of the revision's event, which identifies the revision in every copy.
        selection: The samples.
        options: The parameters of the format.
        samples: The number of samples.
        files: The number of files.
        manifest: The SHA-256 of the export's manifest, which covers every file.
    """

    format: Annotated[str, Meta(min_length=1)]
    digest: Digest
    selection: RecordedSelection
    options: dict[str, Any]
    samples: Count
    files: Count
    manifest: Digest


class DatasetExported(EventPayload, kw_only=True, frozen=True):
    """Samples of a revision were written in the format of training libraries."""

    kind: ClassVar[str] = "dataset_exported"
    has_request: ClassVar[bool] = False

    export: RecordedExport

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        export = self.export
        yield f"{export.samples:,} samples of {export.digest[:12]} as {export.format}"
        yield f"{export.files:,} files"
        yield f"manifest {export.manifest[:12]}"


class RecordExport(Request, frozen=True):
    """Record an export that was written; one with the same manifest is recorded once."""

    event: ClassVar[type[DatasetExported]] = DatasetExported
    example = "export coco --to ../coco"

    export: Annotated[RecordedExport, Parameter("What was exported.", cli="none", key=None)]

    def list_recorded_parameters(self) -> dict[str, Any]:
        """See `Request.list_recorded_parameters`; it identifies the request when it is repeated."""
        return {"export": canonical_json(msgspec.to_builtins(self.export))}

    def check_revision(self, revision: Revision, /) -> bool:
        """See `Request.check_revision`."""
        return not revision.fetch_rows(_RECORDED, {"manifest": self.export.manifest})

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the event."""
        return Change(DatasetExported(export=self.export))
