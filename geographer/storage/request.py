"""Requests and plans: what a user asks for, with each parameter declared once, and the change that comes of it."""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, NamedTuple, Protocol, Self

from geographer.base.errors import UsageError
from geographer.base.executors.executor import Workers
from geographer.base.parameters import Parameter, ParameterSet, join_schema, list_parameters
from geographer.base.progress import ProgressCallback
from geographer.base.values import Checksums, Window
from geographer.storage.events.payload import EventPayload

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.base.executors.batch_journal import BatchJournal
    from geographer.base.executors.executor import Executor
    from geographer.storage.events.plain_rows import PlannedRows
    from geographer.storage.queries.revision import Revision
    from geographer.storage.workspace.source_rasters import ReplacingFile

RevisionOpener = Callable[[], AbstractContextManager["Revision"]]
"""Opens the head."""


class PlanContext(NamedTuple):
    """What planning needs beside the revision: the dataset's folder, and a callback for long planning.

    A replay `may_run_commands` that the log has if its user trusts their authors.
    """

    root: Path
    progress: ProgressCallback
    may_run_commands: bool = False


class BuildContext(NamedTuple):
    """What building outputs needs; `staging` is an empty folder on the dataset's file system, deleted after the run.

    In a replay, `root` is a scratch folder, and `replayed_root` the folder of the dataset. The `journal` remembers what
    a cluster has finished, until the change is recorded.
    """

    root: Path
    staging: Path
    workers: Workers
    progress: ProgressCallback
    replayed_root: Path | None = None
    journal: "BatchJournal | None" = None

    def make_executor(self, count: int) -> "Executor":
        """Return the executor that makes `count` files; see `make_dataset_executor` for errors."""
        from geographer.storage.dvc.dataset_executor import make_dataset_executor

        root = self.replayed_root or self.root
        return make_dataset_executor(self.workers, root, count=count, journal=self.journal)


class MergeParents(NamedTuple):
    """What a merge event joins to the branch in use.

    Attributes:
        merged: The digest of the other parent's last event: the second parent, or the first if `onto` is set.
        onto: The chain, such as `origin/main`, that the branch in use follows: its last event is the first parent, so
            that published positions keep their meaning. The branch's own last event is then the second parent. None:
            the branch in use goes on from its own last event.
    """

    merged: str
    onto: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A change that is ready to be recorded: its event and its files. It is also the plan of a change without outputs.

    Attributes:
        event: The payload, without request and software.
        rows: The rows by log table: an Arrow table, plain rows, or the name of a relation in the database's connection,
            with the columns `change` and those of `ROW_TABLES`.
        files: Files that DVC stores, with their checksums.
        move_files: Whether to move `files` (from a staging folder) or copy them (files of the user).
        linked_md5s: MD5s of files that are links to DVC's cache in the workspace.
        check_still_valid: Called if the head moved during the run; raises if the change conflicts with the new head.
            None: valid only for the planned revision. Set by downloads, which take hours.
        on_recorded: Called after the event is recorded.
        merge: What a merge event joins; its rows are the change to its first parent.
        complete: Called with the revision that the change of a merge makes, before it is recorded; a change that it
            returns is recorded instead, None: this one.
        preview: What would change, object by object; only of a dry run.
    """

    event: EventPayload
    rows: Mapping[str, "PlannedRows"] = field(default_factory=dict)
    files: list[tuple[Path, Checksums]] = field(default_factory=list)
    move_files: bool = False
    linked_md5s: Collection[str] = ()
    check_still_valid: Callable[["Revision"], None] | None = None
    on_recorded: Callable[[], None] | None = None
    merge: MergeParents | None = None
    complete: "Callable[[Revision], Change | None] | None" = None
    preview: "pa.Table | None" = None

    @property
    def is_empty(self) -> bool:
        """Whether the event would say nothing."""
        return not self.rows and self.event.is_empty

    def build_outputs(self, _context: BuildContext, /) -> "Change":
        """Return the change: there is nothing to build."""
        return self


class Plan(Protocol):
    """A planned change: the payload that it would record, and its outputs, which are built next."""

    @property
    def event(self) -> EventPayload:
        """The payload, as far as it is known before the outputs are built."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to build or to record."""

    def build_outputs(self, context: BuildContext, /) -> Change:
        """Write the outputs into `context.staging` and return them with the event."""


