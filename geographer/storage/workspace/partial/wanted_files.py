"""Wanted files: those of a revision that a checkout writes: all, or what a partial clone takes and this machine has."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from geographer.storage.dvc.store import Store
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.partial.selected_files import FileEvaluator
from geographer.storage.workspace.partial.selection import PartialClone, read_partial_clone

if TYPE_CHECKING:
    from geographer.storage.workspace.checkout import TrackedFile

_FILES_OF: Final = "SELECT path FROM files_at($at) WHERE md5 IN (SELECT unnest($md5s::VARCHAR[])) ORDER BY path"


class WantedFiles:
    """The files of a revision that the workspace is to show.

    In a partial clone these are the selected ones, and those that are on this machine anyway: in the workspace or in
    the cache. What a user added is so shown whether or not it is selected.
    """

    def __init__(self, revision: Revision, store: Store) -> None:
        self._revision, self._store = revision, store
        self._clone: PartialClone | None = read_partial_clone(store.root)
        self._selected = self._list_selected_md5s(revision.position)

    @property
    def is_partial(self) -> bool:
        """Whether the clone takes a part of the files."""
        return self._clone is not None

    def select_files(self, files: Sequence[TrackedFile], movable_md5s: Collection[str] = ()) -> list[TrackedFile]:
        """Return the wanted ones of some files; `movable_md5s` are those that the workspace has under another path."""
        if self._clone is None:
            return [*files]
        others = [file.checksums.md5 for file in files if file.checksums.md5 not in self._selected]
        lacking = {*self._store.list_missing_objects(others)} - {*movable_md5s}
        return [file for file in files if file.checksums.md5 not in lacking or self._is_shown(file)]

    def list_newly_selected_paths(self, current: int | None) -> set[str]:
        """Return the paths of files that are selected at the revision, and were not at the position `current`.

        A new edge or another part of a split can select a file that did not change itself.
        """
        if self._clone is None or current is None:
            return set()
        md5s = self._selected - self._list_selected_md5s(current)
        parameters = {"at": self._revision.position, "md5s": [*md5s]}
        paths = [path for (path,) in self._revision.fetch_rows(_FILES_OF, parameters)] if md5s else []
        return {path for path in paths if not os.path.lexists(self._store.root / path)}

    def _is_shown(self, file: TrackedFile) -> bool:
        return os.path.lexists(self._store.root / file.path)

    def _list_selected_md5s(self, position: int) -> set[str]:
        if self._clone is None:
            return set()
        with FileEvaluator(self._revision.connection, self._clone) as evaluator:
            return evaluator.list_selected_md5s(position)
