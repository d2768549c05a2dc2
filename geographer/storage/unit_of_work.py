"""Unit of work: carry a request through: repeated key, head, plan, outputs, files, event, state, workspace."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from geographer import __version__
from geographer.base.canonical_json import canonical_json
from geographer.base.errors import ConflictError, UsageError
from geographer.base.progress import ProgressCallback, ignore_progress
from geographer.base.redaction import redact_urls
from geographer.storage.author import read_author
from geographer.storage.database.dataset_folder import GEOGRAPHER_FOLDER, make_staging_folder
from geographer.storage.dvc.store import Store
from geographer.storage.events import EMPTY_LOG_HEAD, ChangeResult, CommitInfo, Event, EventPayload, Head
from geographer.storage.events.payload import parse_payload
from geographer.storage.log.append import append_event, create_log, require_same_request
from geographer.storage.log.read import find_event_by_key, read_head, resolve_revision
from geographer.storage.log.upgrade import open_database
from geographer.storage.queries.revision import Revision, open_revision
from geographer.storage.request import BuildContext, Change, PlanContext, Request
from geographer.storage.state.update import read_state_position, update_state
from geographer.storage.workspace import checkout
from geographer.storage.workspace.checkout import CheckoutResult, WorkspaceMarker

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
        self.database = open_database(self.folder)
        self._marker_path = self.folder / "workspace.json"

    @cached_property
    def file_store(self) -> Store:
        """The dataset's files in DVC."""
        return Store(self.root)

    def create_log(self, request: Request, change: Change) -> ChangeResult:
        """Create the log with its first event."""
        self.folder.mkdir(parents=True, exist_ok=True)
        create_log(self.database)
        payload, info = _complete_payload(change, {}), self._make_commit_info(request)
        event = append_event(self.database, payload, change.rows, info, EMPTY_LOG_HEAD)
        update_state(self.database)
        checkout.write_marker(self._marker_path, WorkspaceMarker(event.position))
        return _make_event_result(event)

    def run_request(self, request: Request) -> ChangeResult:
        """Plan a request on the head, build its outputs and record them; a dry or repeated run records nothing.

        `ConflictError` if the idempotency key was used for another request, or the head is not the expected one.
        """
        request = request.resolve_inputs(self.open_revision)
        info, recorded_request = self._make_commit_info(request), redact_urls(json.loads(json.dumps(request.to_json())))
        with self.database.open_connection(log="r") as connection:
            repeated = find_event_by_key(connection, info.idempotency_key)
        if repeated is not None:
            require_same_request(repeated, request.event.kind, recorded_request)
            return _make_event_result(repeated, changed=False)
        head = self.prepare_head(request.expected_head)
        with self.open_revision(head.position) as revision:
            must_record = request.check_revision(revision)
            plan = request.make_plan(revision, PlanContext(self.root, self.progress))
        if request.dry_run or (plan.is_empty and not must_record):
            return _make_result(head, plan.event, changed=False)
        with make_staging_folder(self.root) as staging:
            change = plan.build_outputs(BuildContext(self.root, staging, request.max_workers, self.progress))
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

    def prepare_head(self, expected_head: str | None) -> Head:
        """Complete what an interrupted command left undone, and return the head to plan on.

        `ConflictError` if its digest does not start with `expected_head`, or if the workspace is at an older revision.
        """
        head = self.read_head()
        if expected_head is not None and not (head.digest.startswith(expected_head) and expected_head):
            actual = f"@{head.position} {head.digest[:12]}"
            raise ConflictError(f"the head is {actual}, not the expected {expected_head}. See geographer log.")
        update_state(self.database)
        self.sync_workspace(head.position)
        return head

    def sync_workspace(self, head: int) -> None:
        """Check out the head unless it is; `ConflictError` if a user checked out an older revision."""
        marker = checkout.read_marker(self._marker_path)
        if marker.position == head:
            return
        if marker.is_requested:
            raise ConflictError(
                f"the workspace is at @{marker.position}, which was checked out; the head is @{head}. Run geographer "
                "checkout HEAD first, or check the old revision out to another folder with --to."
            )
        self.checkout_workspace(head, check_unchanged=False)

    def checkout_workspace(
        self, position: int, *, is_requested: bool = False, check_unchanged: bool = True, change: Change | None = None
    ) -> CheckoutResult:
        """Update the workspace's files to a revision, which the user asked for if `is_requested`.

        `check_unchanged` also restores files that both revisions have and that were altered or removed. The files of
        `change` have just been stored.
        """
        stored = {checksums.md5 for _, checksums in change.files} if change else set()
        linked = change.linked_md5s if change else ()
        current = checkout.read_marker(self._marker_path).position
        since_ns = self._marker_path.stat().st_mtime_ns if check_unchanged and current is not None else None
        with self.open_revision(position) as revision:
            # If this is interrupted, the next checkout must look at every file.
            checkout.write_marker(self._marker_path, WorkspaceMarker(None))
            result = checkout.update_workspace(revision, self.file_store, current, since_ns, stored, linked)
        checkout.write_marker(self._marker_path, WorkspaceMarker(position, is_requested))
        return result

    @property
    def workspace_position(self) -> int | None:
        """The position of the workspace's files; None if it is not known."""
        return checkout.read_marker(self._marker_path).position

    def _record_change(
        self, change: Change, request: Mapping[str, object], info: CommitInfo, head: Head
    ) -> ChangeResult:
        """Store the files, append the event after `head`, and update the state and the workspace.

        Files come first: a crash leaves files without an event, never an event without its files. State and workspace
        follow from the log, so the next command can update them.
        """
        if change.files:
            self.file_store.add_files(change.files, move=change.move_files)
        with self.database.use_one_thread() if self._is_small(change) else self.database.open_connection():
            event = append_event(self.database, _complete_payload(change, request), change.rows, info, head)
            position = update_state(self.database)
            changes_files = "raster_change" in change.rows or "label_change" in change.rows
            if changes_files or position != head.position + 1:
                # Another process may have appended meanwhile: check out the state's position, not the event's.
                self.checkout_workspace(position, change=change, check_unchanged=False)
            else:
                checkout.write_marker(self._marker_path, WorkspaceMarker(position))
        return _make_event_result(event)

    def _make_commit_info(self, request: Request) -> CommitInfo:
        """Return who makes the change and why, without secrets: a command line may have URLs."""
        author = request.author or read_author(self.root)
        author, message, command = redact_urls([author, request.message, self._command])
        canonical_json([author, message, command, request.idempotency_key])  # Refuse text that is not UTF-8 early.
        return CommitInfo(author, message, command, request.idempotency_key)

    def _is_small(self, change: Change) -> bool:
        with self.database.open_connection() as connection:
            queries = [f"SELECT count(*) FROM {rows}" for rows in change.rows.values() if isinstance(rows, str)]  # noqa: S608
            counts = [connection.execute(query).fetchall()[0][0] for query in queries]
        counts += [len(rows) for rows in change.rows.values() if not isinstance(rows, str)]
        return max(counts, default=0) <= _ONE_THREAD_ROWS


