"""Unit of work: carry a request through: repeated key, head, plan, outputs, files, event, state, workspace."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from geographer import __version__
from geographer.base.canonical_json import canonical_json
from geographer.base.errors import ConflictError, CorruptError, DamagedFileError, GeographerError, UsageError
from geographer.base.logged_warnings import collect_logged_warnings
from geographer.base.progress import ProgressCallback, ignore_progress
from geographer.base.text import quote_start
from geographer.storage.branch_databases import BranchDatabases
from geographer.storage.database.connection import Database, open_transaction
from geographer.storage.database.dataset_folder import (
    GEOGRAPHER_FOLDER,
    make_staging_folder,
    require_real_folder,
    require_writable,
)
from geographer.storage.events import EMPTY_LOG_HEAD, ChangeResult, CommitInfo, Event, EventPayload, Head
from geographer.storage.events.payload import find_payload_class, parse_payload
from geographer.storage.history.agreement import Agreement, LockRelation, compare_lock, follow_lock_branch, restore_log
from geographer.storage.history.folder import HistoryFolder
from geographer.storage.log.branches import (
    Location,
    find_chain_head,
    find_common_position,
    find_shared_position,
    name_merging_chain,
    prepare_merging_chain,
    read_chain_head,
    read_location_digest,
    replace_chain,
    require_branch,
)
from geographer.storage.log.chain import list_row_tables
from geographer.storage.log.read import (
    find_event_by_key,
    find_merged_event,
    locate_revision,
    read_event,
    read_head,
    resolve_revision,
)
from geographer.storage.log.upgrade import open_database
from geographer.storage.queries.revision import Revision, open_revision
from geographer.storage.queries.unreadable import warn_of_unreadable_rows
from geographer.storage.workspace.marker import WorkspaceMarker, is_marker_of_log, read_marker, write_marker

if TYPE_CHECKING:
    import duckdb

    from geographer.base.executors.executor import Executor, Workers
    from geographer.storage.dvc.store import Store
    from geographer.storage.request import BuildContext, Change, MergeParents, Plan, Request
    from geographer.storage.workspace.checkout import CheckoutResult

logger = logging.getLogger(__name__)

_MOVE_ERROR: Final = "cannot write the log; the branch stays as it was: {}"

_ONE_THREAD_ROWS: Final = 1_000
"""A change with at most so many rows in each table is recorded on one thread."""


class UnitOfWork:
    """The log, the state and the workspace of the dataset in `root`, and the steps that change them together."""

    def __init__(self, root: Path, *, command: str = "", progress: ProgressCallback = ignore_progress) -> None:
        """Use the dataset in the folder `root`; the log records `command` as the command line."""
        self.root = root
        self.progress = progress
        self._command = command
        self.folder = root / GEOGRAPHER_FOLDER
        restore_log(root)
        self.database = open_database(self.folder, must_have_events=True)
        self.database.make_executor = self._make_executor
        self.history = HistoryFolder(root)
        self._marker_path = self.folder / "workspace.json"
        self._branch_databases = BranchDatabases(self.database)
        self._warned_positions: set[int] = set()
        self._disagreement = self.compare_lock().problem

    def _make_executor(self, workers: Workers) -> Executor:
        from geographer.storage.dvc.dataset_executor import make_dataset_executor

        return make_dataset_executor(workers, self.root)

    def change_root(self, root: Path) -> None:
        """Use the dataset in the folder `root`, to which its files were moved."""
        self.root, self.folder = root, root / GEOGRAPHER_FOLDER
        self.history = HistoryFolder(root)
        self._marker_path = self.folder / "workspace.json"
        self.database.change_folder(self.folder)

    @property
    def branch_name(self) -> str:
        """The branch in use."""
        return self.database.branch

    @cached_property
    def file_store(self) -> Store:
        """The dataset's files in DVC."""
        from geographer.storage.dvc.store import Store

        return Store(self.root, self.progress, self._reject_absent_files)

    def _reject_absent_files(self, md5s: Sequence[str]) -> None:
        """Raise `NotFoundError` if a partial clone lacks one of the files on purpose."""
        from geographer.storage.workspace.partial.absent_files import reject_absent_files

        reject_absent_files(partial(self.open_tables, spatial=True), self.root, md5s)

    def create_log(self, request: Request, change: Change) -> ChangeResult:
        """Create the log with its first event."""
        from geographer.storage.log.append import append_event, create_log
        from geographer.storage.state.update import derive_pending_state

        self.folder.mkdir(parents=True, exist_ok=True)
        create_log(self.database)
        payload, info = _complete_payload(change, {}), self._make_commit_info(request)
        derive_state = partial(derive_pending_state, self.database)
        event = append_event(self.database, payload, change.rows, info, EMPTY_LOG_HEAD, derive_state=derive_state)
        self._mark_workspace(event.position, event.digest)
        return _make_event_result(event)

    def run_request(self, request: Request) -> ChangeResult:
        """Plan a request on the head, build its outputs and record them; a dry or repeated run records nothing.

        `ConflictError` if the idempotency key was used for another request, or the head is not the expected one.
        """
        # Other threads wait: planned rows are views of the connection, which another request or revision would replace.
        with self.database.open_connection(), collect_logged_warnings() as warnings:
            return self._run_request(request)._replace(logged_warnings=warnings)

    def _run_request(self, request: Request) -> ChangeResult:
        from geographer.storage.log.append import make_key_error
        from geographer.storage.request import Change, PlanContext
        from geographer.storage.workspace.withdrawn_files import reject_withdrawn_rows

        request = request.resolve_inputs(self.open_revision)
        info, recorded_request = self._make_commit_info(request), _make_recorded_request(request)
        is_repeated = partial(self._is_repeated, request, recorded_request)
        repeated = None
        if info.idempotency_key is not None:
            with self.database.open_connection(log="r") as connection:
                repeated = find_event_by_key(connection, info.idempotency_key)
                repeated = repeated or find_merged_event(connection, info.idempotency_key, is_repeated)
        if repeated is not None:
            if not is_repeated(repeated):
                raise make_key_error(repeated)
            self._complete_interrupted_command()
            return _make_event_result(repeated, changed=False)
        head = self.prepare_head(request.expected_head)
        with self.open_revision(head.position) as revision:
            must_record = request.check_revision(revision)
            plan = request.make_plan(revision, PlanContext(self.root, self.progress))
            if isinstance(plan, Change):
                reject_withdrawn_rows(revision, plan.rows)
        is_needed = must_record or not plan.is_empty
        if request.dry_run or not is_needed:
            result = _make_result(head, plan.event, changed=False)
            return result._replace(would_change=is_needed, preview=getattr(plan, "preview", None))
        with self._open_build_context(request, plan) as context:
            change = plan.build_outputs(context)
            if change.is_empty and not must_record:
                return _make_result(head, change.event, changed=False)
            if change.check_still_valid is not None and request.expected_head is None:
                head = self.prepare_head(None)
                with self.open_revision(head.position) as revision:
                    request.check_revision(revision)
                    change.check_still_valid(revision)
            result = self._record_change(change, recorded_request, info, head)
        if change.on_recorded is not None:
            change.on_recorded()
        return result

    @contextmanager
    def _open_build_context(self, request: Request, plan: Plan) -> Iterator[BuildContext]:
        """Yield what building the outputs of a plan needs: a staging folder, unless nothing is built or stored."""
        from geographer.storage.dvc.dataset_executor import open_batch_journal
        from geographer.storage.request import BuildContext, Change

        if type(plan) is Change and not plan.files:
            require_real_folder(self.folder / "staging")
            require_writable(self.folder)
            yield BuildContext(self.root, self.folder, request.max_workers, self.progress)
            return
        with make_staging_folder(self.root) as staging, open_batch_journal(self.root) as journal:
            yield BuildContext(self.root, staging, request.max_workers, self.progress, journal=journal)

    def _is_repeated(self, request: Request, recorded_request: Mapping[str, object], event: Event) -> bool:
        """Return whether an event was recorded for an equal request.

        An event that does not record its request has one if the request leads to it at the revision before.
        """
        from geographer.storage.log.append import has_same_content
        from geographer.storage.request import Change, PlanContext

        kinds = {event_class.kind for event_class in (request.event, *request.other_events)}
        if event.kind not in kinds:
            return False
        if find_payload_class(event.kind, event.version).has_request:
            return event.payload.get("request") == recorded_request
        try:
            with self.open_revision(event.parents[0]) as revision:
                plan = request.make_plan(revision, PlanContext(self.root, self.progress))
        except GeographerError:
            return False
        return isinstance(plan, Change) and has_same_content(event, _complete_payload(plan, recorded_request))

    def read_head(self) -> Head:
        """Return the head of the log."""
        with self.database.open_connection(log="r") as connection:
            return read_head(connection)

    def resolve_revision(self, revision: str | int | None) -> int:
        """Return the position of a revision of the branch in use; `NotFoundError` if only another branch has it."""
        with self.database.open_connection(log="r") as connection:
            return resolve_revision(connection, revision)

    def locate_revision(self, revision: Location | str | int | None) -> Location:
        """Return where a revision is: in the branch in use, or else in another chain of the log."""
        with self.database.open_connection(log="r") as connection:
            return locate_revision(connection, revision)

    def locate_pair(self, first: str | int | None, second: str | int | None) -> tuple[Location, Location]:
        """Return where two revisions are; in the same chain, if one has both."""
        with self.database.open_connection(log="r") as connection:
            a, b = locate_revision(connection, first), locate_revision(connection, second)
            common = find_shared_position(connection, a.branch, b.branch)
        if a.position <= common:
            return a._replace(branch=b.branch), b
        return a, b._replace(branch=a.branch) if b.position <= common else b

    def find_shared_position(self, first: str, second: str) -> int:
        """Return the last position at which two chains have the same event; 0: none."""
        with self.database.open_connection(log="r") as connection:
            return find_shared_position(connection, first, second)

    def locate_head(self, chain: str) -> Location:
        """Return where the last event of a chain is."""
        with self.database.open_connection(log="r") as connection:
            return Location(chain, read_chain_head(connection, chain).position)

    def open_database_of(self, chain: str) -> Database:
        """Return the database that reads a chain: that of the branch in use, or another one with a state of its own."""
        return self.database if chain == self.branch_name else self._branch_databases.open_database(chain)

    @contextmanager
    def open_revision(self, revision: Location | str | int | None = None) -> Iterator[Revision]:
        """Update the state if the revision is later, and yield the revision, also one of another chain."""
        with self._attach_current_state(revision) as (database, position), open_revision(database, position) as view:
            if position not in self._warned_positions:
                self._warned_positions.add(position)
                warn_of_unreadable_rows(view)
            yield view

    @contextmanager
    def open_tables(
        self, revision: Location | str | int | None = None, *, spatial: bool = False
    ) -> Iterator[tuple[duckdb.DuckDBPyConnection, int]]:
        """Update the state as `open_revision` does; yield the log and the state without views, and the position.

        Creating the views of a revision takes longer than looking up one object.
        """
        with (
            self._attach_current_state(revision) as (database, position),
            database.open_connection(log="r", state="r", spatial=spatial) as connection,
        ):
            yield connection, position

    @contextmanager
    def _attach_current_state(self, revision: Location | str | int | None) -> Iterator[tuple[Database, int]]:
        """Attach the log, update the state if the revision is later; yield the database and the revision's position.

        Each attachment takes a millisecond, so that of a state which is up to date serves the caller, too.
        """
        from geographer.storage.state.update import read_state_position, update_state

        if self._disagreement:
            logger.warning(self._disagreement)
            self._disagreement = None
        with ExitStack() as log_stack, ExitStack() as state_stack:
            log_stack.enter_context(self.database.open_connection(log="r"))
            chain, position = self.locate_revision(revision)
            if chain != self.branch_name:
                log_stack.close()
            database = self.open_database_of(chain)
            log_stack.enter_context(database.open_connection(log="r"))
            if database.file_path("state").exists():
                with suppress(DamagedFileError):
                    state_stack.enter_context(database.open_connection(state="r"))
            if read_state_position(database) < position:
                state_stack.close()
                update_state(database)
            yield database, position

    def prepare_head(self, expected_head: str | None) -> Head:
        """Complete what an interrupted command left undone, and return the head to plan on.

        `ConflictError` if its digest does not start with `expected_head`, if the workspace is at an older revision, or
        if the lock file is at another one.
        """
        from geographer.storage.state.update import update_state

        if expected_head is not None:
            self._require_head(expected_head)
        if problem := self.compare_lock().problem:
            raise ConflictError(problem)
        # Each attachment of the log takes two milliseconds; files are not written while it keeps other processes out.
        with self.database.open_connection(log="r"):
            head = self.read_head()
            update_state(self.database)
            self.complete_withdrawals(head)
            if self._require_known_dvc_files(head).position == head.position:
                self.write_history()
                return head
        self.sync_workspace(head)
        self.write_history()
        return head

    def _require_head(self, expected_head: str) -> None:
        head = self.read_head()
        if not (head.digest.startswith(expected_head) and expected_head):
            actual = f"@{head.position} {head.digest[:12]}"
            raise ConflictError(f"the head is {actual}, not the expected {expected_head}. See geographer log.")

    def complete_withdrawals(self, head: Head) -> None:
        """Delete the withdrawn files that this machine still has."""
        from geographer.storage.workspace.withdrawn_files import complete_withdrawals

        with self.database.open_connection(log="r") as connection:
            if "withdrawn_file" not in list_row_tables(connection):
                return
        with self.open_revision(head.position) as revision:
            complete_withdrawals(revision, self.file_store, self.folder)

    def compare_lock(self) -> Agreement:
        """Compare the lock file with the log, which follows the history folder if that continues it."""
        if not self.database.file_path("log").exists():
            return Agreement(LockRelation.NONE)
        follow_lock_branch(self.root, self.database, read_marker(self._marker_path).branch)
        return compare_lock(self.root, self.database, can_write=self.database.is_writable)

    def omit_lock_warning(self) -> None:
        """Do not warn that the lock file is not at the log's head: the caller changes that."""
        self._disagreement = None

    def write_history(self, *, state_position: int | None = None) -> None:
        """Bring the history folder and the lock file up to the head of the log; the state is at `state_position`.

        Nothing is done in a dataset that may not be written. A log that does not match its digests is not published: a
        warning says so.
        """
        if not self.database.is_writable:
            return
        try:
            self.history.write_head(self.database, partial(self._compute_content_digest, state_position))
        except CorruptError as error:
            logger.warning("the history folder is not up to date: %s", error)

    def read_dataset_id(self) -> str:
        """Return the digest of the first event, which identifies the dataset."""
        with self.database.open_connection(log="r") as connection:
            return read_event(connection, 1).digest

    def _compute_content_digest(self, state_position: int | None, position: int) -> str:
        from geographer.storage.state.update import read_state_position, update_state

        if (state_position or read_state_position(self.database)) < position:
            update_state(self.database)
        with open_revision(self.database, position) as revision:
            return revision.compute_content_digest()

    def _complete_interrupted_command(self) -> None:
        """Bring state and workspace up to the head, unless a user checked out another revision."""
        from geographer.storage.state.update import update_state

        head = self.read_head()
        update_state(self.database)
        self.complete_withdrawals(head)
        if not self.read_marker(head).is_requested:
            self.sync_workspace(head)
        if self.compare_lock().problem is None:
            self.write_history()

    def sync_workspace(self, head: Head) -> None:
        """Check out the head unless it is.

        `ConflictError` if a user checked out an older revision, or a `.dvc` file is not that of a revision of the log.
        """
        marker = self._require_known_dvc_files(head)
        if marker.position == head.position:
            return
        if marker.is_requested:
            raise ConflictError(
                f"the workspace is at @{marker.position}, which was checked out; the head is @{head.position}. Run "
                "geographer checkout HEAD first, or check the old revision out to another folder with --to."
            )
        self.checkout_workspace(head.position, check_all=False)

    def checkout_workspace(
        self, position: int, *, is_requested: bool = False, check_all: bool = True, change: Change | None = None
    ) -> CheckoutResult:
        """Update the workspace's files to a revision, which the user asked for if `is_requested`.

        `check_all` also restores files that both revisions have and that were altered or removed. The files of
        `change` have just been stored.
        """
        from geographer.storage.workspace import checkout
        from geographer.storage.workspace.paths import check_checkout_paths

        stored = {checksums.md5 for _, checksums in change.files} if change else set()
        linked = change.linked_md5s if change else ()
        with self.open_revision(position) as revision:
            current = self.read_marker().position
            if change is None:
                check_checkout_paths(revision, self.file_store, current)
            from geographer.storage.workspace.partial.selection import read_partial_clone

            read_partial_clone(self.root)  # Raise before anything is changed.
            # If this is interrupted, the next checkout must look at every file.
            write_marker(self._marker_path, WorkspaceMarker(None))
            with self.file_store.allow_fetch():
                result = checkout.update_workspace(
                    revision, self.file_store, current, check_all=check_all, trusted_md5s=stored, linked_md5s=linked
                )
            digest = revision.fetch_value("SELECT digest FROM chain_event WHERE position = $at", {"at": position})
        self._mark_workspace(position, digest, is_requested=is_requested)
        return result

    @property
    def workspace_position(self) -> int | None:
        """The position of the workspace's files; None if it is not known, as after other commands of DVC and Git."""
        from geographer.storage.workspace.tracked_folders import list_dvc_files

        marker = self.read_marker()
        is_changed = marker.is_requested and marker.dvc_files != list_dvc_files(self.root)
        return None if is_changed else marker.position

    def read_marker(self, head: Head | None = None) -> WorkspaceMarker:
        """Read the marker of the workspace; its position is not known if the log, with that `head`, lacks its event."""
        marker = read_marker(self._marker_path)
        if head is not None and (marker.position, marker.digest) == (head.position, head.digest):
            return marker
        with self.database.open_connection(log="r") as connection:
            return marker if is_marker_of_log(marker, connection) else WorkspaceMarker(None)

    def _require_known_dvc_files(self, head: Head) -> WorkspaceMarker:
        """Return the workspace's marker, or raise `ConflictError`; look only at `.dvc` files that changed since."""
        from geographer.storage.workspace.tracked_folders import list_dvc_files, require_known_dvc_files

        marker = self.read_marker(head)
        if changed := sorted(dict(list_dvc_files(self.root).items() - marker.dvc_files.items())):
            with self.open_revision(head.position) as revision:
                require_known_dvc_files(revision, self.root, changed)
        return marker

    def _mark_workspace(self, position: int, digest: str, *, is_requested: bool = False) -> None:
        from geographer.storage.workspace.tracked_folders import list_dvc_files

        marker = WorkspaceMarker(position, is_requested, digest, list_dvc_files(self.root), self.branch_name)
        write_marker(self._marker_path, marker)

    def _record_change(
        self, change: Change, request: Mapping[str, object], info: CommitInfo, head: Head
    ) -> ChangeResult:
        """Store the files, append the event after `head`, and update the state and the workspace.

        Files come first: a crash leaves files without an event, never an event without its files. State and workspace
        follow from the log, so the next command can update them.
        """
        from geographer.storage.log.append import append_event
        from geographer.storage.state.update import derive_pending_state
        from geographer.storage.workspace.paths import check_new_paths
        from geographer.storage.workspace.withdrawn_files import reject_withdrawn_rows

        self._require_known_dvc_files(head)
        if problem := self.compare_lock().problem:
            raise ConflictError(problem)
        if change.merge is not None:
            return self._record_merge(change, change.merge, request, info, head)
        changes_files = "raster_change" in change.rows or "label_change" in change.rows
        if changes_files:
            with self.open_revision(head.position) as revision:
                reject_withdrawn_rows(revision, change.rows)
                check_new_paths(revision, self.file_store, change.rows)
        if change.files:
            self.file_store.add_files(change.files, move=change.move_files)
        with self.database.use_one_thread() if self._is_small(change) else self.database.open_connection():
            payload, derive_state = _complete_payload(change, request), partial(derive_pending_state, self.database)
            event = append_event(self.database, payload, change.rows, info, head, derive_state=derive_state)
            self._show_change(change, event)
        return _make_event_result(event)

    def _show_change(self, change: Change, event: Event) -> None:
        """Bring state, workspace and history up to an event that was just appended."""
        from geographer.storage.state.update import update_state

        changes_files = "raster_change" in change.rows or "label_change" in change.rows
        with nullcontext() if changes_files else self.database.open_connection(log="r"):
            position = update_state(self.database)
            if changes_files or position != event.position:
                # Another process may have appended meanwhile: check out the state's position, not the event's.
                self.checkout_workspace(position, change=change, check_all=False)
            else:
                self._mark_workspace(event.position, event.digest)
            if "withdrawn_file" in change.rows:
                self.complete_withdrawals(Head(event.position, event.digest))
            self.write_history(state_position=position)

    def _record_merge(
        self, change: Change, merge: MergeParents, request: Mapping[str, object], info: CommitInfo, head: Head
    ) -> ChangeResult:
        """Append a merge event after `head`, that of the branch in use, or after the published one that it follows.

        The chain on which the event follows a published head is made first, and takes the place of the branch in the
        transaction that appends the event.
        """
        branch = self.branch_name
        self._show_common_revision(merge.merged)
        first, second, replaced = head, merge.merged, None
        if merge.onto is not None:
            with self.database.open_connection(log="w") as connection:
                first = find_chain_head(connection, merge.onto, merge.merged)
                prepare_merging_chain(connection, branch, merge.onto)
            second, replaced = head.digest, branch
            self.database.change_branch(name_merging_chain(branch))
        try:
            try:
                check = partial(self._check_merge, change)
                event = self._append_merge(change, request, info, first, second, replaced, check)
            except _CompletedChange as completed:
                event = self._append_merge(completed.change, request, info, first, second, replaced, None)
        except GeographerError:
            self.database.change_branch(branch)
            with suppress(GeographerError):
                self.sync_workspace(head)
            raise
        finally:
            self.database.change_branch(branch)
        self._finish_move()
        return _make_event_result(event)

    def _check_merge(self, change: Change, connection: duckdb.DuckDBPyConnection, position: int) -> None:
        """Refuse the merged revision at a position if the workspace cannot have its files, or complete its change."""
        from geographer.storage.workspace.paths import check_merged_paths

        revision = Revision(connection, position)
        if "raster_change" in change.rows or "label_change" in change.rows:
            check_merged_paths(revision, self.file_store, self.read_marker().position)
        if change.complete and (completed := change.complete(revision)) is not None:
            raise _CompletedChange(completed)

    def _append_merge(
        self,
        change: Change,
        request: Mapping[str, object],
        info: CommitInfo,
        first_parent: Head,
        second_parent: str,
        replaced_branch: str | None,
        check: Callable[[duckdb.DuckDBPyConnection, int], None] | None,
    ) -> Event:
        from geographer.storage.log.append import append_event
        from geographer.storage.state.update import derive_pending_state

        return append_event(
            *(self.database, _complete_payload(change, request), change.rows, info, first_parent),
            derive_state=partial(derive_pending_state, self.database, check=check),
            second_parent=second_parent,
            replaced_branch=replaced_branch,
        )

    def move_branch(self, target: Location, planned_head: Head) -> Head:
        """Let the branch in use have the events up to a location in the log: further ones, or fewer.

        What it had beyond these stays in a hidden chain of the log. Return the new head, which the workspace shows.
        `ConflictError` if the head is not `planned_head` any more: nothing is moved.
        """
        with self.database.open_connection(log="r") as connection:
            digest = read_location_digest(connection, target)
        self._show_common_revision(digest)
        with self.database.open_connection(log="w") as connection, open_transaction(connection, _MOVE_ERROR):
            find_chain_head(connection, self.branch_name, planned_head.digest)
            replace_chain(connection, self.branch_name, target)
        return self._finish_move()

    def switch_branch(self, name: str) -> Head:
        """Use another branch, at the cost of what differs; the lock file names it, and the workspace shows its head.

        Raises:
            NotFoundError: there is no such branch.
            ConflictError: the lock file, a `.dvc` file or the workspace is not at the head of the branch in use.
        """
        self.prepare_head(None)
        with self.database.open_connection(log="r") as connection:
            head = require_branch(connection, name)
        if name != self.branch_name:
            self._show_common_revision(head.digest)
            self.database.change_branch(name)
        return self._finish_move()

    def _show_common_revision(self, digest: str) -> int:
        """Let the workspace show the last event that the branch in use shares with the chain of another event.

        From there, both heads are reached at the cost of what differs. If the next step does not happen, the next
        command shows the head again.
        """
        with self.database.open_connection(log="r") as connection:
            common = find_common_position(connection, digest)
        marker = self.read_marker()
        if marker.is_requested:
            raise ConflictError(
                f"the workspace is at @{marker.position}, which was checked out. Run geographer checkout HEAD first."
            )
        if marker.position is not None and marker.position > common:
            self.checkout_workspace(common, check_all=False)
        return common

    def _finish_move(self) -> Head:
        """Derive the state of the head that the branch in use has got; write the lock file, and show the head."""
        from geographer.storage.state.update import update_state

        head = self.read_head()
        position = update_state(self.database)
        self.write_history(state_position=position)
        self.complete_withdrawals(head)
        self.sync_workspace(head)
        return head

    def _make_commit_info(self, request: Request) -> CommitInfo:
        """Return who makes the change and why, without secrets: a command line may have URLs."""
        from geographer.base.redaction import has_credentials, redact_values
        from geographer.storage.author import read_author

        key, author = request.idempotency_key, request.author or read_author(self.root)
        if key is not None and has_credentials(key):
            raise UsageError("--idempotency-key holds a credential, which the log would keep. Use another key.")
        author, message, command = redact_values([author, request.message, self._command])
        texts = {"--author": author, "--message": message, "the command line": command, "--idempotency-key": key}
        for name, text in texts.items():
            _require_recordable(name, text)
        return CommitInfo(author, message, command, key)

    def _is_small(self, change: Change) -> bool:
        with self.database.open_connection() as connection:
            queries = [f"SELECT count(*) FROM {rows}" for rows in change.rows.values() if isinstance(rows, str)]  # noqa: S608
            counts = [connection.execute(query).fetchall()[0][0] for query in queries]
        counts += [len(rows) for rows in change.rows.values() if not isinstance(rows, str)]
        return max(counts, default=0) <= _ONE_THREAD_ROWS


