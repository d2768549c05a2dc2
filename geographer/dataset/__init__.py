"""The facade: a dataset as Python and the command line see it.

`Dataset` opens and proves; `readings` answers questions; `additions`, `imports`, `classes`, `downloads`, `cuts`,
`labels` and `recipes` hold the verbs that change it, and `changes` is the one way that every change goes through.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from geographer.base.errors import ConflictError, UsageError
from geographer.dataset.add_remove import Additions
from geographer.dataset.classes import Classes
from geographer.dataset.cut import Cuts
from geographer.dataset.download import Downloads
from geographer.dataset.label import Labels
from geographer.dataset.merge import Imports
from geographer.dataset.queries import Readings, Rev
from geographer.dataset.recipes import Recipes
from geographer.storage.events import ChangeResult, EventDraft
from geographer.storage.log.read import read_event
from geographer.storage.state.update import update_state
from geographer.storage.unit_of_work import Change, UnitOfWork, find_dataset_root

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geographer.planning.recipe import ProgressCallback
    from geographer.storage.queries.revision import Revision
    from geographer.storage.workspace.checkout import CheckoutResult
    from geographer.storage.workspace.verify import Finding


def _silent(_what: str, _done: int, _of: int) -> None:
    return


class Dataset(Readings, Additions, Imports, Classes, Downloads, Cuts, Labels, Recipes):
    """An object-centric remote-sensing dataset with all its versions, in a folder.

    Make one with `Dataset.init`, open one with `Dataset.open`. Every method that changes the dataset appends one event
    and answers a `Recorded` with the new revision; those methods share these keyword arguments:

        message: why; kept in the log.
        author: who; Git's or the system's user name when left out.
        idempotency_key: a name for this request; a repeated request with the same key changes nothing.
        expected_head: refuse with `ConflictError` unless the head's digest begins with this.
        dry_run: plan and answer what would be done, and change nothing.

    Reads take `at`, a revision, and answer a `Table`: Arrow, with `.to_geopandas()`. Longitude comes before latitude.

    All errors that a person can act on are `GeographerError`s: `NotFoundError`, `ConflictError`, `UsageError`,
    `CorruptError`, `StorageError`.
    """

    def __init__(self, root: Path, *, command: str = "", progress: ProgressCallback = _silent) -> None:
        """Take the dataset in the folder `root`; `command` is the command line that the log records."""
        self.root = root
        self._recorder = UnitOfWork(root)
        self._command = command
        self._progress = progress

    # --- making and opening -------------------------------------------------------------------------------------

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
        """Make a dataset in the folder `path`, which becomes a DVC repository (with Git where there is one).

        Args:
            path: The folder; made if need be.
            classes: The classes, whose values are 1, 2, 3 … in this order. None: they come with the features.
            background: A class whose value is 0: it erases in masks.
            scm: Use Git where the folder lies in a Git repository.
            message: Why.
            author: Who.
            command: The command line that the log records.

        Raises:
            ConflictError: there is a dataset already.
            UsageError: a class stands twice or has no name.
        """
        from geographer.storage.dvc.store import Store
        from geographer.storage.log.row_tables import make_row_table

        root = Path(path).resolve()
        if (root / ".geographer" / "log.duckdb").exists():
            raise ConflictError(f"'{root}' is a dataset already: open it, or choose another folder")
        names = [*([background] if background else []), *classes]
        if len(set(names)) < len(names) or not all(names):
            raise UsageError("a class stands twice or has no name: give each --class (and --background) once")
        dataset = cls(root, command=command)
        store = Store.initialise(root, scm=scm)
        store.ignore(".geographer")
        store.close()
        values = [*([0] if background else []), *range(1, len(classes) + 1)]
        payload = {"classes": list(classes), "background": background}
        rows = {"class_change": make_row_table("class_change", {"class": names, "value": values})} if names else {}
        dataset._recorder.create_log(
            EventDraft("dataset_initialised", payload, rows), dataset._signature(message, author, None)
        )
        return dataset

    @classmethod
    def open(cls, path: str | Path = ".", *, command: str = "", progress: ProgressCallback = _silent) -> Dataset:
        """Open the dataset in the folder `path`, or in the nearest folder above it.

        Raises:
            NotFoundError: there is none.
        """
        return cls(find_dataset_root(Path(path)), command=command, progress=progress)

    def tag(self, name: str, revision: Rev = None, **signature: Any) -> ChangeResult:
        """Name a revision, for good: a tag does not move.

        Raises:
            ConflictError: the tag is there already.
            UsageError: the name could be taken for something else.
        """
        from geographer.base.values import validate_name

        position = self._recorder.resolve_revision(revision)
        if name.upper().startswith("HEAD") or all(letter in "0123456789abcdef" for letter in name.lower()):
            raise UsageError(f"'{name}' can't name a tag: it could be a digest, a date or HEAD; take a name such as v1")
        validate_name("tag", name)
        with self._recorder.open_revision(position) as view:
            content = view.compute_content_digest()
        request = {"tag": name, "revision": str(revision) if revision is not None else None}

        def plan(view: Revision) -> Change:
            if view.fetch_value("SELECT 1 FROM tags WHERE tag = $name", {"name": name}):
                raise ConflictError(f"tag '{name}' is there already, and a tag does not move: choose another name")
            digest = read_event(view.connection, position).digest
            tag = {"tag": name, "position": position, "digest": digest, "content_digest": content}
            return Change(EventDraft("revision_tagged", {"request": request, "tag": tag}))

        return self._change("revision_tagged", request, signature, plan)

    # --- going back, and proof ------------------------------------------------------------------------------------

    def checkout(self, revision: Rev = None, *, to: str | Path | None = None) -> CheckoutResult:
        """Bring the files of a revision into the workspace, or with its tables into the folder `to`, byte for byte.

        Raises:
            CorruptError: a file is missing or altered in cache and remote; the message names raster and features.
            ConflictError: the folder holds something else.
        """
        from geographer.outputs.export_folder import export_folder

        position = self._recorder.resolve_revision(revision)
        if to is not None:
            with self._recorder.open_revision(position) as view:
                return export_folder(view, self._recorder.store, Path(to))
        delivered: CheckoutResult = self._recorder.checkout_workspace(
            position, chosen=position != self._recorder.read_head().position
        )
        return delivered

    def verify(self, revision: Rev = None, *, expect: str | None = None, repair: bool = False) -> list[Finding]:
        """Re-read the log and every raster of a revision; answer what is not as it was recorded (nothing, when all is).

        Args:
            revision: Whose files; the log is read whole.
            expect: A digest that was kept elsewhere, of an event or of the content; it shows a lost tail.
            repair: Remove orphan files and rebuild the projection; never touches the log.
        """
        from geographer.storage.workspace.verify import verify_dataset

        recorder, position = self._recorder, self._recorder.resolve_revision(revision)
        update_state(recorder.database)
        return verify_dataset(
            recorder.database, recorder.store, position, shown=recorder.workspace_position, expect=expect, repair=repair
        )