def _make_event_result(event: Event, *, changed: bool = True) -> ChangeResult:
    return _make_result(event, parse_payload(event.kind, event.version, event.payload), changed=changed)


def _make_result(head: Head | Event, payload: EventPayload, *, changed: bool = True) -> ChangeResult:
    return ChangeResult(head.position, head.digest, payload.kind, payload.list_summary(), changed, payload)


def _complete_payload(change: Change, request: Mapping[str, object]) -> EventPayload:
    """Return the payload with request and software, without secrets; `UsageError` if it could not be read back."""
    event = change.event
    content = redact_urls({**event.to_json(), "software": _list_software_versions(change)})
    if event.has_request:
        content["request"] = dict(request)
    try:
        return msgspec.convert(content, type(event))
    except msgspec.ValidationError as error:
        raise UsageError(f"cannot record the '{event.kind}' event: {error}. Correct the input.") from error


def _list_software_versions(change: Change) -> dict[str, str]:
    """Return the versions of the software that can change an event's outcome; without rows, no pixels were written."""
    versions = {"geographer": __version__, "duckdb": version("duckdb")}
    if change.event.writes_pixels and not change.rows:
        return versions
    if change.event.writes_pixels:
        from geographer.rasters.write import read_software_versions

        versions |= read_software_versions()
    return versions | {name: version(name) for name in change.event.libraries}
