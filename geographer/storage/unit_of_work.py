"""One change, carried through: planned, its pixels stored, ONE event appended, projected, shown in the workspace."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from geographer import __version__
from geographer.base.errors import ConflictError, NotFoundError, StorageError
from geographer.base.file_lock import try_lock
from geographer.base.redaction import redact_urls
from geographer.storage.database.connection import Database
from geographer.storage.events import ChangeResult, CommitInfo, Event, EventDraft, Head
from geographer.storage.log.append import append_event, create_log, require_same_request
from geographer.storage.log.read import find_event_by_key, read_head, resolve_revision
from geographer.storage.queries.revision import Revision, open_revision
from geographer.storage.state.update import read_state_position, update_state

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import duckdb
    import pyarrow as pa

    from geographer.base.values import Checksums
    from geographer.storage.dvc.store import Store
    from geographer.storage.workspace.checkout import CheckoutResult

FOLDER: Final = ".geographer"
_LOCK: Final = ".lock"
"""What stands beside a folder of drafts, and is held as long as somebody works in there."""
_OF_PIXELS: Final = frozenset(
    {"rasters_added", "rasters_downloaded", "chips_cut", "labels_made", "geographer_imported"}
)
_SMALL: Final = 1_000
"""Up to so many rows of a change, one thread is enough."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that is planned: its event, and what has to happen to bytes before that is appended.

    Attributes:
        draft: The event.
        files: Files whose bytes DVC is to store, with their checksums.
        staged: Whether `files` are our own drafts, which are moved, or a person's, which are copied.
        linked: MD5s of files that the workspace shows as links to the cache.
    """

    draft: EventDraft
    files: list[tuple[Path, Checksums]] = field(default_factory=list)
    staged: bool = False
    linked: Collection[str] = ()


class UnitOfWork:
    """The log, the projection and the workspace of one dataset folder, and the way a change takes through them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / FOLDER
        self.database = Database(self.folder)
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """The bytes of the workspace, in DVC."""
        from geographer.storage.dvc.store import Store

        if self._store is None:
            self._store = Store(self.root)
        return self._store

    def create_log(self, draft: EventDraft, signature: CommitInfo) -> ChangeResult:
        """Make the log, with its first event."""
        self.folder.mkdir(parents=True, exist_ok=True)
        create_log(self.database)
        event = append_event(self.database, _complete(draft), _public(signature), Head(0, ""))
        update_state(self.database)
        self._show(event.position)
        return _recorded(event)

    def read_head(self) -> Head:
        """The log's last event."""
        with self.database.open_connection(log="r") as connection:
            return read_head(connection)

    def resolve_revision(self, revision: str | int | None) -> int:
        """The position that a revision names."""
        with self.database.open_connection(log="r") as connection:
            return resolve_revision(connection, revision)

    @contextmanager
    def open_revision(self, revision: str | int | None = None) -> Iterator[Revision]:
        """A revision, open for reading; the projection is brought up to date first."""
        position = self.resolve_revision(revision)
        if read_state_position(self.database) < position:
            update_state(self.database)
        with open_revision(self.database, position) as view:
            yield view

    def find_repeated_request(self, signature: CommitInfo, kind: str, request: dict[str, Any]) -> ChangeResult | None:
        """What was recorded under the signature's idempotency key for this same request."""
        with self.database.open_connection(log="r") as connection:
            event = find_event_by_key(connection, signature.idempotency_key)
        if event is None:
            return None
        return _recorded(require_same_request(event, kind, redact_urls(json.loads(json.dumps(request)))), changed=False)

    def prepare_head(self, expected: str | None) -> Head:
        """The head to plan on, after what an interrupted command left behind has been caught up with.

        Raises:
            ConflictError: it is not the expected one, or the workspace shows an older revision.
        """
        head = self.read_head()
        if expected is not None and not (head.digest.startswith(expected) and expected):
            raise ConflictError(
                f"the head is @{head.position} {head.digest[:12]}, not the expected {expected}: look again"
            )
        update_state(self.database)
        self.sync_workspace(head.position)
        return head

    def sync_workspace(self, head: int) -> None:
        """Bring the workspace to the head where an interrupted command stopped short of it."""
        shown, chosen = self._shown()
        if shown == head:
            return
        if chosen:
            raise ConflictError(
                f"the workspace shows @{shown}, which was checked out; the head is @{head}: go back with "
                "geographer checkout HEAD first, or leave the old revision in a folder of its own with --to"
            )
        self.checkout_workspace(head, looking=False)

    def checkout_workspace(
        self,
        position: int,
        *,
        chosen: bool = False,
        trusted: Collection[str] = (),
        linked: Collection[str] = (),
        looking: bool = True,
    ) -> CheckoutResult:
        """Bring the workspace's files to a revision.

        Args:
            position: Of the revision.
            chosen: A person asked for that one.
            trusted: MD5s of files made a moment ago.
            linked: MD5s of files to link to the cache.
            looking: Look for files that somebody altered or removed, among those that need not change.
        """
        from geographer.storage.workspace.checkout import update_workspace

        shown, _ = self._shown()
        since = self._mark.stat().st_mtime_ns if looking and shown is not None else None
        with self.open_revision(position) as revision:
            # Until all files are there, the workspace shows no revision: who is interrupted looks at every file.
            self._show(None)
            delivered = update_workspace(
                revision, self.store, frm=shown, unseen_since=since, trusted=trusted, linked=linked
            )
        self._show(position, chosen=chosen)
        return delivered

    @property
    def workspace_position(self) -> int | None:
        """The position that the workspace's files are at, where that is known."""
        return self._shown()[0]

    def record_change(self, change: Change, signature: CommitInfo, head: Head) -> ChangeResult:
        """Store the bytes, append the event, project it, and show it in the workspace.

        The bytes come first: a crash leaves files that no event knows, never an event without its files. What comes
        after the append is derived from it, and the next command catches up with it.
        """
        if change.files:
            self.store.ingest(change.files, move=change.staged)
        with self._threads_for(change.draft):
            event = append_event(self.database, _complete(change.draft), _public(signature), head)
            now = update_state(self.database)
            moves_files = "raster_change" in change.draft.rows or "label_change" in change.draft.rows
            if moves_files or now != head.position + 1:
                # Whoever appended meanwhile may have shown a later revision already: not back to this one.
                made = {sums.md5 for _, sums in change.files}
                self.checkout_workspace(now, trusted=made, linked=change.linked, looking=False)
            else:
                self._show(now)
        return _recorded(event)

    @contextmanager
    def _threads_for(self, draft: EventDraft) -> Iterator[None]:
        """One of DuckDB's threads for a small change: the others would only wait for it, which costs CPU too."""
        with self.database.open_connection() as connection:
            if any(_count(connection, rows) > _SMALL for rows in draft.rows.values()):
                yield
                return
            connection.execute("SET threads = 1")
            try:
                yield
            finally:
                connection.execute("RESET threads")

    @contextmanager
    def make_staging_folder(self) -> Iterator[Path]:
        """An empty folder for drafts on the dataset's file system, gone afterwards; those of the killed go now."""
        folder = self.folder / "staging" / uuid4().hex
        folder.parent.mkdir(exist_ok=True)
        lock = folder.with_suffix(_LOCK)
        with try_lock(lock):
            folder.mkdir()
            _sweep(folder.parent)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink(missing_ok=True)

    @property
    def _mark(self) -> Path:
        return self.folder / "workspace.json"

    def _shown(self) -> tuple[int | None, bool]:
        try:
            mark = json.loads(self._mark.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None, False
        return mark["position"], mark["chosen"]

    def _show(self, position: int | None, *, chosen: bool = False) -> None:
        aside = self._mark.with_suffix(".part")
        try:
            aside.write_text(json.dumps({"position": position, "chosen": chosen}))
            aside.replace(self._mark)
        except OSError as error:
            raise StorageError(
                f"'{self._mark}' can't be written ({error.strerror}): free some space; the next command goes on"
            ) from error


def _sweep(staging: Path) -> None:
    """Remove the folders of drafts whose locks no process holds any more."""
    for lock in staging.glob(f"*{_LOCK}"):
        with try_lock(lock) as ours:
            if ours:
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)