class PlannedFile(NamedTuple):
    """A file that a plan makes.

    Attributes:
        label: The name of the label; None: the file is a raster, such as a chip.
        raster_id: The id of the raster, or of that which the label is of.
        parent_id: The raster that a chip is cut from.
        window: The window of that raster's pixels.
        feature_id: The feature that a chip is cut for.
        source_ids: The rasters whose files are read.
        is_new: Whether there is no such object yet; else the new file may equal the one that there is.
    """

    label: str | None
    raster_id: str
    parent_id: str | None = None
    window: Window | None = None
    feature_id: str | None = None
    source_ids: tuple[str, ...] = ()
    is_new: bool = True


class PlannedFiles(NamedTuple):
    """The files that a plan makes, and the objects (label or None, raster id) that it removes."""

    made: list[PlannedFile]
    removed: list[tuple[str | None, str]]


class ReplayablePlan(Plan, Protocol):
    """A plan that lists its files, so that a rerun can compare it with what was recorded, and build some of them."""

    def list_files(self) -> PlannedFiles:
        """Return the files that the plan makes, and the objects that it removes."""

    def select_files(self, raster_ids: Collection[str], /) -> None:
        """Restrict the files to make to those of these rasters."""

    def replace_sources(self, files: "Mapping[str, ReplacingFile]", /) -> None:
        """Read other files in place of those of source rasters, by id."""


_KEY_HELP: Final = "A name for this request: repeating it with the same key changes nothing."


def _require_key(key: Any) -> str:
    if not isinstance(key, str) or not key.strip():
        raise UsageError(f"invalid --idempotency-key {key!r}. Use a text that is not empty, or leave it out.")
    return key


class Request(ParameterSet, kw_only=True, frozen=True):
    """A change that a user asks for: its parameters, and the options that all changes share.

    `event` is the class of the event's payload; some parameters may lead to one of `other_events` instead. `example` is
    a command line for help, without the leading `geographer`.
    """

    event: ClassVar[type[EventPayload]]
    other_events: ClassVar[tuple[type[EventPayload], ...]] = ()
    example: ClassVar[str] = ""

    message: Annotated[str, Parameter("The reason; the log keeps it.", "TEXT", flags="-m --message", key=None)] = ""
    author: Annotated[str | None, Parameter("The author.", "NAME", "Git's or the system's user name", key=None)] = None
    idempotency_key: Annotated[
        str | None,
        Parameter(_KEY_HELP, "KEY", convert=_require_key, key=None),
    ] = None
    expected_head: Annotated[
        str | None,
        Parameter(
            "Refuse the change unless the head's digest begins with these characters.",
            *("DIGEST", "any head", "--expect-head"),
            key=None,
        ),
    ] = None
    dry_run: Annotated[bool, Parameter("Plan the change, report it, and change nothing.", key=None)] = False

    def to_json(self) -> dict[str, Any]:
        """Return the request as the log records it."""
        return self.list_recorded_parameters()

    @classmethod
    def make_schema(cls, version: int | None = None) -> dict[str, Any]:
        """Return the JSON Schema of `to_json()`, as payloads of a `version` (default: the current one) record it."""
        parameters = [field for field in list_parameters(cls) if version is None or field.declaration.since <= version]
        fields = {field.log_key: field for field in parameters if field.log_key is not None}
        required = [key for key, field in fields.items() if field.declaration.records_default]
        return join_schema({key: field.make_schema() for key, field in fields.items()}, required)

    @property
    def max_workers(self) -> Workers:
        """Who builds the outputs."""
        return 1

    def resolve_inputs(self, open_revision: RevisionOpener, /) -> Self:
        """Return the request with inputs read that its recorded form depends on."""
        return self

    def restore_inputs(self, revision: "Revision", /) -> Self:
        """Return the request with the inputs that its event, the last one of the revision, recorded."""
        return self

    def check_revision(self, revision: "Revision", /) -> bool:
        """Return whether to record an event even if nothing changes; `ConflictError` if the request does not fit."""
        return not self.event.is_optional

    def make_plan(self, revision: "Revision", context: PlanContext, /) -> Plan:
        """Plan the change at a revision."""
        raise NotImplementedError


def list_request_classes(base: type[Request] = Request) -> list[type[Request]]:
    """Return the classes of requests that record an event: those without subclasses."""
    subclasses = base.__subclasses__()
    leaves = [leaf for subclass in subclasses for leaf in list_request_classes(subclass)] if subclasses else [base]
    return [leaf for leaf in leaves if hasattr(leaf, "event")]