class _CompletedChange(Exception):  # noqa: N818
    """Ends the derivation of a change in whose place another one is recorded."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change = change


def _make_recorded_request(request: Request) -> dict[str, object]:
    """Return the request as the log records it, without credentials; `UsageError` if a value cannot be recorded."""
    from geographer.base.redaction import redact_values

    recorded: dict[str, object] = redact_values(json.loads(json.dumps(request.to_json())))
    for name, value in recorded.items():
        _require_recordable(f"parameter '{name}'", value)
    return recorded


def _require_recordable(name: str, value: object) -> None:
    try:
        canonical_json(value)
    except UsageError as error:
        raise UsageError(f"{name} {quote_start(repr(value))}: {error}") from error


def _make_event_result(event: Event, *, changed: bool = True) -> ChangeResult:
    return _make_result(event, parse_payload(event.kind, event.version, event.payload), changed=changed)


def _make_result(head: Head | Event, payload: EventPayload, *, changed: bool = True) -> ChangeResult:
    return ChangeResult(head.position, head.digest, payload.kind, payload.list_summary(), changed, payload)


def _complete_payload(change: Change, request: Mapping[str, object]) -> EventPayload:
    """Return the payload with request and software, without secrets; `UsageError` if it could not be read back."""
    from geographer.base.redaction import redact_values

    event = change.event
    content = redact_values({**event.to_json(), "software": _list_software_versions(change)})
    if event.has_request:
        content["request"] = dict(request)
    try:
        return msgspec.convert(content, type(event))
    except msgspec.ValidationError as error:
        raise UsageError(f"cannot record the '{event.kind}' event: {error}. Correct the input.") from error


def _list_software_versions(change: Change) -> dict[str, str]:
    """Return the versions of the software that can change an event's outcome; without rows, no pixels were written."""
    from importlib.metadata import version

    versions = {"geographer": __version__, "duckdb": version("duckdb")}
    if change.event.writes_pixels and not change.rows:
        return versions
    if change.event.writes_pixels:
        from geographer.rasters.write import read_software_versions

        versions |= read_software_versions()
    return versions | {name: version(name) for name in change.event.libraries}
