"""The public API: `Dataset`, its methods grouped by module.

- `queries`          reads at any revision
- `add_remove`, `classes`, `merge`, `download`, `cut`, `label`, `recipes`  methods that change the dataset
- `commit`           the one way in which every change is committed
- `recipe_registry`  recipe kinds by name
- `old_names`        names of version 0.1.0
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from geographer.base.atomic_files import translate_os_errors
from geographer.base.errors import ConflictError, UsageError
from geographer.base.progress import ProgressCallback, ignore_progress
from geographer.dataset.add_remove import AddRemoveMixin
from geographer.dataset.classes import ClassesMixin
from geographer.dataset.cut import CutMixin
from geographer.dataset.download import DownloadMixin
from geographer.dataset.label import LabelMixin
from geographer.dataset.merge import MergeMixin
from geographer.dataset.old_names import OLD_METHODS, replace_old_name
from geographer.dataset.queries import QueryMixin, RevisionSpec
from geographer.dataset.recipes import RecipeMixin
from geographer.storage.database.dataset_folder import find_dataset_root
from geographer.storage.events import ChangeResult, EventDraft
from geographer.storage.log.read import read_event
from geographer.storage.state.update import update_state
from geographer.storage.unit_of_work import Change, UnitOfWork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geographer.storage.queries.revision import Revision
    from geographer.storage.workspace.checkout import CheckoutResult
    from geographer.storage.workspace.verify import Finding


class Dataset(QueryMixin, AddRemoveMixin, MergeMixin, ClassesMixin, DownloadMixin, CutMixin, LabelMixin, RecipeMixin):
    """An object-centric remote-sensing dataset with all its versions, in a folder.

    Create one with `Dataset.init`, open one with `Dataset.open`. Every method that changes the dataset appends one
    event and returns a `ChangeResult` with the new revision. Those methods share these keyword arguments:

        message: The reason; kept in the log.
        author: The author. Default: Git's or the system's user name.
        idempotency_key: A name for this request; a repeated request with the same key changes nothing.
        expected_head: Raise `ConflictError` unless the head's digest starts with this.
        dry_run: Plan and return what would be done, and change nothing.

    Methods that read take `at`, a revision, and return a `Table`: Arrow, with `.to_geopandas()`. Longitude precedes
    latitude. All errors that users can act on are `GeographerError`s: `NotFoundError`, `ConflictError`, `UsageError`,
    `CorruptError`, `StorageError`.
    """

    def __init__(self, root: Path, *, command: str = "", progress: ProgressCallback = ignore_progress) -> None:
        """Use the dataset in the folder `root`; the log records `command` as the command line."""
        self.root = root
        self._unit_of_work = UnitOfWork(root)
        self._command = command
        self._progress = progress

    if not TYPE_CHECKING:  # Type checkers report unknown names.

        def __getattr__(self, name: str) -> Any:
            """Return a method by its name in version 0.1.0."""
            if name not in OLD_METHODS:
                raise AttributeError(f"'Dataset' object has no attribute '{name}'")
            return getattr(self, replace_old_name(name, OLD_METHODS))

    @classmethod
    def init(
        cls,
        path: str | Path,
        *,
        classes: Sequence[str] = (),
        background: str | None = None,
        scm: bool = True,
        message: str = "",
        author: str | None = None,
        command: str = "",
    ) -> Dataset:
        """Create a dataset in the folder `path`, which becomes a DVC repository.

        Args:
            path: The folder; created if missing.
            classes: The classes; their values are 1, 2, 3 … in this order. Default: those of the features.
            background: A class with value 0: it erases in masks.
            scm: Use Git if the folder lies in a Git repository.
            command: The command line that the log records.

        Raises:
            ConflictError: the folder contains a dataset.
            UsageError: a class name is repeated or empty.
        """
        from geographer.storage.dvc.store import Store
        from geographer.storage.log.row_tables import make_row_table

        root = Path(path).resolve()
        if (root / ".geographer" / "log.duckdb").exists():
            raise ConflictError(f"'{root}' contains a dataset already. Open it, or choose another folder.")
        names = [*([background] if background else []), *classes]
        if len(set(names)) < len(names) or not all(names):
            raise UsageError("a class name is repeated or empty. Give each --class (and --background) once.")
        with translate_os_errors(root):
            root.mkdir(parents=True, exist_ok=True)
        dataset = cls(root, command=command)
        store = Store.init_repository(root, scm=scm)
        store.add_to_gitignore(".geographer")
        store.close()
        values = [*([0] if background else []), *range(1, len(classes) + 1)]
        payload = {"classes": list(classes), "background": background}
        rows = {"class_change": make_row_table("class_change", {"class": names, "value": values})} if names else {}
        dataset._unit_of_work.create_log(
            EventDraft("dataset_initialised", payload, rows), dataset._make_commit_info(message, author, None)
        )
        return dataset

    @classmethod
    def open(
        cls, path: str | Path = ".", *, command: str = "", progress: ProgressCallback = ignore_progress
    ) -> Dataset:
        """Open the dataset in the folder `path`, or in the nearest folder above it.

        Raises:
            NotFoundError: there is none.
        """
        return cls(find_dataset_root(Path(path)), command=command, progress=progress)

    def tag(self, name: str, revision: RevisionSpec = None, **commit_options: Any) -> ChangeResult:
        """Name a revision permanently: a tag does not move.

        Raises:
            ConflictError: the tag exists.
            UsageError: the name could be read as a digest, a date or HEAD.
        """
        from geographer.base.values import validate_name

        position = self._unit_of_work.resolve_revision(revision)
        if name.upper().startswith("HEAD") or all(letter in "0123456789abcdef" for letter in name.lower()):
            raise UsageError(f"invalid tag '{name}': it could be a digest, a date or HEAD. Use a name such as v1.")
        validate_name("tag", name)
        with self._unit_of_work.open_revision(position) as revision_view:
            content = revision_view.compute_content_digest()
        request = {"tag": name, "revision": str(revision) if revision is not None else None}

        def plan_tag(revision_view: Revision) -> Change:
            if revision_view.fetch_value("SELECT 1 FROM tags WHERE tag = $name", {"name": name}):
                raise ConflictError(f"tag '{name}' exists, and a tag does not move. Choose another name.")
            digest = read_event(revision_view.connection, position).digest
            tag = {"tag": name, "position": position, "digest": digest, "content_digest": content}
            return Change(EventDraft("revision_tagged", {"request": request, "tag": tag}))

        return self._commit_change("revision_tagged", request, commit_options, plan_tag)

    def checkout(self, revision: RevisionSpec = None, *, to: str | Path | None = None) -> CheckoutResult:
        """Write the files of a revision to the workspace, or with its tables to the folder `to`, byte for byte.

        Raises:
            CorruptError: a file is missing or altered in cache and remote; the message names raster and features.
            ConflictError: the folder holds something else.
        """
        from geographer.outputs.export_folder import export_folder

        position = self._unit_of_work.resolve_revision(revision)
        if to is not None:
            with self._unit_of_work.open_revision(position) as revision_view:
                return export_folder(revision_view, self._unit_of_work.file_store, Path(to))
        head = self._unit_of_work.read_head().position
        return self._unit_of_work.checkout_workspace(position, is_requested=position != head)

    def verify(
        self, revision: RevisionSpec = None, *, expect: str | None = None, repair: bool = False
    ) -> list[Finding]:
        """Read the whole log and every raster of a revision; return what differs from what was recorded.

        Args:
            revision: The revision whose files are checked.
            expect: A digest kept elsewhere, of an event or of the content; it reveals a truncated log.
            repair: Remove orphan files and rebuild the state; the log is never changed.
        """
        from geographer.storage.workspace.verify import verify_dataset

        work, position = self._unit_of_work, self._unit_of_work.resolve_revision(revision)
        update_state(work.database)
        shown = work.workspace_position
        return verify_dataset(
            work.database, work.file_store, position, workspace_position=shown, expected_digest=expect, repair=repair
        )