def find_dataset_root(root: Path) -> Path:
    """The folder of the dataset that `root` lies in.

    Raises:
        NotFoundError: there is none.
    """
    whole = root.resolve()
    for folder in (whole, *whole.parents):
        if (folder / FOLDER / "log.duckdb").is_file():
            return folder
    raise NotFoundError(f"no dataset in '{root}' or above it: make one with geographer init")


def _count(connection: duckdb.DuckDBPyConnection, rows: pa.Table | str) -> int:
    if not isinstance(rows, str):
        return int(rows.num_rows)
    row = connection.execute(f"SELECT count(*) FROM {rows}").fetchone()  # noqa: S608
    return int(row[0]) if row else 0


def _recorded(event: Event, *, changed: bool = True) -> ChangeResult:
    summary = {key: value for key, value in event.payload.items() if key not in ("request", "software", "columns")}
    return ChangeResult(event.position, event.digest, event.kind, summary, changed)


def _public(signature: CommitInfo) -> CommitInfo:
    """The signature without secrets: a command line may name URLs too."""
    texts = {name: redact_urls(getattr(signature, name)) for name in ("author", "message", "command")}
    return signature._replace(**texts)


def _complete(draft: EventDraft) -> EventDraft:
    """The draft with the software that can change its outcome, and without secrets."""
    return EventDraft(draft.kind, redact_urls({**draft.payload, "software": _software(draft)}), draft.rows)


def _software(draft: EventDraft) -> dict[str, str]:
    versions = {"geographer": __version__, "duckdb": version("duckdb")}
    if draft.kind == "split_assigned":
        versions |= {name: version(name) for name in ("numpy", "scipy", "shapely")}
    elif draft.kind in _OF_PIXELS and draft.rows:
        from geographer.rasters.software_versions import pixel_software

        versions |= pixel_software()
        if draft.kind == "labels_made":
            versions["shapely"] = version("shapely")
    return versions
