"""Unit of work: store a planned change's files, append its event, update the state and the workspace."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import ConflictError
from geographer.base.redaction import redact_urls
from geographer.storage.database.connection import Database
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER, make_staging_folder
from geographer.storage.events import ChangeResult, CommitInfo, Event, EventDraft, Head
from geographer.storage.log.append import append_event, create_log, require_same_request
from geographer.storage.log.read import find_event_by_key, read_head, resolve_revision
from geographer.storage.log.software_versions import list_software_versions
from geographer.storage.queries.revision import Revision, open_revision
from geographer.storage.state.update import read_state_position, update_state
from geographer.storage.workspace.checkout import (
    CheckoutResult,
    WorkspaceMarker,
    read_marker,
    update_workspace,
    write_marker,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from geographer.base.values import Checksums
    from geographer.storage.dvc.store import Store

_ONE_THREAD_ROWS: Final = 1_000
"""A change with at most so many rows in each table is recorded on one thread."""


@dataclass(frozen=True, slots=True)
class Change:
    """A planned change: its event, and the files that it adds.

    Attributes:
        draft: The event.
        files: Files that DVC stores, with their checksums.
        move_files: Whether to move `files` (from a staging folder) or copy them (files of the user).
        linked_md5s: MD5s of files that are links to DVC's cache in the workspace.
    """

    draft: EventDraft
    files: list[tuple[Path, Checksums]] = field(default_factory=list)
    move_files: bool = False
    linked_md5s: Collection[str] = ()


class UnitOfWork:
    """The log, the state and the workspace of the dataset in `root`, and the steps that change them together."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / GEOGRAPHER_FOLDER
        self.database = Database(self.folder)
        self._marker_path = self.folder / "workspace.json"

    @cached_property
    def file_store(self) -> Store:
        """The dataset's files in DVC."""
        from geographer.storage.dvc.store import Store

        return Store(self.root)

    def create_log(self, draft: EventDraft, commit_info: CommitInfo) -> ChangeResult:
        """Create the log with its first event."""
        self.folder.mkdir(parents=True, exist_ok=True)
        create_log(self.database)
        event = append_event(self.database, _complete_draft(draft), _redact_commit_info(commit_info), Head(0, ""))
        update_state(self.database)
        write_marker(self._marker_path, WorkspaceMarker(event.position))
        return _make_result(event)

    def read_head(self) -> Head:
        """Return the head of the log."""
        with self.database.open_connection(log="r") as connection:
            return read_head(connection)

    def resolve_revision(self, revision: str | int | None) -> int:
        """Return the position of a revision."""
        with self.database.open_connection(log="r") as connection:
            return resolve_revision(connection, revision)

    @contextmanager
    def open_revision(self, revision: str | int | None = None) -> Iterator[Revision]:
        """Update the state if the revision is later, and yield the revision."""
        position = self.resolve_revision(revision)
        if read_state_position(self.database) < position:
            update_state(self.database)
        with open_revision(self.database, position) as view:
            yield view

    def find_repeated_request(self, commit_info: CommitInfo, kind: str, request: dict[str, Any]) -> ChangeResult | None:
        """Return the result that was recorded for the same request and idempotency key, if any.

        Raises:
            ConflictError: the key was used for another request.
        """
        with self.database.open_connection(log="r") as connection:
            event = find_event_by_key(connection, commit_info.idempotency_key)
        if event is None:
            return None
        recorded_request = redact_urls(json.loads(json.dumps(request)))
        return _make_result(require_same_request(event, kind, recorded_request), changed=False)

    def prepare_head(self, expected_head: str | None) -> Head:
        """Return the head to plan on, after completing what an interrupted command left undone.

        Raises:
            ConflictError: the head's digest does not start with `expected_head`, or the workspace is at an older
                revision that was checked out.
        """
        head = self.read_head()
        if expected_head is not None and not (head.digest.startswith(expected_head) and expected_head):
            raise ConflictError(
                f"the head is @{head.position} {head.digest[:12]}, not the expected {expected_head}. "
                "See geographer log."
            )
        update_state(self.database)
        self.sync_workspace(head.position)
        return head

    def sync_workspace(self, head: int) -> None:
        """Check out the head if an interrupted command did not.

        Raises:
            ConflictError: the workspace is at an older revision that was checked out.
        """
        marker = read_marker(self._marker_path)
        if marker.position == head:
            return
        if marker.is_requested:
            raise ConflictError(
                f"the workspace is at @{marker.position}, which was checked out; the head is @{head}. Run geographer "
                "checkout HEAD first, or check the old revision out to another folder with --to."
            )
        self.checkout_workspace(head, check_unchanged=False)

    def checkout_workspace(
        self,
        position: int,
        *,
        is_requested: bool = False,
        trusted_md5s: Collection[str] = (),
        linked_md5s: Collection[str] = (),
        check_unchanged: bool = True,
    ) -> CheckoutResult:
        """Update the workspace's files to a revision.

        Args:
            position: The revision's position.
            is_requested: Whether the user asked for this revision.
            trusted_md5s: MD5s of files that this process has just stored.
            linked_md5s: MD5s of files to link to DVC's cache.
            check_unchanged: Whether to restore files that both revisions have and that were altered or removed.
        """
        current = read_marker(self._marker_path).position
        since_ns = self._marker_path.stat().st_mtime_ns if check_unchanged and current is not None else None
        with self.open_revision(position) as revision:
            # If this is interrupted, the next checkout must look at every file.
            write_marker(self._marker_path, WorkspaceMarker(None))
            result = update_workspace(
                revision,
                self.file_store,
                from_position=current,
                check_modified_since_ns=since_ns,
                trusted_md5s=trusted_md5s,
                linked_md5s=linked_md5s,
            )
        write_marker(self._marker_path, WorkspaceMarker(position, is_requested))
        return result

    @property
    def workspace_position(self) -> int | None:
        """The position of the workspace's files; None if it is not known."""
        return read_marker(self._marker_path).position

    def record_change(self, change: Change, commit_info: CommitInfo, head: Head) -> ChangeResult:
        """Store the files, append the event after `head`, and update the state and the workspace.

        Files come first: a crash leaves files without an event, never an event without its files. State and workspace
        follow from the log, so the next command can update them.
        """
        if change.files:
            self.file_store.add_files(change.files, move=change.move_files)
        with self.database.use_one_thread() if self._is_small(change.draft) else self.database.open_connection():
            event = append_event(self.database, _complete_draft(change.draft), _redact_commit_info(commit_info), head)
            position = update_state(self.database)
            changes_files = "raster_change" in change.draft.rows or "label_change" in change.draft.rows
            if changes_files or position != head.position + 1:
                # Another process may have appended meanwhile: check out the state's position, not the event's.
                stored, linked = {checksums.md5 for _, checksums in change.files}, change.linked_md5s
                self.checkout_workspace(position, trusted_md5s=stored, linked_md5s=linked, check_unchanged=False)
            else:
                write_marker(self._marker_path, WorkspaceMarker(position))
        return _make_result(event)

    def make_staging_folder(self) -> AbstractContextManager[Path]:
        """Yield an empty folder for new files on the dataset's file system; delete it afterwards."""
        return make_staging_folder(self.root)

    def _is_small(self, draft: EventDraft) -> bool:
        with self.database.open_connection() as connection:
            for rows in draft.rows.values():
                query = f"SELECT count(*) FROM {rows}"  # noqa: S608
                count = connection.execute(query).fetchall()[0][0] if isinstance(rows, str) else rows.num_rows
                if count > _ONE_THREAD_ROWS:
                    return False
        return True


def _make_result(event: Event, *, changed: bool = True) -> ChangeResult:
    summary = {key: value for key, value in event.payload.items() if key not in ("request", "software", "columns")}
    return ChangeResult(event.position, event.digest, event.kind, summary, changed)


def _redact_commit_info(commit_info: CommitInfo) -> CommitInfo:
    """Remove secrets: a command line may have URLs."""
    texts = {name: redact_urls(getattr(commit_info, name)) for name in ("author", "message", "command")}
    return commit_info._replace(**texts)


def _complete_draft(draft: EventDraft) -> EventDraft:
    """Add software versions to the payload, and remove secrets from it."""
    software = list_software_versions(draft.kind, has_rows=bool(draft.rows))
    return EventDraft(draft.kind, redact_urls({**draft.payload, "software": software}), draft.rows)
