"""The request to import another dataset."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from geographer.base.errors import NotFoundError, UsageError
from geographer.base.parameters import Parameter
from geographer.operations.import_dataset.events import CollectionImported, DatasetImported
from geographer.planning.shared_parameters import NAME_SCHEMA, OBJECT_SCHEMA, OPTIONAL_TEXT, TEXT
from geographer.storage.database.dataset_folder import find_dataset_root
from geographer.storage.events.payload import EventPayload
from geographer.storage.log.read import read_event
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request
from geographer.storage.unit_of_work import UnitOfWork

_PATH_HELP: Final = "The folder of the other dataset, or a folder inside it."
_AT: Final = Parameter(
    "The revision to read: a tag, a digest prefix, @17, HEAD~2 or a date.", "REV", "the head", schema=OPTIONAL_TEXT
)
_RENAME: Final = Parameter(
    "Import a recipe or collection under another name.",
    *("OLD=NEW", "their names"),
    cli="pairs",
    schema={**OBJECT_SCHEMA, "additionalProperties": NAME_SCHEMA},
)


class DatasetPath(Request, frozen=True):
    """A request about another dataset."""

    path: Annotated[str | Path, Parameter(_PATH_HELP, "OTHER", cli="argument", convert=str, schema=TEXT)]


class ImportDataset(DatasetPath, kw_only=True, frozen=True):
    """Merge OTHER, the folder of another dataset, as one event that records its history.

    If OTHER began as a copy of this dataset, its history comes along and is merged, as geographer merge does, with all
    that it has. Otherwise, or with a prefix, new names or --on-equal-id, its objects are imported: those with the same
    id and content become one object, and after an earlier import, what only one of the datasets changed or removed
    since is as in that one. Splits are not imported: run them again.

    Imported are classes by name, features, rasters with their bytes (each file is checked by its SHA-256), recipes
    whose names are free, and inputs of recipes. Labels are imported if they are up to date there and would be the same
    here; update makes the others. Assignments are not imported, because two splits without leakage can leak together.
    With a prefix, a chip becomes 'recipe/PREFIXstem', and integer ids become text. With --collection, only its rasters,
    which have no parents here, the features that they show, its labels, and the recipes that label and split it are
    imported; assignments as well if this dataset has no rasters.
    """

    event: ClassVar[type[DatasetImported]] = DatasetImported
    other_events: ClassVar[tuple[type[EventPayload], ...]] = (CollectionImported,)
    example = "import dataset ../lakes --at v2 --rename chips=lake_chips"

    at: Annotated[str | int | None, _AT] = None
    on_equal_id: Annotated[
        Literal["ours", "theirs"] | None,
        Parameter("Which object to keep if an id has different content in the two datasets.", "", "refuse to import"),
    ] = None
    prefix: Annotated[str, Parameter("Put this text before the ids of all imported features and rasters.", "TEXT")] = ""
    rename: Annotated[Mapping[str, str] | None, _RENAME] = None
    collection: Annotated[
        str | None,
        Parameter(
            "Import only this collection.", "NAME", "everything", records_default=False, schema=NAME_SCHEMA, since=2
        ),
    ] = None

    @property
    def new_names(self) -> Mapping[str, str]:
        """The renamed recipes and collections, old name to new name."""
        return self.rename or {}

    @property
    def can_merge(self) -> bool:
        """Whether a common history is merged: nothing says that the objects are to be imported in another form."""
        return not (self.prefix or self.rename or self.on_equal_id or self.collection)

    def rename_name(self, name: str) -> str:
        """Return the new name of a recipe or collection."""
        return self.new_names.get(name, name)

    def list_recorded_parameters(self) -> dict[str, Any]:
        """See `Request.list_recorded_parameters`."""
        at = None if self.at is None else str(self.at)
        return {**super().list_recorded_parameters(), "at": at, "rename": dict(self.new_names)}

    def make_plan(self, revision: Revision, context: PlanContext, /) -> Change:
        """See `plan_merge`; raise `UsageError` if it is this dataset, and `NotFoundError` if it does not exist."""
        from geographer.operations.import_dataset.common_history import find_merge_base
        from geographer.operations.import_dataset.plan import plan_merge
        from geographer.operations.import_dataset.source_dataset import read_source_dataset
        from geographer.storage.workspace.withdrawn_files import reject_withdrawn_revision

        other = UnitOfWork(find_dataset_root(Path(self.path)))
        if other.root == context.root:
            raise UsageError(f"'{self.path}' is this dataset. Name another one.")
        with other.open_revision(self.at) as source_revision:
            reject_withdrawn_revision(source_revision)
            if self.collection is not None:
                self._check_collection(revision, source_revision)
            base = find_merge_base(revision, source_revision, self.prefix, self.new_names, self.collection)
            source = read_source_dataset(source_revision, other.root, self.at, revision, base, self.collection)
        with other.file_store as store:
            return plan_merge(revision, context.root, source, store, self)

    def _check_collection(self, revision: Revision, source: Revision) -> None:
        """Raise `NotFoundError` if there is no such collection, `UsageError` if the datasets began as one."""
        if read_event(revision.connection, 1).digest == read_event(source.connection, 1).digest:
            raise UsageError(f"'{self.path}' is a copy of this dataset. Leave --collection out: its history is merged.")
        names = [name for (name,) in source.fetch_rows("SELECT DISTINCT collection FROM current_raster ORDER BY 1")]
        if self.collection not in names:
            raise NotFoundError(
                f"'{self.path}' has no collection '{self.collection}' at @{source.position}. Its collections are: "
                f"{', '.join(names) or 'none yet'}."
            )
